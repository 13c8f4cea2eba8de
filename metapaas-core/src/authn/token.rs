//! Forms of tokens: signed access and refresh tokens, opaque service tokens.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{malformed, refused};
use crate::error::Error;
use crate::secret::random_text;

/// Clocks of control planes may differ by so many seconds.
const LEEWAY_SECONDS: u64 = 5;
/// How many checked tokens are remembered, and for how long.
const CHECKED_MOST: u64 = 20_000;
const CHECKED_LONGEST: Duration = Duration::from_secs(300);
const ISSUER: &str = "metapaas";
/// How every token that [`Signer`] signs begins: `{"typ":"JWT","alg":"HS256"}`.
const HEADER: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.";
const SERVICE_PREFIX: &str = "mpst_";
const SERVICE_LENGTH: usize = 40;

/// What a signed token is for. One is not accepted in the place of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Making requests.
    Access,
    /// Getting the next pair of tokens, once.
    Refresh,
}

impl Purpose {
    const fn audience(self) -> &'static str {
        match self {
            Self::Access => "metapaas",
            Self::Refresh => "metapaas/refresh",
        }
    }
}

/// What a signed token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// The user.
    pub(crate) sub: Uuid,
    /// The session.
    pub(crate) sid: Uuid,
    /// The user's name, for people who look into the token.
    pub(crate) name: String,
    iat: i64,
    exp: i64,
    iss: String,
    aud: String,
    /// No two refresh tokens are alike, even of one second.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    jti: String,
}

impl Claims {
    /// When the token ends.
    pub(crate) fn ends(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(self.exp.saturating_add(LEEWAY_SECONDS.cast_signed()), 0)
    }
}

/// Signs and checks tokens with HMAC-SHA256 and nothing else.
pub(crate) struct Signer {
    signing: EncodingKey,
    checking: DecodingKey,
    access: Validation,
    refresh: Validation,
    /// Access tokens whose signatures have been checked. A token is sent with every request; to check it costs ten
    /// times what it costs to find it here.
    checked: Cache<Box<str>, Arc<Claims>>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self {
            signing: EncodingKey::from_secret(key),
            checking: DecodingKey::from_secret(key),
            access: validation(Purpose::Access),
            refresh: validation(Purpose::Refresh),
            checked: Cache::builder().max_capacity(CHECKED_MOST).time_to_live(CHECKED_LONGEST).build(),
        }
    }

    pub(crate) fn sign(
        &self,
        purpose: Purpose,
        user: Uuid,
        name: &str,
        session: Uuid,
        expires_at: DateTime<Utc>,
    ) -> Result<String, Error> {
        let claims = Claims {
            sub: user,
            sid: session,
            name: name.into(),
            iat: Utc::now().timestamp(),
            exp: expires_at.timestamp(),
            iss: ISSUER.into(),
            aud: purpose.audience().into(),
            jti: if purpose == Purpose::Refresh { random_text(22) } else { String::new() },
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing).map_err(Error::internal)
    }

    pub(crate) fn verify(&self, purpose: Purpose, token: &str) -> Result<Arc<Claims>, Error> {
        let is_access = purpose == Purpose::Access;
        if is_access
            && let Some(claims) = self.checked.get(token)
            && claims.ends().is_some_and(|end| end > Utc::now())
        {
            return Ok(claims);
        }
        let validation = if is_access { &self.access } else { &self.refresh };
        let claims = match jsonwebtoken::decode::<Claims>(token, &self.checking, validation) {
            Ok(data) => Arc::new(data.claims),
            Err(error) if *error.kind() == ErrorKind::ExpiredSignature => {
                return Err(refused("expired", "the token has expired; refresh it or log in again"));
            }
            Err(_) => return Err(malformed()),
        };
        if is_access {
            self.checked.insert(token.into(), claims.clone());
        }
        Ok(claims)
    }
}

fn validation(purpose: Purpose) -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = LEEWAY_SECONDS;
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[purpose.audience()]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation
}

/// A new service token; 40 letters and digits are 238 bits, so that a plain digest keeps it secret.
pub(crate) fn new_service_token() -> String {
    format!("{SERVICE_PREFIX}{}", random_text(SERVICE_LENGTH))
}

/// Whether a token may be one of [`Signer`]'s.
pub(super) fn looks_signed_here(token: &str) -> bool {
    token.starts_with(HEADER)
}

/// The digest of a service token; `None` when it does not look like one.
pub(super) fn service_token_hash(token: &str) -> Option<String> {
    let secret = token.strip_prefix(SERVICE_PREFIX)?;
    let looks_right =
        secret.len() == SERVICE_LENGTH && secret.bytes().all(|byte| byte.is_ascii_alphanumeric());
    looks_right.then(|| digest(token))
}

/// SHA-256 in hexadecimal, the form in which tokens are stored.
pub(crate) fn digest(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().fold(String::with_capacity(64), |mut text, byte| {
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
        text
    })
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use chrono::TimeDelta;
    use serde_json::json;

    use super::*;

    const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn reason(result: Result<Arc<Claims>, Error>) -> String {
        result.unwrap_err().extra["reason"].as_str().unwrap().to_owned()
    }

    fn signed_until(signer: &Signer, purpose: Purpose, seconds: i64) -> String {
        let end = Utc::now() + TimeDelta::seconds(seconds);
        signer.sign(purpose, Uuid::from_u128(1), "ann", Uuid::from_u128(2), end).unwrap()
    }

    fn encode(header: &Header, claims: &serde_json::Value, key: &[u8]) -> String {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(key)).unwrap()
    }

    #[test]
    fn a_signed_token_says_whose_it_is() {
        let signer = Signer::new(KEY);
        let claims = signer.verify(Purpose::Access, &signed_until(&signer, Purpose::Access, 60)).unwrap();
        assert_eq!((claims.sub, claims.sid), (Uuid::from_u128(1), Uuid::from_u128(2)));
        assert!(looks_signed_here(&signed_until(&signer, Purpose::Refresh, 60)));
    }

    #[test]
    fn forged_and_foreign_tokens_are_refused() {
        let signer = Signer::new(KEY);
        let good = signed_until(&signer, Purpose::Access, 60);
        let parts: Vec<&str> = good.split('.').collect();
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut claims: serde_json::Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
        let hs256 = Header::new(Algorithm::HS256);
        assert!(signer.verify(Purpose::Access, &encode(&hs256, &claims, KEY)).is_ok());

        claims["sub"] = json!(Uuid::from_u128(9));
        let altered = format!("{}.{}.{}", parts[0], part(&claims), parts[2]);
        let none = |signature: &str| {
            format!("{}.{}.{signature}", part(&json!({"alg": "none", "typ": "JWT"})), part(&claims))
        };
        let mut foreign = claims.clone();
        foreign["iss"] = json!("elsewhere");
        let mut timeless = claims.clone();
        timeless.as_object_mut().unwrap().remove("exp");
        for (what, token) in [
            ("altered", altered),
            ("alg none", none("")),
            ("alg none with a signature", none(parts[2])),
            ("other key", encode(&hs256, &claims, b"another key another key another ")),
            ("HS512 under our key", encode(&Header::new(Algorithm::HS512), &claims, KEY)),
            ("other issuer", encode(&hs256, &foreign, KEY)),
            ("without an end", encode(&hs256, &timeless, KEY)),
            ("refresh token", signed_until(&signer, Purpose::Refresh, 60)),
            ("no signature", format!("{}.{}", parts[0], parts[1])),
            ("empty", String::new()),
            ("rubbish", "ä.b.c".into()),
        ] {
            assert_eq!(reason(signer.verify(Purpose::Access, &token)), "malformed", "{what}");
        }
        assert_eq!(reason(signer.verify(Purpose::Refresh, &good)), "malformed");
    }

    #[test]
    fn a_token_that_was_checked_ends_all_the_same() {
        let signer = Signer::new(KEY);
        let old = signed_until(&signer, Purpose::Access, -60);
        let other = signer.verify(Purpose::Access, &signed_until(&signer, Purpose::Access, 60)).unwrap();
        let remembered = Claims { exp: Utc::now().timestamp() - 60, ..Claims::clone(&other) };
        signer.checked.insert(old.as_str().into(), Arc::new(remembered));
        assert_eq!(reason(signer.verify(Purpose::Access, &old)), "expired");
    }

    #[test]
    fn an_expired_token_is_refused() {
        let signer = Signer::new(KEY);
        assert!(signer.verify(Purpose::Access, &signed_until(&signer, Purpose::Access, -2)).is_ok());
        let old = signed_until(&signer, Purpose::Access, -10);
        assert_eq!(reason(signer.verify(Purpose::Access, &old)), "expired");
    }

    #[test]
    fn only_what_looks_like_a_service_token_is_looked_up() {
        let token = new_service_token();
        assert_eq!(service_token_hash(&token), Some(digest(&token)));
        assert_eq!(service_token_hash(&token[..44]), None);
        assert_eq!(service_token_hash(&format!("{SERVICE_PREFIX}{}", "é".repeat(20))), None);
        assert_eq!(digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
