//! Taking in a request's body, bounded in bytes and by its progress.

use super::RouterOptions;
use super::budget::Share;
use crate::refusal::Refusal;
use ::axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How much of a body that is refused is read and thrown away, so that the client gets to read why: a connection closed
/// in the middle of its sending would tell it nothing.
const DRAINED: usize = 16 << 20;

/// A body, and its share of the bytes that may be in memory: to be kept as long as the body.
pub(super) struct Received {
    pub(super) bytes: Bytes,
    pub(super) share: Share,
}

/// The whole body.
pub(super) async fn whole(
    headers: &HeaderMap,
    mut body: Body,
    max_bytes: usize,
    options: &RouterOptions,
) -> Result<Received, Refusal> {
    let max_bytes = max_bytes.min(options.budget.largest());
    let announced = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let announced: usize = announced.unwrap_or(0);
    if announced > DRAINED.max(max_bytes) {
        return Err(Refusal::body_too_large(max_bytes));
    }
    let mut share = options.budget.share();
    let mut whole = BytesMut::with_capacity(announced.min(max_bytes).min(64 << 10));
    let mut refused = (announced > max_bytes).then(|| Refusal::body_too_large(max_bytes));
    let mut pace = Pace::begin(options);
    while let Ok(frame) = timeout_at(pace.deadline(), body.frame()).await {
        let Some(frame) = frame else {
            return refused.map_or_else(|| Ok(Received { bytes: whole.freeze(), share }), Err);
        };
        let frame = frame.map_err(|_| Refusal::bad_request("the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        pace.arrived(data.len());
        if refused.is_none() {
            refused = if pace.bytes > max_bytes {
                Some(Refusal::body_too_large(max_bytes))
            } else {
                share.grow(data.len()).err()
            };
            if refused.is_some() {
                (whole, share) = (BytesMut::new(), options.budget.share());
            }
        }
        match refused {
            None => whole.extend_from_slice(&data),
            Some(refusal) if pace.bytes > DRAINED.max(max_bytes) => return Err(refusal),
            Some(_) => {}
        }
    }
    Err(refused.unwrap_or_else(|| pace.too_slow()))
}

/// How a body comes along.
struct Pace {
    begun: Instant,
    last: Instant,
    bytes: usize,
    time: Duration,
    rate: u32,
}

impl Pace {
    fn begin(options: &RouterOptions) -> Self {
        let now = Instant::now();
        Self { begun: now, last: now, bytes: 0, time: options.body_time, rate: options.body_rate }
    }

    fn arrived(&mut self, bytes: usize) {
        self.last = Instant::now();
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// When more must have come.
    fn deadline(&self) -> Instant {
        let next = self.last.checked_add(self.time);
        let at_rate = self.slowest().and_then(|time| self.begun.checked_add(time));
        match (next, at_rate) {
            (Some(next), Some(at_rate)) => next.min(at_rate),
            (deadline, other) => {
                deadline.or(other).unwrap_or_else(|| self.last + Duration::from_hours(24 * 365))
            }
        }
    }

    /// The longest that so many bytes may take; `None` for any time.
    fn slowest(&self) -> Option<Duration> {
        let seconds = (self.bytes as u64).checked_div(u64::from(self.rate))?;
        self.time.checked_add(Duration::from_secs(seconds))
    }

    fn too_slow(&self) -> Refusal {
        let Self { bytes, rate, time, .. } = self;
        let reason = if self.last.elapsed() >= *time {
            format!("the body stopped after {bytes} bytes: nothing came for {time:?}")
        } else {
            format!(
                "the body comes too slowly: {bytes} bytes in {:?}; {rate} bytes/s are needed",
                self.begun.elapsed()
            )
        };
        Refusal::new(StatusCode::REQUEST_TIMEOUT, reason)
    }
}
