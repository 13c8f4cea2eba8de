//! [`Authenticator`]: bearer token to [`Actor`].
//!
//! Who a token stands for and what that actor may do is remembered, so that a request normally costs one signature
//! check or one hash and no database access. What is remembered is forgotten at once by every IAM change of this
//! process, and by [`Authenticator::follow`] when another control plane on the same database made one.

mod foreign;
mod oidc;
mod remembered;
mod settings;
mod signing_key;
mod token;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;
use uuid::Uuid;

use self::oidc::Oidc;
pub use self::oidc::{FetchJson, GroupRole, IssuerSettings, check_url};
pub use self::settings::AuthSettings;
pub use self::signing_key::load_or_create_signing_key;
pub(crate) use self::token::{Purpose, Signer, digest, new_service_token};

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

/// Audit records removed in one go.
const SWEEP_AT_ONCE: i64 = 1000;

/// Tells who makes a request.
#[derive(Debug)]
pub struct Authenticator {
    store: IamStore,
    signer: Signer,
    remembered: Remembered,
    settings: AuthSettings,
    oidc: Oidc,
}

/// Who makes a request, and by which way in.
#[derive(Clone, Debug)]
pub struct Identified {
    /// Who.
    pub actor: Actor,
    /// The session of an access token.
    pub session: Option<Uuid>,
    /// Somebody else knows the password: until it is changed, nothing else may be done.
    pub must_change_password: bool,
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

/// A token that is none, or of somebody who is not trusted.
pub(crate) fn malformed() -> Error {
    refused("malformed", "this is not a token of this installation")
}

pub(crate) fn revoked() -> Error {
    refused("revoked", "the token is not known here, or it was revoked; log in again")
}

impl Authenticator {
    /// Signs and checks with `signing_key`, see [`load_or_create_signing_key`].
    pub fn new(database: Database, signing_key: &[u8]) -> Self {
        let store = IamStore::new(database);
        Self {
            store,
            signer: Signer::new(signing_key),
            remembered: Remembered::new(),
            settings: AuthSettings::default(),
            oidc: Oidc::default(),
        }
    }

    /// Lifetimes and limits of the operator's choice.
    #[must_use]
    pub fn with_settings(self, settings: AuthSettings) -> Self {
        Self { settings, ..self }
    }

    /// Accepts tokens of these issuers too.
    #[must_use]
    pub fn with_issuers(self, issuers: Vec<IssuerSettings>, fetcher: &Arc<dyn FetchJson>) -> Self {
        Self { oidc: Oidc::new(issuers, fetcher), ..self }
    }

    /// Lifetimes and limits.
    pub const fn settings(&self) -> &AuthSettings {
        &self.settings
    }

    /// Tells whom `bearer`, an access token, a service token or a token of a trusted issuer, stands for.
    ///
    /// # Errors
    /// `Unauthenticated` with a `reason`; `PasswordChangeRequired`; `Unavailable` when the database or an issuer had
    /// to be asked and is away.
    pub async fn authenticate(&self, bearer: &str) -> Result<Actor, Error> {
        let identified = self.identify(bearer).await?;
        if identified.must_change_password {
            let text = format!(
                "somebody else chose your password; change it first: PATCH /v1/iam/users/{name} with password and \
                 old_password, or `metapaas iam users set-password {name}`",
                name = identified.actor.name
            );
            return Err(Error::new(ErrorCode::PasswordChangeRequired, text));
        }
        Ok(identified.actor)
    }

    /// The same for the few requests that may be made before the password is changed.
    ///
    /// # Errors
    /// `Unauthenticated`, `Unavailable`.
    pub async fn identify(&self, bearer: &str) -> Result<Identified, Error> {
        let (credential, user) = self.credential(bearer)?;
        let session = if let Credential::Session(session) = credential { Some(session) } else { None };
        let standing = match self.remembered.get(&credential) {
            Some(standing) => standing,
            None => self.look_up(credential, bearer).await?,
        };
        if standing.expires_at.is_some_and(|end| end <= Utc::now()) {
            return Err(refused("expired", "the token has expired; log in again or make a new one"));
        }
        if user.is_some_and(|user| user != standing.actor.id) {
            return Err(revoked());
        }
        let must_change_password = standing.must_change_password;
        Ok(Identified { actor: standing.actor.clone(), session, must_change_password })
    }

    /// The session of an access token, whether or not it still lasts; `None` for a service token.
    ///
    /// # Errors
    /// `Unauthenticated` when it is no token of this installation or has expired.
    pub fn session_of(&self, bearer: &str) -> Result<Option<Uuid>, Error> {
        match self.credential(bearer)?.0 {
            Credential::Session(session) => Ok(Some(session)),
            Credential::ServiceToken(_) | Credential::Foreign(_) => Ok(None),
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
            // Its end is that of its standing; without one it has to be let in anew.
            Credential::Foreign(_) if standing_ends.is_none() => return Err(revoked()),
            Credential::Foreign(_) => None,
        };
        Ok(token_ends.into_iter().chain(standing_ends).min())
    }

    /// Changes whenever anybody's rights may have: whoever was let in before has to be asked for again.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.remembered.ages()
    }

    /// A number that is another one after every change of IAM, the same on every control plane. It says nothing of order.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn position(&self) -> Result<i64, Error> {
        let epoch = self.store.epoch().await?.unwrap_or_default();
        let epoch = epoch.parse::<Uuid>().unwrap_or_default().as_u128();
        // Half of the bits of a UUID, and none of them above those of a positive number.
        Ok(i64::try_from(((epoch >> 64) ^ epoch) & u128::from(i64::MAX.unsigned_abs())).unwrap_or_default())
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
        self.sweep_audit().await;
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

    async fn sweep_audit(&self) {
        let before = now() - self.settings.audit_retention;
        loop {
            let swept = self.store.write("remove old audit records", move |mut tx| {
                Box::pin(async move { Ok(tx.sweep_audit(before, SWEEP_AT_ONCE).await?) })
            });
            match swept.await {
                Ok(removed) if removed < SWEEP_AT_ONCE.unsigned_abs() => return,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "old audit records stay until the next hour");
                    return;
                }
            }
        }
    }

    /// What `bearer` claims to be, its signature checked; the user it names, if it names one.
    fn credential(&self, bearer: &str) -> Result<(Credential, Option<Uuid>), Error> {
        if let Some(hash) = token::service_token_hash(bearer) {
            return Ok((Credential::ServiceToken(hash), None));
        }
        // The signature of a foreign token is checked when it is looked up.
        if !self.oidc.is_empty() && !token::looks_signed_here(bearer) {
            return Ok((Credential::Foreign(digest(bearer)), None));
        }
        let claims = self.signer.verify(Purpose::Access, bearer)?;
        Ok((Credential::Session(claims.sid), Some(claims.sub)))
    }

    async fn look_up(&self, credential: Credential, bearer: &str) -> Result<Arc<Standing>, Error> {
        // Taken before the database is read: a change in between makes what is read here forgotten again.
        let age = self.remembered.age();
        let mut must_change_password = false;
        let (kind, id, name, expires_at) = match &credential {
            Credential::Session(id) => {
                let session = self.store.session(*id).await?.ok_or_else(revoked)?;
                if session.user_disabled || session.revoked_at.is_some() {
                    return Err(revoked());
                }
                must_change_password = session.must_change_password;
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
            Credential::Foreign(_) => {
                let standing = Arc::new(self.look_up_foreign(bearer).await?);
                self.remembered.put(credential, Arc::clone(&standing));
                return Ok(standing);
            }
        };
        let grants = self.store.grants(kind, id).await?;
        let grants = Grants::new(grants.into_iter().map(|grant| (grant.project, grant.given)));
        let actor = Actor { kind, id, name: name.into(), grants: Arc::new(grants) };
        let standing = Arc::new(Standing { actor, expires_at, must_change_password, age });
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
