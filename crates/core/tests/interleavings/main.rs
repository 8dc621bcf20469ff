//! The session driver, actors and eviction under a systematic concurrency checker.
//!
//! Built with `--cfg shuttle`, the driver's locks and atomics are shuttle's (module `sync`), which
//! chooses at each of their operations which thread goes on.
//! `cargo xtask torture --only interleavings` builds and runs this; `INTERLEAVINGS` sets the
//! schedules per scenario.
#![cfg(shuttle)]
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod explore;
mod replies;
mod store;

use durable_session::{Memory, Message};
use explore::{add, check, explore, id, stored};
use futures_util::future::poll_immediate;
use shuttle::future::block_on;
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;
use std::sync::atomic::Ordering;
use store::Slow;

/// Clauses C1, C2 and C3.
#[test]
fn one_registry_keeps_one_instance_and_one_order_while_it_evicts() {
    explore("writers, readers, eviction", |trace| {
        let store = Slow::new(trace);
        let sessions = store.sessions();
        let writers: Vec<_> = (0..3)
            .map(|t| {
                let (sessions, trace) = (sessions.clone(), trace.clone());
                thread::spawn(move || {
                    (0..2)
                        .map(|i| {
                            // A handle of its own each time, so that actors come and go.
                            let text = format!("{t}-{i}");
                            let seq = add(&sessions.session(id()), &trace, &text).unwrap();
                            let count = block_on(sessions.session(id()).snapshot())
                                .unwrap()
                                .message_count();
                            assert!(count >= seq, "a client reads its own messages");
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
        // One registry alone never conflicts with itself: it did if an id had two live instances.
        assert_eq!(sessions.stats().conflicts, 0);
    });
}

/// Clause C3.
#[test]
fn futures_dropped_at_every_point_leave_whole_changes_and_stop_nobody() {
    explore("dropped futures", |trace| {
        let store = Slow::new(trace);
        let sessions = store.sessions();
        let droppers: Vec<_> = (0..2)
            .map(|t| {
                let sessions = sessions.clone();
                thread::spawn(move || {
                    let chat = sessions.session(id());
                    let messages =
                        vec![Message::user(format!("d{t}a")), Message::user(format!("d{t}b"))];
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
            let halves =
                ["a", "b"].map(|half| texts.iter().position(|x| *x == format!("d{t}{half}")));
            match halves {
                [None, None] => {}
                [Some(a), Some(b)] => assert_eq!(b, a + 1, "{texts:?}"),
                _ => panic!("half a change: {texts:?}"),
            }
        }
    });
}

/// Clauses C1 and C3. The reader's own poll may take the answer in, or meet another reader's.
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
                    let mut call =
                        Box::pin(chat.add_message(Message::user(format!("dropped {polls}"))));
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
                        assert!(
                            count >= answered,
                            "{answered} messages were answered, {count} are read"
                        );
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

/// Clause C4.
#[test]
fn a_failed_commit_fails_its_callers_alone_and_leaves_no_ghost() {
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
                    // With its id, trying again is safe after any outcome.
                    loop {
                        if let Some(seq) = add(&chat, &trace, &text) {
                            let state = block_on(chat.get_state()).unwrap();
                            assert!(
                                state.messages.iter().any(|m| m.text().as_deref() == Some(&*text))
                            );
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

/// Clause C5.
#[test]
fn two_registries_on_one_store_lose_nothing() {
    explore("two registries", |trace| {
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

/// Clause S6.
#[test]
fn deletes_among_writers_begin_new_lives_and_lose_no_later_message() {
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
        assert!(
            expected.ends_with(&texts.iter().map(String::as_str).collect::<Vec<_>>()),
            "{texts:?}"
        );
    });
}

#[test]
fn closing_waits_for_accepted_changes() {
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
