//! Registries of several processes over one store: reads are current, watchers and followers hear
//! of changes made elsewhere, and a server that lost changes is a new life (clauses C1, C6, C7, C11
//! and S12).
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;

use common::{id, settle, texts};
use durable_session::env::SystemRandom;
use durable_session::store::{SessionStore as _, Version};
use durable_session::{
    ChatSession, ChatSessions, Error, Followed, JsonObject, Message, MessageQuery, Opened, Reads,
    ReplyEnd, Watched, Watcher,
};
use durable_session_memory::MemoryStore;
use futures_util::FutureExt as _;
use std::sync::Arc;
use std::time::Duration;
use testkit::{Database, ManualClock, Replica};
use tokio::sync::Semaphore;
use tokio::time::timeout;

const LONG: Duration = Duration::from_mins(1);

/// A bound for a wait that ends unless the library is broken.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(LONG, work).await.unwrap()
}

fn registry(replica: &Replica) -> ChatSessions {
    ChatSessions::builder(replica.clone()).build()
}

/// A registry whose watchers wait for the test before each question.
fn watching(replica: &Replica) -> (ChatSessions, Arc<Semaphore>) {
    let turns = Arc::new(Semaphore::new(0));
    let pause = Arc::clone(&turns);
    let sessions = ChatSessions::builder(replica.clone())
        .watch_every(move || {
            let pause = Arc::clone(&pause);
            async move { pause.acquire().await.unwrap().forget() }
        })
        .build();
    (sessions, turns)
}

async fn shown(chat: &ChatSession) -> Vec<String> {
    texts(&soon(chat.get_state()).await.unwrap().messages)
}

async fn say(chat: &ChatSession, text: &str) {
    soon(chat.add_message(Message::user(text))).await.unwrap();
}

#[tokio::test]
async fn every_read_sees_the_changes_of_another_process() {
    let database = Database::new();
    let (a, b) = (database.replica(), database.replica());
    let (ours, theirs) = (registry(&a), registry(&b));
    let (chat, other) = (ours.session(id("s")), theirs.session(id("s")));
    assert!(shown(&chat).await.is_empty(), "both have it in memory as absent");
    assert!(shown(&other).await.is_empty());

    say(&other, "one").await;
    assert_eq!(shown(&chat).await, ["one"]);
    say(&chat, "two").await;
    assert_eq!(shown(&other).await, ["one", "two"]);

    soon(other.replace(1, Message::user("ONE"))).await.unwrap();
    let page = soon(chat.messages(MessageQuery::last(10))).await.unwrap();
    assert_eq!(page.messages[0].message.text().unwrap(), "ONE");
    soon(other.update(|app: &mut JsonObject| app.set("n", &7).unwrap())).await.unwrap();
    assert_eq!(
        soon(chat.snapshot()).await.unwrap().app().unwrap().get::<u8>("n").unwrap(),
        Some(7)
    );
    let (version, json) = soon(chat.get_state_json()).await.unwrap();
    assert!(json.contains("ONE"));
    assert_eq!(version, soon(other.snapshot()).await.unwrap().version());

    assert!(soon(other.delete()).await.unwrap());
    assert!(!soon(chat.snapshot()).await.unwrap().exists());
    say(&other, "again").await;
    let mut parts = soon(chat.message_parts()).await.unwrap();
    let part = soon(parts.next()).await.unwrap().unwrap();
    assert!(String::from_utf8(part.to_vec()).unwrap().contains("again"));
}

#[tokio::test]
async fn a_session_that_did_not_change_is_read_without_its_rows() {
    let database = Database::new();
    let (a, b) = (database.replica(), database.replica());
    let (chat, other) = (registry(&a).session(id("s")), registry(&b).session(id("s")));
    say(&other, "one").await;
    let version = soon(chat.snapshot()).await.unwrap().version();
    assert_eq!((a.loads().len(), a.loaded()), (1, 1), "the first read loads");
    for _ in 0..5 {
        assert_eq!(shown(&chat).await, ["one"]);
    }
    assert_eq!((a.loads().len(), a.loaded()), (6, 1), "the others ask");
    assert!(a.loads()[1..].iter().all(|query| query.known == version));
    say(&other, "two").await;
    assert_eq!(shown(&chat).await, ["one", "two"]);
    assert_eq!((a.loads().len(), a.loaded()), (7, 2), "one question brings the news");
}

#[tokio::test]
async fn an_exclusive_store_is_asked_nothing() {
    let puppet = testkit::Puppet::new();
    let sessions = puppet.sessions();
    let chat = sessions.session(id("s"));
    say(&chat, "one").await;
    for _ in 0..10 {
        shown(&chat).await;
        soon(chat.turn(|draft| Ok(draft.app()?.is_empty()))).await.unwrap();
    }
    assert_eq!((puppet.loads(), sessions.stats().questions), (1, 0));
}

#[tokio::test]
async fn reads_share_a_question_that_is_not_sent_and_no_other() {
    let database = Database::new();
    let (a, b) = (database.replica(), database.replica());
    let ours = registry(&a);
    let (chat, other) = (ours.session(id("s")), registry(&b).session(id("s")));
    say(&other, "one").await;
    shown(&chat).await;
    let before = a.loads().len();
    a.hold_loads();
    soon(a.load_begun()).await;
    let read = || {
        let chat = chat.clone();
        tokio::spawn(async move { shown(&chat).await })
    };
    let first = read();
    soon(a.load_begun()).await;
    // The answer to the first question is worked out: it does not have this.
    say(&other, "two").await;
    let later: Vec<_> = (0..20).map(|_| read()).collect();
    settle().await;
    assert_eq!(a.loads().len() - before, 1, "the others wait for the next question");
    a.let_through(1);
    assert_eq!(soon(first).await.unwrap(), ["one"]);
    a.release_loads();
    for read in later {
        assert_eq!(soon(read).await.unwrap(), ["one", "two"]);
    }
    assert_eq!(a.loads().len() - before, 2, "and share it");
}

#[tokio::test]
async fn a_read_does_not_wait_for_a_writer() {
    let database = Database::new();
    let (a, b) = (database.replica(), database.replica());
    let held = testkit::Puppet::new();
    held.share();
    let chat = held.sessions().session(id("s"));
    say(&chat, "one").await;
    held.hold_commits();
    let adding = common::spawn_add(&chat, Message::user("two"));
    soon(held.commit_begun()).await;
    soon(held.commit_begun()).await;
    assert_eq!(shown(&chat).await, ["one"]);
    held.release();
    soon(adding).await.unwrap().unwrap();
    assert_eq!(shown(&chat).await, ["one", "two"]);
    drop((a, b));
}

#[tokio::test]
async fn a_dropped_callers_change_is_read_once_it_is_stored() {
    let puppet = testkit::Puppet::new();
    puppet.share();
    let chat = puppet.sessions().session(id("s"));
    say(&chat, "one").await;
    puppet.hold_commits();
    let adding = common::spawn_add(&chat, Message::user("two"));
    soon(puppet.commit_begun()).await;
    soon(puppet.commit_begun()).await;
    adding.abort();
    assert!(soon(adding).await.unwrap_err().is_cancelled());
    puppet.release();
    soon(async {
        while shown(&chat).await != ["one", "two"] {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_failed_question_fails_the_read_and_the_next_read_works() {
    let database = Database::new();
    let a = database.replica();
    let chat = registry(&a).session(id("s"));
    say(&chat, "one").await;
    a.fail_loads(true);
    assert!(matches!(soon(chat.snapshot()).await, Err(Error::Store(_))));
    say(&chat, "two").await;
    a.fail_loads(false);
    assert_eq!(shown(&chat).await, ["one", "two"]);
}

#[tokio::test]
async fn a_dropped_read_leaves_no_question_behind() {
    let database = Database::new();
    let (a, b) = (database.replica(), database.replica());
    let (chat, other) = (registry(&a).session(id("s")), registry(&b).session(id("s")));
    say(&chat, "one").await;
    a.hold_loads();
    assert!(chat.snapshot().now_or_never().is_none());
    say(&other, "two").await;
    let read = tokio::spawn({
        let chat = chat.clone();
        async move { shown(&chat).await }
    });
    settle().await;
    a.release_loads();
    assert_eq!(soon(read).await.unwrap(), ["one", "two"]);
}

#[tokio::test]
async fn cached_reads_are_never_older_than_their_bound() {
    let database = Database::new();
    let (a, b) = (database.replica(), database.replica());
    let clock = ManualClock::at(1_000);
    let reads = Reads::Cached { at_most: Duration::from_secs(2) };
    let ours: ChatSessions =
        ChatSessions::builder_with(a.clone(), clock.clone(), SystemRandom).reads(reads).build();
    let (chat, other) = (ours.session(id("s")), registry(&b).session(id("s")));
    clock.advance(10_000);
    say(&other, "one").await;
    assert_eq!(shown(&chat).await, ["one"]);
    say(&other, "two").await;
    let asked = a.loads().len();
    clock.advance(2_000);
    assert_eq!(shown(&chat).await, ["one"], "within the bound");
    assert_eq!(a.loads().len(), asked, "nothing is asked");
    clock.advance(1);
    assert_eq!(shown(&chat).await, ["one", "two"], "beyond it");
    say(&other, "three").await;
    say(&chat, "four").await;
    assert_eq!(shown(&chat).await, ["one", "two", "three", "four"], "own changes at once");
    let asked = a.loads().len();
    assert_eq!(shown(&chat).await.len(), 4);
    assert_eq!(a.loads().len(), asked, "the commit has shown that the state is current");
}

#[tokio::test]
async fn writers_decide_on_the_stored_state_whatever_the_reads() {
    for reads in [Reads::Current, Reads::Cached { at_most: LONG }] {
        let database = Database::new();
        let (a, b) = (database.replica(), database.replica());
        let ours: ChatSessions = ChatSessions::builder(a.clone()).reads(reads).build();
        let (chat, other) = (ours.session(id("s")), registry(&b).session(id("s")));
        let known = || Message::user("hello").with_id("m-1");
        soon(chat.add_message(known())).await.unwrap();

        // A retry of a message that was removed elsewhere adds it again.
        soon(other.remove(1)).await.unwrap();
        let added = soon(chat.add_message(known())).await.unwrap();
        assert!(!added.replayed);
        assert_eq!(added.seq, 2);

        // A version that another process made is accepted.
        say(&other, "theirs").await;
        let version = soon(other.snapshot()).await.unwrap().version();
        soon(chat.turn_if(version, |draft| draft.add_message(Message::user("on it"))))
            .await
            .unwrap();

        // A turn that changes nothing, or refuses, sees the stored state.
        say(&other, "last").await;
        let seen = soon(chat.turn(|draft| Ok(draft.message_count()))).await.unwrap();
        assert_eq!(seen, 4);
        say(&other, "very last").await;
        let mut seen = 0;
        let refused: Result<(), _> = soon(chat.turn(|draft| {
            seen = draft.message_count();
            Err(Error::rejected("no"))
        }))
        .await;
        assert_eq!((refused.is_err(), seen), (true, 5));

        // App state keeps the keys of both (C6).
        soon(other.update(|app: &mut JsonObject| app.set("theirs", &1).unwrap())).await.unwrap();
        soon(chat.update(|app: &mut JsonObject| app.set("ours", &2).unwrap())).await.unwrap();
        let app = soon(other.get_state()).await.unwrap().app;
        assert_eq!((app.get("theirs").unwrap(), app.get("ours").unwrap()), (Some(1), Some(2)));
    }
}

/// The next change that a watcher is told.
async fn next(watcher: &mut Watcher) -> durable_session::SessionChange {
    match soon(watcher.next()).await {
        Watched::Changed(change) => change,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn watchers_hear_of_changes_made_elsewhere_by_asking() {
    let database = Database::new();
    database.lose_hints();
    let (a, b) = (database.replica(), database.replica());
    let (ours, turns) = watching(&a);
    let (chat, other) = (ours.session(id("s")), registry(&b).session(id("s")));
    say(&other, "one").await;
    let (mut first, mut second) = (chat.watch(), chat.watch());
    soon(chat.snapshot()).await.unwrap();
    let asked = a.loads().len();

    say(&other, "two").await;
    let theirs = soon(other.snapshot()).await.unwrap().version();
    assert!(first.next().now_or_never().is_none(), "nothing is asked before the pause is over");
    assert_eq!(a.loads().len(), asked);
    turns.add_permits(1);
    let change = next(&mut first).await;
    assert_eq!((change.version, change.appended, change.rewritten), (theirs, 2..3, false));
    assert_eq!(next(&mut second).await.version, theirs, "one question told both");
    assert_eq!(a.loads().len(), asked + 1);

    soon(other.remove(1)).await.unwrap();
    turns.add_permits(10);
    assert!(next(&mut first).await.rewritten);
    assert!(soon(other.delete()).await.unwrap());
    turns.add_permits(10);
    let change = next(&mut first).await;
    assert_eq!((change.version, change.rewritten), (None, true));
}

#[tokio::test]
async fn a_watcher_goes_on_asking_after_a_failed_question() {
    let database = Database::new();
    let (a, b) = (database.replica(), database.replica());
    let (ours, turns) = watching(&a);
    let (chat, other) = (ours.session(id("s")), registry(&b).session(id("s")));
    soon(chat.snapshot()).await.unwrap();
    let mut watcher = chat.watch();
    say(&other, "one").await;
    a.fail_loads(true);
    turns.add_permits(1);
    let asked = a.loads().len();
    let told = tokio::spawn(async move { next(&mut watcher).await });
    soon(async {
        while a.loads().len() == asked {
            tokio::task::yield_now().await;
        }
    })
    .await;
    a.fail_loads(false);
    turns.add_permits(1);
    assert!(soon(told).await.unwrap().version.is_some());
}

/// Listens to the hints of a replica.
async fn listen(database: &Database, sessions: &ChatSessions, replica: &Replica) {
    let (sessions, hints) = (sessions.clone(), replica.clone());
    let open = database.listeners();
    tokio::spawn(async move { sessions.listen(&hints).await });
    soon(async {
        while database.listeners() == open {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn watchers_hear_of_changes_made_elsewhere_by_hints() {
    let database = Database::new();
    let (a, b) = (database.replica(), database.replica());
    let ours = registry(&a);
    let (chat, other) = (ours.session(id("s")), registry(&b).session(id("s")));
    soon(chat.snapshot()).await.unwrap();
    let mut watcher = chat.watch();
    listen(&database, &ours, &a).await;
    for n in 0..5_u64 {
        say(&other, "a message").await;
        let change = next(&mut watcher).await;
        assert_eq!(change.version, soon(other.snapshot()).await.unwrap().version(), "{n}");
    }
    // A hint of a session that nobody watches asks nothing.
    drop(watcher);
    settle().await;
    let asked = a.loads().len();
    say(&other, "unwatched").await;
    say(&registry(&b).session(id("unknown")), "unknown").await;
    settle().await;
    assert_eq!(a.loads().len(), asked);
}

#[tokio::test]
async fn a_lost_hint_delays_and_loses_nothing() {
    let database = Database::new();
    let (a, b) = (database.replica(), database.replica());
    let (ours, turns) = watching(&a);
    let (chat, other) = (ours.session(id("s")), registry(&b).session(id("s")));
    soon(chat.snapshot()).await.unwrap();
    let mut watcher = chat.watch();
    listen(&database, &ours, &a).await;
    // Opening the stream has the watchers ask once, since hints may be missing from before.
    database.lose_hints();
    say(&other, "one").await;
    turns.add_permits(10);
    assert_eq!(next(&mut watcher).await.version, soon(other.snapshot()).await.unwrap().version());
}

#[tokio::test]
async fn a_new_stream_of_hints_asks_for_what_was_missed() {
    let database = Database::new();
    let (a, b) = (database.replica(), database.replica());
    let ours = registry(&a);
    let (chat, other) = (ours.session(id("s")), registry(&b).session(id("s")));
    soon(chat.snapshot()).await.unwrap();
    let mut watcher = chat.watch();
    let first = tokio::spawn({
        let (ours, a) = (ours.clone(), a.clone());
        async move { ours.listen(&a).await }
    });
    soon(async {
        while database.listeners() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    database.end_hints();
    soon(first).await.unwrap().unwrap();
    say(&other, "missed").await;
    listen(&database, &ours, &a).await;
    assert!(next(&mut watcher).await.version.is_some());
}

#[tokio::test]
async fn a_hint_ends_the_time_of_a_cached_read() {
    let database = Database::new();
    let (a, b) = (database.replica(), database.replica());
    let reads = Reads::Cached { at_most: Duration::from_hours(1) };
    let ours: ChatSessions = ChatSessions::builder(a.clone()).reads(reads).build();
    let (chat, other) = (ours.session(id("s")), registry(&b).session(id("s")));
    say(&chat, "one").await;
    listen(&database, &ours, &a).await;
    say(&other, "two").await;
    soon(async {
        while shown(&chat).await != ["one", "two"] {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn open(chat: &ChatSession, question: &str) -> durable_session::Reply {
    let opened = soon(chat.reply(|draft| {
        draft.add_message(Message::user(question))?;
        Ok(Message::assistant(""))
    }));
    match opened.await.unwrap() {
        Opened::New(reply) => reply,
        _ => panic!("it is the first try"),
    }
}

#[tokio::test]
async fn a_reply_is_followed_from_another_process_while_it_is_written() {
    for by_hints in [false, true] {
        let database = Database::new();
        let (a, b) = (database.replica(), database.replica());
        let (ours, turns) = watching(&a);
        if by_hints {
            listen(&database, &ours, &a).await;
        } else {
            database.lose_hints();
        }
        let (chat, other) = (ours.session(id("s")), registry(&b).session(id("s")));
        soon(chat.snapshot()).await.unwrap();
        let mut reply = open(&other, "why?").await;
        let mut follow = soon(chat.follow(2, 0)).await.unwrap();
        assert!(follow.was_open());
        for n in 0..5 {
            let text = format!("chunk {n}");
            soon(reply.push(&text)).await.unwrap();
            if !by_hints {
                turns.add_permits(1);
            }
            match soon(follow.next()).await.unwrap() {
                Followed::Chunk { at, json } => {
                    assert_eq!((at, json), (n, format!("\"{text}\"")));
                }
                other => panic!("{other:?}"),
            }
        }
        let last = tokio::spawn(async move { soon(follow.next()).await.unwrap() });
        settle().await;
        soon(reply.finish()).await.unwrap();
        if !by_hints {
            turns.add_permits(10);
        }
        match soon(last).await.unwrap() {
            Followed::Ended(ended) => assert_eq!(ended.how, ReplyEnd::Finished),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_stop_through_another_process_reaches_the_producer_and_its_followers() {
    let database = Database::new();
    database.lose_hints();
    let (a, b) = (database.replica(), database.replica());
    let (ours, turns) = watching(&a);
    let (chat, other) = (ours.session(id("s")), registry(&b).session(id("s")));
    // The other process has seen the session before the reply was opened.
    soon(other.snapshot()).await.unwrap();
    let mut reply = open(&chat, "why?").await;
    soon(reply.push("a")).await.unwrap();
    let mut follow = soon(chat.follow(2, 1)).await.unwrap();
    let following = tokio::spawn(async move { soon(follow.next()).await.unwrap() });
    let producing = tokio::spawn(async move { soon(reply.ended()).await.unwrap().how });
    settle().await;
    assert_eq!(soon(other.stop(2)).await.unwrap().how, ReplyEnd::Stopped);
    turns.add_permits(10);
    assert_eq!(soon(producing).await.unwrap(), ReplyEnd::Stopped);
    match soon(following).await.unwrap() {
        Followed::Ended(ended) => assert_eq!(ended.how, ReplyEnd::Stopped),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn refresh_takes_in_the_changes_of_others_on_any_store() {
    let store = MemoryStore::new();
    let (ours, theirs) = (
        ChatSessions::<JsonObject>::builder(store.clone()).build(),
        ChatSessions::<JsonObject>::builder(store).build(),
    );
    let (chat, other) = (ours.session(id("s")), theirs.session(id("s")));
    assert_eq!(soon(chat.refresh()).await.unwrap(), None);
    say(&chat, "one").await;
    let mut watcher = chat.watch();
    say(&other, "two").await;
    assert_eq!(shown(&chat).await, ["one"], "an exclusive store is not asked");
    let version = soon(chat.refresh()).await.unwrap();
    assert_eq!(version, soon(other.snapshot()).await.unwrap().version());
    assert_eq!(shown(&chat).await, ["one", "two"]);
    assert_eq!(next(&mut watcher).await.appended, 2..3);
    assert_eq!(soon(chat.refresh()).await.unwrap(), version);
    assert!(soon(other.delete()).await.unwrap());
    assert_eq!(soon(chat.refresh()).await.unwrap(), None);
    assert_eq!(ours.stats().unchanged, 1);
}

#[tokio::test]
async fn a_server_that_lost_changes_is_a_new_life() {
    let database = Database::new();
    database.lose_hints();
    let (a, b) = (database.replica(), database.replica());
    let (ours, turns) = watching(&a);
    let (chat, other) = (ours.session(id("s")), registry(&b).session(id("s")));
    say(&chat, "one").await;
    say(&chat, "lost").await;
    let mut watcher = chat.watch();
    let before = soon(chat.snapshot()).await.unwrap().version().unwrap();
    database.fail_over(1).await;
    // The new server issues the lost counter again, for another message.
    say(&other, "in its place").await;
    let now: Version = soon(other.snapshot()).await.unwrap().version().unwrap();
    assert_eq!(now.counter(), before.counter());

    turns.add_permits(10);
    let change = next(&mut watcher).await;
    assert!(change.rewritten);
    assert_ne!(change.version.unwrap().incarnation(), before.incarnation());
    assert_eq!(shown(&chat).await, ["one", "in its place"]);
    let late =
        soon(chat.turn_if(Some(before), |draft| draft.add_message(Message::user("x")))).await;
    assert!(matches!(late, Err(Error::VersionChanged { .. })));
    say(&chat, "on").await;
    assert_eq!(shown(&other).await, ["one", "in its place", "on"]);
    assert!(a.opening().is_ok());
}
