//! The place of TLS in a build without the feature `tls`: a URL that requires it fails.

use crate::error::unavailable;
use durable_session::store::StoreError;
use std::path::Path;
use tokio_postgres::NoTls;

/// No TLS.
#[derive(Debug, Clone)]
pub(crate) struct Tls;

impl Tls {
    pub(crate) fn new(authorities: Option<&Path>) -> Result<Self, StoreError> {
        match authorities {
            None => Ok(Self),
            Some(_) => Err(unavailable("sslrootcert needs the feature `tls` of this library")),
        }
    }

    #[allow(clippy::unused_self, reason = "the same as with TLS")]
    pub(crate) fn connector(&self) -> NoTls {
        NoTls
    }
}
