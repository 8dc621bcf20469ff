//! A caller's wait: for a batch, or only for its turn to look at one.

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
        leave(self.engine, self.key);
    }
}

/// Gives up a wait. Others that remain are woken: the one that leaves may have been about to poll the flight.
fn leave(engine: &Engine, key: Option<u64>) {
    if let Some(key) = key {
        let others = engine.slot.lock().leave(key);
        others.wake();
    }
}

/// How often a reader polls a flight that may be answered. A store may wake its callers without an answer for as
/// long as it works, and readers do not wait for that.
const POLLS: u32 = 8;

/// A reader's look at the slot's flight, which may be answered although no caller waits for it any more.
///
/// It polls the flight, and again after its executor had a turn if the store may have answered all the same.
#[must_use]
pub(crate) struct CatchUp<'a> {
    engine: &'a Engine,
    key: Option<u64>,
    polls: u32,
}

impl<'a> CatchUp<'a> {
    pub(crate) fn new(engine: &'a Engine) -> Self {
        Self { engine, key: None, polls: 0 }
    }
}

impl Future for CatchUp<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Engine { hub, slot } = self.engine;
        let mut key = self.key;
        // Waiting before polling: whoever polls the flight meanwhile wakes this reader afterwards.
        slot.lock().wait(&mut key, cx.waker());
        self.key = key;
        slot.drive(hub);
        self.polls += 1;
        let mut state = slot.lock();
        if state.may_be_answered() && self.polls < POLLS {
            return Poll::Pending;
        }
        if state.is_abandoned() && self.polls == 1 {
            // A task that did much in one turn may be told "not yet" of an answer that is there (tokio's budget).
            drop(state);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(key) = self.key.take() {
            state.done(key);
        }
        Poll::Ready(())
    }
}

impl Drop for CatchUp<'_> {
    fn drop(&mut self) {
        leave(self.engine, self.key);
    }
}
