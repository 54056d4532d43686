//! Tests of the kernels: every path gives the words of the definition, for special values and every length of tail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Debug;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

/// The definition, bit by bit.
fn expected<T: Lane>(values: &[T], test: impl Fn(T) -> bool) -> Vec<u64> {
    let mut words = vec![0_u64; values.len().div_ceil(64)];
    for (i, &value) in values.iter().enumerate() {
        words[i / 64] |= u64::from(test(value)) << (i % 64);
    }
    words
}

fn check<T: Lane + Debug>(values: &[T], literal: T) {
    for path in available() {
        let kernels = T::of(path);
        let cases: [(&str, Kernel<T>, Vec<u64>); 3] = [
            ("lt", kernels.lt, expected(values, |value| value < literal)),
            ("le", kernels.le, expected(values, |value| value <= literal)),
            ("eq", kernels.eq, expected(values, |value| value == literal)),
        ];
        for (op, kernel, want) in cases {
            let mut words = vec![u64::MAX; values.len().div_ceil(64)];
            kernel(values, literal, &mut words);
            assert_eq!(words, want, "{} {op} {literal:?} over {} values", path.name, values.len());
        }
    }
}

/// All tail lengths, unaligned starts, and each special value as literal.
fn check_type<T: Lane + Debug>(special: &[T], mut random: impl FnMut(&mut SmallRng) -> T) {
    let mut rng = SmallRng::seed_from_u64(7);
    let values: Vec<T> = (0..400)
        .map(|_| {
            if rng.random_bool(0.5) {
                special[rng.random_range(0..special.len())]
            } else {
                random(&mut rng)
            }
        })
        .collect();
    for length in 0..=200 {
        let start = length % 7;
        let literal = special[length % special.len()];
        check(&values[start..start + length], literal);
        check(&values[start..start + length], random(&mut rng));
    }
    for &literal in special {
        check(&values, literal);
    }
}

#[test]
fn paths_agree_on_integers() {
    check_type(&[i16::MIN, -1, 0, 1, i16::MAX], |rng| rng.random());
    check_type(&[i32::MIN, -1, 0, 1, i32::MAX], |rng| rng.random());
    check_type(&[i64::MIN, -1, 0, 1, i64::MAX], |rng| rng.random());
}

#[test]
fn paths_agree_on_floats() {
    let special = [
        f32::NAN,
        -f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        -0.0,
        0.0,
        f32::MIN_POSITIVE,
        1e-45,
        f32::MAX,
        f32::MIN,
        0.1,
    ];
    check_type(&special, |rng| f32::from_bits(rng.random()));
    let special = [
        f64::NAN,
        -f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        0.0,
        f64::MIN_POSITIVE,
        5e-324,
        f64::MAX,
        f64::MIN,
        0.1,
    ];
    check_type(&special, |rng| f64::from_bits(rng.random()));
}

#[test]
fn the_portable_path_is_always_there() {
    assert_eq!(available().first().map(|path| path.name), Some("portable"));
    assert!(available().iter().any(|path| path.name == active().name));
}
