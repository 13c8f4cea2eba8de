//! [`Keys`]: the published keys of one issuer, fetched when they are needed and no more often than is polite.

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;
use tokio::sync::Mutex;

use super::{FetchJson, check_url};
use crate::error::{Error, ErrorCode};

/// Keys are asked for again after this long, so that one that was withdrawn is gone by then.
const FRESH: Duration = Duration::from_secs(10 * 60);
/// Keys that could not be asked for again for this long are no longer believed.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// An issuer is not asked more often, whatever tokens come.
const BETWEEN: Duration = Duration::from_secs(5);
/// More keys than this are not looked at.
const MOST: usize = 100;
/// RSA keys of less than 2048 bits are not accepted; the length of the modulus in base64.
const RSA_LEAST: usize = 2048 / 8 * 4 / 3;

/// The keys of one issuer.
#[derive(Debug)]
pub(super) struct Keys {
    issuer: String,
    fetcher: Arc<dyn FetchJson>,
    current: RwLock<Option<Arc<KeySet>>>,
    /// When they were last asked for; held while they are.
    asked: Mutex<Option<Instant>>,
}

/// What an issuer published at one time.
#[derive(Debug)]
pub(super) struct KeySet {
    keys: Vec<Key>,
    fetched: Instant,
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// What a set has for a token.
pub(super) enum Found<'a> {
    One(&'a DecodingKey),
    /// The token names none, and several would do.
    Several,
    None,
}

impl KeySet {
    /// The key of that id; without an id, the only one for the algorithm.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Found<'_> {
        let fits = |key: &&Key| key.algorithm == algorithm && (id.is_none() || key.id.as_deref() == id);
        let mut found = self.keys.iter().filter(fits);
        match (found.next(), found.next()) {
            (Some(one), None) => Found::One(&one.key),
            (Some(_), Some(_)) => Found::Several,
            (None, _) => Found::None,
        }
    }
}

impl Keys {
    pub(super) fn new(issuer: String, fetcher: Arc<dyn FetchJson>) -> Self {
        Self { issuer, fetcher, current: RwLock::new(None), asked: Mutex::new(None) }
    }

    /// The keys, fetched if there are none or they are no longer fresh.
    ///
    /// # Errors
    /// `Unavailable` when there are none to be had.
    pub(super) async fn current(&self) -> Result<Arc<KeySet>, Error> {
        match self.known() {
            Some(keys) if since(keys.fetched) < FRESH => Ok(keys),
            known => self.ask(known.as_deref()).await,
        }
    }

    /// The keys as they are now, when `keys` did not have what a token needs.
    ///
    /// # Errors
    /// As [`Self::current`].
    pub(super) async fn newer_than(&self, keys: &KeySet) -> Result<Arc<KeySet>, Error> {
        self.ask(Some(keys)).await
    }

    fn known(&self) -> Option<Arc<KeySet>> {
        self.current.read().ok()?.clone()
    }

    async fn ask(&self, seen: Option<&KeySet>) -> Result<Arc<KeySet>, Error> {
        let mut asked = self.asked.lock().await;
        let known = self.known();
        // Somebody else asked while this one waited for its turn.
        let is_newer =
            known.as_ref().is_some_and(|known| seen.is_none_or(|seen| known.fetched > seen.fetched));
        if !is_newer && asked.is_none_or(|asked| since(asked) >= BETWEEN) {
            match self.fetch().await {
                Ok(keys) => {
                    if let Ok(mut current) = self.current.write() {
                        *current = Some(Arc::new(keys));
                    }
                }
                Err(reason) => {
                    tracing::warn!(issuer = %self.issuer, reason, "the keys of an OIDC issuer cannot be had");
                }
            }
            *asked = Some(now());
        }
        drop(asked);
        self.known().filter(|keys| since(keys.fetched) < STALE).ok_or_else(|| {
            let text =
                format!("the keys of the issuer {} cannot be had at the moment; try again", self.issuer);
            Error::new(ErrorCode::Unavailable, text)
        })
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        let discovery = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let document = self.fetcher.fetch(&discovery).await?;
        let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        if text("issuer") != self.issuer {
            return Err(format!("{discovery} is of the issuer {:?}", text("issuer")));
        }
        let url = text("jwks_uri");
        check_url(&url).map_err(|reason| format!("jwks_uri: {reason}"))?;
        let document = self.fetcher.fetch(&url).await?;
        let listed = document.get("keys").and_then(Value::as_array);
        let listed = listed.ok_or_else(|| format!("{url} has no array `keys`"))?;
        // Keys of other kinds and for other uses may stand beside those for signatures.
        let keys: Vec<Key> = listed.iter().take(MOST).filter_map(read).collect();
        if keys.is_empty() {
            return Err(format!("{url} has no key for RS256, ES256 or EdDSA"));
        }
        Ok(KeySet { keys, fetched: now() })
    }
}

fn since(then: Instant) -> Duration {
    now().saturating_duration_since(then)
}

#[cfg(not(test))]
fn now() -> Instant {
    Instant::now()
}

/// Tests do not wait for a day.
#[cfg(test)]
fn now() -> Instant {
    Instant::now() + super::tests::LATER.get()
}

fn read(value: &Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
    // The algorithm follows from the key alone, never from a token.
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) if rsa.n.len() >= RSA_LEAST => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let is_for_this = jwk.common.key_algorithm.is_none_or(|other| other == named)
        && jwk.common.public_key_use.as_ref().is_none_or(|other| *other == PublicKeyUse::Signature);
    let key = DecodingKey::from_jwk(&jwk).ok().filter(|_| is_for_this)?;
    Some(Key { id: jwk.common.key_id, algorithm, key })
}
