//! Random texts, and sealing of secrets at rest: AES-256-GCM under the installation's master keys.

use std::fmt;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

/// The master keys of an installation. The first seals; all open.
///
/// Its text form, as in the key file: one `<id>:<base64 of 32 bytes>` per line.
pub struct KeyRing {
    keys: Vec<MasterKey>,
}

struct MasterKey {
    id: String,
    cipher: Box<Aes256Gcm>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

/// Why a sealed text cannot be opened, or a key ring not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A line of the key file is not a key.
    #[error("line {line} of the master key is not `<id>:<base64 of 32 bytes>`")]
    Key {
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
    /// `Key` or `NoKey`.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
        let keys: Vec<MasterKey> = lines
            .map(|(index, line)| {
                let wrong = SealError::Key { line: index + 1 };
                let (id, key) = line.split_once(':').ok_or_else(|| wrong.clone())?;
                let key = STANDARD_NO_PAD.decode(key.trim_end_matches('=')).map_err(|_| wrong.clone())?;
                let key = Zeroizing::new(key);
                let cipher = Aes256Gcm::new_from_slice(&key).map_err(|_| wrong)?;
                Ok(MasterKey { id: id.into(), cipher: Box::new(cipher) })
            })
            .collect::<Result<_, SealError>>()?;
        if keys.is_empty() { Err(SealError::NoKey) } else { Ok(Self { keys }) }
    }

    /// Seals `plain` for `place` (e.g. table, column and row id): it cannot be opened as that of another place.
    pub fn seal(&self, place: &str, plain: &[u8]) -> String {
        let key = &self.keys[0];
        let nonce = random_bytes::<12>();
        let payload = Payload { msg: plain, aad: place.as_bytes() };
        // AES-GCM fails only beyond 64 GiB.
        let sealed = key.cipher.encrypt(&Nonce::from(nonce), payload).unwrap_or_default();
        format!("v1:{}:{}", key.id, STANDARD_NO_PAD.encode([&nonce[..], &sealed].concat()))
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
        let key = self.keys.iter().find(|key| key.id == id);
        let key = key.ok_or_else(|| SealError::UnknownKey { id: id.into() })?;
        let body = STANDARD_NO_PAD.decode(body).map_err(|_| SealError::Damaged)?;
        let (nonce, sealed) = body.split_first_chunk::<12>().ok_or(SealError::Damaged)?;
        let payload = Payload { msg: sealed, aad: place.as_bytes() };
        key.cipher.decrypt(&Nonce::from(*nonce), payload).map(Zeroizing::new).map_err(|_| SealError::Damaged)
    }
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
    }
}
