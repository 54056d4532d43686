//! The metadata of a table in its Delta log: its declaration, and the declarations it had before columns were dropped
//! or renamed.
//!
//! Other engines read the columns from the Delta schema. The whole declaration (which column is the key,
//! units, plausible ranges) is stored beside it, in the table's configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use delta_kernel::Snapshot;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::actions::{Format, MetaData};
use crate::schema::TableDeclaration;
use crate::{Error, KeyType, Result, TableSchema, TableVersion, Timestamp, ValueType};

/// Key in the Delta table's configuration that holds the [`TableDeclaration`] as JSON.
const DECLARATION: &str = "barograph.table";
/// Key there that names the columns by whose statistics readers may leave out files. Readers take a column that has a
/// null count and no range, or that a file lacks, for one without values (deltalake 1.6), so only columns are named that
/// have a range in every file there is or will be: texts, floats (NaN has no place in a range) and columns that come
/// later are not.
const SKIPPING: &str = "delta.dataSkippingStatsColumns";

/// Key there of the declarations of earlier versions, of which columns are not in the one of today, as JSON.
const FORMER: &str = "barograph.former";
/// So many of them are kept: those of more versions than the log holds.
const FORMER_KEPT: usize = 32;

/// What a table was until some of its columns went, or got other names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Former {
    /// The first version that was not like this.
    pub(crate) before: TableVersion,
    /// When that was committed.
    pub(crate) at: Timestamp,
    pub(crate) schema: Arc<TableSchema>,
}

/// A [`Former`] in the configuration.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    before: TableVersion,
    at: Timestamp,
    table: TableDeclaration,
}

/// What the Delta log says of the table itself.
#[derive(Debug, Clone)]
pub(crate) struct Metadata {
    id: String,
    name: String,
    /// The declaration as JSON, what readers are told, and whatever others have set.
    configuration: BTreeMap<String, String>,
}

impl Metadata {
    /// The metadata of a new table.
    pub(crate) fn new(schema: &TableSchema) -> Result<Self> {
        Self::of(Uuid::new_v4().to_string(), BTreeMap::new(), schema)
    }

    /// The same table, declared anew.
    pub(crate) fn redeclared(&self, schema: &TableSchema) -> Result<Self> {
        Self::of(self.id.clone(), self.configuration.clone(), schema)
    }

    /// The same table with the columns of `after` from `version` on, which is committed at `at`.
    pub(crate) fn altered(
        &self,
        before: &TableSchema,
        after: &TableSchema,
        version: TableVersion,
        at: Timestamp,
    ) -> Result<Self> {
        let mut former = self.stored()?;
        let table = before.declaration().clone();
        former.push(Stored { before: version, at, table });
        former.drain(..former.len().saturating_sub(FORMER_KEPT));
        let text = serde_json::to_string(&former)
            .map_err(|e| Error::request("earlier declarations").with_source(e))?;
        let mut altered = self.redeclared(after)?;
        altered.configuration.insert(FORMER.to_owned(), text);
        Ok(altered)
    }

    /// What the table was earlier, oldest first.
    ///
    /// # Errors
    /// Damage if that cannot be read.
    pub(crate) fn former(&self) -> Result<Arc<[Former]>> {
        let former = self.stored()?.into_iter().map(|stored| {
            let schema = Arc::new(TableSchema::new(&self.name, stored.table)?);
            Ok(Former { before: stored.before, at: stored.at, schema })
        });
        former.collect()
    }

    fn stored(&self) -> Result<Vec<Stored>> {
        let Some(text) = self.configuration.get(FORMER) else { return Ok(Vec::new()) };
        serde_json::from_str(text).map_err(|e| {
            Error::damage(format!("{FORMER:?} in the Delta table's configuration")).with_source(e)
        })
    }

    fn of(
        id: String,
        mut configuration: BTreeMap<String, String>,
        schema: &TableSchema,
    ) -> Result<Self> {
        let declaration = serde_json::to_string(schema.declaration())
            .map_err(|e| Error::request("table declaration").with_source(e))?;
        configuration.insert(DECLARATION.to_owned(), declaration);
        configuration.insert(SKIPPING.to_owned(), skipping(schema));
        Ok(Self { id, name: schema.name().to_owned(), configuration })
    }

    /// Whether readers are told by which columns they may leave out files.
    pub(crate) fn states_skipping(&self, schema: &TableSchema) -> bool {
        self.configuration.get(SKIPPING).is_some_and(|columns| *columns == skipping(schema))
    }

    /// What is set for a key of the configuration.
    pub(super) fn setting(&self, key: &str) -> Option<&str> {
        self.configuration.get(key).map(String::as_str)
    }

    /// The keys of the configuration.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.configuration.keys().map(String::as_str)
    }

    /// Whether the table was made by this program.
    pub(super) fn is_own(&self) -> bool {
        self.configuration.contains_key(DECLARATION)
    }

    /// What the kernel read.
    pub(super) fn read(snapshot: &Snapshot) -> Self {
        let metadata = snapshot.table_configuration().metadata();
        Self {
            id: metadata.id().to_owned(),
            name: metadata.name().unwrap_or_default().to_owned(),
            configuration: snapshot
                .metadata_configuration()
                .iter()
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        }
    }

    /// The action that sets it.
    pub(super) fn action(&self, schema: &TableSchema) -> MetaData {
        let configuration = self.configuration.iter();
        MetaData {
            id: self.id.clone(),
            name: self.name.clone(),
            format: Format { provider: "parquet", options: Map::new() },
            schema_string: delta_schema(schema).to_string(),
            partition_columns: [],
            configuration: configuration
                .map(|(key, value)| (key.clone(), value.clone().into()))
                .collect(),
        }
    }

    /// The schema that was declared.
    ///
    /// # Errors
    /// Damage if the table was not made by this crate.
    pub(crate) fn schema(&self) -> Result<TableSchema> {
        let text = self.configuration.get(DECLARATION).ok_or_else(|| {
            Error::damage(format!(
                "Delta table {:?} has no {DECLARATION:?} in its configuration: it was not made by barograph",
                self.name
            ))
        })?;
        let declaration: TableDeclaration = serde_json::from_str(text).map_err(|e| {
            Error::damage(format!("{DECLARATION:?} in the Delta table's configuration"))
                .with_source(e)
        })?;
        TableSchema::new(&self.name, declaration)
    }
}

/// The columns whose range every file tells: key, time and when a row was accepted, none of which can be null.
fn skipping(schema: &TableSchema) -> String {
    let fields = schema.arrow().fields().iter();
    let names: Vec<_> =
        fields.filter(|field| !field.is_nullable()).map(|field| field.name().as_str()).collect();
    names.join(",")
}

/// The schema of a table as the Delta protocol writes it, without the table's own declaration.
pub(super) fn delta_schema(schema: &TableSchema) -> Value {
    let declaration = schema.declaration();
    let mut types = vec![delta_key(declaration.key_type), "timestamp"];
    types.extend(declaration.columns.iter().map(|c| delta_type(c.value_type)));
    types.push("timestamp");
    let fields: Vec<_> = schema
        .arrow()
        .fields()
        .iter()
        .zip(types)
        .map(|(field, name)| {
            json!({
                "name": field.name(),
                "type": name,
                "nullable": field.is_nullable(),
                "metadata": field.metadata(),
            })
        })
        .collect();
    json!({ "type": "struct", "fields": fields })
}

fn delta_key(key: KeyType) -> &'static str {
    match key {
        KeyType::Int32 => "integer",
        KeyType::Int64 => "long",
    }
}

fn delta_type(value: ValueType) -> &'static str {
    match value {
        ValueType::Int16 => "short",
        ValueType::Int32 => "integer",
        ValueType::Int64 => "long",
        ValueType::Float32 => "float",
        ValueType::Float64 => "double",
        ValueType::Utf8 => "string",
        ValueType::Timestamp => "timestamp",
    }
}
