//! A follower: a process that tells its parent what it receives over HTTP, and nothing else.

use super::script::{self, SESSIONS};
use crate::processes::tell;
use anyhow::{Context, Result, bail};
use durable_session_http::client::{ChatSessionClient, Event, FollowedReply, Retry};
use std::time::Duration;
use tokio::task::JoinSet;

/// The cursors to go on from, one for each session, separated by commas.
pub(super) const CURSORS: &str = "TORTURE_CURSORS";

/// Whether a follower also follows this reply alone, and from which chunk on.
fn alone(session: usize, seq: u64) -> Option<u64> {
    let n = seq / 2 + session as u64;
    n.is_multiple_of(3).then_some(n / 3 % 3)
}

/// Follows all sessions until killed.
pub(crate) fn run(url: &str) -> Result<()> {
    let cursors = std::env::var(CURSORS).context(CURSORS)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut sessions = JoinSet::new();
        for (session, cursor) in cursors.split(',').enumerate().take(SESSIONS) {
            // Tried again for as long as no server is there.
            let retry = Retry::default().tries(u32::MAX);
            let retry = retry.waits(Duration::from_millis(2), Duration::from_millis(10));
            let chat = ChatSessionClient::new(url, script::id(session)?)?.retry(retry);
            let cursor = Some(cursor).filter(|cursor| !cursor.is_empty()).map(str::to_owned);
            sessions.spawn(follow(chat, session, cursor));
        }
        match sessions.join_next().await {
            Some(ended) => ended?,
            None => bail!("there is nothing to follow"),
        }
    })
}

async fn follow(chat: ChatSessionClient, session: usize, from: Option<String>) -> Result<()> {
    let begins = from.is_none();
    let mut events = chat.events(from);
    if begins {
        // Nothing happens in the session before the parent knows where its follower begins.
        let soon = Duration::from_millis(2);
        while events.cursor().is_none() {
            if let Ok(event) = tokio::time::timeout(soon, events.next()).await {
                bail!("an event before the beginning: {:?}", event?);
            }
        }
        told("at", session, 0, 0, events.cursor(), "")?;
    }
    loop {
        let event = events.next().await?;
        let cursor = events.cursor();
        match event {
            Event::Reply { seq, message } => {
                told("reply", session, seq, 0, cursor, message.as_json())?;
                if let Some(at) = alone(session, seq) {
                    let chat = chat.clone();
                    tokio::spawn(async move {
                        if let Err(error) = follow_alone(&chat, session, seq, at).await {
                            eprintln!("follower of reply {seq} in session {session}: {error:#}");
                            std::process::exit(1);
                        }
                    });
                }
            }
            Event::Chunk { seq, at, json } => told("chunk", session, seq, at, cursor, &json)?,
            Event::Message { seq, message } => {
                told("message", session, seq, 0, cursor, message.as_json())?;
            }
            Event::Resync => told("resync", session, 0, 0, cursor, "")?,
            _ => told("other", session, 0, 0, cursor, "")?,
        }
    }
}

async fn follow_alone(
    chat: &ChatSessionClient,
    session: usize,
    seq: u64,
    mut at: u64,
) -> Result<()> {
    told("alone", session, seq, at, None, "")?;
    let mut follow = chat.follow(seq, at);
    loop {
        match follow.next().await? {
            FollowedReply::Chunk { at: is, json } => {
                told("alone-chunk", session, seq, is, None, &json)?;
                at = is + 1;
            }
            FollowedReply::Ended(message) => {
                let message = message.context("the message was removed")?;
                return told("alone-message", session, seq, at, None, message.as_json());
            }
            _ => bail!("a follower is told something new"),
        }
    }
}

fn told(
    what: &str,
    session: usize,
    seq: u64,
    at: u64,
    cursor: Option<&str>,
    json: &str,
) -> Result<()> {
    tell(&format!("{what} {session} {seq} {at} {} {json}\n", cursor.unwrap_or("-")))
}
