//! Equality of zeros and of NaN, whatever their signs. Wherever values are looked up by their bits (in groups,
//! partitions, peers, lists, and values inside lists and structs), a rule removes the signs that do not count:
//!
//! ```text
//! −0.0, 0.0, NaN, −NaN   ──►   0.0, 0.0, NaN, NaN
//! ```

mod constants;
mod rule;
mod sign;

pub(super) use rule::FloatEqualityRule;
pub(super) use sign::unsigned;
