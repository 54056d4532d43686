//! The names of the tables in a lake: those that this program made. Tables of other programs beside them are skipped
//! with a warning.

use crate::delta;
use crate::{ErrorKind, LakeStore, Result};

/// Folders that only a table of this program has.
const FOLDERS: [&str; 5] = ["hour", "day", "month", "_landed", "_deletions"];

/// The tables in a folder of tables, by name. A message names each table of another program that stands beside them.
///
/// A table of this program whose log cannot be read is one of them: opening it gives the reason.
pub async fn names(lake: &LakeStore) -> Result<Vec<String>> {
    let listed = lake.object().list_with_delimiter(Some(&lake.path(""))).await?;
    let mut names = Vec::new();
    for folder in listed.common_prefixes {
        let Some(name) = folder.filename() else { continue };
        let table = lake.child(name);
        let log = lake.object().list_with_delimiter(Some(&table.path(delta::LOG_FOLDER))).await?;
        if !log.objects.is_empty() && is_own(&table).await? {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

async fn is_own(table: &LakeStore) -> Result<bool> {
    let url = table.url();
    match delta::made_here(table).await {
        Ok(true) => Ok(true),
        // Another program may have declared it anew, without our declaration.
        Ok(false) if has_folders(table).await? && delta::last_own(table).await?.is_some() => {
            Ok(true)
        }
        Ok(false) => {
            tracing::warn!("{url} is a Delta table of another program: it is ignored");
            Ok(false)
        }
        Err(error) if error.kind() == ErrorKind::Store => Err(error),
        Err(error) => {
            let own = has_folders(table).await?;
            if !own {
                tracing::warn!(
                    "{url} is not a table of this program, and its Delta log cannot be read; it is ignored: {error}"
                );
            }
            Ok(own)
        }
    }
}

async fn has_folders(table: &LakeStore) -> Result<bool> {
    let listed = table.object().list_with_delimiter(Some(&table.path(""))).await?;
    let mut folders = listed.common_prefixes.iter().filter_map(|folder| folder.filename());
    Ok(folders.any(|folder| FOLDERS.contains(&folder)))
}
