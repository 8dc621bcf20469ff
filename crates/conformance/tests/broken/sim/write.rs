//! Commits, touches and deletes.

use super::{Disk, Sim, Stored, StoredRow, with_prefix, yield_once};
use crate::fault::Fault;
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    Commit, CommitOutcome, DeleteIf, DeleteOutcome, Expect, Head, Op, SessionStore, StoreError,
    StoreErrorKind, StoreLimits, Version,
};
use std::collections::BTreeMap;

impl Sim {
    /// The whole commit happens on the first poll; the answer comes with the second.
    pub(super) async fn commit_in_steps(
        &self,
        id: &SessionId,
        commit: Commit,
    ) -> Result<CommitOutcome, StoreError> {
        match self.fault {
            Some(Fault::LosesWhatWasDropped) => {
                yield_once().await;
                self.commit_now(id, commit)
            }
            Some(Fault::HalvesWhatWasDropped) => self.commit_in_halves(id, commit).await,
            Some(Fault::LosesUpdates) => {
                let current = self.disk().live.get(&self.key(id)).map(|stored| stored.head.version);
                yield_once().await;
                let mut commit = commit;
                if matches!(commit.expect, Expect::Version(v) if Some(v) == current) {
                    let now = self.disk().live.get(&self.key(id)).map(|stored| stored.head.version);
                    commit.expect = now.map_or(commit.expect, Expect::Version);
                }
                self.commit_now(id, commit)
            }
            Some(Fault::SyncsHalfACommit) => {
                let before = self.disk().synced.get(id).cloned();
                let outcome = self.commit_now(id, commit);
                self.forget_half(id, before);
                yield_once().await;
                self.disk().sync(id);
                outcome
            }
            _ => {
                let outcome = self.commit_now(id, commit);
                yield_once().await;
                self.disk().poisoned = false;
                outcome
            }
        }
    }

    async fn commit_in_halves(
        &self,
        id: &SessionId,
        mut commit: Commit,
    ) -> Result<CommitOutcome, StoreError> {
        let rest = commit.ops.split_off(commit.ops.len() / 2);
        let at = commit.at;
        let first = self.commit_now(id, commit)?;
        yield_once().await;
        match first {
            CommitOutcome::Committed(head) if !rest.is_empty() => {
                self.commit_now(id, Commit { expect: Expect::Version(head.version), ops: rest, at })
            }
            other => Ok(other),
        }
    }

    /// What is synced has the new rows, and the old rest.
    fn forget_half(&self, id: &SessionId, before: Option<Stored>) {
        let mut disk = self.disk();
        if let (Some(stored), Some(before)) = (disk.synced.get_mut(id), before) {
            stored.head = before.head;
            stored.app = before.app;
        }
    }

    pub(super) fn commit_now(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        let key = self.key(id);
        let commit = self.within_limits(id, commit)?;
        let mut disk = self.disk();
        let disk = &mut *disk;
        disk.used = true;
        if disk.poisoned {
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "another session's request was refused",
            ));
        }
        self.check_head(id, disk.live.get(&key))?;
        if self.has(Fault::SpreadsDamage) && disk.live.values().any(|stored| stored.head_damaged) {
            return Err(self.corrupt(id, None));
        }

        let current = disk.live.get(&key).map(|stored| stored.head.version);
        let holds = match (commit.expect, current) {
            (Expect::Absent { .. }, None) => {
                !(self.has(Fault::ForbidsDeletedIds) && disk.deleted.contains_key(&key))
            }
            (Expect::Absent { .. }, Some(_)) => self.has(Fault::CreatesOverWhatExists),
            (Expect::Version(expected), Some(current)) => {
                expected == current
                    || self.has(Fault::IgnoresTheVersion)
                    || (self.has(Fault::ComparesCountersOnly) && expected.counter() == current.counter())
            }
            (Expect::Version(_), None) => self.has(Fault::CommitsOnNothing),
        };
        if !holds {
            return Ok(self.conflict(disk, &key, commit, current));
        }

        let stored = match (disk.live.get(&key), commit.expect) {
            (Some(stored), _) => stored.clone(),
            (None, expect) => self.new_session(disk, &key, expect),
        };
        if self.has(Fault::RefusesAnEmptyCreation) && current.is_none() && commit.ops.is_empty() {
            return Ok(CommitOutcome::NoSuchSeq { seq: 1 });
        }
        let old_head = stored.head;
        match self.apply(disk, id, stored, commit, current.is_none())? {
            Ok(stored) => {
                let head = stored.head;
                if let Some(before) = disk.live.insert(key.clone(), stored) {
                    disk.previous.insert(key.clone(), before);
                }
                if !self.has(Fault::AcknowledgesBeforeItIsDurable) {
                    disk.sync(&key);
                }
                let reported = if self.has(Fault::ReportsAnOldHead) { old_head.bytes } else { head.bytes };
                Ok(CommitOutcome::Committed(Head { bytes: reported, ..head }))
            }
            Err((seq, half_done)) => {
                disk.poisoned = self.has(Fault::FailsTheNextAfterARefusal);
                let keeps = match current {
                    Some(_) => self.has(Fault::KeepsWhatWasBeforeARefusal),
                    None => self.has(Fault::LeavesAnEmptySessionOnRefusal),
                };
                if keeps {
                    disk.live.insert(key.clone(), half_done);
                    disk.sync(&key);
                }
                Ok(CommitOutcome::NoSuchSeq { seq })
            }
        }
    }

    fn within_limits(&self, id: &SessionId, mut commit: Commit) -> Result<Commit, StoreError> {
        let mut limits = self.limits();
        match self.fault {
            Some(Fault::IgnoresTheLimitOfAppState) => limits.max_app_bytes = u64::MAX,
            Some(Fault::IgnoresTheLimitOfCommitBytes) => limits.max_commit_bytes = u64::MAX,
            Some(Fault::IgnoresTheLimitOfOperations) => limits.max_commit_ops = usize::MAX,
            Some(Fault::RefusesTheLargest) => {
                limits = StoreLimits {
                    max_body_bytes: limits.max_body_bytes - 1,
                    max_app_bytes: limits.max_app_bytes - 1,
                    max_commit_bytes: limits.max_commit_bytes - 1,
                    max_commit_ops: limits.max_commit_ops - 1,
                }
            }
            Some(Fault::TruncatesWhatIsTooLarge) => {
                for op in &mut commit.ops {
                    match op {
                        Op::Append(body) | Op::Replace { body, .. } => truncate(body, limits.max_body_bytes),
                        Op::SetApp(app) => truncate(app, limits.max_app_bytes),
                        Op::Remove { .. } => {}
                    }
                }
            }
            _ => {}
        }
        let Err(error) = limits.check(id, &commit) else { return Ok(commit) };
        if self.has(Fault::WritesBeforeItRefuses) {
            let fits = commit.ops.iter().take_while(|op| !matches!(op, Op::Append(b) if b.len() > 10_000));
            let ops = fits.take(100).cloned().collect();
            let _ = self.commit_unlimited(id, Commit { ops, ..commit });
        }
        if self.has(Fault::FailsTheNextAfterTooLarge) {
            self.disk().poisoned = true;
        }
        if self.has(Fault::TakesTooLargeForUnavailable) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "too large").in_session(id));
        }
        Err(error)
    }

    fn commit_unlimited(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        Self { disk: self.disk.clone(), fault: None }.commit_now(id, commit)
    }

    fn conflict(
        &self,
        disk: &mut Disk,
        key: &SessionId,
        commit: Commit,
        current: Option<Version>,
    ) -> CommitOutcome {
        disk.poisoned = self.has(Fault::FailsTheNextAfterARefusal);
        if let Some(stored) = disk.live.get(key).cloned() {
            match self.fault {
                Some(Fault::ReportsConflictsAsSuccess) => return CommitOutcome::Committed(stored.head),
                Some(Fault::TouchesOnConflict) => {
                    let mut stored = stored;
                    stored.head.last_accessed_at = stored.head.last_accessed_at.max(commit.at);
                    disk.live.insert(key.clone(), stored);
                }
                Some(Fault::AppliesWhatConflicts) => {
                    if let Ok(Ok(stored)) = self.apply(disk, key, stored, commit, false) {
                        disk.live.insert(key.clone(), stored);
                    }
                }
                _ => {}
            }
        }
        CommitOutcome::Conflict { current: current.filter(|_| !self.has(Fault::ForgetsTheCurrentVersion)) }
    }

    fn new_session(&self, disk: &mut Disk, key: &SessionId, expect: Expect) -> Stored {
        let created_at = match expect {
            Expect::Absent { created_at } => created_at,
            Expect::Version(_) => 0,
        };
        let version = Version::new(self.draw_incarnation(disk), 1);
        let head =
            Head { next_seq: u64::from(!self.has(Fault::BeginsSeqsAt0)), ..Head::new(version, created_at) };
        let mut stored = Stored {
            head,
            head_damaged: false,
            app: Bytes::new(),
            rows: BTreeMap::new(),
            committed_at: created_at,
            first_head: head,
        };
        if let Some(earlier) = disk.deleted.remove(key) {
            if self.has(Fault::KeepsAppStateAfterDelete) {
                stored.app = earlier.app;
            }
            if self.has(Fault::KeepsRowsAfterDelete) {
                stored.rows = earlier.rows;
            }
        }
        stored
    }

    /// The session after the commit; or the seq that is not there, and how far the commit had come.
    fn apply(
        &self,
        disk: &mut Disk,
        id: &SessionId,
        mut stored: Stored,
        commit: Commit,
        creates: bool,
    ) -> Result<Result<Stored, (u64, Stored)>, StoreError> {
        let version = if creates { stored.head.version } else { stored.head.version.next() };
        let appends = commit.ops.iter().filter(|op| matches!(op, Op::Append(_))).count();
        let sets = commit.ops.iter().any(|op| matches!(op, Op::SetApp(_)));
        let replaces = commit.ops.iter().any(|op| matches!(op, Op::Replace { .. }));
        let only_grows = !creates && appends == commit.ops.len();
        let keeps_version = !creates
            && match self.fault {
                Some(Fault::KeepsTheVersionOfReplacements) => replaces,
                Some(Fault::KeepsTheVersionOfAppState) => sets && appends == 0,
                Some(Fault::KeepsTheVersionOfEmptyCommits) => commit.ops.is_empty(),
                _ => false,
            };

        let last_append = commit.ops.iter().rposition(|op| matches!(op, Op::Append(_)));
        let several = commit.ops.len() > 1;
        if self.has(Fault::ResetsAppStateWithEveryCommit) && !sets {
            stored.app = Bytes::new();
        }
        for (n, op) in self.in_order(commit.ops).into_iter().enumerate() {
            match op {
                Op::Append(_) if self.has(Fault::LosesTheLastRow) && several && Some(n) == last_append => {
                    stored.head.next_seq += 1;
                }
                Op::SetApp(_) if self.has(Fault::LosesAppStateBesideAppends) && appends > 0 && !creates => {}
                op => {
                    if let Some(missing) = self.apply_op(disk, id, &mut stored, op)? {
                        return Ok(Err((missing, stored)));
                    }
                }
            }
        }

        let head = &mut stored.head;
        if !self.has(Fault::KeepsTheTotalsOfWhatIsRemoved) {
            head.messages = stored.rows.len() as u64;
            head.bytes = stored.rows.values().map(|row| row.body.len() as u64).sum();
        }
        if !keeps_version {
            head.version = version;
        }
        let moves_base = match self.fault {
            Some(Fault::NeverMovesTheBase) => creates,
            Some(Fault::MovesTheBaseWithAppends) => true,
            _ => !only_grows,
        };
        if moves_base {
            head.base = head.version;
        }
        match self.fault {
            Some(Fault::MovesTimesBackwards) => head.last_accessed_at = commit.at,
            Some(Fault::ForgetsTheTimeOfCommits) if !creates => {}
            _ => head.last_accessed_at = head.last_accessed_at.max(commit.at),
        }
        if self.has(Fault::MovesTheTimeOfCreation) && !creates {
            head.created_at = head.created_at.max(commit.at);
        }
        stored.committed_at = stored.committed_at.max(commit.at);
        if creates {
            stored.first_head = stored.head;
        }
        Ok(Ok(stored))
    }

    fn in_order(&self, mut ops: Vec<Op>) -> Vec<Op> {
        if self.has(Fault::ReordersACommit) && ops.iter().all(|op| matches!(op, Op::Append(_))) {
            ops.reverse();
        }
        if self.has(Fault::AppliesSettingsFirst) {
            ops.sort_by_key(|op| !matches!(op, Op::Remove { .. }));
        }
        if self.has(Fault::SeesOnlyWhatWasThereBefore) {
            ops.sort_by_key(|op| matches!(op, Op::Append(_)));
        }
        ops
    }

    /// The seq that the operation needs and that is not there.
    fn apply_op(
        &self,
        disk: &mut Disk,
        id: &SessionId,
        stored: &mut Stored,
        op: Op,
    ) -> Result<Option<u64>, StoreError> {
        let head = &mut stored.head;
        match op {
            Op::Append(body) => {
                if self.has(Fault::ReusesSeqs) {
                    head.next_seq = stored.rows.last_key_value().map_or(1, |(&seq, _)| seq + 1);
                }
                if self.has(Fault::SharesOneSeqCounter) {
                    disk.shared_seq += 1;
                    head.next_seq = disk.shared_seq;
                }
                let seq = head.next_seq;
                head.next_seq += if self.has(Fault::LeavesGapsBetweenSeqs) { 2 } else { 1 };
                if self.has(Fault::KeepsTheTotalsOfWhatIsRemoved) {
                    head.messages += 1;
                    head.bytes += body.len() as u64;
                }
                if !(self.has(Fault::LosesEmptyBodies) && body.is_empty()) {
                    stored.rows.insert(seq, StoredRow { body: self.written(body), damaged: false });
                }
            }
            Op::Replace { seq, body } => {
                if !stored.rows.contains_key(&seq) && !self.has(Fault::ReplacesWhatIsNotThere) {
                    return Ok(Some(seq));
                }
                let row = StoredRow { body: self.written(body), damaged: false };
                match self.fault {
                    Some(Fault::LosesReplacements) => {}
                    Some(Fault::AppendsWhatIsReplaced) => {
                        stored.rows.insert(head.next_seq, row);
                        head.next_seq += 1;
                    }
                    _ => drop(stored.rows.insert(seq, row)),
                }
            }
            Op::Remove { first, last } if first <= last => {
                let mut seqs: Vec<u64> = stored.rows.range(first..=last).map(|(&seq, _)| seq).collect();
                match self.fault {
                    Some(Fault::RemovesAllButTheLast) => drop(seqs.pop()),
                    Some(Fault::RemovesOnlyWhatIsWholeThere) if seqs.len() as u64 <= last - first => {
                        seqs.clear();
                    }
                    Some(Fault::DecodesWhatItRemoves) => {
                        if let Some(&seq) = seqs.iter().find(|seq| stored.rows[seq].damaged) {
                            return Err(self.corrupt(id, Some(seq)));
                        }
                    }
                    _ => {}
                }
                stored.rows.retain(|seq, _| !seqs.contains(seq));
            }
            Op::Remove { .. } => {}
            Op::SetApp(app) => stored.app = app,
        }
        Ok(None)
    }

    fn written(&self, body: Bytes) -> Bytes {
        match self.fault {
            Some(Fault::KeepsTextOnly) => String::from_utf8_lossy(&body).into_owned().into(),
            Some(Fault::CutsBodiesAtNul) => {
                let end = body.iter().position(|&byte| byte == 0).unwrap_or(body.len());
                body.slice(..end)
            }
            _ => body,
        }
    }

    pub(super) fn touch_now(&self, id: &SessionId, at: u64) {
        let key = self.key(id);
        let mut disk = self.disk();
        let disk = &mut *disk;
        if self.has(Fault::CreatesByTouch) && !disk.live.contains_key(&key) {
            let stored = self.new_session(disk, &key, Expect::Absent { created_at: at });
            disk.live.insert(key.clone(), stored);
        }
        let reached = match self.fault {
            Some(Fault::TouchesByPrefix) => with_prefix(&disk.live, &key),
            _ => [key].into(),
        };
        for key in reached {
            let Some(stored) = disk.live.get_mut(&key) else { continue };
            let head = &mut stored.head;
            match self.fault {
                Some(Fault::ForgetsTouches) => {}
                Some(Fault::LowersTimesByTouch) => head.last_accessed_at = at,
                _ => head.last_accessed_at = head.last_accessed_at.max(at),
            }
            if self.has(Fault::MakesVersionsByTouch) {
                head.version = head.version.next();
            }
            disk.sync(&key);
        }
    }

    pub(super) fn delete_now(
        &self,
        id: &SessionId,
        condition: DeleteIf,
    ) -> Result<DeleteOutcome, StoreError> {
        let key = self.key(id);
        let mut disk = self.disk();
        let disk = &mut *disk;
        let Some(stored) = disk.live.get(&key) else {
            if self.has(Fault::FailsToDeleteNothing) {
                return Err(StoreError::new(StoreErrorKind::Internal, "no such session").in_session(id));
            }
            return Ok(DeleteOutcome::Absent);
        };
        let damaged_row = stored.rows.values().any(|row| row.damaged);
        if self.has(Fault::DecodesWhatItDeletes) && (damaged_row || stored.head_damaged) {
            return Err(self.corrupt(id, None));
        }
        let unchecked = condition == DeleteIf::Any || self.has(Fault::DeletesUnderADamagedHead);
        if stored.head_damaged && !unchecked {
            return Err(self.corrupt(id, None));
        }
        let head = stored.head;
        let holds = match condition {
            DeleteIf::Any => true,
            DeleteIf::Version(expected) => {
                head.version == expected || self.has(Fault::IgnoresTheVersionOfDeletes)
            }
            DeleteIf::IdleSince(time) => match self.fault {
                Some(Fault::IgnoresTheTimeOfDeletes) => true,
                Some(Fault::TakesJustUsedForUsed) => head.last_accessed_at < time,
                Some(Fault::IgnoresTouchesInDeletes) => stored.committed_at <= time,
                _ => head.last_accessed_at <= time,
            },
        };
        if holds || self.has(Fault::DeletesInSpiteOfConflict) {
            let gone = match self.fault {
                Some(Fault::DeletesByPrefix) => with_prefix(&disk.live, &key),
                _ => [key].into(),
            };
            for key in gone {
                if let Some(stored) = disk.live.remove(&key) {
                    disk.deleted.insert(key.clone(), stored);
                }
                disk.previous.remove(&key);
                if !self.has(Fault::ForgetsDeletesInACrash) {
                    disk.sync(&key);
                }
            }
        }
        Ok(if holds { DeleteOutcome::Deleted } else { DeleteOutcome::Conflict { current: head.version } })
    }
}

fn truncate(bytes: &mut Bytes, most: u64) {
    bytes.truncate(usize::try_from(most).unwrap_or(usize::MAX));
}
