//! What have other programs made of a table? Who made the newest commit, and may this program go on from it?

use delta_kernel::Snapshot;
use serde_json::Value;

use super::history::{Head, head};
use super::metadata::{Metadata, delta_schema};
use crate::store::LakeStore;
use crate::{Result, TableSchema, TableVersion};

/// What the names of this program begin with where a commit says who made it.
const ENGINE: &str = "barograph/";
/// Features of the protocol that ask nothing of a writer unless they are in use, which [`in_use`] tells.
const FEATURES: [&str; 14] = [
    "appendOnly",
    "invariants",
    "checkConstraints",
    "changeDataFeed",
    "generatedColumns",
    "columnMapping",
    "identityColumns",
    "deletionVectors",
    "timestampNtz",
    "typeWidening",
    "typeWidening-preview",
    "vacuumProtocolCheck",
    "v2Checkpoint",
    "domainMetadata",
];
/// Settings that ask of every writer what this program does not do.
const PROMISES: [&str; 5] = [
    "delta.appendOnly",
    "delta.enableChangeDataFeed",
    "delta.enableRowTracking",
    "delta.enableInCommitTimestamps",
    "delta.enableIcebergCompatV1",
];
/// What a field's metadata has if values are to be checked or computed.
const FIELD_PROMISES: [&str; 3] =
    ["delta.invariants", "delta.generationExpression", "delta.identity.start"];

/// The newest version that this program made, if other programs have committed since: `None` if it made the newest.
/// A commit that the log does not hold any more counts as its own.
pub(super) async fn own_before(
    store: &LakeStore,
    newest: TableVersion,
    newest_head: Option<&Head>,
) -> Result<Option<TableVersion>> {
    if newest_head.is_none_or(is_own) {
        return Ok(None);
    }
    let mut version = newest;
    while let Some(before) = version.0.checked_sub(1).map(TableVersion) {
        match head(store, before).await? {
            None => return Ok(None),
            Some(head) if is_own(&head) => return Ok(Some(before)),
            Some(_) => version = before,
        }
    }
    Ok(None)
}

fn is_own(head: &Head) -> bool {
    head.engine.as_ref().is_some_and(|engine| engine.starts_with(ENGINE))
}

/// Why this program cannot write to the table as its log has it, if it cannot.
pub(super) fn objection(
    kernel: &Snapshot,
    metadata: &Metadata,
    schema: &TableSchema,
) -> Option<String> {
    let table = kernel.table_configuration();
    let partitions = table.metadata().partition_columns();
    if !partitions.is_empty() {
        return Some(format!("it is partitioned by {}", partitions.join(", ")));
    }
    let features = table.protocol().writer_features().unwrap_or_default().iter();
    let unknown = features.map(ToString::to_string).find(|name| !FEATURES.contains(&&**name));
    if let Some(feature) = unknown {
        return Some(format!("it uses the feature {feature:?} of the Delta protocol"));
    }
    let stored = serde_json::from_str(table.metadata().schema_string()).unwrap_or_default();
    columns(&stored, &delta_schema(schema)).or_else(|| in_use(metadata, &stored))
}

/// How the columns that the log states differ from those that the table declares, in words.
fn columns(stored: &Value, declared: &Value) -> Option<String> {
    let told = |schema: &Value| -> Vec<String> {
        let fields = fields(schema);
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let field = |field: &Value| {
            let of = |key: &str| field.get(key).map(text).unwrap_or_default();
            let null =
                if field.get("nullable") == Some(&Value::Bool(false)) { " not null" } else { "" };
            format!("{} {}{null}", of("name"), of("type"))
        };
        fields.iter().map(field).collect()
    };
    let (stored, declared) = (told(stored), told(declared));
    (stored != declared)
        .then(|| format!("its columns are [{}], not [{}]", stored.join(", "), declared.join(", ")))
}

/// What writers promise to readers, if it is more than to write rows.
fn in_use(metadata: &Metadata, stored: &Value) -> Option<String> {
    let set = |key: &str| metadata.setting(key).is_some_and(|value| value == "true");
    if let Some(key) = PROMISES.into_iter().find(|key| set(key)) {
        return Some(format!("{key} is set"));
    }
    if let Some(key) = metadata.keys().find(|key| key.starts_with("delta.constraints.")) {
        return Some(format!("it has the constraint {key}"));
    }
    let promise = |field: &Value| {
        let metadata = field.get("metadata")?;
        FIELD_PROMISES.into_iter().find(|key| metadata.get(*key).is_some())
    };
    let (field, key) = fields(stored).iter().find_map(|field| Some((field, promise(field)?)))?;
    Some(format!("its column {} has {key}", field.get("name")?))
}

fn fields(schema: &Value) -> &[Value] {
    schema.get("fields").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_compared_by_name_type_and_nulls() {
        let field = |name: &str, of: &str, nullable: bool| json!({"name": name, "type": of, "nullable": nullable, "metadata": {}});
        let schema = |fields: &[Value]| json!({"type": "struct", "fields": fields});
        let declared = schema(&[field("id", "integer", false), field("text", "string", true)]);
        assert_eq!(columns(&declared, &declared), None);
        for other in [
            schema(&[field("id", "integer", false)]),
            schema(&[field("id", "long", false), field("text", "string", true)]),
            schema(&[field("id", "integer", true), field("text", "string", true)]),
            schema(&[field("text", "string", true), field("id", "integer", false)]),
            json!({}),
        ] {
            let said = columns(&other, &declared);
            assert!(said.is_some_and(|said| said.contains("id integer not null")), "{other}");
        }
    }
}
