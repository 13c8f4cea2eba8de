//! Random texts, and sealing of secrets at rest: AES-256-GCM under the installation's master keys.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The master keys of an installation. The first seals; all open. They may be replaced while they are in use.
///
/// Its text form, as in the key file: one `<id>:<base64 of 32 bytes>` per line; a comma ends a line too, so that
/// an environment variable can hold several.
pub struct KeyRing {
    keys: RwLock<Arc<[MasterKey]>>,
}

struct MasterKey {
    id: String,
    /// What every text begins with that it has sealed.
    mark: String,
    /// Tells two keys apart that have the same id; the key cannot be found from it.
    fingerprint: [u8; 32],
    cipher: Box<Aes256Gcm>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

/// Why a sealed text cannot be opened, or a key ring not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A line of the key file is not a key.
    #[error(
        "line {line} of the master key is not `<id>:<base64 of 32 bytes>` with an id of letters, digits and hyphens"
    )]
    Key {
        /// Counted from 1.
        line: usize,
    },
    /// Two lines have the same id.
    #[error("line {line} of the master key has the id of a line above it")]
    Twice {
        /// Counted from 1.
        line: usize,
    },
    /// The key file has no key.
    #[error("the master key is empty")]
    NoKey,
    /// Sealed under a key that the ring does not have.
    #[error("sealed under the master key `{id}`, which the key ring does not hold")]
    UnknownKey {
        /// Of the key.
        id: String,
    },
    /// Not a sealed text, altered, or moved from another place.
    #[error("the sealed value is damaged or belongs to another row")]
    Damaged,
}

impl KeyRing {
    /// Text of a new ring with one random key.
    pub fn generate() -> Zeroizing<String> {
        let key = Zeroizing::new(random_bytes::<32>());
        Zeroizing::new(format!("k{}:{}\n", random_text(8), STANDARD_NO_PAD.encode(*key)))
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// `Key`, `Twice` or `NoKey`.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        Ok(Self { keys: RwLock::new(read_keys(text)?.into()) })
    }

    /// Takes the keys of another ring, as when the key file has changed; answers whether they are others than before.
    pub fn replace(&self, other: &Self) -> bool {
        let keys = other.current();
        let mut own = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let same = same_keys(&own, &keys);
        *own = keys;
        !same
    }

    /// Whether both hold the same keys in the same order.
    pub fn is_same(&self, other: &Self) -> bool {
        same_keys(&self.current(), &other.current())
    }

    /// The ids of all keys, that of the sealing key first.
    pub fn ids(&self) -> Vec<String> {
        self.current().iter().map(|key| key.id.clone()).collect()
    }

    /// What every text begins with that is sealed now.
    pub fn mark(&self) -> String {
        self.current()[0].mark.clone()
    }

    /// Whether a text is sealed under the key that seals now.
    pub fn is_current(&self, sealed: &str) -> bool {
        sealed.starts_with(&self.current()[0].mark)
    }

    /// Seals `plain` for `place` (e.g. table, column and row id): it cannot be opened as that of another place.
    pub fn seal(&self, place: &str, plain: &[u8]) -> String {
        let keys = self.current();
        let key = &keys[0];
        let nonce = random_bytes::<12>();
        let payload = Payload { msg: plain, aad: place.as_bytes() };
        // AES-GCM fails only beyond 64 GiB.
        let sealed = key.cipher.encrypt(&Nonce::from(nonce), payload).unwrap_or_default();
        format!("{}{}", key.mark, STANDARD_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    /// Opens what [`Self::seal`] sealed for the same place.
    ///
    /// # Errors
    /// `UnknownKey` or `Damaged`.
    pub fn open(&self, place: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let mut parts = sealed.splitn(3, ':');
        let (Some("v1"), Some(id), Some(body)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(SealError::Damaged);
        };
        let keys = self.current();
        let key = keys.iter().find(|key| key.id == id);
        let key = key.ok_or_else(|| SealError::UnknownKey { id: id.into() })?;
        let body = STANDARD_NO_PAD.decode(body).map_err(|_| SealError::Damaged)?;
        let (nonce, sealed) = body.split_first_chunk::<12>().ok_or(SealError::Damaged)?;
        let payload = Payload { msg: sealed, aad: place.as_bytes() };
        key.cipher.decrypt(&Nonce::from(*nonce), payload).map(Zeroizing::new).map_err(|_| SealError::Damaged)
    }

    fn current(&self) -> Arc<[MasterKey]> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn same_keys(one: &[MasterKey], other: &[MasterKey]) -> bool {
    let identity = |key: &MasterKey| (key.id.clone(), key.fingerprint);
    one.iter().map(identity).eq(other.iter().map(identity))
}

fn read_keys(text: &str) -> Result<Vec<MasterKey>, SealError> {
    let mut keys: Vec<MasterKey> = Vec::new();
    let lines = text.split(['\n', ',']).map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
    for (index, line) in lines {
        let line_number = index + 1;
        let wrong = || SealError::Key { line: line_number };
        let (id, key) = line.split_once(':').ok_or_else(wrong)?;
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(wrong());
        }
        if keys.iter().any(|key| key.id == id) {
            return Err(SealError::Twice { line: line_number });
        }
        let key = Zeroizing::new(STANDARD_NO_PAD.decode(key.trim_end_matches('=')).map_err(|_| wrong())?);
        let cipher = Aes256Gcm::new_from_slice(&key).map_err(|_| wrong())?;
        let fingerprint = Sha256::digest([b"metapaas master key", key.as_slice()].concat()).into();
        keys.push(MasterKey {
            id: id.into(),
            mark: format!("v1:{id}:"),
            fingerprint,
            cipher: Box::new(cipher),
        });
    }
    if keys.is_empty() { Err(SealError::NoKey) } else { Ok(keys) }
}

/// `length` random letters and digits from the operating system.
pub fn random_text(length: usize) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = String::with_capacity(length);
    while text.len() < length {
        for byte in random_bytes::<32>() {
            // Bytes past the last whole multiple of 62 are dropped, or some letters would come more often.
            if byte < 248 && text.len() < length {
                text.push(char::from(ALPHABET[usize::from(byte % 62)]));
            }
        }
    }
    text
}

/// `N` random bytes from the operating system.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() {
        // A system without randomness can keep no secret; nothing that runs on is safe.
        std::process::abort();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_opens_only_in_its_place_and_unaltered() {
        let ring = KeyRing::parse(&KeyRing::generate()).unwrap();
        let sealed = ring.seal("table.field:1", b"secret");
        assert_eq!(ring.open("table.field:1", &sealed).unwrap().as_slice(), b"secret");
        assert_eq!(ring.open("table.field:2", &sealed), Err(SealError::Damaged));
        let mut altered = sealed.clone();
        altered.replace_range(sealed.len() - 1.., if sealed.ends_with('A') { "B" } else { "A" });
        assert!(ring.open("table.field:1", &altered).is_err());
        let other = KeyRing::parse(&KeyRing::generate()).unwrap();
        assert!(matches!(other.open("table.field:1", &sealed), Err(SealError::UnknownKey { .. })));
    }

    #[test]
    fn an_older_key_of_the_ring_still_opens() {
        let old = KeyRing::generate();
        let sealed = KeyRing::parse(&old).unwrap().seal("p", b"x");
        let rotated = KeyRing::parse(&format!("{}{}", *KeyRing::generate(), *old)).unwrap();
        assert_eq!(rotated.open("p", &sealed).unwrap().as_slice(), b"x");
    }

    #[test]
    fn a_bad_key_file_is_refused_by_line() {
        assert_eq!(KeyRing::parse("\n").unwrap_err(), SealError::NoKey);
        assert_eq!(KeyRing::parse("nonsense").unwrap_err(), SealError::Key { line: 1 });
        let short = format!("{}k:AAAA", *KeyRing::generate());
        assert_eq!(KeyRing::parse(&short).unwrap_err(), SealError::Key { line: 2 });
        let key = KeyRing::generate();
        assert_eq!(KeyRing::parse(&format!("{}{}", *key, *key)).unwrap_err(), SealError::Twice { line: 2 });
        // The id stands in patterns and prefixes of statements.
        assert_eq!(KeyRing::parse(&key.replacen('k', "%", 1)).unwrap_err(), SealError::Key { line: 1 });
    }

    #[test]
    fn a_ring_in_use_takes_new_keys() {
        let old = KeyRing::generate();
        let ring = KeyRing::parse(&old).unwrap();
        let sealed = ring.seal("p", b"x");
        assert!(ring.is_current(&sealed) && !ring.replace(&KeyRing::parse(&old).unwrap()));
        // Several keys in one line, as an environment variable holds them.
        let both = format!("{},{}", KeyRing::generate().trim(), old.trim());
        assert!(ring.replace(&KeyRing::parse(&both).unwrap()));
        assert_eq!(ring.ids().len(), 2);
        assert!(!ring.is_current(&sealed) && ring.open("p", &sealed).is_ok());
        assert!(ring.is_current(&ring.seal("p", b"x")));
    }
}
