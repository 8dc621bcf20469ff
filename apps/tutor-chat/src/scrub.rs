//! Scrubbing the store after sessions were deleted (`--erase-within`).

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use durable_session_redb::RedbStore;
use http::Method;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// How long a scrub that failed waits before it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Scrubs the store when it is told to, some time later, so that many deletes need one scrub.
#[derive(Clone)]
pub(crate) struct Scrubber(Arc<Notify>);

impl Scrubber {
    /// The task ends with the runtime.
    pub(crate) fn start(store: RedbStore, within: Duration) -> Self {
        let asked = Arc::new(Notify::new());
        let scrubber = Self(Arc::clone(&asked));
        tokio::spawn(async move {
            loop {
                asked.notified().await;
                tokio::time::sleep(within).await;
                while let Err(error) = store.scrub().await {
                    if error.kind() == durable_session::store::StoreErrorKind::Closed {
                        return;
                    }
                    tracing::warn!(%error, "the store was not scrubbed; trying again");
                    tokio::time::sleep(AGAIN).await;
                }
                tracing::info!("the store was scrubbed");
            }
        });
        scrubber
    }
}

/// Asks for a scrub after each request that deletes an owner's sessions, a session or a part of
/// one.
pub(crate) async fn after_deletes(
    State(scrubber): State<Scrubber>,
    request: Request,
    next: Next,
) -> Response {
    let deletes = *request.method() == Method::DELETE;
    let response = next.run(request).await;
    // Also after a failure: a part may be deleted.
    if deletes {
        scrubber.0.notify_one();
    }
    response
}
