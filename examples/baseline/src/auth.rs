//! [`Caller`]: the bearer token of a request, verified.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use uuid::Uuid;

use crate::http::{Problem, Service};

/// What verifies tokens, made once.
#[derive(Clone)]
pub(crate) struct Verifier(Arc<(DecodingKey, Validation)>);

impl Verifier {
    /// Tokens are signed with `secret`.
    pub(crate) fn new(secret: &str) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_required_spec_claims(&["exp", "sub"]);
        validation.validate_aud = false;
        Self(Arc::new((DecodingKey::from_secret(secret.as_bytes()), validation)))
    }
}

#[derive(Deserialize)]
struct Claims {
    #[expect(dead_code, reason = "it must be there and be a UUID; one table has no use for it")]
    sub: Uuid,
    #[expect(dead_code, reason = "it must be there and be a UUID; one table has no use for it")]
    sid: Uuid,
}

/// Proof that the request has a valid token.
pub(crate) struct Caller;

impl FromRequestParts<Service> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Problem> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("Bearer ")).ok_or(Problem::Unauthenticated)?;
        let (key, validation) = &*service.verifier.0;
        decode::<Claims>(token, key, validation).map_err(|_| Problem::Unauthenticated)?;
        Ok(Self)
    }
}
