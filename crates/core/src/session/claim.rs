//! A caller's wait for a batch.

use super::batch::{Outcome, Ticket};
use super::engine::Engine;
use crate::sync::Arc;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Waits for a ticket, driving the slot's flight meanwhile. Dropping it gives up the wait and stops nothing.
///
/// Made while the slot's lock is held, so that a batch never looks abandoned before its caller waits for it.
#[must_use]
pub(crate) struct Claim<'a> {
    engine: &'a Engine,
    ticket: Arc<Ticket>,
    key: Option<u64>,
}

impl<'a> Claim<'a> {
    pub(crate) fn new(engine: &'a Engine, ticket: Arc<Ticket>) -> Self {
        ticket.join();
        Self { engine, ticket, key: None }
    }
}

impl Future for Claim<'_> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        if self.ticket.outcome().is_none() {
            let mut key = self.key;
            self.engine.slot.lock().wait(&mut key, cx.waker());
            self.key = key;
            self.engine.slot.drive(&self.engine.hub);
        }
        let Some(outcome) = self.ticket.outcome() else { return Poll::Pending };
        // What was waited for is done and whoever did it has polled what comes next: nobody needs to be woken for us.
        if let Some(key) = self.key.take() {
            self.engine.slot.lock().done(key);
        }
        Poll::Ready(outcome)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.ticket.leave();
        if let Some(key) = self.key {
            let others = self.engine.slot.lock().leave(key);
            others.wake();
        }
    }
}
