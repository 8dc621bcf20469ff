//! Where a service is, for what forwards or calls over HTTP.

use std::sync::Arc;

/// No service can be reached at this URL.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBase {
    /// It is no URL of a service.
    #[error("{base:?} is not an http or https URL of a service: scheme and host, no query")]
    Url {
        /// The URL that was given.
        base: String,
    },
    /// This build cannot speak https.
    #[error("{base:?} needs the feature `rustls` of durable-session-http")]
    Tls {
        /// The URL that was given.
        base: String,
    },
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] Arc<reqwest::Error>),
}

impl InvalidBase {
    pub(crate) fn client(e: reqwest::Error) -> Self {
        Self::Client(Arc::new(e))
    }
}

/// The URL of a service that this build can speak to.
pub(crate) fn parse(base: &str) -> Result<reqwest::Url, InvalidBase> {
    let url = parse_any(base)?;
    if url.scheme() == "https" && !cfg!(feature = "rustls") {
        return Err(InvalidBase::Tls { base: base.to_owned() });
    }
    Ok(url)
}

/// The URL of a service, for an HTTP client that may speak more than this build.
pub(crate) fn parse_any(base: &str) -> Result<reqwest::Url, InvalidBase> {
    let service = |url: &reqwest::Url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none()
    };
    let url = reqwest::Url::parse(base).ok().filter(service);
    url.ok_or_else(|| InvalidBase::Url { base: base.to_owned() })
}
