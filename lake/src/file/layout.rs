//! The layout of a file: where its rows are cut into pages and row groups, and when a column is compressed.

use crate::Tier;

/// Bytes of a text that are not counted as those of a long one: rows of such texts take about as many bytes as rows of
/// numbers.
pub const SHORT_TEXT_BYTES: usize = 32;

/// The parameters of the layout. The default is the decision of docs/adr/0004-parquet-layout.md; other values
/// are for measuring it again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layout {
    /// Most rows of a page. A page ends at the end of a key if one lies in its last quarter.
    pub page_rows: usize,
    /// Most rows of a row group, which ends at the end of a page.
    pub row_group_rows: usize,
    /// Bytes of text, [`SHORT_TEXT_BYTES`] of each left out, after which a page is full.
    pub page_text_bytes: usize,
    /// Bytes of text, counted in the same way, after which a row group is full: whoever writes or reads one holds them.
    pub row_group_text_bytes: usize,
    /// zstd's level.
    pub zstd_level: i32,
    /// zstd's level for columns that it makes smaller by [`Self::thorough_gain`] at least: many times slower to
    /// write, as fast to read.
    pub thorough_level: i32,
    /// See [`Self::thorough_level`]; 1 uses it never.
    pub thorough_gain: f64,
    /// The cost of decompressing a page, in bytes that compression must save: this for each page, and
    /// [`Self::decompression_cost`] for each byte of it. Negative compresses always.
    pub unpack_page_price: f64,
    /// See [`Self::unpack_page_price`]; infinite compresses never.
    pub decompression_cost: f64,
    /// Whether dictionary indexes of a compressed column may be widened to whole bytes, which takes more
    /// room before compression and much less after it.
    pub whole_bytes: bool,
}

impl Layout {
    /// The layout of files of a tier. Months are written once and kept: they are made as small as they can be
    /// read fast, in pages of a key's days in place of hours.
    pub fn of(tier: Tier) -> Self {
        match tier {
            Tier::Hour | Tier::Day => Self::default(),
            Tier::Month => Self {
                page_rows: 8_192,
                row_group_rows: 1_048_576,
                thorough_gain: 0.03,
                unpack_page_price: 0.0,
                decompression_cost: 0.0,
                ..Self::default()
            },
        }
    }
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            page_rows: 2_048,
            row_group_rows: 262_144,
            page_text_bytes: 512 << 10,
            row_group_text_bytes: 32 << 20,
            zstd_level: 5,
            thorough_level: 15,
            thorough_gain: 1.0,
            unpack_page_price: 64.0,
            decompression_cost: 0.2,
            whole_bytes: true,
        }
    }
}
