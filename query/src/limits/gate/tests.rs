//! Slots by turns, shares, and queries that give up.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::*;

fn gate(queries_max: usize, queue_max: usize) -> Arc<Gate> {
    let settings = SqlSettings { queries_max, queue_max, ..SqlSettings::default() };
    Arc::new(Gate::new(&settings, 1))
}

fn of(user: &str) -> Asker {
    Asker { user: user.into(), is_one_of_several: true }
}

/// A query of `user` that asks for a slot.
fn asks(gate: &Arc<Gate>, user: &str) -> BoxFuture<'static, Result<Place>> {
    let (gate, asker) = (Arc::clone(gate), of(user));
    let mut asking = async move { gate.enter(asker).await }.boxed();
    match (&mut asking).now_or_never() {
        Some(done) => futures::future::ready(done).boxed(),
        None => asking,
    }
}

fn is_in(asking: &mut BoxFuture<'static, Result<Place>>) -> Option<Place> {
    asking.now_or_never().map(Result::unwrap)
}

#[test]
fn one_caller_leaves_room_for_others() {
    let gate = gate(4, 8);
    let held: Vec<_> = (0..3).map(|_| is_in(&mut asks(&gate, "anna")).unwrap()).collect();
    let mut fourth = asks(&gate, "anna");
    assert!(is_in(&mut fourth).is_none(), "one slot is for others");
    let ben = is_in(&mut asks(&gate, "ben")).unwrap();
    drop(held);
    let anna = is_in(&mut fourth).unwrap();
    drop((anna, ben));
    // Where nobody is known by name there is no share.
    let nobody = Asker { user: "127.0.0.1".into(), is_one_of_several: false };
    let all: Vec<_> =
        (0..4).map(|_| gate.enter(nobody.clone()).now_or_never().unwrap().unwrap()).collect();
    assert!(gate.enter(nobody).now_or_never().is_none());
    drop(all);
    assert_eq!(gate.queue.lock().free, 4);
}

#[test]
fn slots_go_round() {
    let gate = gate(1, 100);
    let mut running = is_in(&mut asks(&gate, "anna"));
    let mut waiting: Vec<_> = ["anna", "anna", "anna", "ben", "ben", "cleo"]
        .into_iter()
        .map(|user| (user, asks(&gate, user)))
        .collect();
    let mut order = Vec::new();
    while !waiting.is_empty() {
        drop(running.take());
        let at = waiting.iter_mut().position(|(_, asking)| {
            running = is_in(asking);
            running.is_some()
        });
        order.push(waiting.remove(at.unwrap()).0);
    }
    assert_eq!(order, ["anna", "ben", "cleo", "anna", "ben", "anna"]);
}

#[test]
fn the_queue_has_room_for_others_and_says_when_it_has_none() {
    let gate = gate(1, 4);
    let held = is_in(&mut asks(&gate, "ben")).unwrap();
    let mut waiting: Vec<_> = (0..3).map(|_| asks(&gate, "anna")).collect();
    let refused = asks(&gate, "anna").now_or_never().unwrap().unwrap_err();
    assert!(refused.to_string().starts_with("sql.queue_max: 3 queries of \"anna\""), "{refused}");
    assert_eq!(refused.retry_after(), Some(retry::STATEMENT_ENDS));
    let mut cleo = asks(&gate, "cleo");
    let refused = asks(&gate, "dora").now_or_never().unwrap().unwrap_err();
    assert!(refused.to_string().contains("4 queries are waiting"), "{refused}");
    // Those that go wait no longer, also when it is their turn.
    waiting.pop();
    drop(held);
    drop(waiting);
    let cleo = is_in(&mut cleo).unwrap();
    drop(cleo);
    let queue = gate.queue.lock();
    assert_eq!((queue.free, queue.waiting(), queue.running.len()), (1, 0, 0));
}

#[test]
fn who_parks_comes_back_before_others_of_the_same_caller() {
    let gate = gate(1, 4);
    let held = is_in(&mut asks(&gate, "anna")).unwrap();
    let mut next = asks(&gate, "anna");
    let parked = held.park().unwrap();
    let running = is_in(&mut next).unwrap();
    let mut after = asks(&gate, "anna");
    let mut back = parked.retake().boxed();
    assert!((&mut back).now_or_never().is_none());
    drop(running);
    back.now_or_never().unwrap().unwrap();
    assert!(is_in(&mut after).is_none());
    held.give_back();
    is_in(&mut after).unwrap();
}
