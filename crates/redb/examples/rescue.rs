//! Moves the readable messages of a damaged file to a new store, session by session, and names the
//! damage.
//!
//! `cargo run -p durable-session-redb --example rescue -- DAMAGED-FILE NEW-FILE`
//!
//! The damaged file and its log are only read.

use durable_session::store::{
    ChunkQuery, Commit, CommitOutcome, Expect, Extension, Head, IdTag, ListQuery, NewMessage, Op,
    OpenReply, ReadQuery, ReplyOpening, SessionList, SessionStore, StoreError,
};
use durable_session::{Message, SessionId};
use durable_session_redb::RedbStore;
use futures_executor::block_on;

/// The result of a rescue.
#[derive(Debug, Default)]
pub(crate) struct Rescued {
    /// Sessions that were moved, whole or in part.
    pub(crate) sessions: usize,
    /// Messages that were moved.
    pub(crate) messages: usize,
    /// The rows that could not be read.
    pub(crate) damage: Vec<StoreError>,
}

/// Moves one session, in pages of 256 messages.
async fn session(
    id: &SessionId,
    from: &RedbStore,
    to: &RedbStore,
    rescued: &mut Rescued,
) -> Result<(), StoreError> {
    let mut first = 1;
    let mut head: Option<Head> = None;
    loop {
        let query = ReadQuery::forward(first, u64::MAX).max_messages(256).max_bytes(16 << 20);
        let Some(found) = from.salvage(id, query).await? else { return Ok(()) };
        let created_at = found.head.map_or(0, |head| head.created_at);
        let mut ops = Vec::new();
        if head.is_none() {
            ops.extend(found.app.map(Op::SetApp));
            ops.extend(found.labels.map(Op::SetLabels));
        }
        rescued.messages += found.rows.len();
        let seen = found
            .rows
            .iter()
            .map(|row| row.seq)
            .chain(found.damage.iter().filter_map(|d| d.seq))
            .max();
        rescued.damage.extend(found.damage.into_iter().map(|damage| damage.error));
        let mut replies = Vec::new();
        for (seq, row) in (head.map_or(1, |head| head.next_seq)..).zip(found.rows) {
            let tag = tag(&row.body);
            let mut message = NewMessage::tagged(row.body, tag);
            if let Some(reply) = found.replies.iter().find(|reply| reply.seq == row.seq) {
                message = message.opening(ReplyOpening::new(reply.claim, reply.format.clone()));
                replies.push((reply, seq));
            }
            ops.push(Op::Append(message));
        }
        let expect = head.map_or(Expect::absent(created_at), |head| head.expect());
        let at = found.head.map_or(0, |head| head.changed_at);
        if let CommitOutcome::Committed(moved) = to.commit(id, Commit::new(expect, ops, at)).await?
        {
            head = Some(moved);
        }
        for (reply, seq) in replies {
            if let Err(error) = chunks(id, reply, from, to, seq).await {
                rescued.damage.push(error);
            }
        }
        match seen {
            Some(seen) if found.more => first = seen + 1,
            _ => return Ok(()),
        }
    }
}

/// The id tag of a message, by which a message that is added again is found.
fn tag(body: &[u8]) -> IdTag {
    let message = std::str::from_utf8(body).ok().and_then(|text| Message::from_json(text).ok());
    message.map_or(IdTag::NONE, |message| IdTag::of_message(&message))
}

/// Moves the readable chunks of an open reply, which stays open on the message at `seq`. The first
/// load in the new store ends the reply as interrupted, with these chunks.
async fn chunks(
    id: &SessionId,
    reply: &OpenReply,
    from: &RedbStore,
    to: &RedbStore,
    seq: u64,
) -> Result<(), StoreError> {
    let mut offset = 0;
    loop {
        // One by one, so that the chunks before a damaged one are read.
        let query = ChunkQuery::from(reply.seq, offset).max_chunks(1);
        let Some(page) = from.read_chunks(id, query).await? else { return Ok(()) };
        let (read, more) = (page.chunks.len() as u64, page.more);
        to.extend(id, Extension::new(seq, reply.claim, offset, page.chunks)).await?;
        offset += read;
        if !more {
            return Ok(());
        }
    }
}

/// Moves every listed session.
pub(crate) async fn rescue(from: &RedbStore, to: &RedbStore) -> Rescued {
    let mut rescued = Rescued::default();
    let mut query = ListQuery::all(1);
    loop {
        let page = match from.list(&query).await {
            Ok(page) => page,
            Err(error) => {
                rescued.damage.push(error);
                return rescued;
            }
        };
        for listed in page.sessions {
            match session(&listed.id, from, to, &mut rescued).await {
                Ok(()) => rescued.sessions += 1,
                Err(error) => rescued.damage.push(error),
            }
        }
        match page.next {
            Some(next) => query = query.after(next),
            None => return rescued,
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(from), Some(to)) = (arguments.next(), arguments.next()) else {
        return Err("give two paths: the damaged file, and a new file".into());
    };
    if std::path::Path::new(&to).exists() {
        return Err("the second file exists already; choose another name or remove it".into());
    }
    let from = RedbStore::builder().open_read_only(from)?;
    let to = RedbStore::open(to)?;
    let rescued = block_on(rescue(&from, &to));
    block_on(to.close())?;
    for error in &rescued.damage {
        eprintln!("{error}");
    }
    println!(
        "sessions={} messages={} damaged={}",
        rescued.sessions,
        rescued.messages,
        rescued.damage.len()
    );
    Ok(())
}
