//! The simple protocol: a text with any number of statements, answered one after the other, in text.

use pgwire::messages::PgWireBackendMessage as Out;
use pgwire::messages::response::EmptyQueryResponse;

use super::Session;
use super::answer::columns;
use super::command::Command;
use super::portal::{Open, types};
use crate::catalog::statements;
use crate::failure::Result;

impl Session {
    /// Answers the statements of a text, up to one that fails.
    pub(super) async fn simple(&mut self, text: &str) -> Result<()> {
        Self::check_text(text)?;
        // As PostgreSQL does; what it had opened is not asked for any more.
        self.statements.remove("");
        self.portals.remove("");
        let all = statements(text);
        if all.is_empty() {
            return self.connection.put(Out::EmptyQueryResponse(EmptyQueryResponse::new()));
        }
        for statement in all {
            self.one(statement).await?;
        }
        Ok(())
    }

    async fn one(&mut self, text: &str) -> Result<()> {
        let command = Command::of(text)?;
        self.check_transaction(&command)?;
        if command != Command::Statement {
            let columns = self.columns_of(&command);
            if !columns.is_empty() {
                self.describe_rows(&columns)?;
            }
            return self.command(&command, text, &[]).await;
        }
        let text = self.rewritten(text);
        let asked = self.ask("read")?;
        let rows = Self::work(&mut self.connection, &self.listed, asked.sql(&text, &[])).await?;
        let columns = columns(rows.schema());
        let types = types(&columns, &[]);
        self.describe_rows(&columns)?;
        let mut open = Open { rows, types, cells: None };
        let (sent, _) = self.stream(&mut open, None).await?;
        self.complete(format!("SELECT {sent}"))
    }
}
