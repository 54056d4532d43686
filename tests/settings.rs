//! Invalid settings leave nothing behind: once they are taken back, the folder starts.

use std::path::Path;

use crate::server::{Server, command};

/// Invalid settings, and what the message names.
const WRONG: [(&str, &str); 8] = [
    ("[tables.dead_letters]\nkey = 'port'\ntime = 'at'", "tables.dead_letters"),
    ("[tables.cities]\nkey = 'port'\ntime = 'at'", "tables.cities"),
    ("[tables.tides]\nkey = 'port'\ntime = 'at'\ndimension = 'ports'", "tables.tides.dimension"),
    ("[rollups.dead_letters]\nof = 'readings'\nevery = '1h'", "rollups.dead_letters"),
    ("[retention.tides]\nafter = '30d'", "retention.tides"),
    ("[sql]\nqueries_max = 0", "sql.queries_max"),
    ("[compaction]\nfile_bytes = '0B'", "compaction.file_bytes"),
    ("[logging]\nfilter = 'info,=,'", "logging.filter"),
];

fn refused(args: &[&str], settings: &Path, data: &Path, why: &str) {
    let mut command = command(args);
    command.arg("--config").arg(settings).arg("--data").arg(data);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
    assert!(said.contains(why), "{args:?}: {said}");
    assert!(!data.exists(), "{why}: something was made");
}

#[test]
fn wrong_settings_are_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, data) = (folder.path().join("settings.toml"), folder.path().join("data"));
    for (text, why) in WRONG {
        std::fs::write(&settings, text).unwrap();
        refused(&["serve", "--listen", "127.0.0.1:0"], &settings, &data, why);
    }
    std::fs::write(&settings, "").unwrap();
    refused(&["serve", "--listen", "here"], &settings, &data, "flight.listen \"here\"");
    let server = Server::start(&["--config", settings.to_str().unwrap()], &data);
    let (status, output) = server.terminate();
    assert!(status.success(), "{status}:\n{output}");
}

#[test]
fn a_declaration_is_taken_back_as_long_as_there_are_no_rows() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, data) = (folder.path().join("settings.toml"), folder.path().join("data"));
    let table = |column: &str| {
        format!(
            "[tables.tides]\nkey = 'port'\ntime = 'at'\ncolumns = [{{ name = '{column}', type = 'float32' }}]"
        )
    };
    for column in ["levle", "level"] {
        std::fs::write(&settings, table(column)).unwrap();
        let server = Server::start(&["--config", settings.to_str().unwrap()], &data);
        let (status, output) = server.terminate();
        assert!(status.success(), "{status}:\n{output}");
    }
}
