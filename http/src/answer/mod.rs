//! Answers: rows in a format, compressed, streamed in bounded memory; how long they may be kept.

mod cache;
mod encode;
mod pack;
mod stream;

pub(crate) use cache::{Freshness, is_match, tag_of_bytes, tag_of_range};
pub(crate) use stream::{rows, unchanged, whole};
