//! Fuzz targets of imports: files of every form, mappings, texts of times, and the state of earlier imports.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::file::properties::WriterProperties;
use arrow::array::{
    ArrayRef, DictionaryArray, Float32Array, Int32Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::Int32Type;
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use barograph_fuzz::Target;
use barograph_lake::TableSchema;
use barograph_lake::schema::{TableDeclaration, ValueColumn, ValueType};
use barograph_query::SqlExpressions;

use super::FileForm;
use super::apply::apply;
use super::input::{Cells, Input, Wanted};
use super::mapping::{Mapping, Plan};
use super::state::State;

/// Bytes and rows of a piece.
const PIECE: (usize, usize) = (16 << 10, 64);

fn table() -> TableSchema {
    let column = ValueColumn::new;
    let declaration = TableDeclaration::new("id", "at").columns([
        column("celsius", ValueType::Float32),
        column("direction", ValueType::Int16),
        column("note", ValueType::Utf8),
    ]);
    TableSchema::new("weather", declaration).unwrap()
}

/// Reads a file by a mapping as an import does, and drops its rows.
fn import(path: &Path, form: FileForm, mapping: &Mapping) -> crate::Result<()> {
    let input = Input::open(path, form, mapping)?;
    let plan = Plan::new(&table(), mapping, &input.columns(), &SqlExpressions)?;
    let needed: Vec<_> = plan.needed.iter().map(|name| (name.clone(), Cells::Values)).collect();
    let wanted = Wanted { columns: &needed, rows: PIECE.1, bytes: PIECE.0, skip: 0 };
    let mut first = true;
    for chunk in input.chunks(&wanted)? {
        let applied = apply(&plan, chunk?, std::mem::take(&mut first))?;
        assert_eq!(applied.rows.num_rows() + applied.rejected.len(), applied.read as usize);
        assert!(applied.rejected.iter().all(|rejected| !rejected.reason.is_empty()));
    }
    Ok(())
}

/// A target whose inputs are files of a form, each behind a byte that chooses one of `mappings`.
fn run(target: Target, form: FileForm, ending: &str, mappings: &[Mapping]) {
    let folder = tempfile::tempdir_in(barograph_fuzz::folder()).unwrap();
    let path = folder.path().join(format!("rows.{ending}"));
    // A panic of a library, which is caught, has the symbols of the whole binary read for its backtrace.
    target.memory(96 << 20, 1_024).run(|input| {
        let (choice, file) = input.split_first().unwrap_or((&0, &[]));
        std::fs::write(&path, file).unwrap();
        let mapping = &mappings[usize::from(*choice) % mappings.len()];
        import(&path, form, mapping).map_err(|error| {
            assert_ne!(error.kind(), crate::ErrorKind::Internal, "{error}");
            error.to_string().replace(&path.display().to_string(), "the file")
        })
    });
}

fn mapping(toml: &str) -> Mapping {
    toml::from_str(toml).unwrap()
}

/// A file behind the choice of its mapping.
fn chosen(choice: u8, file: impl AsRef<[u8]>) -> Vec<u8> {
    [&[choice], file.as_ref()].concat()
}

#[test]
fn fuzz_import_csv() {
    let mappings = [
        Mapping::default(),
        mapping(
            "null = ['NA']\n[columns]\ncelsius = '(temp - 32) / 1.8'\nid = 'station'\nnote = 'upper(note)'\n[values.station]\nEWR = 1\nJFK = 2",
        ),
        mapping(
            "[format]\ndelimiter = ';'\ndecimal = ','\nencoding = 'windows-1252'\nheader = 2\nbelow_header = 1\ncomment = '#'\n[time]\ncolumns = ['day', 'hour']\nformat = '%d/%m/%Y %H:%M'\nzone = 'Europe/Brussels'",
        ),
        mapping(
            "[format]\ndelimiter = 'whitespace'\nheader = 'none'\nnames = ['id', 'at', 'celsius', 'direction', 'note']",
        ),
        mapping(
            "[format]\nencoding = 'utf-16le'\n[format.positions]\nid = '1-4'\nat = '5-24'\ncelsius = '25-29'",
        ),
    ];
    let gzip = {
        use std::io::Write;
        let mut gzip = flate2::write::GzEncoder::new(vec![0], flate2::Compression::fast());
        gzip.write_all(b"id,at\n1,2026-01-01T00:00:00Z\n").unwrap();
        gzip.finish().unwrap()
    };
    let zstd = zstd::bulk::compress(b"id,at\n1,2026-01-01T00:00:00Z\n", 1).unwrap();
    let seeds = [
        chosen(
            0,
            "id,at,celsius,direction,note\n1,2026-01-01T00:00:00Z,1.5,270,\"two\nlines, \"\"quoted\"\"\"\n2,1767225600,NaN,,x\n3\n",
        ),
        chosen(
            1,
            "station,at,temp,direction,note\nEWR,2026-01-01 06:00,39.02,90.0,a\nORD,soon,NA,,b\n",
        ),
        chosen(
            2,
            b"a title\nid;day;hour;celsius;note\n;;;C;\n#no row\n1;31/03/2024;02:30;1.013,5;\xe9\n",
        ),
        chosen(3, "1  2026-01-01  1e1\t-0  b\n2 20260101T000000Z . 4 c\n"),
        chosen(4, "1\x00 \x00 \x00 \x002\x000\x002\x006\x00"),
        gzip,
        chosen(1, zstd),
    ];
    let tokens = [
        "\"",
        "\"\"",
        "\n",
        "\r\n",
        ",",
        ";",
        "\t",
        "\u{feff}",
        "\u{0}",
        "NA",
        "nan",
        "-inf",
        "1.013.250",
        "NULL",
        "é",
    ];
    let target = Target::new("import-csv", 8_000).seeds(seeds).tokens(tokens).bytes_max(8 << 10);
    run(target, FileForm::Csv, "csv", &mappings);
}

#[test]
fn fuzz_import_json() {
    let mappings = [
        Mapping::default(),
        mapping("[columns]\nid = 'sensor'\ncelsius = 'value * 2'\n[time]\nunit = 'ms'"),
    ];
    let seeds = [
        chosen(
            0,
            "{\"id\":1,\"at\":\"2026-01-01T00:00:00Z\",\"celsius\":1.5,\"note\":null}\n\n{\"id\":\"2\",\"at\":5,\"x\":[{\"a\":1}]}\nno json\n",
        ),
        chosen(
            1,
            "{\"sensor\":7,\"at\":1767225600000,\"value\":\"2.5\"}\n{\"sensor\":7,\"at\":1767225600001,\"value\":true}\n",
        ),
    ];
    let tokens = [
        "{\"id\":", "\"at\":", "null", "1e999", "\\ud800", "[[[[", "{\"a\":", "\n", "}", "\"\"",
        "\\u0000", "0.1e-5",
    ];
    let target = Target::new("import-json", 10_000).seeds(seeds).tokens(tokens).bytes_max(8 << 10);
    run(target, FileForm::Json, "jsonl", &mappings);
}

/// Rows of types that files have.
fn rows() -> RecordBatch {
    let words: DictionaryArray<Int32Type> = vec!["a", "b", "a", "é"].into_iter().collect();
    let times = TimestampMicrosecondArray::from_iter_values(0..4).with_timezone("UTC");
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int32Array::from(vec![1, 2, 3, 4]))),
        ("at", Arc::new(times)),
        ("celsius", Arc::new(Float32Array::from(vec![Some(1.5), None, Some(f32::NAN), Some(0.0)]))),
        ("note", Arc::new(words)),
        ("other", Arc::new(StringArray::from(vec!["x", "", "long enough not to be inlined", "y"]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
        .unwrap()
}

#[test]
fn fuzz_import_parquet() {
    let written = |compression, dictionary| {
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_dictionary_enabled(dictionary)
            .set_data_page_row_count_limit(2)
            .build();
        let mut writer =
            ArrowWriter::try_new(Vec::new(), rows().schema(), Some(properties)).unwrap();
        writer.write(&rows()).unwrap();
        chosen(0, writer.into_inner().unwrap())
    };
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1).unwrap());
    let seeds = [
        written(Compression::UNCOMPRESSED, true),
        written(Compression::SNAPPY, false),
        written(zstd, true),
        written(Compression::LZ4_RAW, false),
    ];
    let target = Target::new("import-parquet", 3_000).seeds(seeds);
    run(target, FileForm::Parquet, "parquet", &[Mapping::default()]);
}

#[test]
fn fuzz_import_arrow() {
    let seeds =
        [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)].map(|packed| {
            let options = || IpcWriteOptions::default().try_with_compression(packed).unwrap();
            let (rows, schema) = (rows(), rows().schema());
            let mut stream =
                StreamWriter::try_new_with_options(Vec::new(), &schema, options()).unwrap();
            stream.write(&rows).unwrap();
            let mut file =
                FileWriter::try_new_with_options(Vec::new(), &schema, options()).unwrap();
            file.write(&rows).unwrap();
            file.write(&rows).unwrap();
            [chosen(0, stream.into_inner().unwrap()), chosen(0, file.into_inner().unwrap())]
        });
    let target = Target::new("import-arrow", 5_000).seeds(seeds.into_iter().flatten());
    run(target, FileForm::Arrow, "arrow", &[Mapping::default()]);
}

#[test]
fn fuzz_mappings() {
    let example = include_str!("../../../examples/ghent-vlinder.toml");
    let nyc = include_str!("../../../examples/nyc-weather.toml");
    let times = "[time]\ncolumns = ['at', 'note']\nformat = '%Y-%m-%d %H:%M:%S%.f %z'\nzone = 'America/New_York'\nambiguous = 'first'\nnonexistent = 'next'\nround = true\n[times.seen]\nunit = 'ns'\nsince = '1900-01-01'";
    let tokens = [
        "[columns]\n",
        "[format]\n",
        "[time]\n",
        "[values.id]\n",
        "[format.positions]\n",
        " = ",
        "'",
        "\"",
        "\n",
        "%Y",
        "%s",
        "%.9f",
        "%z",
        "zone = '+14:00'",
        "unit = 'us'",
        "positions = ",
        "null = []",
        "0x7f",
        "1e400",
        "'''",
    ];
    let folder = tempfile::tempdir_in(barograph_fuzz::folder()).unwrap();
    let path = folder.path().join("rows.csv");
    std::fs::write(&path, "id,at,temp,note\n1,2026-01-01 00:00:00.5 +0100,20,x\n,,,\n").unwrap();
    let seeds = [example, nyc, times];
    let target = Target::new("mappings", 2_500).seeds(seeds).tokens(tokens).bytes_max(6 << 10);
    target.memory(32 << 20, 1_024).run(|input| {
        let text = String::from_utf8_lossy(input);
        let mapping: Mapping = toml::from_str(&text).map_err(|error| error.to_string())?;
        let _ = mapping.fingerprint();
        import(&path, FileForm::Csv, &mapping).map_err(|error| {
            assert_ne!(error.kind(), crate::ErrorKind::Internal, "{error}");
            error.to_string()
        })
    });
}

#[test]
fn fuzz_import_state() {
    let entry = r#"{"target":"grpc://a","table":"readings","path":"/a.csv","bytes":7,"changed":1,"mapping":"0a","rows":3,"done":false}"#;
    let seeds = [
        format!(
            "{{\"files\":[{entry}],\"stagings\":[{{\"files\":[{entry}],\"runs\":[]}}]}}\n{entry}\n"
        ),
        format!("[{entry}]\n"),
        String::new(),
    ];
    let folder = tempfile::tempdir_in(barograph_fuzz::folder()).unwrap();
    let path = folder.path().join("state");
    let target = Target::new("import-state", 6_000).seeds(seeds).bytes_max(4 << 10);
    target.run(|input| {
        std::fs::write(&path, input).unwrap();
        State::open(path.clone()).map(drop).map_err(|error| error.to_string())
    });
}
