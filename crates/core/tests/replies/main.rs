//! Durable replies over a store that waits and fails on command (clauses C11 and C12).
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

#[path = "../common/mod.rs"]
mod common;
mod dropped;
mod ends;
mod following;
mod gone;
mod retries;
mod writing;

use common::{ManualClock, Puppet, id};
use durable_session::store::{ChunkQuery, SessionStore};
use durable_session::{ChatSession, Error, Follow, Followed, Message, Opened, Reply, ReplyEnd};

/// The user's message of most tests.
fn question() -> Message {
    Message::user("Explain lifetimes").with_id("m-7")
}

/// Calls `reply` as a page does that sends a question.
async fn ask(chat: &ChatSession) -> Result<Opened, Error> {
    chat.reply(|draft| {
        draft.add_message(question())?;
        Ok(Message::assistant(""))
    })
    .await
}

/// A reply that this caller writes.
async fn open(chat: &ChatSession) -> Reply {
    match ask(chat).await.unwrap() {
        Opened::New(reply) => reply,
        other => panic!("{other:?}"),
    }
}

fn chat(store: &Puppet) -> ChatSession {
    store.sessions().session(id("s"))
}

async fn text(chat: &ChatSession, seq: u64) -> Option<String> {
    let page = chat.messages(durable_session::MessageQuery::at(seq)).await.unwrap();
    page.messages.first().map(|stored| stored.message.text().unwrap().into_owned())
}

/// The chunks that a follower gets until the end, and how the reply ended.
async fn all(follow: &mut Follow) -> (Vec<(u64, String)>, ReplyEnd) {
    let mut chunks = Vec::new();
    loop {
        match follow.next().await.unwrap() {
            Followed::Chunk { at, json } => chunks.push((at, json)),
            Followed::Ended(ended) => return (chunks, ended.how),
            other => panic!("{other:?}"),
        }
    }
}

/// The chunks in the store; `None` if no reply is open there.
async fn stored_chunks(store: &Puppet, seq: u64) -> Option<Vec<String>> {
    let page = store.inner.read_chunks(&id("s"), ChunkQuery::from(seq, 0)).await.unwrap()?;
    Some(page.chunks.iter().map(|chunk| String::from_utf8(chunk.to_vec()).unwrap()).collect())
}

fn how(error: &Error) -> ReplyEnd {
    match error {
        Error::ReplyEnded { how, .. } => *how,
        other => panic!("{other}"),
    }
}

/// A clock, and a store that other processes use, too.
fn shared() -> (Puppet, ManualClock) {
    let store = Puppet::new();
    store.share();
    (store, ManualClock::at(1_000))
}
