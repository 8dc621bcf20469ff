//! A caller's wait for a batch.

use super::batch::{Outcome, Ticket};
use super::hub::Hub;
use super::slot::Slot;
use crate::sync::Arc;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Waits for a ticket, driving the slot's flight meanwhile. Dropping it gives up the wait and stops nothing.
///
/// Made while the slot's lock is held, so that a batch never looks abandoned before its caller waits for it.
#[must_use]
pub(crate) struct Claim {
    hub: Arc<Hub>,
    slot: Arc<Slot>,
    ticket: Arc<Ticket>,
    key: Option<u64>,
}

impl Claim {
    pub(crate) fn new(hub: &Arc<Hub>, slot: &Arc<Slot>, ticket: Arc<Ticket>) -> Self {
        ticket.join();
        Self { hub: Arc::clone(hub), slot: Arc::clone(slot), ticket, key: None }
    }
}

impl Future for Claim {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        if self.ticket.outcome().is_none() {
            let mut key = self.key;
            self.slot.lock().wait(&mut key, cx.waker());
            self.key = key;
            self.slot.drive(&self.hub);
        }
        let Some(outcome) = self.ticket.outcome() else { return Poll::Pending };
        // What was waited for is done and whoever did it has polled what comes next: nobody needs to be woken for us.
        if let Some(key) = self.key.take() {
            self.slot.lock().done(key);
        }
        Poll::Ready(outcome)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.ticket.leave();
        if let Some(key) = self.key {
            let others = self.slot.lock().leave(key);
            others.into_values().for_each(Waker::wake);
        }
    }
}
