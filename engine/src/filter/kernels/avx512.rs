//! The AVX-512 kernels: vectors of 512 bits, 8 to 32 values per instruction, compared straight into mask registers.

use std::arch::x86_64::*;

use super::{Comparisons, Kernels, portable};

/// The AVX-512 kernels, if this processor has them.
pub(super) fn kernels() -> Option<&'static Kernels> {
    static KERNELS: Kernels = Kernels {
        name: "avx512",
        i16: Comparisons { lt: entry::lt_i16, le: entry::le_i16, eq: entry::eq_i16 },
        i32: Comparisons { lt: entry::lt_i32, le: entry::le_i32, eq: entry::eq_i32 },
        i64: Comparisons { lt: entry::lt_i64, le: entry::le_i64, eq: entry::eq_i64 },
        f32: Comparisons { lt: entry::lt_f32, le: entry::le_f32, eq: entry::eq_f32 },
        f64: Comparisons { lt: entry::lt_f64, le: entry::le_f64, eq: entry::eq_f64 },
    };
    (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw"))
        .then_some(&KERNELS)
}

/// One kernel: `$compare` gives the bits of one vector of `$lanes` values.
macro_rules! kernel {
    ($name:ident, $rest:ident, $t:ty, $lanes:literal, $load:ident, $splat:ident, $compare:expr) => {
        #[target_feature(enable = "avx512f,avx512bw")]
        fn $name(values: &[$t], literal: $t, words: &mut [u64]) {
            let scalar = $splat(literal);
            let (chunks, rest) = values.as_chunks::<64>();
            let (full, last) = words.split_at_mut(chunks.len().min(words.len()));
            for (chunk, word) in chunks.iter().zip(full) {
                let (vectors, _) = chunk.as_chunks::<$lanes>();
                let mut bits = 0;
                for (i, vector) in vectors.iter().enumerate() {
                    // SAFETY: the array holds exactly the 64 bytes that the unaligned load reads.
                    let vector = unsafe { $load(vector.as_ptr().cast()) };
                    bits |= u64::from($compare(vector, scalar)) << (i * $lanes);
                }
                *word = bits;
            }
            portable::$rest(rest, literal, last);
        }
    };
}

kernel!(lt_i16, lt, i16, 32, _mm512_loadu_epi16, _mm512_set1_epi16, _mm512_cmplt_epi16_mask);
kernel!(le_i16, le, i16, 32, _mm512_loadu_epi16, _mm512_set1_epi16, _mm512_cmple_epi16_mask);
kernel!(eq_i16, eq, i16, 32, _mm512_loadu_epi16, _mm512_set1_epi16, _mm512_cmpeq_epi16_mask);
kernel!(lt_i32, lt, i32, 16, _mm512_loadu_epi32, _mm512_set1_epi32, _mm512_cmplt_epi32_mask);
kernel!(le_i32, le, i32, 16, _mm512_loadu_epi32, _mm512_set1_epi32, _mm512_cmple_epi32_mask);
kernel!(eq_i32, eq, i32, 16, _mm512_loadu_epi32, _mm512_set1_epi32, _mm512_cmpeq_epi32_mask);
kernel!(lt_i64, lt, i64, 8, _mm512_loadu_epi64, _mm512_set1_epi64, _mm512_cmplt_epi64_mask);
kernel!(le_i64, le, i64, 8, _mm512_loadu_epi64, _mm512_set1_epi64, _mm512_cmple_epi64_mask);
kernel!(eq_i64, eq, i64, 8, _mm512_loadu_epi64, _mm512_set1_epi64, _mm512_cmpeq_epi64_mask);
kernel!(lt_f32, lt, f32, 16, _mm512_loadu_ps, _mm512_set1_ps, _mm512_cmp_ps_mask::<_CMP_LT_OQ>);
kernel!(le_f32, le, f32, 16, _mm512_loadu_ps, _mm512_set1_ps, _mm512_cmp_ps_mask::<_CMP_LE_OQ>);
kernel!(eq_f32, eq, f32, 16, _mm512_loadu_ps, _mm512_set1_ps, _mm512_cmp_ps_mask::<_CMP_EQ_OQ>);
kernel!(lt_f64, lt, f64, 8, _mm512_loadu_pd, _mm512_set1_pd, _mm512_cmp_pd_mask::<_CMP_LT_OQ>);
kernel!(le_f64, le, f64, 8, _mm512_loadu_pd, _mm512_set1_pd, _mm512_cmp_pd_mask::<_CMP_LE_OQ>);
kernel!(eq_f64, eq, f64, 8, _mm512_loadu_pd, _mm512_set1_pd, _mm512_cmp_pd_mask::<_CMP_EQ_OQ>);

/// Safe entry points of the kernels. They are reachable only through [`kernels`], which checks the processor.
mod entry {
    macro_rules! entry {
        ($($name:ident: $t:ty),* $(,)?) => {$(
            pub(super) fn $name(values: &[$t], literal: $t, words: &mut [u64]) {
                // SAFETY: the table that holds this function is given out only where AVX-512 F and BW
                // were detected.
                unsafe { super::$name(values, literal, words) }
            }
        )*};
    }

    entry!(lt_i16: i16, le_i16: i16, eq_i16: i16, lt_i32: i32, le_i32: i32, eq_i32: i32);
    entry!(lt_i64: i64, le_i64: i64, eq_i64: i64, lt_f32: f32, le_f32: f32, eq_f32: f32);
    entry!(lt_f64: f64, le_f64: f64, eq_f64: f64);
}
