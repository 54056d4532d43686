//! Fuzz targets of the objects of a shared log: groups with their checkpoints, and the JSON of floors and members.

use barograph_fuzz::Target;
use barograph_lake::Timestamp;
use barograph_lake::register::Entry;
use bytes::Bytes;

use super::super::group::{Draft, DraftBatch, Group, Kind, Writer, encode};
use super::super::objects::FloorEntry;
use super::super::state::State;
use crate::log::conformance::record;
use crate::log::tests::fuzz::mend_groups;
use crate::log::{BatchId, Origin, Record};

/// Where the group of every input should stand.
const POSITION: u64 = 4096;

/// A group of rows with origins, one of a checkpoint, and one of nothing.
fn groups() -> Vec<Vec<u8>> {
    let writer = Writer { id: [9; 16], address: "http://here:4600".to_owned() };
    let group = |batches: &[DraftBatch<'_>], state: &State| {
        encode(&Draft {
            position: state.end(),
            end_min: 0,
            writer: &writer,
            written_at: Timestamp::from_micros(5),
            previous: state.tip(),
            batches,
        })
    };
    let origin = Origin { source: "topic".into(), partition: 3, first: 7, next: 17 };
    let records = [record(1, 40), record(2, 0)];
    let batch = |id: u8, kind, origin, records| DraftBatch {
        id: BatchId::of([id; 16]),
        kind,
        origin,
        records,
    };
    let rows = batch(1, Kind::Rows, Some(&origin), &records[..]);
    let fresh = State::fresh(POSITION);
    let first = group(&[rows, batch(2, Kind::Ignored(200), None, &[])], &fresh);
    let mut before = State::fresh(POSITION);
    before.apply(&Group::decode(POSITION, &first).unwrap()).unwrap();
    let body = Record { body: before.checkpoint(), ..record(0, 0) };
    let checkpoint = [body];
    let checkpoint = batch(0, Kind::Checkpoint, None, &checkpoint[..]);
    let mut groups = vec![first.to_vec(), group(&[], &fresh).to_vec()];
    groups.push(group(&[checkpoint, rows], &fresh).to_vec());
    groups
}

/// Makes the checksums those of what they cover.
fn mend(object: &mut [u8]) {
    let Some(length) = object.get(8..12) else { return };
    let head = u32::from_le_bytes(length.try_into().unwrap()) as usize;
    if let Some(covered) = object.get(8..head) {
        let crc = crc32c::crc32c(covered).to_le_bytes();
        object[4..8].copy_from_slice(&crc);
        mend_groups(&mut object[head..]);
    }
}

#[test]
fn fuzz_shared_log_groups() {
    let target = Target::new("shared-log-groups", 60_000).seeds(groups()).mend(mend);
    target.run(|input| {
        let object = Bytes::copy_from_slice(input);
        let group = Group::decode(POSITION, &object).map_err(str::to_owned)?;
        let records = group.batches.iter().flat_map(|batch| &batch.records);
        let positions: Vec<u64> = records.map(|(position, _)| position.get()).collect();
        assert!(positions.is_sorted_by(|a, b| a < b));
        assert!(positions.iter().all(|at| (POSITION..group.end).contains(at)));
        for mut state in [State::fresh(POSITION), State::awaiting(POSITION)] {
            if state.apply(&group).is_ok() {
                let checkpoint = state.checkpoint();
                assert_eq!(state.end(), group.end);
                assert!(checkpoint.len() < 1 << 20);
            }
        }
        Ok(())
    });
}

#[test]
fn fuzz_shared_log_floors() {
    let floor = r#"{"log":"3f0c6e4c8d0f4e6a9b1c2d3e4f5a6b7c","floor":67112960,"moved_at":1795305600000000}"#;
    let target = Target::new("shared-log-floors", 60_000).seeds([floor]).bytes_max(4 << 10);
    target.run(|input| {
        let entry = FloorEntry::decode(input).map_err(|error| error.to_string())?;
        let again = FloorEntry::decode(&entry.encode().unwrap()).unwrap();
        assert_eq!(again, entry);
        Ok(())
    });
}
