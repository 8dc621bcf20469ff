//! A limit of requests per second for each client.

use crate::client::Client;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use durable_session_http::Refusal;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http::HeaderName;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// After so many requests, quiet clients are forgotten.
const FORGET_EVERY: u64 = 4096;

/// Counts each client's requests.
#[derive(Clone)]
pub(crate) struct Limit(Arc<Inner>);

struct Inner {
    clients: DefaultKeyedRateLimiter<Option<Client>>,
    client_header: Option<HeaderName>,
    asked: AtomicU64,
    /// The warning about requests without a client's address was logged.
    warned: AtomicBool,
    clock: DefaultClock,
}

impl Limit {
    /// `rate` a second, with bursts of ten times as many.
    pub(crate) fn new(rate: NonZeroU32, client_header: Option<HeaderName>) -> Self {
        let burst = rate.saturating_mul(const { NonZeroU32::new(10).unwrap() });
        let clients = RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst));
        Self(Arc::new(Inner {
            clients,
            client_header,
            asked: AtomicU64::new(0),
            warned: AtomicBool::new(false),
            clock: DefaultClock::default(),
        }))
    }

    /// The client of the request. All requests without a client's address are `None` and share one
    /// limit, so that leaving the address out gains nothing.
    fn client(&self, request: &Request) -> Option<Client> {
        let Inner { client_header, warned, .. } = &*self.0;
        let client = Client::of(request, client_header.as_ref());
        if client.is_none() && !warned.swap(true, Ordering::Relaxed) {
            let header = client_header.as_ref().map(HeaderName::as_str);
            tracing::warn!(
                header,
                "a request names no client's address; all such requests share one limit \
                 (logged once)"
            );
        }
        client
    }

    /// Seconds to wait, if the client has asked for too much.
    fn exceeded(&self, client: Option<Client>) -> Option<u64> {
        let Inner { clients, asked, clock, .. } = &*self.0;
        if asked.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            clients.retain_recent();
        }
        let until = clients.check_key(&client).err()?;
        Some(until.wait_time_from(clock.now()).as_secs() + 1)
    }
}

pub(crate) async fn limit(State(limit): State<Limit>, request: Request, next: Next) -> Response {
    match limit.exceeded(limit.client(&request)) {
        Some(seconds) => Refusal::too_many_requests(seconds).into_response(),
        None => next.run(request).await,
    }
}
