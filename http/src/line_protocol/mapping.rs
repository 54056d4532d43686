//! The mapping of lines to tables: which table is a measurement, which column a tag or field, and which key its place?

use std::collections::HashMap;
use std::sync::Arc;

use barograph_flight::Result;
use barograph_lake::schema::{KEY_COLUMN, TIME_COLUMN};
use barograph_lake::{Key, TableSchema};

use super::parse::{Line, Value};
use super::precision::Unit;
use crate::rows::{Cell, Outbox, Precision, TableRows};
use crate::tables::names;
use crate::{LineProtocolSettings, MeasurementSettings, Places};

/// Why a line is no row, with its table if that is known.
pub(super) type BadLine = (Option<String>, String);

/// Names of measurements and places that are remembered in a request.
const REMEMBERED: usize = 65_536;

/// What a tag or field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Key,
    Column(usize),
    Ignored,
}

/// A measurement and the rows of its table.
#[derive(Debug)]
struct Target {
    /// Index of the table among those with rows.
    rows: usize,
    key: String,
    of: MeasurementSettings,
    /// By the names of columns.
    names: HashMap<String, usize>,
    /// What was found out about tags and fields.
    tags: HashMap<String, Result<Meaning, String>>,
    fields: HashMap<String, Result<Meaning, String>>,
    has_places: bool,
}

/// The mapping of one request.
pub(super) struct Mapping<'a> {
    settings: &'a LineProtocolSettings,
    places: &'a Places,
    tables: HashMap<String, Arc<TableSchema>>,
    unit: Unit,
    /// When the request came, in µs: the time of lines that have none.
    now: i64,
    targets: HashMap<String, Result<Target, String>>,
    rows: Vec<TableRows>,
    /// Keys by the names of places.
    keys: HashMap<String, Result<Key, String>>,
}

impl<'a> Mapping<'a> {
    pub(super) fn new(
        settings: &'a LineProtocolSettings,
        places: &'a Places,
        tables: impl IntoIterator<Item = Arc<TableSchema>>,
        unit: Unit,
        now: i64,
    ) -> Self {
        let tables = tables.into_iter().map(|table| (table.name().to_owned(), table)).collect();
        let (targets, keys) = (HashMap::new(), HashMap::new());
        Self { settings, places, tables, unit, now, targets, rows: Vec::new(), keys }
    }

    /// Adds the row that a line is, or says why it is none, with its table if that is known. Before it, the rows of its
    /// table are left if they are many, but never between lines that are one row.
    pub(super) fn add(
        &mut self,
        number: usize,
        line: &Line<'_>,
        outbox: &Outbox,
    ) -> Result<Result<(), BadLine>> {
        let measurement = line.measurement.as_ref();
        if !self.targets.contains_key(measurement) {
            let target = self.target(measurement);
            if self.targets.len() >= REMEMBERED {
                self.targets.retain(|_, target| target.is_ok());
            }
            self.targets.insert(measurement.to_owned(), target);
        }
        let target = match self.targets.get_mut(measurement) {
            Some(Ok(target)) => target,
            Some(Err(why)) => return Ok(Err((None, why.clone()))),
            None => return Ok(Err((None, String::new()))),
        };
        let Some(rows) = self.rows.get_mut(target.rows) else {
            return Ok(Err((None, String::new())));
        };
        let mut finder = Finder {
            ignored_tags: &self.settings.ignored_tags,
            places: self.places,
            keys: &mut self.keys,
        };
        let given = finder.give(target, rows, line).and_then(|()| {
            let time = line.time.map_or(Some(self.now), |time| self.unit.micros(time));
            rows.give_time(time.ok_or("the time is out of range")?);
            Ok(())
        });
        if given.is_ok() && rows.is_full() && !rows.is_merged() {
            outbox.leave_rows(rows)?;
        }
        let kept = given.and_then(|()| rows.keep_row(number));
        Ok(kept.map_err(|why| {
            rows.drop_row();
            (Some(rows.schema().name().to_owned()), why)
        }))
    }

    /// Leaves the rows of all tables.
    pub(super) fn leave(&mut self, outbox: &Outbox) -> Result<()> {
        self.rows.iter_mut().try_for_each(|rows| outbox.leave_rows(rows))
    }

    fn target(&mut self, measurement: &str) -> Result<Target, String> {
        let declared = self.settings.measurements.get(measurement).cloned();
        let of = declared.unwrap_or_else(|| MeasurementSettings {
            table: measurement.to_owned(),
            ..MeasurementSettings::default()
        });
        let Some(table) = self.tables.get(&of.table) else {
            return Err(format!(
                "measurement {measurement:?} is no table: declare [tables.{measurement}], or its table under [http.line_protocol.measurements]"
            ));
        };
        let at = self.rows.iter().position(|rows| rows.schema().name() == table.name());
        let rows = at.unwrap_or_else(|| {
            self.rows.push(TableRows::new(Arc::clone(table), Precision(None), true));
            self.rows.len() - 1
        });
        Ok(Target {
            rows,
            key: of.key.clone().unwrap_or_else(|| table.declaration().key.clone()),
            of,
            names: names(table),
            tags: HashMap::new(),
            fields: HashMap::new(),
            has_places: table.declaration().dimension.is_some(),
        })
    }
}

/// Finds out what tags and fields mean.
struct Finder<'a> {
    ignored_tags: &'a [String],
    places: &'a Places,
    keys: &'a mut HashMap<String, Result<Key, String>>,
}

impl Finder<'_> {
    fn give(
        &mut self,
        target: &mut Target,
        rows: &mut TableRows,
        line: &Line<'_>,
    ) -> Result<(), String> {
        for (name, value) in &line.tags {
            match self.meaning(target, name, true)? {
                Meaning::Ignored => {}
                Meaning::Column(column) => rows.give(column, Cell::Word(value))?,
                Meaning::Key => self.give_key(target, rows, name, value)?,
            }
        }
        for (name, value) in &line.fields {
            match (self.meaning(target, name, false)?, value) {
                (Meaning::Ignored, _) => {}
                (Meaning::Key, Value::Text(text)) => self.give_key(target, rows, name, text)?,
                (Meaning::Key, value) => rows.give(KEY_COLUMN, value.as_cell())?,
                (Meaning::Column(column), value) => rows.give(column, value.as_cell())?,
            }
        }
        Ok(())
    }

    fn meaning(&self, target: &mut Target, name: &str, is_tag: bool) -> Result<Meaning, String> {
        let known = if is_tag { &target.tags } else { &target.fields };
        if let Some(known) = known.get(name) {
            return known.clone();
        }
        let ignored = target.of.ignored.iter().any(|of| of == name);
        let column = target.of.columns.get(name).map_or(name, String::as_str);
        let meaning = match target.names.get(column) {
            _ if ignored => Ok(Meaning::Ignored),
            _ if name == target.key => Ok(Meaning::Key),
            Some(&KEY_COLUMN) => Ok(Meaning::Key),
            Some(&TIME_COLUMN) => {
                Err(format!("{name:?} is the time, which stands at the end of a line"))
            }
            Some(column) => Ok(Meaning::Column(*column)),
            None if is_tag && self.ignored_tags.iter().any(|of| of == name) => Ok(Meaning::Ignored),
            None => {
                let kind = if is_tag { "tag" } else { "field" };
                Err(format!("{kind} {name:?} is no column of table {:?}", target.of.table))
            }
        };
        let known = if is_tag { &mut target.tags } else { &mut target.fields };
        if known.len() < REMEMBERED {
            known.insert(name.to_owned(), meaning.clone());
        }
        meaning
    }

    fn give_key(
        &mut self,
        target: &Target,
        rows: &mut TableRows,
        name: &str,
        text: &str,
    ) -> Result<(), String> {
        if let Ok(key) = text.parse::<i64>() {
            return rows.give(KEY_COLUMN, Cell::Int(key));
        }
        if !target.has_places {
            return Err(format!("{name} is {text:?}: the key is a whole number"));
        }
        let key = match self.keys.get(text) {
            Some(key) => key.clone(),
            None => {
                let key = self.places.key(text);
                if self.keys.len() < REMEMBERED {
                    self.keys.insert(text.to_owned(), key.clone());
                }
                key
            }
        };
        rows.give(KEY_COLUMN, Cell::Int(key?.get()))
    }
}
