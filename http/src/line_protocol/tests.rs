//! Lines against a naive model, and whatever bytes may come.

use std::borrow::Cow;

use proptest::prelude::*;

use super::lines::Lines;
use super::parse::{Line, Value};
use super::precision::Unit;

fn read(text: &str) -> Result<Line<'_>, String> {
    let mut line = Line::default();
    line.read(text).map(|()| line)
}

#[test]
fn lines_are_read_as_the_reference_says() {
    let line = read(
        r#"my\ weather,city\=of=S\,P,x=a\b temp\ C=2e1,n=3i,u=4u,ok=T,note="a \"b\" c\\d, e=f" 1790000000000000000"#,
    )
    .unwrap();
    assert_eq!(line.measurement, "my weather");
    assert_eq!(line.tags, [("city=of".into(), "S,P".into()), ("x".into(), r"a\b".into())]);
    let text = |text: &'static str| Value::Text(Cow::Borrowed(text));
    let expected = [
        ("temp C", Value::Float(20.0)),
        ("n", Value::Int(3)),
        ("u", Value::Uint(4)),
        ("ok", Value::Bool(true)),
        ("note", text(r#"a "b" c\d, e=f"#)),
    ];
    assert_eq!(line.fields, expected.map(|(name, value)| (Cow::Borrowed(name), value)));
    assert_eq!(line.time, Some(1_790_000_000_000_000_000));
    assert_eq!(read("m a=1").unwrap().time, None);
    assert_eq!(read("m a=1  -5").unwrap().time, Some(-5));
}

#[test]
fn what_is_wrong_with_a_line_is_told() {
    for (text, why) in [
        (",a=1 b=1", "missing measurement"),
        ("m", "missing fields"),
        ("m,a b=1", "missing tag value"),
        ("m,=x b=1", "missing tag key"),
        ("m,a= b=1", "missing tag value of \"a\""),
        ("m ", "missing fields"),
        ("m a", "missing field value of \"a\""),
        ("m a=", "missing field value of \"a\""),
        ("m a=1,", "missing fields"),
        ("m a=x", "invalid value \"x\""),
        ("m a=nan", "invalid value"),
        ("m a=inf", "invalid value"),
        ("m a=1e400", "invalid value"),
        ("m a=9223372036854775808i", "invalid value"),
        ("m a=-1u", "invalid value"),
        ("m a=\"x", "unbalanced quotes"),
        ("m a=\"x\"y", "goes on"),
        ("m a=1 x", "bad timestamp \"x\""),
        ("m a=1 1 2", "bad timestamp \"1 2\""),
        ("m a=1 9223372036854775808", "bad timestamp"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
}

#[test]
fn times_are_in_the_unit_that_is_said() {
    let unit = |name| Unit::named(Some(name), Unit::Nanos).unwrap();
    assert_eq!(unit("ns").micros(-1), Some(-1));
    assert_eq!(unit("us").micros(7), Some(7));
    assert_eq!(unit("ms").micros(7), Some(7_000));
    assert_eq!(unit("h").micros(i64::MAX), None);
    for (time, micros) in [
        (1_790_000_000, 1_790_000_000_000_000),
        (1_790_000_000_123, 1_790_000_000_123_000),
        (1_790_000_000_123_456, 1_790_000_000_123_456),
        (1_790_000_000_123_456_789, 1_790_000_000_123_456),
    ] {
        assert_eq!(unit("auto").micros(time), Some(micros));
    }
    assert!(Unit::named(Some("d"), Unit::Nanos).unwrap_err().to_string().contains("\"d\""));
}

/// A line as a list of what it says, written by rules of its own.
#[derive(Debug, Clone)]
struct Said {
    measurement: String,
    tags: Vec<(String, String)>,
    fields: Vec<(String, Field)>,
    time: Option<i64>,
}

#[derive(Debug, Clone)]
enum Field {
    Float(f64),
    Int(i64),
    Uint(u64),
    Bool(bool),
    Text(String),
}

fn escaped(text: &str, of: &str) -> String {
    let escape = |c: char| if of.contains(c) { format!("\\{c}") } else { c.to_string() };
    text.chars().map(escape).collect()
}

impl Said {
    fn written(&self) -> String {
        let tags = self.tags.iter();
        let tags =
            tags.map(|(key, value)| format!(",{}={}", escaped(key, ",= "), escaped(value, ",= ")));
        let fields = self.fields.iter().map(|(key, value)| {
            let value = match value {
                Field::Float(value) => format!("{value:?}"),
                Field::Int(value) => format!("{value}i"),
                Field::Uint(value) => format!("{value}u"),
                Field::Bool(value) => value.to_string(),
                Field::Text(value) => format!("\"{}\"", escaped(value, "\"\\")),
            };
            format!("{}={value}", escaped(key, ",= "))
        });
        let fields: Vec<_> = fields.collect();
        let time = self.time.map(|time| format!(" {time}")).unwrap_or_default();
        let tags: String = tags.collect();
        format!("{}{tags} {}{time}", escaped(&self.measurement, ", "), fields.join(","))
    }
}

/// Names without a backslash, which may stand for an escape; the first character begins no comment.
fn name() -> impl Strategy<Value = String> {
    "[a-zµ][a-z0-9 ,=\"é#]{0,6}"
}

fn said() -> impl Strategy<Value = Said> {
    let field = prop_oneof![
        (-1e12..1e12_f64).prop_map(Field::Float),
        any::<i64>().prop_map(Field::Int),
        any::<u64>().prop_map(Field::Uint),
        any::<bool>().prop_map(Field::Bool),
        "[a-z \"\\\\,=\n#]{0,8}".prop_map(Field::Text),
    ];
    (
        name(),
        prop::collection::vec((name(), name()), 0..3),
        prop::collection::vec((name(), field), 1..4),
        any::<Option<i64>>(),
    )
        .prop_map(|(measurement, tags, fields, time)| Said { measurement, tags, fields, time })
}

proptest! {
    #[test]
    fn what_is_said_is_read_back(all in prop::collection::vec(said(), 1..6)) {
        // A quote in a name after the first blank, just behind a `=`, opens a text: none is written so.
        let written: Vec<_> = all.iter().map(Said::written).collect();
        prop_assume!(written.iter().all(|line| !line.contains("\\=\"")));
        let body = written.join("\n");
        let lines: Vec<_> = Lines::new(body.as_bytes()).collect();
        prop_assert_eq!(lines.len(), all.len(), "{}", body);
        for (said, (_, line)) in all.iter().zip(lines) {
            let line = std::str::from_utf8(line).unwrap();
            let read = read(line).unwrap();
            prop_assert_eq!(&read.measurement, &said.measurement);
            let tags: Vec<_> = read.tags.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            prop_assert_eq!(&tags, &said.tags);
            prop_assert_eq!(read.time, said.time);
            prop_assert_eq!(read.fields.len(), said.fields.len());
            for ((name, value), (expected, field)) in read.fields.iter().zip(&said.fields) {
                prop_assert_eq!(name, expected);
                let is_same = match (value, field) {
                    (Value::Float(a), Field::Float(b)) => a == b,
                    (Value::Int(a), Field::Int(b)) => a == b,
                    (Value::Uint(a), Field::Uint(b)) => a == b,
                    (Value::Bool(a), Field::Bool(b)) => a == b,
                    (Value::Text(a), Field::Text(b)) => a == b,
                    _ => false,
                };
                prop_assert!(is_same, "{:?} {:?}", value, field);
            }
        }
    }

    #[test]
    fn whatever_comes_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for (_, line) in Lines::new(&bytes) {
            prop_assert!(!line.is_empty());
            if let Ok(line) = std::str::from_utf8(line) {
                let _ = read(line);
            }
        }
    }

    #[test]
    fn likely_bytes_are_read_or_refused(text in "[a ,=\"\\\\\n#1it-]{0,60}") {
        let mut before = 0;
        for (number, line) in Lines::new(text.as_bytes()) {
            prop_assert!(number > before);
            before = number;
            let _ = read(std::str::from_utf8(line).unwrap());
        }
        // Without quotes a line is what stands between line breaks.
        if !text.contains('"') && !text.contains('\\') {
            let naive = text.split('\n').map(str::trim);
            let naive = naive.filter(|line| !line.is_empty() && !line.starts_with('#')).count();
            prop_assert_eq!(Lines::new(text.as_bytes()).count(), naive);
        }
    }
}
