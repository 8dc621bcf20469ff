//! Base URLs of services, for the client and the proxy.

use std::sync::Arc;

/// A base URL that the client or the proxy cannot use.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBaseUrl {
    /// The URL is not `http` or `https`, has no host, or has a query.
    #[error("{base:?} is not an http or https URL of a service: scheme and host, no query")]
    Url {
        /// The URL that was given.
        base: String,
    },
    /// The URL is `https` and the feature `rustls` is off.
    #[error("{base:?} needs the feature `rustls` of durable-session-http")]
    Tls {
        /// The URL that was given.
        base: String,
    },
    /// The HTTP client cannot be built.
    #[error("the HTTP client cannot be built")]
    Client(#[source] Arc<reqwest::Error>),
}

impl InvalidBaseUrl {
    pub(crate) fn client(e: reqwest::Error) -> Self {
        Self::Client(Arc::new(e))
    }
}

/// Parses the URL of a service that this build can call.
pub(crate) fn parse(base: &str) -> Result<reqwest::Url, InvalidBaseUrl> {
    let url = parse_any(base)?;
    if url.scheme() == "https" && !cfg!(feature = "rustls") {
        return Err(InvalidBaseUrl::Tls { base: base.to_owned() });
    }
    Ok(url)
}

/// Parses the URL of a service for a caller's HTTP client, which may have TLS.
pub(crate) fn parse_any(base: &str) -> Result<reqwest::Url, InvalidBaseUrl> {
    let service = |url: &reqwest::Url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none()
    };
    let url = reqwest::Url::parse(base).ok().filter(service);
    url.ok_or_else(|| InvalidBaseUrl::Url { base: base.to_owned() })
}
