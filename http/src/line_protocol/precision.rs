//! The unit of times in lines, as each version of InfluxDB names it.

use barograph_flight::{Error, Result};

/// A unit of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Nanos,
    /// A whole number of µs.
    Micros(i64),
    /// By the size of each number.
    Auto,
}

/// The names of units, by all versions.
const UNITS: [(&str, Unit); 16] = [
    ("n", Unit::Nanos),
    ("ns", Unit::Nanos),
    ("nanosecond", Unit::Nanos),
    ("u", Unit::Micros(1)),
    ("us", Unit::Micros(1)),
    ("µ", Unit::Micros(1)),
    ("microsecond", Unit::Micros(1)),
    ("ms", Unit::Micros(1_000)),
    ("millisecond", Unit::Micros(1_000)),
    ("s", Unit::Micros(1_000_000)),
    ("second", Unit::Micros(1_000_000)),
    ("m", Unit::Micros(60_000_000)),
    ("minute", Unit::Micros(60_000_000)),
    ("h", Unit::Micros(3_600_000_000)),
    ("hour", Unit::Micros(3_600_000_000)),
    ("auto", Unit::Auto),
];

impl Unit {
    /// The unit of a name; `otherwise` if there is none.
    pub(super) fn named(name: Option<&str>, otherwise: Self) -> Result<Self> {
        let Some(name) = name else { return Ok(otherwise) };
        let unit = UNITS.iter().find(|(of, _)| *of == name).map(|(_, unit)| *unit);
        unit.ok_or_else(|| {
            let names: Vec<_> = UNITS.iter().map(|(name, _)| *name).collect();
            Error::request(format!(
                "parameter \"precision\" is {name:?}: there are {}",
                names.join(", ")
            ))
        })
    }

    /// An instant in µs; what is finer is cut off.
    pub(super) fn micros(self, time: i64) -> Option<i64> {
        match self {
            Self::Nanos => Some(time.div_euclid(1_000)),
            Self::Micros(unit) => time.checked_mul(unit),
            // As InfluxDB 3 decides: seconds up to the year 2128, and so on.
            Self::Auto => match time.unsigned_abs() {
                0..5_000_000_000 => time.checked_mul(1_000_000),
                5_000_000_000..5_000_000_000_000 => time.checked_mul(1_000),
                5_000_000_000_000..5_000_000_000_000_000 => Some(time),
                _ => Some(time.div_euclid(1_000)),
            },
        }
    }
}
