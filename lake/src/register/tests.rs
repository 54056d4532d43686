//! Tests of registers: of several puts one is made, a lost reply is found out, and the highest number never falls.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use object_store::memory::InMemory;

use super::*;
use crate::store::faults::{Fault, FaultPlan, FaultStore, Operation};

/// An entry that tells who wrote it.
#[derive(Debug, Clone, PartialEq)]
struct Name(String);

impl Entry for Name {
    fn encode(&self) -> Result<Bytes> {
        Ok(serde_json::to_vec(&self.0).unwrap().into())
    }

    fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes).map(Self)
    }

    fn is_same(&self, found: &Self) -> bool {
        self == found
    }
}

fn name(of: &str) -> Name {
    Name(of.to_owned())
}

fn register() -> (Register<Name>, Arc<FaultStore>) {
    let faults = FaultStore::new(Arc::new(InMemory::new()), FaultPlan::none());
    let url = "memory:///some/where".parse().unwrap();
    let store = LakeStore::with_store(Arc::clone(&faults) as _, url);
    (Register::new(&store, "numbers"), faults)
}

fn is_made(put: Result<Put<Name>>) -> bool {
    matches!(put.unwrap(), Put::Made | Put::Found(_))
}

#[tokio::test]
async fn of_two_puts_of_a_number_one_is_made() {
    let (register, _) = register();
    assert_eq!(register.newest().await.unwrap(), None);
    assert!(is_made(register.put(1, &name("a")).await));
    assert!(matches!(register.put(1, &name("b")).await.unwrap(), Put::Taken));
    let again = register.put(1, &name("a")).await.unwrap();
    assert!(matches!(again, Put::Found(found) if found == name("a")), "it meets its own");
    assert_eq!(register.newest().await.unwrap(), Some((1, name("a"))));
    assert_eq!(register.path(1).filename(), Some("00000000000000000001.json"));
}

#[tokio::test]
async fn a_lost_reply_is_found_out_and_a_late_put_is_not_known() {
    let (register, faults) = register();
    let on = |fault| FaultPlan::none().on(Operation::Put, 0, fault);
    faults.set_plan(on(Fault::LoseReply));
    assert!(is_made(register.put(1, &name("a")).await));
    // The reply is lost, and what stands there cannot be read.
    faults.set_plan(on(Fault::LoseReply).on(Operation::Get, 0, Fault::Fail));
    assert!(matches!(register.put(2, &name("a")).await.unwrap(), Put::Unknown(_)));
    assert_eq!(register.holds(2, &name("a")).await.unwrap(), Some(true));

    for (fault, there) in [(Fault::Fail, None), (Fault::Late, Some(true))] {
        faults.set_plan(on(fault));
        assert!(matches!(register.put(3, &name("a")).await.unwrap(), Put::Unknown(_)));
        faults.deliver().await;
        assert_eq!(register.holds(3, &name("a")).await.unwrap(), there);
    }
    // One that another has taken the number of never comes.
    faults.set_plan(on(Fault::Late));
    assert!(matches!(register.put(4, &name("a")).await.unwrap(), Put::Unknown(_)));
    assert!(is_made(register.put(4, &name("b")).await));
    faults.deliver().await;
    assert_eq!(register.newest().await.unwrap(), Some((4, name("b"))));
    assert!(matches!(register.put(4, &name("a")).await.unwrap(), Put::Taken));
}

#[tokio::test]
async fn the_highest_number_never_falls() {
    let (register, faults) = register();
    for number in 1..=4 {
        assert!(is_made(register.advance(number, &name("a")).await));
    }
    assert_eq!(register.list().await.unwrap().numbers, [4], "what was replaced is deleted");
    // Who stood still since the first goes on into the gap that the deletion left.
    assert!(matches!(register.advance(2, &name("b")).await.unwrap(), Put::Taken));
    assert_eq!(register.newest().await.unwrap(), Some((4, name("a"))));
    assert_eq!(register.list().await.unwrap().numbers, [4]);
    // Whether one came after it cannot be told.
    faults.set_plan(FaultPlan::none().on(Operation::List, 0, Fault::Fail));
    assert!(matches!(register.advance(5, &name("b")).await.unwrap(), Put::Unknown(_)));
    // What cannot be deleted is left, and goes later.
    faults.set_plan(FaultPlan::none().on(Operation::Delete, 0, Fault::Fail));
    assert!(is_made(register.advance(6, &name("b")).await));
    assert_eq!(register.list().await.unwrap().numbers, [4, 6]);
    assert!(is_made(register.advance(7, &name("b")).await));
    assert_eq!(register.list().await.unwrap().numbers, [7]);
}

#[tokio::test]
async fn what_is_no_entry_is_named() {
    let (register, _) = register();
    assert!(is_made(register.put(1, &name("a")).await));
    let foreign = register.path(1).to_string().replace("00001.json", "1.json");
    let objects = register.store.object();
    objects.put(&Path::from(foreign.as_str()), "x".into()).await.unwrap();
    let listed = register.list().await.unwrap();
    assert_eq!((listed.numbers, listed.foreign), (vec![1], vec![foreign]));
    register.store.object().put(&register.path(9), "{ torn".into()).await.unwrap();
    for error in
        [register.newest().await.unwrap_err(), register.put(9, &name("a")).await.unwrap_err()]
    {
        assert_eq!(error.kind(), ErrorKind::Damage);
        assert!(error.to_string().contains("00000000000000000009.json"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_racing_writers_one_advances_to_each_number() {
    let (register, faults) = register();
    faults.set_plan(FaultPlan::seeded(7, 30, std::time::Duration::from_micros(200)));
    let register = Arc::new(register);
    let writers = (0..4).map(|writer| {
        let register = Arc::clone(&register);
        tokio::spawn(async move {
            let mut made = Vec::new();
            for round in 0..40 {
                let Ok(newest) = register.newest().await else { continue };
                let number = newest.map_or(0, |(number, _)| number) + 1;
                let entry = name(&format!("{writer}, {round}"));
                if register.advance(number, &entry).await.is_ok_and(|put| is_made(Ok(put))) {
                    made.push(number);
                }
            }
            made
        })
    });
    let made = futures::future::try_join_all(writers).await.unwrap();
    let mut numbers: Vec<u64> = made.into_iter().flatten().collect();
    let count = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), count, "a number was made twice");
    assert!(count > 12, "{count} puts prove nothing");
}
