//! Logins: password to a pair of tokens, refresh token to the next pair, the end of a session.

use chrono::TimeDelta;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::Iam;
use super::body::{Body, is_user_name};
use crate::authn::{ACCESS_SECONDS, Purpose, SESSION_DAYS, digest, refused, revoked};
use crate::error::Error;
use crate::store::iam::sessions::{NewSession, SessionRow};
use crate::store::resources::now;

/// What a login or refresh answers.
#[derive(Clone, Debug, Serialize)]
pub struct TokenPair {
    /// Makes requests, for [`Self::expires_in`] seconds.
    pub access_token: String,
    /// Gets the next pair. It works once; used a second time it ends the session.
    pub refresh_token: String,
    /// `Bearer`.
    pub token_type: &'static str,
    /// How long the access token is good, in seconds.
    pub expires_in: i64,
    /// Somebody else chose the password.
    pub must_change_password: bool,
}

/// What became of a refresh.
enum Refreshed {
    Good(SessionRow),
    UsedBefore,
    Over,
}

impl Iam {
    /// A login or a refresh, in the words of RFC 6749 sections 4.3.2 and 6. Body: `grant_type` with `username` and
    /// `password`, or with `refresh_token`.
    ///
    /// # Errors
    /// `InvalidRequest`, else as [`Self::login`] and [`Self::refresh`].
    pub async fn token(&self, body: &Value) -> Result<TokenPair, Error> {
        match body.get("grant_type").and_then(Value::as_str) {
            Some("password") => {
                let mut body = Body::of(body, &["grant_type", "username", "password"])?;
                let user = body.required_text("username");
                let password = body.required_text("password");
                body.finish()?;
                self.login(user, password).await
            }
            Some("refresh_token") => {
                let mut body = Body::of(body, &["grant_type", "refresh_token"])?;
                let token = body.required_text("refresh_token");
                body.finish()?;
                self.refresh(token).await
            }
            _ => Err(Error::invalid_at(
                "/grant_type",
                "INVALID_VALUE",
                "expected \"password\" (with username, password) or \"refresh_token\" (with refresh_token)",
            )),
        }
    }

    /// Begins a session.
    ///
    /// # Errors
    /// `Unauthenticated`, the same and after the same time whether the user or the password is wrong;
    /// `TooManyRequests` when more logins wait than are worth waiting for.
    pub async fn login(&self, user: &str, password: &str) -> Result<TokenPair, Error> {
        let row = if is_user_name(user) { self.store().user_named(user).await? } else { None };
        let hash = row.as_ref().and_then(|row| row.password_hash.clone());
        let fits = self.passwords.fits(password, hash.clone()).await?;
        let wrong = || refused("credentials", "user or password is wrong");
        let row = row.filter(|row| fits && !row.user.disabled).ok_or_else(wrong)?;
        let id = Uuid::now_v7();
        let pair = self.pair(row.user.id, &row.user.name, id, row.must_change_password)?;
        let now = now();
        let session = NewSession {
            id,
            user_id: row.user.id,
            refresh_hash: digest(&pair.refresh_token),
            created_at: now,
            expires_at: now + TimeDelta::days(SESSION_DAYS),
        };
        self.store()
            .write("begin a session", move |mut tx| {
                Box::pin(async move {
                    // The password may have changed, or the user gone, while the hash was computed.
                    let current = tx.user(session.user_id).await?.filter(|current| !current.user.disabled);
                    if current.is_none_or(|current| current.password_hash != hash) {
                        return Err(wrong());
                    }
                    Ok(tx.insert_session(&session).await?)
                })
            })
            .await?;
        Ok(pair)
    }

    /// Goes on with a session: both tokens are new, the old refresh token is used up.
    ///
    /// # Errors
    /// `Unauthenticated`. A refresh token that comes a second time was copied by somebody, and nobody can tell who
    /// is the thief: the session ends.
    pub async fn refresh(&self, refresh_token: &str) -> Result<TokenPair, Error> {
        let claims = self.authenticator.signer().verify(Purpose::Refresh, refresh_token)?;
        let mut pair = self.pair(claims.sub, &claims.name, claims.sid, false)?;
        let (old_hash, new_hash) = (digest(refresh_token), digest(&pair.refresh_token));
        let (session, now) = (claims.sid, now());
        let expires_at = now + TimeDelta::days(SESSION_DAYS);
        let refreshed = self
            .store()
            .write("refresh a session", move |mut tx| {
                Box::pin(async move {
                    let is_current =
                        tx.rotate_session(session, &old_hash, &new_hash, expires_at, now).await?;
                    let row = tx.session(session).await?.filter(|row| row.is_good(now));
                    Ok::<_, Error>(match row {
                        Some(row) if is_current => Refreshed::Good(row),
                        Some(_) => Refreshed::UsedBefore,
                        None => Refreshed::Over,
                    })
                })
            })
            .await?;
        match refreshed {
            Refreshed::Good(row) => {
                pair.must_change_password = row.must_change_password;
                Ok(pair)
            }
            Refreshed::UsedBefore => {
                tracing::warn!(%session, user = %claims.name, "a refresh token came twice; its session is revoked");
                self.end_session(session).await?;
                Err(revoked())
            }
            Refreshed::Over => Err(revoked()),
        }
    }

    /// Ends the session of an access token. Nothing happens to a service token: it has none.
    ///
    /// # Errors
    /// `Unauthenticated` when `bearer` is no token, `InvalidRequest` when it is a service token.
    pub async fn logout(&self, bearer: &str) -> Result<(), Error> {
        match self.authenticator.session_of(bearer)? {
            Some(session) => self.end_session(session).await,
            None => Err(Error::invalid_at(
                "",
                "INVALID_VALUE",
                "a service token has no session; delete the token at its service account",
            )),
        }
    }

    async fn end_session(&self, session: Uuid) -> Result<(), Error> {
        self.change("end a session", move |mut tx| {
            Box::pin(async move { Ok(tx.revoke_session(session, now()).await?) })
        })
        .await
    }

    fn pair(
        &self,
        user: Uuid,
        name: &str,
        session: Uuid,
        must_change_password: bool,
    ) -> Result<TokenPair, Error> {
        let now = now();
        let sign = |purpose, lifetime| {
            self.authenticator.signer().sign(purpose, user, name, session, now + lifetime)
        };
        Ok(TokenPair {
            access_token: sign(Purpose::Access, TimeDelta::seconds(ACCESS_SECONDS))?,
            refresh_token: sign(Purpose::Refresh, TimeDelta::days(SESSION_DAYS))?,
            token_type: "Bearer",
            expires_in: ACCESS_SECONDS,
            must_change_password,
        })
    }
}
