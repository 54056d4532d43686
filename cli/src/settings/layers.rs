//! The layers of settings: defaults, file, environment and flags make one [`Settings`].

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::catalogue::{Catalogue, PREFIX, TABLES};
use super::{Settings, former_names};
use crate::{Error, Result};

/// Environment variable that names the settings file; `--config` goes before it.
pub(crate) const CONFIG_VARIABLE: &str = "BAROGRAPH_CONFIG";

/// Environment variable that holds a token. It is no setting, so that nothing prints it.
pub(crate) const TOKEN_VARIABLE: &str = "BAROGRAPH_TOKEN";

/// Where settings come from besides the defaults, the later ones winning.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers {
    /// The settings file.
    pub file: Option<PathBuf>,
    /// The environment, of which only `BAROGRAPH_…` counts.
    pub environment: Vec<(String, String)>,
    /// Settings by full name from flags.
    pub flags: Vec<(String, String)>,
}

impl Layers {
    /// The process's environment and a file.
    pub(crate) fn from_process(file: Option<PathBuf>, flags: Vec<(String, String)>) -> Self {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let environment: Vec<_> = std::env::vars_os()
            .map(|(name, value)| (text(name), text(value)))
            .filter(|(name, _)| name.starts_with(PREFIX) && name != TOKEN_VARIABLE)
            .collect();
        Self { file, environment, flags }
    }

    /// The settings file, if there is one.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        let named = || self.environment.iter().find(|(name, _)| name == CONFIG_VARIABLE);
        self.file.clone().or_else(|| named().map(|(_, value)| PathBuf::from(value)))
    }

    /// The settings they make together, checked.
    pub(crate) fn resolve(&self) -> Result<Settings> {
        let catalogue = Catalogue::new();
        let mut tree = Table::try_from(Settings::default())
            .map_err(|e| Error::failed(format!("default settings: {e}")))?;
        if let Some(file) = self.path() {
            merge(&mut tree, read_file(&file)?, "");
        }
        for (variable, value) in &self.environment {
            if variable == CONFIG_VARIABLE {
                continue;
            }
            let Some(setting) = catalogue.by_variable(variable) else {
                return Err(unknown_variable(&catalogue, variable));
            };
            let value = setting.parse(value).map_err(|e| e.during(variable))?;
            set(&mut tree, &setting.path, value).map_err(|e| e.during(variable))?;
        }
        for (path, value) in &self.flags {
            let Some(setting) = catalogue.get(path) else {
                return Err(unknown(&catalogue, "setting", path, path));
            };
            let value = setting.parse(value).map_err(|e| e.during(path))?;
            set(&mut tree, &setting.path, value).map_err(|e| e.during(path))?;
        }
        let settings: Settings =
            tree.try_into().map_err(|e: toml::de::Error| Error::usage(e.message().to_owned()))?;
        settings.check()?;
        Ok(settings)
    }
}

fn read_file(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Error::usage(format!("settings file {}: {e}", path.display())))?;
    let located = |error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = 1 + text.get(..start).unwrap_or(&text).matches('\n').count();
        let message = error.message().replace("unknown field", "unknown setting");
        Error::usage(format!("{}:{line}: {}", path.display(), message.trim()))
    };
    toml::from_str::<Settings>(&text).map_err(located)?;
    let mut table = toml::from_str(&text).map_err(located)?;
    former_names::rename(&mut table);
    Ok(table)
}

/// Puts `over` on `tree`. A table's declaration is replaced as a whole.
fn merge(tree: &mut Table, over: Table, path: &str) {
    for (name, value) in over {
        match (tree.get_mut(&name), value) {
            (Some(Value::Table(below)), Value::Table(over)) if path != TABLES => {
                merge(below, over, &name);
            }
            (_, value) => {
                tree.insert(name, value);
            }
        }
    }
}

/// Sets one value and makes sure that the settings take it.
fn set(tree: &mut Table, path: &str, value: Value) -> Result<()> {
    let mut alone = Table::new();
    insert(&mut alone, path, value.clone());
    let taken: Result<Settings, toml::de::Error> = alone.try_into();
    taken.map_err(|e| Error::usage(e.message().trim().to_owned()))?;
    insert(tree, path, value);
    Ok(())
}

fn insert(tree: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            tree.insert(path.to_owned(), value);
        }
        Some((name, rest)) => {
            let below = tree.entry(name).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(below) = below {
                insert(below, rest, value);
            }
        }
    }
}

fn unknown_variable(catalogue: &Catalogue, variable: &str) -> Error {
    let path = variable.trim_start_matches(PREFIX).replace("__", ".").to_lowercase();
    let mut error = unknown(catalogue, "environment variable", variable, &path);
    if path.starts_with(TABLES) {
        error = Error::usage(format!("{variable}: tables are declared in the settings file only"));
    }
    error
}

fn unknown(catalogue: &Catalogue, what: &str, name: &str, path: &str) -> Error {
    let near = catalogue.near(path);
    let written = |path: &&str| match what {
        "setting" => (*path).to_owned(),
        _ => catalogue.get(path).map(|setting| setting.variable()).unwrap_or_default(),
    };
    let hint = if near.is_empty() {
        "`barograph config` lists the settings".to_owned()
    } else {
        format!("did you mean {}?", near.iter().map(written).collect::<Vec<_>>().join(", "))
    };
    Error::usage(format!("unknown {what} {name}: {hint}"))
}

#[cfg(test)]
#[path = "layers/tests.rs"]
mod tests;
