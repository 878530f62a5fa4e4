//! How a side that was killed and started again says so: a connection of its former life is answered with a token that only it can
//! make (RFC 9000, 10.3). Without it the other side would wait for its silence.

use std::sync::Arc;
use std::time::Duration;

use everturn_dag::address::raw_cid;
use quinn::crypto::{CryptoError, HmacKey};
use quinn::rustls::crypto::{SecureRandom, ring};
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};

use super::key::Identity;

/// Bytes of a connection's name: so many that nobody guesses one.
const NAME_BYTES: usize = 8;

/// What the tokens are made with; the same in all lives of one identity.
struct Tokens {
    secret: [u8; 32],
}

impl Tokens {
    fn token(&self, name: &[u8]) -> [u8; 32] {
        // A hash of a hash, each with the secret in front: the inner one alone could be carried on.
        digest(&[&self.secret, &digest(&[&self.secret, name])])
    }
}

impl HmacKey for Tokens {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        for (out, byte) in signature_out.iter_mut().zip(self.token(data)) {
            *out = byte;
        }
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        if self.token(data) == signature { Ok(()) } else { Err(CryptoError) }
    }
}

/// Names by chance, none of which is refused as unknown: those of a former life are to be answered.
struct Names {
    random: &'static dyn SecureRandom,
}

impl ConnectionIdGenerator for Names {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut name = [0; NAME_BYTES];
        // Names that are not by chance would collide, and the library takes another then.
        if self.random.fill(&mut name).is_err() {
            tracing::error!("the system gives no random bytes");
        }
        ConnectionId::new(&name)
    }

    fn cid_len(&self) -> usize {
        NAME_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// How an endpoint of this identity names its connections.
pub(super) fn endpoint(identity: &Identity) -> EndpointConfig {
    let secret = digest(&[b"tokens of a former life", &identity.seed]);
    let mut config = EndpointConfig::new(Arc::new(Tokens { secret }));
    config.cid_generator(|| Box::new(Names { random: ring::default_provider().secure_random }));
    // Then every packet of a link shows by its first byte that it is one, and what does not is told (`socket`).
    config.grease_quic_bit(false);
    config
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let digest = raw_cid(&parts.concat());
    digest.hash().digest().try_into().expect("sha2-256 has 32 bytes")
}
