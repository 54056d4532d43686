//! Tables of other programs beside those of a lake.

use super::fixture::{Fixture, hour};
use crate::delta::LogName;
use crate::store::LakeStore;
use crate::table::names;
use crate::{LakeTable, TableVersion};

#[tokio::test]
async fn tables_of_others_are_not_ours() {
    let folder = tempfile::tempdir().unwrap();
    let lake = LakeStore::local(folder.path()).unwrap();
    let fixture = Fixture::new();
    for name in ["own", "broken"] {
        let store = lake.child(name);
        let (table, base) = LakeTable::open(store, fixture.schema().clone()).await.unwrap();
        fixture.land(&table, &base, hour(0), &[(1, 0, None)]).await;
    }
    let broken = LogName::commit(TableVersion::new(0)).path();
    std::fs::write(folder.path().join("broken").join(broken), b"no commit\n").unwrap();
    for (name, commit) in [
        (
            "theirs",
            "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n{\"metaData\":{\"id\":\"1\",\"format\":{\"provider\":\"parquet\",\"options\":{}},\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[]}\",\"partitionColumns\":[],\"configuration\":{}}}\n",
        ),
        ("garbage", "no commit\n"),
    ] {
        let log = folder.path().join(name).join("_delta_log");
        std::fs::create_dir_all(&log).unwrap();
        std::fs::write(log.join("00000000000000000000.json"), commit).unwrap();
    }
    std::fs::create_dir_all(folder.path().join("notes/empty")).unwrap();
    // One of ours that is damaged is not passed over: who opens it is told.
    assert_eq!(names(&lake).await.unwrap(), ["broken", "own"]);
}
