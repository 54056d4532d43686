//! Tests of inputs: CSV, JSON lines and typed files, with broken rows, quotes and rows of several lines.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use arrow::array::{ArrayRef, AsArray, Float32Array, Int32Array};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use arrow::ipc::writer::{FileWriter, StreamWriter};

use super::*;

fn write(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn read(path: &Path, needed: &[&str], rows: usize, skip: u64) -> Vec<Chunk> {
    let columns: Vec<_> = needed.iter().map(|name| ((*name).to_owned(), Cells::Text)).collect();
    let wanted = Wanted { columns: &columns, rows, bytes: 1 << 20, skip };
    let form = FileForm::of(path, &Format::default()).unwrap();
    let input = Input::open(path, form, &Mapping::default()).unwrap();
    input.chunks(&wanted).unwrap().map(Result::unwrap).collect()
}

fn texts(chunk: &Chunk, column: usize) -> Vec<Option<&str>> {
    chunk.columns.column(column).as_string::<i32>().iter().collect()
}

#[test]
fn csv_rows_are_read_broken_ones_kept_and_all_numbered() {
    let folder = tempfile::tempdir().unwrap();
    let text = "\u{feff}a,b,\"c d\"\n1,x,\"two\nlines\"\n2,y\n3,,z\n4,w,v,u\n5,q,r\n";
    let path = write(&folder, "rows.csv", text.as_bytes());
    let chunks = read(&path, &["c d", "a"], 100, 0);
    assert_eq!(chunks.len(), 1);
    let chunk = &chunks[0];
    assert_eq!(chunk.read, 5);
    assert_eq!(texts(chunk, 0), [Some("two\nlines"), Some("z"), Some("r")]);
    assert_eq!(texts(chunk, 1), [Some("1"), Some("3"), Some("5")]);
    let numbers: Vec<_> = (0..3).map(|row| chunk.numbers.get(row)).collect();
    assert_eq!(numbers, [1, 3, 5]);
    let reasons: Vec<_> = chunk.broken.iter().map(|b| b.reason.as_str()).collect();
    let expected = [
        "the row has 2 fields, the header 3 (row 2)",
        "the row has 4 fields, the header 3 (row 4)",
    ];
    assert_eq!(reasons, expected);
    assert_eq!(chunk.broken[0].row, r#"{"fields":["2","y"]}"#);

    let rest = read(&path, &["a"], 2, 3);
    assert_eq!(rest.iter().map(|chunk| chunk.read).sum::<u64>(), 2);
    assert_eq!(texts(&rest[0], 0), [Some("5")]);
    assert_eq!(rest[0].numbers.get(0), 5);
}

#[test]
fn csv_that_is_not_utf8_is_a_bad_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(&folder, "rows.tsv", b"a\tb\n1\t\xff\n2\tx\n");
    let chunks = read(&path, &["b"], 100, 0);
    assert_eq!(texts(&chunks[0], 0), [Some("x")]);
    assert_eq!(chunks[0].broken[0].reason, "the row is not UTF-8 (row 1)");
}

#[test]
fn a_header_that_names_a_column_twice_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(&folder, "rows.csv", b"a,b,a\n1,2,3\n");
    let error = Input::open(&path, FileForm::Csv, &Mapping::default()).unwrap_err();
    assert!(error.to_string().contains("\"a\" twice"), "{error}");
}

#[test]
fn json_lines_take_any_columns_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let text = "{\"a\":1,\"b\":\"x\"}\n\n{\"b\":null,\"c\":[1]}\nnot json\n[1]\n{\"a\":2.50}\n";
    let path = write(&folder, "rows.jsonl", text.as_bytes());
    let chunks = read(&path, &["b", "a"], 3, 0);
    assert_eq!(chunks.len(), 2);
    assert_eq!(texts(&chunks[0], 0), [Some("x"), None]);
    assert_eq!(texts(&chunks[0], 1), [Some("1"), None]);
    assert!(chunks[0].broken[0].reason.starts_with("the line is not JSON"));
    assert_eq!(chunks[0].broken[0].row, r#"{"line":"not json"}"#);
    assert_eq!(chunks[1].broken[0].reason, "the line is not a JSON object (row 4)");
    assert_eq!(texts(&chunks[1], 1), [Some("2.5")]);
    let Originals::Lines(lines) = &chunks[0].originals else { panic!("lines") };
    assert_eq!(lines.value(1), "{\"b\":null,\"c\":[1]}");

    let rest = read(&path, &["a"], 100, 4);
    assert_eq!(rest[0].read, 1);
    let array = write(&folder, "array.json", b" [{\"a\":1}]");
    assert!(Input::open(&array, FileForm::Json, &Mapping::default()).is_err());
}

fn typed_rows() -> RecordBatch {
    let fields =
        vec![Field::new("k", DataType::Int32, false), Field::new("v", DataType::Float32, true)];
    let keys = Int32Array::from_iter_values(0..1000);
    let values = Float32Array::from_iter((0..1000).map(|i| (i % 7 != 0).then_some(i as f32)));
    let columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(values)];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

#[test]
fn typed_files_are_read_in_pieces_from_any_row_on() {
    let folder = tempfile::tempdir().unwrap();
    let rows = typed_rows();
    let mut parquet = ArrowWriter::try_new(Vec::new(), rows.schema(), None).unwrap();
    parquet.write(&rows).unwrap();
    let mut stream = StreamWriter::try_new(Vec::new(), &rows.schema()).unwrap();
    stream.write(&rows).unwrap();
    let mut file = FileWriter::try_new(Vec::new(), &rows.schema()).unwrap();
    file.write(&rows).unwrap();
    let files = [
        write(&folder, "rows.parquet", &parquet.into_inner().unwrap()),
        write(&folder, "rows.arrows", &stream.into_inner().unwrap()),
        write(&folder, "rows", &file.into_inner().unwrap()),
    ];
    for path in &files {
        for skip in [0, 1, 300, 999, 1000, 2000] {
            let mut next = skip + 1;
            for chunk in read(path, &["v", "k"], 256, skip) {
                assert_eq!(chunk.columns.schema().field(0).name(), "v");
                let keys = chunk.columns.column(1).as_primitive::<Int32Type>();
                for row in 0..keys.len() {
                    assert_eq!(keys.value(row) as u64 + 1, next);
                    assert_eq!(chunk.numbers.get(row), next);
                    next += 1;
                }
            }
            assert_eq!(next, 1001.max(skip + 1), "{} from {skip}", path.display());
        }
    }
}

#[test]
fn a_file_of_unknown_form_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(&folder, "rows", b"a,b\n1,2\n");
    assert!(
        FileForm::of(&path, &Format::default()).unwrap_err().to_string().contains("name the form")
    );
    let missing = folder.path().join("nothing.csv");
    let error = Input::open(&missing, FileForm::Csv, &Mapping::default()).unwrap_err();
    assert!(error.to_string().contains("nothing.csv"), "{error}");
    let damaged = write(&folder, "rows.parquet", b"PAR1 and nothing more");
    assert!(Input::open(&damaged, FileForm::Parquet, &Mapping::default()).is_err());
}

#[test]
fn json_keys_of_another_case_are_read_and_two_of_them_are_a_bad_row() {
    let folder = tempfile::tempdir().unwrap();
    let text = "\u{feff}{}\n{\"Temp\":1,\"x\":2}\n{\"TEMP\":3,\"Temp\":4}\n{\"temp\":5,\"TEMP\":6}\n{\"TEMP\":7}\n";
    let path = write(&folder, "rows.jsonl", text.as_bytes());
    let input = Input::open(&path, FileForm::Json, &Mapping::default()).unwrap();
    let keys = input.keys().unwrap();
    let columns = [("temp".to_owned(), Cells::Values), ("wind".to_owned(), Cells::Values)];
    let wanted = Wanted { columns: &columns, rows: 100, bytes: 1 << 20, skip: 0 };
    let chunks: Vec<_> = input.chunks(&wanted).unwrap().map(Result::unwrap).collect();
    assert_eq!(texts(&chunks[0], 0), [None, Some("1"), Some("5"), Some("7")]);
    let reason = &chunks[0].broken[0].reason;
    assert!(reason.starts_with("\"TEMP\" and \"Temp\" both differ from \"temp\""), "{reason}");
    assert_eq!(keys.unread(), ["x"]);
    assert!(keys.has("temp") && !keys.has("wind"));
}

#[test]
fn a_json_key_that_stands_twice_is_a_bad_row() {
    let folder = tempfile::tempdir().unwrap();
    let text = "{\"a\":1,\"b\":2}\n{\"a\":1,\"b\":3,\"a\":2}\n{\"a\":{\"x\":1,\"x\":2},\"b\":4}\n{\"b\":5,\"a\":6}\n";
    let path = write(&folder, "rows.jsonl", text.as_bytes());
    let chunks = read(&path, &["a", "b"], 100, 0);
    assert_eq!(texts(&chunks[0], 1), [Some("2"), Some("4"), Some("5")]);
    assert_eq!(texts(&chunks[0], 0)[2], Some("6"));
    let broken: Vec<_> = chunks[0].broken.iter().map(|row| row.reason.as_str()).collect();
    assert_eq!(broken, ["the key \"a\" stands twice in the line (row 2)"]);
}

/// Rows of a text of three columns, the second of them numbers, and what is wrong with the others.
fn quoted(text: &str) -> (Vec<Option<String>>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = write(&folder, "rows.csv", text.as_bytes());
    let columns = [("n".to_owned(), Cells::Values), ("t".to_owned(), Cells::Text)];
    let wanted = Wanted { columns: &columns, rows: 70, bytes: 1 << 20, skip: 0 };
    let input = Input::open(&path, FileForm::Csv, &Mapping::default()).unwrap();
    let (mut rows, mut reasons, mut read) = (Vec::new(), Vec::new(), 0);
    for chunk in input.chunks(&wanted).unwrap() {
        let chunk = chunk.unwrap();
        rows.extend(texts(&chunk, 1).into_iter().map(|text| text.map(str::to_owned)));
        reasons.extend(chunk.broken.iter().map(|broken| broken.reason.clone()));
        read += chunk.read;
    }
    assert_eq!(read as usize, rows.len() + reasons.len());
    (rows, reasons)
}

#[test]
fn a_quote_that_nothing_closes_costs_its_own_line_wherever_it_stands() {
    for (broken, name) in [("1,2,\"open", "\"t\""), ("1,\"2,open", "\"n\""), ("\"1,2,x", "\"i\"")] {
        for line in [1, 2, 500, 999, 1_000] {
            for end in ["\n", "\r\n"] {
                let rows: Vec<_> = (1..=1_000)
                    .map(|row| {
                        if row == line { broken.to_owned() } else { format!("{row},2,text {row}") }
                    })
                    .collect();
                let text = format!("i,n,t{end}{}", rows.join(end));
                let (rows, reasons) = quoted(&text);
                let expected = format!(
                    "the quote that opens {name} is not closed (row {line}, line {})",
                    line + 1
                );
                assert_eq!((rows.len(), reasons), (999, vec![expected]), "{broken} in line {line}");
            }
        }
    }
}

#[test]
fn quotes_that_follow_each_other_cost_no_line_between_them() {
    let between = |count: usize| "7,8,x\n".repeat(count);
    for open in ["1,2,\"open", "1,\"2,open", "1,2,\"open \"\" doubled"] {
        for close in ["1,2,closed\"", "1,2\",x", "1,2,\"open", "1,2,5'3\" long", "1,2,\"a\" b\" "] {
            for count in [1, 2, 3, 50, 5_000] {
                let text = format!("i,n,t\n{open}\n{}{close}\n{}", between(count), between(3));
                let (rows, reasons) = quoted(&text);
                let found = rows.iter().flatten().filter(|text| *text == "x").count();
                assert!(
                    found >= count + 3,
                    "{found} rows of {count}: {open} … {close}: {reasons:?}"
                );
            }
        }
    }
}

#[test]
fn rows_of_several_lines_are_read_and_many_open_quotes_take_no_long_search() {
    let text = "i,n,t\n1,2,\"a\nb, c\n\nd\"\n1,2,\"say \"\"x\"\"\r\n\"\"y\"\"\"\n1,2,5'3\" long\n1,2,\"x\" y\n1,2,\"x\" \n";
    let (rows, reasons) = quoted(text);
    let rows: Vec<_> = rows.iter().flatten().map(String::as_str).collect();
    assert_eq!(rows, ["a\nb, c\n\nd", "say \"x\"\r\n\"y\"", "5'3\" long", "x"]);
    assert_eq!(reasons, ["the field goes on after the quote that closes \"t\" (row 4, line 9)"]);
    // Every line looks for its end: in time of a square this would not end.
    for line in ["1,2,\"open\n", "1,5\",\"open\n"] {
        let (rows, reasons) = quoted(&format!("i,n,t\n{}", line.repeat(100_000)));
        assert_eq!((rows.len(), reasons.len()), (0, 100_000));
    }
}
