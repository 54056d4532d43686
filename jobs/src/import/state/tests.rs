//! Tests of the state of imports: progress is found again, broken lines are left out, and the file stays small.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use barograph_lake::{FilePath, Hour, Key, LogPosition, Timestamp};

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
            path: FilePath::new(Hour::of(Timestamp::UNIX_EPOCH).unwrap(), LogPosition::new(0)),
            bytes: 9,
            rows: 5,
            keys: (Key::new(1), Key::new(2)),
            times: (Timestamp::from_micros(3), Timestamp::from_micros(4)),
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

#[test]
fn a_line_that_was_cut_short_is_left_out_and_what_was_told_of_other_files_stays() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("rows.csv");
    std::fs::write(&data, "a\n1\n").unwrap();
    let identity = |table: &str| Identity::of(&data, "here", table, 1).unwrap();
    let path = folder.path().join("imports.json");
    let mut state = State::open(path.clone()).unwrap();
    for rows in 1..=5 {
        state.record(&identity("a"), rows, rows == 5).unwrap();
        state.record(&identity("b"), rows, false).unwrap();
    }
    drop(state);
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(whole.iter().filter(|byte| **byte == b'\n').count(), 10);
    std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
    let mut state = State::open(path.clone()).unwrap();
    assert_eq!(
        (state.reached(&identity("a")), state.reached(&identity("b"))),
        ((5, true), (4, false))
    );
    state.record(&identity("b"), 6, true).unwrap();
    drop(state);
    let state = State::open(path.clone()).unwrap();
    assert_eq!(
        (state.reached(&identity("a")), state.reached(&identity("b"))),
        ((5, true), (6, true))
    );
    drop(state);
    // All in one line without an end, as it was written before.
    std::fs::write(&path, "{\"files\":[],\"stagings\":[]}").unwrap();
    assert_eq!(State::open(path).unwrap().reached(&identity("a")), (0, false));
}

/// Bytes that this thread has written.
#[cfg(target_os = "linux")]
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    let of = |line: &str| line.strip_prefix("wchar: ").map(|bytes| bytes.parse().unwrap());
    io.lines().find_map(of).unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_written_grows_with_the_files_and_no_faster() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("rows.csv");
    std::fs::write(&data, "a\n1\n").unwrap();
    let identity = Identity::of(&data, "here", "readings", 1).unwrap();
    let of = |number: usize| Identity {
        path: PathBuf::from(format!("/stations/observations-{number:05}.csv")),
        ..identity.clone()
    };
    let mut state = State::open(folder.path().join("imports.json")).unwrap();
    let mut each = Vec::new();
    for files in [0..500, 500..2_000] {
        let (before, count) = (written(), files.len() as u64);
        for number in files {
            state.record(&of(number), 7, false).unwrap();
            state.record(&of(number), 7, true).unwrap();
        }
        each.push((written() - before) / count);
    }
    assert!(each[1] < 3 * each[0], "bytes a file: {each:?}");
}
