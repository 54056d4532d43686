//! Damage to files: every flipped byte is an error or changes nothing, and `verify` misses none.

use super::*;

async fn read_all(fixture: &Fixture) -> crate::Result<RecordBatch> {
    let file = fixture.open().await?;
    file.read(&everything(&fixture.schema)).await
}

#[tokio::test]
async fn a_flipped_byte_never_passes_for_data() {
    let schema = schema(KeyType::Int32, &ALL_TYPES);
    let rows = hour_of_rows(&schema, 220, 60);
    for decompression_cost in [f64::INFINITY, -1e9] {
        let layout = Layout {
            page_rows: 512,
            row_group_rows: 4_096,
            decompression_cost,
            ..Layout::default()
        };
        let fixture = Fixture::new(&schema, &layout, std::slice::from_ref(&rows));
        assert_eq!(read_all(&fixture).await.unwrap(), rows);
        for at in (0..fixture.bytes.len()).step_by(199) {
            let mut bytes = fixture.bytes.clone();
            bytes[at] ^= 1 << (at % 8);
            fixture.put(&bytes);
            match read_all(&fixture).await {
                Err(_) => {}
                // The magic at the start is of no use to a read.
                Ok(found) => {
                    assert!(
                        at < 4 && found == rows,
                        "byte {at} of {} flipped unnoticed",
                        bytes.len()
                    );
                    let file = fixture.open().await.unwrap();
                    assert!(
                        file.verify().await.is_err(),
                        "byte {at} of {} flipped unnoticed",
                        bytes.len()
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn every_byte_of_a_small_file_counts() {
    let schema = schema(KeyType::Int64, &ALL_TYPES);
    let rows = hour_of_rows(&schema, 3, 4);
    let layout = Layout { page_rows: 5, row_group_rows: 10, ..Layout::default() };
    let fixture = Fixture::new(&schema, &layout, std::slice::from_ref(&rows));
    for at in 0..fixture.bytes.len() {
        for bit in [0, 7] {
            let mut bytes = fixture.bytes.clone();
            bytes[at] ^= 1 << bit;
            fixture.put(&bytes);
            let verified = match fixture.open().await {
                Ok(file) => file.verify().await,
                Err(error) => Err(error),
            };
            assert!(
                verified.is_err(),
                "bit {bit} of byte {at} of {} flipped unnoticed",
                bytes.len()
            );
        }
    }
}

#[tokio::test]
async fn a_cut_or_missing_file_is_named() {
    let schema = schema(KeyType::Int32, &ALL_TYPES);
    let fixture = Fixture::new(&schema, &Layout::default(), &[hour_of_rows(&schema, 200, 60)]);
    for len in [0, 3, 8, 100, fixture.bytes.len() / 2, fixture.bytes.len() - 1] {
        fixture.put(&fixture.bytes[..len]);
        let error = read_all(&fixture).await.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Damage, "{error}");
        assert!(error.to_string().contains(&fixture.entry.path.to_string()), "{error}");
    }
    std::fs::remove_file(fixture.store.local_path(&fixture.entry.path.to_string()).unwrap())
        .unwrap();
    let error = read_all(&fixture).await.unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::NotFound, "{error}");
}

#[tokio::test]
async fn an_entry_of_another_file_does_not_fit() {
    let schema = schema(KeyType::Int32, &ALL_TYPES);
    let mut fixture = Fixture::new(&schema, &Layout::default(), &[hour_of_rows(&schema, 20, 60)]);
    let right = FileEntry::clone(&fixture.entry);
    for wrong in [
        FileEntry { rows: right.rows + 1, ..right.clone() },
        FileEntry { keys: (right.keys.0.previous(), right.keys.1), ..right.clone() },
        FileEntry {
            times: (right.times.0, right.times.1 + crate::Span::MICROSECOND),
            ..right.clone()
        },
    ] {
        fixture.entry = Arc::new(wrong);
        assert_eq!(fixture.open().await.unwrap_err().kind(), crate::ErrorKind::Damage);
    }
    let mut columns = right.columns.clone();
    columns[2].nulls += 1;
    fixture.entry = Arc::new(FileEntry { columns, ..right.clone() });
    assert!(fixture.open().await.unwrap().verify().await.is_err());
    let mut columns = right.columns.clone();
    columns[5].max = Some(7.into());
    fixture.entry = Arc::new(FileEntry { columns, ..right });
    assert!(fixture.open().await.unwrap().verify().await.is_err());
}
