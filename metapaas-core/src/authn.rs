//! [`Authenticator`]: bearer token to [`Actor`].
//!
//! Who a token stands for and what that actor may do is remembered, so that a request normally costs one signature
//! check or one hash and no database access. What is remembered is forgotten at once by every IAM change of this
//! process, and by [`Authenticator::follow`] when another control plane on the same database made one.

mod remembered;
mod signing_key;
mod token;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;
use uuid::Uuid;

pub use self::signing_key::load_or_create_signing_key;
pub(crate) use self::token::{ACCESS_SECONDS, Purpose, SESSION_DAYS, Signer, digest, new_service_token};

use self::remembered::{Credential, Remembered, Standing};
use crate::error::{Error, ErrorCode};
use crate::request::{Actor, ActorKind, Grants};
use crate::store::Database;
use crate::store::iam::IamStore;
use crate::store::resources::now;

/// How often other control planes' changes are looked for; they must be seen within a second.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// A poll that takes longer has failed.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(2);
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// `last_used_at` of a service token is not written more often.
const TOUCH_EVERY: TimeDelta = TimeDelta::minutes(1);

/// Tells who makes a request.
#[derive(Debug)]
pub struct Authenticator {
    store: IamStore,
    signer: Signer,
    remembered: Remembered,
}

/// The token of an `Authorization` header's value.
///
/// # Errors
/// `Unauthenticated` with the reason `missing` or `malformed`.
pub fn bearer(header: Option<&str>) -> Result<&str, Error> {
    let header = header.ok_or_else(|| {
        refused(
            "missing",
            "this needs a token: send `Authorization: Bearer <token>`; `metapaas login` gets one",
        )
    })?;
    match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            Ok(token.trim())
        }
        _ => Err(refused("malformed", "the Authorization header is not `Bearer <token>`")),
    }
}

/// `Unauthenticated` with a `reason`: missing, malformed, expired, revoked or credentials.
pub(crate) fn refused(reason: &'static str, detail: &str) -> Error {
    Error::new(ErrorCode::Unauthenticated, detail).with("reason", reason)
}

pub(crate) fn revoked() -> Error {
    refused("revoked", "the token is not known here, or it was revoked; log in again")
}

impl Authenticator {
    /// Signs and checks with `signing_key`, see [`load_or_create_signing_key`].
    pub fn new(database: Database, signing_key: &[u8]) -> Self {
        let store = IamStore::new(database);
        Self { store, signer: Signer::new(signing_key), remembered: Remembered::new() }
    }

    /// Tells whom `bearer`, an access token or a service token, stands for.
    ///
    /// # Errors
    /// `Unauthenticated` with a `reason`; `Unavailable` when the database had to be asked and is away.
    pub async fn authenticate(&self, bearer: &str) -> Result<Actor, Error> {
        let (credential, user) = self.credential(bearer)?;
        let standing = match self.remembered.get(&credential) {
            Some(standing) => standing,
            None => self.look_up(credential).await?,
        };
        if standing.expires_at.is_some_and(|end| end <= Utc::now()) {
            return Err(refused("expired", "the token has expired; log in again or make a new one"));
        }
        if user.is_some_and(|user| user != standing.actor.id) {
            return Err(revoked());
        }
        Ok(standing.actor.clone())
    }

    /// The session of an access token, whether or not it still lasts; `None` for a service token.
    ///
    /// # Errors
    /// `Unauthenticated` when it is no token of this installation or has expired.
    pub fn session_of(&self, bearer: &str) -> Result<Option<Uuid>, Error> {
        match self.credential(bearer)?.0 {
            Credential::Session(session) => Ok(Some(session)),
            Credential::ServiceToken(_) => Ok(None),
        }
    }

    /// When a credential ends; `None` when it has no end. To be asked after [`Self::authenticate`] let it in.
    ///
    /// # Errors
    /// `Unauthenticated` when it is no token of this installation or has expired.
    pub fn expires_at(&self, bearer: &str) -> Result<Option<DateTime<Utc>>, Error> {
        let (credential, _) = self.credential(bearer)?;
        let standing_ends = self.remembered.get(&credential).and_then(|standing| standing.expires_at);
        let token_ends = match credential {
            Credential::Session(_) => self.signer.verify(Purpose::Access, bearer)?.ends(),
            Credential::ServiceToken(_) => None,
        };
        Ok(token_ends.into_iter().chain(standing_ends).min())
    }

    /// Changes whenever anybody's rights may have: whoever was let in before has to be asked for again.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.remembered.ages()
    }

    /// Forgets who may do what. Called after each change of it.
    pub(crate) fn forget(&self) {
        self.remembered.forget();
    }

    pub(crate) const fn store(&self) -> &IamStore {
        &self.store
    }

    pub(crate) const fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Watches for changes by other control planes and removes old sessions. Never ends; run it as a task.
    ///
    /// # Guarantees
    /// A right that another control plane took away is gone here within a second. While the database cannot be
    /// asked nothing is remembered, so that requests are refused as `Unavailable` and not let in on old rights.
    pub async fn follow(&self) {
        let mut seen = None;
        let mut is_lost = false;
        let mut next_sweep = tokio::time::Instant::now() + SWEEP_EVERY;
        let mut ticks = tokio::time::interval(FOLLOW_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match tokio::time::timeout(FOLLOW_TIMEOUT, self.store.epoch()).await {
                Ok(Ok(epoch)) => {
                    if is_lost || seen.as_ref() != Some(&epoch) {
                        self.forget();
                    }
                    (seen, is_lost) = (Some(epoch), false);
                }
                failed => {
                    if !is_lost {
                        let error = failed.ok().and_then(Result::err);
                        tracing::warn!(error = ?error, "cannot see whether rights have changed");
                    }
                    is_lost = true;
                    self.forget();
                }
            }
            if tokio::time::Instant::now() >= next_sweep {
                next_sweep += SWEEP_EVERY;
                self.sweep().await;
            }
        }
    }

    async fn sweep(&self) {
        let before = now() - TimeDelta::days(1);
        let swept = self
            .store
            .write("remove old sessions", move |mut tx| {
                Box::pin(async move { Ok(tx.sweep_sessions(before).await?) })
            })
            .await;
        if let Err(error) = swept {
            tracing::warn!(%error, "old sessions stay until the next hour");
        }
    }

    /// What `bearer` claims to be, its signature checked; the user it names, if it names one.
    fn credential(&self, bearer: &str) -> Result<(Credential, Option<Uuid>), Error> {
        if let Some(hash) = token::service_token_hash(bearer) {
            return Ok((Credential::ServiceToken(hash), None));
        }
        let claims = self.signer.verify(Purpose::Access, bearer)?;
        Ok((Credential::Session(claims.sid), Some(claims.sub)))
    }

    async fn look_up(&self, credential: Credential) -> Result<Arc<Standing>, Error> {
        // Taken before the database is read: a change in between makes what is read here forgotten again.
        let age = self.remembered.age();
        let (kind, id, name, expires_at) = match &credential {
            Credential::Session(id) => {
                let session = self.store.session(*id).await?.ok_or_else(revoked)?;
                if session.user_disabled || session.revoked_at.is_some() {
                    return Err(revoked());
                }
                (ActorKind::User, session.user_id, session.user_name, Some(session.expires_at))
            }
            Credential::ServiceToken(hash) => {
                let shown = self.store.shown_token(hash).await?.ok_or_else(revoked)?;
                if shown.account_disabled {
                    return Err(revoked());
                }
                if shown.expires_at.is_none_or(|end| end > Utc::now()) {
                    self.touch(shown.id, shown.last_used_at);
                }
                (ActorKind::ServiceAccount, shown.account_id, shown.account_name, shown.expires_at)
            }
        };
        let grants = Grants::new(self.store.grants(kind, id).await?);
        let actor = Actor { kind, id, name: name.into(), grants: Arc::new(grants) };
        let standing = Arc::new(Standing { actor, expires_at, age });
        self.remembered.put(credential, Arc::clone(&standing));
        Ok(standing)
    }

    /// Notes the use of a service token, without holding up the request.
    fn touch(&self, id: Uuid, last: Option<DateTime<Utc>>) {
        let now = now();
        if last.is_some_and(|last| now - last < TOUCH_EVERY) {
            return;
        }
        let store = self.store.clone();
        tokio::spawn(async move {
            let touched = store
                .write("note the use of a service token", move |mut tx| {
                    Box::pin(async move { Ok(tx.touch_service_token(id, now).await?) })
                })
                .await;
            if let Err(error) = touched {
                tracing::debug!(%error, "the last use of a service token is not noted");
            }
        });
    }
}
