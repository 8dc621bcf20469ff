//! Touches and deletes.

use super::Sim;
use super::disk::with_prefix;
use crate::defect::Defect;
use durable_session::SessionId;
use durable_session::store::{DeleteIf, DeleteOutcome, Expect, StoreError, StoreErrorKind};
use std::sync::Arc;

impl Sim {
    pub(super) fn touch_now(&self, id: &SessionId, at: u64) {
        let key = self.key(id);
        let mut disk = self.disk();
        let disk = &mut *disk;
        if self.has(Defect::CreatesByTouch) && !disk.live.contains_key(&key) {
            let stored = self.new_session(disk, &key, Expect::absent(at));
            disk.live.insert(key.clone(), Arc::new(stored));
        }
        let reached = match self.defect {
            Some(Defect::TouchesByPrefix) => with_prefix(&disk.live, &key),
            _ => [key].into(),
        };
        for key in reached {
            let Some(stored) = disk.live.get_mut(&key) else { continue };
            let head = &mut Arc::make_mut(stored).head;
            match self.defect {
                Some(Defect::ForgetsTouches) => {}
                Some(Defect::LowersTimesByTouch) => head.last_accessed_at = at,
                _ => head.last_accessed_at = head.last_accessed_at.max(at),
            }
            match self.defect {
                Some(Defect::MakesVersionsByTouch) => head.version = head.version.next(),
                Some(Defect::CountsTouchesAsChanges) => head.changed_at = head.changed_at.max(at),
                _ => {}
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
            if self.has(Defect::FailsToDeleteAbsentSessions) {
                return Err(
                    StoreError::new(StoreErrorKind::Internal, "no such session").in_session(id)
                );
            }
            return Ok(DeleteOutcome::Absent);
        };
        let damaged_row = stored.rows.values().any(|row| row.damaged);
        if self.has(Defect::DecodesDeletedSessions) && (damaged_row || stored.head_damaged) {
            return Err(self.corrupt(id, None));
        }
        if self.has(Defect::DecodesTheChunksItRemoves)
            && stored.replies.values().any(|r| r.damage().is_some())
        {
            return Err(self.corrupt(id, None));
        }
        let unchecked = condition == DeleteIf::Any || self.has(Defect::DeletesUnderADamagedHead);
        if stored.head_damaged && !unchecked {
            return Err(self.corrupt(id, None));
        }
        let head = stored.head.salted(disk.salt);
        let holds = match condition {
            DeleteIf::Any => true,
            DeleteIf::Version(expected) => {
                head.version == expected || self.has(Defect::IgnoresTheVersionOfDeletes)
            }
            DeleteIf::IdleSince(time) => match self.defect {
                Some(Defect::IgnoresTheTimeOfDeletes) => true,
                Some(Defect::DeletesOnlyBeforeTheIdleTime) => head.last_accessed_at < time,
                Some(Defect::IgnoresTouchesInDeletes) => stored.committed_at <= time,
                _ => head.last_accessed_at <= time,
            },
        };
        if holds || self.has(Defect::DeletesInSpiteOfConflict) {
            let gone = match self.defect {
                Some(Defect::DeletesByPrefix) => with_prefix(&disk.live, &key),
                _ => [key].into(),
            };
            for key in gone {
                if let Some(stored) = disk.live.remove(&key) {
                    disk.deleted.insert(key.clone(), stored);
                }
                disk.previous.remove(&key);
                if !self.has(Defect::ForgetsDeletesInACrash) {
                    disk.sync(&key);
                }
            }
        }
        Ok(if holds {
            DeleteOutcome::Deleted
        } else {
            DeleteOutcome::Conflict { current: head.version }
        })
    }
}
