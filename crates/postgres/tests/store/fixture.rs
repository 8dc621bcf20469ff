//! Short ways to use a store.

use durable_session::SessionId;
use durable_session::store::{
    Commit, CommitOutcome, Expect, Head, LoadQuery, Loaded, Op, SessionStore, TailBounds,
};
use futures_executor::block_on;
use std::time::{Duration, Instant};

pub(crate) const T: u64 = 1_763_264_606_917;

pub(crate) const WHOLE: LoadQuery = LoadQuery::new(TailBounds::new(usize::MAX, u64::MAX));

pub(crate) fn id(name: &str) -> SessionId {
    SessionId::new(name).unwrap()
}

pub(crate) fn append(text: &str) -> Op {
    Op::append(text.to_owned().into())
}

pub(crate) fn on(head: Head, ops: Vec<Op>) -> Commit {
    Commit::new(head.expect(), ops, T)
}

pub(crate) fn create(store: &impl SessionStore, id: &SessionId, ops: Vec<Op>) -> Head {
    let commit = Commit::new(Expect::absent(T), ops, T);
    match block_on(store.commit(id, commit)).unwrap() {
        CommitOutcome::Committed(head) => head,
        other => panic!("a creation ended as {other:?}"),
    }
}

pub(crate) fn loaded(store: &impl SessionStore, id: &SessionId) -> Loaded {
    block_on(store.load(id, WHOLE)).unwrap().loaded().unwrap()
}

pub(crate) fn texts(loaded: &Loaded) -> Vec<String> {
    loaded.tail.iter().map(|row| String::from_utf8(row.body.to_vec()).unwrap()).collect()
}

/// Waits until something is so, at most a minute.
pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_mins(1), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
