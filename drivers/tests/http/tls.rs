//! TLS: HTTP/1.1 and HTTP/2 over it, and certificates that are none.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use everturn_drivers::http::{Server, ServerError, Settings, Tls};
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::world::{Client, Running, echo, within};

/// A certificate of its own making for `localhost`, in files.
struct Certificate {
    folder: TempDir,
    der: CertificateDer<'static>,
}

impl Certificate {
    fn new() -> Certificate {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Certificate { folder, der: made.cert.der().clone() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn files(&self) -> Tls {
        Tls { certificates: self.path("cert.pem"), key: self.path("key.pem") }
    }

    async fn serve(&self) -> Running {
        let server = Server::bind("127.0.0.1:0", Settings::default()).await.unwrap();
        Running::of(server.with_tls(&self.files()).unwrap(), echo()).await
    }

    /// A client that trusts it and offers these protocols.
    async fn connect(&self, server: &Running, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
        let mut trusted = RootCertStore::empty();
        trusted.add(self.der.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(trusted).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let stream = TcpStream::connect(server.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        within(TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap()
    }
}

#[tokio::test]
async fn http1_over_tls_has_an_https_url() {
    let certificate = Certificate::new();
    let server = certificate.serve().await;
    for protocols in [[].as_slice(), &[b"http/1.1".as_slice()]] {
        let mut client = Client::on(certificate.connect(&server, protocols).await);
        client.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(client.hear().await.text(), "GET https://localhost/x 0");
    }
}

#[tokio::test]
async fn http2_is_what_a_client_gets_that_offers_it() {
    let certificate = Certificate::new();
    let server = certificate.serve().await;
    let stream = certificate.connect(&server, &[b"h2", b"http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (mut client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(async { _ = connection.await });
    let request = Request::get("https://localhost/x").body(Full::new(Bytes::new())).unwrap();
    let heard = within(client.send_request(request)).await.unwrap();
    let body = within(heard.into_body().collect()).await.unwrap().to_bytes();
    assert_eq!(body, "GET https://localhost/x 0");
}

#[tokio::test]
async fn who_does_not_speak_tls_is_let_go() {
    let certificate = Certificate::new();
    let server = certificate.serve().await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(!client.rest().await.starts_with(b"HTTP"));
    let mut client = Client::on(certificate.connect(&server, &[]).await);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.hear().await.status, 200);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_told_with_its_file() {
    let certificate = Certificate::new();
    let other = Certificate::new();
    let text = certificate.path("text.pem");
    std::fs::write(&text, "no pem").unwrap();
    let broken = certificate.path("broken.pem");
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").unwrap();
    let (good, key) = (certificate.path("cert.pem"), certificate.path("key.pem"));
    let cases = [
        (certificate.path("absent.pem"), key.clone(), "absent.pem cannot be read"),
        (good.clone(), certificate.path("absent.key"), "absent.key cannot be read"),
        (text.clone(), key.clone(), "it has no certificate in it"),
        (good.clone(), text.clone(), "it has no private key in it"),
        (good.clone(), good.clone(), "it has no private key in it"),
        (broken, key, "broken.pem cannot be used"),
        (good, other.path("key.pem"), "cannot be used: "),
    ];
    for (certificates, key, expected) in cases {
        let server = Server::bind("127.0.0.1:0", Settings::default()).await.unwrap();
        let error = server.with_tls(&Tls { certificates, key }).err().unwrap();
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        assert!(matches!(
            error,
            ServerError::File { .. } | ServerError::Pem { .. } | ServerError::Certificate { .. }
        ));
    }
}
