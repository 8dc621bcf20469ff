//! Extensions, reads of chunks, and the open replies in loads and pages.

use super::disk::{ChunkRow, Reply, Stored};
use super::read::Found;
use super::{Sim, yield_once};
use crate::defect::Defect;
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    ChunkPage, ChunkQuery, Claim, ExtendOutcome, Extension, OpenReply, ReplyCounts, SessionStore,
    StoreError, StoreErrorKind,
};
use std::sync::Arc;

impl Sim {
    /// The extension is made on the first poll and answered on the second.
    pub(super) async fn extend_in_steps(
        &self,
        id: &SessionId,
        extension: Extension,
    ) -> Result<ExtendOutcome, StoreError> {
        match self.defect {
            Some(Defect::LosesExtensionsThatWereDropped) => {
                yield_once().await;
                self.extend_now(id, &extension)
            }
            Some(Defect::HalvesExtensionsThatWereDropped) if extension.chunks.len() > 1 => {
                let half = extension.chunks.len() / 2;
                let first = Extension::new(
                    extension.seq,
                    extension.claim,
                    extension.offset,
                    extension.chunks[..half].to_vec(),
                );
                let outcome = self.extend_now(id, &first)?;
                yield_once().await;
                match outcome {
                    ExtendOutcome::Extended(_) => self.extend_now(id, &extension),
                    other => Ok(other),
                }
            }
            Some(Defect::SyncsHalfAnExtension) => {
                let outcome = self.extend_now(id, &extension);
                if let Some(reply) = self
                    .disk()
                    .synced
                    .get_mut(id)
                    .map(Arc::make_mut)
                    .and_then(|s| s.replies.get_mut(&extension.seq))
                {
                    reply.lose_the_last_chunk();
                }
                yield_once().await;
                self.disk().sync(&self.key(id));
                outcome
            }
            _ => {
                let outcome = self.extend_now(id, &extension);
                yield_once().await;
                outcome
            }
        }
    }

    pub(super) fn extend_now(
        &self,
        id: &SessionId,
        extension: &Extension,
    ) -> Result<ExtendOutcome, StoreError> {
        self.check_extension(id, extension)?;
        let key = self.key(id);
        let seq = extension.seq;
        let mut disk = self.disk();
        let disk = &mut *disk;
        if self.has(Defect::FailsToExtendAbsentSessions) && !disk.live.contains_key(&key) {
            return Err(StoreError::new(StoreErrorKind::Internal, "no such session").in_session(id));
        }
        self.find(disk, id)?;
        let Some(stored) = disk.live.get_mut(&key) else { return Ok(ExtendOutcome::Ended) };
        let Stored { replies, ended, rows, head, .. } = Arc::make_mut(stored);
        let mut open = replies.get_mut(&seq);
        if self.has(Defect::ExtendsEndedReplies) && open.is_none() {
            open = ended.get_mut(&seq);
        }
        let (Some(reply), Some(row)) = (open, rows.get(&seq)) else {
            return Ok(ExtendOutcome::Ended);
        };
        if !self.is_held(reply, extension.claim, Defect::ExtendsUnderAnyClaim) {
            return Ok(ExtendOutcome::Ended);
        }
        if let Some(offset) = reply.damage_of_counts() {
            return Err(self.corrupt_chunk(id, seq, offset));
        }
        let reported = reply.counts();
        if extension.chunks.is_empty() {
            let checks = self.has(Defect::ChecksTheOffsetOfBeats);
            if checks && extension.offset != reported.chunks {
                return Ok(ExtendOutcome::Gap(reported));
            }
            reply.beats += u64::from(!self.has(Defect::ForgetsBeats));
        } else {
            let Some(news) = self.news(extension, reported.chunks) else {
                return Ok(ExtendOutcome::Gap(reported));
            };
            let bytes =
                self.bytes(reply) + news.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
            let room = match self.defect {
                Some(Defect::IgnoresTheLimitOfReplies) => Ok(()),
                // Ignores the body that the message has already.
                Some(Defect::LeavesTheBodyOutOfTheLimit) => super::LIMITS.check_reply(id, bytes),
                _ if news.is_empty() => Ok(()),
                _ => super::LIMITS.check_reply(id, row.body.len() as u64 + bytes),
            };
            if self.has(Defect::AcknowledgesExtensionsItDoesNotMake) {
                room?;
                let chunks = reported.chunks + news.len() as u64;
                return Ok(ExtendOutcome::Extended(ReplyCounts { chunks, ..reported }));
            }
            if room.is_ok() || self.has(Defect::ExtendsBeforeItRefuses) {
                self.add(reply, reported.chunks, news);
            }
            if self.has(Defect::EndsRepliesThatAreFull) && room.is_err() {
                replies.remove(&seq);
                disk.sync(&key);
                return room.map(|()| ExtendOutcome::Ended);
            }
            room?;
        }
        let counts = if self.has(Defect::ReportsOldCounts) { reported } else { reply.counts() };
        match self.defect {
            Some(Defect::MakesVersionsByExtension) => head.version = head.version.next(),
            Some(Defect::CountsExtensionsAsUse) => head.last_accessed_at += 1,
            Some(Defect::CountsExtensionsAsChanges) => head.changed_at += 1,
            Some(Defect::CountsChunksInTheHead) => head.bytes += extension.bytes(),
            _ => {}
        }
        if !self.has(Defect::AcknowledgesExtensionsBeforeTheyAreDurable) {
            disk.sync_extension(&key, seq);
        }
        Ok(ExtendOutcome::Extended(counts))
    }

    fn check_extension(&self, id: &SessionId, extension: &Extension) -> Result<(), StoreError> {
        let mut limits = self.limits();
        match self.defect {
            Some(Defect::IgnoresTheBytesOfExtensions) => limits.max_commit_bytes = u64::MAX,
            Some(Defect::IgnoresTheChunksOfExtensions) => limits.max_commit_ops = usize::MAX,
            _ => {}
        }
        limits.check_extension(id, extension)
    }

    /// Whether the reply is open under the claim.
    pub(super) fn is_held(&self, reply: &Reply, claim: Claim, ignores: Defect) -> bool {
        let is = reply.opening.claim;
        is == claim
            || self.has(ignores)
            || (self.has(Defect::ComparesOnlyTheOpeningOfClaims)
                && is.to_bytes()[..16] == claim.to_bytes()[..16])
    }

    /// The chunks of the extension after the first `known` of the reply; `None` if there is a gap.
    fn news(&self, extension: &Extension, known: u64) -> Option<Vec<Bytes>> {
        let all = extension.chunks.clone();
        match self.defect {
            Some(Defect::AcceptsGaps) if extension.offset > known => Some(all),
            Some(Defect::DoublesChunksOnRetry) => extension.news(known).map(|_| all),
            Some(Defect::SkipsExtensionsThatOverlap) if extension.offset < known => {
                Some(Vec::new())
            }
            _ => extension.news(known).map(<[Bytes]>::to_vec),
        }
    }

    fn add(&self, reply: &mut Reply, offset: u64, mut chunks: Vec<Bytes>) {
        match self.defect {
            Some(Defect::ExtendsByHalf) if chunks.len() > 1 => chunks.truncate(chunks.len() / 2),
            Some(Defect::LosesEmptyChunks) => chunks.retain(|chunk| !chunk.is_empty()),
            Some(Defect::JoinsTheChunksOfAnExtension) => chunks = vec![chunks.concat().into()],
            _ => {}
        }
        if !chunks.is_empty() {
            reply.rows.push(ChunkRow { offset, chunks, damaged: false });
        }
    }

    fn bytes(&self, reply: &Reply) -> u64 {
        match self.defect {
            Some(Defect::CountsBytesOfTheLastExtensionOnly) => {
                let last = reply
                    .rows
                    .last()
                    .map(|row| row.chunks.iter().map(|chunk| chunk.len() as u64).sum());
                last.unwrap_or(0)
            }
            _ => reply.bytes(),
        }
    }

    pub(super) fn chunks_at(
        &self,
        id: &SessionId,
        query: ChunkQuery,
    ) -> Result<Option<ChunkPage>, StoreError> {
        let disk = self.disk();
        let Some(stored) = self.find(&disk, id)? else { return Ok(None) };
        let mut reply = stored.replies.get(&query.seq);
        if self.has(Defect::KeepsChunksOfEndedReplies) {
            reply = reply.or(stored.ended.get(&query.seq));
        }
        let Some(reply) = reply else { return Ok(None) };
        let skipped = if self.has(Defect::ReadsChunksFromTheStart) { 0 } else { query.offset };
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let max_chunks = match self.defect {
            Some(Defect::IgnoresTheBoundOfChunks) => usize::MAX,
            Some(Defect::YieldsNoChunkForZero) => query.max_chunks,
            _ => query.max_chunks.max(1),
        };
        let (mut chunks, mut bytes, mut more) = (Vec::new(), 0_u64, false);
        let all =
            reply.rows.iter().flat_map(|row| row.chunks.iter().map(move |chunk| (row, chunk)));
        for (row, chunk) in all.skip(skipped) {
            bytes = bytes.saturating_add(chunk.len() as u64);
            let at_least_one = !chunks.is_empty() || self.has(Defect::YieldsNoChunkThatIsTooLarge);
            let over_bytes = bytes > query.max_bytes
                && at_least_one
                && !self.has(Defect::IgnoresTheBytesOfChunks);
            more = chunks.len() >= max_chunks || over_bytes;
            if more {
                break;
            }
            match (row.damaged, self.defect) {
                (true, Some(Defect::SkipsDamagedChunks)) => {}
                (true, Some(Defect::GuessesDamagedChunks)) => chunks.push(Bytes::new()),
                (true, _) => return Err(self.corrupt_chunk(id, query.seq, row.offset)),
                (false, _) => chunks.push(chunk.clone()),
            }
        }
        if let (Some(offset), Some(Defect::ChecksChunksItDoesNotReturn)) =
            (reply.damage(), self.defect)
        {
            return Err(self.corrupt_chunk(id, query.seq, offset));
        }
        more &= !self.has(Defect::NeverHasMoreChunks);
        Ok(Some(ChunkPage { reply: self.named(reply, query.seq), chunks, more }))
    }

    /// The open reply for loads, pages and reads of chunks.
    pub(super) fn named(&self, reply: &Reply, seq: u64) -> OpenReply {
        let mut open = reply.open(seq);
        open.bytes = self.bytes(reply);
        match self.defect {
            Some(Defect::CountsExtensionsForChunks) => open.counts.chunks = reply.rows.len() as u64,
            Some(Defect::HidesBeats) => open.counts.beats = 0,
            Some(Defect::ForgetsTheFormat) => open.format = "".into(),
            Some(Defect::ForgetsTheClaim) => open.claim = Claim::from_bytes([0; 32]),
            _ => {}
        }
        open
    }

    /// The open replies for a load or a page of these rows.
    pub(super) fn replies_of(
        &self,
        id: &SessionId,
        stored: &Stored,
        found: &[Found<'_>],
        load: bool,
    ) -> Result<Vec<OpenReply>, StoreError> {
        let hidden = if load { Defect::LoadsWithoutReplies } else { Defect::ReadsWithoutReplies };
        if self.has(hidden) {
            return Ok(Vec::new());
        }
        let on_rows = match self.defect {
            Some(Defect::LoadsRepliesOfTheTailOnly) => true,
            Some(Defect::ReadsAllReplies) => false,
            _ => !load,
        };
        let seqs = found.iter().map(|(seq, _)| *seq);
        let range = seqs.clone().min().unwrap_or(u64::MAX)..=seqs.max().unwrap_or(0);
        let mut named = Vec::new();
        for (&seq, reply) in &stored.replies {
            if on_rows && !range.contains(&seq) {
                continue;
            }
            if let Some(offset) = reply.damage_of_counts() {
                match self.defect {
                    Some(Defect::TrustsTheLastChunks) => {}
                    Some(Defect::SkipsDamagedReplies) => continue,
                    _ => return Err(self.corrupt_chunk(id, seq, offset)),
                }
            }
            named.push(self.named(reply, seq));
        }
        if self.has(Defect::ReversesReplies) {
            named.reverse();
        }
        Ok(named)
    }

    /// All open replies of the session as they are now.
    pub(super) fn replies_now(&self, id: &SessionId) -> Vec<OpenReply> {
        let disk = self.disk();
        let stored = disk.live.get(&self.key(id));
        let replies = stored.into_iter().flat_map(|stored| &stored.replies);
        replies.map(|(&seq, reply)| reply.open(seq)).collect()
    }
}
