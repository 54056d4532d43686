//! The layout of a row in the tail: the place of each column.
//!
//! A row is a few 64-bit words, so that appending touches one place and reading one key's row one or
//! two cache lines. Wide columns stand first, so that no value crosses a word:
//!
//! ```text
//! word    0                                1      2 …                            last
//!         link (32) | ordinal (31) | peak  time   8-byte, 4-byte, 2-byte values  … null bits
//! ```
//!
//! *Link* is the row of the same key that came before it in this hour, *ordinal* counts the key's rows before it, and
//! *peak* says that no row of the key before it is newer. The key itself is not in the row, as a row is only reached
//! from its key. Text stands in a heap of its own; its word holds place and length.

use std::sync::Arc;

use barograph_lake::schema::{KEY_COLUMN, TIME_COLUMN};
use barograph_lake::{TableSchema, Timestamp, ValueType};

/// Word of link, ordinal and peak.
pub(super) const HEADER: usize = 0;
/// Word of the row's instant.
pub(super) const TIME: usize = 1;
/// Bytes of the two words above.
const FIXED_BYTES: usize = 16;

/// Link of a key's first row.
pub(super) const NO_ROW: u32 = u32::MAX;
/// The largest number of rows of one hour: an ordinal has 31 bits.
pub(super) const ROWS_MAX: u64 = (1 << 31) - 1;

/// Word 0 of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The row of the same key that came before, or [`NO_ROW`].
    pub link: u32,
    /// How many rows of the key came before.
    pub ordinal: u32,
    /// Whether no row of the key that came before has a larger instant.
    pub peak: bool,
}

/// The instant in its word.
#[inline]
pub(super) fn time_of_word(word: u64) -> Timestamp {
    Timestamp::from_micros(word as i64)
}

impl Header {
    pub(super) fn pack(self) -> u64 {
        u64::from(self.link) | u64::from(self.ordinal) << 32 | u64::from(self.peak) << 63
    }

    pub(super) fn unpack(word: u64) -> Self {
        Self {
            link: word as u32,
            ordinal: (word >> 32) as u32 & ROWS_MAX as u32,
            peak: word >> 63 == 1,
        }
    }
}

/// Place of one column in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    pub value_type: ValueType,
    /// Word that holds the value.
    pub word: usize,
    /// Lowest bit of the value in its word.
    pub shift: u32,
    /// Word and bit that is set where the value is null; `None` where the column has no nulls.
    pub null: Option<(usize, u32)>,
}

/// The places of all columns of a table.
#[derive(Debug)]
pub(super) struct Layout {
    pub schema: Arc<TableSchema>,
    /// By Arrow index minus one: time, values, `ingested_at`.
    fields: Vec<Field>,
    /// Words in a row.
    pub stride: usize,
}

impl Layout {
    pub(super) fn new(schema: Arc<TableSchema>) -> Self {
        let time = Field { value_type: ValueType::Timestamp, word: TIME, shift: 0, null: None };
        let mut fields = vec![time];
        fields.extend(
            schema.values().iter().map(|column| Field { value_type: column.value_type, ..time }),
        );
        fields.push(time);

        let mut bytes = FIXED_BYTES;
        for width in [8, 4, 2] {
            for field in fields.iter_mut().skip(1).filter(|f| width_bytes(f.value_type) == width) {
                field.word = bytes / 8;
                field.shift = (bytes % 8 * 8) as u32;
                bytes += width;
            }
        }
        let mut bits = bytes * 8;
        for field in fields.iter_mut().skip(1).take(schema.values().len()) {
            field.null = Some((bits / 64, (bits % 64) as u32));
            bits += 1;
        }
        Self { schema, fields, stride: bits.div_ceil(64) }
    }

    /// Place of the column with this Arrow index; `None` for the key and for what does not exist.
    pub(super) fn field(&self, column: usize) -> Option<&Field> {
        column.checked_sub(TIME_COLUMN).and_then(|i| self.fields.get(i))
    }

    /// Arrow index and place of every column but key and time.
    pub(super) fn values(&self) -> impl Iterator<Item = (usize, &Field)> {
        self.fields.iter().enumerate().skip(1).map(|(i, field)| (i + TIME_COLUMN, field))
    }

    /// Whether the table has the column with this Arrow index.
    pub(super) fn has(&self, column: usize) -> bool {
        column == KEY_COLUMN || self.field(column).is_some()
    }
}

impl Field {
    pub(super) fn is_text(&self) -> bool {
        self.value_type == ValueType::Utf8
    }
}

fn width_bytes(value_type: ValueType) -> usize {
    match value_type {
        ValueType::Int16 => 2,
        ValueType::Int32 | ValueType::Float32 => 4,
        ValueType::Int64 | ValueType::Float64 | ValueType::Timestamp | ValueType::Utf8 => 8,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde_json::json;

    use super::*;

    fn layout(types: &[&str]) -> Layout {
        let columns = types.iter().enumerate();
        let columns: Vec<_> =
            columns.map(|(i, of)| json!({ "name": format!("v{i}"), "type": of })).collect();
        let declaration = json!({ "key": "k", "time": "t", "columns": columns });
        let declaration = serde_json::from_value(declaration).unwrap();
        Layout::new(Arc::new(TableSchema::new("t", declaration).unwrap()))
    }

    #[test]
    fn five_floats_and_a_short_make_48_bytes() {
        let types = ["float32", "float32", "float32", "float32", "int16", "float32"];
        assert_eq!(layout(&types).stride, 6);
    }

    #[test]
    fn no_two_columns_share_a_bit() {
        let layout = layout(&[
            "int16",
            "utf8",
            "float32",
            "int16",
            "int64",
            "int16",
            "timestamp",
            "int32",
            "float64",
        ]);
        let mut taken = vec![0u64; layout.stride];
        taken[HEADER] = u64::MAX;
        taken[TIME] = u64::MAX;
        let mut take = |word: usize, mask: u64| {
            assert_eq!(taken[word] & mask, 0);
            taken[word] |= mask;
        };
        for (_, field) in layout.values() {
            let bits = width_bytes(field.value_type) as u32 * 8;
            assert!(field.shift + bits <= 64);
            take(field.word, u64::MAX >> (64 - bits) << field.shift);
            if let Some((word, bit)) = field.null {
                take(word, 1 << bit);
            }
        }
    }

    #[test]
    fn a_header_survives_its_word() {
        for (link, ordinal, peak) in [(0, 0, true), (NO_ROW, ROWS_MAX as u32, false), (7, 9, true)]
        {
            let header = Header { link, ordinal, peak };
            assert_eq!(Header::unpack(header.pack()), header);
        }
    }
}
