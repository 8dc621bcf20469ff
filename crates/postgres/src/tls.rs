//! TLS to the server (feature `tls`): the certificate of the server is always verified, with its
//! name.

use crate::error::unavailable;
use durable_session::store::StoreError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

/// How connections are secured, if the server offers it or the URL requires it.
#[derive(Clone)]
pub(crate) struct Tls(MakeRustlsConnect);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// Trusts the authorities in a file of PEM certificates, or those of the system.
    pub(crate) fn new(authorities: Option<&Path>) -> Result<Self, StoreError> {
        let mut roots = RootCertStore::empty();
        match authorities {
            Some(path) => {
                let wrong =
                    |e| unavailable("cannot read the certificates of sslrootcert").with_source(e);
                for certificate in CertificateDer::pem_file_iter(path).map_err(wrong)? {
                    let added = roots.add(certificate.map_err(wrong)?);
                    added.map_err(|e| {
                        unavailable("a certificate of sslrootcert is not valid").with_source(e)
                    })?;
                }
                if roots.is_empty() {
                    return Err(unavailable("the file of sslrootcert has no certificate"));
                }
            }
            None => {
                // A system without some, or with one that is not valid, may still know the right
                // one.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| unavailable("TLS could not be set up").with_source(e))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(MakeRustlsConnect::new(config)))
    }

    pub(crate) fn connector(&self) -> MakeRustlsConnect {
        self.0.clone()
    }
}
