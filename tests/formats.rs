//! Source files as their makers write them, imported by the real binary into a server and as files of a lake: misplaced
//! quotes, archives, byte order marks, names in another case, large rows, many columns.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use parquet::basic::ZstdLevel;
use parquet::file::properties::WriterProperties;

use crate::server::imports::both;

const SETTINGS: &str = r#"
[tables.notes]
key = "station"
key_type = "int64"
time = "at"
columns = [{ name = "temperature", type = "float32" }, { name = "note", type = "utf8" }]
"#;
const NOTES: [&str; 2] = ["--table", "notes"];
/// A server beside an import does nothing else.
const QUIET: &str = "
[engine]
lateness = '1000000h'
late_merge_every = '1000000h'

[scheduler]
enabled = false
";
/// In µs.
const HOUR: i64 = 3_600_000_000;
const AT: &str = "2026-01-01T00:00:00Z";

fn file(path: PathBuf, bytes: &[u8]) -> PathBuf {
    std::fs::write(&path, bytes).unwrap();
    path
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// 2,000 rows, with other lines at the given numbers.
fn notes(end: &str, others: &[(usize, &str)]) -> String {
    let mut text = format!("station,at,temperature,note{end}");
    for row in 1..=2_000 {
        match others.iter().find(|(number, _)| *number == row) {
            Some((_, line)) => text.push_str(line),
            None => write!(text, "{row},{AT},{}.5,plain", row % 40).unwrap(),
        }
        if row < 2_000 {
            text.push_str(end);
        }
    }
    text
}

#[test]
fn a_misplaced_quote_costs_its_own_line_at_most() {
    for end in ["\n", "\r\n"] {
        let folder = tempfile::tempdir().unwrap();
        let two_lines = format!("50,{AT},1.0,\"two{end}lines, \"\"quoted\"\"\"");
        let others = [
            (10, format!("10,{AT},1.0,5'3\" long")),
            (20, format!("20,{AT},1.0,\"never closed")),
            (30, format!("30,{AT},\"1.0,x")),
            (40, format!("40,{AT},1.0,\"closed\" and more")),
            (50, two_lines),
            (2_000, format!("2000,{AT},1.0,\"the end")),
        ];
        let others: Vec<_> = others.iter().map(|(row, line)| (*row, line.as_str())).collect();
        let path = file(folder.path().join("notes.csv"), notes(end, &others).as_bytes());
        let sql = "SELECT station, note FROM notes WHERE note <> 'plain' ORDER BY station";
        for made in both(SETTINGS, &NOTES, &[path], sql) {
            assert_eq!(made.figures(), [0, 2_000, 1_996, 4, 0, 0]);
            let lines = format!("two{end}lines, \"quoted\"");
            assert_eq!(made.rows, [["10", "5'3\" long"], ["50", lines.as_str()]]);
            for (at, what) in [
                ("line 21)", "opens \"note\" is not closed"),
                ("line 31)", "opens \"temperature\" is not closed"),
                ("line 41)", "goes on after the quote that closes \"note\""),
                ("line 2002)", "opens \"note\" is not closed"),
            ] {
                let says = |reason: &&String| reason.contains(at) && reason.contains(what);
                assert_eq!(made.letters.iter().filter(says).count(), 1, "{at}: {:?}", made.letters);
            }
        }
    }
}

#[test]
fn archives_are_read_by_their_bytes_and_one_that_is_cut_short_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let csv = |stations: std::ops::Range<u32>, header: &str| {
        let rows = stations.map(|station| format!("{station},{AT},1.5,x\n"));
        format!("{header}{}", rows.collect::<String>()).into_bytes()
    };
    let header = "station,at,temperature,note\n";
    let members = [gzip(&csv(1..400, header)), gzip(&csv(400..800, ""))].concat();
    let frames = [csv(800..900, header), csv(900..1_000, "")]
        .map(|bytes| zstd::encode_all(bytes.as_slice(), 1).unwrap())
        .concat();
    let json = format!("{{\"station\":1000,\"at\":\"{AT}\",\"note\":\"x\"}}\n");
    let files = [
        file(path("members.csv.gz"), &members),
        file(path("frames.csv.zst"), &frames),
        file(path("packed.csv"), &gzip(&csv(1_001..1_002, header))),
        file(path("plain.csv.gz"), &csv(1_002..1_003, header)),
        file(path("lines.jsonl.gz"), &gzip(json.as_bytes())),
    ];
    let sql = "SELECT count(*), min(station), max(station) FROM notes";
    for made in both(SETTINGS, &NOTES, &files, sql) {
        assert_eq!(made.figures(), [0, 1_002, 1_002, 0, 0, 0]);
        assert_eq!(made.rows, [["1002", "1", "1002"]]);
    }
    let short = file(path("short.csv.gz"), &members[..members.len() - 9]);
    let short_frame = file(path("short.csv.zst"), &frames[..frames.len() - 9]);
    let zip = file(path("zip.csv"), b"PK\x03\x04\x14\0\0\0\x08\0station,at\n");
    let parquet = file(path("parquet.csv"), b"PAR1\x15\x04\x15\x10\x15\n\x01\0PAR1");
    for (file, name, what) in [
        (short, "short.csv.gz", "the gzip archive is cut short or damaged"),
        (short_frame, "short.csv.zst", "the zstd archive is cut short or damaged"),
        (zip, "zip.csv", "is a zip archive"),
        (parquet, "parquet.csv", "a Parquet file: say so with --form parquet"),
    ] {
        for made in both(SETTINGS, &NOTES, &[file], sql) {
            assert!(!made.status.success(), "{}", made.said);
            assert!(made.said.contains(name) && made.said.contains(what), "{}", made.said);
            let is_printable = |c: char| c == '\n' || !c.is_control() && c != '\u{fffd}';
            assert!(made.said.chars().all(is_printable), "{:?}", made.said);
        }
    }
}

#[test]
fn marks_and_names_of_another_case_cost_no_row_and_no_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let json = format!(
        "\u{feff}{{\"Station\":1,\"at\":\"{AT}\",\"TEMPERATURE\":1.5,\"wind\":3}}\n\
         {{\"station\":2,\"at\":\"{AT}\",\"temperature\":2.5}}\n\
         {{\"station\":3,\"at\":\"{AT}\",\"Temperature\":2.5,\"TEMPERATURE\":3}}\n"
    );
    let csv = format!("\u{feff}Station;AT;Temperature\n4;{AT};4.5\n");
    let files = [file(path("a.jsonl"), json.as_bytes()), file(path("b.csv"), csv.as_bytes())];
    let sql = "SELECT station, temperature FROM notes ORDER BY station";
    let semicolons = [&NOTES[..], &["--delimiter", ";"]].concat();
    for made in both(SETTINGS, &semicolons, &files, sql) {
        assert_eq!(made.figures(), [0, 4, 3, 1, 0, 0]);
        assert_eq!(made.rows, [["1", "1.5"], ["2", "2.5"], ["4", "4.5"]]);
        let [letter] = made.letters.as_slice() else { panic!("{:?}", made.letters) };
        assert!(letter.contains("\"Temperature\" and \"TEMPERATURE\""), "{letter}");
        assert!(made.said.contains("a.jsonl: not imported: wind"), "{}", made.said);
        assert!(made.said.contains("a.jsonl: null in every row: note"), "{}", made.said);
    }
    let twice = file(path("twice.csv"), format!("station,at,Note,NOTE\n4,{AT},x,y\n").as_bytes());
    for made in both(SETTINGS, &NOTES, &[twice], sql) {
        assert!(!made.status.success());
        assert!(made.said.contains("\"Note\" and \"NOTE\" both differ"), "{}", made.said);
    }
}

/// Thousands of texts of 20 kB, one every `pace` µs, together ten times the memory of an import or more; of many
/// stations, or of one.
fn large_texts(path: &Path, thousands: i64, pace: i64, station: Option<i64>) {
    let mut writer: Option<ArrowWriter<File>> = None;
    for part in 0..thousands {
        let numbers = || (0..1_000).map(|row| part * 1_000 + row);
        let stations =
            Int64Array::from_iter_values(numbers().map(|number| station.unwrap_or(number)));
        let times = numbers().map(|number| 1_699_999_200_000_000 + number * pace);
        let texts = (0..1_000).map(|row| format!("{part}-{row} ").repeat(20_000 / 8));
        let rows = RecordBatch::try_from_iter([
            ("station", Arc::new(stations) as ArrayRef),
            ("at", Arc::new(TimestampMicrosecondArray::from_iter_values(times))),
            ("note", Arc::new(StringArray::from_iter_values(texts))),
        ])
        .unwrap();
        let writer = writer.get_or_insert_with(|| {
            let level = ZstdLevel::try_new(1).unwrap();
            let properties = WriterProperties::builder()
                .set_compression(parquet::basic::Compression::ZSTD(level))
                .set_max_row_group_row_count(Some(1_000_000))
                .set_dictionary_enabled(false)
                .build();
            ArrowWriter::try_new(File::create(path).unwrap(), rows.schema(), Some(properties))
                .unwrap()
        });
        writer.write(&rows).unwrap();
    }
    writer.unwrap().close().unwrap();
}

#[test]
fn large_texts_of_one_row_group_take_memory_about_the_bound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.parquet");
    large_texts(&path, 6, HOUR, None);
    let sql = "SELECT count(*), min(length(note)), max(length(note)) FROM notes";
    let bounded = [&NOTES[..], &["--memory", "16MiB"]].concat();
    for made in both(&[SETTINGS, QUIET].concat(), &bounded, &[path], sql) {
        assert_eq!(made.figures(), [0, 6_000, 6_000, 0, 0, 0]);
        assert_eq!(made.rows[0][0], "6000");
        assert!(made.peak_kib < 270 << 10, "{} MiB", made.peak_kib >> 10);
    }
}

#[test]
fn large_texts_of_one_hour_take_memory_about_the_bound() {
    let folder = tempfile::tempdir().unwrap();
    let sql = "SELECT count(*), count(DISTINCT note), sum(length(note)) FROM notes";
    let [stations, station] =
        ["stations", "station"].map(|name| folder.path().join(format!("{name}.parquet")));
    large_texts(&stations, 8, 250_000, None);
    large_texts(&station, 8, 250_000, Some(7));
    let cases = [
        ("stations", &stations, "16MiB", 220),
        ("station", &station, "16MiB", 220),
        ("station", &station, "4MiB", 190),
    ];
    for (name, path, memory, most) in cases {
        let bounded = [&NOTES[..], &["--memory", memory]].concat();
        let [through_a_log, made] =
            both(&[SETTINGS, QUIET].concat(), &bounded, std::slice::from_ref(path), sql);
        assert_eq!(through_a_log.rows, made.rows);
        assert_eq!(made.rows[0][..2], ["8000", "8000"]);
        for made in [through_a_log, made] {
            assert_eq!(made.figures(), [0, 8_000, 8_000, 0, 0, 0]);
            let peak = made.peak_kib >> 10;
            println!("{name}, {memory}: {peak} MiB");
            assert!(peak < most, "{name}, {memory}: {peak} MiB");
        }
    }
}

#[test]
fn rows_of_many_columns_that_cannot_be_read_are_letters_and_the_message_is_short() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<_> = (0..240).map(|column| format!("measured_quantity_{column:03}")).collect();
    let mut text = format!("station,at,temperature,{}\n", names.join(","));
    for row in 0..12_000 {
        writeln!(text, "{row},{AT},bad{}", ",17.25".repeat(240)).unwrap();
    }
    let path = file(folder.path().join("wide.csv"), text.as_bytes());
    for made in both(SETTINGS, &NOTES, &[path], "SELECT count(*) FROM dead_letters") {
        assert_eq!(made.figures(), [0, 12_000, 0, 12_000, 0, 0]);
        assert_eq!(made.rows, [["12000"]]);
        assert!(made.said.len() < 10_000, "{} bytes", made.said.len());
    }
}
