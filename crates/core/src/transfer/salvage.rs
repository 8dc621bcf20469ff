//! Moves what can be read of a damaged session.

use crate::store::{
    ChunkQuery, Commit, CommitOutcome, Expect, ExtendOutcome, Extension, Head, IdTag, NewMessage,
    Op, OpenReply, ReadQuery, ReplyOpening, SessionStore, StoreError, StoreErrorKind,
};
use crate::{Message, SessionId};

/// What [`salvage`] moved, and what it could not read.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SalvageReport {
    /// The messages that were moved.
    pub messages: u64,
    /// What could not be read: the head, messages, and chunks of open replies.
    pub damage: Vec<StoreError>,
}

/// Moves what can be read of a session to another store: labels, app state, messages and open
/// replies, in pages of 256 messages.
///
/// The messages are numbered anew, without gaps. The new session is whole or as far as it came when
/// an error ends the call: delete it there, and call again.
///
/// # Errors
/// If the session exists in `to` already, or if a store fails. Damage is not an error;
/// [`SalvageReport::damage`] lists it.
///
/// ```
/// use durable_session::{ChatSessions, Message, transfer};
/// use durable_session_memory::MemoryStore;
///
/// # futures_executor::block_on(async {
/// let (damaged, new, id) = (MemoryStore::new(), MemoryStore::new(), "s-1".parse()?);
/// let sessions: ChatSessions = ChatSessions::builder(damaged.clone()).build();
/// sessions.session("s-1".parse()?).add_message(Message::user("hi")).await?;
/// let moved = transfer::salvage(&damaged, &new, &id).await?;
/// assert_eq!((moved.messages, moved.damage.len()), (1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub async fn salvage(
    from: &dyn SessionStore,
    to: &dyn SessionStore,
    id: &SessionId,
) -> Result<SalvageReport, StoreError> {
    let mut report = SalvageReport::default();
    let mut first = 1;
    let mut head: Option<Head> = None;
    loop {
        let query = ReadQuery::forward(first, u64::MAX).max_messages(256).max_bytes(16 << 20);
        let Some(found) = from.salvage(id, query).await? else { return Ok(report) };
        let mut ops = Vec::new();
        if head.is_none() {
            ops.extend(found.app.map(Op::SetApp));
            ops.extend(found.labels.map(Op::SetLabels));
        }
        let seen = found.rows.iter().map(|row| row.seq);
        let seen = seen.chain(found.damage.iter().filter_map(|damage| damage.seq)).max();
        report.messages += found.rows.len() as u64;
        report.damage.extend(found.damage.into_iter().map(|damage| damage.error));
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
        let created_at = found.head.map_or(0, |head| head.created_at);
        let expect = head.map_or(Expect::absent(created_at), |head| head.expect());
        let at = found.head.map_or(0, |head| head.changed_at);
        head = match to.commit(id, Commit::new(expect, ops, at)).await? {
            CommitOutcome::Committed(head) => Some(head),
            _ => return Err(changed(id)),
        };
        for (reply, seq) in replies {
            chunks(id, reply, seq, from, to, &mut report).await?;
        }
        match seen {
            Some(seen) if found.more => first = seen + 1,
            _ => return Ok(report),
        }
    }
}

fn changed(id: &SessionId) -> StoreError {
    let context = "the session exists in the new store, or somebody else changed it there";
    StoreError::new(StoreErrorKind::Unavailable, context).in_session(id)
}

/// The id tag of a message, by which a message that is added again is found.
fn tag(body: &[u8]) -> IdTag {
    let message = std::str::from_utf8(body).ok().and_then(|text| Message::from_json(text).ok());
    message.map_or(IdTag::NONE, |message| IdTag::of_message(&message))
}

/// Moves the chunks of an open reply up to the first that cannot be read. The reply stays open on
/// the message at `seq`: the first load in the new store ends it as interrupted, with these chunks.
async fn chunks(
    id: &SessionId,
    reply: &OpenReply,
    seq: u64,
    from: &dyn SessionStore,
    to: &dyn SessionStore,
    report: &mut SalvageReport,
) -> Result<(), StoreError> {
    let mut offset = 0;
    loop {
        // One by one, so that the chunks before a damaged one are read.
        let query = ChunkQuery::from(reply.seq, offset).max_chunks(1);
        let page = match from.read_chunks(id, query).await {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                report.damage.push(error);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let (read, more) = (page.chunks.len() as u64, page.more);
        let extension = Extension::new(seq, reply.claim, offset, page.chunks);
        if !matches!(to.extend(id, extension).await?, ExtendOutcome::Extended(_)) {
            return Err(changed(id));
        }
        offset += read;
        if !more {
            return Ok(());
        }
    }
}
