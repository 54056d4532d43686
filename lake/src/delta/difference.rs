//! The difference between a stored declaration and another: none, descriptions only (units, plausible ranges, the order
//! of columns), value columns that the files can be read with as they are, or columns that the files cannot be read
//! with.

use super::change::Operation;
use crate::TableSchema;
use crate::schema::{KEY_COLUMN, TIME_COLUMN};

/// How a stored declaration differs from another.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// Not at all.
    None,
    /// In what only describes values (units, plausible ranges), and in the order of columns.
    Description,
    /// In value columns that the files can be read with as they are.
    Columns(Columns),
    /// In what cannot be changed where the files stay as they are: said in words.
    Unlike(String),
}

/// Value columns that become others where the files stay as they are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Columns {
    /// Names of those that are not stored: they are null in every row that is there.
    pub(crate) added: Vec<String>,
    /// Names of those whose type has room for more values than the stored one.
    pub(crate) widened: Vec<String>,
}

impl Difference {
    /// What must change in `stored` to become `declared`.
    pub(crate) fn between(stored: &TableSchema, declared: &TableSchema) -> Self {
        let mut faults = roles(stored, declared);
        let mut columns = Columns::default();
        for was in stored.values() {
            let name = &was.name;
            match declared.values().iter().find(|is| is.name == *name) {
                None => {
                    let of = was.value_type.arrow();
                    faults.push(format!("its column {name} {of} holds values and is not declared"));
                }
                Some(is) if is.value_type == was.value_type => {}
                Some(is) if was.value_type.widens_to(is.value_type) => {
                    columns.widened.push(name.clone());
                }
                Some(is) => faults.push(format!(
                    "its column {name} is {} and declared as {}, which cannot hold the same values",
                    was.value_type.arrow(),
                    is.value_type.arrow()
                )),
            }
        }
        if !faults.is_empty() {
            return Self::Unlike(faults.join("; "));
        }
        let is_new = |name: &str| stored.values().iter().all(|was| was.name != name);
        let declared_names = declared.values().iter().map(|column| column.name.clone());
        columns.added = declared_names.filter(|name| is_new(name)).collect();
        match stored.declaration() == declared.declaration() {
            true => Self::None,
            false if columns == Columns::default() => Self::Description,
            false => Self::Columns(columns),
        }
    }
}

/// What is wrong with key and time.
fn roles(stored: &TableSchema, declared: &TableSchema) -> Vec<String> {
    let (old, new) = (stored.arrow().fields(), declared.arrow().fields());
    let mut faults = Vec::new();
    for (role, column) in [("key", KEY_COLUMN), ("time", TIME_COLUMN)] {
        if let (Some(was), Some(is)) = (old.get(column), new.get(column))
            && (was.name(), was.data_type()) != (is.name(), is.data_type())
        {
            faults.push(format!(
                "its {role} column is {} {} and declared as {} {}",
                was.name(),
                was.data_type(),
                is.name(),
                is.data_type()
            ));
        }
    }
    faults
}

impl Columns {
    /// What is done to them.
    pub(crate) fn operation(&self) -> Operation {
        match (self.added.is_empty(), self.widened.is_empty()) {
            (true, true) => Operation::Describe,
            (false, true) => Operation::AddColumns,
            _ => Operation::ChangeColumns,
        }
    }
}
