//! The figures: what two scrapes of one server say of the time between them.

use std::time::Duration;

use super::exposition::{Scrape, get};

/// Two scrapes, and the time between them.
#[derive(Debug)]
pub(super) struct Figures<'a> {
    before: &'a Scrape,
    now: &'a Scrape,
    seconds: f64,
}

/// The figures of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TableFigures {
    pub(super) name: String,
    pub(super) rows_per_second: f64,
    pub(super) tail_rows: f64,
    pub(super) tail_bytes: f64,
    pub(super) lake_rows: f64,
    pub(super) lake_bytes: f64,
    pub(super) lake_files: f64,
    /// Seconds since the newest reading; none if there is none.
    pub(super) age: Option<f64>,
}

/// How many were done, and how long they took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Timing {
    pub(super) per_second: f64,
    /// Seconds that half of them, and 99 of 100, took at most; none if there were none.
    pub(super) half: Option<f64>,
    pub(super) most: Option<f64>,
}

impl<'a> Figures<'a> {
    pub(super) fn new(before: &'a Scrape, now: &'a Scrape, between: Duration) -> Self {
        Self { before, now, seconds: between.as_secs_f64().max(1e-3) }
    }

    /// The present value of a gauge.
    pub(super) fn gauge(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.now.sum(name, labels)
    }

    /// The present value of a gauge that may be absent.
    pub(super) fn maybe(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.now.of(name, labels).map(|(_, value)| value).reduce(f64::max)
    }

    /// By how much a counter has grown a second. One that has begun anew has grown from 0.
    pub(super) fn rate(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        grown(self.before.sum(name, labels), self.now.sum(name, labels)) / self.seconds
    }

    /// What a histogram says of the time between the scrapes.
    pub(super) fn timing(&self, name: &str, labels: &[(&str, &str)]) -> Timing {
        let before = self.before.buckets(name, labels);
        let earlier = |bound: f64| {
            let same = before.iter().find(|(own, _)| *own == bound);
            same.map_or(0.0, |(_, count)| *count)
        };
        let buckets = self.now.buckets(name, labels).into_iter();
        let buckets: Vec<_> =
            buckets.map(|(bound, count)| (bound, grown(earlier(bound), count))).collect();
        let all = buckets.last().map_or(0.0, |(_, count)| *count);
        Timing {
            per_second: all / self.seconds,
            half: quantile(&buckets, 0.5),
            most: quantile(&buckets, 0.99),
        }
    }

    /// The values of a label in the samples of a name.
    pub(super) fn values(&self, name: &str, label: &str) -> Vec<String> {
        self.now.values(name, label)
    }

    /// The version of the server.
    pub(super) fn version(&self) -> String {
        let info = ["barograph_build_info", "barograph_build"];
        let labels = info.iter().find_map(|name| self.now.of(name, &[]).next());
        labels.and_then(|(labels, _)| get(labels, "version")).unwrap_or("?").to_owned()
    }

    /// The figures of all tables.
    pub(super) fn tables(&self) -> Vec<TableFigures> {
        let names = self.now.values("barograph_lake_rows", "table").into_iter();
        names
            .map(|name| {
                let of = [("table", name.as_str())];
                TableFigures {
                    rows_per_second: self.rate("barograph_put_rows_total", &of),
                    tail_rows: self.gauge("barograph_tail_rows", &of),
                    tail_bytes: self.gauge("barograph_tail_bytes", &of),
                    lake_rows: self.gauge("barograph_lake_rows", &of),
                    lake_bytes: self.gauge("barograph_lake_bytes", &of),
                    lake_files: self.gauge("barograph_lake_files", &of),
                    age: self.maybe("barograph_table_reading_age_seconds", &of),
                    name: name.clone(),
                }
            })
            .collect()
    }
}

fn grown(before: f64, now: f64) -> f64 {
    if now < before { now } else { now - before }
}

/// The bound below which this part of the counts lies.
fn quantile(buckets: &[(f64, f64)], part: f64) -> Option<f64> {
    let (_, all) = *buckets.last()?;
    let found = buckets.iter().find(|(_, count)| *count >= all * part && all > 0.0)?;
    let largest = buckets.iter().rev().map(|(bound, _)| *bound).find(|bound| bound.is_finite());
    // Beyond the last bound nothing more is known.
    Some(if found.0.is_finite() { found.0 } else { largest.unwrap_or(f64::INFINITY) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_time_between() {
        let before = Scrape::read("a_total{table=\"x\"} 10\nb_total 100\n");
        let now = Scrape::read("a_total{table=\"x\"} 30\nb_total 8\n");
        let figures = Figures::new(&before, &now, Duration::from_secs(4));
        assert_eq!(figures.rate("a_total", &[]), 5.0);
        assert_eq!(figures.rate("b_total", &[]), 2.0, "a server that has begun anew");
        assert_eq!(figures.maybe("c", &[]), None);
    }

    #[test]
    fn quantiles_are_those_of_the_time_between() {
        let before = Scrape::read(
            "c_bucket{le=\"1\"} 50\nc_bucket{le=\"2\"} 50\nc_bucket{le=\"+Inf\"} 50\n",
        );
        let now = Scrape::read(
            "c_bucket{le=\"1\"} 51\nc_bucket{le=\"2\"} 58\nc_bucket{le=\"+Inf\"} 60\n",
        );
        let timing = Figures::new(&before, &now, Duration::from_secs(5)).timing("c", &[]);
        assert_eq!(timing, Timing { per_second: 2.0, half: Some(2.0), most: Some(2.0) });
        let timing = Figures::new(&now, &now, Duration::from_secs(5)).timing("c", &[]);
        assert_eq!(timing, Timing { per_second: 0.0, half: None, most: None });
    }
}
