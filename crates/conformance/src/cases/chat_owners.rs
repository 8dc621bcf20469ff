//! The conversations of a person: listings, erasures and forks (C13).

use crate::failure::{ensure, ensure_eq};
use crate::fixture::{Checked, Fixture, id};
use crate::registry::{ManualClock, registry_on, said, say, set};
use durable_session::store::Labels;
use durable_session::{ChatSession, ChatSessions, Error, Fork};
use std::borrow::Cow;

/// A registry that can list.
fn listing(t: &Fixture, clock: &ManualClock) -> Checked<ChatSessions> {
    let list = t.list()?;
    Ok(registry_on(t.store(), clock, |builder| builder.listing(list)))
}

/// Sessions of three owners, of which one is a prefix of another, at different times.
async fn people(sessions: &ChatSessions, clock: &ManualClock, each: usize) -> Checked {
    for n in 0..each {
        for owner in ["u-4", "u-42", "u-43"] {
            clock.advance(1);
            let labels = Labels::owner(owner).title(format!("Title {n}"));
            let chat = sessions.create(id(&format!("{owner}-s{n}"))?, labels).await?;
            chat.add_message(say(&format!("last of {owner} {n}"))).await?;
        }
    }
    Ok(())
}

/// The ids of all sessions of an owner, newest first, by pages of two.
async fn pages(sessions: &ChatSessions, owner: &str) -> Checked<Vec<String>> {
    let listing = sessions.of(owner).newest_first().limit(2).with_last_message();
    let (mut ids, mut cursor) = (Vec::new(), None);
    // More pages than there can be.
    for _ in 0..100 {
        let page = listing.page(cursor.as_ref()).await?;
        for session in page.sessions {
            let last = session.last.map(|last| last.message.text().map(Cow::into_owned));
            let name = session.id.as_str().replace("-s", " ");
            let expected = Some(Some(format!("last of {name}")));
            ensure_eq!(last, expected, "the last message of a listed session");
            ensure_eq!(session.labels.get_owner(), Some(owner), "the owner of a listed session");
            ids.push(session.id.as_str().to_owned());
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(ids),
        }
    }
    Err(crate::Failure::new("a listing never ended"))
}

fn newest_first(owner: &str, each: usize) -> Vec<String> {
    (0..each).rev().map(|n| format!("{owner}-s{n}")).collect()
}

pub(crate) async fn an_owners_conversations_are_paged_with_their_last_messages(
    t: &mut Fixture,
) -> Checked {
    let clock = ManualClock::new();
    let sessions = listing(t, &clock)?;
    people(&sessions, &clock, 5).await?;
    for owner in ["u-4", "u-42", "u-43"] {
        let listed = pages(&sessions, owner).await?;
        ensure_eq!(listed, newest_first(owner, 5), "the sessions of an owner, newest first");
    }
    ensure!(pages(&sessions, "u").await?.is_empty(), "an owner without sessions has some");
    let page = sessions.of("u-42").limit(1).page(None).await?;
    let foreign = sessions.of("u-4").page(page.next.as_ref()).await;
    ensure!(matches!(foreign, Err(Error::InvalidCursor)), "another owner's cursor was taken");
    Ok(())
}

pub(crate) async fn an_erasure_deletes_an_owners_sessions_and_no_other(t: &mut Fixture) -> Checked {
    let clock = ManualClock::new();
    let sessions = listing(t, &clock)?;
    people(&sessions, &clock, 4).await?;
    // One of them has another owner by now.
    let moved = sessions.session(id("u-42-s1")?);
    moved.set_labels(Labels::owner("u-44")).await?;
    let report = sessions.erase_owner("u-42").await?;
    ensure!(report.failed.is_empty(), "an erasure failed: {:?}", report.failed);
    ensure_eq!(report.erased, 3, "the number of erased sessions");
    for n in [0, 2, 3] {
        let erased = t.maybe_all(&id(&format!("u-42-s{n}"))?).await?;
        ensure!(erased.is_none(), "a session of the owner is still there");
    }
    ensure!(t.maybe_all(&id("u-42-s1")?).await?.is_some(), "another owner's session is gone");
    for owner in ["u-4", "u-43"] {
        let left = pages(&sessions, owner).await?;
        ensure_eq!(left, newest_first(owner, 4), "the sessions of another owner");
    }
    ensure_eq!(sessions.erase_owner("u-42").await?.erased, 0, "the sessions of a second erasure");
    Ok(())
}

pub(crate) async fn an_erasure_survives_reopening(t: &mut Fixture) -> Checked {
    {
        let clock = ManualClock::new();
        let sessions = listing(t, &clock)?;
        people(&sessions, &clock, 3).await?;
        ensure_eq!(sessions.erase_owner("u-42").await?.erased, 3, "the number of erased sessions");
        sessions.close().await?;
    }
    t.reopen().await?;
    let sessions = listing(t, &ManualClock::new())?;
    ensure!(pages(&sessions, "u-42").await?.is_empty(), "erased sessions came back");
    ensure_eq!(pages(&sessions, "u-43").await?, newest_first("u-43", 3), "the other sessions");
    Ok(())
}

/// A session with a gap, labels and app state.
async fn source(sessions: &ChatSessions) -> Checked<ChatSession> {
    let chat = sessions.create(id("source")?, Labels::owner("u-42").title("Lifetimes")).await?;
    for n in 1..=5 {
        chat.add_message(say(&format!("m{n}")).with_id(format!("id-{n}"))).await?;
    }
    chat.remove(2).await?;
    set(&chat, "step", "{ \"n\": 1.0 }").await?;
    Ok(chat)
}

/// Checks that a session is the fork of [`source`] through its message 4.
async fn is_the_fork(t: &Fixture, fork: &str) -> Checked {
    let source = t.all(&id("source")?).await?;
    let copy = t.all(&id(fork)?).await?;
    let bodies = |rows: &[durable_session::store::Row]| {
        rows.iter().map(|row| row.body.clone()).collect::<Vec<_>>()
    };
    ensure_eq!(bodies(&copy.tail), bodies(&source.tail)[..3].to_vec(), "the bodies of a fork");
    let seqs: Vec<u64> = copy.tail.iter().map(|row| row.seq).collect();
    ensure_eq!(seqs, [1, 2, 3], "the seqs of a fork");
    ensure_eq!(copy.head.messages, 3, "the number of messages of a fork");
    ensure_eq!(copy.app, source.app, "the app state of a fork");
    ensure_eq!(copy.labels, source.labels, "the labels of a fork");
    Ok(())
}

pub(crate) async fn a_fork_is_an_exact_copy(t: &mut Fixture) -> Checked {
    let sessions = t.registry();
    let source = source(&sessions).await?;
    source.fork(id("fork")?, Fork::through(4)).await?;
    is_the_fork(t, "fork").await?;
    // Each goes its own way.
    sessions.session(id("fork")?).add_message(say("its own way")).await?;
    source.add_message(say("m6")).await?;
    ensure_eq!(said(&source).await?, ["m1", "m3", "m4", "m5", "m6"], "the messages of the source");
    let fork = said(&t.registry().session(id("fork")?)).await?;
    ensure_eq!(fork, ["m1", "m3", "m4", "its own way"], "the messages of the fork");
    Ok(())
}

pub(crate) async fn a_fork_made_again_is_found(t: &mut Fixture) -> Checked {
    let source = source(&t.registry()).await?;
    source.fork(id("fork")?, Fork::through(4)).await?;
    let before = t.all(&id("fork")?).await?.head.version;
    // A registry that has not seen the first call.
    let again = t.registry().session(id("source")?);
    again.fork(id("fork")?, Fork::through(4)).await?;
    let after = t.all(&id("fork")?).await?.head.version;
    ensure_eq!(after, before, "the version of a fork that was made again");
    is_the_fork(t, "fork").await?;
    let other = again.fork(id("fork")?, Fork::through(3)).await.map(drop);
    let told = matches!(other, Err(Error::SessionExists { .. }));
    ensure!(told, "another fork took an id that exists: {other:?}");
    Ok(())
}

pub(crate) async fn a_crash_leaves_a_fork_whole(t: &mut Fixture) -> Checked {
    {
        let source = source(&t.registry()).await?;
        source.fork(id("fork")?, Fork::through(4)).await?;
    }
    t.crash_and_reopen().await?;
    is_the_fork(t, "fork").await?;
    let again = t.registry().session(id("source")?);
    again.fork(id("fork")?, Fork::through(4)).await?;
    is_the_fork(t, "fork").await
}
