//! A caller's wait: for a piece of work, or only for its turn to look at the store's answers.

use super::drive::{drive, drive_to_read};
use crate::session::actor::{Cell, Listed};
use crate::session::machine::Ticket;
use crate::session::registry::Session;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Waits for the work with a ticket, driving the session meanwhile. Dropping it gives up the wait
/// and stops nothing.
#[must_use]
pub(crate) struct Wait<'a, K: Listed> {
    session: &'a Session,
    /// Gone once the caller knows how the work ended.
    ticket: Option<Ticket<K>>,
    key: Option<u64>,
}

impl<'a, K: Listed> Wait<'a, K> {
    pub(crate) fn new(session: &'a Session, ticket: Ticket<K>) -> Self {
        Self { session, ticket: Some(ticket), key: None }
    }
}

impl<K: Listed> Future for Wait<'_, K> {
    type Output = K::Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<K::Outcome> {
        let (session, mut key) = (self.session, self.key);
        let Some(ticket) = self.ticket else { return Poll::Pending };
        let known = {
            let mut cell = session.actor.lock();
            let known = cell.outcomes.take(ticket);
            match known {
                Some(_) => cell.unregister(&mut key),
                None => cell.register(&mut key, cx.waker()),
            }
            known
        };
        self.key = key;
        let outcome = known.or_else(|| {
            drive(session);
            let mut cell = session.actor.lock();
            let outcome = cell.outcomes.take(ticket)?;
            // Its work is done, and the caller that did it has polled the work after it: nobody
            // needs to be woken.
            cell.unregister(&mut self.key);
            Some(outcome)
        });
        match outcome {
            Some(outcome) => {
                self.ticket = None;
                Poll::Ready(outcome)
            }
            None => Poll::Pending,
        }
    }
}

impl<K: Listed> Drop for Wait<'_, K> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let mut cell = self.session.actor.lock();
            if cell.outcomes.take(ticket).is_none() {
                cell.machine.leave(ticket.id);
            }
            drop(cell);
            self.session.actor.leave(self.key);
        }
    }
}

/// A caller that waits for any news of a session. While it waits it drives the session. Dropping it
/// stops nothing.
#[must_use]
pub(crate) struct Listener<'a> {
    session: &'a Session,
    key: Option<u64>,
}

impl<'a> Listener<'a> {
    pub(crate) fn new(session: &'a Session) -> Self {
        Self { session, key: None }
    }

    /// Looks for news by `look`. If there are none, the session is driven and looked at again. The
    /// caller is woken at the next news.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &Context<'_>,
        mut look: impl FnMut(&mut Cell) -> Option<T>,
    ) -> Poll<T> {
        {
            let mut cell = self.session.actor.lock();
            if let Some(news) = look(&mut cell) {
                cell.unregister(&mut self.key);
                return Poll::Ready(news);
            }
            cell.register(&mut self.key, cx.waker());
        }
        drive(self.session);
        let mut cell = self.session.actor.lock();
        let news = look(&mut cell);
        if news.is_some() {
            cell.unregister(&mut self.key);
        }
        news.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        self.session.actor.leave(self.key);
    }
}

/// How often a reader polls work that may be answered. A store may wake its callers without an
/// answer for as long as it works, and readers do not wait for that.
const POLLS: u32 = 8;

/// A reader's look at the session's work, which may be answered although no caller waits for it any
/// more.
///
/// It polls the work, and again after its executor had a turn if the store may have answered all
/// the same.
#[must_use]
pub(crate) struct CatchUp<'a> {
    session: &'a Session,
    key: Option<u64>,
    polls: u32,
}

impl<'a> CatchUp<'a> {
    pub(crate) fn new(session: &'a Session) -> Self {
        Self { session, key: None, polls: 0 }
    }
}

impl Future for CatchUp<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let session = self.session;
        // Registered before polling: a caller that polls meanwhile wakes this reader afterwards.
        session.actor.lock().register(&mut self.key, cx.waker());
        drive_to_read(session);
        self.polls += 1;
        let mut cell = session.actor.lock();
        if cell.may_be_answered() && self.polls < POLLS {
            return Poll::Pending;
        }
        if cell.machine.is_abandoned() && self.polls == 1 {
            // A task that did much in one turn may be told "not yet" of an answer that is there
            // (tokio's budget).
            drop(cell);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        cell.unregister(&mut self.key);
        Poll::Ready(())
    }
}

impl Drop for CatchUp<'_> {
    fn drop(&mut self) {
        self.session.actor.leave(self.key);
    }
}
