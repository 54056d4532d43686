//! Mappings of foreign files: times in parts, units and zones, placeholders of missing values, decimals. Every file is
//! imported twice, into a server and as files of a lake, with the same result.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampNanosecondArray,
};
use parquet::arrow::ArrowWriter;

use crate::server::imports::{self, Imported};

const SETTINGS: &str = r#"
[tables.weather]
key = "station"
key_type = "int64"
time = "at"
columns = [
  { name = "temperature", type = "float32", range = [-90.0, 60.0] },
  { name = "pressure", type = "float64" },
  { name = "direction", type = "int16" },
]
"#;

/// Imports a file into a server, and as files of the lake of another folder.
fn both(arguments: &[&str], file: &Path, sql: &str) -> [Imported; 2] {
    let arguments = [&["--table", "weather"], arguments].concat();
    imports::both(SETTINGS, &arguments, &[file.to_owned()], sql)
}

fn parquet(path: PathBuf, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), rows.schema(), None);
    let writer = writer.as_mut().unwrap();
    writer.write(&rows).unwrap();
    writer.finish().unwrap();
    path
}

fn csv(path: PathBuf, text: &str) -> PathBuf {
    std::fs::write(&path, text).unwrap();
    path
}

fn whole(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

const TIMES: &str = "SELECT station, CAST(at AS BIGINT) AS micros FROM weather ORDER BY 1, 2";
/// 2022-09-01T00:00:00Z.
const MIDNIGHT: i64 = 1_661_990_400;

#[test]
fn times_in_parts_units_and_zones_are_read_as_stated() {
    let folder = tempfile::tempdir().unwrap();
    let local = csv(
        folder.path().join("local.csv"),
        "station,Datum,Tijd (UTC),temperature\n1,01/09/2022,02:00,1\n2,30/10/2022,02:30,2\n3,soon,,3\n",
    );
    let zoned = ["--time-column", "Datum", "--time-column", "Tijd (UTC)"];
    let form = ["--time-format", "%d/%m/%Y %H:%M", "--time-zone", "Europe/Brussels"];
    for made in both(&[zoned, form].concat(), &local, TIMES) {
        assert!(made.status.success(), "{}", made.said);
        let at = [MIDNIGHT, 1_667_089_800].map(|seconds| format!("{seconds}000000"));
        assert_eq!(made.rows, [["1", &at[0]], ["2", &at[1]]]);
        assert!(made.said.contains("1 rows have local times that occur twice"), "{}", made.said);
        assert_eq!(made.letters.len(), 1, "{:?}", made.letters);
    }
    let seconds = [MIDNIGHT, MIDNIGHT + 300];
    let typed = parquet(
        folder.path().join("seconds.parquet"),
        vec![("station", whole(&[1, 2])), ("at", whole(&seconds))],
    );
    let text = csv(
        folder.path().join("seconds.csv"),
        &format!("station,at\n1,{}\n2,{}\n", seconds[0], seconds[1]),
    );
    for file in [typed, text] {
        for made in both(&["--time-unit", "s"], &file, TIMES) {
            let at = seconds.map(|seconds| format!("{seconds}000000"));
            assert_eq!(made.rows, [["1", &at[0]], ["2", &at[1]]], "{}", made.said);
        }
        for unit in [&[][..], &["--time-unit", "ms"]] {
            for made in both(unit, &file, TIMES) {
                assert!(!made.status.success(), "{}", made.said);
                assert!(made.said.contains("state unit = \"s\" (--time-unit s)"), "{}", made.said);
                assert!(made.rows.is_empty());
            }
        }
    }
}

#[test]
fn a_time_that_is_not_as_stated_costs_its_row_and_nothing_is_guessed_or_cut() {
    let folder = tempfile::tempdir().unwrap();
    let file = csv(
        folder.path().join("mixed.csv"),
        "station,at\n1,2022-09-01T00:00:00Z\n2,2023010112\n3,1661990400\n4,1661990400000000\n\
         5,2022-09-01T00:00:00.123456789Z\n6,1661990400000\n",
    );
    for made in both(&[], &file, TIMES) {
        assert!(made.status.success(), "{}", made.said);
        let at = format!("{MIDNIGHT}000000");
        assert_eq!(made.rows, [["1", &at], ["4", &at]]);
        assert_eq!(made.letters.len(), 4, "{:?}", made.letters);
        for part in
            ["looks like %Y%m%d%H", "looks like s since", "looks like ms", "finer than a µs"]
        {
            assert!(made.letters.iter().any(|reason| reason.contains(part)), "{:?}", made.letters);
        }
    }
    let ns: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![
        MIDNIGHT * 1_000_000_000,
        MIDNIGHT * 1_000_000_000 + 1,
    ]));
    let file =
        parquet(folder.path().join("ns.parquet"), vec![("station", whole(&[1, 2])), ("at", ns)]);
    for made in both(&[], &file, TIMES) {
        assert_eq!(made.rows, [["1".to_owned(), format!("{MIDNIGHT}000000")]], "{}", made.said);
        assert!(made.letters[0].contains("finer than a µs"), "{:?}", made.letters);
    }
}

#[test]
fn missing_values_of_typed_files_and_decimals_come_as_stated() {
    let folder = tempfile::tempdir().unwrap();
    let decimals = |values: Vec<i128>, scale| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(12, scale).unwrap())
    };
    let at: ArrayRef = Arc::new(StringArray::from(vec!["2022-09-01"; 3]));
    let pressure: ArrayRef = Arc::new(Float64Array::from(vec![-9999.0, 1013.25, 1000.0]));
    let file = parquet(
        folder.path().join("typed.parquet"),
        vec![
            ("station", decimals(vec![100, 200, 300], 2)),
            ("at", at),
            ("temperature", decimals(vec![-999_900, 1_852, -500], 2)),
            ("pressure", pressure),
            ("direction", decimals(vec![-99_990, 2_700, 2_705], 1)),
        ],
    );
    let sql = "SELECT station, temperature, pressure, direction FROM weather ORDER BY station";
    for made in both(&["--null", "-9999"], &file, sql) {
        assert!(made.status.success(), "{}", made.said);
        assert_eq!(made.rows, [["1", "", "", ""], ["2", "18.52", "1013.25", "270"]]);
        assert!(
            made.letters[0].contains("direction: 270.5 does not fit Int16"),
            "{:?}",
            made.letters
        );
    }
}

const GHENT: &str = r#"
table = "weather"
delimiter = ";"
[time]
columns = ["Datum", "Tijd (UTC)"]
[columns]
station = "Vlinder"
temperature = "Temperatuur"
pressure = "Luchtdruk / 100"
direction = "Windrichting"
[values.Vlinder]
vlinder01 = 1
"#;

#[test]
fn rows_of_one_station_stay_what_they_are_or_are_counted_where_they_replace_others() {
    let folder = tempfile::tempdir().unwrap();
    let file =
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/ghent-vlinder01.csv"));
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<Vec<&str>> =
        text.lines().skip(1).map(|line| line.split(';').collect()).collect();
    assert_eq!(lines.len(), 4_320);
    let pascals: f64 = lines.iter().map(|cells| cells[4].parse::<f64>().unwrap()).sum();
    let sql = "SELECT count(*), count(DISTINCT at), CAST(round(sum(pressure) * 100) AS BIGINT), \
               max(CAST(at AS BIGINT)) FROM weather";
    let mapping = folder.path().join("ghent.toml");
    std::fs::write(&mapping, GHENT).unwrap();
    let mapping = mapping.display().to_string();
    let arguments = ["--mapping", &mapping, "--batch-rows", "500"];
    for made in both(&arguments, &file, sql) {
        assert_eq!(made.figures(), [0, 4320, 4320, 0, 0, 0], "{}", made.said);
        let last = "1663286100000000";
        assert_eq!(made.rows, [["4320", "4320", &format!("{pascals:.0}"), last]]);
        assert!(!made.said.contains("replaced others"), "{}", made.said);
    }
    let date = GHENT.replace("[\"Datum\", \"Tijd (UTC)\"]", "[\"Datum\"]");
    std::fs::write(&mapping, date).unwrap();
    for made in both(&arguments, &file, sql) {
        assert_eq!(made.figures(), [0, 4320, 4320, 0, 0, 4305], "{}", made.said);
        assert_eq!(made.rows[0][..2], ["15", "15"]);
        assert!(
            made.said.contains("4,305 rows replaced others of the same import"),
            "{}",
            made.said
        );
        assert!(made.said.contains("1 at 2022-09-01T00:00:00Z"), "{}", made.said);
    }
}

#[test]
fn columns_are_computed_by_sql_expressions() {
    let folder = tempfile::tempdir().unwrap();
    let text = csv(
        folder.path().join("text.csv"),
        "id,Datum,Tijd (UTC),u,v,Flag,Lucht druk\n\
         s1,2022-09-01,00:00,3,4,ok,101325\n\
         s2,2022-09-01,00:05,6,8,E,-9999\n\
         s3,2022-09-01,00:10,x,8,ok,101300\n",
    );
    let texts = |values: [&str; 3]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
    let typed = parquet(
        folder.path().join("typed.parquet"),
        vec![
            ("id", texts(["s1", "s2", "s3"])),
            ("Datum", texts(["2022-09-01"; 3])),
            ("Tijd (UTC)", texts(["00:00", "00:05", "00:10"])),
            ("u", texts(["3", "6", "x"])),
            ("v", whole(&[4, 8, 8])),
            ("flag", texts(["ok", "E", "ok"])),
            ("Lucht druk", whole(&[101_325, -9999, 101_300])),
        ],
    );
    let arguments = [
        "--null",
        "-9999",
        "--map",
        "station=CAST(substr(id, 2) AS INT)",
        "--map",
        "at=Datum || ' ' || \"Tijd (UTC)\"",
        "--map",
        "temperature=CASE WHEN flag = 'E' THEN NULL ELSE v - u / 2 END",
        "--map",
        "pressure=\"Lucht druk\" / 100",
        "--map",
        "direction=sqrt(u * u + v * v) * 10.04",
    ];
    let sql = "SELECT station, CAST(at AS BIGINT) AS micros, temperature, pressure, direction FROM weather ORDER BY station";
    for file in [&text, &typed] {
        for made in both(&arguments, file, sql) {
            assert!(made.status.success(), "{}", made.said);
            let at = [MIDNIGHT, MIDNIGHT + 300].map(|seconds| format!("{seconds}000000"));
            let expected = [["1", &at[0], "2.5", "1013.25", "50"], ["2", &at[1], "", "", "100"]];
            assert_eq!(made.rows, expected, "{}", made.said);
            assert_eq!(made.letters.len(), 1);
            assert!(made.letters[0].contains("u \"x\" is not a number"), "{:?}", made.letters);
        }
    }
    let wrong = ["--map", "station=v", "--map", "at=Datum", "--map", "temperature=u * w"];
    for made in both(&wrong, &text, sql) {
        assert!(!made.status.success());
        assert!(
            made.said.contains("column temperature: expression `u * w`: there is no column \"w\""),
            "{}",
            made.said
        );
        assert!(made.said.contains("the file has id, Datum, Tijd (UTC), u"), "{}", made.said);
    }
}
