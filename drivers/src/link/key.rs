//! Who a hypervisor is to others: an Ed25519 key, made once for each data folder.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use quinn::rustls::SignatureScheme;
use quinn::rustls::crypto::ring;
use quinn::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use quinn::rustls::sign::SigningKey;
use serde::{Deserialize, Serialize};

use super::endpoint::LinkError;

/// A public key: who a peer is, whatever its address. As text 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PeerKey(#[serde(with = "serde_bytes")] [u8; 32]);

/// What stands before the 32 bytes of an Ed25519 key in the form that TLS carries (RFC 8410).
const PUBLIC_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// What stands before the 32 bytes of a private one.
const PRIVATE_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

impl PeerKey {
    /// This key.
    pub fn from_bytes(bytes: [u8; 32]) -> PeerKey {
        PeerKey(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key that TLS carries, if it is of this kind.
    pub(super) fn from_der(der: &[u8]) -> Option<PeerKey> {
        Some(PeerKey(der.strip_prefix(&PUBLIC_HEAD)?.try_into().ok()?))
    }

    pub(super) fn to_der(self) -> Vec<u8> {
        [&PUBLIC_HEAD[..], &self.0].concat()
    }
}

impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for PeerKey {
    type Err = String;

    fn from_str(text: &str) -> Result<PeerKey, String> {
        let wrong = || format!("a key has 64 hexadecimal digits, as `everturn id` prints it, not {text:?}");
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(wrong());
        }
        let mut key = [0; 32];
        for (byte, pair) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(PeerKey(key))
    }
}

/// The private key of this side.
#[derive(Clone)]
pub struct Identity {
    pub(super) signing: Arc<dyn SigningKey>,
    /// The private key's bytes.
    pub(super) seed: [u8; 32],
    key: PeerKey,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.key).finish()
    }
}

impl Identity {
    /// The one in a file that only its owner may read; made if there is none.
    ///
    /// # Errors
    /// If the file cannot be read or made, or holds something else.
    pub fn open(path: &Path) -> Result<Identity, LinkError> {
        let failed = |source| LinkError::KeyFile { path: path.to_owned(), source };
        let seed = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => make(path).map_err(failed)?,
            Err(error) => return Err(failed(error)),
        };
        let seed: [u8; 32] = seed.try_into().map_err(|other: Vec<u8>| {
            let text = format!("a key has 32 bytes, this file {}", other.len());
            failed(io::Error::new(ErrorKind::InvalidData, text))
        })?;
        Identity::of_seed(&seed)
    }

    /// The one that these secret bytes make.
    ///
    /// # Errors
    /// If the library refuses them.
    pub fn of_seed(seed: &[u8; 32]) -> Result<Identity, LinkError> {
        let der = [&PRIVATE_HEAD[..], seed].concat();
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der));
        let signing =
            ring::sign::any_supported_type(&der).map_err(|error| LinkError::Tls(error.to_string()))?;
        let public = signing.public_key().and_then(|public| PeerKey::from_der(&public));
        let key = public.ok_or_else(|| LinkError::Tls("the key has no public part".into()))?;
        debug_assert!(signing.choose_scheme(&[SignatureScheme::ED25519]).is_some());
        Ok(Identity { signing, seed: *seed, key })
    }

    /// What others know it by.
    pub fn key(&self) -> PeerKey {
        self.key
    }
}

/// Makes a key: whole on the disk or not there.
fn make(path: &Path) -> io::Result<Vec<u8>> {
    let mut seed = vec![0; 32];
    let random = ring::default_provider().secure_random;
    random.fill(&mut seed).map_err(|_| io::Error::other("the system gave no random bytes"))?;
    let draft = path.with_extension("draft");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    file.write_all(&seed)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("link.key");
        let made = Identity::open(&path).unwrap().key();
        assert_eq!(Identity::open(&path).unwrap().key(), made);
        assert_eq!(made.to_string().parse(), Ok(made));
        #[cfg(unix)]
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions()) & 0o777,
            0o600
        );
        let other = Identity::open(&folder.path().join("other.key")).unwrap().key();
        assert_ne!(other, made);
    }

    #[test]
    fn a_file_that_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("link.key");
        fs::write(&path, b"short").unwrap();
        let error = Identity::open(&path).unwrap_err().to_string();
        assert!(error.contains("32 bytes"), "{error}");
    }

    #[test]
    fn text_that_is_no_key_is_refused() {
        for wrong in ["", "00", &"g".repeat(64), &"+0".repeat(32), &"é".repeat(32)] {
            assert!(wrong.parse::<PeerKey>().is_err(), "{wrong}");
        }
    }
}
