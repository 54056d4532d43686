//! Checks of the bounds of window frames: no distance below zero, and no end before the beginning.

use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{WindowFrame, WindowFrameBound, WindowFrameUnits};
use datafusion::scalar::ScalarValue;

const DAY: i128 = 86_400_000_000_000;
/// Fewest and most days of a month.
const MONTH: [i128; 2] = [28, 31];

/// Refuses a RANGE frame that has no meaning.
pub(super) fn check(frame: &WindowFrame) -> Result<()> {
    if frame.units != WindowFrameUnits::Range {
        return Ok(());
    }
    for bound in [&frame.start_bound, &frame.end_bound] {
        let (WindowFrameBound::Preceding(distance) | WindowFrameBound::Following(distance)) = bound
        else {
            continue;
        };
        if is_below_zero(distance)? {
            let other = match bound {
                WindowFrameBound::Preceding(_) => "FOLLOWING",
                _ => "PRECEDING",
            };
            return plan_err!(
                "a window frame reaches {distance} from its row: a distance is zero or more; write {other} \
                 for the other side"
            );
        }
    }
    let (near, far) = match (&frame.start_bound, &frame.end_bound) {
        (WindowFrameBound::Preceding(far), WindowFrameBound::Preceding(near))
        | (WindowFrameBound::Following(near), WindowFrameBound::Following(far)) => (near, far),
        _ => return Ok(()),
    };
    if let (Some([_, near_most]), Some([far_least, _])) = (span(near), span(far))
        && near_most > far_least
    {
        return plan_err!(
            "a window frame begins at {} and ends at {}: the end may lie before the beginning; \
             exchange them, or give both in days",
            frame.start_bound,
            frame.end_bound
        );
    }
    Ok(())
}

fn is_below_zero(distance: &ScalarValue) -> Result<bool> {
    if distance.is_null() {
        return Ok(false);
    }
    if let Some([least, _]) = span(distance) {
        return Ok(least < 0);
    }
    Ok(match distance {
        ScalarValue::Float64(Some(value)) => value.is_nan() || *value < 0.0,
        ScalarValue::Float32(Some(value)) => value.is_nan() || *value < 0.0,
        ScalarValue::Float16(Some(value)) => value.is_nan() || f32::from(*value) < 0.0,
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) => {
            text.trim_start().starts_with('-')
        }
        other => {
            let zero = ScalarValue::new_zero(&other.data_type());
            zero.is_ok_and(|zero| other.partial_cmp(&zero).is_some_and(|order| order.is_lt()))
        }
    })
}

/// Shortest and longest length of an interval in ns.
fn span(distance: &ScalarValue) -> Option<[i128; 2]> {
    let (months, days, nanos) = match distance {
        ScalarValue::IntervalMonthDayNano(Some(of)) => (of.months, of.days, of.nanoseconds),
        ScalarValue::IntervalDayTime(Some(of)) => {
            (0, of.days, i64::from(of.milliseconds) * 1_000_000)
        }
        ScalarValue::IntervalYearMonth(Some(months)) => (*months, 0, 0),
        _ => return None,
    };
    let rest = i128::from(days) * DAY + i128::from(nanos);
    let [a, b] = MONTH.map(|of| i128::from(months) * of * DAY + rest);
    Some([a.min(b), a.max(b)])
}
