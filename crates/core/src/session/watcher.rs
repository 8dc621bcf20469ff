//! Following the changes of a session.

use super::actor::Watched;
use super::current::Interval;
use super::driver;
use super::registry::Session;
use std::fmt;
use std::future::poll_fn;
use std::task::Poll;

/// Follows the published changes of one session, from the moment it was made.
///
/// It sees the changes that its own [`ChatSessions`](crate::ChatSessions) publishes, and those of
/// others when that next reads them. It keeps no messages in memory.
pub struct Watcher {
    session: Session,
    next: u64,
    key: Option<u64>,
    interval: Interval,
}

impl Watcher {
    pub(crate) fn new(session: Session) -> Self {
        let next = {
            let mut cell = session.actor.lock();
            cell.machine.watch();
            cell.ring.next()
        };
        Self { session, next, key: None, interval: Interval::default() }
    }

    /// Waits for the next change. Cancel-safe: dropping the future loses nothing.
    ///
    /// ```
    /// use durable_session::Watched;
    /// # async fn example(mut watcher: durable_session::Watcher) {
    /// match watcher.next().await {
    ///     Watched::Changed(change) => println!("new messages: {:?}", change.appended),
    ///     _ => println!("read the session again"),
    /// }
    /// # }
    /// ```
    pub async fn next(&mut self) -> Watched {
        poll_fn(|cx| {
            if let Some(watched) = self.take() {
                return Poll::Ready(watched);
            }
            self.interval.poll(cx, &self.session);
            self.session.actor.lock().register(&mut self.key, cx.waker());
            driver::drive(&self.session);
            self.take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// The next change, if it has happened already.
    pub(super) fn take(&mut self) -> Option<Watched> {
        self.session.actor.lock().ring.take(&mut self.next)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        {
            let mut cell = self.session.actor.lock();
            if !cell.machine.unwatch() {
                cell.ring.clear();
            }
        }
        self.session.actor.leave(self.key);
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher")
            .field("session", &self.session.actor.id)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}
