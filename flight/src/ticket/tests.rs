//! Tests of tickets: what they mean, how they are refused, and that no bytes do harm.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use barograph_engine::filter::FilterBounds;
use barograph_engine::{Aggregate, ErrorKind, Point};
use barograph_lake::schema::{TableDeclaration, ValueColumn, ValueType};
use barograph_lake::{Key, KeySelection, LogPosition, TableSchema, TableVersion, TimeRange};
use proptest::prelude::*;

use super::*;
use crate::Result;

const BYTES_MAX: usize = 4_096;
const BOUNDS: TicketBounds =
    TicketBounds { keys: 4, filter: FilterBounds { depth: 64, operators: 2_000 } };

fn readings() -> TableSchema {
    let column = ValueColumn::new;
    let declaration = TableDeclaration::new("city_id", "reading_at").columns([
        column("temperature", ValueType::Float32),
        column("humidity", ValueType::Float32),
        column("note", ValueType::Utf8),
    ]);
    TableSchema::new("readings", declaration).unwrap()
}

fn parse(json: &str) -> Result<Ticket> {
    Ticket::parse(json.as_bytes(), BYTES_MAX)
}

fn bind(json: &str) -> Result<BoundTicket> {
    parse(json)?.bind(&readings(), BOUNDS)
}

fn names(bound: &BoundTicket) -> Vec<&str> {
    bound.schema.fields().iter().map(|field| field.name().as_str()).collect()
}

#[test]
fn latest_of_one_key() {
    let json = r#"{"v":1,"table":"readings","latest":{"keys":[2988507]},"columns":["humidity","temperature"]}"#;
    let bound = bind(json).unwrap();
    let Query::Point(query) = &bound.query else { panic!("{bound:?}") };
    assert_eq!(query.keys.as_deref(), Some(&[Key::new(2988507)][..]));
    assert_eq!(query.point, Point::Latest);
    assert_eq!(query.columns, [3, 2]);
    assert_eq!(names(&bound), ["city_id", "reading_at", "humidity", "temperature"]);
}

#[test]
fn without_keys_and_columns_it_is_all_of_both() {
    let bound = bind(r#"{"v":1,"table":"readings","latest":{}}"#).unwrap();
    let Query::Point(query) = &bound.query else { panic!("{bound:?}") };
    assert_eq!(query.keys, None);
    assert_eq!(
        names(&bound),
        ["city_id", "reading_at", "temperature", "humidity", "note", "ingested_at"]
    );
}

#[test]
fn at_an_instant_with_repeated_keys() {
    let bound =
        bind(r#"{"v":1,"table":"readings","at":{"keys":[3,1,3],"time":"2026-11-22T10:00:00+01:00"},"columns":[]}"#)
            .unwrap();
    let Query::Point(query) = &bound.query else { panic!("{bound:?}") };
    assert_eq!(query.keys.as_deref(), Some(&[1, 3].map(Key::new)[..]));
    assert_eq!(query.point, Point::At("2026-11-22T09:00:00Z".parse::<Timestamp>().unwrap()));
    assert_eq!(names(&bound), ["city_id", "reading_at"]);
}

#[test]
fn a_range_with_filter_and_limit() {
    let bound = bind(
        r#"{"v":1,"table":"readings","range":{"keys":[2,1],"from":"2026-11-21T00:00:00Z","to":"2026-11-22"},
            "columns":["temperature"],"filter":"temperature > 30 and humidity is not null","limit":1000}"#,
    )
    .unwrap();
    let Query::Scan(scan) = &bound.query else { panic!("{bound:?}") };
    assert_eq!(scan.keys, KeySelection::list(vec![1, 2]));
    assert_eq!(scan.time.from, "2026-11-21".parse::<Timestamp>().unwrap());
    assert_eq!(scan.time.to, "2026-11-22".parse::<Timestamp>().unwrap());
    assert_eq!((scan.limit, scan.filter.is_some()), (Some(1000), true));
}

#[test]
fn an_open_range_is_everything_and_endpoints_narrow_it() {
    let bound = bind(r#"{"v":1,"table":"readings","range":{}}"#).unwrap();
    let Query::Scan(scan) = bound.query else { panic!() };
    assert_eq!((scan.keys, scan.time), (KeySelection::All, TimeRange::ALL));

    let bound =
        bind(r#"{"v":1,"table":"readings","range":{"key_from":5,"key_to":9},"view":"a-1"}"#);
    let Query::Scan(scan) = bound.unwrap().query else { panic!() };
    assert_eq!(scan.keys, KeySelection::Range { from: Key::new(5), to: Key::new(9) });

    let bound = bind(r#"{"v":1,"table":"readings","range":{"keys":[4,5,9],"key_from":5}}"#);
    let Query::Scan(scan) = bound.unwrap().query else { panic!() };
    assert_eq!(scan.keys, KeySelection::list(vec![5, 9]));
}

#[test]
fn windows_keep_the_order_of_columns_and_functions() {
    let ticket = parse(
        r#"{"v":1,"table":"readings","range":{},"every":"90m",
            "aggregates":{"temperature":["mean","max"],"humidity":["count"]}}"#,
    )
    .unwrap();
    let Read::Range(range) = &ticket.read else { panic!() };
    let windows = range.windows.as_ref().unwrap();
    assert_eq!(windows.every, Span::seconds(5_400));
    assert_eq!(
        windows.aggregates,
        [
            ("temperature".to_owned(), vec![Aggregate::Mean, Aggregate::Max]),
            ("humidity".to_owned(), vec![Aggregate::Count])
        ]
    );
}

/// Tickets that are refused, and what the message must say.
const REFUSED: &[(&str, &[&str])] = &[
    ("", &["ticket is empty", r#"{"v":1"#]),
    ("readings", &["not JSON", r#"{"v":1"#]),
    (r#"{"v":1,"#, &["not JSON", "EOF"]),
    ("[]", &["sequence", "an object in braces"]),
    (r#"{"v":1,"table":"readings","latest":[[1]]}"#, &["sequence", "an object in braces"]),
    ("null", &["null"]),
    (r#"{"table":"readings","latest":{}}"#, &["no version", r#""v":1"#]),
    (r#"{"v":2,"table":"readings","latest":{}}"#, &["version 2", "reads version 1"]),
    (r#"{"v":"1","table":"readings","latest":{}}"#, &[r#"string "1""#, "version as a number"]),
    (r#"{"v":1.5,"table":"readings","latest":{}}"#, &["1.5", "version as a number"]),
    (r#"{"v":1,"latest":{}}"#, &[r#"no "table""#]),
    (r#"{"v":1,"table":7,"latest":{}}"#, &["integer `7`", "text in quotes"]),
    (r#"{"v":1,"table":"readings"}"#, &["asks for nothing", r#""latest", "at" and "range""#]),
    (r#"{"v":1,"table":"readings","latest":{},"range":{}}"#, &[r#""latest" and "range""#]),
    (
        r#"{"v":1,"table":"readings","latest":{},"at":{"time":"2026-01-01"}}"#,
        &[r#""latest" and "at""#],
    ),
    (
        r#"{"v":1,"table":"readings","at":{"time":"2026-01-01"},"range":{}}"#,
        &[r#""at" and "range""#],
    ),
    (
        r#"{"v":1,"table":"readings","latest":{},"colums":[]}"#,
        &["unknown field `colums`", "`columns`"],
    ),
    (r#"{"v":1,"table":"readings","latest":{"key":1}}"#, &["unknown field `key`", "`keys`"]),
    (r#"{"v":1,"table":"readings","latest":{},"latest":{}}"#, &["duplicate field `latest`"]),
    (
        r#"{"v":1,"table":"readings","latest":{"keys":7}}"#,
        &["integer `7`", "list of whole numbers"],
    ),
    (
        r#"{"v":1,"table":"readings","latest":{"keys":["Paris"]}}"#,
        &[r#"string "Paris""#, "key as a whole number"],
    ),
    (r#"{"v":1,"table":"readings","latest":{"keys":[1.5]}}"#, &["1.5", "key as a whole number"]),
    (r#"{"v":1,"table":"readings","latest":{"keys":[null]}}"#, &["null", "key as a whole number"]),
    (
        r#"{"v":1,"table":"readings","latest":{"keys":[18446744073709551615]}}"#,
        &["18446744073709551615"],
    ),
    (r#"{"v":1,"table":"readings","latest":{"keys":[4294967296]}}"#, &["key 4294967296", "32-bit"]),
    (
        r#"{"v":1,"table":"readings","latest":{"keys":[1,2,3,4,5]}}"#,
        &["5 keys", "ticket_keys_max allows 4"],
    ),
    (r#"{"v":1,"table":"readings","at":{"keys":[1]}}"#, &[r#""at" has no "time""#]),
    (
        r#"{"v":1,"table":"readings","at":{"time":"noon"}}"#,
        &[r#"time "noon""#, "2026-11-22T10:00:00Z"],
    ),
    (r#"{"v":1,"table":"readings","at":{"time":1700000000}}"#, &["1700000000", "a time in quotes"]),
    (r#"{"v":1,"table":"readings","range":{"from":"2026-13-01"}}"#, &[r#"time "2026-13-01""#]),
    (
        r#"{"v":1,"table":"readings","range":{"from":"2026-01-02","to":"2026-01-01"}}"#,
        &["from 2026-01-02", "to 2026-01-01", "later"],
    ),
    (
        r#"{"v":1,"table":"readings","range":{"from":"2026-01-01","to":"2026-01-01"}}"#,
        &["exclusive"],
    ),
    (
        r#"{"v":1,"table":"readings","range":{"key_from":9,"key_to":5}}"#,
        &["key_from 9", "key_to 5"],
    ),
    (r#"{"v":1,"table":"readings","range":{"key_to":4294967296}}"#, &["key 4294967296"]),
    (
        r#"{"v":1,"table":"readings","latest":{},"columns":["wind"]}"#,
        &[r#"no column "wind""#, "temperature, humidity"],
    ),
    (r#"{"v":1,"table":"readings","latest":{},"columns":["note","note"]}"#, &[r#""note" twice"#]),
    (
        r#"{"v":1,"table":"readings","latest":{},"columns":"note"}"#,
        &[r#"string "note""#, "sequence"],
    ),
    (
        r#"{"v":1,"table":"readings","latest":{},"filter":"note = 'x'"}"#,
        &[r#""filter" without "range""#],
    ),
    (r#"{"v":1,"table":"readings","latest":{},"limit":1}"#, &[r#""limit" without "range""#]),
    (r#"{"v":1,"table":"readings","range":{},"limit":0}"#, &["`0`", "at least 1"]),
    (r#"{"v":1,"table":"readings","latest":{},"as_of":1}"#, &[r#""as_of" without "range""#]),
    (r#"{"v":1,"table":"readings","range":{},"as_of":-1}"#, &["`-1`", "a version, like 42"]),
    (r#"{"v":1,"table":"readings","range":{},"as_of":"noon"}"#, &[r#"time "noon""#]),
    (r#"{"v":1,"table":"readings","range":{},"limit":-1}"#, &["`-1`", "at least 1"]),
    (r#"{"v":1,"table":"readings","range":{},"every":"1h"}"#, &[r#""every" without "aggregates""#]),
    (
        r#"{"v":1,"table":"readings","range":{},"aggregates":{"note":["count"]}}"#,
        &[r#""aggregates" without "every""#],
    ),
    (
        r#"{"v":1,"table":"readings","range":{},"every":"1 fortnight","aggregates":{"note":["count"]}}"#,
        &[r#""every""#, "1 fortnight", "like 5m"],
    ),
    (
        r#"{"v":1,"table":"readings","range":{},"every":"1h","aggregates":{}}"#,
        &[r#""aggregates" is empty"#],
    ),
    (
        r#"{"v":1,"table":"readings","range":{},"every":"1h","aggregates":{"note":[]}}"#,
        &[r#""note" is empty"#],
    ),
    (
        r#"{"v":1,"table":"readings","range":{},"every":"1h","aggregates":{"note":["median"]}}"#,
        &[r#"unknown aggregate "median""#, "count, sum, mean"],
    ),
    (
        r#"{"v":1,"table":"readings","range":{},"every":"1h","aggregates":{"note":["count","count"]}}"#,
        &["twice"],
    ),
    (
        r#"{"v":1,"table":"readings","range":{},"every":"1h","aggregates":{"note":["mean"]}}"#,
        &[r#""note""#, "holds no numbers"],
    ),
    (
        r#"{"v":1,"table":"readings","range":{},"every":"1h","aggregates":{"city_id":["max"]}}"#,
        &[r#""city_id""#, "not a value column"],
    ),
    (
        r#"{"v":1,"table":"readings","range":{},"every":"1h","aggregates":{"wind":["max"]}}"#,
        &[r#"no column "wind""#],
    ),
    (
        r#"{"v":1,"table":"readings","range":{},"every":"1h","columns":[],"aggregates":{"note":["count"]}}"#,
        &[r#""columns" and "aggregates""#],
    ),
];

#[test]
fn a_refusal_names_the_thing_the_value_and_the_mend() {
    for (json, expected) in REFUSED {
        let error = bind(json).map(|bound| panic!("{json} was taken: {bound:?}")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Request, "{json}: {error}");
        for part in *expected {
            assert!(error.to_string().contains(part), "{json}\n  says {error}\n  not  {part}");
        }
    }
}

#[test]
fn hostile_tickets_are_refused_without_harm() {
    let long = format!(r#"{{"v":1,"table":"{}","latest":{{}}}}"#, "x".repeat(BYTES_MAX));
    assert!(parse(&long).unwrap_err().to_string().contains("ticket_bytes_max allows 4096"));
    let deep = format!(r#"{{"v":1,"table":"a","latest":{}"#, "[".repeat(4_000));
    assert!(parse(&deep).is_err());
    assert!(Ticket::parse(b"{\"v\":1,\"table\":\"\xff\"}", BYTES_MAX).is_err());
    assert!(Ticket::parse(&[0; 100], BYTES_MAX).is_err());
    assert!(
        Ticket::parse(b"\n\x2btype.googleapis.com/arrow.flight.protocol.sql", BYTES_MAX).is_err()
    );
}

#[test]
fn an_exchange_request_says_only_what_differs() {
    let parse = |json: &str| PointRequest::parse(json.as_bytes(), BYTES_MAX);
    let request = parse(r#"{"keys":[1],"id":7}"#).unwrap();
    assert_eq!(
        (request.keys.as_deref(), request.id.clone()),
        (Some(&[Key::new(1)][..]), Some(7.into()))
    );
    assert!(request.ticket().unwrap_err().to_string().contains("must be a whole ticket"));

    let whole =
        parse(r#"{"v":1,"table":"readings","latest":{"keys":[1]},"columns":["note"],"id":"a"}"#)
            .unwrap();
    assert_eq!(
        whole.ticket().unwrap(),
        Ticket::latest("readings", Some(vec![Key::new(1)])).columns(["note"])
    );

    for (json, id, expected) in [
        (r#"{"id":1,"range":{}}"#, Some(1.into()), "ask for a range with DoGet"),
        (
            r#"{"id":2,"latest":{},"at":{"time":"2026-01-01"}}"#,
            Some(2.into()),
            r#""latest" and "at""#,
        ),
        (r#"{"id":3,"keys":[1],"latest":{"keys":[1]}}"#, Some(3.into()), r#""keys" twice"#),
        (r#"{"id":4,"limit":1}"#, Some(4.into()), "unknown field `limit`"),
        (r#"{"id":5,"keys":["x"]}"#, Some(5.into()), "key as a whole number"),
        (r#"{"id":6,"v":3}"#, Some(6.into()), "version 3"),
        ("x", None, "not JSON"),
    ] {
        let refused = parse(json).unwrap_err();
        assert_eq!(refused.id, id, "{json}");
        assert!(refused.error.to_string().contains(expected), "{json}: {}", refused.error);
    }
}

fn keys() -> impl Strategy<Value = Option<Vec<Key>>> {
    proptest::option::of(proptest::collection::vec(any::<i64>().prop_map(Key::new), 0..5))
}

/// Instants in the years 1 to 9999, which RFC 3339 can write.
fn instant() -> impl Strategy<Value = Timestamp> {
    (-62_135_596_800_000_000..253_402_300_800_000_000_i64).prop_map(Timestamp::from_micros)
}

fn windows() -> impl Strategy<Value = Windows> {
    let functions = Just(AGGREGATES.map(|(_, function)| function).to_vec()).prop_shuffle();
    let columns = proptest::collection::btree_map("[a-z]{1,8}", (functions, 1..7_usize), 1..4);
    (1..1_000_i64, columns).prop_map(|(minutes, columns)| Windows {
        every: Span::seconds(60 * minutes),
        aggregates: columns
            .into_iter()
            .map(|(name, (functions, count))| (name, functions[..count].to_vec()))
            .collect(),
    })
}

fn range() -> impl Strategy<Value = RangeRead> {
    let times = (proptest::option::of(instant()), proptest::option::of(instant()))
        .prop_filter("from before to", |(from, to)| {
            from.zip(*to).is_none_or(|(from, to)| from < to)
        });
    let key = || proptest::option::of(any::<i64>().prop_map(Key::new));
    let filter = proptest::option::of("\\PC{0,20}");
    let limit = proptest::option::of(1..usize::MAX);
    let as_of = proptest::option::of(prop_oneof![
        any::<u64>().prop_map(|version| AsOf::Version(TableVersion::new(version))),
        instant().prop_map(AsOf::Time),
    ]);
    (keys(), key(), key(), times, filter, proptest::option::of(windows()), limit, as_of).prop_map(
        |(keys, key_from, key_to, (from, to), filter, windows, limit, as_of)| RangeRead {
            keys,
            key_from,
            key_to,
            from,
            to,
            filter,
            windows,
            limit,
            as_of,
        },
    )
}

fn ticket() -> impl Strategy<Value = Ticket> {
    let read = prop_oneof![
        keys().prop_map(|keys| Read::Point { keys, point: Point::Latest }),
        (keys(), instant()).prop_map(|(keys, time)| Read::Point { keys, point: Point::At(time) }),
        range().prop_map(Read::Range),
    ];
    let columns = proptest::option::of(proptest::collection::vec("\\PC{0,8}", 0..4));
    let after = proptest::option::of(any::<u64>().prop_map(LogPosition::new));
    ("\\PC{0,12}", read, columns, after, proptest::option::of("[0-9a-f-]{1,20}")).prop_map(
        |(table, read, columns, after, view)| {
            let windowed = matches!(&read, Read::Range(RangeRead { windows: Some(_), .. }));
            Ticket { table, read, columns: columns.filter(|_| !windowed), after, view }
        },
    )
}

proptest! {
    #[test]
    fn writing_and_reading_are_inverse(ticket in ticket()) {
        let json = ticket.to_json();
        prop_assert_eq!(Ticket::parse(json.as_bytes(), usize::MAX).unwrap(), ticket, "{}", json);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Ticket::parse(&bytes, BYTES_MAX);
        let _ = PointRequest::parse(&bytes, BYTES_MAX);
    }

    #[test]
    fn no_damaged_ticket_makes_it_panic(ticket in ticket(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut json = ticket.to_json().into_bytes();
        let at = at.index(json.len());
        json[at] = byte;
        if let Ok(ticket) = Ticket::parse(&json, usize::MAX) {
            let _ = ticket.bind(&readings(), BOUNDS);
        }
    }
}
