//! The settings of the quality checks: which quantities are checked, and how strictly.

use barograph_jobs::quality::{Check, Checks, Height};
use barograph_lake::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Fall of temperature with height in the standard atmosphere, K/m (ICAO Doc 7488).
const LAPSE: f64 = 0.0065;
/// Height over which pressure falls to 1/e at 288.15 K, m.
const SCALE_HEIGHT: f64 = 8_434.0;

/// The job `quality`: what makes a reading doubtful. Columns that the table does not have are not checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QualitySettings {
    /// Table whose readings are checked.
    pub of: String,
    /// Longest time between a reading and the earlier one that it is compared with.
    pub step_within: Span,
    /// Period over which a value has to vary.
    pub persistence_over: Span,
    /// Largest distance of a neighbour, in km.
    pub neighbours_within_km: f64,
    /// Number of nearest neighbours that a reading is compared with.
    pub neighbours_max: usize,
    /// Fewest neighbours with readings in the hour; with fewer, a reading is not compared.
    pub neighbours_min: usize,
    /// The column `temperature`, in °C.
    pub temperature: Thresholds,
    /// The column `humidity`, in %.
    pub humidity: Thresholds,
    /// The column `pressure`, in hPa. Neighbours are compared where the elevations of both sites are known.
    pub pressure: Thresholds,
    /// The column `wind_speed`, in m/s.
    pub wind_speed: Thresholds,
}

/// When a reading of a column is doubtful, in the unit of the column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// Flags a reading that differs by more than this from the last reading that did not jump; 0 disables the check.
    pub step: f64,
    /// Flags a reading when all readings of `persistence_over` vary by less than this; 0 disables the check.
    pub persistence: f64,
    /// Flags a reading that differs by more than this from the median of its neighbours; 0 disables the check.
    pub neighbour: f64,
}

impl Thresholds {
    fn of(step: f64, persistence: f64, neighbour: f64) -> Self {
        Self { step, persistence, neighbour }
    }
}

impl Default for QualitySettings {
    fn default() -> Self {
        Self {
            of: super::tables::READINGS.to_owned(),
            step_within: Span::seconds(300),
            persistence_over: Span::seconds(3_600),
            neighbours_within_km: 100.0,
            neighbours_max: 8,
            neighbours_min: 3,
            temperature: Thresholds::of(3.0, 0.1, 8.0),
            humidity: Thresholds::of(10.0, 1.0, 40.0),
            pressure: Thresholds::of(0.5, 0.1, 8.0),
            wind_speed: Thresholds::of(20.0, 0.5, 0.0),
        }
    }
}

impl QualitySettings {
    /// The checks, checked.
    pub(crate) fn checks(&self) -> Result<Checks> {
        let columns = [
            ("temperature", self.temperature, Height::Falls(LAPSE)),
            ("humidity", self.humidity, Height::Level),
            ("pressure", self.pressure, Height::Decays(SCALE_HEIGHT)),
            ("wind_speed", self.wind_speed, Height::Level),
        ];
        for (name, of, _) in &columns {
            for (what, value) in
                [("step", of.step), ("persistence", of.persistence), ("neighbour", of.neighbour)]
            {
                if !(value >= 0.0 && value.is_finite()) {
                    return Err(Error::usage(format!(
                        "quality.{name}.{what}: write a number of 0 or more"
                    )));
                }
            }
        }
        if !(self.neighbours_within_km >= 0.0 && self.neighbours_within_km.is_finite()) {
            return Err(Error::usage("quality.neighbours_within_km: write a number of 0 or more"));
        }
        if self.neighbours_min > self.neighbours_max {
            return Err(Error::usage(format!(
                "quality.neighbours_min {}: write no more than quality.neighbours_max, {}",
                self.neighbours_min, self.neighbours_max
            )));
        }
        let checked = |value: f64| Some(value).filter(|value| *value > 0.0);
        let columns = columns.map(|(name, of, height)| Check {
            column: name.to_owned(),
            step: checked(of.step),
            persistence: checked(of.persistence),
            neighbour: checked(of.neighbour),
            height,
        });
        Ok(Checks {
            step_within: self.step_within,
            persistence_over: self.persistence_over,
            near_km: self.neighbours_within_km,
            near_most: self.neighbours_max,
            near_least: self.neighbours_min,
            columns: columns.to_vec(),
        })
    }
}
