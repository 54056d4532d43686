//! Variables: what Open-Meteo calls columns of the table, and what is computed of them in a section.

use barograph_flight::{Error, Result};
use barograph_lake::TableSchema;

use super::units::{Unit, Units};
use crate::OpenMeteoSettings;

/// A variable that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Variable {
    /// As it was asked for.
    pub(super) name: String,
    /// Column of the table.
    pub(super) column: String,
    pub(super) unit: Unit,
    pub(super) value: Of,
}

/// What of the readings of a window a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// The first reading: that at the beginning of the window.
    First,
    /// The sum of the window before: amounts are those of the time that has passed.
    SumBefore,
    Sum,
    Mean,
    Min,
    Max,
}

/// How often a section has values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Current,
    Minutely15,
    Hourly,
    Daily,
}

impl Step {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Minutely15 => "minutely_15",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
        }
    }

    pub(super) fn seconds(self) -> i64 {
        match self {
            Self::Current | Self::Minutely15 => 900,
            Self::Hourly => 3_600,
            Self::Daily => 86_400,
        }
    }
}

/// What ends the names of daily variables.
const DAILY: [(&str, Of); 4] =
    [("_max", Of::Max), ("_min", Of::Min), ("_mean", Of::Mean), ("_sum", Of::Sum)];

impl Variable {
    /// The variable of a name in a section.
    pub(super) fn named(
        name: &str,
        step: Step,
        table: &TableSchema,
        settings: &OpenMeteoSettings,
        units: Units,
    ) -> Result<Self> {
        let unknown = |of: &str| {
            let names: Vec<_> = settings.variables.keys().map(String::as_str).collect();
            Error::request(format!(
                "'{}' has the variable '{name}', which is not observed here: there are {}{of}",
                step.name(),
                names.join(", ")
            ))
        };
        let (base, daily) = match step {
            Step::Daily => {
                let found = DAILY.iter().find_map(|(end, of)| Some((name.strip_suffix(end)?, *of)));
                let (base, of) =
                    found.ok_or_else(|| unknown(", each with _max, _min, _mean or _sum"))?;
                (base, Some(of))
            }
            _ => (name, None),
        };
        let column = settings.variables.get(base).ok_or_else(|| unknown(""))?;
        let values = table.values().iter();
        let found = values.filter(|of| of.name == *column).find(|of| of.value_type.is_number());
        let found = found.ok_or_else(|| unknown(""))?;
        let is_amount = found.unit.as_deref() == Some("mm");
        let value = match daily {
            Some(of) => of,
            None if is_amount => Of::SumBefore,
            None => Of::First,
        };
        let unit = units.of(found.unit.as_deref());
        Ok(Self { name: name.to_owned(), column: column.clone(), unit, value })
    }
}
