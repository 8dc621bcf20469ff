//! Stopping without losing an accepted change.

use std::future::Future;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Stops servers and routers that share it, and waits for unfinished changes. Cheap to clone;
/// clones share one shutdown.
///
/// The order that loses nothing: [`begin`](Self::begin), wait for [`serve`](super::serve()) to
/// return, wait for [`finished`](Self::finished), close the
/// [`ChatSessions`](durable_session::ChatSessions), close the store.
///
/// ```
/// use durable_session_http::server::Shutdown;
///
/// # async fn example() {
/// let shutdown = Shutdown::new();
/// shutdown.begin();
/// shutdown.begun().await;
/// shutdown.finished().await;
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    changes: TaskTracker,
}

impl Shutdown {
    /// A shutdown that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins the shutdown: servers accept no connection, event streams end, and requests that have
    /// begun are answered.
    pub fn begin(&self) {
        self.token.cancel();
        self.changes.close();
    }

    /// Waits until [`begin`](Self::begin) has been called.
    pub async fn begun(&self) {
        self.token.cancelled().await;
    }

    /// Waits until [`begin`](Self::begin) has been called and every change is finished.
    pub async fn finished(&self) {
        self.changes.wait().await;
    }

    /// Runs a change in a task of its own; dropping this future does not stop the change.
    pub(super) async fn track<T: Send + 'static>(
        &self,
        change: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        self.changes.spawn(change).await
    }
}
