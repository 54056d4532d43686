//! Tests of the layers: their order, values of every kind, and errors that name the setting.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write;

use barograph_lake::Span;

use super::*;
use crate::settings::LoggingFormat;
use crate::settings::tables::{READINGS, readings};

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

fn resolve(text: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Settings> {
    let file = file(text);
    Layers {
        file: Some(file.path().to_owned()),
        environment: pairs(environment),
        flags: pairs(flags),
    }
    .resolve()
}

#[test]
fn without_anything_the_defaults_hold() {
    assert_eq!(Layers::default().resolve().unwrap(), Settings::default());
}

#[test]
fn flags_go_before_environment_before_file_before_defaults() {
    let text =
        "data = 'a'\n[engine]\nlateness = '1m'\nlate_merge_every = '2m'\n[flight]\nlisten = 'x:1'";
    let environment =
        [("BAROGRAPH_ENGINE__LATE_MERGE_EVERY", "3m"), ("BAROGRAPH_FLIGHT__LISTEN", "x:2")];
    let settings = resolve(text, &environment, &[("flight.listen", "x:3")]).unwrap();
    assert_eq!(settings.data, "a");
    assert_eq!(settings.engine.lateness, Span::seconds(60));
    assert_eq!(settings.engine.late_merge_every, Span::seconds(180));
    assert_eq!(settings.flight.listen, "x:3");
    assert_eq!(settings.engine.future_max, Settings::default().engine.future_max);
}

#[test]
fn every_kind_of_value_is_read_from_the_environment() {
    let environment = [
        ("BAROGRAPH_ENGINE__TAIL_BYTES_MAX", "1GiB"),
        ("BAROGRAPH_ENGINE__SCAN_THREADS", "3"),
        ("BAROGRAPH_LOGGING__FORMAT", "json"),
        ("BAROGRAPH_LOGGING__FILTER", "debug"),
        ("BAROGRAPH_LOG_FOLDER", "/var/log/readings"),
    ];
    let settings = resolve("", &environment, &[]).unwrap();
    assert_eq!(settings.engine.tail_bytes_max.get(), 1 << 30);
    assert_eq!(settings.engine.scan_threads, 3);
    assert_eq!(settings.logging.format, LoggingFormat::Json);
    assert_eq!(settings.logging.filter.as_deref(), Some("debug"));
    assert_eq!(settings.log_folder, Some(PathBuf::from("/var/log/readings")));
}

#[test]
fn former_names_of_settings_are_read_in_every_layer() {
    let text =
        "[engine]\nfolded_merge_every = '2h'\nnotice_every = '3s'\n[sql]\nprice_files_max = 1";
    let environment = [("BAROGRAPH_SQL__PRICE_BYTES_MAX", "1MiB")];
    let settings = resolve(text, &environment, &[("engine.notice_every", "5s")]).unwrap();
    assert_eq!(settings.engine.compacted_merge_every, Span::seconds(2 * 60 * 60));
    assert_eq!(settings.engine.poll_commits_every, Span::seconds(5));
    assert_eq!(settings.sql.cost_bytes_max.unwrap().get(), 1 << 20);
    assert_eq!(settings.sql.cost_files_max, Some(1));
    let both = "[engine]\nnotice_every = '3s'\npoll_commits_every = '4s'";
    assert!(resolve(both, &[], &[]).unwrap_err().to_string().contains("duplicate"));
}

#[test]
fn the_file_can_be_named_by_the_environment() {
    let file = file("data = 'elsewhere'");
    let environment = vec![(CONFIG_VARIABLE.to_owned(), file.path().display().to_string())];
    let layers = Layers { environment, ..Layers::default() };
    assert_eq!(layers.resolve().unwrap().data, "elsewhere");
}

#[test]
fn an_unknown_setting_is_named_with_file_and_line() {
    let file = file("data = 'a'\n\n[engine]\nlatenes = '1m'\n");
    let layers = Layers { file: Some(file.path().to_owned()), ..Layers::default() };
    let error = layers.resolve().unwrap_err();
    let expected = format!("{}:4: unknown setting `latenes`", file.path().display());
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn a_wrong_value_is_named_with_its_place() {
    let error = resolve("\n[engine]\nlateness = 5\n", &[], &[]).unwrap_err().to_string();
    assert!(error.contains(":3: "), "{error}");
    let error =
        resolve("", &[("BAROGRAPH_ENGINE__LATENESS", "soon")], &[]).unwrap_err().to_string();
    assert!(error.starts_with("BAROGRAPH_ENGINE__LATENESS: duration \"soon\""), "{error}");
    let error = resolve("", &[], &[("engine.scan_threads", "many")]).unwrap_err().to_string();
    assert_eq!(error, "engine.scan_threads: \"many\" is not a whole number");
    let error = resolve("[flight]\nstreams_max = 0", &[], &[]).unwrap_err().to_string();
    assert_eq!(error, "flight.streams_max is 0: give at least 1");
}

#[test]
fn an_unknown_variable_or_flag_is_named_with_a_near_one() {
    let error = resolve("", &[("BAROGRAPH_FLIGHT__LISTN", "x")], &[]).unwrap_err().to_string();
    assert_eq!(
        error,
        "unknown environment variable BAROGRAPH_FLIGHT__LISTN: did you mean BAROGRAPH_FLIGHT__LISTEN?"
    );
    let error = resolve("", &[], &[("flight.listn", "x")]).unwrap_err().to_string();
    assert_eq!(error, "unknown setting flight.listn: did you mean flight.listen?");
    let error = resolve("", &[("BAROGRAPH_QWERTYUIOP", "x")], &[]).unwrap_err().to_string();
    assert!(error.ends_with("`barograph config` lists the settings"), "{error}");
    let error = resolve("", &[("BAROGRAPH_TABLES__A", "x")], &[]).unwrap_err().to_string();
    assert!(error.contains("in the settings file only"), "{error}");
}

#[test]
fn tables_are_added_beside_readings_or_replace_it() {
    let text = "[tables.tides]\nkey = 'port'\nkey_type = 'int64'\ntime = 'at'\n\
                columns = [{ name = 'level', type = 'float64', unit = 'm', range = [-20, 20] }]\n";
    let settings = resolve(text, &[], &[]).unwrap();
    assert_eq!(settings.tables[READINGS], readings());
    assert_eq!(settings.tables["tides"].columns[0].range, Some([-20.0, 20.0]));

    let text = "[tables.readings]\nkey = 'station'\ntime = 'at'\n";
    let settings = resolve(text, &[], &[]).unwrap();
    assert_eq!(settings.tables[READINGS].key, "station");
    assert!(settings.tables[READINGS].columns.is_empty());

    let error = resolve("[tables.Tides]\nkey = 'port'\ntime = 'at'\n", &[], &[]).unwrap_err();
    assert!(error.to_string().contains("\"Tides\""), "{error}");
}

#[test]
fn what_cannot_work_is_refused_with_its_name() {
    let declared = "key = 'port'\ntime = 'at'\n";
    let table = |name: &str| format!("[tables.{name}]\n{declared}");
    let cases = [
        (table("dead_letters"), "tables.dead_letters: dead_letters is the name of"),
        (table("cities"), "tables.cities: cities is the name of"),
        (table("quality_flags"), "tables.quality_flags: quality_flags is the name of"),
        (table("system"), "tables.system: system is the name of"),
        (table("information_schema"), "tables.information_schema: "),
        (table("readings_1h"), "rollups.readings_1h: there is a table of that name"),
        (
            "[rollups.dead_letters]\nof = 'readings'\nevery = '1h'".to_owned(),
            "rollups.dead_letters: ",
        ),
        ("[rollups.cities]\nof = 'readings'\nevery = '1h'".to_owned(), "rollups.cities: "),
        (
            "[rollups.quality_flags]\nof = 'readings'\nevery = '1h'".to_owned(),
            "rollups.quality_flags: ",
        ),
        ("[rollups.a]\nof = 'tides'\nevery = '1h'".to_owned(), "rollups.a.of \"tides\""),
        (table("a") + "dimension = 'ports'", "tables.a.dimension \"ports\""),
        ("[retention.tides]\nafter = '1d'".to_owned(), "retention.tides: there is no such table"),
        ("[quality]\nof = 'tides'".to_owned(), "quality.of \"tides\""),
        ("[quality]\nneighbours_within_km = -1.0".to_owned(), "quality.neighbours_within_km"),
        ("[quality]\nneighbours_min = 9".to_owned(), "quality.neighbours_min 9"),
        ("[flight]\nlisten = 'here'".to_owned(), "flight.listen \"here\""),
        ("[flight]\nviews_max = 0".to_owned(), "flight.views_max is 0"),
        (
            "[flight]\nstreams_max = 9223372036854775807".to_owned(),
            "flight.streams_max is 9223372036854775807",
        ),
        ("[engine]\ntail_bytes_max = '0B'".to_owned(), "engine.tail_bytes_max is 0B"),
        ("[engine]\nscan_threads = 100000".to_owned(), "engine.scan_threads is 100000"),
        ("[engine.log]\nsegment_bytes = '1B'".to_owned(), "engine.log.segment_bytes is 1B"),
        ("[sql]\nqueries_max = 0".to_owned(), "sql.queries_max is 0"),
        ("[sql]\nmemory_bytes_max = '1B'".to_owned(), "sql.memory_bytes_max is 1B"),
        ("[compaction]\nfile_bytes = '0B'".to_owned(), "compaction.file_bytes 0B"),
        ("[jobs.sweep]\nmemory = '0B'".to_owned(), "jobs.sweep.memory 0B"),
        ("[logging]\nfilter = 'info,=,'".to_owned(), "logging.filter \"info,=,\""),
        ("data = ''".to_owned(), "data is empty"),
        ("log_folder = ''".to_owned(), "log_folder is empty"),
    ];
    for (text, why) in cases {
        let error = resolve(&text, &[], &[]).unwrap_err();
        assert!(error.to_string().contains(why), "{text}: {error}");
        assert_eq!(error.exit_code(), 2, "{text}");
    }
    let kept = "[retention]\ndead_letters.after = '30d'\nreadings_1h.after = '30d'\nquality_flags.after = '30d'";
    resolve(kept, &[], &[]).unwrap();
}

#[test]
fn fuzz_settings() {
    let seeds = [
        "data = 'a'\n[engine]\nlateness = '1m'\ntail_bytes_max = '1GiB'\n[flight]\nlisten = '127.0.0.1:0'\n[sql]\ntimeout = '30s'\n",
        "[tables.readings]\nkey = 'city_id'\ntime = 'reading_at'\n[[tables.readings.columns]]\nname = 't'\ntype = 'float32'\nrange = [-90.0, 60.0]\n",
        "[jobs.compact]\nevery = '1h'\n[logging]\nfilter = 'info,barograph=debug'\nformat = 'json'\n[quality]\n",
        "BAROGRAPH_ENGINE__LATENESS=5m\nBAROGRAPH_FLIGHT__STREAMS_MAX=8\nflight.listen=x:3\n",
    ];
    let tokens = [
        "[tables.",
        "[engine]\n",
        "[flight]\n",
        "[sql]\n",
        "[jobs.",
        "[store]\n",
        " = ",
        "'",
        "\"",
        "\n",
        "1e400",
        "0x7f",
        "inf",
        "'5m'",
        "'64MiB'",
        "-1",
        "[",
        "]",
        "{",
        "}",
        "9223372036854775808",
        "BAROGRAPH_",
        "__",
        "\\u0000",
        "'''",
    ];
    let folder = tempfile::tempdir_in(barograph_fuzz::folder()).unwrap();
    let path = folder.path().join("settings.toml");
    let target = barograph_fuzz::Target::new("settings", 150).seeds(seeds).tokens(tokens);
    target.bytes_max(4 << 10).memory(32 << 20, 1_024).run(|input| {
        let text = String::from_utf8_lossy(input);
        std::fs::write(&path, text.as_bytes()).unwrap();
        let lines = text.lines().filter_map(|line| line.split_once('=')).take(8);
        let named = lines.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
        let (environment, flags) = named.partition(|(name, _)| name.starts_with(PREFIX));
        let by_name = Layers { file: None, environment, flags }.resolve();
        let by_file = Layers { file: Some(path.clone()), ..Layers::default() }.resolve();
        match (by_name, by_file) {
            (_, Ok(settings)) => {
                let written = toml::to_string(&settings).unwrap();
                std::fs::write(&path, written).unwrap();
                let again = Layers { file: Some(path.clone()), ..Layers::default() }.resolve();
                assert_eq!(again.unwrap(), settings);
                Ok(())
            }
            (Ok(_), Err(_)) => Ok(()),
            (Err(a), Err(b)) => Err(format!("{a}; {b}").replace(&path.display().to_string(), "")),
        }
    });
}
