//! The table of results: figure, limit and ratio of each row, as `docs/benchmarks.md` has them.

use std::time::Duration;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<[String; 6]>);

/// What is demanded of a figure.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bar {
    AtMost(f64),
    AtLeast(f64),
}

/// Times of one thing, sorted.
#[derive(Debug)]
pub(crate) struct Times(Vec<Duration>);

impl Table {
    /// Adds a row whose `measured` (a ratio, or a number of `unit`) is held to a bar.
    pub(crate) fn add(
        &mut self,
        what: &str,
        figure: String,
        limit: String,
        (measured, unit): (f64, &str),
        bar: Bar,
    ) {
        let (is_met, bar) = match bar {
            Bar::AtMost(most) => (measured <= most, format!("≤ {most}{unit}")),
            Bar::AtLeast(least) => (measured >= least, format!("≥ {least}{unit}")),
        };
        let is_met = if is_met { "yes" } else { "no" };
        let row = [
            what.to_owned(),
            figure,
            limit,
            format!("{measured:.2}{unit}"),
            bar,
            is_met.to_owned(),
        ];
        println!("  {}", row.join(" | "));
        self.0.push(row);
    }

    pub(crate) fn print(&self) {
        println!(
            "\n| what | figure | limit | ratio or value | bar | met |\n|---|---|---|---|---|---|"
        );
        for row in &self.0 {
            println!("| {} |", row.join(" | "));
        }
    }
}

impl Times {
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The one below which a share of them lies, in ms.
    pub(crate) fn at(&self, share: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * share).ceil() as usize].as_secs_f64() * 1e3
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| self.at(share));
        write!(f, "p50 {p50:.1}, p99 {p99:.1}, largest {max:.1} ms of {}", self.0.len())
    }
}

/// Median, smallest and largest of figures.
pub(crate) fn spread(mut figures: Vec<f64>) -> [f64; 3] {
    figures.sort_by(f64::total_cmp);
    [figures[figures.len() / 2], figures[0], figures[figures.len() - 1]]
}
