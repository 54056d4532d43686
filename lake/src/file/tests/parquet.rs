//! Compatibility with Parquet: other readers find the same rows, and the same statistics as the entry has.

use ::parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use ::parquet::file::metadata::PageIndexPolicy;
use arrow::array::StringArray;
use arrow::compute::{cast, concat_batches};
use bytes::Bytes;

use super::*;

fn as_declared(schema: &TableSchema, batch: &RecordBatch) -> RecordBatch {
    let columns = batch
        .columns()
        .iter()
        .zip(schema.arrow().fields())
        .map(|(column, field)| cast(column, field.data_type()).unwrap())
        .collect();
    RecordBatch::try_new(Arc::clone(schema.arrow()), columns).unwrap()
}

#[test]
fn the_parquet_crate_reads_the_same_rows() {
    let schema = schema(KeyType::Int32, &ALL_TYPES);
    let rows = hour_of_rows(&schema, 500, 60);
    for decompression_cost in [f64::INFINITY, 0.1, -1e9] {
        let layout = Layout {
            page_rows: 700,
            row_group_rows: 5_000,
            decompression_cost,
            ..Layout::default()
        };
        let (bytes, entry) =
            encode_as(&layout, &schema, std::slice::from_ref(&rows), path()).unwrap();
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let builder =
            ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), options).unwrap();
        let metadata = Arc::clone(builder.metadata());
        assert_eq!(metadata.file_metadata().created_by(), Some("barograph"));
        assert_eq!(metadata.file_metadata().num_rows() as u64, entry.rows);
        assert!(
            metadata
                .row_groups()
                .iter()
                .all(|group| group.sorting_columns().map(Vec::len) == Some(2))
        );
        let batches: Vec<_> = builder.build().unwrap().map(Result::unwrap).collect();
        let read = concat_batches(&batches[0].schema(), &batches).unwrap();
        assert_eq!(as_declared(&schema, &read), rows);

        let skipping = RowSelection::from(vec![
            RowSelector::skip(12_345),
            RowSelector::select(60),
            RowSelector::skip(9_999),
            RowSelector::select(1_001),
        ]);
        let reader = builder_of(bytes).with_row_selection(skipping).build().unwrap();
        let batches: Vec<_> = reader.map(Result::unwrap).collect();
        let read = as_declared(&schema, &concat_batches(&batches[0].schema(), &batches).unwrap());
        assert_eq!(read.slice(0, 60), rows.slice(12_345, 60));
        assert_eq!(read.slice(60, 1_001), rows.slice(12_345 + 60 + 9_999, 1_001));
    }
}

fn builder_of(bytes: Bytes) -> ParquetRecordBatchReaderBuilder<Bytes> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options).unwrap()
}

#[tokio::test]
async fn pages_and_row_groups_of_long_texts_have_few_bytes_and_say_how_many() {
    let schema = schema(KeyType::Int32, &[("note", ValueType::Utf8), ("short", ValueType::Utf8)]);
    let layout =
        Layout { page_text_bytes: 64 << 10, row_group_text_bytes: 1 << 20, ..Layout::default() };
    // The first key has all of its rows in several row groups, and some texts stand there again and again.
    let text = |row: usize| {
        (!row.is_multiple_of(11)).then(|| format!("{}", row % 700).repeat(700 + row % 9))
    };
    let keys: Vec<i32> = (0..3_000).map(|row: i32| (row - 1_000).max(0) / 7).collect();
    let rows = batch(
        &schema,
        Arc::new(Int32Array::from(keys)),
        (0..3_000).map(|row| HOUR_START + row).collect(),
        vec![
            Arc::new((0..3_000).map(text).collect::<StringArray>()),
            Arc::new((0..3_000).map(|row| Some(format!("{row}"))).collect::<StringArray>()),
        ],
    );
    let fixture = Fixture::new(&schema, &layout, &[rows.slice(0, 1_700), rows.slice(1_700, 1_300)]);
    let file = fixture.open().await.unwrap();
    file.verify().await.unwrap();
    assert_eq!(file.read(&everything(&schema)).await.unwrap(), rows);

    let builder = builder_of(Bytes::from(fixture.bytes.clone()));
    let metadata = Arc::clone(builder.metadata());
    let batches: Vec<_> = builder.build().unwrap().map(Result::unwrap).collect();
    let read = concat_batches(&batches[0].schema(), &batches).unwrap();
    assert_eq!(as_declared(&schema, &read), rows);
    let (mut row, longest) = (0, 4 * 708);
    for (group, of) in metadata.row_groups().iter().enumerate() {
        let stated = of.column(2).unencoded_byte_array_data_bytes().unwrap();
        assert!(stated < 1_100 << 10, "{stated}");
        assert_eq!(of.column(0).unencoded_byte_array_data_bytes(), None);
        let offsets = &metadata.offset_index().unwrap()[group][2];
        let starts = offsets.page_locations().iter().map(|page| page.first_row_index);
        let ends: Vec<_> = starts.skip(1).chain([of.num_rows()]).collect();
        let mut from = 0;
        for (&end, &bytes) in ends.iter().zip(offsets.unencoded_byte_array_data_bytes().unwrap()) {
            let texts = (row..row + (end - from) as usize).filter_map(text).map(|text| text.len());
            assert_eq!(texts.sum::<usize>(), bytes as usize);
            assert!(bytes <= (64 << 10) + longest, "{bytes}");
            row += (end - from) as usize;
            from = end;
        }
    }
    assert_eq!(row, 3_000);

    let all = (KeySelection::All, TimeRange::ALL);
    let weights = |columns: &[usize]| file.weights(&all.0, all.1, columns).collect::<Vec<_>>();
    let long: usize = (0..3_000).filter_map(text).map(|text| text.len()).sum();
    let weighed: u64 = weights(&[0, 1, 2, 3]).iter().map(|weight| weight.text).sum();
    assert!(weighed as usize <= long && weighed as usize >= long - 3_000 * SHORT_TEXT_BYTES);
    assert!(weights(&[0, 1, 3]).iter().all(|weight| weight.text == 0));
    let of_first: Vec<_> =
        weights(&[0, 1, 2]).into_iter().filter(|of| of.key == Key::new(0)).collect();
    assert!(
        of_first
            .windows(2)
            .all(|pair| pair[0].from < pair[1].from || pair[1].from < at(HOUR_START))
    );
    assert!(of_first.iter().all(|of| of.text <= (64 << 10) + longest as u64));
}

#[test]
fn the_entry_states_exact_statistics() {
    let schema =
        schema(KeyType::Int32, &[("temperature", ValueType::Float32), ("count", ValueType::Int16)]);
    let rows = batch(
        &schema,
        Arc::new(Int32Array::from(vec![-7, 3, 3])),
        vec![HOUR_START + 1, HOUR_START, HOUR_START + 3_599_999_999],
        vec![
            Arc::new(arrow::array::Float32Array::from(vec![Some(12.3), None, Some(-0.1)])),
            Arc::new(arrow::array::Int16Array::from(vec![None::<i16>; 3])),
        ],
    );
    let (bytes, entry) = encode(&schema, &[rows], path()).unwrap();
    assert_eq!(entry.bytes, bytes.len() as u64);
    assert_eq!((entry.rows, entry.keys), (3, (Key::new(-7), Key::new(3))));
    assert_eq!(entry.times, (at(HOUR_START), at(HOUR_START + 3_599_999_999)));
    let bounds = |column: usize| {
        let stats = &entry.columns[column];
        (stats.min.clone().unwrap(), stats.max.clone().unwrap(), stats.nulls)
    };
    assert_eq!(bounds(0), ((-7).into(), 3.into(), 0));
    assert_eq!(
        bounds(1),
        ("2026-11-22T10:00:00.000000Z".into(), "2026-11-22T10:59:59.999999Z".into(), 0)
    );
    assert_eq!(bounds(2), (f64::from(-0.1f32).into(), f64::from(12.3f32).into(), 1));
    assert_eq!(entry.columns[3], crate::snapshot::ColumnStats { min: None, max: None, nulls: 3 });
}
