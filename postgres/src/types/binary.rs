//! Values in binary, as PostgreSQL sends and receives them: big-endian, and times from 2000 on.

use bytes::{BufMut, BytesMut};

/// Days from 1970 to 2000.
pub(super) const DAYS: i32 = 10_957;
/// µs from 1970 to 2000.
pub(super) const MICROS: i64 = 946_684_800_000_000;
pub(super) const NANOS_PER_MICRO: i64 = 1_000;

/// Days since 2000.
pub(super) fn date(days: i32, out: &mut BytesMut) {
    out.put_i32(days.saturating_sub(DAYS));
}

/// µs since 2000.
pub(super) fn timestamp(micros: i64, out: &mut BytesMut) {
    out.put_i64(micros.saturating_sub(MICROS));
}

pub(super) fn interval(months: i32, days: i32, micros: i64, out: &mut BytesMut) {
    out.put_i64(micros);
    out.put_i32(days);
    out.put_i32(months);
}

/// Writes a length and behind it what `of` writes.
pub(super) fn sized(out: &mut BytesMut, of: impl FnOnce(&mut BytesMut)) {
    let at = out.len();
    out.put_i32(0);
    of(out);
    let length = i32::try_from(out.len() - at - 4).unwrap_or(i32::MAX);
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}
