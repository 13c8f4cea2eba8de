//! [`Oidc`]: bearer tokens of other issuers (OpenID Connect), checked against their published keys.

mod issuer;
mod keys;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde_json::{Map, Value};

pub use self::issuer::{GroupRole, IssuerSettings, check_url};
use self::keys::{Found, Keys};
use super::{malformed, refused};
use crate::error::Error;

/// What is accepted; all are asymmetric, so that a public key is never a secret to sign with.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
/// The longest subject that OpenID Connect allows.
const SUBJECT_MAX: usize = 255;

/// Gets JSON documents of issuers: discovery and keys.
pub trait FetchJson: Send + Sync + fmt::Debug {
    /// The document at `url`, or why there is none, for the log.
    fn fetch<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Value, String>>;
}

/// All issuers that are trusted besides the built-in one.
#[derive(Debug, Default)]
pub(super) struct Oidc {
    issuers: Vec<Trusted>,
}

#[derive(Debug)]
struct Trusted {
    settings: Arc<IssuerSettings>,
    keys: Keys,
}

/// What a good token says.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) issuer: Arc<IssuerSettings>,
    pub(super) subject: String,
    pub(super) expires_at: DateTime<Utc>,
    claims: Map<String, Value>,
}

impl Oidc {
    pub(super) fn new(issuers: Vec<IssuerSettings>, fetcher: &Arc<dyn FetchJson>) -> Self {
        let trusted = |settings: IssuerSettings| Trusted {
            keys: Keys::new(settings.issuer.clone(), Arc::clone(fetcher)),
            settings: Arc::new(settings),
        };
        Self { issuers: issuers.into_iter().map(trusted).collect() }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }

    /// Checks all of a token: signature, issuer, audience, times.
    ///
    /// # Errors
    /// `Unauthenticated`; `Unavailable` while the issuer's keys cannot be had.
    pub(super) async fn verify(&self, token: &str) -> Result<Identity, Error> {
        let header = decode_header(token).map_err(|_| malformed())?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(malformed());
        }
        // Read before anything is checked, to choose the keys; what was chosen holds in the check below.
        let named = unchecked_issuer(token).ok_or_else(malformed)?;
        let trusted = self.issuers.iter().find(|one| one.settings.issuer == named).ok_or_else(malformed)?;
        let validation = trusted.validation(header.alg);
        let kid = header.kid.as_deref();
        let mut keys = trusted.keys.current().await?;
        for is_last in [false, true] {
            let checked = match keys.find(kid, header.alg) {
                Found::One(key) => decode::<Map<String, Value>>(token, key, &validation),
                Found::Several => {
                    return Err(refused("malformed", "the token does not say which key signed it"));
                }
                Found::None => Err(ErrorKind::InvalidSignature.into()),
            };
            match checked {
                Ok(data) => return trusted.identity(data.claims),
                // The issuer may have a new key, and one that names no keys may have it in the old one's place.
                Err(error) if *error.kind() == ErrorKind::InvalidSignature && !is_last => {
                    keys = trusted.keys.newer_than(&keys).await?;
                }
                Err(error) if *error.kind() == ErrorKind::ExpiredSignature => {
                    return Err(refused("expired", "the token has expired; get a new one from its issuer"));
                }
                Err(_) => break,
            }
        }
        Err(malformed())
    }
}

impl Trusted {
    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.settings.leeway_seconds;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&self.settings.audience);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation
    }

    fn identity(&self, claims: Map<String, Value>) -> Result<Identity, Error> {
        let subject = claims.get("sub").and_then(Value::as_str).filter(|subject| {
            (1..=SUBJECT_MAX).contains(&subject.chars().count()) && !subject.contains('\0')
        });
        let subject = subject.ok_or_else(malformed)?.to_owned();
        let seconds = claims.get("exp").and_then(Value::as_f64).unwrap_or_default();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the cast saturates; such a time is refused below"
        )]
        let expires_at = DateTime::from_timestamp(seconds as i64, 0).ok_or_else(malformed)?;
        Ok(Identity { issuer: Arc::clone(&self.settings), subject, expires_at, claims })
    }
}

impl Identity {
    /// A name for the user, as the issuer calls it; not held to our form of names.
    pub(super) fn user_name(&self) -> Option<&str> {
        self.claims.get(&self.issuer.username_claim)?.as_str()
    }

    /// The address for mail, when the issuer vouches for it.
    pub(super) fn email(&self) -> Option<&str> {
        let is_verified = self.claims.get("email_verified").is_none_or(|verified| *verified == true);
        self.claims.get("email")?.as_str().filter(|_| is_verified)
    }

    /// The roles that the issuer's groups stand for.
    pub(super) fn roles(&self) -> impl Iterator<Item = &GroupRole> {
        let claim = self.issuer.groups_claim.as_ref().and_then(|name| self.claims.get(name));
        let groups: HashSet<&str> = match claim {
            Some(Value::String(one)) => [one.as_str()].into(),
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => HashSet::new(),
        };
        self.issuer.roles.iter().filter(move |role| groups.contains(role.group.as_str()))
    }
}

fn unchecked_issuer(token: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        iss: String,
    }
    jsonwebtoken::dangerous::insecure_decode_claims::<Named>(token).ok().map(|named| named.iss)
}
