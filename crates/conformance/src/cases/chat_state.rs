//! App state (C6), idempotence (C7), absence (C8) and bounds (C9).

use crate::Failure;
use crate::failure::{ensure, ensure_eq};
use crate::fixture::{Checked, Fixture, append, id, session, set_app};
use crate::registry::{ManualClock, get, registry_on, said, say, set};
use durable_session::{
    ChatSession, ChatSessions, Error, LimitKind, Limits, Memory, Message, MessageQuery, Window,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Counter {
    count: u64,
}

pub(crate) async fn app_state_keeps_keys_that_the_type_does_not_have(t: &mut Fixture) -> Checked {
    let id = session()?;
    let newer = t.registry().session(id.clone());
    set(&newer, "future", "{\"deep\": [1, 12345678901234567890123, null]}").await?;
    set(&newer, "count", "41").await?;
    let typed = t.typed_registry::<Counter>().session(id);
    typed.update(|app| app.count += 1).await?;
    typed.add_message(say("hello")).await?;
    let again = t.registry().session(session()?);
    ensure_eq!(get(&again, "count").await?.as_deref(), Some("42"), "the key that the type has");
    let future = get(&again, "future").await?;
    ensure_eq!(
        future.as_deref(),
        Some("{\"deep\": [1, 12345678901234567890123, null]}"),
        "the key that the type does not have"
    );
    Ok(())
}

pub(crate) async fn messages_are_usable_when_app_state_does_not_fit_its_type(
    t: &mut Fixture,
) -> Checked {
    let id = session()?;
    t.create(&id, vec![append(say("one").as_json()), set_app("{\"count\":\"many\"}")]).await?;
    let chat = t.typed_registry::<Counter>().session(id.clone());
    chat.add_message(say("two")).await?;
    let page = chat.messages(MessageQuery::last(10)).await?;
    ensure_eq!(page.messages.len(), 2, "the messages beside app state that does not fit");
    let update = chat.update(|app| app.count += 1).await;
    ensure!(
        matches!(update, Err(Error::AppState { .. })),
        "an update of app state that does not fit: {update:?}"
    );
    let state = chat.get_state().await.map(|_| ());
    ensure!(
        matches!(state, Err(Error::AppState { .. })),
        "get_state of app state that does not fit: {state:?}"
    );
    ensure_eq!(t.all(&id).await?.app, "{\"count\":\"many\"}", "the stored app state");
    Ok(())
}

pub(crate) async fn a_message_id_is_stored_once(t: &mut Fixture) -> Checked {
    let id = session()?;
    let first = t.registry().session(id.clone());
    let sent = || message(r#"{"role":"user","content":"hi","id":"m-1","n":1.0}"#);
    let added = first.add_message(sent()?).await?;
    ensure_eq!((added.seq, added.replayed), (1, false), "the message sent first");
    first.add_message(say("between")).await?;
    for (subject, chat) in
        [("the same registry", first), ("a new registry", t.registry().session(id))]
    {
        let equal = message(r#"{ "id": "m-1", "n": 10e-1, "content": "hi", "role": "user" }"#)?;
        for again in [sent()?, equal] {
            let again = chat.add_message(again).await?;
            ensure_eq!(
                (again.seq, again.replayed),
                (1, true),
                "the message sent again through {subject}"
            );
        }
        let other = chat.add_message(say("something else").with_id("m-1")).await;
        ensure!(
            matches!(other, Err(Error::IdReused { seq: 1, .. })),
            "a reused id through {subject}: {other:?}"
        );
        ensure_eq!(said(&chat).await?, ["hi", "between"], "the texts through {subject}");
    }
    Ok(())
}

fn message(json: &str) -> Checked<Message> {
    Message::from_json(json).map_err(Failure::new)
}

pub(crate) async fn a_batch_that_mixes_known_and_new_ids_is_refused(t: &mut Fixture) -> Checked {
    let chat = t.registry().session(session()?);
    let batch = |ids: &[&str]| ids.iter().map(|id| say(id).with_id(id)).collect::<Vec<_>>();
    let seqs = |added: Vec<durable_session::Added>| {
        added.iter().map(|a| (a.seq, a.replayed)).collect::<Vec<_>>()
    };
    let new = chat.add_messages(batch(&["a", "b"])).await?;
    ensure_eq!(seqs(new), [(1, false), (2, false)], "a batch of new messages");
    let known = t.registry().session(session()?).add_messages(batch(&["a", "b"])).await?;
    ensure_eq!(seqs(known), [(1, true), (2, true)], "a batch of known messages");
    for mixed in [batch(&["b", "c"]), batch(&["c", "a"])] {
        let mixed = chat.add_messages(mixed).await;
        ensure!(
            matches!(mixed, Err(Error::PartlyKnown { known: 1, .. })),
            "a mixed batch ended as {mixed:?}"
        );
    }
    ensure_eq!(said(&chat).await?, ["a", "b"], "the texts of the session");
    Ok(())
}

/// Ids are found by registries with a small and a large window, and by new registries.
pub(crate) async fn an_id_is_found_among_the_last_64_messages(t: &mut Fixture) -> Checked {
    // Small enough for the limits of any store, and larger than the small window.
    let large = |n: u64| say(&"x".repeat(500)).with_id(format!("m-{n}"));
    let little = Window { messages: 3, bytes: 900 };
    for (n, window) in [little, Window::default()].into_iter().enumerate() {
        for fresh in [false, true] {
            let id = id(&format!("last-{n}-{fresh}"))?;
            let registry = || -> ChatSessions {
                registry_on(t.store(), &ManualClock::new(), |b| b.window(window))
            };
            let first = registry().session(id.clone());
            for n in 1..=64 {
                first.add_message(large(n)).await?;
            }
            let chat: ChatSession = if fresh { registry().session(id) } else { first };
            for n in [1, 2, 33, 64] {
                let again = chat.add_message(large(n)).await?;
                ensure_eq!(
                    (again.seq, again.replayed),
                    (n, true),
                    "a message sent again, {window:?}"
                );
            }
            let other = chat.add_message(say("other").with_id("m-1")).await;
            ensure!(
                matches!(other, Err(Error::IdReused { seq: 1, .. })),
                "another message of a known id"
            );
            chat.add_message(large(65)).await?;
            let again = chat.add_message(large(1)).await?;
            ensure_eq!(
                (again.seq, again.replayed),
                (66, false),
                "a message before the last 64, {window:?}"
            );
            let again = chat.add_message(large(4)).await?;
            ensure_eq!(
                (again.seq, again.replayed),
                (4, true),
                "a message among the last 64, {window:?}"
            );
        }
    }
    Ok(())
}

pub(crate) async fn after_a_removal_older_ids_are_found_again(t: &mut Fixture) -> Checked {
    let window = Window { messages: 3, bytes: u64::MAX };
    let registry =
        || -> ChatSessions { registry_on(t.store(), &ManualClock::new(), |b| b.window(window)) };
    let chat = registry().session(session()?);
    let sent = |n: u64| say(&n.to_string()).with_id(format!("m-{n}"));
    chat.add_messages((1..=68).map(sent).collect()).await?;
    // A turn that pops more messages than are in memory loads earlier ones, also if it is refused
    // in the end.
    let refused = chat.turn(|draft| {
        for _ in 0..4 {
            draft.pop()?;
        }
        Err::<(), _>(Error::rejected("no"))
    });
    ensure!(matches!(refused.await, Err(Error::Rejected(_))), "a refused turn was made");
    let known = chat.add_message(sent(5)).await?;
    ensure_eq!((known.seq, known.replayed), (5, true), "a message sent again, the last of 64");
    chat.rewind_to(67).await?;
    let known = chat.add_message(sent(4)).await?;
    ensure_eq!((known.seq, known.replayed), (4, true), "a message that a removal brought back");
    let beyond = chat.add_message(sent(3)).await?;
    ensure_eq!((beyond.seq, beyond.replayed), (69, false), "a message before the last 64");
    Ok(())
}

pub(crate) async fn a_list_of_messages_is_stored_as_its_difference(t: &mut Fixture) -> Checked {
    const MESSAGES: usize = 60;
    let id = session()?;
    let registry = || -> ChatSessions {
        let window = Window { messages: 5, bytes: u64::MAX };
        registry_on(t.store(), &ManualClock::new(), |builder| builder.window(window))
    };
    let mut list: Vec<_> = (1..=MESSAGES).map(|n| say(&n.to_string())).collect();
    list[MESSAGES - 1] = say("last").with_id("m-last");
    registry().session(id.clone()).add_messages(list.clone()).await?;
    let chat = registry().session(id.clone());
    let before = chat.snapshot().await?.version();
    let read = chat.get_state().await?.messages;
    chat.turn(|draft| draft.set_messages(&read)).await?;
    ensure_eq!(
        registry().session(id.clone()).snapshot().await?.version(),
        before,
        "the version after no change"
    );

    // One message is edited, some are removed before the window and in it, and one is added.
    list[1] = say("edited");
    list.remove(MESSAGES - 2);
    list.drain(9..49);
    list.push(say("new").with_id("m-new"));
    chat.turn(|draft| draft.set_messages(&list)).await?;
    let kept = (1..10).chain(50..59).chain(60..62);
    let expected: Vec<_> = kept.zip(list).collect();
    for (subject, chat) in
        [("the registry that wrote", chat), ("a new registry", registry().session(id))]
    {
        let page = chat.messages(MessageQuery::after(0, usize::MAX)).await?;
        let found: Vec<_> =
            page.messages.into_iter().map(|stored| (stored.seq, stored.message)).collect();
        ensure!(found == expected, "the messages in {subject}");
        for (message, seq) in
            [(say("last").with_id("m-last"), 60), (say("new").with_id("m-new"), 61)]
        {
            let again = chat.add_message(message).await?;
            ensure_eq!(
                (again.seq, again.replayed),
                (seq, true),
                "a message sent again to {subject}"
            );
        }
    }
    Ok(())
}

pub(crate) async fn an_absent_session_reads_as_new_and_is_not_written(t: &mut Fixture) -> Checked {
    let id = session()?;
    let registry: ChatSessions =
        registry_on(t.store(), &ManualClock::new(), |b| b.greeting(Message::assistant("Hi!")));
    let chat = registry.session(id.clone());
    ensure!(!chat.snapshot().await?.exists(), "a session that was never written exists");
    ensure_eq!(said(&chat).await?, ["Hi!"], "the texts in a new session");
    chat.messages(MessageQuery::last(9)).await?;
    chat.touch().await?;
    ensure!(t.maybe_all(&id).await?.is_none(), "reading an absent session created it");
    ensure_eq!(
        chat.add_message(say("hello")).await?.seq,
        2,
        "the seq of the message after the greeting"
    );
    ensure_eq!(t.all(&id).await?.head.messages, 2, "the messages stored");

    ensure!(chat.delete().await?, "the delete of a session reported an absent one");
    ensure!(!chat.delete().await?, "the delete of an absent session reported a deleted one");
    ensure!(t.maybe_all(&id).await?.is_none(), "a deleted session is still stored");
    ensure_eq!(said(&chat).await?, ["Hi!"], "the texts in a deleted session");
    chat.add_message(say("again")).await?;
    ensure_eq!(
        said(&t.registry().session(id)).await?,
        ["Hi!", "again"],
        "the texts after it was created again"
    );
    Ok(())
}

pub(crate) async fn two_registries_create_a_session_once(t: &mut Fixture) -> Checked {
    let id = session()?;
    let registry = || -> ChatSessions {
        registry_on(t.store(), &ManualClock::new(), |b| b.greeting(Message::assistant("Hi!")))
    };
    let (one, two) = (registry().session(id.clone()), registry().session(id.clone()));
    ensure!(!one.snapshot().await?.exists(), "a session that was never written exists");
    ensure!(!two.snapshot().await?.exists(), "a session that was never written exists");
    one.add_message(say("one")).await?;
    two.add_message(say("two")).await?;
    ensure_eq!(
        said(&registry().session(id)).await?,
        ["Hi!", "one", "two"],
        "the texts of the session"
    );
    Ok(())
}

pub(crate) async fn a_long_session_is_read_in_bounded_parts(t: &mut Fixture) -> Checked {
    const MESSAGES: u64 = 1500;
    let id = session()?;
    let texts: Vec<_> = (1..=MESSAGES).map(|n| n.to_string()).collect();
    let window = Window { messages: 10, bytes: u64::MAX };
    let registry: ChatSessions =
        registry_on(t.store(), &ManualClock::new(), |builder| builder.window(window));
    for some in texts.chunks(100) {
        registry
            .session(id.clone())
            .add_messages(some.iter().map(|text| say(text)).collect())
            .await?;
    }
    let fresh: ChatSessions =
        registry_on(t.store(), &ManualClock::new(), |builder| builder.window(window));
    for (subject, chat) in [
        ("the registry that wrote", registry.session(id.clone())),
        ("a new registry", fresh.session(id)),
    ] {
        let snapshot = chat.snapshot().await?;
        ensure_eq!(snapshot.message_count(), MESSAGES, "the number of messages in {subject}");
        ensure!(
            snapshot.tail().len() <= 10,
            "the tail of {} messages in {subject}",
            snapshot.tail().len()
        );
        ensure!(
            said(&chat).await? == texts,
            "get_state of {subject} returns other texts than were added"
        );
        for (query, first, more) in [
            (MessageQuery::last(25), 1476, true),
            (MessageQuery::before(501, 500), 1, false),
            (MessageQuery::before(700, 25), 675, true),
            (MessageQuery::after(0, 25), 1, true),
            (MessageQuery::after(1480, 100), 1481, false),
        ] {
            let page = chat.messages(query).await?;
            ensure_eq!(page.more, more, "whether there is more of {query:?}");
            ensure_eq!(page.version, snapshot.version(), "the version of {query:?}");
            for (message, seq) in page.messages.iter().zip(first..) {
                let text = message.message.text();
                ensure_eq!(
                    (message.seq, text.as_deref()),
                    (seq, Some(seq.to_string().as_str())),
                    "{query:?}"
                );
            }
        }
    }
    Ok(())
}

pub(crate) async fn sessions_in_memory_are_bounded(t: &mut Fixture) -> Checked {
    let memory = Memory { bytes: 20_000, idle: Duration::from_mins(10) };
    let registry: ChatSessions =
        registry_on(t.store(), &ManualClock::new(), |builder| builder.memory(memory));
    let text = "x".repeat(1000);
    let mut handles = Vec::new();
    for n in 0..60 {
        let chat = registry.session(id(&format!("session-{n}"))?);
        chat.add_message(say(&text)).await?;
        handles.push(chat);
        let bytes = registry.stats().live_bytes;
        ensure!(bytes <= memory.bytes, "{bytes} bytes are live, {} may be", memory.bytes);
    }
    for chat in &handles {
        ensure_eq!(
            chat.snapshot().await?.message_count(),
            1,
            "the messages of a session held all along"
        );
    }
    Ok(())
}

pub(crate) async fn a_call_that_exceeds_a_limit_changes_nothing(t: &mut Fixture) -> Checked {
    let id = session()?;
    let limits =
        Limits { message_bytes: 100, app_bytes: 50, session_messages: 3, session_bytes: 250 };
    let registry: ChatSessions =
        registry_on(t.store(), &ManualClock::new(), |builder| builder.limits(limits));
    let chat = registry.session(id.clone());
    chat.add_messages(vec![say("one"), say("two")]).await?;
    set(&chat, "step", "1").await?;
    let before = t.all(&id).await?;
    let long = "x".repeat(100);
    let refused = |result: Result<(), Error>, expected: LimitKind| match result {
        Err(Error::TooLarge { limit, .. }) if limit == expected => Ok(()),
        other => Err(Failure::new(format_args!("more than {expected:?} ended as {other:?}"))),
    };
    refused(chat.add_message(say(&long)).await.map(|_| ()), LimitKind::MessageBytes)?;
    refused(chat.replace(1, say(&long)).await, LimitKind::MessageBytes)?;
    refused(
        chat.add_messages(vec![say("3"), say("4")]).await.map(|_| ()),
        LimitKind::SessionMessages,
    )?;
    refused(chat.update(|app| drop(app.set("long", &long))).await, LimitKind::AppBytes)?;
    ensure_eq!(t.all(&id).await?, before, "the session after refused calls");
    chat.add_message(say("three")).await?;
    refused(chat.add_message(say("four")).await.map(|_| ()), LimitKind::SessionMessages)?;
    ensure_eq!(said(&chat).await?, ["one", "two", "three"], "the texts of the session");
    Ok(())
}
