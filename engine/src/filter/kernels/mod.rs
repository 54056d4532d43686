//! The comparison kernels: which values of a column are less than, at most or equal to a literal.
//!
//! A kernel compares a slice with a scalar and writes one bit per value, least significant first:
//!
//! ```text
//! values   3.5  7.0  1.0  NaN …      literal 4.0, lt
//! word     …0 1 0 1                  bit i is value i; bits past the last value are zero
//! ```
//!
//! The three comparisons are those of the processor: they are false for NaN. The caller makes the SQL order of NaN
//! from them. There are two paths (portable and AVX2), of which the process chooses one by the features of the
//! processor; both give equal words.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod portable;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

pub(super) use portable::pack;

/// Compares `values` with `literal` into `values.len().div_ceil(64)` words.
///
/// Every word of the output is written; an output of another length is cut or left as it is.
pub(crate) type Kernel<T> = fn(values: &[T], literal: T, words: &mut [u64]);

/// The three comparisons of one type.
#[derive(Debug, Clone, Copy)]
pub struct Comparisons<T> {
    /// `value < literal`.
    pub lt: Kernel<T>,
    /// `value <= literal`.
    pub le: Kernel<T>,
    /// `value = literal`.
    pub eq: Kernel<T>,
}

/// All kernels of one path.
#[derive(Debug)]
pub struct Kernels {
    /// Name of the path: `portable` or `avx2`.
    pub name: &'static str,
    /// 16-bit integers.
    pub i16: Comparisons<i16>,
    /// 32-bit integers.
    pub i32: Comparisons<i32>,
    /// 64-bit integers and timestamps.
    pub i64: Comparisons<i64>,
    /// Single precision.
    pub f32: Comparisons<f32>,
    /// Double precision.
    pub f64: Comparisons<f64>,
}

/// Environment variable that names the path to take, for tests and benches. It is not a setting and lacks the prefix
/// of one.
pub(crate) const FORCE: &str = "FORCE_FILTER_KERNELS";

/// A type that has kernels.
pub trait Lane: Copy + PartialOrd + 'static {
    /// The kernels of this type.
    fn of(kernels: &Kernels) -> &Comparisons<Self>;
}

macro_rules! lanes {
    ($($t:ident),*) => {$(
        impl Lane for $t {
            fn of(kernels: &Kernels) -> &Comparisons<Self> {
                &kernels.$t
            }
        }
    )*};
}

lanes!(i16, i32, i64, f32, f64);

/// The paths that this processor can take, slowest first.
pub fn available() -> Vec<&'static Kernels> {
    let mut paths = vec![portable::kernels()];
    #[cfg(target_arch = "x86_64")]
    paths.extend(avx2::kernels());
    paths
}

/// The path of this process: the fastest available one, or the one that [`FORCE`] names.
pub(crate) fn active() -> &'static Kernels {
    static ACTIVE: OnceLock<&'static Kernels> = OnceLock::new();
    ACTIVE.get_or_init(|| {
        let paths = available();
        let asked = std::env::var(FORCE).unwrap_or_default();
        let forced = paths.iter().find(|path| path.name == asked);
        if forced.is_none() && !asked.is_empty() {
            tracing::warn!("{FORCE}={asked}: this processor does not support it");
        }
        forced.or(paths.last()).copied().unwrap_or(portable::kernels())
    })
}
