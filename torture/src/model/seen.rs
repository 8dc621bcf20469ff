//! All that a store has of a session.

use super::{ALL, State, differences};
use crate::campaign::Tally;
use crate::verdict::Kind;
use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{ChunkQuery, LoadOutcome, Loaded, Row, SessionStore};
use futures_executor::block_on;

/// A session as it was loaded, and the chunks of its open replies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) loaded: Loaded,
    pub(crate) chunks: Vec<Chunk>,
}

/// A chunk, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) seq: u64,
    pub(crate) offset: u64,
    pub(crate) text: Bytes,
}

impl Seen {
    /// How many things there are to compare.
    pub(crate) fn count(&self) -> usize {
        self.loaded.tail.len() + self.chunks.len()
    }
}

/// Fails if there is any difference, and counts the messages and chunks that were compared.
pub(crate) fn check(state: &State, seen: Option<&Seen>, tally: &mut Tally) -> Result<()> {
    tally.checked(1 + seen.map_or(0, Seen::count));
    tally.add("chunks", seen.map_or(0, |seen| seen.chunks.len()) as u64);
    Ok(differences::compare(state, seen).into_result()?)
}

/// All of a session.
pub(crate) fn look(store: &dyn SessionStore, id: &SessionId) -> Result<Option<Seen>> {
    let Some(loaded) = load(store, id)? else { return Ok(None) };
    let mut chunks = Vec::new();
    for reply in &loaded.replies {
        let page = block_on(store.read_chunks(id, ChunkQuery::from(reply.seq, 0)))?;
        let Some(page) = page else {
            bail!("the reply on message {} has no chunks to read", reply.seq)
        };
        ensure!(page.reply == *reply, "a read of chunks tells of another reply: {:?}", page.reply);
        ensure!(!page.more, "a read of all chunks leaves some out");
        let texts = (0..).zip(page.chunks);
        chunks.extend(texts.map(|(offset, text)| Chunk { seq: reply.seq, offset, text }));
    }
    Ok(Some(Seen { loaded, chunks }))
}

/// All of a session, for the campaign to check.
pub(crate) fn altered(
    store: &dyn SessionStore,
    id: &SessionId,
    tally: &Tally,
) -> Result<Option<Seen>> {
    let mut seen = look(store, id)?;
    if let Some(seen) = &mut seen {
        sees(seen, tally);
    }
    Ok(seen)
}

/// Alters a session that was read, if that is asked for, before it is checked.
pub(crate) fn sees(seen: &mut Seen, tally: &Tally) {
    tally.sees(&mut seen.loaded.tail, ghost);
    tally.sees_chunks(&mut seen.chunks, |last| Chunk {
        offset: last.offset + 1,
        text: Bytes::from_static(b"a chunk that is altered"),
        ..*last
    });
    if tally.alters(Kind::Wrong) {
        seen.loaded.app = Bytes::from_static(b"altered");
    }
}

/// A row that nobody wrote.
pub(crate) fn ghost(last: &Row) -> Row {
    Row { seq: last.seq + 1, body: Bytes::from_static(b"altered") }
}

/// A session as a load brings it, whole.
pub(crate) fn load(store: &dyn SessionStore, id: &SessionId) -> Result<Option<Loaded>> {
    match block_on(store.load(id, ALL))? {
        LoadOutcome::Absent => Ok(None),
        LoadOutcome::Loaded(loaded) => Ok(Some(loaded)),
        LoadOutcome::Unchanged => {
            bail!("a load is answered with `Unchanged`, and nobody knew a version")
        }
    }
}
