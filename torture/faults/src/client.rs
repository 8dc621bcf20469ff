//! Entry 8d: `https` in a build that cannot speak TLS.

use crate::report::Report;
use anyhow::Result;
use durable_session::SessionId;
use durable_session_http::client::{ChatSessionClient, ClientError};

pub(crate) fn play(report: &mut Report) -> Result<()> {
    for (base, speaks) in [
        ("https://example.org", false),
        ("HTTPS://example.org", false),
        ("https://example.org:8443/behind/a/path", false),
        ("ftp://example.org", false),
        ("http://127.0.0.1:1", true),
    ] {
        let made = ChatSessionClient::new(base, SessionId::generate()?);
        let right = match &made {
            Ok(_) => speaks,
            Err(ClientError::InvalidBaseUrl { .. }) => !speaks,
            Err(_) => false,
        };
        let seen = made.map_or_else(|e| format!("Err: {e}"), |_| "Ok".to_owned());
        report.say("8d", format!("a client of {base} without `rustls`"), right, seen);
    }
    Ok(())
}
