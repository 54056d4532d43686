//! Answers: the rows of a statement piece by piece, and what commands of the session answer.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use barograph_flight::door::Rows;
use bytes::BufMut;
use pgwire::messages::PgWireBackendMessage as Out;
use pgwire::messages::response::{CommandComplete, TransactionStatus};
use pgwire::messages::startup::ParameterStatus;

use super::command::Command;
use super::portal::{Open, Portal, Prepared, Progress, description, types};
use super::startup::apply;
use super::variables::REPORTED;
use super::{Session, unsupported};
use crate::failure::{Failure, Result, UNKNOWN_NAME};
use crate::types::{Cells, Column};

const NO_CURSOR: &str = "34000";
const NO_TRANSACTION: &str = "25P01";
const TAKEN: &str = "42P03";

/// The columns of an answer.
pub(super) fn columns(schema: &SchemaRef) -> Vec<Column> {
    schema.fields().iter().map(|field| Column::of(field)).collect()
}

/// The columns of `SHOW`.
pub(super) fn shown(name: Option<&str>) -> Vec<Column> {
    match name {
        Some(name) => vec![Column::text(name)],
        None => ["name", "setting", "description"].map(Column::text).into(),
    }
}

impl Session {
    /// Begins to run a statement.
    pub(super) async fn run_statement(
        &mut self,
        prepared: &Prepared,
        values: &[barograph_query::ScalarValue],
    ) -> Result<Rows> {
        let asked = self.ask("read")?;
        let rows = asked.sql(&prepared.text, values);
        Self::work(&mut self.connection, &self.listed, rows).await
    }

    /// Sends rows, at most `most`. Gives how many were sent, and whether they were the last.
    pub(super) async fn stream(
        &mut self,
        open: &mut Open,
        most: Option<u64>,
    ) -> Result<(u64, bool)> {
        let (mut sent, mut spare) = (0, String::new());
        loop {
            if let Some((cells, at)) = &mut open.cells {
                let begun = (*at, self.connection.output.len());
                while *at < cells.rows()
                    && most.is_none_or(|most| sent < most)
                    && !self.connection.is_full()
                {
                    cells.write(*at, &mut self.connection.output, &mut spare);
                    (*at, sent) = (*at + 1, sent + 1);
                }
                let bytes = self.connection.output.len() - begun.1;
                open.rows.sends(*at - begun.0, bytes);
                let is_read = *at == cells.rows();
                if self.connection.is_full() {
                    self.send().await?;
                }
                if is_read {
                    open.cells = None;
                } else if most.is_none_or(|most| sent < most) {
                    continue;
                }
            }
            if most.is_some_and(|most| sent >= most) {
                return Ok((sent, false));
            }
            let next = async { open.rows.next().await.transpose() };
            let Some(batch) = Self::work(&mut self.connection, &self.listed, next).await? else {
                return Ok((sent, true));
            };
            let cells = Cells::new(&batch, &open.types, self.variables.zone());
            let cells = cells.map_err(|error| {
                Failure::new("22000", format!("a value of the answer cannot be sent: {error}"))
            })?;
            open.cells = Some((cells, 0));
        }
    }

    /// Says that a command is done.
    pub(super) fn complete(&mut self, tag: impl Into<String>) -> Result<()> {
        self.connection.put(Out::CommandComplete(CommandComplete::new(tag.into())))
    }

    /// Refuses what has no place in a transaction that has failed.
    pub(super) fn check_transaction(&self, command: &Command) -> Result<()> {
        match self.status == TransactionStatus::Error && !command.ends_failure() {
            true => Err(Failure::aborted()),
            false => Ok(()),
        }
    }

    /// Carries out a command of the session and answers it. `text` is that of the command.
    pub(super) async fn command(
        &mut self,
        command: &Command,
        text: &str,
        formats: &[i16],
    ) -> Result<()> {
        match command {
            // Those are answered where they are run.
            Command::Empty | Command::Statement => Ok(()),
            Command::Begin => {
                self.status = TransactionStatus::Transaction;
                self.complete("BEGIN")
            }
            Command::Commit => {
                let tag =
                    if self.status == TransactionStatus::Error { "ROLLBACK" } else { "COMMIT" };
                self.end_transaction();
                self.complete(tag)
            }
            Command::Rollback => {
                self.end_transaction();
                self.complete("ROLLBACK")
            }
            Command::Savepoint(tag) => {
                self.in_transaction(tag)?;
                self.complete(*tag)
            }
            Command::RollbackTo => {
                self.in_transaction("ROLLBACK TO SAVEPOINT")?;
                self.status = TransactionStatus::Transaction;
                self.complete("ROLLBACK")
            }
            Command::Set { values, is_reset } => {
                for (name, value) in values {
                    self.set(name, value.as_deref())?;
                }
                self.complete(if *is_reset { "RESET" } else { "SET" })
            }
            Command::ResetAll => {
                self.reset()?;
                self.complete("RESET")
            }
            Command::Show(name) => self.show(name.as_deref()),
            Command::Discard(what) => self.discard(what),
            Command::Deallocate(name) => self.deallocate(name.as_deref()),
            Command::Declare { name, query, is_held } => {
                self.declare(name, text, *query, *is_held).await
            }
            Command::Fetch { name, count, is_move } => {
                self.fetch(name, *count, *is_move, formats).await
            }
            Command::CloseCursor(name) => self.close_cursor(name.as_deref()),
            Command::Nothing(tag) => self.complete(*tag),
        }
    }

    fn end_transaction(&mut self) {
        self.status = TransactionStatus::Idle;
        self.portals.retain(|_, portal| portal.is_held);
    }

    fn in_transaction(&self, what: &str) -> Result<()> {
        match self.status {
            TransactionStatus::Idle => Err(Failure::new(
                NO_TRANSACTION,
                format!("{what} belongs into a transaction: BEGIN one"),
            )),
            _ => Ok(()),
        }
    }

    fn set(&mut self, name: &str, value: Option<&str>) -> Result<()> {
        self.variables.set(name, value)?;
        apply(&self.variables, &mut self.connected)?;
        self.report(name)
    }

    fn reset(&mut self) -> Result<()> {
        self.variables.reset();
        apply(&self.variables, &mut self.connected)?;
        REPORTED.iter().try_for_each(|name| self.report(&name.to_lowercase()))
    }

    /// Tells a client that wants to know it the value of a variable.
    fn report(&mut self, name: &str) -> Result<()> {
        let Some(reported) = REPORTED.iter().find(|of| of.eq_ignore_ascii_case(name)) else {
            return Ok(());
        };
        let value = self.variables.get(name).unwrap_or_default();
        let status = ParameterStatus::new((*reported).to_owned(), value.to_owned());
        self.connection.put(Out::ParameterStatus(status))
    }

    fn show(&mut self, name: Option<&str>) -> Result<()> {
        let rows: Vec<Vec<String>> = match name {
            Some(name) => {
                let value = self.variables.get(name).ok_or_else(|| {
                    Failure::new(UNKNOWN_NAME, format!("there is no variable {name:?}"))
                })?;
                vec![vec![value.to_owned()]]
            }
            None => {
                let all = self.variables.all();
                all.map(|(name, value)| vec![name.to_owned(), value.to_owned(), String::new()])
                    .collect()
            }
        };
        for row in &rows {
            let out = &mut self.connection.output;
            let length: usize = row.iter().map(|value| 4 + value.len()).sum();
            out.put_u8(b'D');
            out.put_u32(u32::try_from(6 + length).unwrap_or_default());
            out.put_u16(u16::try_from(row.len()).unwrap_or_default());
            for value in row {
                out.put_u32(u32::try_from(value.len()).unwrap_or_default());
                out.put_slice(value.as_bytes());
            }
        }
        self.complete("SHOW")
    }

    fn discard(&mut self, what: &str) -> Result<()> {
        match what {
            "all" => {
                if self.status != TransactionStatus::Idle {
                    return Err(Failure::new(
                        "25001",
                        "DISCARD ALL does not belong into a transaction: COMMIT it first",
                    ));
                }
                self.statements.clear();
                self.portals.clear();
                self.reset()?;
            }
            "plans" | "temp" | "temporary" | "sequences" => {}
            other => return Err(unsupported(&format!("DISCARD {other}: write DISCARD ALL"))),
        }
        self.complete(format!("DISCARD {}", what.to_uppercase()))
    }

    fn deallocate(&mut self, name: Option<&str>) -> Result<()> {
        match name {
            None => self.statements.clear(),
            Some(name) => {
                if self.statements.remove(name).is_none() {
                    return Err(Failure::new(
                        "26000",
                        format!("there is no prepared statement {name:?}"),
                    ));
                }
            }
        }
        self.complete(if name.is_none() { "DEALLOCATE ALL" } else { "DEALLOCATE" })
    }

    async fn declare(&mut self, name: &str, text: &str, query: usize, is_held: bool) -> Result<()> {
        if !is_held {
            self.in_transaction("DECLARE CURSOR without WITH HOLD")?;
        }
        if self.portals.contains_key(name) {
            return Err(Failure::new(
                TAKEN,
                format!("there is a cursor {name:?} already: CLOSE it"),
            ));
        }
        self.check_portals()?;
        let query = text.get(query..).unwrap_or_default();
        let prepared = self.prepare(query, &[]).await?;
        if prepared.command != Command::Statement || !prepared.parameters.is_empty() {
            return Err(unsupported("DECLARE: a cursor is over a SELECT without parameters"));
        }
        let portal = Portal { is_held, ..Portal::new(prepared, Vec::new(), Vec::new()) };
        self.portals.insert(name.to_owned(), portal);
        self.complete("DECLARE CURSOR")
    }

    /// Sends the next rows of a cursor, or passes over them.
    async fn fetch(
        &mut self,
        name: &str,
        count: Option<u64>,
        is_move: bool,
        formats: &[i16],
    ) -> Result<()> {
        let mut portal = self.take_portal(name)?;
        let done = self.fetch_from(&mut portal, count, is_move, formats).await;
        self.portals.insert(name.to_owned(), portal);
        let sent = done?;
        self.complete(format!("{} {sent}", if is_move { "MOVE" } else { "FETCH" }))
    }

    async fn fetch_from(
        &mut self,
        portal: &mut Portal,
        count: Option<u64>,
        is_move: bool,
        formats: &[i16],
    ) -> Result<u64> {
        if is_move {
            return Err(unsupported("MOVE: fetch the rows, or leave them out by OFFSET"));
        }
        if let Progress::Open(open) = &mut portal.progress {
            // Rows at hand are written in the formats of this FETCH, which are those of all as a rule.
            let wanted = types(&portal.prepared.columns, formats);
            if open.types != wanted {
                return Err(unsupported(
                    "FETCH: the rows of a cursor are fetched in the formats of the first of them",
                ));
            }
        }
        self.execute_portal(portal, formats, count).await.map(|(sent, _)| sent)
    }

    /// Sends rows of a portal, at most `most`, and opens it before if it is not.
    pub(super) async fn execute_portal(
        &mut self,
        portal: &mut Portal,
        formats: &[i16],
        most: Option<u64>,
    ) -> Result<(u64, bool)> {
        if matches!(portal.progress, Progress::Bound) {
            let rows = self.run_statement(&Arc::clone(&portal.prepared), &portal.values).await?;
            let types = types(&portal.prepared.columns, formats);
            portal.progress = Progress::Open(Box::new(Open { rows, types, cells: None }));
        }
        // What fails has no more rows.
        match std::mem::replace(&mut portal.progress, Progress::Done) {
            Progress::Open(mut open) => {
                let (sent, is_last) = self.stream(&mut open, most).await?;
                if !is_last {
                    portal.progress = Progress::Open(open);
                }
                Ok((sent, is_last))
            }
            _ => Ok((0, true)),
        }
    }

    pub(super) fn take_portal(&mut self, name: &str) -> Result<Portal> {
        let portal = self.portals.remove(name);
        portal.ok_or_else(|| {
            Failure::new(
                NO_CURSOR,
                format!("there is no cursor {name:?}: it was closed, or its transaction has ended"),
            )
        })
    }

    /// Columns of what a command answers.
    pub(super) fn columns_of(&self, command: &Command) -> Vec<Column> {
        match command {
            Command::Show(name) => shown(name.as_deref()),
            Command::Fetch { name, is_move: false, .. } => {
                let portal = self.portals.get(name);
                portal.map_or_else(Vec::new, |portal| portal.prepared.columns.clone())
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn check_portals(&self) -> Result<()> {
        match self.portals.len() < self.shared.settings.prepared_max {
            true => Ok(()),
            false => Err(Failure::new(
                "53000",
                format!(
                    "{} cursors are open: close some, or raise postgres.prepared_max",
                    self.portals.len()
                ),
            )),
        }
    }

    fn close_cursor(&mut self, name: Option<&str>) -> Result<()> {
        match name {
            None => self.portals.clear(),
            Some(name) => drop(self.take_portal(name)?),
        }
        self.complete(if name.is_none() { "CLOSE CURSOR ALL" } else { "CLOSE CURSOR" })
    }

    /// Says which columns come, in text.
    pub(super) fn describe_rows(&mut self, columns: &[Column]) -> Result<()> {
        self.connection.put(description(columns, &[]))
    }
}
