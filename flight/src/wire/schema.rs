//! The shapes of answers: each schema as an object and as the bytes of its first message. Encoding a schema costs more
//! than answering a point query, so encoded schemas are kept.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::{FlightData, SchemaAsIpc};
use bytes::Bytes;

use super::framed;

/// Schemas kept; over it the table is emptied.
const SHAPES_MAX: usize = 1_024;

/// The columns of an answer.
#[derive(Debug)]
pub(crate) struct Shape {
    /// As an object.
    pub(crate) schema: SchemaRef,
    /// As the first gRPC message of an answer.
    pub(crate) message: Bytes,
}

type ByColumns = HashMap<Vec<usize>, Arc<Shape>>;

/// The shapes of recent answers.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    /// By table and Arrow schema indexes of the value columns.
    tables: RwLock<HashMap<String, ByColumns>>,
}

impl Shape {
    /// Encodes `schema`.
    pub(crate) fn new(schema: SchemaRef) -> Self {
        let data = FlightData::from(SchemaAsIpc::new(&schema, &IpcWriteOptions::default()));
        Self { schema, message: framed(&data) }
    }
}

impl Shapes {
    /// The shape of an answer with these columns of `table`; `schema` makes it if it is not there.
    pub(crate) fn get(&self, table: &str, columns: &[usize], schema: &SchemaRef) -> Arc<Shape> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(shape) = tables.get(table).and_then(|shapes| shapes.get(columns)) {
            return Arc::clone(shape);
        }
        drop(tables);
        let shape = Arc::new(Shape::new(Arc::clone(schema)));
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        if tables.values().map(HashMap::len).sum::<usize>() >= SHAPES_MAX {
            tables.clear();
        }
        tables.entry(table.to_owned()).or_default().insert(columns.to_vec(), Arc::clone(&shape));
        shape
    }
}
