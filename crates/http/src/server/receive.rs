//! Receiving the body of a request, within limits of size and progress.

use super::budget::Share;
use super::options::RouterOptions;
use crate::wire::refusal::Refusal;
use ::axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The most bytes of a refused body that are read and thrown away. Otherwise the connection would
/// be closed while the client sends, and the client would not read the refusal.
const DRAINED: usize = 16 << 20;

/// A body and its share of the budget, which must be kept as long as the body.
pub(super) struct Received {
    pub(super) bytes: Bytes,
    pub(super) share: Share,
}

/// Receives the whole body.
pub(super) async fn whole(
    headers: &HeaderMap,
    mut body: Body,
    max_bytes: usize,
    options: &RouterOptions,
) -> Result<Received, Refusal> {
    let max_bytes = max_bytes.min(options.budget.largest());
    let announced =
        headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let announced: usize = announced.unwrap_or(0);
    if announced > DRAINED.max(max_bytes) {
        return Err(Refusal::body_too_large(max_bytes));
    }
    let mut share = options.budget.share();
    let mut buffer = SegmentedBuffer::expecting(announced.min(max_bytes));
    let mut refused = (announced > max_bytes).then(|| Refusal::body_too_large(max_bytes));
    let mut pace = Pace::begin(options);
    while let Ok(frame) = timeout_at(pace.deadline(), body.frame()).await {
        let Some(frame) = frame else {
            return refused.map_or_else(|| Ok(Received { bytes: buffer.join(), share }), Err);
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
                (buffer, share) = (SegmentedBuffer::default(), options.budget.share());
            }
        }
        match refused {
            None => buffer.push(&data),
            Some(refusal) if pace.bytes > DRAINED.max(max_bytes) => return Err(refusal),
            Some(_) => {}
        }
    }
    Err(refused.unwrap_or_else(|| pace.too_slow()))
}

/// The received bytes of a body, in segments of one size. A body that stops then costs only the
/// bytes received, while a buffer that grows leaves the allocator with holes of every size.
#[derive(Debug, Default)]
struct SegmentedBuffer {
    full: Vec<BytesMut>,
    last: BytesMut,
}

impl SegmentedBuffer {
    const SEGMENT: usize = 64 << 10;

    fn expecting(bytes: usize) -> Self {
        Self { full: Vec::new(), last: BytesMut::with_capacity(bytes.min(Self::SEGMENT)) }
    }

    fn push(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.last.len() == self.last.capacity() {
                let full =
                    std::mem::replace(&mut self.last, BytesMut::with_capacity(Self::SEGMENT));
                if !full.is_empty() {
                    self.full.push(full);
                }
            }
            let room = self.last.capacity() - self.last.len();
            let (now, later) = data.split_at(room.min(data.len()));
            self.last.extend_from_slice(now);
            data = later;
        }
    }

    fn join(self) -> Bytes {
        if self.full.is_empty() {
            return self.last.freeze();
        }
        let bytes = self.full.iter().map(BytesMut::len).sum::<usize>() + self.last.len();
        let mut whole = BytesMut::with_capacity(bytes);
        // Each segment is freed as soon as it is copied.
        for segment in self.full.into_iter().chain([self.last]) {
            whole.extend_from_slice(&segment);
        }
        whole.freeze()
    }
}

/// The progress of a body.
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
        Self {
            begun: now,
            last: now,
            bytes: 0,
            time: options.body_timeout,
            rate: options.min_body_rate,
        }
    }

    fn arrived(&mut self, bytes: usize) {
        self.last = Instant::now();
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// When the next bytes must have arrived.
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

    /// The longest time for the bytes so far at the lowest rate; `None` without a lowest rate.
    fn slowest(&self) -> Option<Duration> {
        let seconds = (self.bytes as u64).checked_div(u64::from(self.rate))?;
        self.time.checked_add(Duration::from_secs(seconds))
    }

    fn too_slow(&self) -> Refusal {
        let Self { bytes, rate, time, .. } = self;
        let reason = if self.last.elapsed() >= *time {
            format!("the body stopped after {bytes} bytes: nothing arrived for {time:?}")
        } else {
            format!(
                "the body is too slow: {bytes} bytes in {:?}; {rate} bytes/s are needed",
                self.begun.elapsed()
            )
        };
        Refusal::new(StatusCode::REQUEST_TIMEOUT, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::SegmentedBuffer;

    #[test]
    fn a_body_of_any_length_is_joined_as_it_was_sent() {
        let body: Vec<u8> = (0..300_000_u32).map(|n| u8::try_from(n % 251).unwrap_or(0)).collect();
        for expected in [0, 10, 1 << 20] {
            for length in
                [0, 1, 10, 11, SegmentedBuffer::SEGMENT, SegmentedBuffer::SEGMENT + 1, body.len()]
            {
                for step in [1 << 10, 70_000, 300_000] {
                    let mut buffer = SegmentedBuffer::expecting(expected);
                    body[..length].chunks(step).for_each(|part| buffer.push(part));
                    assert!(buffer.join() == body[..length], "{expected} {length} {step}");
                }
            }
        }
    }
}
