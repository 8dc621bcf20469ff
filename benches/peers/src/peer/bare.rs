//! The bare log as a peer. It cannot load.

use super::bare_log::BareLog;
use super::{Service, message};
use anyhow::{Result, bail};
use std::path::Path;

#[derive(Clone)]
pub(crate) struct Bare(BareLog);

impl Bare {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        Ok(Self(BareLog::create(path)?))
    }
}

impl Service for Bare {
    const NAME: &'static str = "bare-log";
    const LOADS: bool = false;

    fn durability(&self) -> &'static str {
        "synced (fdatasync)"
    }

    /// The record is the session's number, the length of the body, and the body.
    async fn add(&self, session: usize) -> Result<()> {
        let message = message();
        let body = message.as_json();
        let mut record = Vec::with_capacity(16 + body.len());
        record.extend((session as u64).to_le_bytes());
        record.extend((body.len() as u64).to_le_bytes());
        record.extend(body.as_bytes());
        Ok(self.0.append(record).await?)
    }

    async fn load(&self) -> Result<usize> {
        bail!("the bare log cannot load")
    }
}
