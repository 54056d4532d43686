//! Errors of SQL as errors of the engine. The kind of an error says what the caller can do, its message where in the
//! text the fault lies and which name was probably meant.

use arrow::error::ArrowError;
use barograph_engine::internal::PROCESS_MEMORY_SETTING as SERVER;
use barograph_engine::{Error, ErrorKind, retry};
use datafusion::common::{Column, DataFusionError, SchemaError};

/// What a spill file says that finds no more bytes to take: operators pass on its words alone.
pub(crate) const SPILL_EXCEEDED: &str = "the bytes that queries may spill are exceeded";

/// The bound of a caller whose queries hold as much memory as they may, and how its refusal begins.
pub(crate) const OF_USER: &str = "access.limits.memory_bytes_max";

/// Wraps an error of the engine for its way through DataFusion.
pub(crate) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Translates an error of DataFusion into one of the engine.
pub(crate) fn engine_error(error: DataFusionError) -> Error {
    if let Some(own) = own(&error) {
        return own.again();
    }
    let root = error.find_root();
    let message = match root {
        DataFusionError::SQL(parser, _) => tidy(&parser.to_string()),
        other => tidy(&other.message()),
    };
    if message.contains(SPILL_EXCEEDED) {
        return Error::resources(
            "sql.spill_bytes_max",
            "the query would spill more to disk than it may: ask for less, or raise it",
            retry::MEMORY_FREED,
        );
    }
    if let DataFusionError::ResourcesExhausted(_) = root
        && let Some((_, text)) = message.split_once(OF_USER)
    {
        let text = text.trim_start_matches(": ");
        let text = format!("{text}; ask for less, or wait for the end of others");
        return Error::resources(OF_USER, text, retry::MEMORY_FREED);
    }
    match root {
        DataFusionError::ResourcesExhausted(_) if message.starts_with(SERVER) => {
            Error::new(ErrorKind::Resources, message)
        }
        DataFusionError::ResourcesExhausted(_) => Error::resources(
            "sql.memory_bytes_max",
            format!("{message}; ask for less (shorter time, fewer columns), or raise it"),
            retry::MEMORY_FREED,
        ),
        DataFusionError::Internal(_) | DataFusionError::ExecutionJoin(_) => {
            Error::internal(format!("sql: {message}"))
        }
        DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) => {
            Error::new(ErrorKind::Unavailable, format!("sql: {message}"))
        }
        DataFusionError::ArrowError(arrow, _)
            if matches!(**arrow, ArrowError::IoError(..) | ArrowError::MemoryError(_)) =>
        {
            Error::new(ErrorKind::Unavailable, format!("sql: {message}"))
        }
        DataFusionError::SchemaError(schema, _) => {
            Error::request(format!("{}{}", unknown(schema, &message), place(&error)))
        }
        _ => Error::request(format!("{message}{}", place(&error))),
    }
}

/// The engine's own error inside an error of DataFusion.
fn own(error: &DataFusionError) -> Option<&Error> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(own) = error.downcast_ref::<Error>() {
            return Some(own);
        }
        source = match error.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Shared(inner)) => Some(inner.as_ref()),
            _ => match error.downcast_ref::<ArrowError>() {
                Some(ArrowError::ExternalError(inner)) => Some(inner.as_ref()),
                _ => error.source(),
            },
        };
    }
    None
}

/// What DataFusion says where two columns have the same name; casts and time zones are not part of a name.
const SAME_NAME: [&str; 2] =
    ["require unique expression names", "duplicate unqualified field name"];
const APART: &str = "casts and time zones do not count in the name of a column: name one of the two with \
                     AS, or compute it in a subquery";

/// What the library says of `SELECT sum(x) + 1 … ORDER BY 1`: it finds a computed column of groups by its name alone.
const UNNAMED: &str = "Column in ORDER BY must be in GROUP BY or an aggregate function";

/// Whether the planner might take a statement if its computed columns had names.
pub(crate) fn needs_names(error: &DataFusionError) -> bool {
    let message = error.to_string();
    SAME_NAME.iter().chain([&UNNAMED]).any(|words| message.contains(words))
}

/// What DataFusion says of a correlated subquery that it cannot turn into a join.
const QUERY_LEFT: [&str; 6] = [
    "does not support logical expression ScalarSubquery",
    "does not support logical expression Exists",
    "does not support logical expression InSubquery",
    "does not support logical expression OuterReferenceColumn",
    "does not support logical expression SetComparison",
    "Correlated scalar subquery",
];
const CORRELATED: &str = "this subquery refers to the outer row in a way that is not supported";
const GROUPED: &str = "compare its columns with those of the outer row by = in its WHERE, or join with it as a \
                       table grouped by what it is compared with";

/// Clauses that are not supported, and what to write instead.
const INSTEAD: [(&str, &str); 3] = [
    (
        "found: EXCLUDE",
        "a window frame has no EXCLUDE here: take the row's own value out of the result, as in sum(x) OVER w - x",
    ),
    ("OVER and WITHIN GROUP clause", "over a window write percentile_cont(x, 0.9) OVER (…)"),
    (
        "Aggregate ORDER BY is not implemented for window functions",
        "the order is that of the window: string_agg(x, ',') OVER (ORDER BY …)",
    ),
];

/// The message without the prefixes that DataFusion adds.
fn tidy(message: &str) -> String {
    let message = message.trim();
    let mut text = message;
    for prefix in ["sql parser error: ", "SQL error: ", "Error during planning: "] {
        text = text.strip_prefix(prefix).unwrap_or(text);
    }
    if QUERY_LEFT.iter().any(|words| text.contains(words)) {
        return format!("{CORRELATED}: {GROUPED}");
    }
    let readable = without_tree(text);
    if readable.len() < text.len() {
        let said = if readable.is_empty() { "this statement" } else { readable };
        return format!("{said}: that is not supported; write it in another way");
    }
    if SAME_NAME.iter().any(|words| text.contains(words)) {
        return format!("{text}; {APART}");
    }
    match INSTEAD.iter().find(|(words, _)| text.contains(words)) {
        Some((_, instead)) => format!("{text}; {instead}"),
        None => text.to_owned(),
    }
}

/// The text before the printed tree of a statement (`Word(Word { … `), if a message contains one.
fn without_tree(text: &str) -> &str {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '(' || c == '[';
    for (at, _) in text.match_indices(" { ") {
        let before = text.get(..at).unwrap_or_default();
        let start = before.trim_end_matches(is_name).len();
        let name = before.get(start..).unwrap_or_default();
        let said = before.get(..start).unwrap_or_default();
        let quoted = said.ends_with(['"', '\'']);
        if !quoted && name.starts_with(|c: char| c.is_ascii_uppercase()) {
            return said.trim_end().trim_end_matches(':').trim_end();
        }
    }
    text
}

/// Where in the text the fault lies, as far as the parser knows.
fn place(error: &DataFusionError) -> String {
    match error.diagnostic().and_then(|diagnostic| diagnostic.span) {
        Some(span) if span.start.line > 1 => {
            format!(", at line {}, column {}", span.start.line, span.start.column)
        }
        Some(span) if span.start.line == 1 => format!(", at column {}", span.start.column),
        _ => String::new(),
    }
}

fn unknown(error: &SchemaError, message: &str) -> String {
    let SchemaError::FieldNotFound { field, valid_fields } = error else {
        return message.to_owned();
    };
    let of_table = |valid: &&Column| match (&field.relation, &valid.relation) {
        (Some(asked), Some(has)) => asked.table() == has.table(),
        _ => true,
    };
    let names: Vec<_> = valid_fields.iter().filter(of_table).map(|valid| valid.name()).collect();
    let hint = match nearest(field.name(), &names) {
        Some(near) => format!("did you mean {near:?}?"),
        None if names.is_empty() => "no column can be named here".to_owned(),
        None => format!("there are {}", names.join(", ")),
    };
    format!("there is no column {:?}: {hint}", field.flat_name())
}

/// The name that `name` was probably meant to be.
pub(crate) fn nearest<'n>(name: &str, names: &[&'n str]) -> Option<&'n str> {
    let wanted = name.to_lowercase();
    let close = |other: &str| {
        let other = other.to_lowercase();
        let apart = distance(&wanted, &other);
        let contains = wanted.len() >= 3 && (other.contains(&wanted) || wanted.contains(&other));
        (apart * 3 <= wanted.chars().count().max(3) || contains).then_some(apart)
    };
    names
        .iter()
        .filter_map(|&other| Some((close(other)?, other)))
        .min_by_key(|&(apart, _)| apart)
        .map(|(_, other)| other)
}

/// Edit distance between `a` and `b`: letters to add, drop, change or swap with their neighbour (Damerau's distance).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<_>, Vec<_>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &letter) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &other) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX - 1);
            let changed = at(&last, j) + usize::from(letter != other);
            let mut least = changed.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped =
                i > 0 && j > 0 && a.get(i - 1) == Some(&other) && b.get(j - 1) == Some(&letter);
            if swapped {
                least = least.min(at(&before, j - 1) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_not_shown() {
        let tree =
            "Unsupported ast node in sqltorel: Word(Word { value: \"a\", quote_style: None })";
        let said = tidy(tree);
        assert!(said.starts_with("Unsupported ast node in sqltorel: that is"), "{said}");
        assert!(tidy("Field { name: \"a\" }").starts_with("this statement: that is not"));
        for plain in ["no { tree }", "column \"A { b }\"", "Expected: ), found: EOF"] {
            assert_eq!(tidy(plain), plain);
        }
    }

    #[test]
    fn the_nearest_name_is_found() {
        let names = ["city_id", "reading_at", "temperature", "humidity", "wind_speed"];
        assert_eq!(nearest("temprature", &names), Some("temperature"));
        assert_eq!(nearest("temperaturE", &names), Some("temperature"));
        assert_eq!(nearest("temp", &names), Some("temperature"));
        assert_eq!(nearest("hunidity", &names), Some("humidity"));
        assert_eq!(nearest("altitude", &names), None);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
