//! A wrapper that changes the stored texts by the rules for wrappers passes the suite, and one that
//! breaks a rule fails.

mod damaged;
mod defect;
mod seal;
mod wrapper;

use async_trait::async_trait;
use damaged::Damaged;
use defect::{DEFECTS, Defect};
use durable_session::SessionId;
use durable_session::env::SystemRandom;
use durable_session::store::{
    Commit, CommitOutcome, Expect, LoadQuery, Op, ReadQuery, SessionList, SessionStore,
    StoreErrorKind, StoreLimits, TailBounds,
};
use durable_session_conformance::{
    BoxError, Capability, Factory, Instance, Outcome, conformance_tests, run_all,
};
use durable_session_memory::MemoryStore;
use futures_executor::block_on;
use std::sync::Arc;
use testkit::Through;
use wrapper::Sealed;

struct Wrapped {
    defect: Option<Defect>,
}

struct WrappedInstance {
    inner: MemoryStore,
    defect: Option<Defect>,
}

#[async_trait(?Send)]
impl Factory for Wrapped {
    fn name(&self) -> &'static str {
        "wrapped"
    }

    fn capabilities(&self) -> &'static [Capability] {
        &[
            Capability::Misplace,
            Capability::List,
            Capability::Threads,
            Capability::AcceptsOnFirstPoll,
            Capability::ReachableLimits,
        ]
    }

    async fn create(&self) -> Result<Box<dyn Instance>, BoxError> {
        // Small limits, so that the cases reach them quickly.
        let limits = StoreLimits::new(40_000, 20_000, 100_000, 500);
        Ok(Box::new(WrappedInstance {
            inner: MemoryStore::with(SystemRandom, limits),
            defect: self.defect,
        }))
    }
}

impl WrappedInstance {
    fn wrapped(&self) -> Sealed<MemoryStore> {
        Sealed { inner: self.inner.clone(), defect: self.defect }
    }

    /// Copies a stored body to the place of another message in the inner store, as an attacker with
    /// access to its files might.
    async fn put(&self, from: (&SessionId, u64), to: (&SessionId, u64)) -> Result<(), BoxError> {
        let source = self.inner.read(from.0, ReadQuery::forward(from.1, from.1)).await?;
        let row = source.and_then(|page| page.rows.into_iter().next()).ok_or("no such message")?;
        let target = self
            .inner
            .read(to.0, ReadQuery::forward(to.1, to.1))
            .await?
            .ok_or("no such session")?;
        let replaced = vec![Op::replace(to.1, row.body)];
        let commit = Commit::new(target.head.expect(), replaced, target.head.changed_at);
        match self.inner.commit(to.0, commit).await? {
            CommitOutcome::Committed(_) => Ok(()),
            other => Err(format!("the message could not be misplaced: {other:?}").into()),
        }
    }
}

#[async_trait(?Send)]
impl Instance for WrappedInstance {
    fn store(&self) -> Arc<dyn SessionStore> {
        Arc::new(self.wrapped())
    }

    fn list(&self) -> Option<Arc<dyn SessionList>> {
        Some(Arc::new(self.wrapped()))
    }

    async fn misplace_message(
        &mut self,
        from: &SessionId,
        to: &SessionId,
        seq: u64,
    ) -> Result<(), BoxError> {
        self.put((from, seq), (to, seq)).await
    }
}

conformance_tests!(Wrapped { defect: None });

#[test]
fn a_wrapper_that_breaks_a_rule_fails_the_cases_of_that_rule() {
    for &(defect, cases) in DEFECTS.iter().filter(|(defect, _)| *defect != Defect::BindsNoSeq) {
        assert!(!cases.is_empty(), "{defect:?}");
        let report = block_on(run_all(&Wrapped { defect: Some(defect) }));
        for name in cases {
            let found = report.results().iter().find(|(case, _)| case.name() == *name);
            let outcome = found.map(|(_, outcome)| outcome);
            assert!(
                matches!(outcome, Some(Outcome::Failed(_))),
                "{defect:?} passes {name}: {outcome:?}\n{report}"
            );
        }
    }
}

/// The suite itself only moves messages between sessions.
#[test]
fn a_message_moved_within_its_session_is_damage_if_the_wrapper_binds_the_seq() {
    for (defect, noticed) in [(None, true), (Some(Defect::BindsNoSeq), false)] {
        block_on(async {
            let id = SessionId::new("s").unwrap();
            let instance = WrappedInstance { inner: MemoryStore::new(), defect };
            let store = instance.wrapped();
            let ops = vec![Op::append("a".into()), Op::append("b".into())];
            store.commit(&id, Commit::new(Expect::absent(1), ops, 1)).await.unwrap();
            instance.put((&id, 1), (&id, 2)).await.unwrap();

            let page = store.read(&id, ReadQuery::forward(1, 9)).await;
            let load = store.load(&id, LoadQuery::new(TailBounds::new(9, 99))).await;
            assert_eq!((page.is_err(), load.is_err()), (noticed, noticed));
            for error in [page.err(), load.err()].into_iter().flatten() {
                assert_eq!((error.kind(), error.seq()), (StoreErrorKind::Corrupt, Some(2)));
            }
            let salvaged = store.salvage(&id, ReadQuery::forward(1, 9)).await.unwrap().unwrap();
            assert_eq!(
                (salvaged.rows.len(), salvaged.damage.len()),
                if noticed { (1, 1) } else { (2, 0) }
            );
        });
    }
}

#[test]
fn the_inner_store_sees_neither_texts_nor_tags_in_the_clear() {
    block_on(async {
        let id = SessionId::new("s").unwrap();
        let inner = MemoryStore::new();
        let store = Sealed { inner: inner.clone(), defect: None };
        let tag = durable_session::store::IdTag::of("m-1");
        let new = durable_session::store::NewMessage::tagged("body".into(), tag);
        let ops = vec![Op::Append(new), Op::SetApp("app".into())];
        store.commit(&id, Commit::new(Expect::absent(1), ops, 1)).await.unwrap();
        let query = LoadQuery::new(TailBounds::new(9, 99));
        let seen = inner.load(&id, query).await.unwrap().loaded().unwrap();
        let given = store.load(&id, query).await.unwrap().loaded().unwrap();
        assert_eq!(
            (&given.tail[0].body[..], &given.app[..], given.tags[0].tag),
            (&b"body"[..], &b"app"[..], tag)
        );
        assert!(seen.tail[0].body != given.tail[0].body && seen.app != given.app);
        assert_ne!(seen.tags[0].tag, tag);
        assert_eq!((seen.head.bytes, given.head.bytes), (4 + seal::ADDED, 4));
    });
}

/// The wrapper asks the inner store for more than the caller's window, which may find damage there.
#[test]
fn damage_beyond_the_requested_window_is_not_reported() {
    block_on(async {
        let id = SessionId::new("s").unwrap();
        let inner = MemoryStore::new();
        let store = Sealed { inner: Through(Damaged { inner, seq: 3 }), defect: None };
        let ops = (1..=5).map(|_| Op::append("abc".into())).collect();
        store.commit(&id, Commit::new(Expect::absent(1), ops, 1)).await.unwrap();

        let all = ReadQuery::forward(1, 5);
        for (query, seqs) in [
            // The length of the damaged message is unknown: it might still fit.
            (all.max_bytes(6), None),
            (all.max_bytes(5), Some(vec![1])),
            (all.max_messages(2), Some(vec![1, 2])),
            (ReadQuery::backward(1, 5).max_bytes(4), Some(vec![5])),
            (all.max_bytes(9), None),
            (all, None),
            (ReadQuery::backward(1, 3).max_bytes(1), None),
        ] {
            let found = store.read(&id, query).await.map(Option::unwrap);
            let seqs_found =
                found.map(|page| (page.rows.iter().map(|row| row.seq).collect(), page.more));
            let expected = seqs.ok_or(Some(3)).map(|seqs: Vec<u64>| (seqs, true));
            let seqs_found = seqs_found.map_err(|error| error.seq());
            assert_eq!(seqs_found, expected, "{query:?}");
        }
        for (bounds, messages) in [
            (TailBounds::new(2, 99), Some(2)),
            (TailBounds::new(9, 5), Some(1)),
            (TailBounds::new(3, 99), None),
            (TailBounds::new(9, 99), None),
        ] {
            let loaded = store.load(&id, LoadQuery::new(bounds)).await;
            let found =
                loaded.map(|outcome| outcome.loaded().unwrap().tail.len()).map_err(|e| e.seq());
            assert_eq!(found, messages.ok_or(Some(3)), "{bounds:?}");
        }
    });
}
