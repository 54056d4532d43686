//! Commits of other programs: the newest version that this program made, and the reason, if there is one, why it cannot
//! write to the table that others have made of it.

use delta_kernel::Snapshot;
use serde_json::Value;

use super::history::{Head, head, objects};
use super::log_path::LogKind;
use super::metadata::{Metadata, delta_schema};
use crate::snapshot::{Incompatibility, IncompatibilityKind};
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
/// Whether the columns have other names in files.
const MAPPING: &str = "delta.columnMapping.mode";
/// Types that value columns can have.
const VALUES: [&str; 7] = ["short", "integer", "long", "float", "double", "string", "timestamp"];
const NOT_NULL: &str = " not null";
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
    while let Some(before) = version.get().checked_sub(1).map(TableVersion::new) {
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

/// Whether another program made a version that the log holds.
pub(crate) async fn is_foreign(store: &LakeStore, version: TableVersion) -> Result<bool> {
    Ok(head(store, version).await?.is_some_and(|head| !is_own(&head)))
}

/// The newest version that this program made, if others have committed since.
pub(crate) async fn last_own(store: &LakeStore) -> Result<Option<TableVersion>> {
    let Some(newest) = newest(store).await? else { return Ok(None) };
    let newest_head = head(store, newest).await?;
    own_before(store, newest, newest_head.as_ref()).await
}

/// The newest version of which the log holds a commit.
pub(crate) async fn newest(store: &LakeStore) -> Result<Option<TableVersion>> {
    let objects = objects(store).await?.into_iter();
    let commits = objects.filter(|(name, _)| name.kind == LogKind::Commit);
    Ok(commits.map(|(name, _)| name.version).max())
}

/// Why this program cannot write to the table as its log has it, with the columns `stored`, if it cannot.
pub(super) fn incompatibility(
    kernel: &Snapshot,
    metadata: &Metadata,
    schema: &TableSchema,
    stored: &Value,
) -> Option<Incompatibility> {
    let table = kernel.table_configuration();
    let incompatibility = |of, why| Some(Incompatibility { why, of });
    let features = table.protocol().writer_features().unwrap_or_default().iter();
    let unknown = features.map(ToString::to_string).find(|name| !FEATURES.contains(&&**name));
    if let Some(feature) = unknown {
        let why = format!("it uses the feature {feature:?} of the Delta protocol");
        return incompatibility(IncompatibilityKind::Protocol, why);
    }
    let partitions = table.metadata().partition_columns();
    if !partitions.is_empty() {
        let why = format!("it is partitioned by {}", partitions.join(", "));
        return incompatibility(IncompatibilityKind::Use, why);
    }
    match in_use(metadata, stored) {
        Some(why) => incompatibility(IncompatibilityKind::Use, why),
        None => columns(stored, &delta_schema(schema)),
    }
}

/// How the columns that the log states differ from those that the table declares.
fn columns(stored: &Value, declared: &Value) -> Option<Incompatibility> {
    let [found, wanted] = [stored, declared].map(described);
    let [more, lacking] = [(&found, &wanted), (&wanted, &found)]
        .map(|(of, than)| of.iter().filter(|column| !than.contains(column)).collect::<Vec<_>>());
    if more.is_empty() && lacking.is_empty() {
        return None;
    }
    let could_have = |column: &&&String| {
        let of = column.rsplit_once(' ').map(|(_, of)| of);
        of.is_some_and(|of| VALUES.contains(&of))
    };
    if lacking.is_empty() && more.iter().filter(could_have).count() == more.len() {
        let more: Vec<_> = more.into_iter().map(String::as_str).collect();
        let why = format!("it has columns that the table does not declare: {}", more.join(", "));
        return Some(Incompatibility { why, of: IncompatibilityKind::NewColumns });
    }
    let why = format!("its columns are [{}], not [{}]", found.join(", "), wanted.join(", "));
    Some(Incompatibility { why, of: IncompatibilityKind::Columns })
}

/// Why a table with the columns `stored` cannot become one of `schema`, which was one of `before`, by a declaration.
pub(crate) fn unfit(stored: &Value, before: &TableSchema, schema: &TableSchema) -> Option<String> {
    let [found, was, wanted] =
        [stored, &delta_schema(before), &delta_schema(schema)].map(described);
    let unlike = found.iter().find(|column| !was.contains(column) && !wanted.contains(column));
    if let Some(column) = unlike {
        return Some(format!("it has the column {column}, which is not declared so"));
    }
    let mut needed = wanted.iter().filter(|column| column.ends_with(NOT_NULL));
    let lacking = needed.find(|column| !found.contains(column))?;
    Some(format!("it lacks the column {lacking}"))
}

/// Name, type and whether there is always a value of the columns of a schema, in words.
fn described(schema: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let field = |field: &Value| {
        let of = |key: &str| field.get(key).map(text).unwrap_or_default();
        let null = if field.get("nullable") == Some(&Value::Bool(false)) { NOT_NULL } else { "" };
        format!("{} {}{null}", of("name"), of("type"))
    };
    fields(schema).iter().map(field).collect()
}

/// What writers promise to readers, if it is more than to write rows.
fn in_use(metadata: &Metadata, stored: &Value) -> Option<String> {
    let set = |key: &str| metadata.setting(key).is_some_and(|value| value == "true");
    if let Some(key) = PROMISES.into_iter().find(|key| set(key)) {
        return Some(format!("{key} is set"));
    }
    if let Some(mode) = metadata.setting(MAPPING).filter(|mode| *mode != "none") {
        return Some(format!("{MAPPING} is {mode}"));
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

    fn field(name: &str, of: &str, nullable: bool) -> Value {
        json!({"name": name, "type": of, "nullable": nullable, "metadata": {}})
    }

    fn schema(fields: &[Value]) -> Value {
        json!({"type": "struct", "fields": fields})
    }

    #[test]
    fn columns_are_compared_by_name_type_and_nulls() {
        let (id, text) = (field("id", "integer", false), field("text", "string", true));
        let declared = schema(&[id.clone(), text.clone()]);
        for same in [&[id.clone(), text.clone()], &[text.clone(), id.clone()]] {
            assert_eq!(columns(&schema(same), &declared), None);
        }
        for other in [
            schema(std::slice::from_ref(&id)),
            schema(&[field("id", "long", false), text.clone()]),
            schema(&[field("id", "integer", true), text.clone()]),
            schema(&[id.clone(), text.clone(), field("more", "date", true)]),
            schema(&[id.clone(), text.clone(), field("more", "double", false)]),
            json!({}),
        ] {
            let said = columns(&other, &declared).unwrap();
            assert_eq!(said.of, IncompatibilityKind::Columns, "{said:?}");
            assert!(said.why.contains("not [id integer not null, text string]"), "{said:?}");
        }
        let more = schema(&[id, field("more", "double", true), text]);
        let said = columns(&more, &declared).unwrap();
        assert_eq!(said.of, IncompatibilityKind::NewColumns);
        assert!(said.why.ends_with("does not declare: more double"), "{said:?}");
    }
}
