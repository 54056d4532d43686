//! What of the tables a caller is shown. This is the one place where SQL asks: a table that is not shown has no provider, and
//! one that is shown in part has a provider that carries the restriction into every scan.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Int64Type};
use barograph_access::{Allowed, Decision, Rights, Rows, Verb};
use barograph_engine::{Engine, Error, ErrorKind, Restriction, Result};
use barograph_lake::{AsOf, Key, TableSchema};

/// The table of `system` that everybody sees, each their own rows of.
const QUERIES: &str = "queries";

/// A table with the restriction under which it is shown.
pub(crate) type ShownTable = (Arc<TableSchema>, Option<Arc<Restriction>>);

/// What a caller is shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown(Option<Arc<Rights>>);

impl Shown {
    /// Everything.
    pub(crate) const EVERYTHING: Self = Self(None);

    /// What `rights` give.
    pub(crate) fn by(rights: &Arc<Rights>) -> Self {
        Self((!rights.is_everything()).then(|| Arc::clone(rights)))
    }

    /// Whether nothing is hidden.
    pub(crate) fn is_everything(&self) -> bool {
        self.0.is_none()
    }

    /// Whether `rights` show the same.
    pub(crate) fn is_by(&self, rights: &Arc<Rights>) -> bool {
        self.0.as_ref().is_some_and(|own| Arc::ptr_eq(own, rights) || own == rights)
    }

    /// What of the table `name` may be read; `None` if it is not there for the caller.
    fn allowed(&self, name: &str) -> Option<Allowed> {
        match self.0.as_ref().map(|rights| rights.decide(Verb::Read, name)) {
            None => Some(Allowed::ALL),
            Some(Decision::Allow(allowed)) => Some(allowed),
            Some(Decision::Deny) => None,
        }
    }

    /// The restriction under which a table is shown; `None` if it is not there for the caller.
    pub(crate) fn table(&self, table: &Arc<TableSchema>) -> Option<Option<Arc<Restriction>>> {
        // What cannot be decided is not shown.
        Restriction::new(table, &self.allowed(table.name())?).ok()
    }

    /// Whether a table about the server is shown.
    pub(crate) fn system(&self, name: &str) -> bool {
        name == QUERIES || self.observes()
    }

    /// Whether the caller sees what others ask.
    pub(crate) fn observes(&self) -> bool {
        self.0.as_ref().is_none_or(|rights| rights.may(Verb::Observe))
    }

    /// The rows and columns of a dimension that are shown; `None` if it is not there for the caller. Conditions on rows are
    /// those of declared tables: a dimension under one is not shown.
    pub(crate) fn dimension(&self, name: &str, rows: RecordBatch) -> Option<RecordBatch> {
        let allowed = self.allowed(name)?;
        if allowed.is_everything() {
            return Some(rows);
        }
        let Rows::Some(rules) = &allowed.rows else { return columns(&allowed, &rows) };
        if rules.iter().any(|rule| !rule.filters.is_empty()) {
            return None;
        }
        let (keys, of) = (allowed.keys()?, rows.columns().first()?);
        if !of.data_type().is_integer() {
            return None;
        }
        let of = cast(of, &DataType::Int64).ok()?;
        let given = of.as_primitive::<Int64Type>().iter();
        let given = given.map(|key| Some(key.is_some_and(|key| keys.contains(Key::new(key)))));
        let rows = filter_record_batch(&rows, &given.collect::<BooleanArray>()).ok()?;
        columns(&allowed, &rows)
    }

    /// The table `name`, if the caller sees it.
    ///
    /// # Errors
    /// The same for a table that is not there and one that the caller does not see.
    pub(crate) fn named(&self, engine: &Engine, name: &str) -> Result<ShownTable> {
        if self.0.is_none() {
            return Ok((engine.schema(name)?, None));
        }
        let shown = |table: Arc<TableSchema>| self.table(&table).map(|of| (table, of));
        engine.schema(name).ok().and_then(shown).ok_or_else(|| {
            let tables = engine.tables().into_iter();
            let names = tables.filter(|of| self.table(&of.schema).is_some());
            let names: Vec<_> = names.map(|of| of.schema.name().to_owned()).collect();
            let text = format!("there is no table {name:?}: there are {}", names.join(", "));
            Error::new(ErrorKind::NotFound, text)
        })
    }

    /// The columns that a table had at a version or time. Rights are about the columns that it has now: where it had
    /// others, only a caller who is shown all of it is shown them.
    pub(crate) fn as_of(&self, engine: &Engine, name: &str, as_of: AsOf) -> Result<ShownTable> {
        let (table, restriction) = self.named(engine, name)?;
        let then = engine.schema_as_of(name, as_of)?;
        match restriction {
            Some(_) if *then != *table => Err(Error::new(
                ErrorKind::Denied,
                format!(
                    "table {name:?} had other columns then, and your rights are about those that it has now"
                ),
            )),
            restriction => Ok((then, restriction)),
        }
    }
}

/// The columns of a dimension that are shown; its key always is.
fn columns(allowed: &Allowed, rows: &RecordBatch) -> Option<RecordBatch> {
    let Some(given) = &allowed.columns else { return Some(rows.clone()) };
    let schema = rows.schema();
    let fields = schema.fields().iter().enumerate();
    let shown = fields.filter(|(at, field)| *at == 0 || given.contains(field.name()));
    rows.project(&shown.map(|(at, _)| at).collect::<Vec<_>>()).ok()
}
