//! The commit engine, slots and eviction under a systematic concurrency checker.
//!
//! Built with `--cfg shuttle`, the engine's locks and atomics are shuttle's (module `sync`), which chooses at each of
//! their operations which thread goes on. `cargo xtask torture --only interleavings` builds and runs this;
//! `INTERLEAVINGS` sets the schedules per scenario.
#![cfg(shuttle)]
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use async_trait::async_trait;
use durable_session::env::{Clock, SystemRandom};
use durable_session::store::{
    Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability, Loaded, Op, Page, ReadQuery, Salvaged,
    SessionStore, StoreError, StoreErrorKind, StoreLimits, TailBounds,
};
use durable_session::{ChatSession, ChatSessions, Memory, Message, SessionId};
use durable_session_memory::MemoryStore;
use futures_util::future::poll_immediate;
use shuttle::future::{block_on, spawn, yield_now};
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner, thread};
use std::cell::Cell;
use std::collections::HashSet;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// What happened in one schedule, in order: tells schedules apart.
#[derive(Clone, Default)]
struct Trace(Arc<Mutex<Vec<(String, u64)>>>);

impl Trace {
    fn note(&self, what: impl Into<String>, number: u64) {
        self.0.lock().unwrap().push((what.into(), number));
    }

    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.lock().unwrap().hash(&mut hasher);
        hasher.finish()
    }
}

/// A store whose work is a task of its own, accepted on the first poll and answered some switches later (S1).
#[derive(Clone)]
struct Slow {
    inner: MemoryStore,
    trace: Trace,
    /// Commits that shall fail: before being made (`false`) or after (`true`).
    faults: Arc<Mutex<Vec<Option<bool>>>>,
    /// The messages appended by commits that were answered.
    answered: Arc<AtomicU64>,
}

impl Slow {
    fn new(trace: &Trace) -> Self {
        Self {
            inner: MemoryStore::new(),
            trace: trace.clone(),
            faults: Arc::default(),
            answered: Arc::default(),
        }
    }

    fn sessions(&self) -> ChatSessions {
        // Every occasion evicts: the budget is nothing.
        self.sessions_in(Memory { bytes: 0, idle: Duration::ZERO })
    }

    fn sessions_in(&self, memory: Memory) -> ChatSessions {
        ChatSessions::builder_with(self.clone(), Still(self.trace.clone()), SystemRandom)
            .memory(memory)
            .attempts(1000)
            .build()
    }
}

/// A clock that stands still. The engine asks it in the middle of its work, which shows who is at work when.
struct Still(Trace);

impl Clock for Still {
    fn now_ms(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        thread::current().id().hash(&mut hasher);
        self.0.note("", hasher.finish());
        1
    }
}

#[async_trait]
impl SessionStore for Slow {
    async fn load(&self, id: &SessionId, tail: TailBounds) -> Result<Option<Loaded>, StoreError> {
        yield_now().await;
        let loaded = self.inner.load(id, tail).await;
        self.trace.note("load", 0);
        yield_now().await;
        loaded
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        yield_now().await;
        self.inner.read(id, query).await
    }

    async fn salvage(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Salvaged>, StoreError> {
        self.inner.salvage(id, query).await
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        let (this, id) = (self.clone(), id.clone());
        let reply = Reply::default();
        let appended = commit.ops.iter().filter(|op| matches!(op, Op::Append(_))).count() as u64;
        let work = async move {
            yield_now().await;
            let fault = this.faults.lock().unwrap().pop().flatten();
            if fault == Some(false) {
                return Err(StoreError::new(StoreErrorKind::Unavailable, "before"));
            }
            let ops = commit.ops.len() as u64;
            let outcome = this.inner.commit(&id, commit).await?;
            this.trace.note("commit", ops);
            yield_now().await;
            if fault == Some(true) {
                return Err(StoreError::new(StoreErrorKind::OutcomeUnknown, "after"));
            }
            Ok(outcome)
        };
        let (answered, to) = (Arc::clone(&self.answered), reply.clone());
        drop(spawn(async move {
            answering(to, work, || answered.fetch_add(appended, Ordering::SeqCst)).await;
        }));
        reply.await
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        self.inner.touch(id, at).await
    }

    async fn delete(&self, id: &SessionId, condition: DeleteIf) -> Result<DeleteOutcome, StoreError> {
        yield_now().await;
        self.inner.delete(id, condition).await
    }

    fn limits(&self) -> StoreLimits {
        self.inner.limits()
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }
}

type Outcome = Result<CommitOutcome, StoreError>;

/// Carries an answer from the store's task. Shuttle's own join handle wakes while it holds a lock that it does not see.
#[derive(Clone, Default)]
struct Reply(Arc<shuttle::sync::Mutex<(Option<Outcome>, Option<Waker>)>>);

impl Future for Reply {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut cell = self.0.lock().unwrap();
        match cell.0.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                cell.1 = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

async fn answering<T>(reply: Reply, work: impl Future<Output = Outcome>, answered: impl FnOnce() -> T) {
    let outcome = work.await;
    let waker = {
        let mut cell = reply.0.lock().unwrap();
        cell.0 = Some(outcome);
        answered();
        cell.1.take()
    };
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn id() -> SessionId {
    "s".parse().unwrap()
}

/// Runs a scenario under many random and many adversarial schedules, and prints how many of them were different.
fn explore(name: &str, scenario: impl Fn(&Trace) + Send + Sync + 'static) {
    let count: usize = std::env::var("INTERLEAVINGS").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000);
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let scenario = Arc::new(scenario);
    for adversarial in [false, true] {
        let mut config = Config::new();
        config.stack_size = 0x40_000;
        let (seen, scenario) = (Arc::clone(&seen), Arc::clone(&scenario));
        let run = move || {
            let trace = Trace::default();
            scenario(&trace);
            seen.lock().unwrap().insert(trace.hash());
        };
        if adversarial {
            Runner::new(PctScheduler::new(3, count), config).run(run);
        } else {
            Runner::new(RandomScheduler::new(count), config).run(run);
        }
    }
    let (distinct, checked) = (seen.lock().unwrap().len(), CHECKED.with(Cell::get));
    println!("interleavings {name}: schedules={} distinct={distinct} checked={checked}", 2 * count);
    assert!(distinct > 10, "the checker sees the engine's own steps");
    assert!(checked > 0, "there is something to check at the end");
}

fn add(chat: &ChatSession, trace: &Trace, text: &str) -> Option<u64> {
    let added = block_on(chat.add_message(Message::user(text).with_id(text)));
    let seq = added.ok().map(|added| added.seq);
    trace.note(text, seq.unwrap_or(0));
    seq
}

fn stored(store: &Slow) -> Vec<String> {
    let sessions = ChatSessions::<durable_session::JsonObject>::builder(store.inner.clone()).build();
    let state = block_on(sessions.session(id()).get_state()).unwrap();
    doctored(state.messages.iter().map(|m| m.text().unwrap().into_owned()).collect())
}

/// What is stored, or something else if `INTERLEAVINGS_DOCTOR` asks for it: shows that the checks
/// see it.
fn doctored(mut texts: Vec<String>) -> Vec<String> {
    let at = texts.len().saturating_sub(2);
    match std::env::var("INTERLEAVINGS_DOCTOR").as_deref() {
        Ok("lost") => drop(texts.pop()),
        Ok("doubled") => texts.extend(texts.last().cloned()),
        Ok("reordered") => texts[at..].reverse(),
        Ok("ghosts") => texts.push("doctored".to_owned()),
        _ => {}
    }
    texts
}

std::thread_local! {
    /// How many messages the checks of this test have compared with what was acknowledged or
    /// stored.
    static CHECKED: Cell<u64> = const { Cell::new(0) };
}

/// Each text of `acknowledged` is stored once, at its seq, and nothing is stored twice. The counts
/// behind `BROKEN` and `checked=` are what `cargo xtask torture` reads.
fn check(store: &Slow, acknowledged: &[(String, u64)]) {
    let texts = stored(store);
    let (mut lost, mut reordered) = (0, 0);
    for (text, seq) in acknowledged {
        let at = texts.iter().position(|t| t == text);
        lost += u64::from(at.is_none());
        reordered += u64::from(at.is_some_and(|at| at as u64 + 1 != *seq));
    }
    let doubled = texts.len() - texts.iter().collect::<HashSet<_>>().len();
    let told =
        format!("lost={lost} doubled={doubled} reordered={reordered}: {texts:?}, not {acknowledged:?}");
    assert!(lost == 0 && doubled == 0 && reordered == 0, "BROKEN {told}");
    CHECKED.with(|checked| checked.set(checked.get() + texts.len() as u64));
}

#[test]
fn c1_c2_c3_one_hub_keeps_one_instance_and_one_order_while_it_evicts() {
    explore("writers, readers, eviction", |trace| {
        let store = Slow::new(trace);
        let sessions = store.sessions();
        let writers: Vec<_> = (0..3)
            .map(|t| {
                let (sessions, trace) = (sessions.clone(), trace.clone());
                thread::spawn(move || {
                    (0..2)
                        .map(|i| {
                            // A handle of its own each time, so that slots come and go.
                            let text = format!("{t}-{i}");
                            let seq = add(&sessions.session(id()), &trace, &text).unwrap();
                            let count = block_on(sessions.session(id()).snapshot()).unwrap().message_count();
                            assert!(count >= seq, "a client reads what it wrote");
                            (text, seq)
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let reader = {
            let sessions = sessions.clone();
            thread::spawn(move || {
                let chat = sessions.session(id());
                let mut last = 0;
                for _ in 0..4 {
                    let count = block_on(chat.get_state()).unwrap().messages.len();
                    assert!(count >= last, "reads never go back");
                    last = count;
                }
            })
        };
        let acknowledged: Vec<_> = writers.into_iter().flat_map(|w| w.join().unwrap()).collect();
        reader.join().unwrap();
        check(&store, &acknowledged);
        assert_eq!(stored(&store).len(), 6);
        // One hub alone never conflicts with itself: it did if an id had two live instances.
        assert_eq!(sessions.stats().conflicts, 0);
    });
}

#[test]
fn c3_futures_dropped_at_every_point_leave_whole_changes_and_stop_nobody() {
    explore("dropped futures", |trace| {
        let store = Slow::new(trace);
        let sessions = store.sessions();
        let droppers: Vec<_> = (0..2)
            .map(|t| {
                let sessions = sessions.clone();
                thread::spawn(move || {
                    let chat = sessions.session(id());
                    let messages = vec![Message::user(format!("d{t}a")), Message::user(format!("d{t}b"))];
                    let mut call = Box::pin(chat.add_messages(messages));
                    for _ in 0..=t {
                        if block_on(poll_immediate(&mut call)).is_some() {
                            return;
                        }
                        thread::yield_now();
                    }
                })
            })
            .collect();
        let writer = {
            let (sessions, trace) = (sessions.clone(), trace.clone());
            thread::spawn(move || {
                let chat = sessions.session(id());
                (0..2)
                    .map(|i| (format!("w{i}"), add(&chat, &trace, &format!("w{i}")).unwrap()))
                    .collect::<Vec<_>>()
            })
        };
        let acknowledged = writer.join().unwrap();
        for dropper in droppers {
            dropper.join().unwrap();
        }
        // Whatever is still on its way arrives before this.
        add(&sessions.session(id()), trace, "last").unwrap();
        check(&store, &acknowledged);
        let texts = stored(&store);
        for t in 0..2 {
            let halves = ["a", "b"].map(|half| texts.iter().position(|x| *x == format!("d{t}{half}")));
            match halves {
                [None, None] => {}
                [Some(a), Some(b)] => assert_eq!(b, a + 1, "{texts:?}"),
                _ => panic!("half a change: {texts:?}"),
            }
        }
    });
}

/// Clauses C1 and C3. The reader's own poll may be the one that takes the answer in, or meet another reader's.
#[test]
fn a_change_dropped_at_any_point_is_read_once_the_store_has_answered() {
    explore("dropped, then read", |trace| {
        let store = Slow::new(trace);
        // Nothing is evicted: a session that is loaded anew would be right by itself.
        let sessions = store.sessions_in(Memory::default());
        let chat = sessions.session(id());
        let created = ("created".to_owned(), add(&chat, trace, "created").unwrap());
        let dropper = {
            let chat = chat.clone();
            thread::spawn(move || {
                for polls in 1..4 {
                    let mut call = Box::pin(chat.add_message(Message::user(format!("dropped {polls}"))));
                    for _ in 0..polls {
                        if block_on(poll_immediate(&mut call)).is_some() {
                            break;
                        }
                        thread::yield_now();
                    }
                }
            })
        };
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (chat, store, trace) = (chat.clone(), store.clone(), trace.clone());
                thread::spawn(move || {
                    for _ in 0..3 {
                        let answered = store.answered.load(Ordering::SeqCst);
                        let count = block_on(chat.snapshot()).unwrap().message_count();
                        assert!(count >= answered, "{answered} messages were answered, {count} are read");
                        trace.note("read", count);
                        thread::yield_now();
                    }
                })
            })
            .collect();
        dropper.join().unwrap();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        let answered = store.answered.load(Ordering::SeqCst);
        assert!(block_on(chat.snapshot()).unwrap().message_count() >= answered);
        check(&store, &[created]);
    });
}

#[test]
fn c4_a_failed_commit_fails_its_callers_alone_and_leaves_no_ghost() {
    explore("failures", |trace| {
        let store = Slow::new(trace);
        // Popped from the end: the first commit is made, the next fails, and so on.
        store.faults.lock().unwrap().extend([Some(true), None, Some(false), None]);
        let sessions = store.sessions();
        let writers: Vec<_> = (0..3)
            .map(|t| {
                let (sessions, trace) = (sessions.clone(), trace.clone());
                thread::spawn(move || {
                    let chat = sessions.session(id());
                    let text = format!("{t}");
                    // With its id, trying again is safe whatever happened.
                    loop {
                        if let Some(seq) = add(&chat, &trace, &text) {
                            let state = block_on(chat.get_state()).unwrap();
                            assert!(state.messages.iter().any(|m| m.text().as_deref() == Some(&*text)));
                            return (text, seq);
                        }
                    }
                })
            })
            .collect();
        let acknowledged: Vec<_> = writers.into_iter().map(|w| w.join().unwrap()).collect();
        check(&store, &acknowledged);
        assert_eq!(stored(&store).len(), 3);
    });
}

#[test]
fn c5_two_hubs_on_one_store_lose_nothing() {
    explore("two hubs", |trace| {
        let store = Slow::new(trace);
        let writers: Vec<_> = (0..2)
            .map(|t| {
                let (sessions, trace) = (store.sessions(), trace.clone());
                thread::spawn(move || {
                    let chat = sessions.session(id());
                    for i in 0..2 {
                        let text = format!("{t}-{i}");
                        block_on(chat.turn(|draft| {
                            let n = draft.app()?.get::<u64>("n").unwrap().unwrap_or(0);
                            draft.app_mut()?.set("n", &(n + 1)).unwrap();
                            draft.add_message(Message::user(&text))
                        }))
                        .unwrap();
                        trace.note(text, 0);
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        let state = block_on(store.sessions().session(id()).get_state()).unwrap();
        assert_eq!(state.app.get::<u64>("n").unwrap(), Some(4));
        assert_eq!(state.messages.len(), 4);
        check(&store, &[]);
    });
}

#[test]
fn s6_deletes_among_writers_begin_new_lives_and_lose_no_later_message() {
    explore("deletes", |trace| {
        let store = Slow::new(trace);
        let sessions = store.sessions();
        let deleter = {
            let (sessions, trace) = (sessions.clone(), trace.clone());
            thread::spawn(move || {
                let deleted = block_on(sessions.session(id()).delete()).unwrap();
                trace.note("deleted", u64::from(deleted));
            })
        };
        let writer = {
            let (sessions, trace) = (sessions.clone(), trace.clone());
            thread::spawn(move || {
                let chat = sessions.session(id());
                for i in 0..2 {
                    add(&chat, &trace, &format!("{i}")).unwrap();
                }
            })
        };
        deleter.join().unwrap();
        writer.join().unwrap();
        add(&sessions.session(id()), trace, "last").unwrap();
        check(&store, &[]);
        let texts = stored(&store);
        assert_eq!(texts.last().map(String::as_str), Some("last"));
        let expected = ["0", "1", "last"];
        assert!(expected.ends_with(&texts.iter().map(String::as_str).collect::<Vec<_>>()), "{texts:?}");
    });
}

#[test]
fn closing_waits_for_what_was_accepted() {
    explore("close", |trace| {
        let store = Slow::new(trace);
        let sessions = store.sessions();
        let writers: Vec<_> = (0..2)
            .map(|t| {
                let (sessions, trace) = (sessions.clone(), trace.clone());
                thread::spawn(move || {
                    let text = format!("{t}");
                    add(&sessions.session(id()), &trace, &text).map(|seq| (text, seq))
                })
            })
            .collect();
        // Sometimes before a call is accepted, sometimes after all are answered.
        for _ in 0..thread_rng().gen_range(0..40) {
            thread::yield_now();
        }
        block_on(sessions.close()).unwrap();
        let after = stored(&store);
        trace.note("closed", after.len() as u64);
        let acknowledged: Vec<_> = writers.into_iter().filter_map(|w| w.join().unwrap()).collect();
        check(&store, &acknowledged);
        assert_eq!(stored(&store), after, "nothing is written after the close");
    });
}
