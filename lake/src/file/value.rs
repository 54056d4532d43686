//! The types of columns, and the form of their values in Parquet.
//!
//! ```text
//! Arrow               Parquet            PLAIN
//! int16, int32        INT32              4 bytes, little endian
//! int64, timestamp    INT64              8 bytes
//! float32, float64    FLOAT, DOUBLE      4, 8 bytes
//! utf8                BYTE_ARRAY         4 bytes length, text
//! ```

use std::cmp::Ordering;
use std::fmt::Debug;

use arrow::datatypes::DataType;
use parquet::basic::Type as PhysicalType;
use parquet::data_type::ByteArray;
use parquet::file::statistics::Statistics;

/// How the values of a column stand in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Text,
}

impl Kind {
    /// The kind of a column of a table.
    pub(super) fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Int16 => Self::Int16,
            DataType::Int32 => Self::Int32,
            DataType::Int64 | DataType::Timestamp(..) => Self::Int64,
            DataType::Float32 => Self::Float32,
            DataType::Float64 => Self::Float64,
            _ => Self::Text,
        }
    }

    /// Parquet's physical type.
    pub(super) fn physical(self) -> PhysicalType {
        match self {
            Self::Int16 | Self::Int32 => PhysicalType::INT32,
            Self::Int64 => PhysicalType::INT64,
            Self::Float32 => PhysicalType::FLOAT,
            Self::Float64 => PhysicalType::DOUBLE,
            Self::Text => PhysicalType::BYTE_ARRAY,
        }
    }
}

/// A value that can be written.
pub(super) trait Store: Copy + Debug {
    /// Bits of the Parquet type if it is an integer, which can be delta-encoded.
    const INTEGER_BITS: Option<usize>;

    /// Bytes of a text.
    fn text_bytes(self) -> Option<u64> {
        None
    }

    /// Equal values have equal hashes.
    fn hash(self) -> u64;

    /// Whether the values are the same bit for bit.
    fn same(self, other: Self) -> bool;

    /// A total order.
    fn order(self, other: Self) -> Ordering;

    /// Appends the PLAIN encoding.
    fn put(self, out: &mut Vec<u8>);

    /// The value as an integer; 0 for what is none.
    fn integer(self) -> i64 {
        0
    }

    /// Whether the value has a place in minima and maxima: NaN has none, and long texts are not kept.
    fn bounds(self) -> bool {
        true
    }

    /// Smallest and largest value as Parquet wants them in statistics: zeros with the sign that makes
    /// them cover both zeros.
    fn covering(bounds: (Self, Self)) -> (Self, Self) {
        bounds
    }

    /// The value in Parquet's page index.
    fn index_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.put(&mut bytes);
        bytes
    }

    /// The value in the file's entry; `None` for text.
    fn number(self) -> Option<Number>;

    /// Parquet's statistics of a column chunk.
    fn statistics(bounds: Option<(Self, Self)>, nulls: u64) -> Statistics;
}

/// A number of any column type, without loss.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
}

/// A number that can be read.
pub(super) trait Load: Copy + Default + Send + Sync + Debug {
    /// Bytes of the PLAIN encoding.
    const BYTES: usize;
    /// As [`Store::INTEGER_BITS`].
    const INTEGER_BITS: Option<usize>;

    /// Reads the PLAIN encoding; `None` if the value does not fit.
    fn load(bytes: &[u8]) -> Option<Self>;

    /// The value of an integer; `None` if it does not fit.
    fn from_integer(value: i64) -> Option<Self>;
}

/// Texts longer than this are not kept in statistics.
const TEXT_BOUND_BYTES: usize = 64;

/// Fibonacci hashing: the upper bits of the product are well mixed.
fn mix(bits: u64) -> u64 {
    bits.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

macro_rules! integer {
    ($native:ty, $stored:ty, $statistics:ident) => {
        impl Store for $native {
            const INTEGER_BITS: Option<usize> = Some(<$stored>::BITS as usize);

            fn hash(self) -> u64 {
                mix(self as u64)
            }

            fn same(self, other: Self) -> bool {
                self == other
            }

            fn order(self, other: Self) -> Ordering {
                self.cmp(&other)
            }

            fn put(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&<$stored>::from(self).to_le_bytes());
            }

            fn integer(self) -> i64 {
                i64::from(self)
            }

            fn number(self) -> Option<Number> {
                Some(Number::Int(i64::from(self)))
            }

            fn statistics(bounds: Option<(Self, Self)>, nulls: u64) -> Statistics {
                let (min, max) = bounds.unzip();
                Statistics::$statistics(
                    min.map(Into::into),
                    max.map(Into::into),
                    None,
                    Some(nulls),
                    false,
                )
            }
        }

        impl Load for $native {
            const BYTES: usize = size_of::<$stored>();
            const INTEGER_BITS: Option<usize> = Some(<$stored>::BITS as usize);

            fn load(bytes: &[u8]) -> Option<Self> {
                <$native>::try_from(<$stored>::from_le_bytes(bytes.try_into().ok()?)).ok()
            }

            fn from_integer(value: i64) -> Option<Self> {
                <$native>::try_from(value).ok()
            }
        }
    };
}

macro_rules! float {
    ($native:ty, $statistics:ident) => {
        impl Store for $native {
            const INTEGER_BITS: Option<usize> = None;

            fn hash(self) -> u64 {
                mix(u64::from(self.to_bits()))
            }

            fn same(self, other: Self) -> bool {
                self.to_bits() == other.to_bits()
            }

            fn order(self, other: Self) -> Ordering {
                self.total_cmp(&other)
            }

            fn put(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn bounds(self) -> bool {
                !self.is_nan()
            }

            fn covering((min, max): (Self, Self)) -> (Self, Self) {
                (if min == 0.0 { -0.0 } else { min }, if max == 0.0 { 0.0 } else { max })
            }

            fn number(self) -> Option<Number> {
                Some(Number::Float(f64::from(self)))
            }

            fn statistics(bounds: Option<(Self, Self)>, nulls: u64) -> Statistics {
                let (min, max) = bounds.unzip();
                Statistics::$statistics(min, max, None, Some(nulls), false)
            }
        }

        impl Load for $native {
            const BYTES: usize = size_of::<$native>();
            const INTEGER_BITS: Option<usize> = None;

            fn load(bytes: &[u8]) -> Option<Self> {
                Some(<$native>::from_le_bytes(bytes.try_into().ok()?))
            }

            fn from_integer(_: i64) -> Option<Self> {
                None
            }
        }
    };
}

integer!(i16, i32, int32);
integer!(i32, i32, int32);
integer!(i64, i64, int64);
float!(f32, float);
float!(f64, double);

impl Store for &str {
    const INTEGER_BITS: Option<usize> = None;

    #[expect(clippy::indexing_slicing, reason = "a chunk has at most eight bytes")]
    fn hash(self) -> u64 {
        self.as_bytes().chunks(8).fold(self.len() as u64, |hash, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            mix(hash.rotate_left(29) ^ u64::from_le_bytes(word))
        })
    }

    fn same(self, other: Self) -> bool {
        self == other
    }

    fn order(self, other: Self) -> Ordering {
        self.cmp(other)
    }

    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.len() as u32).to_le_bytes());
        out.extend_from_slice(self.as_bytes());
    }

    fn bounds(self) -> bool {
        self.len() <= TEXT_BOUND_BYTES
    }

    fn index_bytes(self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn text_bytes(self) -> Option<u64> {
        Some(self.len() as u64)
    }

    fn number(self) -> Option<Number> {
        None
    }

    fn statistics(bounds: Option<(Self, Self)>, nulls: u64) -> Statistics {
        let (min, max) =
            bounds.map(|(min, max)| (ByteArray::from(min), ByteArray::from(max))).unzip();
        Statistics::byte_array(min, max, None, Some(nulls), false)
    }
}
