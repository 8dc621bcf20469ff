//! The contents of the simulated disk.

use bytes::Bytes;
use durable_session::SessionId;
use durable_session::env::{Random, RandomError};
use durable_session::store::{
    Head, IdTag, Incarnation, Labels, OpenReply, Opening, ReplyCounts, ReplyOpening, Salt, Version,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Sessions are shared: most of them are the same in the live, the synced and the earlier state.
pub(crate) type Sessions = BTreeMap<SessionId, Arc<Stored>>;

/// A stored session. Its versions are unsalted.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(super) head: Head,
    pub(super) head_damaged: bool,
    pub(super) labels: Labels,
    pub(super) app: Bytes,
    pub(super) rows: BTreeMap<u64, StoredRow>,
    pub(super) replies: BTreeMap<u64, Reply>,
    // The following are only for defects that use the state of an earlier moment.
    pub(super) committed_at: u64,
    pub(super) first_head: Head,
    pub(super) ended: BTreeMap<u64, Reply>,
    pub(super) earlier_owners: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub(super) struct StoredRow {
    pub(super) body: Bytes,
    pub(super) tag: IdTag,
    pub(super) damaged: bool,
}

/// An open reply.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) opening: ReplyOpening,
    pub(super) rows: Vec<ChunkRow>,
    pub(super) beats: u64,
    /// The number of the commit that opened it.
    pub(super) commit: u64,
}

/// The chunks of one extension.
#[derive(Debug, Clone)]
pub(super) struct ChunkRow {
    pub(super) offset: u64,
    pub(super) chunks: Vec<Bytes>,
    pub(super) damaged: bool,
}

impl Stored {
    pub(super) fn new(head: Head) -> Self {
        Self {
            head,
            head_damaged: false,
            labels: Labels::NONE,
            app: Bytes::new(),
            rows: BTreeMap::new(),
            replies: BTreeMap::new(),
            committed_at: head.created_at,
            first_head: head,
            ended: BTreeMap::new(),
            earlier_owners: BTreeSet::new(),
        }
    }
}

impl Reply {
    pub(super) fn counts(&self) -> ReplyCounts {
        let chunks = self.rows.iter().map(|row| row.chunks.len() as u64).sum();
        ReplyCounts { chunks, beats: self.beats }
    }

    pub(super) fn bytes(&self) -> u64 {
        let chunks = self.rows.iter().flat_map(|row| &row.chunks);
        chunks.map(|chunk| chunk.len() as u64).sum()
    }

    pub(super) fn open(&self, seq: u64) -> OpenReply {
        let ReplyOpening { claim, format } = self.opening.clone();
        OpenReply { seq, claim, format, counts: self.counts(), bytes: self.bytes() }
    }

    /// The offset of the last row of chunks, from which the counts come, if it is damaged.
    pub(super) fn damage_of_counts(&self) -> Option<u64> {
        self.rows.last().filter(|row| row.damaged).map(|row| row.offset)
    }

    pub(super) fn damage(&self) -> Option<u64> {
        self.rows.iter().find(|row| row.damaged).map(|row| row.offset)
    }

    pub(super) fn lose_the_last_chunk(&mut self) {
        let Some(row) = self.rows.last_mut() else { return };
        row.chunks.pop();
        if row.chunks.is_empty() {
            self.rows.pop();
        }
    }
}

/// The state that the process has written (`live`), and the part of it that survives a power loss
/// (`synced`).
#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) live: Sessions,
    pub(super) synced: Sessions,
    /// The last backup.
    pub(super) copy: Option<Sessions>,
    pub(super) salt: Salt,
    pub(super) opening: Option<Opening>,
    /// The number of random draws. It is never reset, as real randomness never repeats.
    pub(super) drawn: u128,
    /// The number of incarnations drawn. One defect resets it.
    pub(super) incarnations: u128,
    pub(super) commits: u64,
    pub(super) previous: Sessions,
    pub(super) deleted: Sessions,
    pub(super) reopened: bool,
    pub(super) shared_seq: u64,
    pub(super) used: bool,
    pub(super) poisoned: bool,
    /// Of a broken store: the versions at the last loads.
    pub(super) cache: HashMap<SessionId, Version>,
}

impl Disk {
    pub(super) fn sync(&mut self, id: &SessionId) {
        match self.live.get(id) {
            Some(stored) => self.synced.insert(id.clone(), stored.clone()),
            None => self.synced.remove(id),
        };
    }

    /// Syncs the chunks that an extension added, at the same cost for a long reply.
    pub(super) fn sync_extension(&mut self, id: &SessionId, seq: u64) {
        let live = self.live.get(id).and_then(|stored| stored.replies.get(&seq));
        let synced = self
            .synced
            .get_mut(id)
            .map(Arc::make_mut)
            .and_then(|stored| stored.replies.get_mut(&seq));
        if let (Some(live), Some(synced)) = (live, synced) {
            synced.beats = live.beats;
            synced.rows.extend(live.rows.iter().skip(synced.rows.len()).cloned());
        }
    }

    pub(super) fn draw_opening(&mut self) -> Result<Opening, RandomError> {
        self.drawn += 1;
        Opening::draw(&Numbered(self.drawn))
    }

    /// An opening with the same id.
    pub(super) fn draw_opening_again(&mut self, opening: &Opening) {
        self.opening = Opening::draw(&Numbered(u128::from_be_bytes(opening.id()))).ok();
    }

    pub(super) fn draw_incarnation(&mut self) -> Incarnation {
        self.incarnations += 1;
        Incarnation::from_bytes(self.incarnations.to_be_bytes())
    }

    pub(super) fn draw_salt(&mut self) -> Salt {
        self.drawn += 1;
        Salt::new(u64::try_from(self.drawn).unwrap_or(u64::MAX))
    }
}

/// Numbers that never repeat within a run and are the same in every run.
struct Numbered(u128);

impl Random for Numbered {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError> {
        for (to, from) in buffer.iter_mut().zip(self.0.to_be_bytes().into_iter().cycle()) {
            *to = from;
        }
        Ok(())
    }
}

/// The ids that begin with `prefix`.
pub(super) fn with_prefix(sessions: &Sessions, prefix: &SessionId) -> BTreeSet<SessionId> {
    sessions.keys().filter(|id| id.as_str().starts_with(prefix.as_str())).cloned().collect()
}
