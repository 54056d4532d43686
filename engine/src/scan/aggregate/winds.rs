//! The mean wind direction of each segment: wind vectors are added, not angles.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};

use super::Part;
use super::segments::Segments;
use crate::Result;

/// A resultant this much shorter than the way that the wind went is rounding, not wind.
const CALM: f64 = 1e-9;

/// Whole degrees from 0 to 360 as (sine, cosine): most directions are whole.
static WHOLE: LazyLock<Vec<(f64, f64)>> =
    LazyLock::new(|| (0..=360).map(|degrees| f64::from(degrees).to_radians().sin_cos()).collect());

/// The sum of some wind vectors.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct WindSum {
    /// Their parts from the east.
    pub east: f64,
    /// Their parts from the north.
    pub north: f64,
    /// Their lengths.
    pub way: f64,
}

impl WindSum {
    /// Adds a wind from a direction in degrees from north.
    #[inline]
    pub fn add(&mut self, direction: f64, speed: f64) {
        let (sine, cosine) = match WHOLE.get(direction as usize) {
            Some(known) if direction.fract() == 0.0 && direction >= 0.0 => *known,
            _ => direction.to_radians().sin_cos(),
        };
        self.merge(Self { east: speed * sine, north: speed * cosine, way: speed.abs() });
    }

    /// Adds the winds of another sum.
    #[inline]
    pub fn merge(&mut self, other: Self) {
        self.east += other.east;
        self.north += other.north;
        self.way += other.way;
    }

    /// The direction of the sum in degrees from north; `None` in a calm and where the winds cancel out, NaN where a
    /// wind is no number.
    #[inline]
    pub fn direction(self) -> Option<f64> {
        let Self { east, north, way } = self;
        if !(east.is_finite() && north.is_finite()) {
            return Some(f64::NAN);
        }
        // `way` is 0 without rows and in a calm.
        if way <= 0.0 || east.hypot(north) <= CALM * way {
            return None;
        }
        let degrees = east.atan2(north).to_degrees();
        let degrees = if degrees < 0.0 { degrees + 360.0 } else { degrees };
        // A hair below north rounds up to 360.
        Some(if degrees >= 360.0 { 0.0 } else { degrees })
    }
}

/// Sums of the winds of each segment; null where none counts.
#[derive(Debug)]
pub(super) struct Winds {
    east: ArrayRef,
    north: ArrayRef,
    way: ArrayRef,
}

impl Winds {
    /// Adds up winds; one whose direction or speed is null does not count.
    pub(super) fn of(
        directions: &ArrayRef,
        speeds: Option<&ArrayRef>,
        segments: &Segments,
    ) -> Result<Self> {
        let directions = wide(directions)?;
        let speeds = speeds.map(wide).transpose()?;
        let (mut east, mut north, mut way) = (Vec::new(), Vec::new(), Vec::new());
        for rows in segments.iter() {
            let mut sum = None;
            for row in rows {
                if directions.is_null(row)
                    || speeds.as_ref().is_some_and(|speed| speed.is_null(row))
                {
                    continue;
                }
                let speed = speeds.as_ref().map_or(1.0, |speeds| speeds.value(row));
                sum.get_or_insert(WindSum::default()).add(directions.value(row), speed);
            }
            east.push(sum.map(|sum| sum.east));
            north.push(sum.map(|sum| sum.north));
            way.push(sum.map(|sum| sum.way));
        }
        let array = |values: Vec<Option<f64>>| Arc::new(Float64Array::from(values)) as ArrayRef;
        Ok(Self { east: array(east), north: array(north), way: array(way) })
    }

    /// The sums of one kind.
    pub(super) fn part(&self, part: Part) -> ArrayRef {
        Arc::clone(match part {
            Part::East => &self.east,
            Part::North => &self.north,
            _ => &self.way,
        })
    }
}

/// The directions of sums.
pub(super) fn directions(east: &ArrayRef, north: &ArrayRef, way: &ArrayRef) -> ArrayRef {
    let [east, north, way] = [east, north, way].map(|sums| sums.as_primitive::<Float64Type>());
    let sums = east.iter().zip(north).zip(way);
    let directions = sums.map(|((east, north), way)| {
        let sum = WindSum { east: east?, north: north?, way: way? };
        sum.direction()
    });
    Arc::new(directions.collect::<Float64Array>())
}

fn wide(column: &ArrayRef) -> Result<PrimitiveArray<Float64Type>> {
    Ok(cast(column, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
}
