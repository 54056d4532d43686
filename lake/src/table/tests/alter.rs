//! Alteration: columns are dropped and renamed, every version is read as it was, and requests that make no sense are
//! refused.

use arrow::array::RecordBatch;

use super::*;
use crate::file::{FileCache, FileRead, encode};
use crate::schema::TableDeclaration;
use crate::table::{Alteration, AlterationRequest, AsOf};
use crate::{FileEntry, FilePath, KeySelection, Span, TimeRange};

fn schema(declaration: TableDeclaration) -> Arc<TableSchema> {
    Arc::new(TableSchema::new("readings", declaration).unwrap())
}

/// The declaration without the direction, with another name and a wider type for the temperature, and a text.
fn altered() -> TableDeclaration {
    let mut altered = declaration();
    altered.columns.truncate(1);
    altered.columns[0].name = "air_temperature".to_owned();
    altered.columns[0].value_type = ValueType::Float64;
    altered.columns.insert(0, value("note", ValueType::Utf8));
    altered
}

fn asked(renamed: &[(&str, &str)], dropped: &[&str]) -> AlterationRequest {
    let renamed = renamed.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned()));
    AlterationRequest {
        renamed: renamed.collect(),
        dropped: dropped.iter().map(|name| (*name).to_owned()).collect(),
    }
}

/// All columns of a file.
async fn rows(table: &LakeTable, schema: &Arc<TableSchema>, entry: &Arc<FileEntry>) -> RecordBatch {
    let columns = (0..schema.arrow().fields().len()).collect();
    let read = FileRead { keys: KeySelection::All, time: TimeRange::ALL, columns, pages: None };
    let file = FileCache::new(1 << 20).open(table.store(), schema, entry).await.unwrap();
    file.read(&read).await.unwrap()
}

#[tokio::test]
async fn a_version_has_its_columns_and_an_alteration_goes_on_where_it_was() {
    let fixture = Fixture::new();
    let (table, mut base) = fixture.open().await;
    for n in 0..3 {
        base = fixture.land(&table, &base, hour(n), &[(1, 0, Some(1.5)), (2, 0, None)]).await;
    }
    let after = schema(altered());
    let asked = asked(&[("temperature", "air_temperature")], &["wind_direction"]);
    let alteration = Alteration::new(table.schema(), &after, &asked).unwrap().unwrap();
    assert_eq!(alteration.places(), [Some(0), Some(1), None, Some(2), Some(4)]);
    let target = alteration.target(&table);

    // Two files are written anew and noted; one of the notes is cut off, and another process lands meanwhile.
    let mut written = Vec::new();
    for old in base.files() {
        let old_rows = rows(&table, table.schema(), old).await;
        let columns = alteration.places().iter().zip(after.arrow().fields());
        let columns = columns.map(|(place, field)| match place {
            Some(place) => {
                arrow::compute::cast(old_rows.column(*place), field.data_type()).unwrap()
            }
            None => arrow::array::new_null_array(field.data_type(), old_rows.num_rows()),
        });
        let new = RecordBatch::try_new(after.arrow().clone(), columns.collect()).unwrap();
        let path = FilePath::new(old.path.period(), old.path.through());
        let (bytes, entry) = encode(&after, &[new], path).unwrap();
        target.write_file(&entry, bytes).await.unwrap();
        written.push(Arc::new(entry));
    }
    for (old, new) in base.files().iter().zip(&written).take(2) {
        target.note_altered(old, std::slice::from_ref(new)).await.unwrap();
    }
    let known = target.altered(&base).await.unwrap();
    assert_eq!(known.len(), 2);
    assert_eq!(known[&base.files()[1].path], [Arc::clone(&written[1])]);
    assert!(table.altered(&base).await.unwrap().is_empty(), "they are of other columns");
    let cut = fixture.store().local_path("_altered").unwrap();
    let cut = std::fs::read_dir(cut).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&cut, &std::fs::read(&cut).unwrap()[..50]).unwrap();
    std::fs::remove_file(fixture.store().local_path(&written[2].path.to_string()).unwrap())
        .unwrap();
    target.note_altered(&base.files()[2], &written[2..]).await.unwrap();
    assert_eq!(target.altered(&base).await.unwrap().len(), 1);
    let other = fixture.land(&table, &base, hour(7), &[(9, 0, None)]).await;
    let late = table
        .alter(&base, &alteration, written.clone(), MIDNIGHT)
        .await
        .unwrap()
        .committed()
        .unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Conflict);
    assert_eq!(table.refresh().await.unwrap().version(), other.version());
}

#[tokio::test]
async fn an_altered_table_is_read_with_the_columns_of_each_version() {
    let fixture = Fixture::new();
    let (table, base) = fixture.open().await;
    let landed = fixture.land(&table, &base, hour(0), &[(1, 0, Some(1.5)), (2, 0, None)]).await;
    let mut renamed = declaration();
    renamed.columns[0].name = "air_temperature".to_owned();
    renamed.columns.truncate(1);
    let after = schema(renamed);
    let asked = asked(&[("temperature", "air_temperature")], &["wind_direction"]);
    let alteration = Alteration::new(table.schema(), &after, &asked).unwrap().unwrap();
    let target = alteration.target(&table);
    let old = rows(&table, table.schema(), &landed.files()[0]).await;
    let columns = alteration.places().iter().map(|place| old.column(place.unwrap()).clone());
    let new = RecordBatch::try_new(after.arrow().clone(), columns.collect()).unwrap();
    let path = FilePath::new(hour(0), landed.files()[0].path.through());
    let (bytes, entry) = encode(&after, &[new], path).unwrap();
    target.write_file(&entry, bytes).await.unwrap();
    let entry = Arc::new(entry);
    target.note_altered(&landed.files()[0], std::slice::from_ref(&entry)).await.unwrap();
    let at = MIDNIGHT + crate::Span::HOUR;
    let altered =
        table.alter(&landed, &alteration, vec![entry], at).await.unwrap().committed().unwrap();
    target.forget_altered().await.unwrap();
    target.checkpoint(&altered).await.unwrap();

    let store = fixture.store().clone();
    let refused = LakeTable::open(store.clone(), table.schema().clone()).await.unwrap_err();
    assert!(refused.to_string().contains("air_temperature Float32 holds values"), "{refused}");
    let refused = table.refresh().await.unwrap_err();
    assert!(refused.to_string().contains("changed by another process"), "{refused}");
    let (table, newest) = LakeTable::open(store, after.clone()).await.unwrap();
    assert_eq!((newest.version(), newest.files()), (altered.version(), altered.files()));
    assert!(table.check(&newest, &mut |_, _| {}).await.unwrap().is_sound());
    assert_eq!(table.history().await.unwrap()[2].operation, "ALTER COLUMNS");
    assert_eq!(table.history().await.unwrap()[2].hours, None);

    for as_of in [AsOf::Version(landed.version()), AsOf::Time(at - Span::MICROSECOND)] {
        assert_eq!(table.schema_as_of(as_of), fixture.schema(), "{as_of}");
    }
    for as_of in [AsOf::Version(altered.version()), AsOf::Time(at + Span::millis(1))] {
        assert_eq!(table.schema_as_of(as_of), &after, "{as_of}");
    }
    let known = ["wind_direction", "temperature", "air_temperature", "note"];
    assert_eq!(known.map(|name| table.knows_column(name)), [true, true, true, false]);
    let earlier = table.snapshot_at(landed.version()).await.unwrap();
    assert_eq!(earlier.files(), landed.files());
    assert_eq!(rows(&table, fixture.schema(), &earlier.files()[0]).await, old);
    let refused = table.plan_restore(&newest, landed.version()).await.unwrap_err();
    assert!(refused.to_string().contains("other columns than the table"), "{refused}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let stored = schema(declaration());
    let both = [("temperature", "air_temperature")];
    let mut with_old = altered();
    with_old.columns.push(value("temperature", ValueType::Float32));
    let mut narrow = altered();
    narrow.columns[1].value_type = ValueType::Int32;
    let cases = [
        (altered(), asked(&both, &[]), "wind_direction Int16 holds values and is not declared"),
        (altered(), asked(&[], &["wind_direction"]), "temperature Float32 holds values"),
        (altered(), asked(&[("temperature", "heat")], &[]), "which the settings do not declare"),
        (altered(), asked(&both, &["city_id"]), "\"city_id\" is its key, its time or"),
        (
            altered(),
            asked(&[("reading_at", "note")], &[]),
            "\"reading_at\" is its key, its time or",
        ),
        (altered(), asked(&[("warmth", "note")], &[]), "there is no column \"warmth\" to rename"),
        (with_old, asked(&both, &["wind_direction"]), "but the settings declare it"),
        (declaration(), asked(&[], &["temperature"]), "but the settings declare it"),
        (narrow, asked(&both, &["wind_direction"]), "cannot hold the same values"),
    ];
    for (declared, asked, reason) in cases {
        let refused = Alteration::new(&stored, &schema(declared), &asked).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Request);
        assert!(refused.to_string().contains(reason), "{reason}: {refused}");
    }
    let asked_once = asked(&both, &["wind_direction"]);
    let after = schema(altered());
    assert!(Alteration::new(&stored, &after, &asked_once).unwrap().is_some());
    assert!(Alteration::new(&after, &after, &asked_once).unwrap().is_none(), "it is done");
    assert!(Alteration::new(&stored, &stored, &AlterationRequest::default()).unwrap().is_none());
}

#[test]
fn columns_that_are_computed_follow_those_of_their_table() {
    let of = |names: &[&str]| {
        let columns = names.iter().map(|name| value(name, ValueType::Int64)).collect();
        schema(TableDeclaration { columns, ..declaration() })
    };
    let stored = of(&["rows", "heat_count", "heat_mean", "heat_index_count", "wind_first"]);
    let declared = of(&["rows", "warmth_count", "warmth_mean", "heat_index_count"]);
    let derived = asked(&[("heat", "warmth")], &["wind"]).of_derived(&stored, &declared);
    let renamed = [("heat_count", "warmth_count"), ("heat_mean", "warmth_mean")];
    assert_eq!(derived, asked(&renamed, &["wind_first"]));
    assert!(Alteration::new(&stored, &declared, &derived).unwrap().is_some());
}
