//! Values with a text form: each is parsed back as what it was.

#![allow(clippy::unwrap_used)]

use barograph_lake::time::{MICROS_PER_HOUR, format_instant, parse_instant};
use barograph_lake::{FilePath, Hour, Key, LogPosition, Micros, Size, Span, TableVersion};
use proptest::prelude::*;

/// The instants that a file can be for: years 0001 to 9999.
const FIRST: Micros = -62_135_596_800_000_000;
const LAST: Micros = 253_402_300_799_999_999;

proptest! {
    #[test]
    fn an_hour_holds_its_instants(instant in FIRST..=LAST) {
        let hour = Hour::of(instant).unwrap();
        prop_assert!(hour.range().contains(instant));
        prop_assert_eq!(Hour::of(hour.start()), Some(hour));
        prop_assert_eq!(Hour::of(hour.end()), Some(hour.next()));
        prop_assert_eq!(hour.end() - hour.start(), MICROS_PER_HOUR);
    }

    #[test]
    fn hours_come_back(instant in FIRST..=LAST) {
        let hour = Hour::of(instant).unwrap();
        prop_assert_eq!(hour.to_string().parse::<Hour>().unwrap(), hour);
    }

    #[test]
    fn hours_sort_as_their_text(a in FIRST..=LAST, b in FIRST..=LAST) {
        let (a, b) = (Hour::of(a).unwrap(), Hour::of(b).unwrap());
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
    }

    #[test]
    fn file_paths_come_back(instant in FIRST..=LAST, position in any::<u64>()) {
        let path = FilePath::new(Hour::of(instant).unwrap(), LogPosition::new(position));
        let read: FilePath = path.to_string().parse().unwrap();
        prop_assert_eq!(read, path);
        prop_assert_eq!((read.period(), read.through()), (path.period(), LogPosition::new(position)));
    }

    #[test]
    fn log_positions_come_back_and_sort_as_their_text(a in any::<u64>(), b in any::<u64>()) {
        let (a, b) = (LogPosition::new(a), LogPosition::new(b));
        prop_assert_eq!(a.to_string().parse::<LogPosition>().unwrap(), a);
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
    }

    #[test]
    fn table_versions_come_back_and_sort_as_their_numbers(a in any::<u64>(), b in any::<u64>()) {
        let versions = (TableVersion::new(a), TableVersion::new(b));
        prop_assert_eq!(versions.0.to_string().parse::<TableVersion>().unwrap(), versions.0);
        prop_assert_eq!(versions.0.cmp(&versions.1), a.cmp(&b));
        prop_assert_eq!(serde_json::to_string(&versions.0).unwrap(), a.to_string());
    }

    #[test]
    fn keys_come_back_and_sort_as_their_numbers(a in any::<i64>(), b in any::<i64>()) {
        let keys = (Key::new(a), Key::new(b));
        prop_assert_eq!(keys.0.to_string().parse::<Key>().unwrap(), keys.0);
        prop_assert_eq!(keys.0.cmp(&keys.1), a.cmp(&b));
        prop_assert_eq!(serde_json::to_string(&keys.0).unwrap(), a.to_string());
    }

    #[test]
    fn instants_come_back(instant in FIRST..=LAST) {
        prop_assert_eq!(parse_instant(&format_instant(instant)).unwrap(), instant);
    }

    #[test]
    fn lengths_of_time_come_back(
        count in 1..10_000i64,
        unit in proptest::sample::select(vec!["us", "ms", "s", "m", "h", "d", "w"]),
    ) {
        let span: Span = format!("{count}{unit}").parse().unwrap();
        prop_assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
    }

    #[test]
    fn sizes_come_back(bytes in any::<u64>()) {
        let size = Size::bytes(bytes);
        prop_assert_eq!(size.to_string().parse::<Size>().unwrap(), size);
    }

    #[test]
    fn other_paths_are_refused(text in "[a-z0-9/:.-]{0,60}") {
        prop_assert!(text.parse::<FilePath>().is_err());
    }
}

#[test]
fn near_misses_of_a_path_are_refused() {
    let id = "0123456789abcdef0123456789abcdef";
    let good = format!("hour/2026-11-22T10/00000000000000000007-{id}.parquet");
    assert_eq!(good.parse::<FilePath>().unwrap().to_string(), good);
    for bad in [
        good.replace("hour/", "day/"),
        good.replace("T10", "T24"),
        good.replace("T10", "T1"),
        good.replace("-11-", "-13-"),
        good.replace(".parquet", ".parq"),
        good.replace(id, "xyz"),
        good.replace("00000000000000000007", "+7"),
        good.replace("00000000000000000007", "7"),
        format!("/{good}"),
        format!("{good}/x"),
    ] {
        assert!(bad.parse::<FilePath>().is_err(), "{bad}");
    }
}
