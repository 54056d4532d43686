//! Tests of hostile filters: any text gives an answer or an error, quickly and on a small stack.

use proptest::prelude::*;

use super::super::*;
use super::model::schema;

/// A quarter of the stack of a worker thread.
const STACK_BYTES: usize = 512 << 10;

fn parse_on_a_small_stack(text: String) -> Result<(), String> {
    let parse =
        move || Predicate::parse(&text, &schema()).map(drop).map_err(|error| error.to_string());
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(parse).unwrap().join().unwrap()
}

#[test]
fn deep_and_long_texts_are_refused_quickly() {
    let nested = |before: &str, within: &str, after: &str, count: usize| {
        format!("{}{within}{}", before.repeat(count), after.repeat(count))
    };
    let texts = [
        nested("(", "small = 1", ")", 1_000),
        nested("(", "small = 1", ")", 100_000),
        nested("(", "", "", 100_000),
        nested("NOT ", "small = 1", "", 1_900),
        nested("NOT (", "small = 1", ")", 500),
        nested("small IN (", "1", ")", 60),
        nested("small IN ((", "1", "))", 30),
        format!("small = {}1", "-".repeat(1_900)),
        format!("small = {}1", "- ".repeat(1_900)),
        format!("small = {}1", "+ - ".repeat(900)),
        format!("small = 1{}", " + 1".repeat(1_900)),
        format!("small{}", " = small".repeat(990)),
        format!("small{}", " IS NULL".repeat(990)),
        format!("small{}", " BETWEEN 1 AND 2".repeat(600)),
        format!("small = 1{}", " AND small = 1".repeat(100_000)),
        format!("samples{}", ".small".repeat(1_900)),
        nested("f(", "1", ")", 60),
        nested("CASE WHEN ", "small = 1", " THEN 1 END", 60),
        nested("CAST(", "1", " AS INT)", 60),
        nested("small BETWEEN ", "1", " AND 2", 600),
        "small = ".to_owned() + &"9".repeat(300_000),
        "(".to_owned(),
        "'".to_owned(),
        "\"".to_owned(),
        "/*".repeat(10_000),
        "\0".to_owned(),
    ];
    for text in texts {
        let shown: String = text.chars().take(40).collect();
        // A parser that takes time that grows with a power of the text does not come to an end here.
        assert!(parse_on_a_small_stack(text).is_err(), "{shown}");
    }
}

#[test]
fn what_is_within_the_bounds_is_read() {
    let nested = |count: usize| format!("{}small = 1{}", "(".repeat(count), ")".repeat(count));
    for text in [
        nested(30),
        format!("small = 1{}", " AND small = 1".repeat(490)),
        format!("small = 1{}", " OR small = 1 AND wide > 2".repeat(240)),
        format!("city_id IN (1{})", ", 2147483647".repeat(20_000)),
        "small = ".to_owned() + &"9".repeat(100_000),
        format!("{}small = 1", "NOT ".repeat(30)),
    ] {
        let shown: String = text.chars().take(40).collect();
        parse_on_a_small_stack(text).unwrap_or_else(|error| panic!("{shown}: {error}"));
    }
}

const WORDS: [&str; 44] = [
    "small",
    "city_id",
    "single",
    "word",
    "reading_at",
    "interval",
    "samples",
    ".",
    "=",
    "<>",
    "<",
    "<=",
    ">",
    ">=",
    "!=",
    "(",
    ")",
    ",",
    "-",
    "+",
    "AND",
    "OR",
    "NOT",
    "IN",
    "IS",
    "NULL",
    "BETWEEN",
    "TRUE",
    "FALSE",
    "TIMESTAMP",
    "DATE",
    "1",
    "-2.5",
    "1e400",
    "'a'",
    "'1970-01-01'",
    "'NaN'",
    "\"small\"",
    "x",
    "LIKE",
    "*",
    "::",
    "[",
    "/",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn any_words_in_any_order_are_read_or_refused(
        words in proptest::collection::vec(proptest::sample::select(WORDS.to_vec()), 0..20),
    ) {
        let text = words.join(" ");
        if let Ok(predicate) = Predicate::parse(&text, &schema()) {
            let again = Predicate::parse(&predicate.to_string(), &schema()).unwrap();
            prop_assert_eq!(again, predicate);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
        let _ = Predicate::parse(&text, &schema());
    }
}

#[test]
fn the_bounds_can_be_set() {
    let schema = schema();
    let bounds = FilterBounds { depth: 8, operators: 20_000 };
    let nested = |n: usize| format!("{}city_id = 1{}", "(".repeat(n), ")".repeat(n));
    Predicate::parse_within(&nested(4), &schema, bounds).unwrap();
    let error = Predicate::parse_within(&nested(9), &schema, bounds).unwrap_err().to_string();
    assert!(error.contains("at most 8 levels"), "{error}");
    let chain = |n: usize| vec!["city_id = 1"; n].join(" OR ");
    let handle = std::thread::Builder::new().stack_size(256 << 10);
    let parsed = handle.spawn(move || {
        // Each term has a name and two operators; the last has one.
        Predicate::parse_within(&chain(6_667), &schema, bounds).unwrap();
        let unlike = format!("{} OR city_id = 'a' + 1", chain(6_000));
        Predicate::parse_within(&unlike, &schema, bounds).unwrap_err();
        Predicate::parse_within(&chain(6_668), &schema, bounds).unwrap_err()
    });
    let error = parsed.unwrap().join().unwrap().to_string();
    assert!(error.contains("more than 20000 names and operators"), "{error}");
}
