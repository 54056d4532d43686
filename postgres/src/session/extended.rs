//! The extended protocol: statements that are prepared, given values, described and run in parts.

use std::sync::Arc;

use arrow::datatypes::Field;
use pgwire::messages::PgWireBackendMessage as Out;
use pgwire::messages::PgWireFrontendMessage as In;
use pgwire::messages::data::ParameterDescription;
use pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete,
    PortalSuspended, TARGET_TYPE_BYTE_PORTAL, TARGET_TYPE_BYTE_STATEMENT,
};
use pgwire::messages::response::EmptyQueryResponse;

use super::Session;
use super::answer::columns;
use super::command::Command;
use super::portal::{BINARY, Portal, Prepared, description, format};
use crate::catalog::statements;
use crate::failure::{Failure, PROTOCOL, Result};
use crate::types::{Given, PgType, value};

/// The number of a type that a client leaves to the server.
const UNSPECIFIED: u32 = 0;
const UNKNOWN: u32 = 705;

impl Session {
    /// Answers a message of the extended protocol.
    pub(super) async fn extended(&mut self, message: In) -> Result<()> {
        match message {
            In::Parse(parse) => self.parse(parse).await,
            In::Bind(bind) => self.bind(&bind),
            In::Describe(describe) => self.describe(&describe),
            In::Execute(execute) => self.execute(&execute).await,
            In::Close(close) => self.close(&close),
            _ => Ok(()),
        }
    }

    async fn parse(&mut self, parse: Parse) -> Result<()> {
        let name = parse.name.unwrap_or_default();
        if !name.is_empty() && self.statements.contains_key(&name) {
            let text = format!("there is a prepared statement {name:?} already: close it");
            return Err(Failure::new("42P05", text));
        }
        if self.statements.len() >= self.shared.settings.prepared_max {
            let count = self.statements.len();
            return Err(Failure::new(
                "53000",
                format!(
                    "{count} statements are prepared: close some, or raise postgres.prepared_max"
                ),
            ));
        }
        self.listed.cancel.begin();
        let prepared = self.prepare(&parse.query, &parse.type_oids).await?;
        self.statements.insert(name, prepared);
        self.connection.put(Out::ParseComplete(ParseComplete::new()))
    }

    /// Prepares a statement whose parameters have the types of these numbers, as far as they are said.
    pub(super) async fn prepare(&mut self, text: &str, oids: &[u32]) -> Result<Arc<Prepared>> {
        Self::check_text(text)?;
        let text = match statements(text).as_slice() {
            [] => "",
            [one] => one,
            more => {
                let count = more.len();
                return Err(Failure::new(
                    "42601",
                    format!("the text has {count} statements: prepare a single one"),
                ));
            }
        };
        let command = Command::of(text)?;
        self.check_transaction(&command)?;
        if command != Command::Statement {
            let columns = self.columns_of(&command);
            let text = text.into();
            return Ok(Arc::new(Prepared { command, text, parameters: Vec::new(), columns }));
        }
        let text = self.rewritten(text);
        let asked = self.ask("prepare")?;
        let statement = asked.prepare(&text);
        let statement = Self::work(&mut self.connection, &self.listed, statement).await?;
        let inferred = statement.parameters();
        let parameter = |(at, field): (usize, &Arc<Field>)| {
            let given = oids.get(at).copied().filter(|oid| ![UNSPECIFIED, UNKNOWN].contains(oid));
            given.unwrap_or_else(|| PgType::of(field.data_type()).oid())
        };
        let parameters = inferred.fields().iter().enumerate().map(parameter).collect();
        let columns = columns(&statement.schema());
        Ok(Arc::new(Prepared { command, text: text.into(), parameters, columns }))
    }

    fn prepared(&self, name: &str) -> Result<&Arc<Prepared>> {
        self.statements.get(name).ok_or_else(|| {
            Failure::new("26000", format!("there is no prepared statement {name:?}"))
        })
    }

    fn bind(&mut self, bind: &Bind) -> Result<()> {
        let name = bind.portal_name.clone().unwrap_or_default();
        let prepared = bind.statement_name.as_deref().unwrap_or_default();
        let prepared = Arc::clone(self.prepared(prepared)?);
        self.check_transaction(&prepared.command)?;
        if !name.is_empty() && self.portals.contains_key(&name) {
            return Err(Failure::new(
                "42P03",
                format!("there is a cursor {name:?} already: close it"),
            ));
        }
        self.check_portals()?;
        let (given, wanted) = (bind.parameters.len(), prepared.parameters.len());
        if given != wanted {
            return Err(Failure::new(
                PROTOCOL,
                format!("{given} values were given, the statement has {wanted} parameters"),
            ));
        }
        check_formats(&bind.parameter_format_codes, given, "values")?;
        check_formats(&bind.result_column_format_codes, prepared.columns.len(), "columns")?;
        let values = bind.parameters.iter().zip(&prepared.parameters).enumerate();
        let values = values.map(|(at, (bytes, &oid))| {
            let is_binary = format(&bind.parameter_format_codes, at) == BINARY;
            value(Given { number: at + 1, oid, is_binary, bytes: bytes.as_deref() })
        });
        let values = values.collect::<Result<_>>()?;
        let formats = bind.result_column_format_codes.clone();
        self.portals.insert(name, Portal::new(prepared, values, formats));
        self.connection.put(Out::BindComplete(BindComplete::new()))
    }

    fn describe(&mut self, describe: &Describe) -> Result<()> {
        let name = describe.name.as_deref().unwrap_or_default();
        match describe.target_type {
            TARGET_TYPE_BYTE_STATEMENT => {
                let prepared = Arc::clone(self.prepared(name)?);
                let parameters = ParameterDescription::new(prepared.parameters.clone());
                self.connection.put(Out::ParameterDescription(parameters))?;
                self.connection.put(description(&prepared.columns, &[]))
            }
            TARGET_TYPE_BYTE_PORTAL => {
                let portal = self
                    .portals
                    .get(name)
                    .ok_or_else(|| Failure::new("34000", format!("there is no cursor {name:?}")))?;
                let described = description(&portal.prepared.columns, &portal.formats);
                self.connection.put(described)
            }
            _ => Err(Failure::new(PROTOCOL, "only statements and portals are described")),
        }
    }

    async fn execute(&mut self, execute: &Execute) -> Result<()> {
        self.listed.cancel.begin();
        let name = execute.name.clone().unwrap_or_default();
        let mut portal = self.take_portal(&name)?;
        let done = self.execute_whole(&mut portal, execute.max_rows).await;
        // A command may have ended the transaction in which it was opened.
        if portal.prepared.command == Command::Statement {
            self.portals.insert(name, portal);
        }
        done
    }

    async fn execute_whole(&mut self, portal: &mut Portal, max_rows: i32) -> Result<()> {
        let prepared = Arc::clone(&portal.prepared);
        self.check_transaction(&prepared.command)?;
        match &prepared.command {
            Command::Empty => {
                self.connection.put(Out::EmptyQueryResponse(EmptyQueryResponse::new()))
            }
            Command::Statement => {
                // 0 is all; so is what is less.
                let most = u64::try_from(max_rows).ok().filter(|most| *most > 0);
                let formats = portal.formats.clone();
                let (sent, is_last) = self.execute_portal(portal, &formats, most).await?;
                match is_last {
                    true => self.complete(format!("SELECT {sent}")),
                    false => self.connection.put(Out::PortalSuspended(PortalSuspended::new())),
                }
            }
            command => {
                let text = Arc::clone(&prepared.text);
                self.command(command, &text, &portal.formats).await
            }
        }
    }

    fn close(&mut self, close: &Close) -> Result<()> {
        let name = close.name.as_deref().unwrap_or_default();
        match close.target_type {
            TARGET_TYPE_BYTE_STATEMENT => drop(self.statements.remove(name)),
            TARGET_TYPE_BYTE_PORTAL => drop(self.portals.remove(name)),
            _ => return Err(Failure::new(PROTOCOL, "only statements and portals are closed")),
        }
        self.connection.put(Out::CloseComplete(CloseComplete::new()))
    }
}

/// Refuses formats that are not those of text and binary, or are neither one for all nor one for each.
fn check_formats(formats: &[i16], count: usize, of: &str) -> Result<()> {
    if formats.len() > 1 && formats.len() != count {
        let given = formats.len();
        return Err(Failure::new(PROTOCOL, format!("{given} formats were given for {count} {of}")));
    }
    match formats.iter().find(|format| !(0..=BINARY).contains(*format)) {
        None => Ok(()),
        Some(other) => {
            Err(Failure::new("22023", format!("format {other} of {of}: 0 is text, 1 is binary")))
        }
    }
}
