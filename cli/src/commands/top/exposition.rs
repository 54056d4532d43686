//! A scrape: the samples of `GET /metrics` in the text format of Prometheus, added up by name and labels.

use std::collections::HashMap;

/// Labels of a sample with their values.
type Labels = Vec<(String, String)>;

/// The samples of a scrape by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Scrape(HashMap<String, Vec<(Labels, f64)>>);

impl Scrape {
    /// Reads the text of a scrape. Lines that cannot be read are passed over: a server may know more than this program.
    pub(super) fn read(text: &str) -> Self {
        let mut samples: HashMap<String, Vec<_>> = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, labels, value)) = sample(line) {
                samples.entry(name.to_owned()).or_default().push((labels, value));
            }
        }
        Self(samples)
    }

    /// The sum of the samples of a name that have these labels.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.of(name, labels).map(|(_, value)| value).sum()
    }

    /// The samples of a name that have these labels.
    pub(super) fn of<'a>(
        &'a self,
        name: &str,
        labels: &'a [(&str, &str)],
    ) -> impl Iterator<Item = (&'a Labels, f64)> {
        let has = |of: &Labels, (label, value): &(&str, &str)| {
            of.iter().any(|(name, is)| name == label && is == value)
        };
        let samples = self.0.get(name).into_iter().flatten();
        samples
            .filter(move |(of, _)| labels.iter().all(|label| has(of, label)))
            .map(|(labels, value)| (labels, *value))
    }

    /// The values that a label has in the samples of a name, in their order.
    pub(super) fn values(&self, name: &str, label: &str) -> Vec<String> {
        let mut values: Vec<_> = self.of(name, &[]).filter_map(|(of, _)| get(of, label)).collect();
        values.sort_unstable();
        values.dedup();
        values.into_iter().map(str::to_owned).collect()
    }

    /// The buckets of a histogram, of all samples with these labels together: bounds with the counts up to them.
    pub(super) fn buckets(&self, name: &str, labels: &[(&str, &str)]) -> Vec<(f64, f64)> {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for (of, count) in self.of(&format!("{name}_bucket"), labels) {
            let Some(bound) = get(of, "le").and_then(number) else { continue };
            match buckets.iter_mut().find(|(own, _)| *own == bound) {
                Some((_, all)) => *all += count,
                None => buckets.push((bound, count)),
            }
        }
        buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        buckets
    }
}

/// The value of a label.
pub(super) fn get<'a>(labels: &'a [(String, String)], label: &str) -> Option<&'a str> {
    labels.iter().find(|(name, _)| name == label).map(|(_, value)| value.as_str())
}

fn sample(line: &str) -> Option<(&str, Labels, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at_checked(end)?;
    let mut labels = Vec::new();
    let mut rest = rest;
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            inside = inside.trim_start_matches([',', ' ']);
            if let Some(after) = inside.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, quoted) = inside.split_once("=\"")?;
            let (value, after) = text(quoted)?;
            labels.push((label.to_owned(), value));
            inside = after;
        }
    }
    let value = rest.split_whitespace().next().and_then(number)?;
    Some((name, labels, value))
}

/// A text up to its closing quote, and what follows.
fn text(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, quoted.get(at + 1..)?)),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const TEXT: &str = "# HELP a What it is.\n# TYPE a counter\n\
        a_total{table=\"readings\",kind=\"x\"} 7\na_total{table=\"tides\",kind=\"x\"} 5\n\
        b 1.5e3\nodd{name=\"a\\\"},\\\\ \\n\"} -1\n\
        c_bucket{level=\"disk\",le=\"0.1\"} 1\nc_bucket{level=\"disk\",le=\"+Inf\"} 3\n\
        c_bucket{level=\"memory\",le=\"0.1\"} 10\nc_bucket{level=\"memory\",le=\"+Inf\"} 10\n\
        broken{ 1\nworse\n{} x\n";

    #[test]
    fn samples_are_found_by_name_and_labels() {
        let scrape = Scrape::read(TEXT);
        assert_eq!(scrape.sum("a_total", &[]), 12.0);
        assert_eq!(scrape.sum("a_total", &[("kind", "x"), ("table", "tides")]), 5.0);
        assert_eq!(scrape.sum("a_total", &[("table", "waves")]), 0.0);
        assert_eq!(scrape.sum("b", &[]), 1_500.0);
        assert_eq!(scrape.values("a_total", "table"), ["readings", "tides"]);
        assert_eq!(scrape.values("odd", "name"), ["a\"},\\ \n"]);
        assert_eq!(scrape.values("nothing", "name"), [""; 0]);
    }

    #[test]
    fn buckets_of_several_samples_are_added_up() {
        let scrape = Scrape::read(TEXT);
        assert_eq!(scrape.buckets("c", &[]), [(0.1, 11.0), (f64::INFINITY, 13.0)]);
        assert_eq!(scrape.buckets("c", &[("level", "disk")]), [(0.1, 1.0), (f64::INFINITY, 3.0)]);
    }
}
