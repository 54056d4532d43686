//! Values with a text form: each is parsed back as what it was.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use barograph_lake::{FilePath, Hour, Key, LogPosition, Size, Span, TableVersion, Timestamp};
use proptest::prelude::*;

/// The instants that a file can be for: years 0001 to 9999.
const FIRST: i64 = -62_135_596_800_000_000;
const LAST: i64 = 253_402_300_799_999_999;

proptest! {
    #[test]
    fn an_hour_holds_its_instants(instant in FIRST..=LAST) {
        let instant = Timestamp::from_micros(instant);
        let hour = Hour::of(instant).unwrap();
        prop_assert!(hour.range().contains(instant));
        prop_assert_eq!(Hour::of(hour.start()), Some(hour));
        prop_assert_eq!(Hour::of(hour.end()), Some(hour.next()));
        prop_assert_eq!(hour.end() - hour.start(), Span::HOUR);
    }

    #[test]
    fn hours_come_back(instant in FIRST..=LAST) {
        let hour = Hour::of(Timestamp::from_micros(instant)).unwrap();
        prop_assert_eq!(hour.to_string().parse::<Hour>().unwrap(), hour);
    }

    #[test]
    fn hours_sort_as_their_text(a in FIRST..=LAST, b in FIRST..=LAST) {
        let (a, b) = [a, b].map(|at| Hour::of(Timestamp::from_micros(at)).unwrap()).into();
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
    }

    #[test]
    fn file_paths_come_back(instant in FIRST..=LAST, position in any::<u64>()) {
        let path = FilePath::new(Hour::of(Timestamp::from_micros(instant)).unwrap(), LogPosition::new(position));
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
    fn instants_come_back_and_sort_as_their_numbers(a in FIRST..=LAST, b in any::<i64>()) {
        let instants = (Timestamp::from_micros(a), Timestamp::from_micros(b));
        prop_assert_eq!(instants.0.to_string().parse::<Timestamp>().unwrap(), instants.0);
        prop_assert_eq!(instants.0.cmp(&instants.1), a.cmp(&b));
        prop_assert_eq!(serde_json::to_string(&instants.1).unwrap(), b.to_string());
        prop_assert_eq!(serde_json::from_str::<Timestamp>(&b.to_string()).unwrap(), instants.1);
    }

    #[test]
    fn instants_and_spans_are_reckoned_without_wrapping(a in any::<i64>(), b in any::<i64>(), times in -9..9i64) {
        let within = |exact: i128| exact.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        let (wide_a, wide_b) = (i128::from(a), i128::from(b));
        let (at, span) = (Timestamp::from_micros(a), Span::from_micros(b));
        prop_assert_eq!((at + span).as_micros(), within(wide_a + wide_b));
        prop_assert_eq!((at - span).as_micros(), within(wide_a - wide_b));
        prop_assert_eq!(at.checked_add(span).map(Timestamp::as_micros), a.checked_add(b));
        prop_assert_eq!((at - Timestamp::from_micros(b)).micros(), within(wide_a - wide_b));
        prop_assert_eq!((Span::from_micros(a) + span).micros(), within(wide_a + wide_b));
        prop_assert_eq!((Span::from_micros(a) - span).micros(), within(wide_a - wide_b));
        prop_assert_eq!((times * span).micros(), within(wide_b * i128::from(times)));
        prop_assert_eq!(span.abs().micros(), within(wide_b.abs()));
    }

    #[test]
    fn steps_divide_all_time(at in any::<i64>(), step in 1..=i64::MAX) {
        let floor = Timestamp::from_micros(at).floor_to(Span::from_micros(step)).as_micros();
        let exact = i128::from(at).div_euclid(step.into()) * i128::from(step);
        prop_assert_eq!(i128::from(floor), exact.max(i64::MIN.into()));
    }

    #[test]
    fn spans_come_back_from_durations(micros in any::<i64>(), seconds in any::<u64>()) {
        let span = Span::from_micros(micros);
        prop_assert_eq!(Span::from_duration(span.duration()), span.max(Span::ZERO));
        let long = Span::from_duration(Duration::from_secs(seconds)).micros();
        prop_assert_eq!(long, i64::try_from(u128::from(seconds) * 1_000_000).unwrap_or(i64::MAX));
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
