//! Arrow IPC messages that come from outside: checked before arrow decodes them, which trusts the places, counts and sizes
//! that a message names.
//!
//! ```text
//! header ─► types, places, counts, sizes ─► arrow's decoder ─► schema, dictionary, rows
//! body   ─► what it unpacks to           ┘
//! ```
//! Format: "Serialization and Interprocess Communication" of Apache Arrow, version 1.5. What a message may unpack to is
//! bounded by its sender's reader: a request's size, the memory of an import.

mod body;
mod framed;
mod layout;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::{RecordBatchDecoder, read_dictionary};
use arrow::ipc::{Message, MessageHeader, root_as_message};

use self::layout::Layouts;

pub use self::framed::{IpcFile, IpcStream, read_stream};

/// Decodes the messages of one stream in their order.
#[derive(Debug)]
pub struct IpcDecoder {
    /// Bytes that a message, and all dictionaries together, unpack to at most; no message has more rows than that.
    most: usize,
    schema: Option<(SchemaRef, Layouts)>,
    dictionaries: HashMap<i64, ArrayRef>,
    /// Bytes of each dictionary.
    dictionary_bytes: HashMap<i64, usize>,
}

/// What a message says.
#[derive(Debug)]
pub enum Decoded {
    /// The columns of all rows that follow.
    Schema(SchemaRef),
    /// Rows.
    Rows(RecordBatch),
    /// A dictionary, which the decoder keeps, or nothing.
    Nothing,
}

/// Why a message is not taken.
#[derive(Debug)]
#[non_exhaustive]
pub enum IpcError {
    /// It unpacks to so many bytes, or has so many rows; more than may be.
    TooLarge(usize),
    /// It is not what the format says.
    Malformed(&'static str),
    /// A column is of a type that the format does not have.
    Column(String),
    /// What arrow says of it.
    Arrow(ArrowError),
    /// It could not be read.
    Io(std::io::Error),
}

type Result<T, E = IpcError> = std::result::Result<T, E>;

impl IpcDecoder {
    /// A decoder of messages that unpack to `most` bytes and have `most` rows at most.
    pub fn new(most: usize) -> Self {
        Self { most, schema: None, dictionaries: HashMap::new(), dictionary_bytes: HashMap::new() }
    }

    /// The columns, once a schema was decoded.
    pub fn schema(&self) -> Option<&SchemaRef> {
        self.schema.as_ref().map(|(schema, _)| schema)
    }

    /// Other messages from here on may unpack to so many bytes.
    pub fn bound(&mut self, most: usize) {
        self.most = most;
    }

    /// Decodes a message: its header, which is a flatbuffer, and its body.
    ///
    /// # Errors
    /// What is wrong with it. Nothing of it was taken.
    pub fn decode(&mut self, header: &[u8], body: Buffer) -> Result<Decoded> {
        let message = message(header)?;
        match message.header_type() {
            MessageHeader::NONE => Ok(Decoded::Nothing),
            MessageHeader::Schema => self.set_schema(&message).map(Decoded::Schema),
            MessageHeader::DictionaryBatch => {
                self.add_dictionary(&message, &body).map(|()| Decoded::Nothing)
            }
            MessageHeader::RecordBatch => self.rows(&message, &body).map(Decoded::Rows),
            _ => Err(IpcError::Malformed("it is neither a schema nor rows nor a dictionary")),
        }
    }

    fn set_schema(&mut self, message: &Message<'_>) -> Result<SchemaRef> {
        let schema = message.header_as_schema();
        let schema = schema.ok_or(IpcError::Malformed("it has no schema"))?;
        let layouts = Layouts::of(&schema)?;
        let schema = Arc::new(fb_to_schema(schema));
        self.dictionaries.clear();
        self.dictionary_bytes.clear();
        self.schema = Some((Arc::clone(&schema), layouts));
        Ok(schema)
    }

    fn add_dictionary(&mut self, message: &Message<'_>, body: &Buffer) -> Result<()> {
        let dictionary = message.header_as_dictionary_batch();
        let dictionary = dictionary.ok_or(IpcError::Malformed("it has no dictionary"))?;
        let (schema, layouts) = self.schema.as_ref().ok_or(BEFORE_SCHEMA)?;
        let layout = layouts.dictionary(dictionary.id())?;
        let rows = dictionary.data().ok_or(IpcError::Malformed("a dictionary without values"))?;
        // One that is sent again takes the place of the one before; another kind adds to it.
        let (id, adds) = (dictionary.id(), dictionary.isDelta());
        let others = self.dictionary_bytes.iter().filter(|(other, _)| adds || **other != id);
        let others: usize = others.map(|(_, bytes)| bytes).sum();
        let (room, version) = (self.most.saturating_sub(others), message.version());
        let bytes = body::check(&rows, std::slice::from_ref(layout), version, body, room)?;
        read_dictionary(body, dictionary, schema, &mut self.dictionaries, &version)?;
        let held = self.dictionary_bytes.entry(id).or_default();
        *held = if adds { *held + bytes } else { bytes };
        Ok(())
    }

    fn rows(&self, message: &Message<'_>, body: &Buffer) -> Result<RecordBatch> {
        let batch = message.header_as_record_batch();
        let batch = batch.ok_or(IpcError::Malformed("it has no rows"))?;
        let (schema, layouts) = self.schema.as_ref().ok_or(BEFORE_SCHEMA)?;
        body::check(&batch, layouts.columns(), message.version(), body, self.most)?;
        let (schema, version) = (Arc::clone(schema), message.version());
        let decoder =
            RecordBatchDecoder::try_new(body, batch, schema, &self.dictionaries, &version)?;
        Ok(decoder.read_record_batch()?)
    }
}

/// The columns of a message that has a schema.
///
/// # Errors
/// If it has none, or one that is malformed.
pub fn schema_of(header: &[u8]) -> Result<SchemaRef> {
    let message = message(header)?;
    IpcDecoder::new(0).set_schema(&message)
}

const BEFORE_SCHEMA: IpcError = IpcError::Malformed("it comes before a schema");

fn message(header: &[u8]) -> Result<Message<'_>> {
    let message = root_as_message(header);
    message.map_err(|error| IpcError::Arrow(ArrowError::IpcError(error.to_string())))
}

impl fmt::Display for IpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(size) => {
                write!(
                    f,
                    "a message of Arrow IPC with {size} bytes, unpacked, or rows is too large"
                )
            }
            Self::Malformed(what) => write!(f, "a message of Arrow IPC is malformed: {what}"),
            Self::Column(what) => write!(f, "a schema of Arrow IPC is malformed: {what}"),
            Self::Arrow(error) => write!(f, "a message of Arrow IPC cannot be decoded: {error}"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for IpcError {}

impl From<ArrowError> for IpcError {
    fn from(error: ArrowError) -> Self {
        Self::Arrow(error)
    }
}

impl From<std::io::Error> for IpcError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

#[cfg(test)]
mod tests;
