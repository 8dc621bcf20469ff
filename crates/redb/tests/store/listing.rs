//! The list of an owner while 64 writers move its sessions to the front, beside a model (S11).

use crate::support::{Disks, committed, id, small};
use durable_session::SessionId;
use durable_session::store::{
    Commit, Expect, Head, Labels, ListQuery, Op, SessionList, SessionStore,
};
use durable_session_redb::RedbStore;
use futures_executor::block_on;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;

const WRITERS: usize = 64;
const SESSIONS: usize = 320;
const WALKS: usize = 40;

/// What the writer of a session knows about its time of change.
struct Session {
    id: SessionId,
    acknowledged: AtomicU64,
    begun: AtomicU64,
}

#[test]
fn a_list_agrees_with_a_model_while_64_writers_move_sessions_to_the_front() {
    let disks = Disks::default();
    // Flushes run all the time.
    let store = disks.open_with(&small().memtable_bytes(16 << 10));
    let created = |n: usize| {
        let (id, time) = (id(&format!("session-{n:03}")), 1_000 + n as u64);
        let labels = vec![Op::SetLabels(Labels::owner("u"))];
        let head =
            committed(block_on(store.commit(&id, Commit::new(Expect::absent(time), labels, time))));
        (Session { id, acknowledged: time.into(), begun: time.into() }, head)
    };
    let (sessions, heads): (Vec<_>, Vec<_>) = (0..SESSIONS).map(created).unzip();
    let (clock, stop) = (AtomicU64::new(10_000), AtomicBool::new(false));
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let own = (writer..SESSIONS).step_by(WRITERS);
            let own: Vec<_> = own.map(|n| (&sessions[n], heads[n])).collect();
            scope.spawn(|| write(&store, own, &clock, &stop));
        }
        let walks = || (0..WALKS).map(|_| walk(&store, &sessions, &clock)).sum::<usize>();
        let walked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(walks));
        stop.store(true, SeqCst);
        let moved = walked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        assert!(moved > SESSIONS, "only {moved} sessions moved during a walk");
    });
    assert!(store.stats().flushes > 0);
    // Without writers the list is exactly that of the model.
    let mut expected: Vec<_> =
        sessions.iter().map(|one| (one.acknowledged.load(SeqCst), one.id.clone())).collect();
    expected.sort_by(|a, b| b.cmp(a));
    let listed = pages(&store, &ListQuery::owner("u", 30));
    assert_eq!(listed.into_iter().map(|(id, time)| (time, id)).collect::<Vec<_>>(), expected);
    block_on(store.close()).unwrap();
}

/// Changes its sessions by turns, until it is stopped.
fn write(store: &RedbStore, mut own: Vec<(&Session, Head)>, clock: &AtomicU64, stop: &AtomicBool) {
    while !stop.load(SeqCst) {
        for (session, head) in &mut own {
            let time = clock.fetch_add(1, SeqCst);
            session.begun.store(time, SeqCst);
            let commit = Commit::new(head.expect(), vec![Op::append("more".into())], time);
            *head = committed(block_on(store.commit(&session.id, commit)));
            session.acknowledged.store(time, SeqCst);
        }
    }
}

/// Walks the list once, page by page, and compares it with what the writers know. Returns how many
/// sessions moved meanwhile.
fn walk(store: &RedbStore, sessions: &[Session], clock: &AtomicU64) -> usize {
    let now = clock.load(SeqCst);
    let before: Vec<_> = sessions.iter().map(|one| one.acknowledged.load(SeqCst)).collect();
    // A change that is under way has an earlier time.
    let began = sessions.iter().zip(&before).filter_map(|(one, before)| {
        let begun = one.begun.load(SeqCst);
        (begun != *before).then_some(begun)
    });
    let began = began.min().unwrap_or(now).min(now);
    let listed = pages(store, &ListQuery::owner("u", 30));
    let after: Vec<_> = sessions.iter().map(|one| one.begun.load(SeqCst)).collect();
    let changed = pages(store, &ListQuery::owner("u", 30).changed_since(began));

    assert!(listed.is_sorted_by(|a, b| a.1 >= b.1), "newest first");
    let seen: BTreeMap<_, _> = listed.iter().cloned().collect();
    assert_eq!(seen.len(), listed.len(), "a session is listed twice");
    let found: BTreeMap<_, _> = changed.into_iter().collect();
    let mut moved = 0;
    for ((session, before), after) in sessions.iter().zip(before).zip(after) {
        moved += usize::from(before != after);
        let bounds = before..=after;
        match seen.get(&session.id) {
            Some(time) => assert!(bounds.contains(time), "{:?}: {time} in {bounds:?}", session.id),
            None => assert!(
                before != after && found.contains_key(&session.id),
                "{:?} is neither listed nor found as changed since the walk began",
                session.id
            ),
        }
    }
    moved
}

fn pages(store: &RedbStore, query: &ListQuery) -> Vec<(SessionId, u64)> {
    let (mut listed, mut query) = (Vec::new(), query.clone());
    loop {
        let page = block_on(store.list(&query)).unwrap();
        listed.extend(page.sessions.into_iter().map(|one| (one.id, one.head.unwrap().changed_at)));
        match page.next {
            Some(next) => query = query.after(next),
            None => return listed,
        }
    }
}
