//! The compression of an answer, piece by piece.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use zstd::stream::write::Encoder;

use crate::request::Coding;

/// The level of zstd: the fastest but for those that compress weather worse than gzip.
const ZSTD_LEVEL: i32 = 3;

/// A compressor, or none.
pub(super) enum Packer {
    Plain,
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(Encoder<'static, Vec<u8>>),
}

impl Packer {
    pub(super) fn new(coding: Coding) -> io::Result<Self> {
        Ok(match coding {
            Coding::Plain => Self::Plain,
            Coding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), Compression::fast())),
            Coding::Zstd => Self::Zstd(Encoder::new(Vec::new(), ZSTD_LEVEL)?),
        })
    }

    /// Takes a piece, and gives what of the compressed answer is ready, which may be nothing.
    pub(super) fn push(&mut self, piece: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain => Ok(piece),
            Self::Gzip(encoder) => {
                encoder.write_all(&piece)?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Self::Zstd(encoder) => {
                encoder.write_all(&piece)?;
                Ok(std::mem::take(encoder.get_mut()))
            }
        }
    }

    /// What is left at the end.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain => Ok(Vec::new()),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Read;

    use super::*;

    #[test]
    fn pieces_come_back_as_they_were() {
        let pieces = [b"temperature ".repeat(9_000), Vec::new(), b"humidity".to_vec()];
        for coding in [Coding::Plain, Coding::Gzip, Coding::Zstd] {
            let mut packer = Packer::new(coding).unwrap();
            let mut packed = Vec::new();
            for piece in &pieces {
                packed.extend(packer.push(piece.clone()).unwrap());
            }
            packed.extend(packer.finish().unwrap());
            let mut plain = Vec::new();
            match coding {
                Coding::Plain => plain = packed,
                Coding::Gzip => {
                    flate2::read::GzDecoder::new(packed.as_slice())
                        .read_to_end(&mut plain)
                        .unwrap();
                }
                Coding::Zstd => plain = zstd::decode_all(packed.as_slice()).unwrap(),
            }
            assert_eq!(plain, pieces.concat(), "{coding:?}");
        }
    }
}
