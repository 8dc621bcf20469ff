//! Random histories on one session against a model that is a plain list: ids, seqs, windows,
//! removals, restarts, replies.
//!
//! The window in memory is tiny, so that every edge of it is crossed all the time, and messages are
//! added by the dozen, so that ids leave the last 64.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

#[path = "../common/mod.rs"]
mod common;
mod replies;

use common::{ManualClock, Puppet, id};
use durable_session::{
    ChatSession, ChatSessions, Error, JsonObject, Memory, Message, MessageQuery, ReplyEnd, Window,
};
use proptest::prelude::*;
use proptest::sample::Index;
use replies::{Users, Written};
use std::time::Duration;

const WINDOW: Window = Window { messages: 3, bytes: 150 };

#[derive(Debug, Clone)]
enum Step {
    Add {
        id: Option<u8>,
        size: u8,
    },
    AddTwo {
        ids: (u8, u8),
    },
    /// So many without an id.
    AddMany {
        count: usize,
    },
    Replace {
        at: Index,
        size: u8,
    },
    Pop,
    Remove {
        at: Index,
    },
    Rewind {
        at: Index,
    },
    Forget {
        at: Index,
    },
    Reset,
    Delete,
    Evict,
    Restart,
    Turn {
        pops: u8,
        id: u8,
    },
    /// The list as it is, with one message in so many left out, one edited, and some more at the
    /// end.
    Set {
        without: u8,
        edited: Index,
        ids: Vec<u8>,
    },
    Update,
    /// A question that opens a reply, or the same again.
    Ask {
        id: Option<u8>,
        size: u8,
    },
    Push {
        reply: Index,
        size: u8,
    },
    End {
        reply: Index,
        how: ReplyEnd,
    },
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (prop::option::of(0..8u8), 0..100u8).prop_map(|(id, size)| Step::Add { id, size }),
        2 => (0..8u8, 0..8u8).prop_map(|ids| Step::AddTwo { ids }),
        1 => (10..60usize).prop_map(|count| Step::AddMany { count }),
        2 => (any::<Index>(), 0..100u8).prop_map(|(at, size)| Step::Replace { at, size }),
        2 => Just(Step::Pop),
        2 => any::<Index>().prop_map(|at| Step::Remove { at }),
        1 => any::<Index>().prop_map(|at| Step::Rewind { at }),
        1 => any::<Index>().prop_map(|at| Step::Forget { at }),
        1 => Just(Step::Reset),
        1 => Just(Step::Delete),
        2 => Just(Step::Evict),
        1 => Just(Step::Restart),
        2 => (0..4u8, 0..8u8).prop_map(|(pops, id)| Step::Turn { pops, id }),
        2 => (2..6u8, any::<Index>(), prop::collection::vec(0..8u8, 0..3))
            .prop_map(|(without, edited, ids)| Step::Set { without, edited, ids }),
        1 => Just(Step::Update),
        4 => (prop::option::of(0..8u8), 0..8u8).prop_map(|(id, size)| Step::Ask { id, size }),
        6 => (any::<Index>(), 0..60u8).prop_map(|(reply, size)| Step::Push { reply, size }),
        3 => (any::<Index>(), ends()).prop_map(|(reply, how)| Step::End { reply, how }),
    ]
}

fn ends() -> impl Strategy<Value = ReplyEnd> {
    use ReplyEnd::{Failed, Finished, Interrupted, Stopped};
    prop::sample::select(vec![Finished, Failed, Stopped, Interrupted])
}

fn greeting() -> Message {
    Message::assistant("hello")
}

fn message(id: Option<u8>, size: u8) -> Message {
    // The text depends on the id alone, so that a repeated id is mostly a retry and sometimes a
    // clash.
    let text = "x".repeat(usize::from(size));
    match id {
        Some(id) => Message::user(text).with_id(format!("id-{id}")),
        None => Message::user(text),
    }
}

#[derive(Clone, Default)]
struct Model {
    exists: bool,
    messages: Vec<(u64, Message)>,
    next_seq: u64,
    updates: u64,
    /// All replies of the history, in the order in which they were opened.
    replies: Vec<Written>,
}

impl Model {
    fn absent() -> Self {
        Self { messages: vec![(1, greeting())], next_seq: 2, ..Self::default() }
    }

    fn push(&mut self, message: Message) -> u64 {
        self.exists = true;
        self.messages.push((self.next_seq, message));
        self.next_seq += 1;
        self.next_seq - 1
    }

    /// The messages among which an id is found, as clause C7 defines them: whatever of them is in
    /// memory.
    fn last(&self) -> &[(u64, Message)] {
        &self.messages[self.messages.len().saturating_sub(64)..]
    }

    fn find(&self, message: &Message) -> Option<&(u64, Message)> {
        let id = message.id()?;
        self.last().iter().rfind(|(_, m)| m.id().as_deref() == Some(&*id))
    }

    /// The answer to adding these: seqs and whether replayed, or `Err` for a reused id or a
    /// mixed batch.
    fn add(&mut self, messages: &[Message]) -> Result<Vec<(u64, bool)>, ()> {
        let known: Vec<_> = messages.iter().map(|m| self.find(m).cloned()).collect();
        if known.iter().zip(messages).any(|(k, m)| k.as_ref().is_some_and(|(_, k)| k != m)) {
            return Err(());
        }
        if known.iter().all(Option::is_some) {
            return Ok(known.into_iter().flatten().map(|(seq, _)| (seq, true)).collect());
        }
        if known.iter().any(Option::is_some) {
            return Err(());
        }
        // Two of one id say the same here: stored once.
        let mut added: Vec<(u64, bool)> = Vec::new();
        for (i, message) in messages.iter().enumerate() {
            let twin =
                messages[..i].iter().position(|m| m.id().is_some() && m.id() == message.id());
            added.push(
                twin.map_or_else(|| (self.push(message.clone()), false), |at| (added[at].0, true)),
            );
        }
        Ok(added)
    }

    /// Takes in the messages after a list was set. The session chooses their seqs, but not every
    /// choice is right.
    fn set(&mut self, wanted: &[Message], now: Vec<(u64, Message)>) {
        assert!(wanted.iter().eq(now.iter().map(|(_, message)| message)), "the list that was set");
        let kept = now.iter().take_while(|(seq, _)| *seq < self.next_seq).count();
        assert!(now[..kept].iter().all(|(seq, _)| self.has(*seq)), "a seq is given once");
        assert!(now[..kept].is_sorted_by_key(|(seq, _)| *seq));
        let added = now[kept..].iter().map(|(seq, _)| *seq);
        assert!(
            added.eq(self.next_seq..self.next_seq + (now.len() - kept) as u64),
            "appended in order"
        );
        self.next_seq += (now.len() - kept) as u64;
        self.exists |= now != self.messages;
        self.messages = now;
    }

    fn has(&self, seq: u64) -> bool {
        self.messages.iter().any(|(s, _)| *s == seq)
    }
}

type Answer = Result<Vec<(u64, bool)>, ()>;

fn answer<T>(result: Result<T, Error>, f: impl FnOnce(T) -> Vec<(u64, bool)>) -> Answer {
    match result {
        Ok(value) => Ok(f(value)),
        Err(
            Error::IdReused { .. }
            | Error::PartlyKnown { .. }
            | Error::NoSuchMessage { .. }
            | Error::ReplyOpen { .. },
        ) => Err(()),
        Err(e) => panic!("{e}"),
    }
}

#[allow(clippy::too_many_lines)] // a list of the kinds of steps
async fn step(step: &Step, chat: &ChatSession, model: &mut Model) -> (Answer, Answer) {
    let pick = |at: &Index| 1 + at.index(usize::try_from(model.next_seq).unwrap()) as u64;
    match step {
        Step::Add { id, size } => {
            let message = message(*id, id.map_or(*size, |id| id * 9 + size % 2));
            let expected = model.add(std::slice::from_ref(&message));
            (answer(chat.add_message(message).await, |a| vec![(a.seq, a.replayed)]), expected)
        }
        Step::AddTwo { ids } => {
            let messages = vec![message(Some(ids.0), ids.0 * 9), message(Some(ids.1), ids.1 * 9)];
            add_all(messages, chat, model).await
        }
        Step::AddMany { count } => add_all(vec![message(None, 1); *count], chat, model).await,
        Step::Replace { at, size } => {
            let (seq, new) = (pick(at), message(None, *size));
            let is_open = model.is_open(seq);
            let mut found = model.messages.iter_mut();
            let found = found.find(|(s, _)| *s == seq && !is_open);
            let expected = found.map(|(_, m)| *m = new.clone()).ok_or(()).map(|()| vec![]);
            model.exists |= expected.is_ok();
            (answer(chat.replace(seq, new).await, |()| vec![]), expected)
        }
        Step::Pop => {
            let expected = Ok(model
                .messages
                .pop()
                .into_iter()
                .map(|(seq, _)| (seq, false))
                .collect::<Vec<_>>());
            model.exists |= expected.as_ref().is_ok_and(|e: &Vec<_>| !e.is_empty());
            (
                answer(chat.pop().await, |p| p.into_iter().map(|p| (p.seq, false)).collect()),
                expected,
            )
        }
        Step::Remove { at } => {
            let seq = pick(at);
            let had = model.has(seq);
            model.messages.retain(|(s, _)| *s != seq);
            model.exists |= had;
            let got = answer(chat.remove(seq).await, |()| vec![]);
            // For a seq before the window, that there is none need not be noticed.
            let expected = if had || got.is_ok() { Ok(vec![]) } else { Err(()) };
            (got, expected)
        }
        Step::Rewind { at } => {
            let seq = pick(at).min(model.next_seq - 1);
            let before = model.messages.len();
            model.messages.retain(|(s, _)| *s <= seq);
            model.exists |= model.messages.len() != before;
            (answer(chat.rewind_to(seq).await, |()| vec![]), Ok(vec![]))
        }
        Step::Forget { at } => {
            let seq = pick(at);
            let before = model.messages.len();
            model.messages.retain(|(s, _)| *s >= seq);
            model.exists |= model.messages.len() != before;
            (answer(chat.forget_before(seq).await, |()| vec![]), Ok(vec![]))
        }
        Step::Reset => {
            if model.exists {
                model.messages.clear();
                model.push(greeting());
                model.updates = 0;
            }
            (answer(chat.reset().await, |()| vec![]), Ok(vec![]))
        }
        Step::Delete => {
            let before = std::mem::replace(model, Model::absent());
            let existed = before.exists;
            model.replies = before.replies;
            model.replies.iter_mut().filter(|reply| reply.end.is_none()).for_each(|reply| {
                reply.end = Some(ReplyEnd::Removed);
            });
            assert_eq!(chat.delete().await.unwrap(), existed);
            (Ok(vec![]), Ok(vec![]))
        }
        Step::Turn { pops, id } => {
            let message = message(Some(*id), id * 9);
            let mut trial = model.clone();
            for _ in 0..*pops {
                trial.exists |= trial.messages.pop().is_some();
            }
            let expected = trial.add(std::slice::from_ref(&message));
            if expected.is_ok() {
                *model = trial;
            }
            let got = chat
                .turn(|draft| {
                    for _ in 0..*pops {
                        draft.pop()?;
                    }
                    draft.add_message(message.clone())
                })
                .await;
            (answer(got, |a| vec![(a.seq, a.replayed)]), expected)
        }
        Step::Set { without, edited, ids } => set_list(*without, edited, ids, chat, model).await,
        Step::Update => {
            model.updates += 1;
            model.exists = true;
            let updates = model.updates;
            let got = chat
                .update(|app| {
                    let n = app.get::<u64>("n").unwrap().unwrap_or(0) + 1;
                    app.set("n", &n).unwrap();
                    n
                })
                .await;
            (answer(got, |n| vec![(n, false)]), Ok(vec![(updates, false)]))
        }
        _ => (Ok(vec![]), Ok(vec![])),
    }
}

async fn add_all(
    messages: Vec<Message>,
    chat: &ChatSession,
    model: &mut Model,
) -> (Answer, Answer) {
    let expected = model.add(&messages);
    let added = chat.add_messages(messages).await;
    (answer(added, |a| a.into_iter().map(|a| (a.seq, a.replayed)).collect()), expected)
}

async fn set_list(
    without: u8,
    edited: &Index,
    ids: &[u8],
    chat: &ChatSession,
    model: &mut Model,
) -> (Answer, Answer) {
    let left = model.messages.iter().filter(|(seq, _)| seq % u64::from(without) != 0);
    let mut wanted: Vec<_> = left.map(|(_, message)| message.clone()).collect();
    if !wanted.is_empty() {
        let at = edited.index(wanted.len());
        wanted[at] = message(None, 77);
    }
    wanted.extend(ids.iter().map(|id| message(Some(*id), id * 9)));
    let set = answer(chat.turn(|draft| draft.set_messages(&wanted)).await, |()| vec![]);
    // A list that has an open message no more is refused. One that has it may move it.
    let has = |reply: &Written| {
        let open = model.messages.iter().find(|(seq, _)| *seq == reply.seq);
        open.is_some_and(|(_, message)| wanted.contains(message))
    };
    assert!(set.is_err() || model.open().all(has), "an open message was removed");
    assert!(set.is_ok() || model.open().next().is_some(), "no message is open");
    if set.is_err() {
        return (set, Err(()));
    }
    let page = chat.messages(MessageQuery::after(0, usize::MAX)).await.unwrap();
    model.set(
        &wanted,
        page.messages.into_iter().map(|stored| (stored.seq, stored.message)).collect(),
    );
    (Ok(vec![]), Ok(vec![]))
}

async fn compare(chat: &ChatSession, store: &Puppet, model: &Model) {
    replies::compare(chat, store, model).await;
    let state = chat.get_state().await.unwrap();
    let messages: Vec<_> = model.messages.iter().map(|(_, m)| m.clone()).collect();
    assert_eq!(state.messages, messages);
    assert_eq!(state.app.get::<u64>("n").unwrap().unwrap_or(0), model.updates);
    let snapshot = chat.snapshot().await.unwrap();
    assert_eq!(snapshot.exists(), model.exists);
    assert_eq!(snapshot.message_count(), messages.len() as u64);
    assert_eq!(snapshot.message_bytes(), messages.iter().map(|m| m.bytes() as u64).sum::<u64>());
    if model.exists {
        assert_eq!(snapshot.next_seq(), model.next_seq);
    }
    for query in [
        MessageQuery::last(2),
        MessageQuery::last(100),
        MessageQuery::before(model.next_seq - 1, 3),
    ] {
        let page = chat.messages(query).await.unwrap();
        let before = if query == MessageQuery::before(model.next_seq - 1, 3) {
            model.next_seq - 1
        } else {
            u64::MAX
        };
        let count = if query == MessageQuery::last(2) {
            2
        } else if before == u64::MAX {
            100
        } else {
            3
        };
        let all: Vec<_> = model.messages.iter().filter(|(s, _)| *s < before).collect();
        let expected: Vec<_> = all[all.len().saturating_sub(count)..].to_vec();
        assert_eq!(
            page.messages.iter().map(|m| (m.seq, &m.message)).collect::<Vec<_>>(),
            expected.iter().map(|(s, m)| (*s, m)).collect::<Vec<_>>()
        );
        assert_eq!(page.more, all.len() > count);
    }
    let page = chat.messages(MessageQuery::after(1, 2)).await.unwrap();
    let all: Vec<_> = model.messages.iter().filter(|(s, _)| *s > 1).collect();
    assert_eq!(
        page.messages.iter().map(|m| m.seq).collect::<Vec<_>>(),
        all.iter().take(2).map(|(s, _)| *s).collect::<Vec<_>>()
    );
    assert_eq!(page.more, all.len() > 2);
}

fn registry(store: &Puppet, clock: &ManualClock) -> ChatSessions<JsonObject> {
    let memory = Memory { idle: Duration::from_millis(1), ..Memory::default() };
    store.builder(clock.clone()).window(WINDOW).memory(memory).greeting(greeting()).build()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn a_session_is_the_list_that_the_contract_describes(
        history in prop::collection::vec(steps(), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = Puppet::new();
            let clock = ManualClock::at(1);
            let mut sessions = registry(&store, &clock);
            let (mut model, mut users) = (Model::absent(), Users::default());
            for what in &history {
                let chat = sessions.session(id("s"));
                let which = |reply: &Index| reply.index(model.replies.len().max(1));
                match what {
                    Step::Restart => {
                        // After the close nothing of the old process ends a reply.
                        sessions.close().await.unwrap();
                        users.restart(&mut model);
                        store.open_again();
                        sessions = registry(&store, &clock);
                        replies::settle(&sessions.session(id("s")), &model).await;
                    }
                    Step::Evict => {
                        clock.advance(10);
                        sessions.sweep(&store).await.unwrap();
                        let live = sessions.stats().live_sessions;
                        assert!(live == 0 || !model.replies.is_empty(), "{live} are live");
                    }
                    Step::Ask { id, size } => {
                        let size = id.map_or(*size, |id| id * 9 + size % 2);
                        users.ask(message(*id, size), &chat, &mut model).await;
                    }
                    Step::Push { reply, size } => {
                        users.push(which(reply), *size, &mut model).await;
                    }
                    Step::End { reply, how } => {
                        let later = users.end(which(reply), *how, &chat, &mut model).await;
                        if later {
                            replies::settle(&chat, &model).await;
                        }
                    }
                    _ => {}
                }
                let chat = sessions.session(id("s"));
                let (got, expected) = step(what, &chat, &mut model).await;
                assert_eq!(got, expected, "{what:?}");
                model.end_removed();
                compare(&chat, &store, &model).await;
            }
            users.check_followers(&model).await;
        });
    }
}
