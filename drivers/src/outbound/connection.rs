//! One request over one connection of its own.

use std::sync::Arc;

use http_body_util::Full;
use hyper::Request;
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::OutboundError;
use super::target::{Scheme, Target};

/// A connection that ends when this is dropped.
pub(super) struct Connected {
    sender: http1::SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connected {
    pub(super) async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, String> {
        self.sender.send_request(request).await.map_err(|error| told(&error))
    }
}

/// TLS that trusts whom the system trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` are heeded).
pub(super) fn tls() -> Result<TlsConnector, OutboundError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| OutboundError::Tls(error.to_string()))?;
    Ok(TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth())))
}

/// # Errors
/// A text for the program.
pub(super) async fn connect(target: &Target, tls: &TlsConnector) -> Result<Connected, String> {
    let host = target.host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, target.port)).await.map_err(|error| error.to_string())?;
    // Costs time only, where it fails.
    let _ = stream.set_nodelay(true);
    match target.scheme {
        Scheme::Http => speak(stream).await,
        Scheme::Https => {
            let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
            speak(tls.connect(name, stream).await.map_err(|error| error.to_string())?).await
        }
    }
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> Result<Connected, String> {
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = shaken.map_err(|error| told(&error))?;
    let task = tokio::spawn(async move {
        // What went wrong is told to whoever waits for the answer.
        let _ = connection.await;
    });
    Ok(Connected { sender, task })
}

/// What went wrong, with its causes.
pub(super) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
