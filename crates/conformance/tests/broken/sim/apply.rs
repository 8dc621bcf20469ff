//! The operations of a commit, and the head after them.

use super::Sim;
use super::disk::{Disk, Reply, Stored, StoredRow};
use super::write::Applied;
use crate::defect::Defect;
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    Commit, CommitOutcome, Head, IdTag, Labels, NewMessage, Op, ReplyCounts, StoreError,
};

/// The operation that writes a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Append,
    Replace,
    Close,
}

impl Sim {
    /// The session after the commit, or the refusal.
    pub(super) fn apply(
        &self,
        disk: &mut Disk,
        id: &SessionId,
        mut stored: Stored,
        commit: Commit,
        creates: bool,
    ) -> Result<Applied, StoreError> {
        let old = stored.head;
        let mut rules = self.advanced(old, &commit, creates);
        let appends = commit.ops.iter().filter(|op| matches!(op, Op::Append(_))).count();
        let sets = commit.ops.iter().any(|op| matches!(op, Op::SetApp(_)));
        let last_append = commit.ops.iter().rposition(|op| matches!(op, Op::Append(_)));
        let several = commit.ops.len() > 1;
        match self.defect {
            Some(Defect::ResetsAppStateWithEveryCommit) if !sets => stored.app = Bytes::new(),
            Some(Defect::LosesLabelsWithAppState) if sets => stored.labels = Labels::NONE,
            Some(Defect::LosesLabelsWithRemovals)
                if commit.ops.iter().any(|op| matches!(op, Op::Remove { .. })) =>
            {
                stored.labels = Labels::NONE;
            }
            Some(Defect::EndsRepliesWithAppends) if commit.only_appends() => stored.replies.clear(),
            Some(Defect::EndsRepliesWithAppState) if sets => stored.replies.clear(),
            _ => {}
        }
        for (n, op) in self.in_order(commit.ops).into_iter().enumerate() {
            match op {
                Op::Append(_)
                    if self.has(Defect::LosesTheLastRow) && several && Some(n) == last_append =>
                {
                    stored.head.next_seq += 1;
                }
                Op::SetApp(_)
                    if self.has(Defect::LosesAppStateBesideAppends) && appends > 0 && !creates => {}
                op => {
                    if let Some(refusal) = self.apply_op(disk, id, &mut stored, op)? {
                        return Ok(Applied::Refused(refusal, stored));
                    }
                }
            }
        }
        rules.next_seq = stored.head.next_seq;
        if self.has(Defect::KeepsTotalsAfterRemovals) {
            (rules.messages, rules.bytes) = (stored.head.messages, stored.head.bytes);
        } else {
            rules.messages = stored.rows.len() as u64;
            rules.bytes = stored.rows.values().map(|row| row.body.len() as u64).sum();
        }
        stored.head = rules;
        stored.committed_at = stored.committed_at.max(commit.at);
        if creates {
            stored.first_head = stored.head;
        }
        Ok(Applied::Whole(stored))
    }

    /// The head after the commit, with the totals of before.
    fn advanced(&self, old: Head, commit: &Commit, creates: bool) -> Head {
        let mut head = if creates {
            Head::created(commit, old.version, old.created_at)
        } else {
            old.advanced(commit)
        };
        let any = |which: fn(&Op) -> bool| commit.ops.iter().any(which);
        let appends = any(|op| matches!(op, Op::Append(_)));
        let sets = any(|op| matches!(op, Op::SetApp(_)));
        let labels = any(|op| matches!(op, Op::SetLabels(_)));
        let closes = any(|op| matches!(op, Op::Close { .. }));
        let keeps_version = match self.defect {
            Some(Defect::KeepsTheVersionOfReplacements) => {
                any(|op| matches!(op, Op::Replace { .. }))
            }
            Some(Defect::KeepsTheVersionOfAppState) => sets && !appends,
            Some(Defect::KeepsTheVersionOfEmptyCommits) => commit.ops.is_empty(),
            Some(Defect::KeepsTheVersionOfLabels) => labels && commit.ops.len() == 1,
            Some(Defect::KeepsTheVersionOfCloses) => closes,
            _ => false,
        };
        if creates {
            return head;
        }
        if keeps_version {
            (head.version, head.base, head.closed) = (old.version, old.base, old.closed);
        }
        let moves_base = match self.defect {
            Some(Defect::MovesTheBaseWithAppends) => appends,
            Some(Defect::MovesTheBaseWithCloses) => closes,
            Some(Defect::MovesTheBaseWithLabels) => labels,
            Some(Defect::MovesTheBaseWithOpenings) => commit
                .ops
                .iter()
                .any(|op| op.message().is_some_and(|message| message.opens.is_some())),
            _ => false,
        };
        let reopens = |op: &Op| {
            let replaces = matches!(op, Op::Replace { .. } | Op::Close { .. });
            replaces && op.message().is_some_and(|message| message.opens.is_some())
        };
        match self.defect {
            _ if moves_base => head.base = head.version,
            Some(Defect::NeverMovesTheBase) => head.base = old.base,
            Some(Defect::KeepsTheBaseOnReopening) if commit.ops.iter().any(reopens) => {
                head.base = old.base;
            }
            Some(Defect::KeepsTheBaseOnClosesThatReopen)
                if closes && commit.ops.iter().any(reopens) =>
            {
                head.base = old.base;
            }
            Some(Defect::NeverMovesClosed) => head.closed = old.closed,
            Some(Defect::MovesClosedWithEveryCommit) => head.closed = head.version,
            Some(Defect::MovesClosedWithReplacements)
                if any(|op| matches!(op, Op::Replace { .. })) =>
            {
                head.closed = head.version;
            }
            Some(Defect::MovesTimesBackwards) => head.last_accessed_at = commit.at,
            Some(Defect::ForgetsTheTimeOfCommits) => head.last_accessed_at = old.last_accessed_at,
            Some(Defect::MovesTheTimeOfCreation) => {
                head.created_at = head.created_at.max(commit.at);
            }
            Some(Defect::MovesTheTimeOfChangesBackwards) => head.changed_at = commit.at,
            Some(Defect::CountsLabelsAsChanges) if labels => {
                head.changed_at = head.changed_at.max(commit.at);
            }
            Some(Defect::CountsEmptyCommitsAsChanges) if commit.ops.is_empty() => {
                head.changed_at = head.changed_at.max(commit.at);
            }
            Some(Defect::DoesNotCountAppendsAsChanges) if commit.only_appends() => {
                head.changed_at = old.changed_at;
            }
            Some(Defect::DoesNotCountAppStateAsAChange) if sets => head.changed_at = old.changed_at,
            Some(Defect::DoesNotCountClosesAsChanges) if closes => head.changed_at = old.changed_at,
            _ => {}
        }
        head
    }

    fn in_order(&self, mut ops: Vec<Op>) -> Vec<Op> {
        if self.has(Defect::ReordersACommit) && ops.iter().all(|op| matches!(op, Op::Append(_))) {
            ops.reverse();
        }
        if self.has(Defect::AppliesSettingsFirst) {
            ops.sort_by_key(|op| !matches!(op, Op::Remove { .. }));
        }
        if self.has(Defect::AppliesAppendsLast) {
            ops.sort_by_key(|op| matches!(op, Op::Append(_)));
        }
        ops
    }

    /// The refusal of the operation, if there is one.
    fn apply_op(
        &self,
        disk: &mut Disk,
        id: &SessionId,
        stored: &mut Stored,
        op: Op,
    ) -> Result<Option<CommitOutcome>, StoreError> {
        match op {
            Op::Append(message) => {
                if self.has(Defect::ReusesSeqs) {
                    stored.head.next_seq =
                        stored.rows.last_key_value().map_or(1, |(&seq, _)| seq + 1);
                }
                if self.has(Defect::SharesOneSeqCounter) {
                    disk.shared_seq += 1;
                    stored.head.next_seq = disk.shared_seq;
                }
                let seq = stored.head.next_seq;
                stored.head.next_seq += if self.has(Defect::LeavesGapsBetweenSeqs) { 2 } else { 1 };
                if self.has(Defect::KeepsTotalsAfterRemovals) {
                    stored.head.messages += 1;
                    stored.head.bytes += message.body.len() as u64;
                }
                if !(self.has(Defect::LosesEmptyBodies) && message.body.is_empty()) {
                    self.write(disk, stored, seq, message, Writing::Append);
                }
            }
            Op::Replace { seq, message } => {
                if !stored.rows.contains_key(&seq) && !self.has(Defect::ReplacesAbsentMessages) {
                    return Ok(Some(CommitOutcome::NoSuchSeq { seq }));
                }
                self.check_removal(id, stored, &[seq])?;
                match self.defect {
                    Some(Defect::LosesReplacements) => {}
                    Some(Defect::AppendsReplacements) => {
                        let seq = stored.head.next_seq;
                        stored.head.next_seq += 1;
                        self.write(disk, stored, seq, message, Writing::Append);
                    }
                    _ => self.write(disk, stored, seq, message, Writing::Replace),
                }
            }
            Op::Remove { first, last } if first <= last => {
                let mut seqs: Vec<u64> =
                    stored.rows.range(first..=last).map(|(&seq, _)| seq).collect();
                match self.defect {
                    Some(Defect::RemovesAllButTheLast) => drop(seqs.pop()),
                    Some(Defect::RemovesOnlyRangesWithoutGaps)
                        if seqs.len() as u64 <= last - first =>
                    {
                        seqs.clear();
                    }
                    Some(Defect::DecodesRemovedMessages) => {
                        if let Some(&seq) = seqs.iter().find(|seq| stored.rows[seq].damaged) {
                            return Err(self.corrupt(id, Some(seq)));
                        }
                    }
                    _ => {}
                }
                self.check_removal(id, stored, &seqs)?;
                for seq in seqs {
                    stored.rows.remove(&seq);
                    if !self.has(Defect::KeepsRepliesOfRemovedMessages) {
                        self.end_reply(stored, seq);
                    }
                }
            }
            Op::Remove { .. } => {}
            Op::SetApp(app) => stored.app = app,
            Op::SetLabels(labels) => self.set_labels(stored, labels),
            Op::Close { seq, claim, counts, message } => {
                if let Some(outcome) = self.refusal(disk, stored, seq, claim, counts) {
                    return Ok(Some(outcome));
                }
                let reply = stored.replies.get(&seq);
                if let Some(offset) = reply.and_then(Reply::damage_of_counts) {
                    return Err(self.corrupt_chunk(id, seq, offset));
                }
                self.write(disk, stored, seq, message, Writing::Close);
            }
        }
        Ok(None)
    }

    /// The error of a store that decodes the chunks that it removes.
    fn check_removal(
        &self,
        id: &SessionId,
        stored: &Stored,
        seqs: &[u64],
    ) -> Result<(), StoreError> {
        if !self.has(Defect::DecodesTheChunksItRemoves) {
            return Ok(());
        }
        for seq in seqs {
            if let Some(offset) = stored.replies.get(seq).and_then(Reply::damage) {
                return Err(self.corrupt_chunk(id, *seq, offset));
            }
        }
        Ok(())
    }

    /// The refusal of the close, if there is one.
    fn refusal(
        &self,
        disk: &Disk,
        stored: &Stored,
        seq: u64,
        claim: durable_session::store::Claim,
        counts: ReplyCounts,
    ) -> Option<CommitOutcome> {
        let ended = Some(CommitOutcome::ReplyEnded { seq });
        let Some(reply) = stored.replies.get(&seq) else {
            let again = stored.ended.get(&seq).is_some_and(|reply| reply.opening.claim == claim);
            let accepts = again && stored.rows.contains_key(&seq) && self.has(Defect::ClosesTwice);
            return if accepts { None } else { ended };
        };
        if !self.is_held(reply, claim, Defect::ClosesUnderAnyClaim) {
            return ended;
        }
        if self.has(Defect::DoesNotCloseRepliesOfItsOwnCommit) && reply.commit == disk.commits {
            return ended;
        }
        let has = reply.counts();
        let (chunks, beats) = match self.defect {
            Some(Defect::ClosesOverChunksItHasNotSeen) => (true, counts.beats == has.beats),
            Some(Defect::ClosesOverBeatsItHasNotSeen) => (counts.chunks == has.chunks, true),
            Some(Defect::ClosesOverMoreChunksThanThereAre) => {
                (counts.chunks >= has.chunks, counts.beats == has.beats)
            }
            _ => (counts.chunks == has.chunks, counts.beats == has.beats),
        };
        if chunks && beats {
            return None;
        }
        let counts = if self.has(Defect::ReportsTheExpectedCountsAsCurrent) { counts } else { has };
        Some(CommitOutcome::Grew { seq, counts })
    }

    fn write(&self, disk: &Disk, stored: &mut Stored, seq: u64, message: NewMessage, how: Writing) {
        let NewMessage { body, mut tag, opens } = message;
        let old = stored.rows.get(&seq);
        let mut body = self.written(body);
        match self.defect {
            Some(Defect::KeepsTheOldTagOnReplace) if how == Writing::Replace => {
                tag = old.map_or(tag, |row| row.tag);
            }
            Some(Defect::KeepsTheOldTagOnClose) if how == Writing::Close => {
                tag = old.map_or(tag, |row| row.tag);
            }
            Some(Defect::ForgetsTheTagOfReplacements) if how == Writing::Replace => {
                tag = IdTag::NONE;
            }
            Some(Defect::KeepsTheOldBodyOnClose) if how == Writing::Close => {
                body = old.map_or(body, |row| row.body.clone());
            }
            _ => {}
        }
        stored.rows.insert(seq, StoredRow { body, tag, damaged: false });
        let keeps = match self.defect {
            Some(Defect::KeepsRepliesOfReplacedMessages) => how == Writing::Replace,
            Some(Defect::KeepsRepliesOpenOnClose) => how == Writing::Close,
            _ => false,
        };
        if !(keeps && opens.is_none()) {
            self.end_reply(stored, seq);
        }
        let loses = match self.defect {
            Some(Defect::LosesOpeningsOfReplacements) => how == Writing::Replace,
            Some(Defect::LosesOpeningsOfCloses) => how == Writing::Close,
            Some(Defect::LosesOpeningsOfCreations) => {
                stored.head.version.counter() == 1 && seq == 1
            }
            _ => false,
        };
        let Some(opening) = opens.filter(|_| !loses) else { return };
        let mut reply =
            Reply { opening: *opening, rows: Vec::new(), beats: 0, commit: disk.commits };
        if let Some(earlier) = stored.ended.get(&seq) {
            match self.defect {
                Some(Defect::ShowsTheChunksOfTheReplyBefore | Defect::KeepsChunksAfterDelete) => {
                    reply.rows.clone_from(&earlier.rows);
                }
                Some(Defect::KeepsTheBeatsOfTheReplyBefore) => reply.beats = earlier.beats,
                Some(Defect::KeepsTheClaimOfTheReplyBefore) => {
                    reply.opening.claim = earlier.opening.claim;
                }
                Some(Defect::KeepsTheFormatOfTheReplyBefore) => {
                    reply.opening.format = earlier.opening.format.clone();
                }
                _ => {}
            }
        }
        stored.replies.insert(seq, reply);
    }

    fn end_reply(&self, stored: &mut Stored, seq: u64) {
        let ended = stored.replies.remove(&seq);
        if !self.has(Defect::KeepsChunksAfterDelete) {
            stored.ended.extend(ended.map(|reply| (seq, reply)));
        }
    }

    fn set_labels(&self, stored: &mut Stored, labels: Labels) {
        if let Some(owner) = stored.labels.get_owner() {
            stored.earlier_owners.insert(owner.to_owned());
        }
        let old = std::mem::replace(&mut stored.labels, labels);
        let new = &stored.labels;
        stored.labels = match self.defect {
            Some(Defect::KeepsTheOwnerItHad) => {
                let owner = old.get_owner().or(new.get_owner()).unwrap_or_default();
                Labels::owner(owner).title(new.get_title().unwrap_or_default())
            }
            Some(Defect::KeepsLabelsThatAreLeftOut) => {
                let owner = new.get_owner().or(old.get_owner()).unwrap_or_default();
                Labels::owner(owner).title(new.get_title().or(old.get_title()).unwrap_or_default())
            }
            Some(Defect::LosesTitlesWithoutAnOwner) => {
                let title = new.get_title().filter(|_| new.get_owner().is_some());
                Labels::owner(new.get_owner().unwrap_or_default()).title(title.unwrap_or_default())
            }
            _ => return,
        };
    }

    fn written(&self, body: Bytes) -> Bytes {
        match self.defect {
            Some(Defect::KeepsTextOnly) => String::from_utf8_lossy(&body).into_owned().into(),
            Some(Defect::CutsBodiesAtNul) => {
                let end = body.iter().position(|&byte| byte == 0).unwrap_or(body.len());
                body.slice(..end)
            }
            _ => body,
        }
    }
}
