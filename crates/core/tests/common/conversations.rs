//! Conversations of owners.

use super::{ManualClock, Puppet, id, texts};
use durable_session::store::Labels;
use durable_session::{ChatSession, ChatSessions};

pub fn listed(store: &Puppet, clock: &ManualClock) -> ChatSessions {
    store.builder(clock.clone()).listing(store.clone()).build()
}

pub fn over(store: &Puppet) -> ChatSessions {
    listed(store, &ManualClock::at(1_000))
}

pub async fn create(sessions: &ChatSessions, name: &str, owner: &str) -> ChatSession {
    sessions.create(id(name), Labels::owner(owner).title(format!("Title of {name}"))).await.unwrap()
}

pub async fn exists(store: &Puppet, name: &str) -> bool {
    store.sessions().session(id(name)).snapshot().await.unwrap().exists()
}

pub async fn said(chat: &ChatSession) -> Vec<String> {
    texts(&chat.get_state().await.unwrap().messages)
}
