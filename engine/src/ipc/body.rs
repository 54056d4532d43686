//! The body of a message of rows: that its buffers lie in it, are as many as its columns have, and what they unpack to.

use std::io::Read;

use arrow::ipc::{BodyCompressionMethod, CompressionType, FieldNode, MetadataVersion, RecordBatch};

use super::layout::Layout;
use super::{IpcError, Result};

/// A compressed buffer begins with the bytes that it unpacks to, and this for one that is not packed after all.
const PREFIX: usize = 8;
const NOT_PACKED: i64 = -1;
/// Bytes of a view of a text.
const VIEW_BYTES: usize = 16;

/// Checks a message of rows whose columns are laid out as `columns`; returns what its body unpacks to.
///
/// # Errors
/// What is wrong with it, or that it has more than `most` bytes or rows.
pub(super) fn check(
    batch: &RecordBatch<'_>,
    columns: &[Layout],
    version: MetadataVersion,
    body: &[u8],
    most: usize,
) -> Result<usize> {
    const NO_ROWS: IpcError = IpcError::Malformed("it has no number of rows");
    let rows = usize::try_from(batch.length()).map_err(|_| NO_ROWS)?;
    if rows > most {
        return Err(IpcError::TooLarge(rows));
    }
    let (buffers, bytes) = unpacked(batch, body, most)?;
    let nodes: Vec<FieldNode> = batch.nodes().into_iter().flatten().copied().collect();
    let variadic: Vec<i64> = batch.variadicBufferCounts().into_iter().flatten().collect();
    let mut walk = Walk {
        has_union_bits: version < MetadataVersion::V5,
        most,
        nodes: nodes.into_iter(),
        buffers: buffers.into_iter(),
        variadic: variadic.into_iter(),
    };
    columns.iter().try_for_each(|column| walk.column(column))?;
    if walk.variadic.next().is_some() {
        return Err(IpcError::Malformed("it counts buffers of columns that it has not"));
    }
    Ok(bytes)
}

/// A buffer of a body.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Where it stands; 0 if it is unpacked into memory of its own.
    start: usize,
    /// What it unpacks to.
    size: usize,
}

/// The buffers, and what all of them unpack to.
fn unpacked(batch: &RecordBatch<'_>, body: &[u8], most: usize) -> Result<(Vec<Place>, usize)> {
    const OUTSIDE: IpcError = IpcError::Malformed("a buffer lies outside of its body");
    let compression = batch.compression();
    let codec = compression.map(|compression| compression.codec());
    let is_known = compression.is_none_or(|compression| {
        let codecs = [CompressionType::LZ4_FRAME, CompressionType::ZSTD];
        compression.method() == BodyCompressionMethod::BUFFER
            && codecs.contains(&compression.codec())
    });
    if !is_known {
        return Err(IpcError::Malformed("it is packed in a way that is not known"));
    }
    let (mut places, mut all) = (Vec::new(), 0_usize);
    for buffer in batch.buffers().into_iter().flatten() {
        let start = usize::try_from(buffer.offset()).map_err(|_| OUTSIDE)?;
        let length = usize::try_from(buffer.length()).map_err(|_| OUTSIDE)?;
        let end = start.checked_add(length).ok_or(OUTSIDE)?;
        let stored = body.get(start..end).ok_or(OUTSIDE)?;
        let place = match codec {
            Some(codec) if !stored.is_empty() => {
                Place { start: 0, size: packed(codec, stored, most)? }
            }
            _ => Place { start, size: length },
        };
        all = all.saturating_add(place.size);
        if all > most {
            return Err(IpcError::TooLarge(all));
        }
        places.push(place);
    }
    Ok((places, all))
}

/// What a packed buffer unpacks to.
fn packed(codec: CompressionType, stored: &[u8], most: usize) -> Result<usize> {
    const WRONG: IpcError = IpcError::Malformed("a packed buffer does not say what it unpacks to");
    let (prefix, content) = stored.split_first_chunk::<PREFIX>().ok_or(WRONG)?;
    let stated = i64::from_le_bytes(*prefix);
    if stated == NOT_PACKED {
        return Ok(content.len());
    }
    let stated = usize::try_from(stated).map_err(|_| WRONG)?;
    if stated > most {
        return Err(IpcError::TooLarge(stated));
    }
    // Of zstd arrow takes no more than is stated; a frame of LZ4 it reads to its end.
    if codec == CompressionType::LZ4_FRAME && stated > 0 {
        let limit = stated as u64 + 1;
        let mut frame = lz4_flex::frame::FrameDecoder::new(content).take(limit);
        if std::io::copy(&mut frame, &mut std::io::sink())? != stated as u64 {
            return Err(WRONG);
        }
    }
    Ok(stated)
}

/// Walks over the columns of a message with what it has for them.
struct Walk {
    /// Unions have bits too, as they had in earlier versions.
    has_union_bits: bool,
    most: usize,
    nodes: std::vec::IntoIter<FieldNode>,
    buffers: std::vec::IntoIter<Place>,
    variadic: std::vec::IntoIter<i64>,
}

impl Walk {
    fn column(&mut self, layout: &Layout) -> Result<()> {
        let (rows, nulls) = self.node()?;
        match layout {
            Layout::Null => Ok(()),
            Layout::Plain(widths) => {
                self.bits(rows, nulls)?;
                widths.iter().try_for_each(|width| self.values(*width))
            }
            Layout::Views => {
                self.bits(rows, nulls)?;
                self.values(VIEW_BYTES)?;
                let others = self.variadic.next().and_then(|count| usize::try_from(count).ok());
                let others = others.ok_or(IpcError::Malformed("it does not count its buffers"))?;
                self.skip(others)
            }
            Layout::Nested(widths, child) => {
                self.bits(rows, nulls)?;
                widths.iter().try_for_each(|width| self.values(*width))?;
                self.column(child)
            }
            Layout::Struct(children) => {
                self.bits(rows, nulls)?;
                children.iter().try_for_each(|child| self.column(child))
            }
            Layout::Runs(children) => children.iter().try_for_each(|child| self.column(child)),
            Layout::Union { is_dense, children } => {
                if self.has_union_bits {
                    self.skip(1)?;
                }
                self.at_least(rows)?;
                if *is_dense {
                    let offsets = self.at_least(rows.saturating_mul(size_of::<i32>()))?;
                    // All others are moved to where they have to be.
                    if !offsets.start.is_multiple_of(align_of::<i32>()) {
                        return Err(IpcError::Malformed("the offsets of a union are not aligned"));
                    }
                }
                children.iter().try_for_each(|child| self.column(child))
            }
        }
    }

    /// Rows and nulls of the next column.
    fn node(&mut self) -> Result<(usize, usize)> {
        const WRONG: IpcError = IpcError::Malformed("it has no rows for a column");
        let node = self.nodes.next().ok_or(WRONG)?;
        let rows = usize::try_from(node.length()).map_err(|_| WRONG)?;
        let nulls = usize::try_from(node.null_count()).map_err(|_| WRONG)?;
        if rows > self.most {
            return Err(IpcError::TooLarge(rows));
        }
        if nulls > rows {
            return Err(IpcError::Malformed("a column has more nulls than rows"));
        }
        Ok((rows, nulls))
    }

    /// Takes the bits that tell nulls.
    fn bits(&mut self, rows: usize, nulls: usize) -> Result<()> {
        self.at_least(if nulls == 0 { 0 } else { rows.div_ceil(8) }).map(drop)
    }

    fn at_least(&mut self, bytes: usize) -> Result<Place> {
        match self.buffers.next() {
            Some(place) if place.size >= bytes => Ok(place),
            Some(_) => Err(IpcError::Malformed("a buffer is shorter than its column")),
            None => Err(TOO_FEW),
        }
    }

    /// Takes a buffer of values of so many bytes each.
    fn values(&mut self, width: usize) -> Result<()> {
        match self.at_least(0)?.size.is_multiple_of(width) {
            true => Ok(()),
            false => Err(IpcError::Malformed("a buffer ends inside a value")),
        }
    }

    fn skip(&mut self, count: usize) -> Result<()> {
        if count > self.buffers.len() {
            return Err(TOO_FEW);
        }
        self.buffers.by_ref().take(count).for_each(drop);
        Ok(())
    }
}

const TOO_FEW: IpcError = IpcError::Malformed("it has fewer buffers than its columns");
