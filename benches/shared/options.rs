//! The options of a run: which rows are measured, and for how long.

use std::time::Duration;

use crate::store::Kind;

const ROWS: [&str; 8] = ["ack", "folder", "seen", "takeover", "latest", "restart", "cold", "demo"];

/// See the module.
#[derive(Debug)]
pub(crate) struct Options {
    rows: Vec<String>,
    /// How long rates are measured.
    pub(crate) length: Duration,
    /// How often what is measured in turns is.
    pub(crate) rounds: usize,
    /// How often the leader is killed.
    pub(crate) kills: usize,
    /// Hours of the demonstration.
    pub(crate) hours: usize,
    /// Cities of the demonstration.
    pub(crate) cities: usize,
    /// Batches whose way to another server is timed, for each place.
    pub(crate) seen: usize,
    /// Batches over which a server starts.
    pub(crate) minutes: usize,
    /// Which store is started; the best one that is installed if absent.
    pub(crate) store: Option<Kind>,
}

impl Options {
    pub(crate) fn of(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut options = Self {
            rows: Vec::new(),
            length: Duration::from_secs(10),
            rounds: 5,
            kills: 50,
            hours: 24,
            cities: 15_000,
            seen: 240,
            minutes: 60,
            store: None,
        };
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().unwrap_or_else(|| panic!("{argument} has no value"));
            match argument.as_str() {
                // Of cargo.
                "--bench" => {}
                "--smoke" => options.make_small(),
                "--seconds" => options.length = Duration::from_secs(value().parse().unwrap()),
                "--rounds" => options.rounds = value().parse().unwrap(),
                "--kills" => options.kills = value().parse().unwrap(),
                "--hours" => options.hours = value().parse().unwrap(),
                "--cities" => options.cities = value().parse().unwrap(),
                "--store" => options.store = Some(Kind::of(&value())),
                row if ROWS.contains(&row) => options.rows.push(row.to_owned()),
                other => {
                    panic!("{other}: give rows of {ROWS:?}, or options as benches/shared.rs says")
                }
            }
        }
        options
    }

    /// Just enough to see that everything works.
    fn make_small(&mut self) {
        self.length = Duration::from_secs(2);
        (self.rounds, self.kills, self.seen, self.minutes) = (1, 2, 6, 4);
        (self.hours, self.cities) = (3, 200);
    }

    pub(crate) fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|it| it == row)
    }
}
