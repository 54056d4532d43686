//! Random tables, rows and reads against a filter over all rows.

use std::collections::BTreeSet;

use arrow::array::{Float32Array, Float64Array, Int16Array, Int64Array, StringArray};
use barograph_fuzz::number;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// How the cells of a column are drawn: from few values, from many, or mostly null.
#[derive(Debug, Clone, Copy)]
enum Cells {
    Few,
    Many,
    Runs,
    MostlyNull,
    AllNull,
}

fn cells() -> impl Strategy<Value = Cells> {
    prop_oneof![
        4 => Just(Cells::Few),
        3 => Just(Cells::Many),
        2 => Just(Cells::Runs),
        1 => Just(Cells::MostlyNull),
        1 => Just(Cells::AllNull)
    ]
}

fn value_type() -> impl Strategy<Value = ValueType> {
    prop::sample::select(ALL_TYPES.map(|(_, value_type)| value_type).to_vec())
}

/// (key, instant) pairs as an hour may bring them: many keys with few rows, or a hot key with thousands.
fn rows() -> impl Strategy<Value = Vec<(i64, i64)>> {
    let key = prop_oneof![3 => -40..40i64, 1 => any::<i32>().prop_map(i64::from)];
    let count = prop_oneof![4 => 1..4usize, 3 => 4..70usize, 1 => 500..3_000usize];
    let step = prop::sample::select(vec![60_000_000i64, 1_000_000, 1_237, 1]);
    prop::collection::vec((key, count, step, 0..60_000_000i64), 1..24).prop_map(|runs| {
        let mut rows = BTreeSet::new();
        for (key, count, step, start) in runs {
            let step = step.min((crate::time::MICROS_PER_HOUR - 60_000_001) / count as i64).max(1);
            rows.extend((0..count as i64).map(|i| (key, HOUR_START + start + i * step)));
        }
        rows.into_iter().collect()
    })
}

fn column(value_type: ValueType, cells: Cells, rows: usize, seed: u64) -> ArrayRef {
    let mut state = seed | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut held = 0;
    let drawn: Vec<Option<u64>> = (0..rows)
        .map(|row| match cells {
            Cells::Few => (!next().is_multiple_of(50)).then(|| next() % 300),
            Cells::Many => (!next().is_multiple_of(50)).then(&mut next),
            Cells::Runs => {
                if row == 0 || next().is_multiple_of(40) {
                    held = next() % 7;
                }
                Some(held)
            }
            Cells::MostlyNull => next().is_multiple_of(30).then(|| next() % 5),
            Cells::AllNull => None,
        })
        .collect();
    let drawn = drawn.into_iter();
    match value_type {
        ValueType::Int16 => Arc::new(drawn.map(|v| v.map(|v| v as i16)).collect::<Int16Array>()),
        ValueType::Int32 => Arc::new(drawn.map(|v| v.map(|v| v as i32)).collect::<Int32Array>()),
        ValueType::Int64 => Arc::new(drawn.map(|v| v.map(|v| v as i64)).collect::<Int64Array>()),
        ValueType::Float32 => Arc::new(
            drawn
                .map(|v| {
                    v.map(
                        |v| if v > 300 { f32::from_bits(v as u32) } else { v as f32 / 10.0 - 3.0 },
                    )
                })
                .collect::<Float32Array>(),
        ),
        ValueType::Float64 => Arc::new(
            drawn
                .map(|v| v.map(|v| if v > 300 { v as f64 / 7.0 } else { v as f64 }))
                .collect::<Float64Array>(),
        ),
        ValueType::Utf8 => Arc::new(
            drawn
                .map(|v| v.map(|v| "ünïcode ".repeat((v % 12) as usize) + &v.to_string()))
                .collect::<StringArray>(),
        ),
        ValueType::Timestamp => Arc::new(
            drawn
                .map(|v| v.map(|v| HOUR_START + (v >> 20) as i64))
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ),
    }
}

#[derive(Debug, Clone)]
struct Read {
    keys: u8,
    picks: Vec<Index>,
    strangers: Vec<i64>,
    times: Option<(Index, Index)>,
    columns: Vec<Index>,
}

fn read() -> impl Strategy<Value = Read> {
    (
        0..3u8,
        prop::collection::vec(any::<Index>(), 0..6),
        prop::collection::vec(-45..45i64, 0..3),
        prop::option::of(any::<(Index, Index)>()),
        prop::collection::vec(any::<Index>(), 0..5),
    )
        .prop_map(|(keys, picks, strangers, times, columns)| Read {
            keys,
            picks,
            strangers,
            times,
            columns,
        })
}

impl Read {
    fn resolve(&self, schema: &TableSchema, rows: &[(i64, i64)]) -> FileRead {
        let mut keys: Vec<_> =
            self.picks.iter().map(|pick| rows[pick.index(rows.len())].0).collect();
        keys.extend(&self.strangers);
        let keys = match self.keys {
            0 => KeySelection::All,
            1 => KeySelection::Range {
                from: Key::new(keys.first().copied().unwrap_or(-10)),
                to: Key::new(keys.last().copied().unwrap_or(10)),
            },
            _ => KeySelection::list(keys),
        };
        let time = self.times.map_or(TimeRange::ALL, |(a, b)| {
            let (a, b) = (rows[a.index(rows.len())].1, rows[b.index(rows.len())].1);
            TimeRange { from: at(a.min(b)), to: at(a.max(b) + i64::from(a % 2 == 0)) }
        });
        let fields = schema.arrow().fields().len();
        let columns = [0, 1]
            .into_iter()
            .chain(self.columns.iter().map(|c| 2 + c.index(fields - 2)))
            .collect();
        FileRead { keys, time, columns, pages: None }
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    futures::executor::block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(number("BAROGRAPH_TEST_CASES", 60) as u32))]

    #[test]
    fn a_read_finds_what_a_filter_finds(
        wide: bool,
        rows in rows(),
        columns in prop::collection::vec((value_type(), cells(), any::<u64>()), 0..6),
        cuts in prop::collection::vec(any::<Index>(), 0..3),
        page_rows in prop::sample::select(vec![1usize, 7, 64, 500, 2_048]),
        group_pages in 1..6usize,
        decompression_cost in prop::sample::select(vec![f64::INFINITY, 0.1, -1e9]),
        whole_bytes: bool,
        thorough: bool,
        reads in prop::collection::vec(read(), 8),
    ) {
        let key_type = if wide { KeyType::Int64 } else { KeyType::Int32 };
        let rows: Vec<_> = if wide { rows.into_iter().map(|(k, t)| (k * 4_000_000_000, t)).collect() } else { rows };
        let names: Vec<_> = (0..columns.len()).map(|i| format!("value_{i}")).collect();
        let declared: Vec<_> = names.iter().map(String::as_str).zip(columns.iter().map(|c| c.0)).collect();
        let schema = schema(key_type, &declared);
        let keys: ArrayRef = match key_type {
            KeyType::Int32 => Arc::new(rows.iter().map(|&(key, _)| key as i32).collect::<Int32Array>()),
            KeyType::Int64 => Arc::new(rows.iter().map(|&(key, _)| Some(key)).collect::<Int64Array>()),
        };
        let times = rows.iter().map(|&(_, time)| time).collect();
        let values = columns.iter().map(|&(t, cells, seed)| column(t, cells, rows.len(), seed)).collect();
        let all = batch(&schema, keys, times, values);

        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(rows.len() + 1)).collect();
        cuts.extend([0, rows.len()]);
        cuts.sort_unstable();
        let batches: Vec<_> = cuts.windows(2).map(|cut| all.slice(cut[0], cut[1] - cut[0])).collect();
        let layout = Layout {
            page_rows,
            row_group_rows: page_rows * group_pages,
            page_text_bytes: page_rows * if thorough { 8 } else { 64 },
            row_group_text_bytes: page_rows * 20,
            zstd_level: 1,
            thorough_level: 4,
            thorough_gain: if thorough { 0.0 } else { 1.0 },
            unpack_page_price: 0.0,
            decompression_cost,
            whole_bytes,
        };
        let fixture = Fixture::new(&schema, &layout, &batches);
        prop_assert_eq!(&fixture.bytes, &in_parts(&schema, &layout, &batches));
        let file = block_on(fixture.open()).unwrap();
        block_on(file.verify()).unwrap();
        prop_assert_eq!(file.pages().iter().map(|page| page.rows as usize).sum::<usize>(), rows.len());

        let mut reads: Vec<_> = reads.iter().map(|read| read.resolve(&schema, &rows)).collect();
        reads.push(everything(&schema));
        for read in reads {
            let found = block_on(file.read(&read)).unwrap();
            prop_assert_eq!(found.schema(), project(schema.arrow(), &read.columns));
            let expected = filtered(&all, &read);
            prop_assert!(file.cost(&read).rows >= expected.num_rows() as u64);
            prop_assert!(same(&found, &expected), "{:?}\n{:?}\n{:?}", read, found, expected);
        }
    }
}

/// Equal cell by cell; NaN equals the same NaN.
fn same(found: &RecordBatch, expected: &RecordBatch) -> bool {
    use arrow::array::AsArray;
    use arrow::datatypes::Float32Type;
    found.num_rows() == expected.num_rows()
        && found.columns().iter().zip(expected.columns()).all(|(a, b)| match a.data_type() {
            DataType::Float32 => {
                let bits = |array: &ArrayRef| {
                    array
                        .as_primitive::<Float32Type>()
                        .iter()
                        .map(|v| v.map(f32::to_bits))
                        .collect::<Vec<_>>()
                };
                bits(a) == bits(b)
            }
            _ => a == b,
        })
}

#[test]
fn a_hot_key_spans_pages_and_row_groups() {
    let schema = schema(KeyType::Int32, &[("temperature", ValueType::Float32)]);
    let rows: Vec<_> = (0..3_000)
        .map(|i| (1, i * 1_000_000))
        .chain((0..10_000).map(|i| (2, i * 360_000 + 17)))
        .chain((0..60).map(|i| (3, i * 60_000_000)))
        .collect();
    let all = batch(
        &schema,
        Arc::new(rows.iter().map(|&(key, _)| key).collect::<Int32Array>()),
        rows.iter().map(|&(_, time)| HOUR_START + time).collect(),
        vec![Arc::new(
            (0..rows.len()).map(|i| Some((i % 97) as f32 / 10.0)).collect::<Float32Array>(),
        )],
    );
    let layout = Layout { page_rows: 1_024, row_group_rows: 4_096, ..Layout::default() };
    let fixture = Fixture::new(&schema, &layout, std::slice::from_ref(&all));
    let file = block_on(fixture.open()).unwrap();
    let mut read = everything(&schema);
    read.keys = KeySelection::list(vec![2]);
    assert_eq!(block_on(file.read(&read)).unwrap(), filtered(&all, &read));
    let whole = file.cost(&read);
    assert_eq!(whole.row_groups, 4);
    read.time = TimeRange { from: at(HOUR_START + 600_000_000), to: at(HOUR_START + 601_000_000) };
    assert_eq!(block_on(file.read(&read)).unwrap(), filtered(&all, &read));
    assert!(file.cost(&read).pages <= 2 * 4, "{:?} of {whole:?}", file.cost(&read));
}

#[test]
fn one_row_and_no_match() {
    let schema = schema(KeyType::Int64, &ALL_TYPES);
    let all = hour_of_rows(&schema, 1, 1);
    let fixture = Fixture::new(&schema, &Layout::default(), std::slice::from_ref(&all));
    let file = block_on(fixture.open()).unwrap();
    assert_eq!(block_on(file.read(&everything(&schema))).unwrap(), all);
    let mut read = everything(&schema);
    read.keys = KeySelection::list(vec![99]);
    let none = block_on(file.read(&read)).unwrap();
    assert_eq!((none.num_rows(), none.schema()), (0, Arc::clone(schema.arrow())));
    assert_eq!(file.cost(&read), ReadCost::default());
}

#[test]
fn a_column_declared_later_is_null() {
    let old = schema(KeyType::Int32, &[("temperature", ValueType::Float32)]);
    let all = hour_of_rows(&old, 50, 60);
    let mut fixture = Fixture::new(&old, &Layout::default(), std::slice::from_ref(&all));
    fixture.schema =
        schema(KeyType::Int32, &[("temperature", ValueType::Float32), ("words", ValueType::Utf8)]);
    let file = block_on(fixture.open()).unwrap();
    let mut read = everything(&fixture.schema);
    read.keys = KeySelection::Range { from: Key::new(110), to: Key::new(120) };
    let found = block_on(file.read(&read)).unwrap();
    assert_eq!(found.column(3).null_count(), found.num_rows());
    let without = found.project(&[0, 1, 2, 4]).unwrap();
    read.columns = vec![0, 1, 2, 3];
    assert_eq!(without, filtered(&all, &read));
}

#[test]
fn rows_that_no_file_may_hold_are_refused() {
    let schema = schema(KeyType::Int32, &[]);
    let rows = |rows: &[(i32, i64)]| {
        let keys = Arc::new(rows.iter().map(|row| row.0).collect::<Int32Array>());
        batch(&schema, keys, rows.iter().map(|row| HOUR_START + row.1).collect(), Vec::new())
    };
    let message =
        |batches: &[RecordBatch]| encode(&schema, batches, path()).unwrap_err().to_string();
    assert!(message(&[]).contains("no rows"));
    assert!(message(&[rows(&[])]).contains("no rows"));
    assert!(message(&[rows(&[(1, 5), (1, 5)])]).contains("does not come after"));
    assert!(message(&[rows(&[(2, 5)]), rows(&[(1, 6)])]).contains("does not come after"));
    assert!(message(&[rows(&[(1, 5), (2, -1)])]).contains("outside its period"));
    assert!(encode(&schema, &[rows(&[(1, 5), (1, 6)]), rows(&[(2, 0)])], path()).is_ok());
}

/// The file as it comes from several threads, taken away after each batch.
fn in_parts(schema: &Arc<TableSchema>, layout: &Layout, batches: &[RecordBatch]) -> Vec<u8> {
    let mut encoder = FileEncoder::new(layout, schema, path(), 3).unwrap();
    let mut bytes = Vec::new();
    for batch in batches {
        encoder.push(batch.clone()).unwrap();
        bytes.extend(encoder.take());
        assert_eq!(encoder.written(), bytes.len() as u64);
    }
    bytes.extend(encoder.finish().unwrap().0);
    bytes
}
