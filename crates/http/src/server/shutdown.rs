//! Stopping without losing what was accepted.

use std::future::Future;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The wish to stop, shared by everything that serves, and the changes that have to be finished first. Cheap to clone.
///
/// The order that loses nothing: [`begin`](Self::begin), wait for [`serve`](super::serve()) to return, wait for
/// [`finished`](Self::finished), close the [`ChatSessions`](durable_session::ChatSessions), close the store.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    changes: TaskTracker,
}

impl Shutdown {
    /// Nobody wishes to stop yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops: no new connections are taken, event streams end, requests under way are answered.
    pub fn begin(&self) {
        self.token.cancel();
        self.changes.close();
    }

    /// Waits until [`begin`](Self::begin) has been called.
    pub async fn begun(&self) {
        self.token.cancelled().await;
    }

    /// Waits until [`begin`](Self::begin) has been called and every change under way is done.
    pub async fn finished(&self) {
        self.changes.wait().await;
    }

    /// Runs a change in a task of its own; dropping the wait for it stops nothing.
    pub(super) async fn track<T: Send + 'static>(
        &self,
        change: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        self.changes.spawn(change).await
    }
}
