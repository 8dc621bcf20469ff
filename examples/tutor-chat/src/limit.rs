//! So many requests per second for each client.

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use durable_session_http::Refusal;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http::HeaderName;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many requests until clients that have been quiet are forgotten.
const FORGET_EVERY: u64 = 4096;

/// Counts each client's requests.
#[derive(Clone)]
pub(crate) struct Limit(Arc<Inner>);

struct Inner {
    clients: DefaultKeyedRateLimiter<IpAddr>,
    client_header: Option<HeaderName>,
    asked: AtomicU64,
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
            clock: DefaultClock::default(),
        }))
    }

    fn client(&self, request: &Request) -> Option<IpAddr> {
        if let Some(name) = &self.0.client_header {
            // Behind a proxy every connection is the proxy's; the last address is the one that it has added itself.
            let last = request.headers().get_all(name).iter().next_back()?.to_str().ok()?;
            return last.rsplit(',').next()?.trim().parse().ok();
        }
        request.extensions().get::<ConnectInfo<SocketAddr>>().map(|from| from.0.ip())
    }

    /// Seconds to wait, if the client has asked for too much.
    fn exceeded(&self, client: IpAddr) -> Option<u64> {
        let Inner { clients, asked, clock, .. } = &*self.0;
        if asked.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            clients.retain_recent();
        }
        let until = clients.check_key(&client).err()?;
        Some(until.wait_time_from(clock.now()).as_secs() + 1)
    }
}

pub(crate) async fn limit(State(limit): State<Limit>, request: Request, next: Next) -> Response {
    match limit.client(&request).and_then(|client| limit.exceeded(client)) {
        Some(seconds) => Refusal::too_many_requests(seconds).into_response(),
        None => next.run(request).await,
    }
}
