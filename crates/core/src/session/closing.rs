//! Making the final message of a reply.

use super::machine::{ChunkLog, Close, Known, Make, message};
use crate::reply::FormatError;
use crate::store::{
    ChunkQuery, IdTag, ReadQuery, ReplyCounts, SessionStore, StoreError, StoreErrorKind,
};
use crate::sync::Arc;
use crate::{Message, SessionId, pages};

/// Makes the change that closes a reply. Chunks that are not known are read from the store. `None`
/// if the reply has ended.
pub(crate) async fn make_close(
    store: &dyn SessionStore,
    id: &SessionId,
    make: &Make,
) -> Result<Option<Close>, StoreError> {
    let Known { opened, log, counts } = &make.known;
    let mut log = Arc::clone(log);
    let counts = match counts {
        Some(counts) => *counts,
        None => match read_chunks(store, id, make, Arc::make_mut(&mut log)).await? {
            Some(counts) => counts,
            None => return Ok(None),
        },
    };
    let opened = match opened {
        Some(opened) => opened.clone(),
        None => match read_message(store, id, make.seq).await? {
            Some(opened) => opened,
            None => return Ok(None),
        },
    };
    let closed = make.format.close(&opened, &mut log.iter(), make.how, make.reason.as_deref());
    let message = closed.map_err(|e| failed(id, make.seq, e))?;
    Ok(Some(Close {
        seq: make.seq,
        claim: make.claim,
        counts,
        id: IdTag::of_message(&message),
        message,
        how: make.how,
    }))
}

/// Adds the chunks that `log` does not have. Returns the counts of the reply; `None` if it has
/// ended.
async fn read_chunks(
    store: &dyn SessionStore,
    id: &SessionId,
    make: &Make,
    log: &mut ChunkLog,
) -> Result<Option<ReplyCounts>, StoreError> {
    loop {
        let query = ChunkQuery::from(make.seq, log.len())
            .max_chunks(pages::PAGE_MESSAGES)
            .max_bytes(pages::PAGE_BYTES);
        let page = store.read_chunks(id, query).await?;
        let Some(page) = page.filter(|page| page.reply.claim == make.claim) else {
            return Ok(None);
        };
        for chunk in &page.chunks {
            log.push(chunk_text(id, make.seq, log.len(), chunk)?);
        }
        if log.len() >= page.reply.counts.chunks || page.chunks.is_empty() {
            return Ok(Some(page.reply.counts));
        }
    }
}

async fn read_message(
    store: &dyn SessionStore,
    id: &SessionId,
    seq: u64,
) -> Result<Option<Message>, StoreError> {
    let page = store.read(id, ReadQuery::forward(seq, seq)).await?;
    page.and_then(|page| page.rows.into_iter().next()).map(|row| message(id, row)).transpose()
}

/// The text of a stored chunk.
pub(crate) fn chunk_text<'a>(
    id: &SessionId,
    seq: u64,
    offset: u64,
    chunk: &'a [u8],
) -> Result<&'a str, StoreError> {
    std::str::from_utf8(chunk).map_err(|_| {
        StoreError::new(StoreErrorKind::Corrupt, "the chunk is not UTF-8")
            .in_session(id)
            .at_seq(seq)
            .at_chunk(offset)
    })
}

fn failed(id: &SessionId, seq: u64, e: FormatError) -> StoreError {
    StoreError::new(StoreErrorKind::Internal, "the format could not close the reply")
        .in_session(id)
        .at_seq(seq)
        .with_source(e)
}
