//! The points of an answer, by column and place.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float64Type, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use barograph_lake::schema::{INGESTED_AT, KEY_COLUMN};
use barograph_lake::{Key, Timestamp};

use crate::cities::{CITY_KEY, Cities};
use crate::output::{header, printable};
use crate::{Error, Result};

/// Points that are held at most: beyond them a plot shows no more, and takes much longer.
const POINTS_MAX: usize = 2_000_000;

/// The line of a place.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Line {
    /// The place; empty if there is one line only.
    pub(super) name: String,
    /// In the order of time.
    pub(super) points: Vec<(Timestamp, f64)>,
}

/// The points of an answer so far.
#[derive(Debug)]
pub(super) struct Collected {
    time: usize,
    /// The column that tells places apart.
    place: Option<usize>,
    cities: Option<&'static Cities>,
    /// Columns of numbers, with their titles.
    values: Vec<(usize, String)>,
    /// By place: of each column of numbers its points.
    lines: BTreeMap<Place, Vec<Vec<(Timestamp, f64)>>>,
    points: usize,
}

/// A place, in the order in which places are shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Key(i64),
    Name(String),
}

impl Collected {
    /// Points of rows of `schema`.
    pub(super) fn new(schema: &SchemaRef, has_cities: bool, of_keys: bool) -> Result<Self> {
        let fields = || schema.fields().iter().enumerate();
        let is_time = |of: &DataType| {
            matches!(of, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64)
        };
        let time =
            fields().find(|(_, field)| is_time(field.data_type()) && field.name() != INGESTED_AT);
        let Some((time, _)) = time else {
            return Err(Error::usage("no plot: the answer has no column of times"));
        };
        let named = fields().find(|(_, of)| {
            matches!(of.data_type(), DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8)
        });
        let place = match of_keys || has_cities {
            true => Some(KEY_COLUMN),
            false => named.map(|(at, _)| at),
        };
        let numbers = fields().filter(|(at, of)| Some(*at) != place && of.data_type().is_numeric());
        let values: Vec<_> = numbers.map(|(at, of)| (at, header(of))).collect();
        if values.is_empty() {
            return Err(Error::usage("no plot: the answer has no column of numbers"));
        }
        let of_cities = schema.fields().get(KEY_COLUMN).is_some_and(|of| of.name() == CITY_KEY);
        let cities = (has_cities && of_cities).then(Cities::built_in).transpose()?;
        Ok(Self { time, place, cities, values, lines: BTreeMap::new(), points: 0 })
    }

    /// Takes rows.
    pub(super) fn take(&mut self, rows: &RecordBatch) -> Result<()> {
        self.points += rows.num_rows() * self.values.len();
        if self.points > POINTS_MAX {
            return Err(Error::usage(format!(
                "no plot: the answer has more than {POINTS_MAX} points: ask for windows, like --every 1h --agg mean, or for less"
            )));
        }
        let kind = DataType::Timestamp(TimeUnit::Microsecond, None);
        let times = cast(rows.column(self.time), &kind)?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let places = Places::new(self.place.map(|at| rows.column(at)))?;
        let number = |at: usize| cast(rows.column(at), &DataType::Float64);
        let columns: Vec<_> =
            self.values.iter().map(|(at, _)| number(*at)).collect::<Result<_, _>>()?;
        for row in (0..rows.num_rows()).filter(|row| times.is_valid(*row)) {
            let time = Timestamp::from_micros(times.value(row));
            let lines = self.lines.entry(places.of(row)).or_default();
            lines.resize_with(columns.len(), Vec::new);
            for (points, column) in lines.iter_mut().zip(&columns) {
                let column = column.as_primitive::<Float64Type>();
                if column.is_valid(row) && column.value(row).is_finite() {
                    points.push((time, column.value(row)));
                }
            }
        }
        Ok(())
    }

    /// The first and the last instant; none if there are no points.
    pub(super) fn times(&self) -> Option<(Timestamp, Timestamp)> {
        let points = || self.lines.values().flatten().flatten().map(|(time, _)| *time);
        points().min().zip(points().max())
    }

    /// Of each column its title and lines.
    pub(super) fn charts(self) -> Vec<(String, Vec<Line>)> {
        let Self { cities, values, lines, .. } = self;
        let mut charts: Vec<_> = values.into_iter().map(|(_, title)| (title, Vec::new())).collect();
        for (place, columns) in lines {
            let name = match place {
                Place::Key(key) => match cities.and_then(|cities| cities.get(Key::new(key))) {
                    Some(city) => format!("{}, {}", city.name, city.country),
                    None => key.to_string(),
                },
                Place::Name(name) => printable(name),
            };
            for ((_, lines), mut points) in charts.iter_mut().zip(columns) {
                if !points.is_empty() {
                    points.sort_by_key(|(time, _)| *time);
                    lines.push(Line { name: name.clone(), points });
                }
            }
        }
        charts.retain(|(_, lines)| !lines.is_empty());
        charts
    }
}

/// The places of rows.
enum Places {
    None,
    Keys(ArrayRef),
    Names(ArrayRef),
}

impl Places {
    fn new(column: Option<&ArrayRef>) -> Result<Self> {
        Ok(match column {
            None => Self::None,
            Some(column) if column.data_type().is_integer() => {
                Self::Keys(cast(column, &DataType::Int64)?)
            }
            Some(column) => Self::Names(cast(column, &DataType::Utf8)?),
        })
    }

    fn of(&self, row: usize) -> Place {
        match self {
            Self::None => Place::Name(String::new()),
            Self::Keys(keys) => Place::Key(keys.as_primitive::<Int64Type>().value(row)),
            Self::Names(names) => Place::Name(names.as_string::<i32>().value(row).to_owned()),
        }
    }
}
