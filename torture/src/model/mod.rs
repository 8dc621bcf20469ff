//! A session after its changes, worked out without any store.

mod after;
mod change;
mod differences;
mod random;
mod seen;

pub(crate) use change::{Answer, Change};
pub(crate) use differences::{compare, compare_rows};
pub(crate) use random::{OWNERS, any_change, refused_change};
pub(crate) use seen::{Chunk, Seen, altered, check, ghost, load, look, sees};

use anyhow::{Result, ensure};
use bytes::Bytes;
use durable_session::store::{
    Claim, Head, IdTag, Incarnation, Labels, LoadQuery, OpenReply, ReplyCounts, TAGGED_MESSAGES,
    Tagged, TailBounds, Version,
};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) const ALL: LoadQuery = LoadQuery::new(TailBounds::new(usize::MAX, u64::MAX));

/// A session as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) rows: BTreeMap<u64, Bytes>,
    tags: BTreeMap<u64, IdTag>,
    pub(crate) replies: BTreeMap<u64, Reply>,
    pub(crate) labels: Labels,
    pub(crate) app: Bytes,
    pub(crate) counter: u64,
    base: u64,
    closed: u64,
    pub(crate) next_seq: u64,
    created_at: u64,
    pub(crate) last_accessed_at: u64,
    pub(crate) changed_at: u64,
    /// Known once a store has answered with it.
    pub(crate) incarnation: Option<Incarnation>,
}

/// A reply that should be open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) claim: Claim,
    format: Arc<str>,
    pub(crate) chunks: Vec<Bytes>,
    beats: u64,
}

/// A session that may be absent.
pub(crate) type State = Option<Session>;

impl Session {
    fn new(created_at: u64) -> Self {
        Self {
            rows: BTreeMap::new(),
            tags: BTreeMap::new(),
            replies: BTreeMap::new(),
            labels: Labels::NONE,
            app: Bytes::new(),
            counter: 0,
            base: 0,
            closed: 0,
            next_seq: 1,
            created_at,
            last_accessed_at: created_at,
            changed_at: created_at,
            incarnation: None,
        }
    }

    /// Why a head is not this session's.
    pub(crate) fn check_head(&self, head: &Head) -> Result<()> {
        let is = (
            [head.version.counter(), head.base.counter(), head.closed.counter(), head.next_seq],
            [head.messages, head.bytes],
            [head.created_at, head.last_accessed_at, head.changed_at],
        );
        let bytes = self.rows.values().map(|body| body.len() as u64).sum();
        let should = (
            [self.counter, self.base, self.closed, self.next_seq],
            [self.rows.len() as u64, bytes],
            [self.created_at, self.last_accessed_at, self.changed_at],
        );
        ensure!(
            is == should,
            "the head ([counter, base, closed, next], [messages, bytes], \
             [created, accessed, changed]) is {is:?}, not {should:?}"
        );
        let lives = [head.version, head.base, head.closed].map(Version::incarnation);
        ensure!(
            lives.iter().all(|life| *life == lives[0]),
            "the head has versions of several lives"
        );
        if let Some(incarnation) = self.incarnation {
            ensure!(lives[0] == incarnation, "it is another life of the session");
        }
        Ok(())
    }

    pub(crate) fn version(&self) -> Option<Version> {
        self.incarnation.map(|incarnation| Version::new(incarnation, self.counter))
    }

    /// The open replies, as a load has them.
    pub(crate) fn open_replies(&self) -> Vec<OpenReply> {
        self.replies.iter().map(|(&seq, reply)| reply.open(seq)).collect()
    }

    /// The tags that a load brings.
    fn last_tags(&self) -> Vec<Tagged> {
        let before = self.tags.len().saturating_sub(TAGGED_MESSAGES);
        self.tags.iter().skip(before).map(|(&seq, &tag)| Tagged { seq, tag }).collect()
    }
}

impl Reply {
    pub(crate) fn counts(&self) -> ReplyCounts {
        ReplyCounts { chunks: self.chunks.len() as u64, beats: self.beats }
    }

    fn open(&self, seq: u64) -> OpenReply {
        OpenReply {
            seq,
            claim: self.claim,
            format: Arc::clone(&self.format),
            counts: self.counts(),
            bytes: self.chunks.iter().map(|chunk| chunk.len() as u64).sum(),
        }
    }
}
