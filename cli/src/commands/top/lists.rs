//! The lists: members, jobs and running statements, which have no figures but names. They are read by SQL.

use std::time::Duration;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use barograph_flight::Client;
use futures::TryStreamExt;

use crate::Result;
use crate::output::printable;

/// Statements of `top` itself are not among those that it shows.
const MARK: &str = "barograph top";
/// Rows of a list at most.
const ROWS_MAX: usize = 100;

/// A list: its rows, or why there are none.
pub(super) type List = Result<Vec<Vec<String>>, String>;

/// The lists of a server.
#[derive(Debug)]
pub(super) struct Lists {
    pub(super) members: List,
    pub(super) jobs: List,
    pub(super) statements: List,
}

/// Titles of the columns of the lists.
pub(super) const MEMBERS: [&str; 5] = ["member", "address", "role", "behind", "seen"];
pub(super) const JOBS: [&str; 5] = ["job", "last", "finished", "next", "error"];
pub(super) const STATEMENTS: [&str; 5] = ["id", "user", "state", "time", "text"];

impl Lists {
    /// Asks for all of them; what cannot be had within `timeout` is said in its place.
    pub(super) async fn read(client: &Client, timeout: Duration) -> Self {
        let client = client.with_timeout(timeout);
        let members = "SELECT id, address, role, behind_ms || ' ms', age_ms || ' ms ago' FROM system.members ORDER BY role, id";
        let jobs = "SELECT job, CASE WHEN enabled THEN coalesce(last_state, '–') ELSE 'off' END, \
            coalesce(to_char(last_finished_at, '%m-%d %H:%M:%S'), '–'), coalesce(to_char(next_at, '%m-%d %H:%M:%S'), '–'), \
            coalesce(last_error, '') FROM system.jobs ORDER BY job";
        let statements = format!(
            "SELECT id, user_name, state, CAST(duration_ms AS BIGINT) || ' ms', text FROM system.queries \
             WHERE finished_at IS NULL AND text NOT LIKE '%{MARK}%' ORDER BY duration_ms DESC LIMIT {ROWS_MAX}"
        );
        Self {
            members: read(&client, members).await,
            jobs: read(&client, jobs).await,
            statements: read(&client, &statements).await,
        }
    }
}

async fn read(client: &Client, statement: &str) -> List {
    let asked = format!("{statement} -- {MARK}");
    rows(client, &asked).await.map_err(|error| error.to_string())
}

async fn rows(client: &Client, statement: &str) -> Result<Vec<Vec<String>>> {
    let mut answer = client.sql(statement).await?;
    let mut found = Vec::new();
    while let Some(batch) = answer.try_next().await? {
        let text = |column: &ArrayRef| cast(column, &DataType::Utf8);
        let columns = batch.columns().iter().map(text).collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let cells = columns.iter().map(|of| of.as_string::<i32>().value(row));
            let cells =
                cells.map(|text| printable(text.split_whitespace().collect::<Vec<_>>().join(" ")));
            found.push(cells.collect());
        }
        if found.len() >= ROWS_MAX {
            break;
        }
    }
    Ok(found)
}
