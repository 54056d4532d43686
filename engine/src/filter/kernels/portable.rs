//! The portable kernels: plain Rust for any processor, which the compiler may vectorise as it can.

use super::{Comparisons, Kernels, Lane};

/// The portable kernels.
pub(super) fn kernels() -> &'static Kernels {
    static KERNELS: Kernels = Kernels {
        name: "portable",
        i16: comparisons(),
        i32: comparisons(),
        i64: comparisons(),
        f32: comparisons(),
        f64: comparisons(),
    };
    &KERNELS
}

const fn comparisons<T: Lane>() -> Comparisons<T> {
    Comparisons { lt, le, eq }
}

#[inline]
pub(super) fn lt<T: Lane>(values: &[T], literal: T, words: &mut [u64]) {
    pack(values, words, |value| value < literal);
}

#[inline]
pub(super) fn le<T: Lane>(values: &[T], literal: T, words: &mut [u64]) {
    pack(values, words, |value| value <= literal);
}

#[inline]
pub(super) fn eq<T: Lane>(values: &[T], literal: T, words: &mut [u64]) {
    pack(values, words, |value| value == literal);
}

/// Writes bit `i` of `words` as `test(values[i])`.
#[inline(always)]
pub(in super::super) fn pack<T: Copy>(values: &[T], words: &mut [u64], test: impl Fn(T) -> bool) {
    let (chunks, rest) = values.as_chunks::<64>();
    let (full, last) = words.split_at_mut(chunks.len().min(words.len()));
    for (chunk, word) in chunks.iter().zip(full) {
        *word = pack64(chunk, &test);
    }
    if let Some(word) = last.first_mut()
        && !rest.is_empty()
    {
        *word = rest
            .iter()
            .enumerate()
            .fold(0, |bits, (i, &value)| bits | (u64::from(test(value)) << i));
    }
}

#[inline(always)]
fn pack64<T: Copy>(chunk: &[T; 64], test: &impl Fn(T) -> bool) -> u64 {
    let mut word = 0;
    for (i, &value) in chunk.iter().enumerate() {
        word |= u64::from(test(value)) << i;
    }
    word
}
