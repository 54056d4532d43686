//! The reading of a file into pieces of rows, in a thread of its own, a few pieces ahead.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use barograph_engine::expression::Expressions;
use barograph_lake::TableSchema;
use barograph_lake::schema::TIME_COLUMN;
use futures::Stream;
use tokio::sync::mpsc;

use super::apply::{Applied, apply};
use super::input::names::{Keys, by_name};
use super::input::{Cells, FileForm, Input, Wanted};
use super::mapping::{Columns, Expression, Mapping, Origin, Plan};
use super::replaced::Replaced;
use super::run::{FileSummary, Options, Stop};
use super::time::Found;
use crate::{Error, Result};

/// Pieces that wait between the reading thread and their consumer.
const QUEUE: usize = 2;
/// Share of an import's memory that a piece takes: some wait, some are on their way, each a few times over.
const PIECE_SHARE: usize = 32;
/// Bytes of a piece, at least and at most.
const PIECE_BYTES: (usize, usize) = (64 << 10, 8 << 20);

/// A file that is open, and fits the table.
#[derive(Debug)]
pub(super) struct Reading {
    path: PathBuf,
    input: Input,
    plan: Plan,
    /// Names in the file of columns that are asked for in another case.
    others: HashMap<String, String>,
}

/// What a file turned out to hold.
#[derive(Debug)]
pub(super) struct Contents {
    keys: Option<Arc<Keys>>,
    columns: Vec<(String, Vec<String>)>,
}

impl Reading {
    /// Opens a file.
    ///
    /// # Errors
    /// `Request` if file, mapping and table do not fit.
    pub(super) fn open(
        path: &Path,
        table: &TableSchema,
        mapping: &Mapping,
        options: &Options,
    ) -> Result<Self> {
        let form = options.form.map_or_else(|| FileForm::of(path, &mapping.format), Ok)?;
        let input = Input::open(path, form, mapping)?;
        let mut columns = input.columns();
        let mut others = HashMap::new();
        if let Columns::Known(schema) = &mut columns {
            let named: Vec<_> = schema.fields().iter().map(|field| field.name().clone()).collect();
            let asked = asked(table, mapping, options.expressions.as_ref());
            let by = by_name(&asked, &named)
                .map_err(|e| Error::request(format!("{}: {e}", path.display())))?;
            let pairs = asked.iter().zip(by).filter_map(|(asked, by)| Some((asked, by?)));
            let pairs = pairs.filter(|(asked, by)| asked != by);
            others = pairs.map(|(asked, by)| (asked.clone(), by.clone())).collect();
            *schema = renamed(schema, &others);
        }
        let plan = Plan::new(table, mapping, &columns, options.expressions.as_ref())?;
        Ok(Self { path: path.to_owned(), input, plan, others })
    }

    /// What is known of the file's columns when its rows are read.
    pub(super) fn contents(&self) -> Contents {
        let needed = &self.plan.needed;
        let name = |column: &usize| needed.get(*column).cloned();
        let columns = self.plan.columns.iter().filter_map(|(field, origin)| match origin {
            Origin::File { column, .. } => Some((field.name().clone(), vec![name(column)?])),
            Origin::Joined(columns) => {
                Some((field.name().clone(), columns.iter().filter_map(name).collect()))
            }
            Origin::Computed(computed) => {
                let of = computed.inputs.iter().filter_map(|(column, _)| name(column));
                Some((field.name().clone(), of.collect()))
            }
            Origin::Constant(_) => None,
        });
        Contents { keys: self.input.keys(), columns: columns.collect() }
    }

    /// The columns to read, each with what its cells are to be.
    fn wanted(&self) -> Vec<(String, Cells)> {
        let is_text = |index: usize| {
            self.plan.columns.iter().any(|(field, origin)| match origin {
                Origin::File { column, steps, values } => {
                    let is_copied = steps.is_empty() && *field.data_type() == DataType::Utf8;
                    *column == index && (values.is_some() || is_copied)
                }
                Origin::Computed(computed) => {
                    let inputs = computed.inputs.iter().zip(computed.expression.inputs());
                    inputs.into_iter().any(|((column, values), input)| {
                        let is_copied = input.data_type == DataType::Utf8;
                        *column == index && (values.is_some() || is_copied)
                    })
                }
                Origin::Joined(_) | Origin::Constant(_) => false,
            })
        };
        let cells = |index| if is_text(index) { Cells::Text } else { Cells::Values };
        let needed = self.plan.needed.iter().enumerate();
        let named = |name| self.others.get(name).unwrap_or(name).clone();
        needed.map(|(index, name)| (named(name), cells(index))).collect()
    }

    /// What is known before a row is read; `earlier` rows are not read again.
    pub(super) fn summary(&self, path: &Path, earlier: u64) -> FileSummary {
        FileSummary {
            path: path.to_owned(),
            earlier,
            read: 0,
            accepted: 0,
            unreadable: 0,
            implausible: 0,
            replaced: Replaced::default(),
            local: Found::default(),
            ignored: self.plan.ignored.clone(),
            absent: self.plan.absent.clone(),
            took: Duration::ZERO,
            stopped: false,
        }
    }

    /// The pieces from row `skip` on, in order, until the file's end or `stop`.
    pub(super) fn pieces(
        self,
        skip: u64,
        options: &Options,
        stop: &Stop,
    ) -> impl Stream<Item = Result<Applied>> + use<> {
        let columns = self.wanted();
        let Self { path, input, plan, .. } = self;
        let (send, receive) = mpsc::channel(QUEUE);
        let (rows, stop) = (options.batch_rows.max(1), stop.clone());
        let bytes = (options.memory / PIECE_SHARE).clamp(PIECE_BYTES.0, PIECE_BYTES.1);
        let read = move || {
            let chunks = match input.chunks(&Wanted { columns: &columns, rows, bytes, skip }) {
                Ok(chunks) => chunks,
                Err(e) => return drop(send.blocking_send(Err(e))),
            };
            let mut first = skip == 0;
            for chunk in chunks {
                let applied = |chunk| {
                    apply(&plan, chunk, first).map_err(|error| error.during(path.display()))
                };
                let piece = chunk.and_then(applied);
                first = false;
                let failed = piece.is_err();
                // Nobody receives any more: the import has failed elsewhere.
                if stop.is_stopped() || send.blocking_send(piece).is_err() || failed {
                    return;
                }
            }
        };
        let reader = tokio::task::spawn_blocking(read);
        futures::stream::unfold((receive, Some(reader)), |(mut receive, mut reader)| async move {
            if let Some(piece) = receive.recv().await {
                return Some((piece, (receive, reader)));
            }
            // The end of the queue is the end of the file only if the thread came to its end.
            let failed = reader.take()?.await.err()?;
            let error = Error::internal("reading the file").with_source(failed);
            Some((Err(error), (receive, None)))
        })
    }
}

impl Contents {
    /// Names what was not imported, and which columns were null in every row, where only the rows could tell.
    pub(super) fn complete(&self, summary: &mut FileSummary) {
        let Some(keys) = self.keys.as_ref().filter(|_| summary.read > 0) else { return };
        summary.ignored = keys.unread();
        let is_absent = |(_, of): &&(String, Vec<String>)| !of.iter().any(|of| keys.has(of));
        summary.absent =
            self.columns.iter().filter(is_absent).map(|(name, _)| name.clone()).collect();
    }
}

/// Names that the file's columns are asked for by.
fn asked(table: &TableSchema, mapping: &Mapping, language: &dyn Expressions) -> Vec<String> {
    let joined = &mapping.time.columns;
    let time = table.arrow().fields().get(TIME_COLUMN).filter(|_| !joined.is_empty());
    let fields = table.arrow().fields().iter().take(table.ingested_at());
    let fields = fields.filter(|field| time != Some(*field)).map(|field| field.name());
    let same = fields.filter(|name| !mapping.columns.contains_key(*name)).cloned();
    let expressions = mapping.columns.values().flat_map(|expression| match expression {
        Expression::Column { name, .. } => vec![name.clone()],
        Expression::Number(_) | Expression::Text(_) => Vec::new(),
        // It may be the name of a column itself.
        Expression::Sql(text) => {
            let mut names = language.names(text);
            names.push(text.clone());
            names
        }
    });
    let times = mapping.times.values().flat_map(|time| &time.columns);
    let stated = joined.iter().chain(times).cloned();
    let names: BTreeSet<String> = same.chain(expressions).chain(stated).collect();
    names.into_iter().collect()
}

/// The schema with the names by which columns are asked for.
fn renamed(schema: &Schema, others: &HashMap<String, String>) -> SchemaRef {
    let name = |field: &Field| {
        let asked = others.iter().find(|(_, name)| *name == field.name()).map(|(asked, _)| asked);
        field.clone().with_name(asked.unwrap_or(field.name()))
    };
    let fields: Vec<_> = schema.fields().iter().map(|field| name(field)).collect();
    Arc::new(Schema::new(fields))
}

/// Bytes that the rows of a batch take, without what else their buffers may hold.
pub(super) fn batch_bytes(rows: &RecordBatch) -> usize {
    let of = |column: &arrow::array::ArrayRef| {
        let data = column.to_data();
        data.get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
    };
    rows.columns().iter().map(of).sum()
}
