//! Taking in a request's body, bounded in bytes and time.

use crate::refusal::Refusal;
use ::axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use std::time::Duration;

/// How much of a body that is too large is read and thrown away, so that the client gets to read why it was refused: a
/// connection closed in the middle of its sending would tell it nothing.
const DRAINED: usize = 16 << 20;

/// The whole body.
pub(super) async fn whole(
    headers: &HeaderMap,
    body: Body,
    max_bytes: usize,
    time: Duration,
) -> Result<Bytes, Refusal> {
    match tokio::time::timeout(time, read(headers, body, max_bytes)).await {
        Ok(result) => result,
        Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    }
}

async fn read(headers: &HeaderMap, mut body: Body, max_bytes: usize) -> Result<Bytes, Refusal> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let announced: usize = announced.unwrap_or(0);
    if announced > DRAINED.max(max_bytes) {
        return Err(Refusal::body_too_large(max_bytes));
    }
    let mut whole = BytesMut::with_capacity(announced.min(max_bytes).min(64 << 10));
    let mut seen = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::bad_request("the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        seen = seen.saturating_add(data.len());
        if seen > max_bytes || announced > max_bytes {
            if seen > DRAINED.max(max_bytes) {
                break;
            }
            whole = BytesMut::new();
            continue;
        }
        whole.extend_from_slice(&data);
    }
    if seen > max_bytes || announced > max_bytes {
        return Err(Refusal::body_too_large(max_bytes));
    }
    Ok(whole.freeze())
}
