//! Keys instead of certificates: both sides show a raw public key (RFC 7250), and it is known or it is not.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::rustls::client::AlwaysResolvesClientRawPublicKeys;
use quinn::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use quinn::rustls::crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key};
use quinn::rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use quinn::rustls::server::AlwaysResolvesServerRawPublicKeys;
use quinn::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use quinn::rustls::sign::CertifiedKey;
use quinn::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme, version::TLS13,
};
use quinn::{
    ClientConfig as DialConfig, Connection, IdleTimeout, ServerConfig as ListenConfig, TransportConfig,
};
use tokio::sync::watch;

use super::endpoint::LinkError;
use super::inside::Peers;
use super::key::{Identity, PeerKey};
use super::settings::{Settings, Strangers};

const PROTOCOL_NAME: &[u8] = b"everturn-link";
/// Both sides show a key, so the name that TLS wants of a server says nothing.
pub(super) const SERVER_NAME: &str = "everturn";

/// Whose key is good.
#[derive(Clone, Debug)]
pub(super) enum Trusted {
    /// Those of all peers.
    Peers(watch::Receiver<Peers>),
    /// One.
    Only(PeerKey),
    /// Everyone's.
    Everyone,
}

impl Trusted {
    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let unfit = |reason| Err(Error::InvalidCertificate(reason));
        let Some(key) = PeerKey::from_der(certificate) else { return unfit(CertificateError::BadEncoding) };
        let known = match self {
            Trusted::Everyone => true,
            Trusted::Only(expected) => key == *expected,
            Trusted::Peers(peers) => peers.borrow().list.iter().any(|peer| peer.key == Some(key)),
        };
        if known {
            return Ok(());
        }
        tracing::warn!(%key, "a hypervisor with an unknown key was refused; `everturn peers add ADDRESS KEY` makes it known");
        unfit(CertificateError::ApplicationVerificationFailure)
    }
}

#[derive(Debug)]
struct Verifier {
    trusted: Trusted,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(key.as_ref());
        verify_tls13_signature_with_raw_key(
            message,
            &key,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn only_tls13() -> Error {
    Error::General("a link is made by TLS 1.3".into())
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        key: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.trusted.check(key).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, key, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        key: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.trusted.check(key).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, key, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// How a listening side greets.
pub(super) fn listening(
    identity: &Identity,
    peers: watch::Receiver<Peers>,
    settings: &Settings,
) -> Result<ListenConfig, LinkError> {
    let provider = Arc::new(ring::default_provider());
    let trusted = match settings.strangers {
        Strangers::Refused => Trusted::Peers(peers),
        Strangers::Welcome => Trusted::Everyone,
    };
    let verifier = Arc::new(Verifier { trusted, provider: provider.clone() });
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]);
    let resolver = Arc::new(AlwaysResolvesServerRawPublicKeys::new(certified(identity)));
    let mut config = builder.map_err(unfit)?.with_client_cert_verifier(verifier).with_cert_resolver(resolver);
    config.alpn_protocols = vec![PROTOCOL_NAME.to_vec()];
    config.max_early_data_size = 0;
    let crypto = QuicServerConfig::try_from(config).map_err(unfit)?;
    let mut config = ListenConfig::with_crypto(Arc::new(crypto));
    config.transport_config(transport(settings)?);
    Ok(config)
}

/// How a dialling side greets.
pub(super) fn dialling(
    identity: &Identity,
    trusted: Trusted,
    settings: &Settings,
) -> Result<DialConfig, LinkError> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(Verifier { trusted, provider: provider.clone() });
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]);
    let builder = builder.map_err(unfit)?.dangerous().with_custom_certificate_verifier(verifier);
    let resolver = Arc::new(AlwaysResolvesClientRawPublicKeys::new(certified(identity)));
    let mut config = builder.with_client_cert_resolver(resolver);
    config.alpn_protocols = vec![PROTOCOL_NAME.to_vec()];
    config.resumption = quinn::rustls::client::Resumption::disabled();
    let crypto = QuicClientConfig::try_from(config).map_err(unfit)?;
    let mut config = DialConfig::new(Arc::new(crypto));
    config.transport_config(transport(settings)?);
    Ok(config)
}

/// Who is at the other end of a connection.
pub(super) fn key_of(connection: &Connection) -> Option<PeerKey> {
    let identity = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    PeerKey::from_der(identity.first()?)
}

fn certified(identity: &Identity) -> Arc<CertifiedKey> {
    let key = CertificateDer::from(identity.key().to_der());
    Arc::new(CertifiedKey::new(vec![key], identity.signing.clone()))
}

fn transport(settings: &Settings) -> Result<Arc<TransportConfig>, LinkError> {
    let mut transport = TransportConfig::default();
    let silence = IdleTimeout::try_from(settings.silence_max).map_err(unfit)?;
    transport.max_idle_timeout(Some(silence));
    transport.keep_alive_interval(Some(settings.silence_max / 4));
    transport.max_concurrent_bidi_streams(1_u8.into());
    transport.max_concurrent_uni_streams(0_u8.into());
    transport.datagram_receive_buffer_size(None);
    Ok(Arc::new(transport))
}

fn unfit(error: impl ToString) -> LinkError {
    LinkError::Tls(error.to_string())
}
