//! The reference of metrics: the page `docs/metrics.md`, and the list that the tests hold the server's answers to.

use std::fmt::Write as _;

use super::family::Family;

/// The reference page of `families`.
pub fn page<'a>(families: impl IntoIterator<Item = &'a Family>) -> String {
    let mut text = String::from(HEAD);
    for family in families {
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            family.query_name(),
            family.type_name(),
            labels.join(", "),
            family.help.replace('|', "\\|"),
        );
    }
    text
}

const HEAD: &str = "\
# Metrics

<!-- Written by `barograph config --metrics` from the code; a test holds the two together. -->

`GET /metrics` on the server's port answers with these, as OpenMetrics, or in the text format of Prometheus if `Accept` prefers `text/plain`.
Counters begin at 0 when the server starts; those of the engine also when columns are altered. A histogram has `_bucket`, `_sum` and
`_count`. Labels have few values: `table` and `job` are names from the settings, `level` is `memory`, `disk` or
`replicated`; neither keys nor users are among them. [operations.md](operations.md#metrics-and-alerts) says what to watch, and
`ops/` holds alert rules and a dashboard.

| metric | type | labels | meaning |
|---|---|---|---|
";

/// One line a family: its name in OpenMetrics, type, unit, labels and help, with tabs between them.
pub fn golden<'a>(families: impl IntoIterator<Item = &'a Family>) -> String {
    let mut text = String::new();
    for family in families {
        let fields = [
            family.name,
            family.type_name(),
            family.unit.unwrap_or_default(),
            &family.labels.join(","),
            family.help,
        ];
        let _ = writeln!(text, "{}", fields.join("\t"));
    }
    text
}
