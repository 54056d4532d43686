//! `system.audit`: the newest records of who asked for what.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::SchemaRef;
use barograph_access::{Access, AuditEntry};
use barograph_engine::SystemRows;
use futures::future::BoxFuture;

use crate::Result;

/// The table `system.audit` of what `access` records.
///
/// # Errors
/// `Internal`, if its columns do not fit each other.
pub fn audit_rows(access: &Arc<Access>) -> Result<Arc<dyn SystemRows>> {
    let schema = rows(&[])?.schema();
    Ok(Arc::new(AuditTable { access: Arc::clone(access), schema }))
}

#[derive(Debug)]
struct AuditTable {
    access: Arc<Access>,
    schema: SchemaRef,
}

impl SystemRows for AuditTable {
    fn name(&self) -> &'static str {
        "audit"
    }

    fn primary_key(&self) -> &'static [&'static str] {
        &[]
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn rows(&self) -> BoxFuture<'_, barograph_engine::Result<RecordBatch>> {
        Box::pin(std::future::ready(rows(&self.access.audit().recent())))
    }
}

fn rows(entries: &[Arc<AuditEntry>]) -> barograph_engine::Result<RecordBatch> {
    let texts = |of: fn(&AuditEntry) -> Option<&str>| -> ArrayRef {
        Arc::new(entries.iter().map(|entry| of(entry)).collect::<StringArray>())
    };
    let counts = |of: fn(&AuditEntry) -> u64| -> ArrayRef {
        let counts = entries.iter().map(|entry| i64::try_from(of(entry)).unwrap_or(i64::MAX));
        Arc::new(counts.collect::<Int64Array>())
    };
    let times = entries.iter().map(|entry| Some(entry.at.as_micros()));
    let times = times.collect::<TimestampMicrosecondArray>().with_timezone("UTC");
    let milliseconds = entries.iter().map(|entry| entry.duration_us as f64 / 1_000.0);
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("at", Arc::new(times) as ArrayRef, false),
        ("identity", texts(|entry| Some(&entry.identity)), false),
        ("proof", texts(|entry| Some(entry.proof)), false),
        ("address", texts(|entry| entry.address.as_deref()), true),
        ("door", texts(|entry| Some(entry.door)), false),
        ("action", texts(|entry| Some(entry.action)), false),
        ("tables", texts(|entry| Some(&entry.tables)), false),
        ("outcome", texts(|entry| Some(entry.outcome.name())), false),
        ("detail", texts(|entry| Some(&entry.detail)), false),
        ("rows", counts(|entry| entry.rows), false),
        ("bytes", counts(|entry| entry.bytes), false),
        ("duration_ms", Arc::new(milliseconds.collect::<Float64Array>()), false),
    ])?)
}
