//! Tests of cron expressions: against known times, and against a model that tries every minute.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn cron(text: &str) -> Cron {
    text.parse().unwrap()
}

/// The next times after `from`, shortened to the minute.
fn next(text: &str, from: &str, count: usize) -> Vec<String> {
    let cron = cron(text);
    let mut at = from.parse::<Timestamp>().unwrap();
    let step = || {
        at = cron.after(at).unwrap();
        at.to_string().replace(":00Z", "")
    };
    std::iter::repeat_with(step).take(count).collect()
}

#[test]
fn times_follow_each_other() {
    assert_eq!(
        next("*/20 5 * * *", "2026-11-22T05:19:59.999999Z", 3),
        ["2026-11-22T05:20", "2026-11-22T05:40", "2026-11-23T05:00"]
    );
    assert_eq!(next("0 0 * * *", "2026-12-31T00:00:00Z", 1), ["2027-01-01T00:00"]);
    assert_eq!(next("30 2 * * 7", "2026-11-22", 2), ["2026-11-22T02:30", "2026-11-29T02:30"]);
    assert_eq!(next("30 2 * * SUN", "2026-11-22", 1), ["2026-11-22T02:30"]);
    assert_eq!(
        next("0 12 * * mon-wed,fri", "2026-11-22", 4),
        ["2026-11-23T12:00", "2026-11-24T12:00", "2026-11-25T12:00", "2026-11-27T12:00"]
    );
    assert_eq!(next("10/25 1 * * *", "2026-11-22", 2), ["2026-11-22T01:10", "2026-11-22T01:35"]);
}

#[test]
fn the_ends_of_months_are_those_of_the_calendar() {
    assert_eq!(
        next("0 3 31 * *", "2026-01-31T03:00:00Z", 3),
        ["2026-03-31T03:00", "2026-05-31T03:00", "2026-07-31T03:00"]
    );
    assert_eq!(next("0 0 29 feb *", "2026-01-01", 2), ["2028-02-29T00:00", "2032-02-29T00:00"]);
    assert_eq!(next("0 0 29 2 *", "2096-03-01", 1), ["2104-02-29T00:00"]);
    assert_eq!(next("59 23 * * *", "2026-02-28T23:59:00Z", 1), ["2026-03-01T23:59"]);
    // Either field makes a day due where both are restricted.
    assert_eq!(
        next("0 0 1 * mon", "2026-11-22", 3),
        ["2026-11-23T00:00", "2026-11-30T00:00", "2026-12-01T00:00"]
    );
}

#[test]
fn a_model_that_tries_every_minute_agrees() {
    let from = "2027-12-20T07:31:12Z".parse::<Timestamp>().unwrap();
    for text in
        ["*/7 */5 * * *", "3 0 1 * *", "0 0 31 1-12/2 *", "59 23 28-31 * 0", "15,45 9-17/4 * 2 *"]
    {
        let cron = cron(text);
        let due = |at: Timestamp| {
            let time = DateTime::<Utc>::from_timestamp_micros(at.as_micros()).unwrap();
            cron.fits(time.date_naive())
                && has(cron.hours, time.hour().into())
                && has(cron.minutes, time.minute().into())
        };
        let start = from.floor_to(Span::MINUTE);
        let ahead = (1..).map(|n| start + n * Span::MINUTE).find(|at| due(*at));
        assert_eq!(cron.after(from), ahead, "{text}");
        let back = (0..).map(|n| start - n * Span::MINUTE).find(|at| due(*at)).unwrap();
        assert_eq!(cron.until(from), Some(back), "{text}");
        assert_eq!(cron.until(back), Some(back), "{text}");
        assert_eq!(cron.after(back), ahead, "{text}");
    }
}

#[test]
fn a_wrong_expression_says_what_is_wrong() {
    for (text, why) in [
        ("* * * *", "4 fields"),
        ("60 * * * *", "minute \"60\""),
        ("* 24 * * *", "hour \"24\""),
        ("* * 0 * *", "day of month \"0\""),
        ("* * * 13 *", "month \"13\""),
        ("* * * * 8", "day of week \"8\""),
        ("5-1 * * * *", "minute \"5-1\""),
        ("*/0 * * * *", "minute \"*/0\""),
        ("+5 * * * *", "minute \"+5\""),
        ("1, * * * *", "minute \"1,\""),
        ("0 0 30 2 *", "no month has such a day"),
    ] {
        let error = text.parse::<Cron>().unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
        assert!(error.contains("30 2 * * *"), "{error}");
    }
    let spaced = cron(" 0  0 * *   mon ");
    assert_eq!(spaced.to_string(), "0 0 * * mon");
    assert_eq!(spaced.to_string().parse::<Cron>().unwrap(), spaced);
}

#[test]
fn the_built_in_times_are_those_that_their_text_names() {
    assert_eq!(Cron::hourly(7), cron("7 * * * *"));
    assert_eq!(Cron::daily(2, 30), cron("30 2 * * *"));
}
