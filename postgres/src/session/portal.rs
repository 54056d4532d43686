//! Prepared statements, and portals: statements with values, of which so many rows are sent as the client asks for.

use std::sync::Arc;

use barograph_flight::door::Rows;
use barograph_query::ScalarValue;
use pgwire::messages::PgWireBackendMessage as Out;
use pgwire::messages::data::{NoData, RowDescription};

use super::command::Command;
use crate::types::{Cells, Column, PgType};

/// A format in which values are sent.
pub(super) const BINARY: i16 = 1;
const TEXT: i16 = 0;

/// A prepared statement.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) command: Command,
    /// As it is planned; as it was sent where it is a command.
    pub(super) text: Arc<str>,
    /// Numbers of the types of its parameters.
    pub(super) parameters: Vec<u32>,
    /// Columns of its answer; empty where it has none.
    pub(super) columns: Vec<Column>,
}

/// A statement with values.
#[derive(Debug)]
pub(super) struct Portal {
    pub(super) prepared: Arc<Prepared>,
    pub(super) values: Vec<ScalarValue>,
    /// The formats of its columns: none for text, one for all, or one for each.
    pub(super) formats: Vec<i16>,
    pub(super) progress: Progress,
    /// Whether it stays when a transaction ends.
    pub(super) is_held: bool,
}

/// How far a portal is.
#[derive(Debug)]
pub(super) enum Progress {
    /// Nothing was asked.
    Bound,
    /// Its rows are being sent.
    Open(Box<Open>),
    /// All rows were sent.
    Done,
}

/// An answer whose rows are being sent.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) rows: Rows,
    pub(super) types: Vec<(PgType, bool)>,
    /// Rows that are at hand, and how many of them were sent.
    pub(super) cells: Option<(Cells, usize)>,
}

impl Portal {
    pub(super) fn new(
        prepared: Arc<Prepared>,
        values: Vec<ScalarValue>,
        formats: Vec<i16>,
    ) -> Self {
        Self { prepared, values, formats, progress: Progress::Bound, is_held: false }
    }
}

/// The format of the column at `at`.
pub(super) fn format(formats: &[i16], at: usize) -> i16 {
    match formats {
        [] => TEXT,
        [all] => *all,
        each => each.get(at).copied().unwrap_or(TEXT),
    }
}

/// The types of columns in these formats.
pub(super) fn types(columns: &[Column], formats: &[i16]) -> Vec<(PgType, bool)> {
    let of = |(at, column): (usize, &Column)| (column.of, format(formats, at) == BINARY);
    columns.iter().enumerate().map(of).collect()
}

/// What a client is told of columns in these formats.
pub(super) fn description(columns: &[Column], formats: &[i16]) -> Out {
    if columns.is_empty() {
        return Out::NoData(NoData::new());
    }
    let fields = columns.iter().enumerate();
    let fields = fields.map(|(at, column)| column.description(format(formats, at)));
    Out::RowDescription(RowDescription::new(fields.collect()))
}
