//! What is done to a server, and how it comes back.

use super::TIMEOUT;
use super::proxy::Proxy;
use super::writers::{Writers, wait_until};
use anyhow::{Context, Result};
use fastrand::Rng;
use std::fs::File;
use std::io::Write;
use std::time::Duration;
use testkit::PostgresServer;

/// The room of a server whose disk is filled up. A new one takes about 40 MiB of it.
const DISK_MIB: u32 = 128;

#[derive(Debug, Clone, Copy)]
pub(super) enum Attack {
    /// All its processes are killed.
    Kill,
    /// It is shut down at once, without a checkpoint.
    Stop,
    /// All connections end, some after the server got a commit and before it answered.
    Cut,
    /// It stands still for longer than the stores wait.
    Pause,
    /// Its disk is full for a while.
    Fill,
    /// The standby that commits wait for is killed. It comes back and catches up.
    Standby,
    /// The server is killed for good, and its standby takes over.
    Failover,
}

impl Attack {
    pub(super) const ALL: [Self; 7] =
        [Self::Kill, Self::Stop, Self::Cut, Self::Pause, Self::Fill, Self::Standby, Self::Failover];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kill => "killed",
            Self::Stop => "stopped",
            Self::Cut => "cut",
            Self::Pause => "paused",
            Self::Fill => "filled",
            Self::Standby => "standby_killed",
            Self::Failover => "failed_over",
        }
    }

    /// Attacks the server and brings it back. Returns how many commits were in flight.
    pub(super) fn make(
        self,
        set: &mut Set,
        proxy: &Proxy,
        writers: &Writers,
        rng: &mut Rng,
    ) -> Result<u64> {
        let in_flight = writers.in_flight();
        let failed = writers.failed();
        match self {
            Self::Kill => {
                set.server.kill();
                set.server.start();
            }
            Self::Stop => {
                set.server.stop_at_once();
                set.server.start();
            }
            Self::Cut => {
                if rng.bool() {
                    proxy.mute();
                    std::thread::sleep(Duration::from_millis(rng.u64(1..20)));
                }
                proxy.cut();
            }
            Self::Pause => {
                set.server.pause();
                std::thread::sleep(TIMEOUT + Duration::from_millis(rng.u64(100..500)));
                set.server.resume();
            }
            Self::Fill => set.fill_up(writers)?,
            Self::Standby => {
                let standby = set.standby.as_mut().context("no standby")?;
                standby.kill();
                // Commits wait for it, until their stores give up.
                wait_until("commits failed", || writers.failed() > failed)?;
                standby.start();
            }
            Self::Failover => {
                let standby = set.standby.take().context("no standby")?;
                set.server.kill();
                standby.promote();
                proxy.lead_to(standby.port());
                set.server = standby;
            }
        }
        Ok(in_flight)
    }
}

/// The servers of a case.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) server: PostgresServer,
    pub(super) standby: Option<PostgresServer>,
}

impl Set {
    /// The servers for an attack; `None` if this process may not mount the file system that is to
    /// be filled up.
    pub(super) fn up(attack: Attack) -> Option<Self> {
        match attack {
            Attack::Fill => {
                let server = PostgresServer::on_a_disk_of(DISK_MIB)?;
                Some(Self { server, standby: None })
            }
            Attack::Standby | Attack::Failover => {
                let mut server = PostgresServer::new()?;
                let standby = Some(server.standby());
                server.set(&["synchronous_standby_names=*"]);
                // A commit before that would wait for it.
                while server
                    .query("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")
                    != "1"
                {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Some(Self { server, standby })
            }
            _ => Some(Self { server: PostgresServer::new()?, standby: None }),
        }
    }

    /// Takes all room until calls failed, and gives it back.
    fn fill_up(&mut self, writers: &Writers) -> Result<()> {
        let failed = writers.failed();
        let path = self.server.folder().join("filler");
        let mut filler = File::create(&path)?;
        let block = vec![1; 64 << 10];
        wait_until("calls failed for a full disk", || {
            while filler.write_all(&block).is_ok() {}
            writers.failed() > failed
        })?;
        drop(filler);
        std::fs::remove_file(&path)?;
        // A server that cannot write its log ends.
        self.server.start();
        Ok(())
    }
}
