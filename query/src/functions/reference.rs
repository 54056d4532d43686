//! The reference of the SQL functions: documentation inside SQL, and the page `docs/sql.md`.

use std::fmt::Write as _;

use datafusion::logical_expr::{DocSection, Documentation};

/// Documentation of one function, the source of both DataFusion's documentation (shown by `information_schema` and
/// `SHOW FUNCTIONS`) and the page.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Name in SQL.
    pub name: &'static str,
    /// Section of the page.
    pub section: Section,
    /// Syntax of a call.
    pub syntax: &'static str,
    /// Description, first a short sentence.
    pub what: &'static str,
    /// Arguments in order, with their units.
    pub arguments: &'static [(&'static str, &'static str)],
    /// Result, with its unit, and when it is null.
    pub returns: &'static str,
    /// Source of the formula or of the semantics.
    pub source: Option<&'static str>,
    /// Example: a query that runs.
    pub example: &'static str,
}

/// A section of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    /// One row in, one value out.
    Weather,
    /// Many rows in, one value out.
    Aggregates,
    /// Windows of time, gaps, look-ups by time.
    Time,
    /// Functions that stand in FROM.
    Tables,
}

impl Section {
    const ALL: [Self; 4] = [Self::Weather, Self::Aggregates, Self::Time, Self::Tables];

    fn label(self) -> &'static str {
        match self {
            Self::Weather => "Weather",
            Self::Aggregates => "Aggregates",
            Self::Time => "Time series",
            Self::Tables => "Table functions",
        }
    }

    fn head(self) -> &'static str {
        match self {
            Self::Weather => {
                "Scalar functions over numbers. The result is null where an argument is null, and NaN where one \
                 is NaN. It is `float` (32 bits) if the arguments are `float` or small integers, and `double` \
                 otherwise. Arguments may be passed by name: `wind_u(direction => 270, speed => 5)`."
            }
            Self::Aggregates => {
                "Aggregate functions, in addition to SQL's own (`avg`, `min`, `max`, `median`, \
                 `approx_percentile_cont`, …)."
            }
            Self::Time => {
                "Windows of equal length come from `date_bin(stride, time [, origin])`. The functions here fill \
                 windows that have no rows, and join tables by time."
            }
            Self::Tables => "Functions for the FROM clause, used like a table.",
        }
    }
}

impl Entry {
    /// The entry as documentation of DataFusion.
    pub(crate) fn documentation(&self) -> Documentation {
        let section = DocSection { include: true, label: self.section.label(), description: None };
        let mut text = format!("{}\n\nReturns: {}", self.what, self.returns);
        if let Some(source) = self.source {
            let _ = write!(text, "\n\nSource: {source}");
        }
        let mut builder =
            Documentation::builder(section, text, self.syntax).with_sql_example(self.example);
        for (name, meaning) in self.arguments {
            builder = builder.with_argument(*name, *meaning);
        }
        builder.build()
    }
}

const HEAD: &str = "\
# SQL reference

<!-- Written from the functions' own documentation; a test holds the two together. -->

SQL is that of DataFusion, with its functions for text, numbers, times, regular expressions, lists, structs and maps and
all its aggregate and window functions, but without digests (`md5`, `sha256`, `digest`). `SHOW FUNCTIONS` lists them all.
`sign` is another name for `signum`, `mod(a, b)` for `a % b`, and `current_schema` is `public`. This page documents what
Barograph adds. Every example runs against the built-in tables `readings` and `cities`. Complete queries, from the newest
values to parallel downloads, are in the [cookbook](cookbook.md).

`ORDER BY` sorts −0.0 before 0.0; everywhere else they are equal. NaN is one value, above all numbers, in groups, sets,
lists, `min` and `max`; `=`, `<` and `ORDER BY` put a NaN with a sign, such as `0.0 / 0.0`, below all numbers. Integer
overflow is an error: cast a side to `decimal(38, 0)` or `double`. Every aggregate works in every frame of a window;
EXCLUDE is not supported.

No value that a function produces for one row may be larger than `sql.value_bytes_max`: `repeat('x', 2000000000)` is
refused before it is computed. For many numbers, use rows instead of a list: `FROM generate_series(1, 10000000)`.

A literal or parameter that is compared with a `float` (32 bits) is rounded to the nearest `float`, as in a
[ticket](tickets.md): `temperature = 21.3` finds what was measured as 21.3. Numbers beyond the range of `float`, computed
numbers (`21.0 + 0.3`) and numbers compared with `CAST(temperature AS DOUBLE)` are compared as they are. A timestamp
parameter that is compared with a date stays a timestamp.

A date plus or minus an interval is a timestamp. Intervals compare by their length, with a month as 30 days and a day as
24 hours; rows cannot be grouped or joined by intervals: use `date_part('epoch', x)`. Columns are in UTC whatever the time
zone of the session, and so are the results of `coalesce` and `CASE` over them; a time without an offset is read in the
time zone of what it is compared with.

Subqueries may refer to the outer row, as values, in conditions and as `LATERAL`:
`(SELECT max(r.reading_at) FROM readings r WHERE r.city_id = o.city_id AND r.reading_at < o.reading_at)`. A scalar
subquery gives at most one row: use an aggregate, or `ORDER BY … LIMIT 1`. A subquery with a condition other than `=` is
evaluated once for each distinct outer row, for which the outer FROM is read twice; an as-of join or a window is faster.

`unnest(?)` takes a list, and `FROM generate_series(1, ?)` and `range` take integers, dates or times. The column types of
such a statement are known once its parameters are bound.
";

const ONE_LINERS: &str = "
## One-liners

The rolling heat index of one day: for each reading, the mean over the closed window from one day before it up to the
reading itself, city by city. No sort is needed where the scan is already in order of city and time.

```sql
SELECT city_id, reading_at,
       avg(heat_index(temperature, humidity)) OVER (
         PARTITION BY city_id ORDER BY reading_at
         RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW
       ) AS heat_index_1d
FROM readings
```

Ten-minute means; a window without readings carries the last known mean forward:

```sql
SELECT city_id, date_bin_gapfill(INTERVAL '10 minutes', reading_at) AS t,
       locf(avg(temperature)) AS temperature
FROM readings
WHERE reading_at >= '2026-11-21T00:00:00Z' AND reading_at < '2026-11-22T00:00:00Z'
GROUP BY city_id, t
ORDER BY city_id, t
```
";

/// The reference page over `entries`.
pub(crate) fn page(entries: &[&Entry]) -> String {
    let mut text = String::from(HEAD);
    for section in Section::ALL {
        let _ = writeln!(text, "\n## {}\n\n{}", section.label(), section.head());
        for entry in entries.iter().filter(|e| e.section == section) {
            entry_of_page(&mut text, entry);
        }
    }
    text.push_str(ONE_LINERS);
    text
}

fn entry_of_page(text: &mut String, entry: &Entry) {
    let _ = writeln!(text, "\n### `{}`\n\n{}\n", entry.syntax, entry.what);
    for (name, meaning) in entry.arguments {
        let _ = writeln!(text, "- `{name}`: {meaning}");
    }
    let _ = writeln!(text, "- returns: {}", entry.returns);
    if let Some(source) = entry.source {
        let _ = writeln!(text, "- source: {source}");
    }
    let _ = writeln!(text, "\n```sql\n{}\n```", entry.example);
}
