//! Tables of `pg_catalog`, as far as clients ask for them: what PostgreSQL 15 has there, of the tables that a caller is shown.
//! What this server has not, such as indexes, has a table without rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, new_null_array,
};
use arrow::datatypes::{DataType, Field, Schema};
use barograph_engine::{Error, Result};
use barograph_query::{CATALOG, DerivedSchema, PUBLIC_SCHEMA, SYSTEM_SCHEMA, TableEntry};

use super::schema::{EMPTY, FILLED};
use crate::types::{KINDS, PgType};

/// The schema of PostgreSQL's own tables.
pub(crate) const PG_CATALOG: &str = "pg_catalog";
/// Numbers of schemas, as PostgreSQL has them.
pub(super) const SCHEMAS: [(&str, i64); 4] = [
    (PG_CATALOG, 11),
    (PUBLIC_SCHEMA, 2_200),
    (SYSTEM_SCHEMA, 2_201),
    ("information_schema", 13_000),
];
/// The number of the database, and of the role that has everything.
const DATABASE_OID: i64 = 16_384;
const OWNER: i64 = 10;
pub(super) const OWNER_NAME: &str = CATALOG;
/// Numbers of tables begin here.
const TABLES_FROM: u64 = 100_000;
/// Tables that are found without their schema have smaller numbers.
pub(super) const VISIBLE_BELOW: u64 = 1 << 30;
/// The collation that texts are sorted by.
const DEFAULT_COLLATION: i64 = 100;
const TEXT_OID: u32 = 25;

/// Types that no column has, which clients look for by name: number, name, bytes, category, array.
const OTHERS: [(i64, &str, i64, &str, i64); 8] = [
    (18, "char", 1, "Z", 1_002),
    (19, "name", 64, "S", 1_003),
    (26, "oid", 4, "N", 1_028),
    (114, "json", -1, "U", 199),
    (705, "unknown", -2, "X", 0),
    (1_042, "bpchar", -1, "S", 1_014),
    (1_043, "varchar", -1, "S", 1_015),
    (2_950, "uuid", 16, "U", 2_951),
];

/// `pg_catalog`.
#[derive(Debug)]
pub(crate) struct PgCatalog;

/// A value of a row.
#[derive(Debug, Clone)]
enum Cell {
    Int(i64),
    Text(String),
    Flag(bool),
}

type Row = BTreeMap<&'static str, Cell>;

impl DerivedSchema for PgCatalog {
    fn name(&self) -> &'static str {
        PG_CATALOG
    }

    fn tables(&self, entries: &[TableEntry]) -> Result<Vec<(&'static str, RecordBatch)>> {
        let numbers = numbers(entries);
        let filled = FILLED.iter().map(|(name, columns)| {
            let rows = match *name {
                "pg_namespace" => schemas(),
                "pg_class" => tables(entries, &numbers),
                "pg_attribute" => columns_of(entries, &numbers),
                "pg_type" => types(),
                "pg_database" => databases(),
                "pg_roles" | "pg_user" => roles(),
                "pg_tables" => plain_tables(entries),
                "pg_am" => {
                    vec![row([("oid", int(2)), ("amname", text("heap")), ("amtype", text("t"))])]
                }
                "pg_tablespace" => {
                    vec![row([("oid", int(1_663)), ("spcname", text("pg_default"))])]
                }
                "pg_collation" => {
                    vec![row([("oid", int(DEFAULT_COLLATION)), ("collname", text("default"))])]
                }
                _ => Vec::new(),
            };
            Ok((*name, batch(columns, &rows)?))
        });
        let empty = EMPTY.iter().map(|(name, columns)| Ok((*name, batch(columns, &[])?)));
        filled.chain(empty).collect()
    }
}

fn int(of: i64) -> Cell {
    Cell::Int(of)
}

fn text(of: &str) -> Cell {
    Cell::Text(of.to_owned())
}

fn row<const N: usize>(cells: [(&'static str, Cell); N]) -> Row {
    cells.into()
}

/// The number of each table. It is made of its name, so that it stays when others come and go.
fn numbers(entries: &[TableEntry]) -> Vec<i64> {
    let mut taken = BTreeMap::new();
    let number = |entry: &TableEntry| {
        let name = format!("{}.{}", entry.schema, entry.name);
        // FNV-1a, of 64 bits.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let begin = if entry.schema == PUBLIC_SCHEMA { TABLES_FROM } else { VISIBLE_BELOW };
        let mut number = begin + hash % (VISIBLE_BELOW - 2 * TABLES_FROM);
        while taken.insert(number, ()).is_some() {
            number += 1;
        }
        i64::try_from(number).unwrap_or_default()
    };
    entries.iter().map(number).collect()
}

fn schema_number(name: &str) -> i64 {
    SCHEMAS.iter().find(|(schema, _)| *schema == name).map_or(0, |(_, number)| *number)
}

fn schemas() -> Vec<Row> {
    let schema = |(name, number): &(&str, i64)| {
        row([("oid", int(*number)), ("nspname", text(name)), ("nspowner", int(OWNER))])
    };
    SCHEMAS.iter().map(schema).collect()
}

/// Tables of the server itself are made when they are asked for, as views are.
fn kind(entry: &TableEntry) -> &'static str {
    if entry.schema == SYSTEM_SCHEMA { "v" } else { "r" }
}

fn tables(entries: &[TableEntry], numbers: &[i64]) -> Vec<Row> {
    let table = |(entry, number): (&TableEntry, &i64)| {
        row([
            ("oid", int(*number)),
            ("relname", text(&entry.name)),
            ("relnamespace", int(schema_number(&entry.schema))),
            ("relowner", int(OWNER)),
            ("relam", int(2)),
            ("relkind", text(kind(entry))),
            ("relnatts", int(entry.columns.fields().len() as i64)),
        ])
    };
    entries.iter().zip(numbers).map(table).collect()
}

fn columns_of(entries: &[TableEntry], numbers: &[i64]) -> Vec<Row> {
    let column = |number: i64, at: usize, field: &Field| {
        let of = PgType::of(field.data_type());
        let collation = if of.oid() == TEXT_OID { DEFAULT_COLLATION } else { 0 };
        row([
            ("attrelid", int(number)),
            ("attname", text(field.name())),
            ("atttypid", int(i64::from(of.oid()))),
            ("attlen", int(i64::from(of.size()))),
            ("attnum", int(at as i64 + 1)),
            ("attndims", int(i64::from(of.is_array))),
            ("attnotnull", Cell::Flag(!field.is_nullable())),
            ("attcollation", int(collation)),
        ])
    };
    let of_table = |(entry, number): (&TableEntry, &i64)| {
        let number = *number;
        let fields = entry.columns.fields().iter().enumerate();
        fields.map(|(at, field)| column(number, at, field)).collect::<Vec<_>>()
    };
    entries.iter().zip(numbers).flat_map(of_table).collect()
}

fn category(name: &str) -> &'static str {
    match name {
        "bool" => "B",
        "bytea" => "U",
        "text" => "S",
        "date" | "time" | "timestamp" | "timestamptz" => "D",
        "interval" => "T",
        _ => "N",
    }
}

fn types() -> Vec<Row> {
    let own = KINDS.iter().map(|(_, oid, name, array, size)| {
        (i64::from(*oid), *name, i64::from(*size), category(name), i64::from(*array))
    });
    let all = own.chain(OTHERS);
    let of = |(oid, name, size, category, array): (i64, &str, i64, &str, i64)| {
        let item = row([
            ("oid", int(oid)),
            ("typname", text(name)),
            ("typlen", int(size)),
            ("typcategory", text(category)),
            ("typarray", int(array)),
            ("typcollation", int(if category == "S" { DEFAULT_COLLATION } else { 0 })),
            ("typinput", text(&format!("{name}in"))),
        ]);
        let array = row([
            ("oid", int(array)),
            ("typname", text(&format!("_{name}"))),
            ("typlen", int(-1)),
            ("typcategory", text("A")),
            ("typelem", int(oid)),
            ("typinput", text("array_in")),
        ]);
        [item, array]
    };
    let rows = all.flat_map(of);
    rows.filter(|row| !matches!(row.get("oid"), Some(Cell::Int(0)))).collect()
}

fn databases() -> Vec<Row> {
    vec![row([
        ("oid", int(DATABASE_OID)),
        ("datname", text(CATALOG)),
        ("datdba", int(OWNER)),
        ("datcollate", text("C")),
        ("datctype", text("C")),
    ])]
}

fn roles() -> Vec<Row> {
    vec![row([
        ("oid", int(OWNER)),
        ("rolname", text(OWNER_NAME)),
        ("usename", text(OWNER_NAME)),
        ("usesysid", int(OWNER)),
    ])]
}

fn plain_tables(entries: &[TableEntry]) -> Vec<Row> {
    let tables = entries.iter().filter(|entry| entry.schema != SYSTEM_SCHEMA);
    let table = |entry: &TableEntry| {
        row([
            ("schemaname", text(&entry.schema)),
            ("tablename", text(&entry.name)),
            ("tableowner", text(OWNER_NAME)),
        ])
    };
    tables.map(table).collect()
}

/// Rows under columns such as `oid:int relname:text relhasindex:bool=false`: a value behind `=` is that of rows without one.
fn batch(columns: &str, rows: &[Row]) -> Result<RecordBatch> {
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for column in columns.split_whitespace() {
        let wrong = || Error::internal(format!("pg_catalog: column {column:?}"));
        let (name, of) = column.split_once(':').ok_or_else(wrong)?;
        let (of, default) =
            of.split_once('=').map_or((of, None), |(of, default)| (of, Some(default)));
        let ints = |row: &Row| match row.get(name) {
            Some(Cell::Int(value)) => Some(*value),
            _ => default.and_then(|value| value.parse().ok()),
        };
        let array: ArrayRef = match of {
            "int" => Arc::new(rows.iter().map(ints).collect::<Int64Array>()),
            "real" => Arc::new(
                rows.iter().map(|row| ints(row).map(|of| of as f64)).collect::<Float64Array>(),
            ),
            "text" => {
                let texts = rows.iter().map(|row| match row.get(name) {
                    Some(Cell::Text(value)) => Some(value.as_str()),
                    _ => default,
                });
                Arc::new(texts.collect::<StringArray>())
            }
            "bool" => {
                let flags = rows.iter().map(|row| match row.get(name) {
                    Some(Cell::Flag(value)) => Some(*value),
                    _ => default.map(|value| value == "true"),
                });
                Arc::new(flags.collect::<BooleanArray>())
            }
            "texts" | "ints" => {
                let item = if of == "ints" { DataType::Int64 } else { DataType::Utf8 };
                let list = DataType::List(Arc::new(Field::new_list_field(item, true)));
                new_null_array(&list, rows.len())
            }
            _ => return Err(wrong()),
        };
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(array);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;

    use super::*;

    fn entry(schema: &str, name: &str) -> TableEntry {
        let fields = vec![
            Field::new("city_id", DataType::Int64, false),
            Field::new("temperature", DataType::Float32, true),
        ];
        TableEntry {
            catalog: CATALOG.to_owned(),
            schema: schema.to_owned(),
            name: name.to_owned(),
            table_type: "TABLE".to_owned(),
            columns: Arc::new(Schema::new(fields)),
            primary_key: Vec::new(),
        }
    }

    #[test]
    fn the_catalog_holds_the_tables_that_are_shown_and_no_others() {
        let entries = [entry(PUBLIC_SCHEMA, "readings"), entry(SYSTEM_SCHEMA, "queries")];
        let tables: BTreeMap<_, _> = PgCatalog.tables(&entries).unwrap().into_iter().collect();
        let classes = &tables["pg_class"];
        let names: Vec<_> = classes["relname"].as_string::<i32>().iter().flatten().collect();
        assert_eq!(names, ["readings", "queries"]);
        assert_eq!(tables["pg_attribute"].num_rows(), 4);
        assert_eq!(tables["pg_tables"].num_rows(), 1);
        assert_eq!(tables["pg_index"].num_rows(), 0);
    }

    #[test]
    fn a_table_keeps_its_number_when_others_come() {
        let one = entry(PUBLIC_SCHEMA, "readings");
        let alone = numbers(std::slice::from_ref(&one))[0];
        let entries = [entry(PUBLIC_SCHEMA, "a"), one, entry(SYSTEM_SCHEMA, "readings")];
        let beside = numbers(&entries);
        assert_eq!(beside[1], alone);
        assert!(beside[1] < VISIBLE_BELOW as i64 && beside[2] >= VISIBLE_BELOW as i64);
    }
}
