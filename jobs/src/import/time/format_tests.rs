//! Tests of forms of times: those of many makers, and the usual ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use barograph_lake::Timestamp;

use super::*;

#[test]
fn forms_of_many_makers_are_read() {
    for (format, text, utc) in [
        ("%d/%m/%Y %H:%M", "01/09/2022 10:05", "2022-09-01T10:05:00Z"),
        ("%d/%m/%Y %H:%M", "1/9/2022 9:05", "2022-09-01T09:05:00Z"),
        ("%m/%d/%y %I:%M %p", "9/1/22 12:05 AM", "2022-09-01T00:05:00Z"),
        ("%m/%d/%y %I:%M%p", "9/1/69 12:05pm", "1969-09-01T12:05:00Z"),
        ("%Y%m%d%H", "2023010112", "2023-01-01T12:00:00Z"),
        ("%Y%m%d%H%M%S", "20230101123059", "2023-01-01T12:30:59Z"),
        ("%Y%m%d%H%M%S%3f", "20230101123059250", "2023-01-01T12:30:59.25Z"),
        ("%Y%m%d %H%M", "20230101 5", "2023-01-01T00:05:00Z"),
        ("%Y%m%d %H%M", "20230101 830", "2023-01-01T08:30:00Z"),
        ("%Y%m%d %H%M", "20230101 2400", "2023-01-02T00:00:00Z"),
        ("%d%m%y", "10122", "2022-01-01T00:00:00Z"),
        ("%Y %j %H%M", "2016   60 1230", "2016-02-29T12:30:00Z"),
        ("%Y%j", "2022001", "2022-01-01T00:00:00Z"),
        ("%Y %m %d %H %M", "2016 1 31 24 0", "2016-02-01T00:00:00Z"),
        ("%d-%b-%Y %T", "01-Sep-2022 00:05:00", "2022-09-01T00:05:00Z"),
        ("%a %d %B %Y", "Thu 1 september 2022", "2022-09-01T00:00:00Z"),
        ("%F %T%.f %z", "2022-09-01 00:05:00,5 +02:00", "2022-08-31T22:05:00.5Z"),
        ("%FT%RZ", "2022-09-01T00:05Z", "2022-09-01T00:05:00Z"),
        ("%Y-%m", "2022-09", "2022-09-01T00:00:00Z"),
        ("%Y", "2022", "2022-01-01T00:00:00Z"),
    ] {
        let stamp = Format::new(format).unwrap().read(text);
        let stamp = stamp.unwrap_or_else(|| panic!("{format}: {text}"));
        let utc_ns = stamp.local_ns - i128::from(stamp.offset.unwrap_or(0)) * 1_000_000_000;
        assert_eq!(
            utc_ns,
            i128::from(utc.parse::<Timestamp>().unwrap().as_micros()) * 1_000,
            "{format}: {text}"
        );
    }
}

#[test]
fn what_is_of_another_form_is_not_read() {
    for (format, text) in [
        ("%d/%m/%Y", "09/13/2022"),
        ("%d/%m/%Y", "01/09/22"),
        ("%d/%m/%Y", "01/09/2022 10:00"),
        ("%Y%m%d", "230101"),
        ("%Y%m%d%H", "20230101"),
        ("%H:%M %d.%m.%Y", "24:01 01.09.2022"),
        ("%Y-%m-%d %H:%M", "2022-02-29 10:00"),
        ("%Y-%m-%d %H:%M", "2022-02-28 10:60"),
        ("%Y %j", "2022 366"),
        ("%Y-%m-%d %I %p", "2022-02-28 13 PM"),
        ("%Y-%m-%d", ""),
        ("%Y-%m-%d", "2022-09-é1"),
    ] {
        assert_eq!(Format::new(format).unwrap().read(text), None, "{format}: {text}");
    }
}

#[test]
fn times_in_full_are_read_as_those_with_a_decimal_point_are() {
    let numbers = |from, to| [from, from + 1, 9, to - 1, to, to + 1];
    for (year, month) in [(0, 1), (1, 12), (1970, 1), (2023, 2), (2024, 2), (9999, 13)] {
        for (day, hour) in numbers(0, 31).into_iter().zip(numbers(0, 24)) {
            for (minute, second) in numbers(0, 59).into_iter().zip([0, 1, 58, 59, 60, 0]) {
                let date = format!("{year:04}-{month:02}-{day:02}");
                for between in ["T", " "] {
                    for offset in ["", "Z"] {
                        let full = format!("{date}{between}{hour:02}:{minute:02}:{second:02}");
                        let pointed = format!("{full}.0{offset}");
                        assert_eq!(usual(&format!("{full}{offset}")), usual(&pointed), "{full}");
                    }
                }
            }
        }
    }
    let strange = [
        "2026-11-22T10:00:0x",
        "2026-11-22T1:00:00Z0",
        "2026-11-22T10:00:00é",
        "é026-11-22T10:00:00",
    ];
    assert!(strange.iter().all(|text| usual(text).is_none()));
    assert!(usual("2026-02-29T10:00:00").is_none() && usual("2024-02-29T24:00:00Z").is_some());
}
