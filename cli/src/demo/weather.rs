//! The simulated weather that a station measures at an instant: plausible, and a pure function of seed, station and
//! instant.
//!
//! ```text
//! station ──► climate (latitude, height) ┐
//! instant ──► season, local solar time   ├─► anchors at the hour's two ends ─► between them, linear
//! both    ──► fronts: waves on a sphere  ┘   (slow: once per station and hour)  + noise, quantised
//! ```
//!
//! Fronts are waves over the sphere, so that near stations (which mostly have near GeoNames ids)
//! measure similar weather; wind follows the pressure gradient, rain falls where it is humid and low.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, Int16Array, Int32Array, RecordBatch, TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use barograph_lake::time::MICROS_PER_HOUR;
use barograph_lake::{Hour, Span, Timestamp};

use super::climate::{Climate, Conditions, Site};
use super::noise::{mix, share, signed};
use crate::Result;
use crate::cities::City;

/// Value columns of a reading.
const SENSORS: usize = 6;
/// One of so many sensors is silent in an hour.
const SILENT_ONE_IN: u64 = 100;
/// One of so many stations measures nonsense once in an hour, beside the one that each hour has in any case.
const BROKEN_ONE_IN: u64 = 5_000;

/// The weather of a set of stations.
#[derive(Debug)]
pub struct Weather {
    seed: u64,
    climate: Climate,
    sites: Vec<Site>,
    schema: SchemaRef,
}

/// The delivery of a station's readings of one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// They come minute by minute.
    Prompt,
    /// They come minute by minute, each of them once more a minute later.
    Repeated,
    /// They come all together, one to three hours later.
    Late {
        /// How many hours later.
        hours: u8,
    },
    /// They never come: the station is down.
    Missing,
}

/// The weather of some stations in one hour, ready to be read off at any instant of it.
#[derive(Debug)]
pub(crate) struct Stations {
    seed: u64,
    hour: Hour,
    schema: SchemaRef,
    keys: Arc<Int32Array>,
    start: Vec<Conditions>,
    change: Vec<Conditions>,
    /// Which sensors speak, one mask for each value column.
    silent: [Option<NullBuffer>; SENSORS],
}

impl Weather {
    /// The weather that `seed` makes for `cities`, which are ascending by id.
    pub fn new(seed: u64, cities: &[City]) -> Self {
        let climate = Climate::new(seed);
        let sites = cities.iter().map(|city| climate.site(city)).collect();
        let number = |name: &str| Field::new(name, DataType::Float32, true);
        let schema = Arc::new(Schema::new(vec![
            Field::new("city_id", DataType::Int32, false),
            Field::new(
                "reading_at",
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                false,
            ),
            number("temperature"),
            number("humidity"),
            number("pressure"),
            number("wind_speed"),
            Field::new("wind_direction", DataType::Int16, true),
            number("precipitation"),
        ]));
        Self { seed, climate, sites, schema }
    }

    /// Columns of every batch: those of `readings` without `ingested_at`.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Number of stations.
    pub(crate) fn stations(&self) -> usize {
        self.sites.len()
    }

    /// Height of station `id` above the sea in metres.
    #[cfg(test)]
    pub fn elevation(&self, id: i32) -> Option<f32> {
        self.sites.iter().find(|site| site.id == id).map(Site::elevation)
    }

    /// The delivery of the readings of station `id` in `hour`.
    pub(crate) fn delivery(&self, id: i32, hour: Hour) -> Delivery {
        let draw = self.draw(id, hour);
        match draw % 1_000 {
            0 => Delivery::Missing,
            1..=3 => Delivery::Late { hours: (draw % 1_000) as u8 },
            4..=8 => Delivery::Repeated,
            _ => Delivery::Prompt,
        }
    }

    /// Whether station `id` measures nonsense once in `hour`. One station does in every hour, so that few stations over
    /// few hours have dead letters to look at, too.
    pub(crate) fn is_broken(&self, id: i32, hour: Hour) -> bool {
        (self.draw(id, hour) / 1_000).is_multiple_of(BROKEN_ONE_IN)
            || self.always_broken(hour) == Some(id)
    }

    /// The station that measures nonsense in `hour` however few there are.
    fn always_broken(&self, hour: Hour) -> Option<i32> {
        let draw = mix(self.seed ^ mix(hour.start().as_micros() as u64));
        let place = draw.checked_rem(self.sites.len() as u64)?;
        self.sites.get(place as usize).map(|site| site.id)
    }

    /// Number of stations whose id is wanted.
    pub(crate) fn count(&self, wanted: impl Fn(i32) -> bool) -> u64 {
        self.sites.iter().filter(|site| wanted(site.id)).count() as u64
    }

    /// The stations whose id is wanted, prepared for `hour`.
    pub(crate) fn stations_in(&self, hour: Hour, wanted: impl Fn(i32) -> bool) -> Stations {
        let sites: Vec<&Site> = self.sites.iter().filter(|site| wanted(site.id)).collect();
        let (start, end) = (self.climate.at(hour.start()), self.climate.at(hour.end()));
        let start: Vec<_> = sites.iter().map(|site| start.conditions(site)).collect();
        let change = sites
            .iter()
            .zip(&start)
            .map(|(site, start)| start.change_to(&end.conditions(site)))
            .collect();
        let silent = std::array::from_fn(|sensor| {
            let speaks = BooleanBuffer::collect_bool(sites.len(), |i| {
                let draw = sites.get(i).map_or(1, |site| self.draw(site.id, hour));
                !mix(draw ^ (sensor as u64 + 1)).is_multiple_of(SILENT_ONE_IN)
            });
            Some(NullBuffer::new(speaks)).filter(|speaks| speaks.null_count() > 0)
        });
        Stations {
            seed: self.seed,
            hour,
            schema: Arc::clone(&self.schema),
            keys: Arc::new(sites.iter().map(|site| site.id).collect()),
            start,
            change,
            silent,
        }
    }

    /// Readings of every station at `at`, none late or missing, ascending by id. For many instants of
    /// one hour take [`Weather::hour_batches`], which prepares the hour once.
    pub fn minute_batch(&self, at: Timestamp) -> Result<RecordBatch> {
        let hour = Hour::of(at).ok_or_else(|| {
            crate::Error::usage(format!("weather at {} µs: no such date", at.as_micros()))
        })?;
        self.stations_in(hour, |_| true).batch(at)
    }

    /// Readings of every station at each of the 60 minutes of `hour`, none late or missing.
    pub fn hour_batches(&self, hour: Hour) -> impl Iterator<Item = Result<RecordBatch>> + use<> {
        let stations = self.stations_in(hour, |_| true);
        (0..60).map(move |minute| stations.batch(hour.start() + minute * Span::MINUTE))
    }

    fn draw(&self, id: i32, hour: Hour) -> u64 {
        mix(self.seed ^ mix(id as u64 ^ (hour.start().as_micros() as u64).rotate_left(24)))
    }
}

impl Stations {
    /// Number of stations.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their readings at an instant of the hour, ascending by id.
    pub(crate) fn batch(&self, at: Timestamp) -> Result<RecordBatch> {
        let fraction = at.since(self.hour.start()).micros() as f32 / MICROS_PER_HOUR as f32;
        let rows = self.len();
        let instant = mix(self.seed ^ at.as_micros() as u64);
        let draws: Vec<u64> =
            self.keys.values().iter().map(|&id| mix(instant ^ id as u64)).collect();
        let tenths = |value: f32| (value * 10.0).round_ties_even() / 10.0;
        let temperature = self.column(&draws, |s, c, draw| {
            tenths(s.temperature + c.temperature * fraction + 0.3 * signed(draw, 0))
        });
        let humidity = self.column(&draws, |s, c, draw| {
            tenths((s.humidity + c.humidity * fraction + 0.8 * signed(draw, 1)).clamp(2.0, 100.0))
        });
        let pressure = self.column(&draws, |s, c, draw| {
            tenths(s.pressure + c.pressure * fraction + 0.12 * signed(draw, 2))
        });
        let wind_speed = self.column(&draws, |s, c, draw| {
            let mean = s.wind_speed + c.wind_speed * fraction;
            tenths((mean * (1.0 + 0.35 * signed(draw, 3))).clamp(0.0, 110.0))
        });
        let wind_direction: Vec<i16> = self
            .start
            .iter()
            .zip(&self.change)
            .zip(&draws)
            .map(|((s, c), &draw)| {
                let degrees =
                    s.wind_direction + c.wind_direction * fraction + 9.0 * signed(draw, 4);
                (degrees.round_ties_even() as i16).rem_euclid(360)
            })
            .collect();
        // A tipping bucket: the rain of a minute is less than it measures, so it tips now and then.
        let precipitation = self.column(&draws, |s, c, draw| {
            let tips = ((s.rain + c.rain * fraction) / 60.0 * 10.0).max(0.0);
            (tips + share(draw, 5)).floor() / 10.0
        });

        let silent = |sensor: usize| self.silent.get(sensor).cloned().flatten();
        let times =
            TimestampMicrosecondArray::from_value(at.as_micros(), rows).with_timezone("UTC");
        let number = |values: Vec<f32>, sensor: usize| -> ArrayRef {
            Arc::new(Float32Array::new(values.into(), silent(sensor)))
        };
        Ok(RecordBatch::try_new(
            Arc::clone(&self.schema),
            vec![
                Arc::clone(&self.keys) as ArrayRef,
                Arc::new(times),
                number(temperature, 0),
                number(humidity, 1),
                number(pressure, 2),
                number(wind_speed, 3),
                Arc::new(Int16Array::new(wind_direction.into(), silent(4))),
                number(precipitation, 5),
            ],
        )?)
    }

    fn column(
        &self,
        draws: &[u64],
        reading: impl Fn(&Conditions, &Conditions, u64) -> f32,
    ) -> Vec<f32> {
        let stations = self.start.iter().zip(&self.change).zip(draws);
        stations.map(|((start, change), &draw)| reading(start, change, draw)).collect()
    }
}

#[cfg(test)]
#[path = "weather/tests.rs"]
mod tests;
