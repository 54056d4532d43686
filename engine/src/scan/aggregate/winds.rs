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
        let whole = &*WHOLE;
        let (mut east, mut north, mut way) = (Vec::new(), Vec::new(), Vec::new());
        for rows in segments.iter() {
            let mut sum = None;
            for row in rows {
                if directions.is_null(row)
                    || speeds.as_ref().is_some_and(|speed| speed.is_null(row))
                {
                    continue;
                }
                let degrees = directions.value(row);
                let speed = speeds.as_ref().map_or(1.0, |speeds| speeds.value(row));
                let known = whole.get(degrees as usize);
                let (sine, cosine) = match known {
                    Some(known) if degrees.fract() == 0.0 && degrees >= 0.0 => *known,
                    _ => degrees.to_radians().sin_cos(),
                };
                let (x, y, length) = sum.unwrap_or((0.0, 0.0, 0.0));
                sum = Some((x + speed * sine, y + speed * cosine, length + speed.abs()));
            }
            east.push(sum.map(|sum| sum.0));
            north.push(sum.map(|sum| sum.1));
            way.push(sum.map(|sum| sum.2));
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
    let directions = sums.map(|((east, north), way)| direction(east?, north?, way?));
    Arc::new(directions.collect::<Float64Array>())
}

/// The direction in degrees from north of a sum of wind vectors whose lengths add up to `way`; `None` in a
/// calm and where the winds cancel out, NaN where a wind is no number.
#[inline]
pub fn direction(east: f64, north: f64, way: f64) -> Option<f64> {
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

fn wide(column: &ArrayRef) -> Result<PrimitiveArray<Float64Type>> {
    Ok(cast(column, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
}
