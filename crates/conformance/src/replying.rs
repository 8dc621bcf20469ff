//! Short ways to open, extend, read and close replies (S10).

use crate::Failure;
use crate::failure::{ensure, ensure_eq};
use crate::fixture::{Checked, EVERYTHING, Fixture, body, range};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    ChunkPage, ChunkQuery, Claim, ExtendOutcome, Extension, Loaded, NewMessage, Op, OpenReply,
    ReplyCounts, ReplyOpening,
};

/// A format of chunks.
pub(crate) const FORMAT: &str = "text";

/// Two claims of one opening of the store.
pub(crate) const CLAIM: Claim = claim(1);
pub(crate) const OTHER: Claim = claim(2);

/// A claim. All claims made here share one opening of the store.
pub(crate) const fn claim(n: u8) -> Claim {
    let mut bytes = [7; 32];
    bytes[31] = n;
    Claim::from_bytes(bytes)
}

pub(crate) fn counts(chunks: u64, beats: u64) -> ReplyCounts {
    ReplyCounts { chunks, beats }
}

/// A message with an open reply under `claim`.
pub(crate) fn opening(text: &str, claim: Claim) -> NewMessage {
    NewMessage::plain(body(text)).opening(ReplyOpening::new(claim, FORMAT))
}

/// Appends a message and opens a reply on it.
pub(crate) fn open(text: &str, claim: Claim) -> Op {
    Op::Append(opening(text, claim))
}

/// Replaces the message at `seq` and opens a reply on it.
pub(crate) fn open_again(seq: u64, text: &str, claim: Claim) -> Op {
    Op::Replace { seq, message: opening(text, claim) }
}

/// Closes a reply that has these counts.
pub(crate) fn close(seq: u64, claim: Claim, counts: ReplyCounts, text: &str) -> Op {
    Op::Close { seq, claim, counts, message: NewMessage::plain(body(text)) }
}

/// An extension by these texts, the first of which is chunk `offset`.
pub(crate) fn extension(seq: u64, claim: Claim, offset: u64, texts: &[&str]) -> Extension {
    Extension::new(seq, claim, offset, texts.iter().map(|text| body(text)).collect())
}

/// The open reply that a store must return.
pub(crate) fn named(seq: u64, claim: Claim, texts: &[&str], beats: u64) -> OpenReply {
    OpenReply {
        seq,
        claim,
        format: FORMAT.into(),
        counts: counts(texts.len() as u64, beats),
        bytes: texts.iter().map(|text| text.len() as u64).sum(),
    }
}

impl Fixture {
    /// Makes an extension that must succeed.
    pub(crate) async fn extended(
        &self,
        id: &SessionId,
        seq: u64,
        claim: Claim,
        offset: u64,
        texts: &[&str],
    ) -> Checked<ReplyCounts> {
        match self.store().extend(id, extension(seq, claim, offset, texts)).await? {
            ExtendOutcome::Extended(counts) => Ok(counts),
            other => Err(Failure::new(format_args!("a valid extension ended as {other:?}"))),
        }
    }

    /// Makes an extension for each text, from chunk `offset` on.
    pub(crate) async fn extended_one_by_one(
        &self,
        id: &SessionId,
        seq: u64,
        claim: Claim,
        offset: u64,
        texts: &[&str],
    ) -> Checked {
        for (offset, text) in (offset..).zip(texts) {
            self.extended(id, seq, claim, offset, &[text]).await?;
        }
        Ok(())
    }

    /// Makes an extension that must have this outcome and change nothing.
    pub(crate) async fn refuses(
        &self,
        id: &SessionId,
        extension: Extension,
        expected: ExtendOutcome,
        subject: &str,
    ) -> Checked {
        let before = self.everything(id).await?;
        let outcome = self.store().extend(id, extension).await?;
        ensure_eq!(outcome, expected, "{subject}");
        ensure!(self.everything(id).await? == before, "{subject} changed the session");
        Ok(())
    }

    /// The stored session with the chunks of its replies; `None` if it is absent.
    pub(crate) async fn everything(
        &self,
        id: &SessionId,
    ) -> Checked<Option<(Loaded, Vec<ChunkPage>)>> {
        let Some(loaded) = self.load(id, EVERYTHING).await? else { return Ok(None) };
        let mut pages = Vec::new();
        for reply in &loaded.replies {
            let page = self.store().read_chunks(id, ChunkQuery::from(reply.seq, 0)).await?;
            let page = page.ok_or_else(|| {
                Failure::new("load returned an open reply that read_chunks does not find")
            })?;
            ensure_eq!(&page.reply, reply, "the reply that read_chunks returns");
            pages.push(page);
        }
        Ok(Some((loaded, pages)))
    }

    /// A page of chunks of a reply, which must be open.
    pub(crate) async fn chunks(&self, id: &SessionId, query: ChunkQuery) -> Checked<ChunkPage> {
        let page = self.store().read_chunks(id, query).await?;
        page.ok_or_else(|| Failure::new(format_args!("no reply is open at seq {}", query.seq)))
    }

    /// Checks that loads, reads and reads of chunks all show exactly these open replies, with these
    /// chunks and beats.
    pub(crate) async fn replies(
        &self,
        id: &SessionId,
        expected: &[(u64, Claim, &[&str], u64)],
    ) -> Checked<Loaded> {
        let loaded = self.all(id).await?;
        let replies: Vec<_> = expected
            .iter()
            .map(|&(seq, claim, texts, beats)| named(seq, claim, texts, beats))
            .collect();
        ensure_eq!(loaded.replies, replies, "the open replies that load returns");
        let page = self.page(id, range(0, u64::MAX)).await?;
        ensure_eq!(page.replies, replies, "the open replies that read returns");
        for (reply, (seq, _, texts, _)) in replies.iter().zip(expected) {
            let page = self.chunks(id, ChunkQuery::from(*seq, 0)).await?;
            ensure_eq!(&page.reply, reply, "the reply that read_chunks returns");
            let texts: Vec<Bytes> = texts.iter().map(|text| body(text)).collect();
            ensure_eq!(page.chunks, texts, "the chunks of the reply at seq {seq}");
            ensure!(
                !page.more,
                "a read of all chunks of the reply at seq {seq} says that there are more"
            );
        }
        Ok(loaded)
    }

    /// Checks that no reply is open at `seq` and no chunk is left there.
    pub(crate) async fn no_reply(&self, id: &SessionId, seq: u64) -> Checked {
        let page = self.store().read_chunks(id, ChunkQuery::from(seq, 0)).await?;
        ensure_eq!(page, None, "the chunks at seq {seq}, where no reply is open");
        if let Some(loaded) = self.maybe_all(id).await? {
            let open = loaded.replies.iter().any(|reply| reply.seq == seq);
            ensure!(!open, "load returns a reply at seq {seq}, where none is open");
        }
        Ok(())
    }
}
