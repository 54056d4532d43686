//! `system.members`: the processes that share the log, as the store lists them. Without a shared log there are none.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use barograph_engine::{Engine, Member, Result, Role};
use futures::future::BoxFuture;

use super::{ColumnKind, ColumnSpec, SystemRows, declared, whole};

const COLUMNS: &[ColumnSpec] = &[
    ("id", ColumnKind::Text, false),
    ("address", ColumnKind::Text, false),
    ("role", ColumnKind::Text, false),
    ("position", ColumnKind::Whole, false),
    ("lag_bytes", ColumnKind::Whole, false),
    ("behind_ms", ColumnKind::Whole, false),
    ("age_ms", ColumnKind::Whole, false),
    ("is_self", ColumnKind::Flag, false),
];

/// The members.
#[derive(Debug)]
pub(super) struct Members(pub(super) Arc<Engine>);

impl SystemRows for Members {
    fn name(&self) -> &'static str {
        "members"
    }

    fn primary_key(&self) -> &'static [&'static str] {
        &["id"]
    }

    fn schema(&self) -> SchemaRef {
        declared(COLUMNS)
    }

    fn rows(&self) -> BoxFuture<'_, Result<RecordBatch>> {
        Box::pin(async move {
            let members = self.0.members().await?;
            let text = |of: fn(&Member) -> &str| -> ArrayRef {
                Arc::new(members.iter().map(|member| Some(of(member))).collect::<StringArray>())
            };
            let number = |of: fn(&Member) -> u64| -> ArrayRef {
                Arc::new(Int64Array::from_iter_values(members.iter().map(|it| whole(of(it)))))
            };
            let columns = vec![
                text(|member| &member.id),
                text(|member| &member.address),
                text(|member| role(member.role)),
                number(|member| member.position.get()),
                number(|member| member.lag),
                number(|member| millis(member.behind)),
                number(|member| millis(member.age)),
                Arc::new(members.iter().map(|it| Some(it.is_self)).collect::<BooleanArray>()),
            ];
            Ok(RecordBatch::try_new(self.schema(), columns)?)
        })
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Follower => "follower",
    }
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
