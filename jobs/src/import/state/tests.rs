#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use barograph_lake::{FilePath, Hour, LogPosition};

use super::*;

#[test]
fn what_is_recorded_is_found_again_until_the_file_or_mapping_changes() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("rows.csv");
    std::fs::write(&data, "a\n1\n").unwrap();
    let identity = |mapping| Identity::of(&data, "here", "readings", mapping).unwrap();
    let path = folder.path().join("state/imports.json");
    let mut state = State::open(path.clone()).unwrap();
    assert_eq!(state.reached(&identity(1)), (0, false));
    state.record(&identity(1), 7, false).unwrap();
    state.record(&identity(1), 9, true).unwrap();
    let held = State::open(path.clone()).unwrap_err().to_string();
    assert!(held.contains("another import has it"), "{held}");
    drop(state);

    let mut state = State::open(path.clone()).unwrap();
    assert_eq!(state.reached(&identity(1)), (9, true));
    assert_eq!(state.reached(&identity(2)), (0, false));
    let elsewhere = Identity { target: "there".to_owned(), ..identity(1) };
    assert_eq!(state.reached(&elsewhere), (0, false));
    state.forget(&identity(1));
    assert_eq!(state.reached(&identity(1)), (0, false));
    drop(state);

    std::fs::write(&data, "a\n1\n2\n").unwrap();
    let state = State::open(path.clone()).unwrap();
    assert_eq!(state.reached(&identity(1)), (0, false));
    drop(state);
    std::fs::write(&path, "no json").unwrap();
    assert!(State::open(path).unwrap_err().to_string().contains("delete it"));
}

#[test]
fn a_staging_goes_on_for_the_same_files_in_the_same_order() {
    let folder = tempfile::tempdir().unwrap();
    let identity = |name: &str, mapping| {
        let data = folder.path().join(name);
        std::fs::write(&data, name).unwrap();
        let changed = 7;
        Identity { changed, ..Identity::of(&data, "here", "readings", mapping).unwrap() }
    };
    let [a, b, c] = ["a", "b", "c"].map(|name| identity(name, 1));
    let run = Run {
        table: "readings".to_owned(),
        file: FileEntry {
            path: FilePath::new(Hour::of(0).unwrap(), LogPosition(0)),
            bytes: 9,
            rows: 5,
            keys: (1, 2),
            times: (3, 4),
            columns: Vec::new(),
        },
    };
    let mut staging = Staging { runs: vec![run], ..Staging::default() };
    staging.reach(&a, 3, true);
    staging.reach(&b, 1, false);
    staging.reach(&b, 2, false);
    let path = folder.path().join("imports.json");
    let mut state = State::open(path.clone()).unwrap();
    state.stage(&staging).unwrap();
    assert_eq!(state.reached(&a), (0, false), "nothing is in the table yet");
    let open = |state: State| {
        drop(state);
        State::open(path.clone()).unwrap()
    };
    let all = [a.clone(), b.clone(), c.clone()];
    for others in [
        vec![a.clone()],
        vec![b.clone(), a.clone()],
        vec![c.clone(), a.clone(), b.clone()],
        vec![a.clone(), identity("b", 2)],
    ] {
        assert_eq!(state.staging(&others), Staging::default(), "{others:?}");
        state = open(state);
    }
    assert_eq!(state.staging(&[c]), Staging::default());
    assert_eq!(state.staging(&all), staging, "an import of another file is another import");

    state = open(state);
    state.finish(&staging).unwrap();
    state = open(state);
    assert_eq!(state.staging(&all), Staging::default());
    assert_eq!((state.reached(&a), state.reached(&b)), ((3, true), (2, false)));
    state.stage(&staging).unwrap();
    state.forget(&b);
    assert_eq!(state.staging(&all), Staging::default());
}
