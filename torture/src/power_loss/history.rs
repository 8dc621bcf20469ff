//! What each session went through, and when on the disk's log.

use crate::model::{self, State};
use anyhow::{Result, bail};
use durable_session::SessionId;
use durable_session::store::Loaded;

/// A state of a session: begun at one length of the log, acknowledged at another.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) state: State,
    pub(super) started: usize,
    pub(super) acknowledged: usize,
}

/// One session's states, in order; at first it is absent.
#[derive(Debug, Clone)]
pub(super) struct History {
    pub(super) id: SessionId,
    pub(super) steps: Vec<Step>,
}

impl History {
    pub(super) fn new(id: SessionId, state: State) -> Self {
        Self { id, steps: vec![Step { state, started: 0, acknowledged: 0 }] }
    }

    pub(super) fn now(&self) -> &State {
        self.steps.last().map_or(&None, |step| &step.state)
    }

    /// Which step is stored after a power loss at `cut`: not before the last acknowledged, not after the last begun.
    pub(super) fn find(&self, cut: usize, loaded: Option<&Loaded>) -> Result<usize> {
        let least = self.steps.iter().rposition(|step| step.acknowledged <= cut).unwrap_or(0);
        let most = self.steps.iter().rposition(|step| step.started <= cut).unwrap_or(0);
        let mut reasons = Vec::new();
        for n in (least..=most).rev() {
            match model::check(&self.steps[n].state, loaded) {
                Ok(()) => return Ok(n),
                Err(reason) => reasons.push(format!("not step {n}: {reason}")),
            }
        }
        let other = (0..self.steps.len())
            .find(|&n| !(least..=most).contains(&n) && model::check(&self.steps[n].state, loaded).is_ok());
        match other {
            Some(n) if n < least => {
                bail!("{}: LOST: step {least} was acknowledged, step {n} is stored", self.id)
            }
            Some(n) => bail!("{}: GHOST: step {n} is stored, which was not begun", self.id),
            None => bail!("{}: neither whole nor absent: {}", self.id, reasons.join("; ")),
        }
    }
}
