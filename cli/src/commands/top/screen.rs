//! The screen: figures and lists as lines of text, the same for a terminal and for pipes.

use std::time::Duration;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::figures::{Figures, TableFigures, Timing};
use super::lists::{JOBS, List, Lists, MEMBERS, STATEMENTS};
use crate::figures::{bytes, duration, grouped};
use crate::output::printable;

/// Width of the names at the left.
const NAMES: usize = 16;
/// What stands where nothing is known.
const NOTHING: &str = "–";

/// By what tables are sorted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Sort {
    #[default]
    Rate,
    Name,
    Tail,
    Lake,
    Age,
}

impl Sort {
    /// The next, and after the last the first.
    pub(super) fn next(self) -> Self {
        match self {
            Self::Rate => Self::Name,
            Self::Name => Self::Tail,
            Self::Tail => Self::Lake,
            Self::Lake => Self::Age,
            Self::Age => Self::Rate,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rate => "rows/s",
            Self::Name => "table",
            Self::Tail => "tail",
            Self::Lake => "lake",
            Self::Age => "newest",
        }
    }

    fn sort(self, tables: &mut [TableFigures]) {
        let by = |of: fn(&TableFigures) -> f64| {
            move |a: &TableFigures, b: &TableFigures| of(b).total_cmp(&of(a))
        };
        // By name first: what is alike stays in that order.
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        match self {
            Self::Name => {}
            Self::Rate => tables.sort_by(by(|of| of.rows_per_second)),
            Self::Tail => tables.sort_by(by(|of| of.tail_bytes)),
            Self::Lake => tables.sort_by(by(|of| of.lake_bytes)),
            Self::Age => tables.sort_by(by(|of| -of.age.unwrap_or(f64::INFINITY))),
        }
    }
}

/// All lines of a screen. What the server says in them moves no cursor.
pub(super) fn lines(
    endpoint: &str,
    at: &str,
    figures: &Figures<'_>,
    lists: &Lists,
    sort: Sort,
) -> Vec<String> {
    let mut lines = vec![heading(endpoint, at, figures), String::new()];
    lines.extend(sections(figures).into_iter().map(|(name, said)| format!("{name:<NAMES$}{said}")));
    lines.push(String::new());
    let mut tables = figures.tables();
    sort.sort(&mut tables);
    let titles = ["table", "rows/s", "tail rows", "tail", "lake rows", "lake", "files", "newest"];
    let rows = tables.iter().map(row_of).collect();
    lines.extend(table(&titles, rows, 1));
    for (what, titles, list) in [
        ("members", &MEMBERS, &lists.members),
        ("jobs", &JOBS, &lists.jobs),
        ("statements", &STATEMENTS, &lists.statements),
    ] {
        lines.extend(listed(what, titles, list));
    }
    lines.into_iter().map(printable).collect()
}

/// A line in no more than so many columns.
pub(super) fn cut(line: &str, columns: usize) -> String {
    let mut left = columns;
    let fits = |character: &char| {
        let width = character.width().unwrap_or(0);
        let fits = width <= left;
        left = left.saturating_sub(width);
        fits
    };
    line.chars().take_while(fits).collect()
}

fn heading(endpoint: &str, at: &str, figures: &Figures<'_>) -> String {
    let state = match figures.gauge("barograph_failed", &[]) {
        0.0 => "",
        _ => "   FAILED: nothing can be written until it is started again",
    };
    let resident = bytes(figures.gauge("process_resident_memory_bytes", &[]) as u64);
    let processors = figures.rate("process_cpu_seconds_total", &[]) * 100.0;
    format!(
        "barograph {}  {endpoint}  {at}  processors {processors:.0} %  resident {resident}{state}",
        figures.version()
    )
}

/// What is said in one line each, with its name.
fn sections(figures: &Figures<'_>) -> Vec<(String, String)> {
    let rate = |name: &str| count(figures.rate(name, &[]));
    let size = |name: &str| bytes(figures.gauge(name, &[]) as u64);
    let all = |name: &str| grouped(figures.gauge(name, &[]) as u64);
    let mut lines = vec![(
        "writes".to_owned(),
        format!(
            "{} rows/s, {} batches/s, {}/s",
            rate("barograph_put_rows_total"),
            rate("barograph_put_batches_total"),
            bytes(figures.rate("barograph_put_bytes_total", &[]) as u64)
        ),
    )];
    for level in seen(figures, "barograph_acknowledgement_seconds_count", "level") {
        let timing = figures.timing("barograph_acknowledgement_seconds", &[("level", &level)]);
        lines.push((format!("acks {level}"), timed(timing)));
    }
    for kind in seen(figures, "barograph_query_seconds_count", "kind") {
        let of = [("kind", kind.as_str())];
        let failed = figures.rate("barograph_query_failures_total", &of);
        let rows = figures.rate("barograph_query_rows_total", &of);
        let said = timed(figures.timing("barograph_query_seconds", &of));
        lines.push((
            format!("query {kind}"),
            format!("{said}, {} rows/s, {} failed/s", count(rows), count(failed)),
        ));
    }
    let (streams, most) = (all("barograph_streams"), all("barograph_streams_limit"));
    let refused = rate("barograph_refusals_total");
    lines.push(("streams".to_owned(), format!("{streams} of {most}, {refused} refusals/s")));
    let http = figures.timing("barograph_http_seconds", &[]);
    let bad = [("status", "5xx")];
    let failed = count(figures.rate("barograph_http_answers_total", &bad));
    lines.push(("http".to_owned(), format!("{}, {failed} failed/s", timed(http))));
    let sync = timed(figures.timing("barograph_log_sync_seconds", &[]));
    let lag = figures.maybe("barograph_log_follower_lag_seconds", &[]);
    let lag = lag.map_or(String::new(), |lag| format!(", follows {} behind", seconds(lag)));
    let (log, segments) = (size("barograph_log_bytes"), all("barograph_log_segments"));
    lines.push(("log".to_owned(), format!("{log} in {segments} segments, syncs {sync}{lag}")));
    let (rows, tail) = (all("barograph_tail_rows"), size("barograph_tail_bytes"));
    let hours = all("barograph_tail_periods");
    lines.push(("tail".to_owned(), format!("{rows} rows, {tail}, {hours} hours")));
    let (rows, files) =
        (rate("barograph_landing_rows_total"), rate("barograph_landing_files_total"));
    let faults = all("barograph_landing_faults");
    lines.push((
        "landing".to_owned(),
        format!("{rows} rows/s, {files} files/s, {faults} that cannot land"),
    ));
    let (letters, more) =
        (all("barograph_dead_letters_total"), rate("barograph_dead_letters_total"));
    lines.push(("dead letters".to_owned(), format!("{letters} since the start, {more}/s")));
    lines.push(("memory".to_owned(), memory(figures)));
    lines
}

/// The values of a label of which there was anything since the start.
fn seen(figures: &Figures<'_>, name: &str, label: &str) -> Vec<String> {
    let mut values = figures.values(name, label);
    values.retain(|value| figures.gauge(name, &[(label, value)]) > 0.0);
    values
}

/// The memory limits that are taken most, and how much of them.
fn memory(figures: &Figures<'_>) -> String {
    let budgets = figures.values("barograph_memory_limit_bytes", "budget");
    let mut taken: Vec<_> = budgets
        .into_iter()
        .map(|budget| {
            let of = [("budget", budget.as_str())];
            let used = figures.gauge("barograph_memory_bytes", &of);
            let most = figures.gauge("barograph_memory_limit_bytes", &of);
            (
                used / most.max(1.0),
                format!("{budget} {} of {}", bytes(used as u64), bytes(most as u64)),
            )
        })
        .collect();
    taken.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let said: Vec<_> = taken.into_iter().take(3).map(|(_, said)| said).collect();
    if said.is_empty() { NOTHING.to_owned() } else { said.join(", ") }
}

fn timed(timing: Timing) -> String {
    let said = |time: Option<f64>| time.map_or(NOTHING.to_owned(), seconds);
    format!(
        "{}/s, half within {}, 99 % within {}",
        count(timing.per_second),
        said(timing.half),
        said(timing.most)
    )
}

fn seconds(time: f64) -> String {
    match Duration::try_from_secs_f64(time) {
        Ok(time) if time < Duration::from_secs(120) => duration(time),
        Ok(time) => {
            let seconds = time.as_secs();
            let units = [(86_400, "days"), (3_600, "hours"), (60, "min")];
            let unit = units.into_iter().find(|(length, _)| seconds >= 2 * length);
            let (length, name) = unit.unwrap_or((60, "min"));
            format!("{} {name}", grouped(seconds / length))
        }
        Err(_) => NOTHING.to_owned(),
    }
}

/// A number a second, with decimals only where it is small.
fn count(rate: f64) -> String {
    match rate {
        0.0 => "0".to_owned(),
        rate if rate < 10.0 => format!("{rate:.1}"),
        rate => grouped(rate as u64),
    }
}

fn row_of(table: &TableFigures) -> Vec<String> {
    vec![
        table.name.clone(),
        count(table.rows_per_second),
        grouped(table.tail_rows as u64),
        bytes(table.tail_bytes as u64),
        grouped(table.lake_rows as u64),
        bytes(table.lake_bytes as u64),
        grouped(table.lake_files as u64),
        table.age.map_or(NOTHING.to_owned(), |age| format!("{} ago", seconds(age))),
    ]
}

/// The lines of a list; none if it is empty.
fn listed(what: &str, titles: &[&str], list: &List) -> Vec<String> {
    match list {
        Ok(rows) if rows.is_empty() => Vec::new(),
        Ok(rows) => {
            let mut lines = vec![String::new()];
            lines.extend(table(titles, rows.clone(), titles.len()));
            lines
        }
        Err(why) => vec![String::new(), format!("{what} cannot be shown: {why}")],
    }
}

/// A table of which the first `left` columns stand at the left, the others at the right.
fn table(titles: &[&str], rows: Vec<Vec<String>>, left: usize) -> Vec<String> {
    let titles = titles.iter().map(|title| (*title).to_owned()).collect();
    let all: Vec<Vec<String>> = std::iter::once(titles).chain(rows).collect();
    let columns = all.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns)
        .map(|at| all.iter().filter_map(|row| row.get(at)).map(|cell| cell.width()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(at, (cell, width))| {
            let padding = " ".repeat(width.saturating_sub(cell.width()));
            if at < left { format!("{cell}{padding}") } else { format!("{padding}{cell}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::exposition::Scrape;
    use super::*;

    const BEFORE: &str = "barograph_put_rows_total{table=\"readings\"} 0\nbarograph_lake_rows{table=\"readings\"} 5\n";
    const NOW: &str = "barograph_build_info{version=\"0.1.0\"} 1\nbarograph_failed 0\n\
        barograph_put_rows_total{table=\"readings\"} 30000\nbarograph_lake_rows{table=\"readings\"} 21600000\n\
        barograph_lake_rows{table=\"tides\"} 7\nbarograph_table_reading_age_seconds{table=\"tides\"} 600\n\
        barograph_acknowledgement_seconds_bucket{level=\"disk\",le=\"0.002\"} 20\n\
        barograph_acknowledgement_seconds_bucket{level=\"disk\",le=\"+Inf\"} 20\n\
        barograph_acknowledgement_seconds_count{level=\"disk\"} 20\n\
        barograph_acknowledgement_seconds_count{level=\"memory\"} 0\n\
        barograph_memory_bytes{budget=\"engine.tail_bytes_max\"} 1000000\n\
        barograph_memory_limit_bytes{budget=\"engine.tail_bytes_max\"} 4000000\n\
        barograph_dead_letters_total{table=\"readings\",kind=\"range\"} 3\n";

    fn screen(sort: Sort) -> Vec<String> {
        let (before, now) = (Scrape::read(BEFORE), Scrape::read(NOW));
        let figures = Figures::new(&before, &now, Duration::from_secs(2));
        let job = ["compact", "done", "x", "y", ""].map(str::to_owned).to_vec();
        let lists = Lists {
            members: Ok(Vec::new()),
            jobs: Ok(vec![job]),
            statements: Err("not now".to_owned()),
        };
        lines("http://h:1", "10:00:00Z", &figures, &lists, sort)
    }

    #[test]
    fn a_screen_says_what_is_going_on() {
        let text = screen(Sort::Rate).join("\n");
        for said in [
            "barograph 0.1.0  http://h:1  10:00:00Z",
            "writes          15,000 rows/s",
            "acks disk       10/s, half within 2.00 ms, 99 % within 2.00 ms",
            "dead letters    3 since the start, 1.5/s",
            "memory          engine.tail_bytes_max 1.0 MB of 4.0 MB",
            "readings  15,000          0   0 B  21,600,000",
            "compact  done",
            "statements cannot be shown: not now",
        ] {
            assert!(text.contains(said), "{said}\n{text}");
        }
        assert!(!text.contains("member") && !text.contains("acks memory"), "{text}");
    }

    #[test]
    fn what_a_server_says_moves_no_cursor() {
        let now = Scrape::read(
            "barograph_build_info{version=\"\x1b[2J\"} 1\nbarograph_lake_rows{table=\"a\\nb\x1b]0;c\x07\"} 1\n",
        );
        let figures = Figures::new(&now, &now, Duration::from_secs(2));
        let failed = || Err("no\nanswer\x1b[1A".to_owned());
        let lists = Lists { members: failed(), jobs: failed(), statements: failed() };
        let lines = lines("http://h:1", "10:00:00Z", &figures, &lists, Sort::Rate);
        assert!(!lines.iter().any(|line| line.contains(char::is_control)), "{lines:?}");
        for said in ["\\u{1b}[2J", "a\\nb\\u{1b}]0;c\\u{7}", "no\\nanswer\\u{1b}[1A"] {
            assert!(lines.iter().any(|line| line.contains(said)), "{said} {lines:?}");
        }
    }

    #[test]
    fn tables_are_sorted_as_is_asked_for() {
        let first = |sort: Sort| {
            let lines = screen(sort);
            let head = lines.iter().position(|line| line.starts_with("table ")).unwrap();
            lines[head + 1].split(' ').next().unwrap().to_owned()
        };
        assert_eq!(first(Sort::Rate), "readings");
        assert_eq!(first(Sort::Age), "tides");
        let all = std::iter::successors(Some(Sort::Rate), |sort| Some(sort.next())).take(6);
        let names: Vec<_> = all.map(Sort::name).collect();
        assert_eq!(names, ["rows/s", "table", "tail", "lake", "newest", "rows/s"]);
    }

    #[test]
    fn ages_are_told_in_units_of_their_size() {
        let told = [0.5, 119.0, 120.0, 7_200.0, 172_800.0, 8e7, f64::NAN].map(seconds);
        assert_eq!(told, ["500 ms", "119 s", "2 min", "2 hours", "2 days", "925 days", NOTHING]);
    }

    #[test]
    fn lines_are_cut_between_characters() {
        assert_eq!(cut("a東京b", 3), "a東");
        assert_eq!(cut("a東京b", 4), "a東");
        assert_eq!(cut("ab", 80), "ab");
    }
}
