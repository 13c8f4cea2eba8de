//! Encryption at rest: AES-256-GCM in chunks, under a key per segment that the instance's key wraps.

use std::io;
use std::sync::Arc;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;
use zeroize::Zeroizing;

/// Plain bytes in a chunk. Ranges are read from the chunk that they begin in.
pub(crate) const CHUNK: usize = 64 * 1024;
/// What sealing adds to a chunk.
pub(crate) const TAG: usize = 16;

/// The instance's key; wraps those of segments.
pub(crate) struct InstanceKey(Aes256Gcm);

/// The key of one segment. It seals no second text, so that chunks can be numbered by their nonces.
#[derive(Clone)]
pub(crate) struct SegmentKey(Arc<Aes256Gcm>);

impl InstanceKey {
    /// From 32 bytes in base64.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
        Some(Self(Aes256Gcm::new_from_slice(&bytes).ok()?))
    }

    /// A new key for a segment, and the same wrapped, to be kept beside it.
    pub(crate) fn segment_key(&self, id: Uuid) -> io::Result<(SegmentKey, String)> {
        let (mut key, mut nonce) = (Zeroizing::new([0; 32]), [0; 12]);
        getrandom::fill(&mut *key).map_err(io::Error::other)?;
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        let payload = Payload { msg: &*key, aad: id.as_bytes() };
        let wrapped = self.0.encrypt(&Nonce::from(nonce), payload).map_err(|_| damaged())?;
        Ok((SegmentKey::new(&*key)?, STANDARD.encode([&nonce[..], &wrapped].concat())))
    }

    /// Unwraps the key of a segment.
    pub(crate) fn open(&self, id: Uuid, wrapped: &str) -> io::Result<SegmentKey> {
        let bytes = STANDARD.decode(wrapped).map_err(|_| damaged())?;
        let (nonce, wrapped) = bytes.split_first_chunk::<12>().ok_or_else(damaged)?;
        let payload = Payload { msg: wrapped, aad: id.as_bytes() };
        let key = self.0.decrypt(&Nonce::from(*nonce), payload).map_err(|_| damaged())?;
        SegmentKey::new(&Zeroizing::new(key))
    }
}

impl SegmentKey {
    fn new(bytes: &[u8]) -> io::Result<Self> {
        Ok(Self(Arc::new(Aes256Gcm::new_from_slice(bytes).map_err(|_| damaged())?)))
    }

    pub(crate) fn seal(&self, number: u64, is_last: bool, chunk: &[u8]) -> io::Result<Vec<u8>> {
        self.0.encrypt(&nonce(number, is_last), chunk).map_err(|_| damaged())
    }

    pub(crate) fn unseal(&self, number: u64, is_last: bool, sealed: &[u8]) -> io::Result<Vec<u8>> {
        self.0.decrypt(&nonce(number, is_last), sealed).map_err(|_| damaged())
    }
}

/// The number says where a chunk belongs, the flag that nothing is cut off behind it.
fn nonce(number: u64, is_last: bool) -> Nonce<aes_gcm::aead::consts::U12> {
    let mut nonce = [0; 12];
    nonce[0] = u8::from(is_last);
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::from(nonce)
}

fn damaged() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "an encrypted object is damaged, or sealed under another instance key",
    )
}
