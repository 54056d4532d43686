//! Tests of times: usual forms, numbers, zones, rounding, and files in another unit than is stated.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn form(toml: &str) -> TimeForm {
    TimeForm::new("at", &toml::from_str(toml).unwrap()).unwrap()
}

fn read(toml: &str, text: &str) -> Read {
    form(toml).begin("at").text(text)
}

fn is(toml: &str, text: &str, utc: &str) {
    assert_eq!(read(toml, text), Ok(utc.parse::<Timestamp>().unwrap()), "{toml}: {text}");
}

fn refused(toml: &str, text: &str, reason: &str) {
    let found = read(toml, text).unwrap_err();
    assert!(found.contains(reason), "{toml}: {text}: {found}");
}

#[test]
fn usual_forms_need_no_statement() {
    for (text, utc) in [
        ("2022-09-01T00:05:00Z", "2022-09-01T00:05:00Z"),
        ("2022-09-01 00:05", "2022-09-01T00:05:00Z"),
        ("2022-09-01  00:05:07.25", "2022-09-01T00:05:07.25Z"),
        ("2022-09-01T02:05:00+02:00", "2022-09-01T00:05:00Z"),
        ("2022-09-01T02:05:00+0200", "2022-09-01T00:05:00Z"),
        ("2022-09-01 00:05 Europe/Brussels", "2022-08-31T22:05:00Z"),
        ("2022-09-01 24:00", "2022-09-02T00:00:00Z"),
        ("2022-09-01", "2022-09-01T00:00:00Z"),
        ("1661990400000000", "2022-09-01T00:00:00Z"),
    ] {
        is("", text, utc);
    }
    for text in ["soon", "2022-13-01", "2022-09-01 25:00", "2022-09-01x", "01/09/2022 10:00"] {
        refused("", text, "is not a time like 2026-11-22T10:00:00Z");
    }
}

#[test]
fn numbers_are_never_guessed() {
    refused("", "2023010112", "looks like %Y%m%d%H, not like µs since 1970");
    refused("", "2023010112", "state format = \"%Y%m%d%H\"");
    refused("", "1661990400", "looks like s since 1970");
    refused("", "1661990400000", "state unit = \"ms\" (--time-unit ms)");
    refused("", "1661990400123456789", "looks like ns since 1970");
    refused("", "2023", "nothing says what it counts");
    refused("unit = 's'", "1661990400000", "looks like ms since 1970, not like s, as stated");
    refused("unit = 'ms'", "1661990400", "looks like s since 1970");
    refused("unit = 's'", "2022-09-01", "is not a number of s");
    is("unit = 's'", "1661990400.25", "2022-09-01T00:00:00.25Z");
    is("unit = 'ms'", "1661990400250", "2022-09-01T00:00:00.25Z");
    is("unit = 'ns'", "1661990400250000000", "2022-09-01T00:00:00.25Z");
    is("unit = 'us'", "0", "1970-01-01T00:00:00Z");
    is("unit = 'd'\nsince = '1899-12-30'", "44805.5", "2022-09-01T12:00:00Z");
    is("unit = 'h'\nsince = '1900-01-01'", "1075464", "2022-09-09T00:00:00Z");
    is(
        "unit = 'd'\nsince = '1899-12-30'\nzone = 'Europe/Brussels'",
        "44805.5",
        "2022-09-01T10:00:00Z",
    );
}

#[test]
fn finer_than_a_microsecond_is_refused_or_rounded() {
    let fine = "is finer than a µs, which `round = true` would round";
    refused("", "2022-09-01T00:00:00.123456789Z", fine);
    refused("unit = 'ns'", "1661990400123456789", fine);
    refused("unit = 's'", "1661990400.1234567", fine);
    refused("format = '%Y-%m-%d %H:%M:%S.%f'", "2022-09-01 00:00:00.12345678901", fine);
    is("", "2022-09-01T00:00:00.123456000Z", "2022-09-01T00:00:00.123456Z");
    is("unit = 'ns'", "1661990400123456000", "2022-09-01T00:00:00.123456Z");
    let rounded = "2022-09-01T00:00:00.123457Z";
    is("round = true", "2022-09-01T00:00:00.123456789Z", rounded);
    is("round = true\nunit = 'ns'", "1661990400123456789", rounded);
    is("round = true\nunit = 's'", "1661990400.1234567", rounded);
    is("round = true", "2022-09-01T00:00:00.1234565Z", "2022-09-01T00:00:00.123456Z");
    is("round = true", "2022-09-01T00:00:00.1234565001Z", rounded);
}

#[test]
fn a_zone_holds_for_times_without_an_offset() {
    let zone = "zone = 'Europe/Brussels'";
    is(zone, "2022-09-01 12:00", "2022-09-01T10:00:00Z");
    is(zone, "2022-09-01 12:00Z", "2022-09-01T12:00:00Z");
    is(zone, "2022-09-01T12:00:00+05:00", "2022-09-01T07:00:00Z");
    is("zone = '+01:00'\nformat = '%d.%m.%Y %H:%M'", "01.09.2022 24:00", "2022-09-01T23:00:00Z");
    is("zone = 'Europe/Brussels'\nunit = 's'", "1661990400", "2022-09-01T00:00:00Z");
}

#[test]
fn local_times_that_come_twice_or_not_at_all_are_counted() {
    let form = form("zone = 'Europe/Brussels'");
    let mut reading = form.begin("at");
    for text in ["2022-10-30 02:00", "2022-10-30 02:30", "2022-03-27 02:30", "2022-03-27 03:30"] {
        reading.text(text).unwrap();
    }
    let found = reading.end(true).unwrap();
    let (first, last) = (found.ambiguous.first.as_deref(), found.ambiguous.last.as_deref());
    assert_eq!((found.ambiguous.rows, found.nonexistent.rows), (2, 1));
    assert_eq!((first, last), (Some("2022-10-30 02:00"), Some("2022-10-30 02:30")));
    let refuse = "zone = 'Europe/Brussels'\nambiguous = 'refuse'\nnonexistent = 'refuse'";
    refused(refuse, "2022-10-30 02:30", "occurs twice in Europe/Brussels");
    refused(refuse, "2022-03-27 02:30", "does not exist in Europe/Brussels");
}

#[test]
fn a_file_in_another_unit_is_refused_by_its_beginning() {
    let end = |toml: &str, texts: &[&str], first| {
        let form = form(toml);
        let mut reading = form.begin("ts");
        texts.iter().for_each(|text| drop(reading.text(text)));
        reading.end(first).map(|_| ()).map_err(|error| error.to_string())
    };
    let error = end("", &["1661990400", "1661990700"], true).unwrap_err();
    assert!(error.starts_with("at: ts \"1661990400\" looks like s since 1970"), "{error}");
    assert!(end("", &["1661990400", "1661990400000000"], true).is_ok(), "one row's fault");
    assert!(end("", &["1661990400"], false).is_ok());
    assert!(end("", &["01/09/2022"; 99], true).is_ok());
    let error = end("", &["01/09/2022"; 100], true).unwrap_err();
    assert!(error.contains("is not a time like"), "{error}");
    let error = end("unit = 's'", &["2033010112"; 100], true).unwrap_err();
    assert!(error.contains("looks like %Y%m%d%H"), "{error}");
}

#[test]
fn what_cannot_be_stated_is_said() {
    for (toml, part) in [
        ("format = '%d/%m %H:%M'", "it has no year"),
        ("format = '%Q'", "%Q is not known"),
        ("format = '%Y'\nunit = 's'", "state one of them"),
        ("since = '1900-01-01'", "since needs a unit"),
        ("unit = 's'\nsince = 'then'", "like 1899-12-30"),
        ("zone = 'Mars/Olympus'", "Europe/Brussels"),
        ("unit = 's'\ncolumns = ['a', 'b']", "one column of numbers"),
    ] {
        let error = TimeForm::new("at", &toml::from_str(toml).unwrap()).unwrap_err().to_string();
        assert!(error.contains(part), "{toml}: {error}");
    }
}

#[test]
fn fuzz_times_as_texts() {
    let seeds = [
        "%Y-%m-%d %H:%M:%S%.f%z\n2026-11-22 10:00:00.123456789+01:00",
        "%d/%m/%y %I:%M %p\n22/11/26 10:00 PM",
        "%Y%j%H\n202632410",
        "\n2026-11-22T10:00:00.5Z",
        "\n20261122T100000,5+0530",
    ];
    let tokens = [
        "%Y", "%m", "%d", "%H", "%M", "%S", "%.f", "%.3f", "%z", "%:z", "%Z", "%p", "%b", "%a",
        "%j", "%s", "%%", "T", "Z", "\n",
    ];
    let target =
        barograph_fuzz::Target::new("times", 80_000).seeds(seeds).tokens(tokens).bytes_max(256);
    target.run(|input| {
        let text = String::from_utf8_lossy(input);
        let (format, time) = text.split_once('\n').unwrap_or(("", &text));
        let _ = usual(time);
        let format = Format::new(format)?;
        let stamp = format.read(time).ok_or_else(|| "not of the form".to_owned())?;
        assert!(stamp.local_ns.abs() < 1 << 80);
        Ok(())
    });
}
