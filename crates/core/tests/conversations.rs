//! The conversations of a person: labels, listings, erasures and forks (C13).
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod common;

use async_trait::async_trait;
use common::conversations::{create, exists, listed, over, said};
use common::{Fault, ManualClock, Puppet, id, settle, spawn_add};
use durable_session::store::{
    DeleteIf, Labels, ListPage, ListQuery, SessionList, SessionStore, StoreError, StoreLimits,
};
use durable_session::{
    ChatSession, ChatSessions, Error, Fork, JsonObject, LimitKind, ListCursor, Message, Opened,
    Watched,
};
use durable_session_memory::MemoryStore;
use std::sync::Arc;
use testkit::{Through, Wrapper};

/// Clause C13.
#[tokio::test]
async fn a_session_is_created_once_with_its_labels_and_its_initial_state() {
    let store = Puppet::new();
    let sessions: ChatSessions =
        store.builder(ManualClock::at(1)).greeting(Message::assistant("Hi!")).build();
    let chat = create(&sessions, "s", "u-42").await;
    assert_eq!(said(&chat).await, ["Hi!"]);
    let snapshot = chat.snapshot().await.unwrap();
    assert_eq!(snapshot.labels(), &Labels::owner("u-42").title("Title of s"));
    assert_eq!(store.commits().len(), 1, "in one commit");
    let again = sessions.create(id("s"), Labels::NONE).await;
    assert!(matches!(again, Err(Error::SessionExists { .. })));
    let bare = sessions.create(id("bare"), Labels::NONE).await.unwrap();
    assert!(bare.snapshot().await.unwrap().exists(), "a session without labels is created, too");
}

/// Clause C13, S11.
#[tokio::test]
async fn labels_are_set_in_a_turn_and_stay_through_a_reset() {
    let store = Puppet::new();
    let clock = ManualClock::at(1_000);
    let chat = listed(&store, &clock).session(id("s"));
    chat.add_message(Message::user("one")).await.unwrap();
    let mut watcher = chat.watch();
    let before = chat.snapshot().await.unwrap();
    clock.advance(5);
    let labels = Labels::owner("u-42").title("Lifetimes");
    chat.turn(|draft| {
        draft.set_labels(&labels)?;
        assert_eq!(draft.labels(), &labels, "a draft reads its own writes");
        Ok(())
    })
    .await
    .unwrap();
    let after = chat.snapshot().await.unwrap();
    assert_eq!(after.labels(), &labels);
    assert_ne!(after.version(), before.version());
    assert_eq!((after.base(), after.changed_at()), (before.base(), 1_000));
    let Watched::Changed(change) = watcher.next().await else { panic!("nothing was told") };
    assert!(change.labels_changed && !change.app_changed && !change.rewritten);
    let commits = store.commits().len();
    chat.set_labels(labels.clone()).await.unwrap();
    assert_eq!(store.commits().len(), commits, "the same labels are not written again");
    chat.reset().await.unwrap();
    assert_eq!(chat.snapshot().await.unwrap().labels(), &labels);
    let loaded = store.sessions().session(id("s")).snapshot().await.unwrap();
    assert_eq!(loaded.labels(), &labels, "and a load brings them");
}

/// Clauses C9 and S7.
#[tokio::test]
async fn labels_beyond_their_limits_are_a_typed_error() {
    let store = Puppet::new();
    let chat = store.sessions().session(id("s"));
    for (labels, kind, max) in [
        (Labels::owner("o".repeat(257)), LimitKind::OwnerBytes, 256),
        (Labels::NONE.title("t".repeat(1025)), LimitKind::TitleBytes, 1024),
    ] {
        match chat.set_labels(labels).await {
            Err(Error::TooLarge { limit, is, max: at_most, .. }) => {
                assert_eq!((limit, is, at_most), (kind, max + 1, max));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(store.commits().is_empty());
}

/// Clause C13.
#[tokio::test]
async fn an_owners_sessions_are_listed_newest_first_with_their_last_messages() {
    let store = Puppet::new();
    let clock = ManualClock::at(1_000);
    let sessions = listed(&store, &clock);
    for n in 0..7 {
        clock.advance(10);
        let chat = create(&sessions, &format!("s-{n}"), "u-42").await;
        chat.add_message(Message::user(format!("last of {n}"))).await.unwrap();
        create(&sessions, &format!("other-{n}"), "u-43").await;
    }
    clock.advance(10);
    sessions.session(id("s-2")).add_message(Message::user("newest")).await.unwrap();
    let listing = sessions.of("u-42").newest_first().limit(3).with_last_message();
    let (mut names, mut last, mut cursor) = (Vec::new(), Vec::new(), None);
    loop {
        let reads = store.reads();
        let page = listing.page(cursor.as_ref()).await.unwrap();
        assert!(page.sessions.len() <= 3);
        assert_eq!(store.reads() - reads, page.sessions.len(), "one read for each session");
        for session in &page.sessions {
            names.push(session.id.as_str().to_owned());
            let message = &session.last.as_ref().unwrap().message;
            last.push(message.text().unwrap().into_owned());
            assert_eq!(session.labels.get_owner(), Some("u-42"));
        }
        match page.next {
            Some(next) => cursor = Some(ListCursor::from(next.as_str())),
            None => break,
        }
    }
    assert_eq!(names, ["s-2", "s-6", "s-5", "s-4", "s-3", "s-1", "s-0"]);
    assert_eq!((&*last[0], &*last[1]), ("newest", "last of 6"));
    let page = sessions.of("u-42").by_id().limit(1000).page(None).await.unwrap();
    let ids: Vec<_> = page.sessions.iter().map(|session| session.id.as_str()).collect();
    assert_eq!(ids, ["s-0", "s-1", "s-2", "s-3", "s-4", "s-5", "s-6"]);
    assert!(page.sessions.iter().all(|session| session.last.is_none()), "they were not asked for");
    let shown = format!("{page:?} {:?}", sessions.of("u-42"));
    assert!(!shown.contains("u-42") && !shown.contains("Title"), "{shown}");
}

/// Clause C13.
#[tokio::test]
async fn a_foreign_or_altered_cursor_is_a_typed_error() {
    let store = Puppet::new();
    let sessions = over(&store);
    for n in 0..3 {
        create(&sessions, &format!("s-{n}"), "u-42").await;
        create(&sessions, &format!("t-{n}"), "u-43").await;
    }
    let page = sessions.of("u-42").limit(1).page(None).await.unwrap();
    let next = page.next.unwrap();
    assert!(sessions.of("u-42").limit(1).page(Some(&next)).await.is_ok());
    let altered = ListCursor::from(&next.as_str()[2..]);
    let empty = ListCursor::from("");
    for (listing, cursor) in [
        (sessions.of("u-43"), &next),
        (sessions.of("u-42").by_id(), &next),
        (sessions.of("u-42"), &altered),
        (sessions.of("u-42"), &empty),
    ] {
        let refused = listing.page(Some(cursor)).await;
        assert!(matches!(refused, Err(Error::InvalidCursor)), "{refused:?}");
    }
    assert!(matches!(store.sessions().of("u-42").page(None).await, Err(Error::NoListing)));
}

/// A store in which somebody deletes the listed sessions and creates them for another owner before
/// the list is returned.
struct Retaken(MemoryStore);

#[async_trait]
impl Wrapper for Retaken {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.0
    }

    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        let page = self.0.list(query).await?;
        let sessions = ChatSessions::<JsonObject>::builder(self.0.clone()).build();
        for listed in &page.sessions {
            self.0.delete(&listed.id, DeleteIf::Any).await?;
            let chat = sessions.create(listed.id.clone(), Labels::owner("u-43")).await.unwrap();
            chat.add_message(Message::user("a secret of u-43")).await.unwrap();
        }
        Ok(page)
    }
}

/// Clause C13.
#[tokio::test]
async fn a_listing_shows_no_message_of_a_session_that_another_owner_has_taken() {
    let store = Arc::new(Through(Retaken(MemoryStore::new())));
    let sessions: ChatSessions =
        ChatSessions::builder(Arc::clone(&store)).listing(Arc::clone(&store)).build();
    create(&sessions, "s", "u-42").await;
    let page = sessions.of("u-42").with_last_message().page(None).await.unwrap();
    assert!(page.sessions.is_empty(), "{page:?}");
    // Neither does an erasure take it.
    let report = sessions.erase_owner("u-42").await.unwrap();
    assert_eq!((report.erased, report.failed.len()), (0, 0));
    assert!(sessions.session(id("s")).snapshot().await.unwrap().exists());
}

/// A source with a gap, labels and app state.
async fn source(sessions: &ChatSessions) -> ChatSession {
    let chat = create(sessions, "source", "u-42").await;
    for n in 1..=6 {
        let message = Message::user(format!("m{n}")).with_id(format!("id-{n}"));
        chat.add_message(message).await.unwrap();
    }
    chat.remove(2).await.unwrap();
    chat.update(|app| app.set_json("step", "{\"n\": 1.0}").unwrap()).await.unwrap();
    chat
}

/// Clause C13.
#[tokio::test]
async fn a_fork_is_an_exact_copy_in_one_commit() {
    let store = Puppet::new();
    let sessions: ChatSessions = store
        .builder(ManualClock::at(1_000))
        .greeting(Message::assistant("Hi!"))
        .listing(store.clone())
        .build();
    let source = source(&sessions).await;
    let target = sessions.session(id("fork"));
    target.snapshot().await.unwrap();
    let mut watcher = target.watch();
    let commits = store.commits().len();
    // The greeting is seq 1, `m1` was seq 2 and is gone.
    let fork = source.fork(id("fork"), Fork::through(5)).await.unwrap();
    assert_eq!(store.commits().len(), commits + 1);
    let Watched::Changed(change) = watcher.next().await else { panic!("nothing was told") };
    assert!(change.rewritten);
    assert_eq!(said(&fork).await, ["Hi!", "m2", "m3", "m4"]);
    let (ours, theirs) = (source.get_state().await.unwrap(), store.sessions().session(id("fork")));
    let copied = theirs.get_state().await.unwrap();
    for (ours, theirs) in ours.messages.iter().zip(&copied.messages) {
        assert_eq!(ours.as_json(), theirs.as_json(), "byte for byte");
    }
    let (from, to) = (source.snapshot().await.unwrap(), theirs.snapshot().await.unwrap());
    assert_eq!(from.app_json().unwrap().to_string(), to.app_json().unwrap().to_string());
    assert_eq!(from.labels(), to.labels());
    assert_eq!((to.message_count(), to.next_seq()), (4, 5), "seqs begin at 1 and have no gap");
    // The ids of the messages are known there (C7).
    let again = fork.add_message(Message::user("m4").with_id("id-4")).await.unwrap();
    assert!(again.replayed);
    fork.add_message(Message::user("its own way")).await.unwrap();
    assert_eq!(said(&source).await.len(), 6, "and the source goes its own way, too");
    let empty = source.fork(id("empty"), Fork::through(0)).await.unwrap();
    assert!(said(&empty).await.is_empty());
}

/// Clause C13.
#[tokio::test]
async fn a_fork_made_again_is_found_and_a_collision_is_told() {
    let store = Puppet::new();
    let sessions = over(&store);
    let source = source(&sessions).await;
    store.fail_commits(&[Fault::After]);
    let lost = source.fork(id("fork"), Fork::through(4)).await;
    assert!(lost.unwrap_err().outcome_unknown());
    let commits = store.commits().len();
    let fork = source.fork(id("fork"), Fork::through(4)).await.unwrap();
    assert_eq!(store.commits().len(), commits, "it is there");
    assert_eq!(said(&fork).await, ["m1", "m3", "m4"]);
    // Both have changed since, and another process asks.
    fork.add_message(Message::user("its own way")).await.unwrap();
    source.add_message(Message::user("m7")).await.unwrap();
    let elsewhere = store.sessions().session(id("source"));
    let found = elsewhere.fork(id("fork"), Fork::through(4)).await.unwrap();
    assert_eq!(said(&found).await.len(), 4);
    let exists = |result: Result<ChatSession, Error>| {
        assert!(matches!(result, Err(Error::SessionExists { .. })), "{result:?}");
    };
    exists(source.fork(id("fork"), Fork::through(3)).await);
    exists(fork.fork(id("source"), Fork::through(1)).await);
    exists(source.fork(id("source"), Fork::through(4)).await);
    create(&sessions, "taken", "u-42").await;
    exists(source.fork(id("taken"), Fork::through(4)).await);
    // Another life of the source is another source.
    source.delete().await.unwrap();
    for n in 0..6 {
        source.add_message(Message::user(format!("new {n}"))).await.unwrap();
    }
    exists(source.fork(id("fork"), Fork::through(4)).await);
    // A fork that was deleted is made anew, with other versions.
    let first = fork.snapshot().await.unwrap().version();
    fork.delete().await.unwrap();
    source.fork(id("fork"), Fork::through(4)).await.unwrap();
    assert_ne!(fork.snapshot().await.unwrap().version(), first);
    let life = |chat: &ChatSession| {
        let chat = chat.clone();
        async move { chat.snapshot().await.unwrap().version().unwrap().incarnation() }
    };
    let before = life(&fork).await;
    fork.delete().await.unwrap();
    source.fork(id("fork"), Fork::through(4)).await.unwrap();
    assert_ne!(life(&fork).await, before, "no incarnation occurs twice");
}

/// Clause C13.
#[tokio::test]
async fn forks_at_once_make_one_session() {
    let store = Puppet::new();
    let sessions = over(&store);
    let source = source(&sessions).await;
    store.hold_commits();
    let fork = |sessions: &ChatSessions| {
        let source = sessions.session(id("source"));
        tokio::spawn(async move { source.fork(id("fork"), Fork::through(4)).await.map(drop) })
    };
    let other = store.sessions();
    let calls = [fork(&sessions), fork(&sessions), fork(&other)];
    settle().await;
    store.release();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(said(&source.fork(id("fork"), Fork::through(4)).await.unwrap()).await.len(), 3);
}

/// Clause C13: a caller that goes away leaves a fork whole or none, and reads show it.
#[tokio::test]
async fn a_dropped_fork_is_whole_or_nothing() {
    let store = Puppet::new();
    let sessions = over(&store);
    let source = source(&sessions).await;
    let target = sessions.session(id("fork"));
    assert!(!target.snapshot().await.unwrap().exists());
    store.hold_commits();
    let call = tokio::spawn({
        let source = source.clone();
        async move { source.fork(id("fork"), Fork::through(4)).await.map(drop) }
    });
    settle().await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    store.release();
    settle().await;
    let snapshot = target.snapshot().await.unwrap();
    assert!(snapshot.exists(), "the store had taken it, and readers see that");
    assert_eq!(said(&target).await, ["m1", "m3", "m4"]);
}

/// Clauses C13 and C11.
#[tokio::test]
async fn an_open_reply_is_copied_as_interrupted_and_goes_on_in_the_source() {
    let store = Puppet::new();
    let sessions = over(&store);
    let chat = create(&sessions, "source", "u-42").await;
    let opened = chat
        .reply(|draft| {
            draft.add_message(Message::user("Explain lifetimes").with_id("m-7"))?;
            Ok(Message::assistant(""))
        })
        .await
        .unwrap();
    let Opened::New(mut reply) = opened else { panic!("{opened:?}") };
    reply.push("Once ").await.unwrap();
    let fork = chat.fork(id("fork"), Fork::through(2)).await.unwrap();
    reply.push("upon").await.unwrap();
    let copied = fork.get_state().await.unwrap().messages.pop().unwrap();
    assert_eq!(copied.text().as_deref(), Some("Once "));
    assert!(copied.as_json().contains("interrupted"), "{}", copied.as_json());
    assert_eq!(fork.snapshot().await.unwrap().open_replies().count(), 0);
    assert_eq!(reply.finish().await.unwrap().message.text().as_deref(), Some("Once upon"));
    // Before the open message there is nothing to interrupt.
    let before = chat.fork(id("before"), Fork::through(1)).await.unwrap();
    assert_eq!(said(&before).await, ["Explain lifetimes"]);
}

/// Clauses C13 and C9.
#[tokio::test]
async fn a_fork_that_cannot_be_made_changes_nothing() {
    let store = Puppet::new();
    let sessions = over(&store);
    let absent = sessions.session(id("absent")).fork(id("fork"), Fork::through(0)).await;
    assert!(matches!(absent, Err(Error::NoSuchMessage { .. })));
    let source = source(&sessions).await;
    let beyond = source.fork(id("fork"), Fork::through(7)).await;
    assert!(matches!(beyond, Err(Error::NoSuchMessage { seq: 7, .. })));
    let sessions = {
        store.set_limits(StoreLimits::new(1 << 20, 1 << 20, 1 << 20, 6));
        over(&store)
    };
    let many = sessions.session(id("source")).fork(id("fork"), Fork::through(6)).await;
    let Err(Error::TooLarge { limit, is, max, .. }) = many else { panic!("{many:?}") };
    assert_eq!((limit, is, max), (LimitKind::CommitOps, 7, 6));
    assert!(!exists(&store, "fork").await);
    let some = sessions.session(id("source")).fork(id("fork"), Fork::through(5)).await.unwrap();
    assert_eq!(said(&some).await.len(), 4);
}

/// Clause C13: the reads of a handle that sees nothing are those of a session that does not exist.
#[tokio::test]
async fn an_unseen_session_reads_as_one_that_never_existed() {
    let store = Puppet::new();
    let sessions: ChatSessions = store
        .builder(ManualClock::at(1_000))
        .greeting(Message::assistant("Hi!"))
        .listing(store.clone())
        .build();
    let chat = create(&sessions, "s", "u-42").await;
    chat.add_message(Message::user("a secret")).await.unwrap();
    let touches = store.touches();
    let (unseen, never) = (sessions.unseen(id("s")), sessions.session(id("t")));
    assert_eq!(
        unseen.get_state_json().await.unwrap(),
        never.get_state_json().await.unwrap(),
        "version and text"
    );
    assert!(unseen.labels().await.unwrap().is_empty());
    assert!(unseen.add_message(Message::user("mine")).await.is_err());
    assert_eq!(store.touches(), touches);
    assert_eq!(said(&chat).await, ["Hi!", "a secret"]);
    sessions.close().await.unwrap();
    let closed = sessions.unseen(id("s")).get_state().await;
    assert!(matches!(closed, Err(Error::Closed { .. })));
}

/// Clause C13.
#[tokio::test]
async fn the_call_that_creates_a_session_gives_it_the_owner_of_its_handle() {
    let store = Puppet::new();
    let sessions = over(&store);
    let chat = sessions.session(id("s")).owned_by("u-42");
    assert!(chat.pop().await.unwrap().is_none(), "it changes nothing");
    chat.reset().await.unwrap();
    assert!(store.commits().is_empty(), "so it creates nothing");
    store.hold_commits();
    let calls = [
        spawn_add(&chat, Message::user("one")),
        spawn_add(&sessions.session(id("s")).owned_by("u-43"), Message::user("two")),
    ];
    settle().await;
    store.release();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(chat.labels().await.unwrap(), Labels::owner("u-42"), "the first one decides");
    chat.turn(|draft| draft.set_labels(&Labels::NONE)).await.unwrap();
    chat.add_message(Message::user("three")).await.unwrap();
    assert!(chat.labels().await.unwrap().is_empty(), "later calls leave the labels alone");
    let own = Labels::owner("u-42").title("Mine");
    let titled = sessions.session(id("t")).owned_by("u-42");
    titled.set_labels(own.clone()).await.unwrap();
    assert_eq!(titled.labels().await.unwrap(), own);
    let too_long = sessions.session(id("u")).owned_by(&"o".repeat(257));
    let refused = too_long.add_message(Message::user("hi")).await;
    assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
}
