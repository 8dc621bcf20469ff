//! Hints of the changes that other openings made.

use crate::fixture::{append, create, id, loaded, on, wait_for};
use crate::server::{self, Schema};
use durable_session::store::{CommitOutcome, DeleteIf, Hint, Hints, Op, SessionStore};
use durable_session::{ChatSessions, Message, NewReply, Opened, SessionId};
use durable_session_postgres::PostgresStore;
use futures_executor::{block_on, block_on_stream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Hints as they come; the channel ends with the stream.
fn listen(store: &PostgresStore) -> Receiver<Hint> {
    let mut stream = block_on_stream(block_on(store.hints()).unwrap());
    let (sender, hints) = channel();
    std::thread::spawn(move || stream.all(|hint| sender.send(hint).is_ok()));
    hints
}

fn next(hints: &Receiver<Hint>) -> Option<Hint> {
    match hints.recv_timeout(Duration::from_mins(1)) {
        Ok(hint) => Some(hint),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => panic!("waited in vain for a hint"),
    }
}

/// Reads hints up to one of this session. Hints may come twice, and of changes from before.
fn hears(hints: &Receiver<Hint>, id: &SessionId, never: &SessionId) {
    loop {
        let hint = next(hints).unwrap();
        assert_ne!(hint, Hint::Session(never.clone()), "a change of its own");
        if hint == Hint::Session(id.clone()) {
            return;
        }
    }
}

#[test]
fn an_opening_hears_of_each_change_of_another_and_of_none_of_its_own() {
    let Some(url) = server::url("hints") else { return };
    let schema = Schema::new(&url);
    let (listener, writer) = (schema.open(), schema.open());
    let own = id("own");
    let hints = listen(&listener);
    create(&listener, &own, vec![append("a")]);
    let hears = |id: &SessionId| hears(&hints, id, &own);

    // Each kind of change is made in a session of its own.
    let changes: [fn() -> Op; 3] =
        [|| append("b"), || Op::SetApp("{}".into()), || Op::Remove { first: 1, last: 1 }];
    for (n, change) in changes.into_iter().enumerate() {
        let id = id(&format!("changed-{n}"));
        let head = create(&writer, &id, vec![append("a")]);
        hears(&id);
        let outcome = block_on(writer.commit(&id, on(head, vec![change()]))).unwrap();
        assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
        hears(&id);
    }

    // A session that is gone, and that the listener has used, has an id.
    let gone = id("gone");
    create(&writer, &gone, vec![append("a")]);
    hears(&gone);
    loaded(&listener, &gone);
    block_on(writer.delete(&gone, DeleteIf::Any)).unwrap();
    hears(&gone);

    let sessions: ChatSessions = ChatSessions::builder(writer).build();
    let chat = id("chat");
    let opened = block_on(
        sessions.session(chat.clone()).reply(|_| Ok(NewReply::new(Message::assistant("")))),
    );
    hears(&chat);
    let Opened::New(mut reply) = opened.unwrap() else { panic!("the reply is new") };
    for _ in 0..3 {
        block_on(reply.push("word ")).unwrap();
        hears(&chat);
    }
    block_on(reply.finish()).unwrap();
    hears(&chat);
}

#[test]
fn nothing_is_sent_while_nobody_listens() {
    let Some(url) = server::url("no hints") else { return };
    let schema = Schema::new(&url);
    let (listener, writer) = (schema.open(), schema.open());
    let mut head = create(&writer, &id("one"), vec![append("a")]);
    for _ in 0..50 {
        let outcome = block_on(writer.commit(&id("one"), on(head, vec![append("b")]))).unwrap();
        let CommitOutcome::Committed(now) = outcome else { panic!("{outcome:?}") };
        head = now;
    }
    std::thread::sleep(Duration::from_millis(200));
    let stats = writer.stats();
    assert_eq!((stats.commits, stats.changes, stats.hints), (51, 51, 0));
    // Until somebody does. The stream begins when the writer knows of it.
    let hints = listen(&listener);
    create(&writer, &id("two"), vec![append("a")]);
    assert_eq!(next(&hints), Some(Hint::Session(id("two"))));
    // It is counted after it was sent.
    wait_for("the hint is counted", || writer.stats().hints == 1);
}

#[test]
fn a_stream_ends_with_its_connection_and_with_its_store_and_another_can_be_opened() {
    let Some(url) = server::url("the end of hints") else { return };
    let schema = Schema::new(&url);
    let separator = if url.contains('?') { '&' } else { '?' };
    let named = format!("{url}{separator}application_name={}", schema.name);
    let (listener, writer) = (schema.open_at(&named), schema.open());
    let hints = listen(&listener);
    let killed = schema.query(
        "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity AS a JOIN pg_locks AS l \
         ON l.pid = a.pid WHERE l.locktype = 'advisory' AND a.application_name = '{s}'",
        &[],
    );
    assert_eq!((killed.len(), next(&hints)), (1, None));

    let hints = listen(&listener);
    let again = listen(&listener);
    create(&writer, &id("one"), vec![append("a")]);
    for hints in [&hints, &again] {
        assert_eq!(next(hints), Some(Hint::Session(id("one"))));
    }
    drop(listener);
    wait_for("the streams end", || [&hints, &again].iter().all(|hints| hints.try_recv().is_err()));
    assert_eq!((next(&hints), next(&again)), (None, None));
}
