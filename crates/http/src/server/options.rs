//! The options of a router.

use super::budget::ByteBudget;
use super::shutdown::Shutdown;
use std::time::Duration;

/// Options of a [`router`](super::router()).
///
/// ```
/// use durable_session_http::server::{ByteBudget, RouterOptions};
/// use std::time::Duration;
///
/// let mut options = RouterOptions::default();
/// options.request_timeout = Duration::from_secs(10);
/// options.budget = ByteBudget::new(64 << 20);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RouterOptions {
    /// How long a body may pause; then the request is 408. Default: 15 seconds.
    pub body_timeout: Duration,
    /// The lowest rate of a body in bytes per second, on average after the first `body_timeout`; a
    /// slower body is 408. 0 for no lowest rate. Default: 1024.
    pub min_body_rate: u32,
    /// How long a request may take after its body has arrived; then it is 503, and its change may
    /// or may not be made. Also how long each part of a response may take. Default: 30 seconds.
    pub request_timeout: Duration,
    /// How long an event stream may be silent before it gets a [`PING`](crate::PING). Pings keep
    /// proxies from closing the connection and tell the client that it is alive. Default: 15
    /// seconds.
    pub keep_alive: Duration,
    /// The bytes of bodies and responses in memory; a request that does not fit is 503. Default:
    /// 256 MiB.
    pub budget: ByteBudget,
    /// Ends event streams, and waits for unfinished changes.
    pub shutdown: Shutdown,
}

impl Default for RouterOptions {
    fn default() -> Self {
        Self {
            body_timeout: Duration::from_secs(15),
            min_body_rate: 1024,
            request_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(15),
            budget: ByteBudget::default(),
            shutdown: Shutdown::new(),
        }
    }
}
