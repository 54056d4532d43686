//! The AVX2 kernels: vectors of 256 bits, 8 or 16 values per instruction.

use std::arch::x86_64::*;

use super::{Comparisons, Kernels, portable};

/// The AVX2 kernels, if this processor has them.
pub(super) fn kernels() -> Option<&'static Kernels> {
    static KERNELS: Kernels = Kernels {
        name: "avx2",
        i16: Comparisons { lt: entry::lt_i16, le: entry::le_i16, eq: entry::eq_i16 },
        i32: Comparisons { lt: entry::lt_i32, le: entry::le_i32, eq: entry::eq_i32 },
        i64: Comparisons { lt: entry::lt_i64, le: entry::le_i64, eq: entry::eq_i64 },
        f32: Comparisons { lt: entry::lt_f32, le: entry::le_f32, eq: entry::eq_f32 },
        f64: Comparisons { lt: entry::lt_f64, le: entry::le_f64, eq: entry::eq_f64 },
    };
    is_x86_feature_detected!("avx2").then_some(&KERNELS)
}

/// One kernel: `$compare` gives the bits of one vector of `$lanes` values.
macro_rules! kernel {
    ($name:ident, $rest:ident, $t:ty, $lanes:literal, $load:expr, $splat:ident, $compare:expr) => {
        #[target_feature(enable = "avx2")]
        fn $name(values: &[$t], literal: $t, words: &mut [u64]) {
            let scalar = $splat(literal);
            let (chunks, rest) = values.as_chunks::<64>();
            let (full, last) = words.split_at_mut(chunks.len().min(words.len()));
            for (chunk, word) in chunks.iter().zip(full) {
                let (vectors, _) = chunk.as_chunks::<$lanes>();
                let mut bits = 0;
                for (i, vector) in vectors.iter().enumerate() {
                    bits |= $compare($load(vector), scalar) << (i * $lanes);
                }
                *word = bits;
            }
            portable::$rest(rest, literal, last);
        }
    };
}

/// Reads one vector: an array reference is valid for reads of its size, and the load needs no alignment.
macro_rules! load {
    ($name:ident, $t:ty, $lanes:literal, $vector:ty, $load:ident $(, $cast:ty)?) => {
        #[target_feature(enable = "avx2")]
        #[inline]
        fn $name(values: &[$t; $lanes]) -> $vector {
            // SAFETY: the reference covers exactly the 32 bytes that the unaligned load reads.
            unsafe { $load(values.as_ptr()$(.cast::<$cast>())?) }
        }
    };
}

load!(load_i16, i16, 16, __m256i, _mm256_loadu_si256, __m256i);
load!(load_i32, i32, 8, __m256i, _mm256_loadu_si256, __m256i);
load!(load_f32, f32, 8, __m256, _mm256_loadu_ps);

/// One bit a lane. AVX2 has no "at or below" for integers: it is "not above".
macro_rules! bits {
    ($name:ident, $vector:ty, $compare:expr) => {
        #[target_feature(enable = "avx2")]
        #[inline]
        fn $name(values: $vector, scalar: $vector) -> u64 {
            $compare(values, scalar)
        }
    };
}

#[target_feature(enable = "avx2")]
#[inline]
fn mask16(lanes: __m256i) -> u64 {
    // Sixteen 16-bit lanes become sixteen bytes; the packing interleaves the two halves.
    let bytes =
        _mm_packs_epi16(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256::<1>(lanes));
    u64::from(_mm_movemask_epi8(bytes).cast_unsigned())
}

#[target_feature(enable = "avx2")]
#[inline]
fn mask32(lanes: __m256i) -> u64 {
    u64::from(_mm256_movemask_ps(_mm256_castsi256_ps(lanes)).cast_unsigned())
}

#[target_feature(enable = "avx2")]
#[inline]
fn maskf32(lanes: __m256) -> u64 {
    u64::from(_mm256_movemask_ps(lanes).cast_unsigned())
}

bits!(lt16, __m256i, |v, s| mask16(_mm256_cmpgt_epi16(s, v)));
bits!(le16, __m256i, |v, s| mask16(_mm256_cmpgt_epi16(v, s)) ^ 0xffff);
bits!(eq16, __m256i, |v, s| mask16(_mm256_cmpeq_epi16(v, s)));
bits!(lt32, __m256i, |v, s| mask32(_mm256_cmpgt_epi32(s, v)));
bits!(le32, __m256i, |v, s| mask32(_mm256_cmpgt_epi32(v, s)) ^ 0xff);
bits!(eq32, __m256i, |v, s| mask32(_mm256_cmpeq_epi32(v, s)));
bits!(ltf32, __m256, |v, s| maskf32(_mm256_cmp_ps::<_CMP_LT_OQ>(v, s)));
bits!(lef32, __m256, |v, s| maskf32(_mm256_cmp_ps::<_CMP_LE_OQ>(v, s)));
bits!(eqf32, __m256, |v, s| maskf32(_mm256_cmp_ps::<_CMP_EQ_OQ>(v, s)));

kernel!(lt_i16, lt, i16, 16, load_i16, _mm256_set1_epi16, lt16);
kernel!(le_i16, le, i16, 16, load_i16, _mm256_set1_epi16, le16);
kernel!(eq_i16, eq, i16, 16, load_i16, _mm256_set1_epi16, eq16);
kernel!(lt_i32, lt, i32, 8, load_i32, _mm256_set1_epi32, lt32);
kernel!(le_i32, le, i32, 8, load_i32, _mm256_set1_epi32, le32);
kernel!(eq_i32, eq, i32, 8, load_i32, _mm256_set1_epi32, eq32);
kernel!(lt_f32, lt, f32, 8, load_f32, _mm256_set1_ps, ltf32);
kernel!(le_f32, le, f32, 8, load_f32, _mm256_set1_ps, lef32);
kernel!(eq_f32, eq, f32, 8, load_f32, _mm256_set1_ps, eqf32);

/// Of values of 64 bits a vector holds so few that the compiler's own vectors of the portable loop are
/// faster than these (docs/adr/0007-filters.md).
macro_rules! portable {
    ($($name:ident, $op:ident, $t:ty;)*) => {$(
        #[target_feature(enable = "avx2")]
        fn $name(values: &[$t], literal: $t, words: &mut [u64]) {
            portable::$op(values, literal, words);
        }
    )*};
}

portable! {
    lt_i64, lt, i64;
    le_i64, le, i64;
    eq_i64, eq, i64;
    lt_f64, lt, f64;
    le_f64, le, f64;
    eq_f64, eq, f64;
}

/// Safe entry points of the kernels. They are reachable only through [`kernels`], which checks the processor.
mod entry {
    macro_rules! entry {
        ($($name:ident: $t:ty),* $(,)?) => {$(
            pub(super) fn $name(values: &[$t], literal: $t, words: &mut [u64]) {
                // SAFETY: the table that holds this function is given out only where AVX2 was detected.
                unsafe { super::$name(values, literal, words) }
            }
        )*};
    }

    entry!(lt_i16: i16, le_i16: i16, eq_i16: i16, lt_i32: i32, le_i32: i32, eq_i32: i32);
    entry!(lt_i64: i64, le_i64: i64, eq_i64: i64, lt_f32: f32, le_f32: f32, eq_f32: f32);
    entry!(lt_f64: f64, le_f64: f64, eq_f64: f64);
}
