//! Logins: password to a pair of tokens, refresh token to the next pair, the end of a session.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Iam;
use super::body::{Body, is_user_name};
use super::password::Turn;
use super::record::{DENIED, FAILED, OK, Record};
use super::throttle::{FORGIVEN_AFTER, locked, wait_after};
use crate::authn::{Identified, Purpose, digest, refused, revoked};
use crate::error::{Error, ErrorCode};
use crate::request::RequestContext;
use crate::role::PLATFORM_PROJECT;
use crate::store::iam::sessions::{NewSession, SessionRow};
use crate::store::iam::users::UserRow;
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

/// Where a request comes from that shows no token.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The client's address, when it is known.
    pub address: Option<IpAddr>,
    /// Finds the request in logs and audit.
    pub request_id: Arc<str>,
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
    pub async fn token(&self, body: &Value, origin: &Origin) -> Result<TokenPair, Error> {
        match body.get("grant_type").and_then(Value::as_str) {
            Some("password") => {
                let mut body = Body::of(body, &["grant_type", "username", "password"])?;
                let user = body.required_text("username");
                let password = body.required_text("password");
                body.finish()?;
                self.login(user, password, origin).await
            }
            Some("refresh_token") => {
                let mut body = Body::of(body, &["grant_type", "refresh_token"])?;
                let token = body.required_text("refresh_token");
                body.finish()?;
                self.refresh(token, origin).await
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
    /// `TooManyRequests` after too many of those, or when more logins wait than are worth waiting for.
    pub async fn login(&self, user: &str, password: &str, origin: &Origin) -> Result<TokenPair, Error> {
        self.throttle.check_address(origin.address, now())?;
        // Whoever has to wait does not take the place of others in the queue.
        self.unlocked_user(user).await?;
        let turn = self.passwords.turn().await?;
        // Again, as others had their turn meanwhile: of many that come at once, few are looked at.
        let row = self.unlocked_user(user).await?;
        let hash = row.as_ref().and_then(|row| row.password_hash.clone());
        let (fits, turn) = turn.fits(password, hash.clone()).await?;
        let wrong = || refused("credentials", "user or password is wrong");
        let Some(row) = row.as_ref().filter(|row| fits && !row.user.disabled) else {
            self.login_failed(user, row.as_ref(), turn, origin);
            return Err(wrong());
        };
        drop(turn);
        let id = Uuid::now_v7();
        let pair = self.pair(row.user.id, &row.user.name, id, row.user.must_change_password)?;
        let now = now();
        let session = NewSession {
            id,
            user_id: row.user.id,
            refresh_hash: digest(&pair.refresh_token),
            created_at: now,
            expires_at: now + self.authenticator.settings().session_lifetime,
        };
        let record = Record::user(row.user.id, &row.user.name, &origin.request_id, "iam.sessions.login");
        let line =
            record.line(OK, format!("users/{}", row.user.name), Some(PLATFORM_PROJECT), detail(origin, None));
        let had_failed = row.failed_logins > 0;
        self.store()
            .write("begin a session", move |mut tx| {
                Box::pin(async move {
                    // The password may have changed, or the user gone, while the hash was computed.
                    let current = tx.user(session.user_id).await?.filter(|current| !current.user.disabled);
                    if current.is_none_or(|current| current.password_hash != hash) {
                        return Err(wrong());
                    }
                    if had_failed {
                        tx.unlock_user(session.user_id).await?;
                    }
                    tx.audit(line).await?;
                    Ok(tx.insert_session(&session).await?)
                })
            })
            .await?;
        Ok(pair)
    }

    /// The user of that name, if there is one.
    ///
    /// # Errors
    /// `TooManyRequests` when the name has to wait, whether or not there is such a user.
    async fn unlocked_user(&self, name: &str) -> Result<Option<UserRow>, Error> {
        let row = if is_user_name(name) { self.store().user_named(name).await? } else { None };
        let until = match &row {
            Some(row) => row.locked_until,
            None => self.throttle.until_of_name(name),
        };
        let now = now();
        match until.filter(|until| *until > now) {
            Some(until) => Err(locked(until, now)),
            None => Ok(row),
        }
    }

    /// Writes a failure down, after the answer: how long that takes must not tell whether there is such a user.
    fn login_failed(&self, name: &str, row: Option<&UserRow>, turn: Turn, origin: &Origin) {
        let now = now();
        self.throttle.address_failed(origin.address, now);
        let action = "iam.sessions.login";
        let record = match row {
            Some(row) => Record::user(row.user.id, &row.user.name, &origin.request_id, action),
            None => Record::unknown(name, &origin.request_id, action),
        };
        let what = format!("users/{}", super::record::cut(name, 128));
        self.log.put(record.line(FAILED, what, Some(PLATFORM_PROJECT), detail(origin, None)));
        match row {
            Some(row) => self.count_failure(row.user.id, turn),
            None => self.throttle.name_failed(name, now),
        }
    }

    /// Counts a wrong password of a user. The turn is held until that is done.
    pub(super) fn count_failure(&self, user: Uuid, turn: Turn) {
        let free = self.authenticator.settings().failures_per_user;
        let store = self.store().clone();
        tokio::spawn(async move {
            let now = now();
            let counted = store
                .write("count a failed login", move |mut tx| {
                    Box::pin(async move {
                        let count = tx.count_failed_login(user, now - FORGIVEN_AFTER).await?;
                        let wait = wait_after(count.unsigned_abs(), free);
                        Ok::<_, Error>(tx.lock_user(user, now + wait).await?)
                    })
                })
                .await;
            if let Err(error) = counted {
                tracing::warn!(%error, "a failed login is not counted");
            }
            drop(turn);
        });
    }

    /// Goes on with a session: both tokens are new, the old refresh token is used up.
    ///
    /// # Errors
    /// `Unauthenticated`. A refresh token that comes a second time was copied by somebody, and nobody can tell who
    /// is the thief: the session ends. `TooManyRequests` after too many failures from one address.
    pub async fn refresh(&self, refresh_token: &str, origin: &Origin) -> Result<TokenPair, Error> {
        self.throttle.check_address(origin.address, now())?;
        let refreshed = self.refreshed(refresh_token, origin).await;
        if refreshed.as_ref().is_err_and(|error| error.code == ErrorCode::Unauthenticated) {
            self.throttle.address_failed(origin.address, now());
        }
        refreshed
    }

    async fn refreshed(&self, refresh_token: &str, origin: &Origin) -> Result<TokenPair, Error> {
        let claims = self.authenticator.signer().verify(Purpose::Refresh, refresh_token)?;
        let mut pair = self.pair(claims.sub, &claims.name, claims.sid, false)?;
        let (old_hash, new_hash) = (digest(refresh_token), digest(&pair.refresh_token));
        let (session, now) = (claims.sid, now());
        let expires_at = now + self.authenticator.settings().session_lifetime;
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
                let record =
                    Record::user(claims.sub, &claims.name, &origin.request_id, "iam.sessions.refresh");
                let reason = Some("the refresh token was used before; the session was ended");
                let what = format!("sessions/{session}");
                let line = record.line(DENIED, what, Some(PLATFORM_PROJECT), detail(origin, reason));
                self.end_session(session, line).await?;
                Err(revoked())
            }
            Refreshed::Over => Err(revoked()),
        }
    }

    /// Ends the session of an access token.
    ///
    /// # Errors
    /// `InvalidRequest` for other tokens, which have no session.
    pub async fn logout(&self, who: &Identified, request_id: &Arc<str>) -> Result<(), Error> {
        let Some(session) = who.session else {
            return Err(Error::invalid_at(
                "",
                "INVALID_VALUE",
                "this token has no session: delete a service token at its service account; the tokens of another \
                 issuer end by themselves",
            ));
        };
        let context = RequestContext { actor: who.actor.clone(), request_id: Arc::clone(request_id) };
        let record = Record::by(&context, "iam.sessions.logout".into());
        let line = record.line(OK, format!("sessions/{session}"), Some(PLATFORM_PROJECT), None);
        self.end_session(session, line).await
    }

    async fn end_session(
        &self,
        session: Uuid,
        line: crate::store::iam::audit::AuditRecord,
    ) -> Result<(), Error> {
        self.change("end a session", move |mut tx| {
            Box::pin(async move {
                tx.revoke_session(session, now()).await?;
                Ok(tx.audit(line).await?)
            })
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
        let settings = self.authenticator.settings();
        let sign =
            |purpose, end: DateTime<Utc>| self.authenticator.signer().sign(purpose, user, name, session, end);
        let now = now();
        Ok(TokenPair {
            access_token: sign(Purpose::Access, now + settings.access_lifetime)?,
            refresh_token: sign(Purpose::Refresh, now + settings.session_lifetime)?,
            token_type: "Bearer",
            expires_in: settings.access_lifetime.num_seconds(),
            must_change_password,
        })
    }
}

fn detail(origin: &Origin, reason: Option<&str>) -> Option<Value> {
    Some(json!({ "address": origin.address, "reason": reason }))
}
