//! Tests of opening: every table is judged before the first is created, and a folder opens again after a mistake.

use barograph_lake::{LakeTable, table as lake};

use super::*;
use crate::ErrorKind;
use crate::dead_letters::DEAD_LETTERS;

/// The table with another column in place of its own.
fn other(name: &str) -> TableSchema {
    let mut declaration = table(name).declaration().clone();
    declaration.columns[0].name = "level".to_owned();
    TableSchema::new(name, declaration).unwrap()
}

fn misplaced(name: &str) -> TableSchema {
    let mut declaration = table(name).declaration().clone();
    declaration.dimension = Some("ports".to_owned());
    TableSchema::new(name, declaration).unwrap()
}

/// Lands one row in a table that is declared as `schema`.
async fn land(bed: &Bed, schema: TableSchema) {
    let name = schema.name().to_owned();
    let engine = bed.try_open(vec![schema]).await.unwrap();
    put(&engine, &name, &[(1, START, 1.0)]).await.unwrap();
    engine.flush().await.unwrap();
    engine.shutdown().await.unwrap();
}

#[tokio::test]
async fn nothing_is_made_where_one_table_is_refused() {
    let bed = Bed::new(EngineSettings::default());
    land(&bed, table("tides")).await;
    let before = lake::names(&bed.lake()).await.unwrap();
    assert_eq!(before, [DEAD_LETTERS, "tides"]);
    for (tables, why) in [
        (vec![table("readings"), other("tides")], "has other columns than declared"),
        (vec![table("readings"), misplaced("tides")], "there is no dimension \"ports\""),
        (vec![table("readings"), table("readings")], "is declared twice"),
        (vec![table("readings"), table(DEAD_LETTERS)], "is the engine's own"),
    ] {
        let refused = bed.try_open(tables).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Request);
        assert!(refused.to_string().contains(why), "{refused}");
        assert_eq!(lake::names(&bed.lake()).await.unwrap(), before, "{why}");
    }
    let engine = bed.open().await;
    assert_eq!(rows(&engine, "tides").await.unwrap(), [(1, START, 1.0)]);
}

#[tokio::test]
async fn a_table_of_the_name_of_the_dead_letters_keeps_nothing_from_starting() {
    let bed = Bed::new(EngineSettings::default());
    let store = bed.lake().child(DEAD_LETTERS);
    LakeTable::open(store.clone(), Arc::new(table(DEAD_LETTERS))).await.unwrap();
    let engine = bed.open().await;
    let refused = put(&engine, "readings", &[(1, START + 365 * 24 * HOUR, 1.0)]).await.unwrap();
    assert_eq!(refused.rejected, 1);
    engine.flush().await.unwrap();
    engine.shutdown().await.unwrap();
    let engine = bed.open().await;
    assert_eq!(engine.tables().iter().map(|table| table.rows).sum::<u64>(), 1);
}

#[tokio::test]
async fn rows_under_the_name_of_the_dead_letters_are_not_touched() {
    let bed = Bed::new(EngineSettings::default());
    land(&bed, table("tides")).await;
    // As an import into files of the lake leaves it.
    let objects = bed.lake();
    for object in objects
        .object()
        .list(Some(&objects.path(DEAD_LETTERS)))
        .try_collect::<Vec<_>>()
        .await
        .unwrap()
    {
        object_store::ObjectStoreExt::delete(objects.object(), &object.location).await.unwrap();
    }
    let source = objects.path("tides").to_string();
    for object in
        objects.object().list(Some(&objects.path("tides"))).try_collect::<Vec<_>>().await.unwrap()
    {
        let to =
            object.location.to_string().replacen(&source, objects.path(DEAD_LETTERS).as_ref(), 1);
        object_store::ObjectStoreExt::copy(objects.object(), &object.location, &to.into())
            .await
            .unwrap();
    }
    let refused = bed.try_open(vec![table("tides")]).await.unwrap_err().to_string();
    assert!(refused.contains("move that folder away"), "{refused}");
    assert!(refused.contains(DEAD_LETTERS), "{refused}");
}

#[tokio::test]
async fn rows_in_the_log_keep_their_columns() {
    let bed = Bed::new(EngineSettings::default());
    let engine = bed.open().await;
    put(&engine, "tides", &[(1, START, 1.0)]).await.unwrap();
    engine.shutdown().await.unwrap();
    let tables = vec![table("readings"), other("tides")];
    let refused = bed.try_open(tables).await.unwrap_err().to_string();
    assert!(refused.contains("the log holds rows of table \"tides\""), "{refused}");
    // A table whose rows the log holds is not declared any more: the new one is not made either.
    let tables = vec![table("readings"), table("buoys")];
    let refused = bed.try_open(tables).await.unwrap_err().to_string();
    assert!(refused.contains("which the settings do not declare"), "{refused}");
    let made = lake::names(&bed.lake()).await.unwrap();
    assert!(!made.contains(&"buoys".to_owned()), "{made:?}");
    let engine = bed.open().await;
    assert_eq!(rows(&engine, "tides").await.unwrap(), [(1, START, 1.0)]);
    engine.flush().await.unwrap();
    // Without rows, a mistake is taken back.
    engine.shutdown().await.unwrap();
    let tables = vec![other("readings"), table("tides")];
    bed.try_open(tables).await.unwrap().shutdown().await.unwrap();
    bed.open().await;
}
