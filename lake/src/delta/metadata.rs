//! How is a table's declaration kept in its Delta log?
//!
//! Other engines read the columns from the Delta schema. The whole declaration (which column is the key,
//! units, plausible ranges) stands beside it in the table's configuration.

use std::collections::BTreeMap;

use delta_kernel::Snapshot;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::actions::{Format, MetaData};
use crate::schema::TableDeclaration;
use crate::{Error, KeyType, Result, TableSchema, ValueType};

/// Key in the Delta table's configuration that holds the [`TableDeclaration`] as JSON.
const DECLARATION: &str = "barograph.table";
/// Key there that names the columns by whose statistics readers may leave out files. Readers take a column that has a
/// null count and no range, or that a file lacks, for one without values (deltalake 1.6), so only columns are named that
/// have a range in every file there is or will be: texts, floats (NaN has no place in a range) and columns that come
/// later are not.
const SKIPPING: &str = "delta.dataSkippingStatsColumns";

/// What the Delta log says of the table itself.
#[derive(Debug, Clone)]
pub(crate) struct Metadata {
    id: String,
    name: String,
    /// The declaration as JSON, what readers are told, and whatever others have set.
    configuration: BTreeMap<String, String>,
}

/// How a stored declaration differs from another.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// Not at all.
    None,
    /// In what only describes values (units, plausible ranges): the files stay as they are.
    Description,
    /// In columns: said in words.
    Columns(String),
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
    pub(crate) fn tells_skipping(&self, schema: &TableSchema) -> bool {
        self.configuration.get(SKIPPING).is_some_and(|columns| *columns == skipping(schema))
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

impl Difference {
    /// What must change in `stored` to become `declared`.
    pub(crate) fn between(stored: &TableSchema, declared: &TableSchema) -> Self {
        let columns = |schema: &TableSchema| -> Vec<String> {
            let fields = schema.arrow().fields().iter();
            fields.map(|f| format!("{} {}", f.name(), f.data_type())).collect()
        };
        let (old, new) = (columns(stored), columns(declared));
        if old == new {
            let same = stored.declaration() == declared.declaration();
            return if same { Self::None } else { Self::Description };
        }
        let missing = |from: &[String], of: &[String]| {
            from.iter().filter(|c| !of.contains(c)).cloned().collect::<Vec<_>>().join(", ")
        };
        Self::Columns(match (missing(&old, &new), missing(&new, &old)) {
            (stored, declared) if stored.is_empty() && declared.is_empty() => {
                format!("the order of columns: it is stored as {}", old.join(", "))
            }
            (stored, declared) => format!("stored: [{stored}], declared: [{declared}]"),
        })
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
fn delta_schema(schema: &TableSchema) -> Value {
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
