//! Plans of calls: the seqs they name, the limits they are held to, and nothing where there is
//! nothing to do.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod common;

use common::{ManualClock, Puppet, id, settle, spawn_add, texts};
use durable_session::store::{Op, SessionStore, StoreLimits};
use durable_session::{
    Added, ChatSession, ChatSessions, Error, LimitKind, Limits, Message, MessageQuery, Window,
};

fn bounded(store: &Puppet, session_bytes: u64) -> ChatSession {
    let limits = Limits { session_bytes, ..Limits::default() };
    let sessions: ChatSessions = store.builder(ManualClock::at(1)).limits(limits).build();
    sessions.session(id("s"))
}

fn bytes(message: &Message) -> u64 {
    message.as_json().len() as u64
}

/// Clause C7.
#[tokio::test]
async fn a_message_given_twice_in_one_batch_is_stored_once() {
    let chat = Puppet::new().sessions().session(id("s"));
    chat.add_message(Message::user("before")).await.unwrap();
    let [x, y] = ["x", "y"].map(|id| Message::user(id).with_id(id));
    let respelled = Message::from_json(r#"{"id":"x", "content":"x", "role":"user"}"#).unwrap();
    let batch = vec![x, Message::user("no id"), respelled, y.clone(), Message::user("no id"), y];
    let seqs = |added: Vec<Added>| added.iter().map(|a| (a.seq, a.replayed)).collect::<Vec<_>>();
    let added = chat.add_messages(batch.clone()).await.unwrap();
    assert_eq!(seqs(added), [(2, false), (3, false), (2, true), (4, false), (5, false), (4, true)]);
    assert_eq!(
        texts(&chat.get_state().await.unwrap().messages),
        ["before", "x", "no id", "y", "no id"]
    );
    // Within a turn, too; and again, once all of it is known.
    let known = [0, 2, 3, 5].map(|i| batch[i].clone());
    for _ in 0..2 {
        let added = chat.turn(|draft| draft.add_messages(&known)).await.unwrap();
        assert_eq!(seqs(added), [(2, true), (2, true), (4, true), (4, true)]);
    }
    let new = ["z", "z"].map(|id| Message::user("z").with_id(id));
    let added = chat.turn(|draft| draft.add_messages(&new)).await.unwrap();
    assert_eq!(seqs(added), [(6, false), (6, true)]);
}

/// Clause C7.
#[tokio::test]
async fn the_refusal_of_a_batch_names_the_reason() {
    let store = Puppet::new();
    let chat = store.sessions().session(id("s"));
    let say = |id: &str, text: &str| Message::user(text).with_id(id);
    for known in ["a", "b", "c"] {
        chat.add_message(say(known, "old")).await.unwrap();
    }
    let in_a_turn = async |batch: &[Message]| chat.turn(|draft| draft.add_messages(batch)).await;
    let commits = store.commits().len();
    for (batch, expected) in [
        (
            vec![say("b", "old"), say("n", "new")],
            "1 of the 2 messages are stored already, the first at seq 2; nothing was changed",
        ),
        (
            vec![
                say("n", "new"),
                say("c", "old"),
                say("a", "old"),
                Message::user("no id"),
                say("c", "old"),
            ],
            "3 of the 5 messages are stored already, the first at seq 3; nothing was changed",
        ),
        (
            vec![say("n", "new"), say("b", "other")],
            "the message at seq 2 has the id of the new message and other content",
        ),
        (
            vec![say("x", "one"), say("n", "new"), say("n", "newer")],
            "messages 1 and 2 of the batch (counted from 0) have the same id and different content",
        ),
    ] {
        for refused in [chat.add_messages(batch.clone()).await, in_a_turn(&batch).await] {
            let text = refused.unwrap_err().to_string();
            assert!(text.contains(expected), "{text}");
        }
    }
    assert_eq!(store.commits().len(), commits);
}

/// Clause C9.
#[tokio::test]
async fn a_replaced_message_counts_instead_of_the_old_one() {
    let store = Puppet::new();
    let (kept, old, new) =
        (Message::user("kept"), Message::user("old"), Message::user("much longer than that"));
    let setup = store.sessions().session(id("s"));
    setup.add_messages(vec![kept.clone(), old]).await.unwrap();
    let fits = bytes(&kept) + bytes(&new);
    assert!(matches!(
        bounded(&store, fits - 1).replace(2, new.clone()).await,
        Err(Error::TooLarge { .. })
    ));
    bounded(&store, fits).replace(2, new.clone()).await.unwrap();
    // Alone, too.
    setup.remove(1).await.unwrap();
    assert!(matches!(
        bounded(&store, bytes(&new))
            .replace(2, Message::user("even longer than the long one"))
            .await,
        Err(Error::TooLarge { .. })
    ));
    assert_eq!(texts(&setup.get_state().await.unwrap().messages), ["much longer than that"]);
}

/// Clause C9.
#[tokio::test]
async fn messages_replaced_in_a_turn_count_for_its_additions() {
    let store = Puppet::new();
    let (old, new, more) = (Message::user("old"), Message::user("longer"), Message::user("more"));
    store.sessions().session(id("s")).add_messages(vec![old.clone(), old]).await.unwrap();
    let fits = 2 * bytes(&new) + bytes(&more);
    let turn = async |chat: ChatSession| {
        chat.turn(|draft| {
            draft.replace(1, &new)?;
            draft.replace(2, &new)?;
            draft.add_message(more.clone())
        })
        .await
    };
    assert!(matches!(turn(bounded(&store, fits - 1)).await, Err(Error::TooLarge { .. })));
    assert_eq!(turn(bounded(&store, fits)).await.unwrap().seq, 3);
}

/// Clause C9.
#[tokio::test]
async fn a_list_in_the_place_of_another_is_held_to_the_limits() {
    let store = Puppet::new();
    let list = ["one", "two", "three"].map(Message::user).to_vec();
    let fits = list.iter().map(bytes).sum();
    let replace = |chat: ChatSession| {
        let list = list.clone();
        async move { chat.turn(|draft| draft.set_messages(&list)).await }
    };
    assert!(matches!(replace(bounded(&store, fits - 1)).await, Err(Error::TooLarge { .. })));
    replace(bounded(&store, fits)).await.unwrap();
    let first = &store.commits()[0];
    assert!(
        !first.ops.iter().any(|op| matches!(op, Op::Remove { .. })),
        "there was nothing to remove"
    );
    replace(bounded(&store, fits)).await.unwrap();
    let chat = bounded(&store, fits);
    assert_eq!(texts(&chat.get_state().await.unwrap().messages), ["one", "two", "three"]);
    assert_eq!(store.commits().len(), 1, "the same list again is no change");
}

/// Clause S7.
#[tokio::test]
async fn a_store_with_smaller_limits_narrows_ours() {
    let store = Puppet::new();
    let StoreLimits { max_commit_bytes, max_commit_ops, .. } = store.inner.limits();
    store.set_limits(StoreLimits::new(100, 50, max_commit_bytes, max_commit_ops));
    let chat = store.sessions().session(id("s"));
    let long = "x".repeat(100);
    let refused = chat.add_message(Message::user(&long)).await;
    assert!(matches!(
        refused,
        Err(Error::TooLarge { limit: LimitKind::MessageBytes, max: 100, .. })
    ));
    let refused = chat.update(|app| app.set("k", &long).unwrap()).await;
    assert!(matches!(refused, Err(Error::TooLarge { limit: LimitKind::AppBytes, max: 50, .. })));
    assert!(store.commits().is_empty());
}

/// How many messages a session has is not known while one from before the window is removed; who
/// needs to know waits.
/// Clause C9.
#[tokio::test]
async fn a_message_has_the_room_that_a_removal_before_it_made() {
    let store = Puppet::new();
    let limits = Limits { session_messages: 4, ..Limits::default() };
    let window = Window { messages: 1, bytes: 10_000 };
    let sessions: ChatSessions =
        store.builder(ManualClock::at(1)).limits(limits).window(window).build();
    let chat = sessions.session(id("s"));
    chat.add_messages(vec![Message::user("x"); 4]).await.unwrap();
    store.hold_commits();
    let removal = tokio::spawn({
        let chat = chat.clone();
        async move { chat.remove(2).await }
    });
    settle().await;
    let added = spawn_add(&chat, Message::user("fits"));
    settle().await;
    store.release();
    removal.await.unwrap().unwrap();
    assert_eq!(added.await.unwrap().unwrap().seq, 5);
}

#[tokio::test]
async fn a_call_that_changes_nothing_commits_nothing() {
    let store = Puppet::new();
    let chat = store.sessions().session(id("s"));
    let messages = ["a", "b", "c"].map(Message::user).to_vec();
    chat.add_messages(messages.clone()).await.unwrap();
    chat.forget_before(2).await.unwrap();
    let version = chat.snapshot().await.unwrap().version();
    for seq in 0..=2 {
        chat.forget_before(seq).await.unwrap();
    }
    chat.rewind_to(3).await.unwrap();
    chat.replace(2, messages[1].clone()).await.unwrap();
    assert_eq!((chat.snapshot().await.unwrap().version(), store.commits().len()), (version, 2));
}

#[tokio::test]
async fn a_query_keeps_to_both_of_its_bounds() {
    let chat = Puppet::new().sessions().session(id("s"));
    chat.add_messages(vec![Message::user("x"); 6]).await.unwrap();
    let seqs = |query| {
        let chat = chat.clone();
        async move {
            chat.messages(query).await.unwrap().messages.iter().map(|m| m.seq).collect::<Vec<_>>()
        }
    };
    assert_eq!(seqs(MessageQuery::last(2).and_before(5)).await, [3, 4]);
    assert_eq!(seqs(MessageQuery::last(9).and_before(5).and_after(2)).await, [3, 4]);
    assert_eq!(seqs(MessageQuery::last(9).and_after(2).and_before(5)).await, [3, 4]);
    assert_eq!(chat.snapshot().await.unwrap().created_at(), 1_000);
}

#[tokio::test]
async fn a_seq_that_surely_has_no_message_is_refused_without_the_store() {
    let store = Puppet::new();
    let sessions = store.with_window(3, 10_000);
    let chat = sessions.session(id("s"));
    chat.add_messages(vec![Message::user("x"); 5]).await.unwrap();
    chat.remove(4).await.unwrap();
    let commits = store.commits().len();
    // Before all, within the window, beyond the end.
    for seq in [0, 4, 6] {
        for refused in [chat.remove(seq).await, chat.replace(seq, Message::user("y")).await] {
            assert!(matches!(refused, Err(Error::NoSuchMessage { .. })), "{seq}: {refused:?}");
        }
    }
    assert_eq!(store.commits().len(), commits);
    // The window is the whole session: before its first message, too.
    chat.forget_before(3).await.unwrap();
    let commits = store.commits().len();
    assert!(matches!(chat.remove(1).await, Err(Error::NoSuchMessage { seq: 1, .. })));
    assert_eq!(store.commits().len(), commits);
}

#[tokio::test]
async fn a_snapshot_says_since_when_the_session_only_grew() {
    let chat = Puppet::new().sessions().session(id("s"));
    let absent = chat.snapshot().await.unwrap();
    assert_eq!((absent.base(), absent.version()), (None, None));
    chat.update(|app| app.set("k", &7)).await.unwrap().unwrap();
    let updated = chat.snapshot().await.unwrap();
    assert_eq!(updated.base(), updated.version());
    assert_eq!(updated.app().unwrap().get::<u64>("k").unwrap(), Some(7));
    chat.add_message(Message::user("x")).await.unwrap();
    let longer = chat.snapshot().await.unwrap();
    assert_eq!(longer.base(), updated.version());
    assert_ne!(longer.version(), updated.version());
}
