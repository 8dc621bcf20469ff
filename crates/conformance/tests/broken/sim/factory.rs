//! A factory of simulated stores, and the damage, crashes and backups that cases ask for.

use super::Sim;
use super::disk::Disk;
use crate::defect::Defect;
use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::store::{SessionList, SessionStore};
use durable_session_conformance::{BoxError, Capability, Factory, Instance};
use std::sync::{Arc, Mutex};

/// Makes simulated stores, all with the same defect.
pub(crate) struct SimFactory {
    pub(crate) defect: Option<Defect>,
    pub(crate) capabilities: &'static [Capability],
}

impl SimFactory {
    /// All capabilities.
    pub(crate) const ALL: &[Capability] = &[
        Capability::Reopen,
        Capability::Crash,
        Capability::Corrupt,
        Capability::Misplace,
        Capability::Backup,
        Capability::List,
        Capability::Threads,
        Capability::AcceptsOnFirstPoll,
        Capability::ReachableLimits,
    ];

    /// All capabilities but [`Capability::Threads`]: every verdict is the same in every run.
    pub(crate) const WITHOUT_THREADS: &[Capability] = &[
        Capability::Reopen,
        Capability::Crash,
        Capability::Corrupt,
        Capability::Misplace,
        Capability::Backup,
        Capability::List,
        Capability::AcceptsOnFirstPoll,
        Capability::ReachableLimits,
    ];
}

#[async_trait(?Send)]
impl Factory for SimFactory {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn capabilities(&self) -> &'static [Capability] {
        self.capabilities
    }

    async fn create(&self) -> Result<Box<dyn Instance>, BoxError> {
        let disk = Arc::new(Mutex::new(Disk::default()));
        Ok(Box::new(SimInstance(Sim { disk, defect: self.defect })))
    }
}

struct SimInstance(Sim);

#[async_trait(?Send)]
impl Instance for SimInstance {
    fn store(&self) -> Arc<dyn SessionStore> {
        Arc::new(self.0.clone())
    }

    fn list(&self) -> Option<Arc<dyn SessionList>> {
        Some(Arc::new(self.0.clone()))
    }

    async fn reopen(&mut self) -> Result<(), BoxError> {
        self.0.open(false);
        let mut disk = self.0.disk();
        disk.synced = disk.live.clone();
        Ok(())
    }

    async fn crash_and_reopen(&mut self) -> Result<(), BoxError> {
        {
            let mut disk = self.0.disk();
            disk.live = disk.synced.clone();
        }
        self.0.open(true);
        Ok(())
    }

    async fn corrupt_message(&mut self, id: &SessionId, seq: u64) -> Result<(), BoxError> {
        let mut disk = self.0.disk();
        let row =
            disk.live.get_mut(id).map(Arc::make_mut).and_then(|stored| stored.rows.get_mut(&seq));
        row.ok_or("no such row")?.damaged = true;
        disk.sync(id);
        Ok(())
    }

    async fn corrupt_head(&mut self, id: &SessionId) -> Result<(), BoxError> {
        let mut disk = self.0.disk();
        Arc::make_mut(disk.live.get_mut(id).ok_or("no such session")?).head_damaged = true;
        disk.sync(id);
        Ok(())
    }

    async fn corrupt_chunk(
        &mut self,
        id: &SessionId,
        seq: u64,
        offset: u64,
    ) -> Result<(), BoxError> {
        let mut disk = self.0.disk();
        let reply = disk
            .live
            .get_mut(id)
            .map(Arc::make_mut)
            .and_then(|stored| stored.replies.get_mut(&seq));
        let rows = &mut reply.ok_or("no such reply")?.rows;
        let row = rows.iter_mut().rev().find(|row| row.offset <= offset);
        let row = row.filter(|row| offset < row.offset + row.chunks.len() as u64);
        row.ok_or("no such chunk")?.damaged = true;
        disk.sync(id);
        Ok(())
    }

    async fn misplace_message(
        &mut self,
        from: &SessionId,
        to: &SessionId,
        seq: u64,
    ) -> Result<(), BoxError> {
        let mut disk = self.0.disk();
        let row = disk.live.get(from).and_then(|stored| stored.rows.get(&seq));
        let mut row = row.ok_or("no such row")?.clone();
        // A checksum over the body and its place does not match in another place.
        row.damaged |= !self.0.has(Defect::TakesRowsOfOtherSessions);
        let place =
            disk.live.get_mut(to).map(Arc::make_mut).and_then(|stored| stored.rows.get_mut(&seq));
        *place.ok_or("no such place")? = row;
        disk.sync(to);
        Ok(())
    }

    async fn back_up(&mut self) -> Result<(), BoxError> {
        let mut disk = self.0.disk();
        disk.copy = Some(disk.live.clone());
        Ok(())
    }

    async fn restore_backup(&mut self) -> Result<(), BoxError> {
        {
            let mut disk = self.0.disk();
            disk.live = disk.copy.clone().ok_or("there is no backup")?;
            if !self.0.has(Defect::KeepsTheVersionsOfABackup) {
                disk.salt = disk.draw_salt();
            }
            if self.0.has(Defect::GivesABackupNewIncarnations) {
                let mut live = std::mem::take(&mut disk.live);
                for stored in live.values_mut() {
                    super::begin_a_new_life(&mut disk, Arc::make_mut(stored));
                }
                disk.live = live;
            }
        }
        self.0.open(false);
        let mut disk = self.0.disk();
        disk.synced = disk.live.clone();
        Ok(())
    }
}
