//! Formulas for the bytes that a function makes of a row. Functions whose result may be far larger than all their
//! arguments have one; of all others it is known that they do not grow so.

use super::extent::Extent;

/// Bytes that any other function usually makes of a byte at most; checked on the result.
const PER_BYTE: u64 = 2;
const PER_VALUE: u64 = 16;
/// Longest UTF-8 character.
const CHARACTER: u64 = 4;
/// An element of a list of numbers or times.
const ELEMENT: u64 = 8;

/// Bytes that a function makes of a row.
pub(super) struct Formula {
    pub(super) bytes: fn(&[Extent]) -> u64,
    /// Whether the figure holds within a factor of four; otherwise the result may be far smaller.
    pub(super) close: bool,
}

/// The formula of a function whose result may be far larger than its arguments.
pub(super) fn of(function: &str) -> Option<&'static Formula> {
    const CLOSE: bool = true;
    const MOST: bool = false;
    macro_rules! formula {
        ($close:expr, $bytes:expr) => {{
            static FORMULA: Formula = Formula { bytes: $bytes, close: $close };
            Some(&FORMULA)
        }};
    }
    match function {
        "repeat" => formula!(CLOSE, |of| at(of, 0).bytes.saturating_mul(count(at(of, 1)))),
        "lpad" | "rpad" => formula!(CLOSE, padded),
        "range" | "generate_series" => formula!(CLOSE, series),
        "array_repeat" => formula!(CLOSE, |of| {
            at(of, 0).bytes.saturating_add(ELEMENT).saturating_mul(count(at(of, 1)))
        }),
        "array_resize" => formula!(CLOSE, |of| {
            let item = at(of, 2).bytes.saturating_add(ELEMENT);
            at(of, 0).bytes.saturating_add(item.saturating_mul(count(at(of, 1))))
        }),
        "replace" => formula!(MOST, |of| {
            let (text, from, to) = (at(of, 0), at(of, 1), at(of, 2));
            let places = text.bytes / from.bytes.max(1) + 1;
            text.bytes.saturating_add(places.saturating_mul(to.bytes))
        }),
        "regexp_replace" => formula!(MOST, |of| {
            let (text, by) = (at(of, 0), at(of, 2));
            // A group stands in the text once, and may be used as often as there is room for its number.
            let groups = text.bytes.saturating_mul(by.bytes / 2);
            let places = (text.bytes + 1).saturating_mul(by.bytes);
            text.bytes.saturating_add(places).saturating_add(groups)
        }),
        "translate" => formula!(CLOSE, |of| at(of, 0).bytes.saturating_mul(CHARACTER)),
        "concat_ws" => formula!(CLOSE, |of| {
            let gaps = (of.len() as u64).saturating_sub(2);
            all(of).saturating_add(gaps.saturating_mul(at(of, 0).bytes))
        }),
        "array_to_string" => formula!(CLOSE, |of| {
            let (list, between, null) = (at(of, 0), at(of, 1), at(of, 2));
            let item = between.bytes.saturating_add(null.bytes);
            list.bytes.saturating_mul(2).saturating_add(list.items.saturating_mul(item))
        }),
        "array_replace" | "array_replace_n" | "array_replace_all" => formula!(MOST, |of| {
            let (list, to) = (at(of, 0), at(of, 2));
            list.bytes.saturating_add(list.items.saturating_mul(to.bytes))
        }),
        "string_to_array" => formula!(CLOSE, |of| at(of, 0).bytes.saturating_mul(ELEMENT)),
        "to_char" => formula!(MOST, |of| at(of, 1).bytes.saturating_mul(16)),
        // It makes a number, and works for as long as this.
        "levenshtein" => formula!(MOST, |of| at(of, 0).bytes.saturating_mul(at(of, 1).bytes) / 16),
        _ => None,
    }
}

/// Bytes that a function without a formula makes of a row.
pub(super) fn linear(row: &[Extent]) -> u64 {
    all(row).saturating_mul(PER_BYTE)
}

/// Bytes that a function without a formula makes of `bytes` of arguments.
pub(super) fn linear_of(bytes: u64) -> u64 {
    bytes.saturating_mul(PER_BYTE)
}

fn all(row: &[Extent]) -> u64 {
    row.iter().map(|of| of.bytes.saturating_add(PER_VALUE)).fold(0, u64::saturating_add)
}

fn at(row: &[Extent], argument: usize) -> Extent {
    row.get(argument).copied().unwrap_or_default()
}

fn count(of: Extent) -> u64 {
    u64::try_from(of.number.max(0)).unwrap_or(u64::MAX)
}

fn padded(of: &[Extent]) -> u64 {
    let (text, length) = (at(of, 0), count(at(of, 1)));
    let pad = of.get(2).map_or(1, |pad| pad.bytes.clamp(1, CHARACTER));
    length.saturating_mul(pad).saturating_add(text.bytes)
}

/// One number is the end; two are start and end; the third is the step.
fn series(of: &[Extent]) -> u64 {
    if of.iter().any(|of| of.null) {
        return 0;
    }
    let (from, to) = match of {
        [to] => (0, to.number),
        _ => (at(of, 0).number, at(of, 1).number),
    };
    let step = of.get(2).map_or(1, |step| step.number);
    // A step of some months and days forth and back is short.
    let steps = (to - from) / if step == 0 { 1 } else { step };
    u64::try_from(steps.max(0) + 1).unwrap_or(u64::MAX).saturating_mul(ELEMENT)
}
