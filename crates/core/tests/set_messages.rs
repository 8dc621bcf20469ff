//! A list in the place of all messages: only the difference to the stored messages is written.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod common;

use common::{ManualClock, Puppet, elsewhere, id, texts};
use durable_session::store::{Commit, Op, SessionStore};
use durable_session::{
    ChatSession, ChatSessions, Error, LimitKind, Limits, Message, MessageQuery, Watched, Window,
};
use futures_util::future::poll_immediate;

fn numbered(count: usize) -> Vec<Message> {
    (0..count).map(|n| Message::user(n.to_string())).collect()
}

/// A session of so many messages, added in commits that the store takes.
async fn grown(store: &Puppet, messages: &[Message]) -> ChatSession {
    let chat = store.with_window(4, 10_000).session(id("s"));
    for batch in messages.chunks(1000) {
        chat.add_messages(batch.to_vec()).await.unwrap();
    }
    // With nothing but the window in memory.
    let chat = store.with_window(4, 10_000).session(id("s"));
    chat.snapshot().await.unwrap();
    chat
}

async fn set(chat: &ChatSession, list: &[Message]) -> Result<(), Error> {
    chat.turn(|draft| draft.set_messages(list)).await
}

async fn seqs(chat: &ChatSession) -> Vec<u64> {
    let page = chat.messages(MessageQuery::after(0, usize::MAX)).await.unwrap();
    page.messages.iter().map(|stored| stored.seq).collect()
}

fn ops(commit: &Commit) -> Vec<String> {
    let op = |op: &Op| match op {
        Op::Append(_) => "append".to_owned(),
        Op::Replace { seq, .. } => format!("replace {seq}"),
        Op::Remove { first, last } => format!("remove {first}..{last}"),
        Op::SetApp(_) => "app".to_owned(),
        Op::SetLabels(_) => "labels".to_owned(),
        Op::Close { seq, .. } => format!("close {seq}"),
    };
    commit.ops.iter().map(op).collect()
}

#[tokio::test]
async fn a_list_as_it_was_read_writes_nothing() {
    let text = "x".repeat(1500);
    let long: Vec<_> = (0..6000).map(|n| Message::user(format!("{n} {text}"))).collect();
    for list in [numbered(0), numbered(3), numbered(4), numbered(5), numbered(1500), long] {
        let store = Puppet::new();
        let chat = grown(&store, &list).await;
        let (before, commits) = (chat.snapshot().await.unwrap().version(), store.commits().len());
        let mut watcher = chat.watch();
        let read = chat.get_state().await.unwrap().messages;
        assert_eq!(read.len(), list.len());
        set(&chat, &read).await.unwrap();
        assert_eq!(chat.snapshot().await.unwrap().version(), before);
        assert_eq!(store.commits().len(), commits);
        assert!(poll_immediate(watcher.next()).await.is_none());
    }
}

#[tokio::test]
async fn only_what_changed_is_written_and_told() {
    let store = Puppet::new();
    let mut list = numbered(2000);
    let chat = grown(&store, &list).await;
    let mut watcher = chat.watch();
    list[7] = Message::user("edited");
    set(&chat, &list).await.unwrap();
    assert_eq!(ops(store.commits().last().unwrap()), ["replace 8"]);
    let Some(Watched::Changed(change)) = poll_immediate(watcher.next()).await else {
        panic!("not told")
    };
    assert_eq!((change.replaced, change.rewritten, change.app_changed), (vec![8], false, false));
    // Left out before the window and within it, one replaced, one more at the end.
    list.remove(1998);
    list.drain(100..200);
    list[0] = Message::user("first");
    list.push(Message::user("last"));
    set(&chat, &list).await.unwrap();
    assert_eq!(
        ops(store.commits().last().unwrap()),
        ["replace 1", "remove 101..200", "remove 1999..1999", "append"]
    );
    let state = chat.get_state().await.unwrap();
    assert_eq!(texts(&state.messages), texts(&list));
    let snapshot = chat.snapshot().await.unwrap();
    assert_eq!(snapshot.message_count(), list.len() as u64);
    assert_eq!(snapshot.message_bytes(), list.iter().map(|m| m.bytes() as u64).sum::<u64>());
    assert_eq!(seqs(&chat).await.last(), Some(&2001));
}

#[tokio::test]
async fn only_a_difference_beyond_the_stores_commit_is_too_large() {
    let store = Puppet::new();
    let mut limits = store.inner.limits();
    limits.max_commit_ops = 10;
    let list = numbered(30);
    let chat = grown(&store, &list).await;
    store.set_limits(limits);
    let chat = store.with_window(4, 10_000).session(chat.id().clone());
    // Every second one edited: so many operations.
    let edited = |count: usize| {
        let mut list = list.clone();
        (0..count).for_each(|n| list[2 * n] = Message::user("edited"));
        list
    };
    let refused = set(&chat, &edited(11)).await;
    assert!(matches!(
        refused,
        Err(Error::TooLarge { limit: LimitKind::CommitOps, is: 11, max: 10, .. })
    ));
    set(&chat, &edited(10)).await.unwrap();
    // The initial state of a new session goes with its first commit.
    let new = store.sessions().session(id("new"));
    assert!(matches!(set(&new, &numbered(10)).await, Err(Error::TooLarge { is: 10, max: 9, .. })));
    set(&new, &numbered(9)).await.unwrap();
}

#[tokio::test]
async fn changes_of_others_meanwhile_are_part_of_the_difference() {
    for rewrites in [false, true] {
        let store = Puppet::new();
        let list = numbered(50);
        let chat = grown(&store, &list).await;
        let others = store.sessions().session(id("s"));
        let mut runs = 0;
        let wanted = &list[..40];
        chat.turn(|draft| {
            let result = draft.set_messages(wanted);
            if result.is_ok() {
                runs += 1;
                // Between our reading and our commit, twice.
                if runs <= 2 {
                    elsewhere(async {
                        others.add_message(Message::user("theirs")).await.unwrap();
                        if rewrites {
                            others.replace(1, Message::user("theirs")).await.unwrap();
                        }
                    });
                }
            }
            result
        })
        .await
        .unwrap();
        assert_eq!(runs, 3);
        assert_eq!(texts(&chat.get_state().await.unwrap().messages), texts(wanted));
        let made = ops(store.commits().last().unwrap());
        let replaced = if rewrites { vec!["replace 1"] } else { vec![] };
        assert_eq!(made, [replaced, vec!["remove 41..52"]].concat());
    }
}

#[tokio::test]
async fn those_who_never_stop_changing_it_make_it_contended() {
    let store = Puppet::new();
    let chat = grown(&store, &numbered(50)).await;
    let others = store.sessions().session(id("s"));
    let result = chat
        .turn(|draft| {
            elsewhere(async { others.add_message(Message::user("theirs")).await.unwrap() });
            draft.set_messages(&numbered(40))
        })
        .await;
    assert!(matches!(result, Err(Error::Contended { .. })), "{result:?}");
}

#[tokio::test]
async fn a_turn_sees_its_own_changes_in_the_list() {
    let store = Puppet::new();
    let list = numbered(30);
    let chat = grown(&store, &list).await;
    let wanted = [list[0].clone(), Message::user("edited"), list[29].clone(), Message::user("new")];
    chat.turn(|draft| {
        draft.replace(2, &Message::user("edited"))?;
        for _ in 0..9 {
            draft.add_message(Message::user("fills the window"))?;
        }
        draft.remove(1)?;
        draft.set_messages(&wanted[1..])?;
        draft.add_message(Message::user("after").with_id("a"))
    })
    .await
    .unwrap();
    let mut expected = texts(&wanted[1..]);
    expected.push("after".to_owned());
    assert_eq!(texts(&chat.get_state().await.unwrap().messages), expected);
    assert_eq!(seqs(&chat).await[..2], [2, 30]);
}

/// Clause C8.
#[tokio::test]
async fn a_session_that_does_not_exist_has_its_greeting() {
    let store = Puppet::new();
    let greeting = numbered(6);
    let mut builder =
        store.builder(ManualClock::at(1)).window(Window { messages: 2, bytes: 10_000 });
    for message in &greeting {
        builder = builder.greeting(message.clone());
    }
    let sessions: ChatSessions = builder.build();
    let chat = sessions.session(id("s"));
    set(&chat, &greeting).await.unwrap();
    assert!(!chat.snapshot().await.unwrap().exists(), "as it would be anyway");
    set(&chat, &greeting[2..]).await.unwrap();
    assert_eq!(seqs(&chat).await, [3, 4, 5, 6]);
}

/// Clause C9.
#[tokio::test]
async fn a_session_beyond_lowered_limits_may_stay_or_shrink_but_not_grow() {
    let store = Puppet::new();
    let list = numbered(10);
    grown(&store, &list).await;
    let size = list[..8].iter().map(|m| m.bytes() as u64).sum();
    let by_count = Limits { session_messages: 8, ..Limits::default() };
    let by_bytes = Limits { session_bytes: size, ..Limits::default() };
    let by_message = Limits { message_bytes: 5, ..Limits::default() };
    for limits in [by_count, by_bytes, by_message] {
        let sessions: ChatSessions = store.builder(ManualClock::at(1)).limits(limits).build();
        let chat = sessions.session(id("s"));
        set(&chat, &list).await.unwrap();
        assert!(
            matches!(set(&chat, &numbered(11)).await, Err(Error::TooLarge { .. })),
            "{limits:?}"
        );
    }
    let sessions: ChatSessions = store.builder(ManualClock::at(1)).limits(by_count).build();
    let chat = sessions.session(id("s"));
    set(&chat, &list[..9]).await.unwrap();
    set(&chat, &list[..7]).await.unwrap();
    set(&chat, &list[..8]).await.unwrap();
    assert!(matches!(set(&chat, &list[..9]).await, Err(Error::TooLarge { is: 9, max: 8, .. })));
}

/// A message before the window is read if the limit depends on its size, so that the answer is
/// right.
/// Clause C9.
#[tokio::test]
async fn a_replaced_message_from_before_the_window_counts_instead_of_the_old_one() {
    let store = Puppet::new();
    let list = numbered(10);
    grown(&store, &list).await;
    let size = list.iter().map(|m| m.bytes() as u64).sum::<u64>();
    let limits = Limits { session_bytes: size + 3, ..Limits::default() };
    let window = Window { messages: 2, bytes: 10_000 };
    let sessions: ChatSessions =
        store.builder(ManualClock::at(1)).window(window).limits(limits).build();
    let chat = sessions.session(id("s"));
    let refused = chat.replace(1, Message::user("12345")).await;
    assert!(
        matches!(refused, Err(Error::TooLarge { limit: LimitKind::SessionBytes, .. })),
        "{refused:?}"
    );
    chat.replace(1, Message::user("1234")).await.unwrap();
    assert_eq!(chat.snapshot().await.unwrap().message_bytes(), size + 3);
    chat.replace(1, Message::user("")).await.unwrap();
    chat.remove(2).await.unwrap();
    let full = Message::user("x".repeat(100));
    let missing = chat.replace(2, full).await;
    assert!(matches!(missing, Err(Error::NoSuchMessage { seq: 2, .. })), "{missing:?}");
}

/// Clause C7.
#[tokio::test]
async fn ids_are_found_across_removed_messages() {
    let store = Puppet::new();
    let list: Vec<_> =
        numbered(10).into_iter().zip(0..).map(|(m, n)| m.with_id(n.to_string())).collect();
    let chat = grown(&store, &list).await;
    // Of ten, the first four are left: the window has just these.
    set(&chat, &list[..4]).await.unwrap();
    for message in &list[..4] {
        assert!(chat.add_message(message.clone()).await.unwrap().replayed);
    }
    assert!(!chat.add_message(list[9].clone()).await.unwrap().replayed, "it was left out");
    assert!(chat.add_message(list[0].clone()).await.unwrap().replayed, "it is not in memory");
    chat.add_messages(vec![Message::user("x"); 60]).await.unwrap();
    assert!(
        !chat.add_message(list[0].clone()).await.unwrap().replayed,
        "it is not among the last 64"
    );
}
