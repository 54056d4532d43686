//! Reproducible randomness: a mixing function in place of a generator, so that any station and instant can be drawn
//! without the ones before it.

/// Spreads the bits of `x` (the finaliser of splitmix64).
pub(crate) fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The `part`th of six independent numbers from 0 to 1 (exclusive) of one draw.
pub(crate) fn share(draw: u64, part: u32) -> f32 {
    ((draw >> (part * 10)) & 0x3ff) as f32 / 1024.0
}

/// The `part`th of six independent numbers from -1 to 1 of one draw.
pub(crate) fn signed(draw: u64, part: u32) -> f32 {
    share(draw, part) * 2.0 - 1.0
}
