//! The states of each session, and when each was stored by the disk's log.

use crate::model::{self, Seen, State};
use crate::verdict::{Broken, Kind};
use durable_session::SessionId;

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

    /// Which step is stored after a power loss at `cut`: not before the last acknowledged, not
    /// after the last begun.
    pub(super) fn find(&self, cut: usize, seen: Option<&Seen>) -> Result<usize, Broken> {
        let least = self.steps.iter().rposition(|step| step.acknowledged <= cut).unwrap_or(0);
        let most = self.steps.iter().rposition(|step| step.started <= cut).unwrap_or(0);
        let differs = |n: usize| model::compare(&self.steps[n].state, seen);
        let is = |n: &usize| differs(*n).is_nothing();
        if let Some(n) = (least..=most).rev().find(is) {
            return Ok(n);
        }
        let broken = match (0..self.steps.len()).find(is) {
            Some(n) if n < least => differs(least)
                .at_least_one(Kind::Lost)
                .within(format_args!("step {least} was acknowledged, step {n} is stored")),
            Some(n) => differs(most)
                .at_least_one(Kind::Ghosts)
                .within(format_args!("step {n} is stored, which was not begun")),
            // Neither whole nor absent: the differences from the nearest step.
            None => (least..=most)
                .map(differs)
                .min_by_key(Broken::findings)
                .unwrap_or_default()
                .within(format_args!("not step {least}, nor any other up to {most}")),
        };
        Err(broken.within(self.id.as_str()))
    }
}
