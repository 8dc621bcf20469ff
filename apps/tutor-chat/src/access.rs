//! An access check in front of the session routes, as an example.
//!
//! A session's id is made in the browser, and the id alone is enough to use the session. A service
//! that needs more checks its logins here. This service has no logins: the client that *begins* a
//! session gets a cookie signed for its id, and from then on every request needs that cookie.
//!
//! The cookie is named after the session and has no `Path`. So the browser uses the folder of the
//! requested address, which is also right behind a proxy that strips a prefix. A browser may send
//! the cookies of many sessions, so they are short: all cookies that a browser keeps for one site
//! fit into a request's head.

use anyhow::Context;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use durable_session::{ChatSessions, SessionId};
use durable_session_http::{DEFAULT_PREFIX, Refusal, session_of};
use hmac::{Hmac, KeyInit, Mac};
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use sha2::Sha256;
use std::path::Path;
use tutoring::Tutoring;

const COOKIE_NAME: &str = "chat-";
/// The bytes of the signature that a cookie has.
const TOKEN_BYTES: usize = 16;
const MIN_SECRET_BYTES: usize = 32;

/// Signs and checks cookies.
#[derive(Clone)]
pub(crate) struct Access {
    mac: Hmac<Sha256>,
    sessions: ChatSessions<Tutoring>,
}

impl Access {
    pub(crate) fn open(secret: &Path, sessions: ChatSessions<Tutoring>) -> anyhow::Result<Self> {
        let secret = std::fs::read(secret)
            .with_context(|| format!("{} cannot be read", secret.display()))?;
        anyhow::ensure!(
            secret.len() >= MIN_SECRET_BYTES,
            "the secret has {} bytes; it needs at least {MIN_SECRET_BYTES}",
            secret.len()
        );
        Ok(Self { mac: Hmac::new_from_slice(&secret)?, sessions })
    }

    fn signature(&self, id: &SessionId) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(b"chat-access:");
        mac.update(id.as_str().as_bytes());
        mac
    }

    fn token(&self, id: &SessionId) -> String {
        hex(&self.signature(id).finalize().into_bytes()[..TOKEN_BYTES])
    }

    fn may_use(&self, id: &SessionId, headers: &HeaderMap) -> bool {
        let name = cookie_name(id);
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        cookies.flat_map(|list| list.split(';')).any(|cookie| {
            let token = cookie.trim().strip_prefix(&name).and_then(|rest| rest.strip_prefix('='));
            let token = token.and_then(from_hex).filter(|token| token.len() == TOKEN_BYTES);
            // The library compares in constant time.
            token.is_some_and(|token| self.signature(id).verify_truncated_left(&token).is_ok())
        })
    }
}

/// The name of a session's cookie: a prefix, and a part of the session's fingerprint.
fn cookie_name(id: &SessionId) -> String {
    let mut name = COOKIE_NAME.to_owned();
    name.extend(id.fingerprint().to_string().chars().take(10));
    name
}

const HEX: &[u8; 16] = b"0123456789abcdef";

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
        text
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks_exact(2);
    let whole = digits.remainder().is_empty();
    let byte = |pair: &[u8]| {
        let digit = |c: u8| HEX.iter().position(|&h| h == c).and_then(|at| u8::try_from(at).ok());
        Some(digit(pair[0])? << 4 | digit(pair[1])?)
    };
    digits.map(byte).collect::<Option<Vec<u8>>>().filter(|_| whole)
}

pub(crate) async fn check(State(access): State<Access>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    // A path that names no session is refused by the routes.
    let Ok((id, _)) = session_of(DEFAULT_PREFIX, path) else { return next.run(request).await };
    if access.may_use(&id, request.headers()) {
        return next.run(request).await;
    }
    match access.sessions.session(id.clone()).snapshot().await {
        Ok(snapshot) if !snapshot.exists() => {
            let (name, token) = (cookie_name(&id), access.token(&id));
            let cookie = format!("{name}={token}; HttpOnly; SameSite=Strict; Max-Age=31536000");
            let mut response = next.run(request).await;
            if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                response.headers_mut().append(SET_COOKIE, cookie);
            }
            response
        }
        Ok(_) => Refusal::new(StatusCode::FORBIDDEN, "this session belongs to another client")
            .into_response(),
        Err(_) => {
            Refusal::unavailable("the owner of the session cannot be looked up now").into_response()
        }
    }
}
