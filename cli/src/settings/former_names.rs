//! The former names of settings: files, variables and flags may still use them.

use toml::{Table, Value};

/// Former full name, and the name of the same setting.
const NAMES: [(&str, &str); 4] = [
    ("engine.folded_merge_every", "engine.compacted_merge_every"),
    ("engine.notice_every", "engine.poll_commits_every"),
    ("sql.price_bytes_max", "sql.cost_bytes_max"),
    ("sql.price_files_max", "sql.cost_files_max"),
];

/// The name of the setting that an environment variable sets by its former name.
pub(super) fn of_variable(variable: &str) -> Option<&'static str> {
    let named = |former: &str| super::catalogue::variable(former) == variable;
    NAMES.iter().find(|(former, _)| named(former)).map(|(_, name)| *name)
}

/// The name of a setting that may be called by its former one.
pub(super) fn current(path: &str) -> &str {
    NAMES.iter().find(|(former, _)| *former == path).map_or(path, |(_, name)| name)
}

/// Renames the settings of a file that have their former names.
pub(super) fn rename(file: &mut Table) {
    for (former, name) in NAMES {
        let (Some((section, former)), Some((_, name))) =
            (former.split_once('.'), name.split_once('.'))
        else {
            continue;
        };
        let Some(Value::Table(section)) = file.get_mut(section) else { continue };
        if let Some(value) = section.remove(former) {
            section.insert(name.to_owned(), value);
        }
    }
}
