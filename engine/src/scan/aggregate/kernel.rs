//! The kernels of aggregates: how values become one, whoever asks. Windows of tickets and rollups, groupings of SQL, its
//! rolling windows and its frames add up and compare with them, by one rule:
//!
//! | | |
//! |---|---|
//! | null | does not count; of no values a sum, a minimum or a maximum is null, and a count 0 |
//! | NaN | whatever its sign, is equal to itself and above every number; it is given with one sign, and spoils a sum |
//! | zero | is equal to zero of the other sign, and given as 0.0 |
//! | order | makes no difference, except for the rounding of sums of floats, which are added up in double precision |
//! | integers | have an exact sum, and an error where 64 bits cannot hold it |

use std::cmp::Ordering;

/// A value that is added up or compared.
pub trait Number: Copy + PartialOrd + 'static {
    /// What nothing is above, NaN apart.
    const GREATEST: Self;
    /// What nothing is below.
    const SMALLEST: Self;
    /// What nothing is above: the minimum of no values.
    const LAST: Self;
    /// Whether sums of fewer than 2³² values fit 64 bits.
    const NARROW: bool;
    /// Widened to double precision; 64-bit integers are rounded.
    fn wide(self) -> f64;
    /// As an integer; 0 of floats, whose integer sums nobody asks for.
    fn whole(self) -> i64;
    /// Whether it is NaN.
    fn is_nan(self) -> bool;
    /// The value that is given for all that are equal to it.
    fn plain(self) -> Self;
}

macro_rules! integer {
    ($t:ty, $narrow:expr) => {
        impl Number for $t {
            const GREATEST: Self = Self::MAX;
            const SMALLEST: Self = Self::MIN;
            const LAST: Self = Self::MAX;
            const NARROW: bool = $narrow;

            #[inline(always)]
            fn wide(self) -> f64 {
                self as f64
            }

            #[inline(always)]
            fn whole(self) -> i64 {
                i64::from(self)
            }

            #[inline(always)]
            fn is_nan(self) -> bool {
                false
            }

            #[inline(always)]
            fn plain(self) -> Self {
                self
            }
        }
    };
}

macro_rules! float {
    ($t:ty) => {
        impl Number for $t {
            const GREATEST: Self = Self::INFINITY;
            const SMALLEST: Self = Self::NEG_INFINITY;
            const LAST: Self = Self::NAN;
            const NARROW: bool = true;

            #[inline(always)]
            fn wide(self) -> f64 {
                f64::from(self)
            }

            #[inline(always)]
            fn whole(self) -> i64 {
                0
            }

            #[inline(always)]
            fn is_nan(self) -> bool {
                <$t>::is_nan(self)
            }

            #[inline(always)]
            fn plain(self) -> Self {
                if <$t>::is_nan(self) { Self::NAN } else { self + 0.0 }
            }
        }
    };
}

integer!(i16, true);
integer!(i32, true);
integer!(i64, false);
float!(f32);
float!(f64);

/// The greater of two.
#[inline(always)]
pub fn greater<T: Number>(held: T, value: T) -> T {
    if value > held || value.is_nan() { value } else { held }
}

/// The lesser of two.
#[inline(always)]
pub fn lesser<T: Number>(held: T, value: T) -> T {
    if value < held || held.is_nan() { value } else { held }
}

/// The order of two.
#[inline(always)]
pub fn order<T: Number>(a: T, b: T) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// How two values are combined; associative except for rounding.
pub trait Step {
    /// What is combined.
    type Value: Copy;
    /// The value that changes no other.
    const NOTHING: Self::Value;
    /// The value of both.
    fn both(a: Self::Value, b: Self::Value) -> Self::Value;
}

/// Sum in double precision.
#[derive(Debug)]
pub struct FloatSum;

impl Step for FloatSum {
    type Value = f64;
    const NOTHING: f64 = 0.0;

    #[inline(always)]
    fn both(a: f64, b: f64) -> f64 {
        a + b
    }
}

/// Sum of integers, in a type that holds the sum of any number of them.
#[derive(Debug)]
pub struct WholeSum;

impl Step for WholeSum {
    type Value = i128;
    const NOTHING: i128 = 0;

    #[inline(always)]
    fn both(a: i128, b: i128) -> i128 {
        a + b
    }
}

/// Sum of [narrow](Number::NARROW) integers.
#[derive(Debug)]
pub struct NarrowSum;

impl Step for NarrowSum {
    type Value = i64;
    const NOTHING: i64 = 0;

    #[inline(always)]
    fn both(a: i64, b: i64) -> i64 {
        a + b
    }
}

/// The greatest [rank](super::rank). The least is that of the complements.
#[derive(Debug)]
pub struct Max;

impl Step for Max {
    type Value = i64;
    const NOTHING: i64 = i64::MIN;

    #[inline(always)]
    fn both(a: i64, b: i64) -> i64 {
        a.max(b)
    }
}

const LANES: usize = 8;

/// Folds `values` in eight lanes, which the compiler makes vectors of, and then the lanes.
#[inline(always)]
fn fold<T: Copy, A: Copy>(
    values: &[T],
    start: A,
    step: impl Fn(A, T) -> A,
    join: impl Fn(A, A) -> A,
) -> A {
    let (chunks, rest) = values.as_chunks::<LANES>();
    if chunks.is_empty() {
        return rest.iter().fold(start, |sum, &value| step(sum, value));
    }
    let mut lanes = [start; LANES];
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = step(*lane, value);
        }
    }
    let rest = rest.iter().fold(start, |sum, &value| step(sum, value));
    join(lanes.into_iter().reduce(&join).unwrap_or(start), rest)
}

/// The sum in double precision.
#[inline]
pub fn float_sum<T: Number>(values: &[T]) -> f64 {
    fold(values, FloatSum::NOTHING, |sum, value| sum + value.wide(), FloatSum::both)
}

/// The exact sum of integers.
#[inline]
pub fn whole_sum<T: Number>(values: &[T]) -> i128 {
    if T::NARROW {
        let add = |sum: i64, value: T| sum + value.whole();
        return fold(values, NarrowSum::NOTHING, add, NarrowSum::both).into();
    }
    sum_of_halves(values, |value| value.whole() as u64 & LOW, |value| value.whole() >> 32)
}

/// The exact sum of integers without a sign.
#[inline]
pub fn unsigned_sum(values: &[u64]) -> i128 {
    sum_of_halves(values, |value| value & LOW, |value| (value >> 32) as i64)
}

/// The lower half of 64 bits.
const LOW: u64 = 0xffff_ffff;
/// Values whose halves are added up at a time: no sum of halves exceeds 64 bits.
const CHUNK: usize = 1 << 20;

/// The sum of values in two halves, which processors add up faster than 128 bits.
#[inline(always)]
fn sum_of_halves<T: Copy>(values: &[T], low: impl Fn(T) -> u64, high: impl Fn(T) -> i64) -> i128 {
    let chunks = values.chunks(CHUNK).map(|chunk| {
        let lows: u64 = chunk.iter().map(|&value| low(value)).sum();
        let highs: i64 = chunk.iter().map(|&value| high(value)).sum();
        (i128::from(highs) << 32) + i128::from(lows)
    });
    chunks.sum()
}

/// The smallest of some values; of none [`Number::GREATEST`].
#[inline]
pub fn min<T: Number>(values: &[T]) -> T {
    let smaller = |a: T, b: T| if b < a { b } else { a };
    let found = fold(values, T::GREATEST, smaller, smaller);
    // Where nothing is below the bound, it may be that all are NaN.
    match values.first() {
        Some(&first) if found == T::GREATEST && values.iter().all(|value| value.is_nan()) => {
            first.plain()
        }
        _ => found.plain(),
    }
}

/// The greatest of some values; of none [`Number::SMALLEST`].
#[inline]
pub fn max<T: Number>(values: &[T]) -> T {
    fold(values, T::SMALLEST, greater, greater).plain()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number() -> impl Strategy<Value = f64> {
        let special = prop_oneof![
            Just(f64::NAN),
            Just(-f64::NAN),
            Just(0.0),
            Just(-0.0),
            Just(f64::INFINITY),
            Just(f64::NEG_INFINITY)
        ];
        prop_oneof![3 => (-9i32..9).prop_map(f64::from), 2 => special]
    }

    proptest! {
        #[test]
        fn extremes_are_those_of_the_order_in_any_order(
            values in proptest::collection::vec(number(), 1..40),
        ) {
            let mut sorted = values.clone();
            sorted.sort_by(|&a, &b| order(a, b));
            let bits = |value: f64| value.plain().to_bits();
            let (first, last) = (bits(sorted[0]), bits(sorted[sorted.len() - 1]));
            for values in [values.clone(), values.iter().rev().copied().collect()] {
                prop_assert_eq!(min(&values).to_bits(), first);
                prop_assert_eq!(max(&values).to_bits(), last);
                let one_by_one = |start, step: fn(f64, f64) -> f64| values.iter().copied().fold(start, step);
                prop_assert_eq!(bits(one_by_one(f64::LAST, lesser)), first);
                prop_assert_eq!(bits(one_by_one(f64::SMALLEST, greater)), last);
            }
        }

        #[test]
        fn sums_of_integers_are_exact(
            values in proptest::collection::vec(any::<i64>(), 0..60),
            unsigned in proptest::collection::vec(any::<u64>(), 0..60),
        ) {
            prop_assert_eq!(whole_sum(&values), values.iter().map(|&v| i128::from(v)).sum::<i128>());
            prop_assert_eq!(unsigned_sum(&unsigned), unsigned.iter().map(|&v| i128::from(v)).sum::<i128>());
        }
    }
}
