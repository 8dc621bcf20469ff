//! Commits: expectations, limits and durability.

use super::disk::{Disk, Stored};
use super::{Sim, yield_once};
use crate::defect::Defect;
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    Commit, CommitOutcome, Expect, Head, Op, StoreError, StoreErrorKind, StoreLimits, Version,
};
use std::sync::Arc;

/// The result of applying a commit.
pub(super) enum Applied {
    Whole(Stored),
    /// Refused, with the state after the operations before the refused one.
    Refused(CommitOutcome, Stored),
}

impl Sim {
    /// The commit is made on the first poll and answered on the second.
    pub(super) async fn commit_in_steps(
        &self,
        id: &SessionId,
        commit: Commit,
    ) -> Result<CommitOutcome, StoreError> {
        match self.defect {
            Some(Defect::LosesDroppedCommits) => {
                yield_once().await;
                self.commit_now(id, commit)
            }
            Some(Defect::HalvesDroppedCommits) => self.commit_in_halves(id, commit).await,
            Some(Defect::LosesUpdates) => {
                let held = self.current(id).is_some_and(|head| head.expect() == commit.expect);
                yield_once().await;
                let mut commit = commit;
                if let (true, Some(now)) = (held, self.current(id)) {
                    commit.expect = now.expect();
                }
                self.commit_now(id, commit)
            }
            Some(Defect::SyncsHalfACommit) => {
                self.commit_and_sync(id, commit, |synced, before| {
                    let rows = std::mem::take(&mut synced.rows);
                    *synced = Stored { rows, ..before };
                })
                .await
            }
            Some(Defect::DropsChunksBeforeTheClosingBody) => {
                self.commit_and_sync(id, commit, |synced, before| {
                    let replies = std::mem::take(&mut synced.replies);
                    *synced = Stored { replies, ..before };
                })
                .await
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
                self.commit_now(id, Commit::new(head.expect(), rest, at))
            }
            other => Ok(other),
        }
    }

    /// Commits. Until the answer, a power loss leaves the state that `halve` makes.
    async fn commit_and_sync(
        &self,
        id: &SessionId,
        commit: Commit,
        halve: impl FnOnce(&mut Stored, Stored),
    ) -> Result<CommitOutcome, StoreError> {
        let before = self.disk().synced.get(id).map(|stored| Stored::clone(stored));
        let outcome = self.commit_now(id, commit);
        if let (Some(stored), Some(before)) = (self.disk().synced.get_mut(id), before) {
            halve(Arc::make_mut(stored), before);
        }
        yield_once().await;
        self.disk().sync(id);
        outcome
    }

    pub(super) fn commit_now(
        &self,
        id: &SessionId,
        mut commit: Commit,
    ) -> Result<CommitOutcome, StoreError> {
        let mut disk = self.disk();
        let salt = disk.salt;
        if let Expect::Version { version, next_seq } = commit.expect {
            commit.expect = Expect::Version { version: version.salted(salt), next_seq };
        }
        let outcome = self.commit_to(&mut disk, id, commit)?;
        Ok(match outcome {
            CommitOutcome::Committed(head) => CommitOutcome::Committed(head.salted(salt)),
            CommitOutcome::Conflict { current } => {
                CommitOutcome::Conflict { current: current.map(|version| version.salted(salt)) }
            }
            refused => refused,
        })
    }

    /// All versions here are unsalted.
    fn commit_to(
        &self,
        disk: &mut Disk,
        id: &SessionId,
        commit: Commit,
    ) -> Result<CommitOutcome, StoreError> {
        let key = self.key(id);
        let commit = self.within_limits(disk, id, commit)?;
        disk.used = true;
        disk.commits += 1;
        if disk.poisoned {
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "another session's request was refused",
            ));
        }
        self.check_head(id, disk.live.get(&key).map(Arc::as_ref))?;
        if self.has(Defect::SpreadsDamage) && disk.live.values().any(|stored| stored.head_damaged) {
            return Err(self.corrupt(id, None));
        }

        let current = disk.live.get(&key).map(|stored| stored.head);
        if !self.holds(disk, &key, commit.expect, current) {
            return Ok(self.conflict(disk, &key, commit, current.map(|head| head.version)));
        }

        let stored = match (disk.live.get(&key), commit.expect) {
            (Some(stored), _) => Stored::clone(stored),
            (None, expect) => self.new_session(disk, &key, expect),
        };
        if self.has(Defect::RefusesAnEmptyCreation) && current.is_none() && commit.ops.is_empty() {
            return Ok(CommitOutcome::NoSuchSeq { seq: 1 });
        }
        let old_head = stored.head;
        match self.apply(disk, id, stored, commit, current.is_none())? {
            Applied::Whole(stored) => {
                let head = stored.head;
                if let Some(before) = disk.live.insert(key.clone(), Arc::new(stored)) {
                    disk.previous.insert(key.clone(), before);
                }
                if !self.has(Defect::AcknowledgesBeforeItIsDurable) {
                    disk.sync(&key);
                }
                let reported =
                    if self.has(Defect::ReportsAnOldHead) { old_head.bytes } else { head.bytes };
                Ok(CommitOutcome::Committed(Head { bytes: reported, ..head }))
            }
            Applied::Refused(outcome, half_done) => {
                disk.poisoned = self.has(Defect::FailsTheNextAfterARefusal);
                let keeps = match (outcome, current) {
                    (CommitOutcome::NoSuchSeq { .. }, Some(_)) => {
                        self.has(Defect::KeepsOperationsBeforeARefusal)
                    }
                    (CommitOutcome::NoSuchSeq { .. }, None) => {
                        self.has(Defect::LeavesAnEmptySessionOnRefusal)
                    }
                    _ => self.has(Defect::KeepsOperationsBeforeARefusedClose),
                };
                if keeps {
                    disk.live.insert(key.clone(), Arc::new(half_done));
                    disk.sync(&key);
                }
                Ok(outcome)
            }
        }
    }

    fn holds(&self, disk: &Disk, key: &SessionId, expect: Expect, current: Option<Head>) -> bool {
        match (expect, current) {
            (Expect::Absent { .. }, None) => {
                !(self.has(Defect::ForbidsDeletedIds) && disk.deleted.contains_key(key))
            }
            (Expect::Absent { .. }, Some(_)) => self.has(Defect::CreatesOverExistingSessions),
            (Expect::Version { version, next_seq }, Some(current)) => {
                let counters = self.has(Defect::ComparesCountersOnly)
                    && version.counter() == current.version.counter();
                let same = version == current.version || counters;
                self.has(Defect::IgnoresTheVersion)
                    || (same
                        && (next_seq == current.next_seq
                            || self.has(Defect::IgnoresTheNextSeqExpected)))
            }
            (Expect::Version { .. }, None) => self.has(Defect::CommitsToAbsentSessions),
        }
    }

    fn within_limits(
        &self,
        disk: &mut Disk,
        id: &SessionId,
        mut commit: Commit,
    ) -> Result<Commit, StoreError> {
        let mut limits = super::LIMITS;
        if self.has(Defect::LowersItsLimits) && disk.used {
            limits.max_commit_ops -= 1;
        }
        match self.defect {
            Some(Defect::IgnoresTheLimitOfAppState) => limits.max_app_bytes = u64::MAX,
            Some(Defect::IgnoresTheLimitOfCommitBytes) => limits.max_commit_bytes = u64::MAX,
            Some(Defect::IgnoresTheLimitOfOperations) => limits.max_commit_ops = usize::MAX,
            Some(Defect::RefusesSizesAtTheLimit) => {
                limits.max_body_bytes -= 1;
                limits.max_app_bytes -= 1;
                limits.max_commit_bytes -= 1;
                limits.max_commit_ops -= 1;
            }
            Some(Defect::TruncatesToTheLimit) => {
                for op in &mut commit.ops {
                    match op {
                        Op::Append(message)
                        | Op::Replace { message, .. }
                        | Op::Close { message, .. } => {
                            truncate(&mut message.body, limits.max_body_bytes);
                        }
                        Op::SetApp(app) => truncate(app, limits.max_app_bytes),
                        Op::Remove { .. } | Op::SetLabels(_) => {}
                    }
                }
            }
            _ => {}
        }
        let Err(error) = self.checked(limits, id, &commit) else { return Ok(commit) };
        if self.has(Defect::WritesBeforeItRefuses) {
            let large = |op: &&Op| op.message().is_some_and(|message| message.body.len() > 10_000);
            let ops = commit.ops.iter().take_while(|op| !large(op)).take(100).cloned().collect();
            let sound = Self { disk: self.disk.clone(), defect: None };
            let _ = sound.commit_to(disk, id, Commit::new(commit.expect, ops, commit.at));
        }
        if self.has(Defect::FailsTheNextAfterTooLarge) {
            disk.poisoned = true;
        }
        if self.has(Defect::ReportsTooLargeAsUnavailable) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "too large").in_session(id));
        }
        Err(error)
    }

    fn checked(
        &self,
        limits: StoreLimits,
        id: &SessionId,
        commit: &Commit,
    ) -> Result<(), StoreError> {
        let mut commit = commit.clone();
        match self.defect {
            Some(Defect::IgnoresTheLimitOfLabels) => {
                commit.ops.retain(|op| !matches!(op, Op::SetLabels(_)));
            }
            Some(Defect::IgnoresTheRoomOfOpenings | Defect::IgnoresTheLimitOfFormats) => {
                for op in &mut commit.ops {
                    if let Op::Append(message)
                    | Op::Replace { message, .. }
                    | Op::Close { message, .. } = op
                    {
                        let opens = message.opens.take();
                        if let (Some(mut opens), Some(Defect::IgnoresTheLimitOfFormats)) =
                            (opens, self.defect)
                        {
                            opens.format = "".into();
                            message.opens = Some(opens);
                        }
                    }
                }
            }
            Some(Defect::RefusesToCloseFullReplies) => {
                for op in &commit.ops {
                    if let Op::Close { message, .. } = op {
                        limits.check_reply(id, message.body.len() as u64)?;
                    }
                }
            }
            _ => {}
        }
        limits.check(id, &commit)
    }

    fn conflict(
        &self,
        disk: &mut Disk,
        key: &SessionId,
        commit: Commit,
        current: Option<Version>,
    ) -> CommitOutcome {
        disk.poisoned = self.has(Defect::FailsTheNextAfterARefusal);
        if let Some(stored) = disk.live.get(key).map(|stored| Stored::clone(stored)) {
            match self.defect {
                Some(Defect::ReportsConflictsAsSuccess) => {
                    return CommitOutcome::Committed(stored.head);
                }
                Some(Defect::TouchesOnConflict) => {
                    let mut stored = stored;
                    stored.head.last_accessed_at = stored.head.last_accessed_at.max(commit.at);
                    disk.live.insert(key.clone(), Arc::new(stored));
                }
                Some(Defect::AppliesConflictingCommits) => {
                    if let Ok(Applied::Whole(stored)) = self.apply(disk, key, stored, commit, false)
                    {
                        disk.live.insert(key.clone(), Arc::new(stored));
                    }
                }
                _ => {}
            }
        }
        CommitOutcome::Conflict {
            current: current.filter(|_| !self.has(Defect::ForgetsTheCurrentVersion)),
        }
    }

    pub(super) fn new_session(&self, disk: &mut Disk, key: &SessionId, expect: Expect) -> Stored {
        let (created_at, given) = match expect {
            Expect::Absent { created_at, incarnation } => (created_at, incarnation),
            Expect::Version { .. } => (0, None),
        };
        let drawn = self.draw_incarnation(disk);
        let given = given.filter(|_| !self.has(Defect::IgnoresTheIncarnationGiven));
        let version = Version::new(given.unwrap_or(drawn), 1);
        let head = Head {
            next_seq: u64::from(!self.has(Defect::BeginsSeqsAt0)),
            ..Head::new(version, created_at)
        };
        let mut stored = Stored::new(head);
        if let Some(earlier) = disk.deleted.remove(key).map(Arc::unwrap_or_clone) {
            match self.defect {
                Some(Defect::KeepsAppStateAfterDelete) => stored.app = earlier.app,
                Some(Defect::KeepsRowsAfterDelete) => stored.rows = earlier.rows,
                Some(Defect::KeepsLabelsAfterDelete) => stored.labels = earlier.labels,
                Some(Defect::KeepsRepliesAfterDelete) => stored.replies = earlier.replies,
                Some(Defect::KeepsChunksAfterDelete) => {
                    stored.ended = earlier.ended;
                    stored.ended.extend(earlier.replies);
                }
                _ => {}
            }
        }
        stored
    }
}

fn truncate(bytes: &mut Bytes, most: u64) {
    bytes.truncate(usize::try_from(most).unwrap_or(usize::MAX));
}
