//! Tests of the format: groups say what they were made of, nothing else passes for one, and a checkpoint is the state.

use barograph_lake::{LogPosition, Timestamp};
use bytes::Bytes;

use super::super::group::{Draft, DraftBatch, Group, Kind, Writer, encode};
use super::super::state::{State, Verdict};
use crate::log::conformance::record;
use crate::log::{BatchId, Origin, Record};

fn id(number: u64) -> BatchId {
    BatchId::of(u128::from(number).to_be_bytes())
}

fn origin(first: u64) -> Origin {
    Origin { source: "topic".into(), partition: 3, first, next: first + 10 }
}

fn group(state: &State, batches: &[DraftBatch<'_>], end_min: u64) -> (Bytes, Group) {
    let writer = Writer { id: [9; 16], address: "http://here:4600".to_owned() };
    let object = encode(&Draft {
        position: state.end(),
        end_min,
        writer: &writer,
        written_at: Timestamp::from_micros(-5),
        previous: state.tip(),
        batches,
    });
    let group = Group::decode(state.end(), &object).unwrap();
    (object, group)
}

fn rows<'a>(number: u64, origin: Option<&'a Origin>, records: &'a [Record]) -> DraftBatch<'a> {
    DraftBatch { id: id(number), kind: Kind::Rows, origin, records }
}

/// A state with batches, an offset and a leader.
fn state() -> State {
    let mut state = State::fresh(4096);
    for number in 0..5 {
        let origin = origin(number * 10);
        let records = [record(number, 700), record(number, 0)];
        let (_, group) = group(&state, &[rows(number, Some(&origin), &records)], 0);
        assert_eq!(state.apply(&group), Ok(vec![Verdict::Counts]));
    }
    state
}

#[test]
fn a_group_says_what_it_was_made_of() {
    let state = State::fresh(4096);
    let (first, second) = ([record(1, 10), record(2, 9000)], [record(3, 0)]);
    let origin = origin(7);
    let drafts = [
        rows(1, Some(&origin), &first),
        DraftBatch { id: id(2), kind: Kind::Ignored(200), origin: None, records: &[] },
        rows(3, None, &second),
    ];
    let (object, group) = group(&state, &drafts, 0);
    assert_eq!((group.end, group.end % 8), (4096 + object.len() as u64, 0));
    assert_eq!(
        (group.written_at.as_micros(), group.previous, group.bytes),
        (-5, 0, object.len() as u64)
    );
    assert_eq!(group.writer.address, "http://here:4600");
    assert_eq!(group.batches.len(), 3);
    for (found, made) in group.batches.iter().zip(&drafts) {
        assert_eq!(
            (found.id, found.kind, found.origin.as_ref()),
            (made.id, made.kind, made.origin)
        );
        let records: Vec<_> = found.records.iter().map(|(_, record)| record.clone()).collect();
        assert_eq!(records, made.records);
    }
    let positions: Vec<_> = group
        .batches
        .iter()
        .flat_map(|batch| &batch.records)
        .map(|(position, _)| *position)
        .collect();
    assert!(positions.is_sorted_by(|a, b| a < b));
    assert!(
        positions
            .iter()
            .all(|at| (LogPosition::new(4096)..LogPosition::new(group.end)).contains(at))
    );
}

#[test]
fn positions_can_be_left_out() {
    let state = State::fresh(4096);
    let (_, group) = group(&state, &[], 1_000_003);
    assert_eq!((group.end, group.batches.len()), (1_000_008, 0));
}

#[test]
fn a_flipped_or_missing_byte_is_found() {
    let state = State::fresh(4096);
    let records = [record(1, 40)];
    let (object, _) = group(&state, &[rows(1, Some(&origin(0)), &records)], 0);
    for at in 0..object.len() {
        for bit in [1, 128] {
            let mut flipped = object.to_vec();
            flipped[at] ^= bit;
            assert!(Group::decode(4096, &flipped.into()).is_err(), "byte {at}");
        }
        assert!(Group::decode(4096, &object.slice(..at)).is_err(), "{at} bytes");
    }
    assert!(Group::decode(4104, &object).is_err(), "another position");
    let longer: Bytes = object.iter().copied().chain([0; 8]).collect();
    assert!(Group::decode(4096, &longer).is_err());
}

#[test]
fn a_checkpoint_is_the_state() {
    let state = state();
    let body = Record { body: state.checkpoint(), ..record(0, 0) };
    let checkpoint = DraftBatch {
        id: id(0),
        kind: Kind::Checkpoint,
        origin: None,
        records: std::slice::from_ref(&body),
    };
    let (_, group) = group(&state, &[checkpoint, rows(9, None, &[record(9, 9)])], 0);
    let (mut followed, mut begun) = (state.clone(), State::awaiting(state.end()));
    assert_eq!(followed.apply(&group), begun.apply(&group));
    assert!(followed == begun);
    assert_eq!(begun.offset("topic", 3), Some(50));
    assert_eq!(begun.leader().map(|leader| leader.id), Some([9; 16]));
    // Any disagreement is found, and a start without one is refused.
    let mut other = self::state();
    let records = [record(8, 8)];
    let (_, more) = self::group(&other, &[rows(8, None, &records)], 0);
    other.apply(&more).unwrap();
    assert!(other.apply(&group).is_err());
    assert!(State::awaiting(more.position).apply(&more).is_err());
}

#[test]
fn what_is_known_does_not_count_again() {
    let mut state = state();
    let (again, stale, next) = (origin(50), origin(40), origin(50));
    let records = [record(1, 1)];
    let drafts = [
        rows(4, Some(&again), &records),
        rows(11, Some(&stale), &records),
        rows(12, Some(&next), &records),
        rows(13, Some(&next), &records),
        rows(12, None, &records),
    ];
    let (_, group) = group(&state, &drafts, 0);
    let verdicts = state.apply(&group).unwrap();
    assert!(
        matches!(verdicts[0], Verdict::Duplicate(place) if place.ingested_at.as_micros() == 4 - 7)
    );
    assert_eq!(
        verdicts[1..4],
        [Verdict::Stale { next: 50 }, Verdict::Counts, Verdict::Stale { next: 60 }]
    );
    assert!(
        matches!(verdicts[4], Verdict::Duplicate(place) if place.position == group.batches[2].records[0].0)
    );
}

#[test]
fn the_oldest_batches_are_forgotten() {
    let mut state = State::fresh(8);
    let count = 33_000;
    let drafts: Vec<_> = (0..count).map(|number| rows(number, None, &[])).collect();
    let (_, group) = group(&state, &drafts, 0);
    state.apply(&group).unwrap();
    assert_eq!(state.judge(id(0), None), Verdict::Counts);
    assert_eq!(state.judge(id(count - 32_769), None), Verdict::Counts);
    assert_ne!(state.judge(id(count - 32_768), None), Verdict::Counts);
}

#[test]
fn ids_are_read_as_they_are_written() {
    let id = BatchId::of([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
    assert_eq!(id.to_string(), "000102030405060708090a0b0c0d0eff");
    assert_eq!(id.to_string().parse::<BatchId>().unwrap(), id);
    for wrong in ["", "00", "000102030405060708090A0B0C0D0EFF", "+00102030405060708090a0b0c0d0eff"]
    {
        assert!(wrong.parse::<BatchId>().is_err(), "{wrong}");
    }
}
