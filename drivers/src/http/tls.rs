//! TLS: certificate and key from files, TLS 1.2 and 1.3 by rustls, HTTP/2 where the client asks for it.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use super::server::ServerError;
use super::settings::Tls;

/// The name of HTTP/2 in a TLS handshake.
pub(super) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// What greets clients that speak TLS.
pub(super) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, ServerError> {
    let certificates = certificates(&tls.certificates)?;
    let key = key(&tls.key)?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| unfit(tls, &error))?;
    let config = builder.with_no_client_auth().with_single_cert(certificates, key);
    let mut config = config.map_err(|error| unfit(tls, &error))?;
    config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ServerError> {
    let read = CertificateDer::pem_slice_iter(&bytes(path)?).collect::<Result<Vec<_>, _>>();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(unreadable(path, "it has no certificate in it")),
        Err(error) => Err(unreadable(path, error)),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, ServerError> {
    PrivateKeyDer::from_pem_slice(&bytes(path)?).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => unreadable(path, "it has no private key in it"),
        error => unreadable(path, error),
    })
}

fn bytes(path: &Path) -> Result<Vec<u8>, ServerError> {
    std::fs::read(path).map_err(|source| ServerError::File { path: path.to_owned(), source })
}

fn unreadable(path: &Path, what: impl ToString) -> ServerError {
    ServerError::Pem { path: path.to_owned(), what: what.to_string() }
}

fn unfit(tls: &Tls, error: &rustls::Error) -> ServerError {
    let (certificate, key) = (tls.certificates.clone(), tls.key.clone());
    ServerError::Certificate { certificate, key, what: error.to_string() }
}
