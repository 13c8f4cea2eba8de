//! Users: made by owners of the platform; everybody may change the own password.

use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::body::{Body, is_user_name};
use super::password::weakness;
use super::permissions::may_give;
use super::record::{OK, Record};
use super::throttle::locked;
use super::{Iam, Listed, PageAt, USERS, User, expect, keep_an_owner};
use crate::authz::Allowed;
use crate::descriptor::Action;
use crate::error::{Error, ErrorCode};
use crate::registry::Registry;
use crate::request::ActorKind;
use crate::role::PLATFORM_PROJECT;
use crate::secret::random_text;
use crate::store::StoreError;
use crate::store::iam::users::UserRow;
use crate::store::resources::now;

const GENERATED_LENGTH: usize = 20;

/// A new user, and the password if it was generated. It cannot be shown again.
#[derive(Clone, Debug, Serialize)]
pub struct CreatedUser {
    /// The user.
    #[serde(flatten)]
    pub user: User,
    /// Only when the request had none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

impl Iam {
    /// Makes a user. Body: `name`, and optionally `password`, `email`, `disabled`, `must_change_password` (true unless
    /// it says otherwise), and `identity` with `issuer` and `subject`, for a subject of an OIDC issuer.
    ///
    /// # Errors
    /// `Forbidden`, `InvalidRequest`, `NameTaken` with the `id` that has the name.
    pub async fn create_user(&self, allowed: &Allowed, body: &Value) -> Result<CreatedUser, Error> {
        expect(allowed, &USERS, Action::Create)?;
        allowed.in_project(PLATFORM_PROJECT)?;
        let mut body =
            Body::of(body, &["name", "password", "email", "disabled", "must_change_password", "identity"])?;
        let name = body.required_text("name").to_owned();
        if !name.is_empty() && !is_user_name(&name) {
            let detail = "expected 1 to 63 lower-case letters, digits and . _ @ -, starting with a letter, and no UUID";
            body.problem("name", "INVALID_NAME", detail);
        }
        let given = new_password(&mut body, &name);
        let email = body.email().flatten();
        let disabled = body.flag("disabled").unwrap_or_default();
        let must_change = body.flag("must_change_password");
        let identity = identity(&mut body);
        body.finish()?;

        // Who comes by another issuer needs no password.
        let generated = (given.is_none() && identity.is_none()).then(|| random_text(GENERATED_LENGTH));
        let password_hash = match given.as_deref().or(generated.as_deref()) {
            Some(password) => Some(self.passwords.hash(password).await?),
            None => None,
        };
        let now = now();
        let user = User {
            id: Uuid::now_v7(),
            name,
            email,
            disabled,
            must_change_password: must_change.unwrap_or(password_hash.is_some()),
            created_at: now,
            updated_at: now,
            revision: 1,
        };
        let row = UserRow::new(user.clone(), password_hash);
        let record = Record::of(allowed);
        let created = CreatedUser { user, password: generated.filter(|_| !self.terms.is_dry_run()) };
        let name = created.user.name.clone();
        let made = self
            .make("make a user", move |mut tx| {
                Box::pin(async move {
                    tx.insert_user(&row).await?;
                    if let Some((issuer, subject)) = identity {
                        if tx.user_of_identity(&issuer, &subject).await?.is_some() {
                            let text = "another user is this subject of this issuer";
                            return Err(Error::invalid_at("/identity/subject", "TAKEN", text));
                        }
                        tx.insert_identity(&issuer, &subject, row.user.id, now).await?;
                    }
                    tx.audit(record.created(what(&row.user), PLATFORM_PROJECT, &row.user)).await?;
                    Ok(created)
                })
            })
            .await;
        match made {
            Err(error) if error.code == ErrorCode::NameTaken => {
                let other = self.store().user_named(&name).await?.map(|row| row.user.id.to_string());
                Err(error.with("id", other))
            }
            made => made,
        }
    }

    /// A page of the users.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn list_users(&self, allowed: &Allowed, page: PageAt) -> Result<Listed<User>, Error> {
        expect(allowed, &USERS, Action::List)?;
        allowed.in_project(PLATFORM_PROJECT)?;
        Ok(self.store().users(page).await?)
    }

    /// The user of that id or name. Everybody may see the own.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn get_user(&self, allowed: &Allowed, key: &str) -> Result<User, Error> {
        expect(allowed, &USERS, Action::Read)?;
        Ok(self.visible_user(allowed, key).await?.user)
    }

    /// Changes `email`, `disabled`, `must_change_password` or `password` (merge patch). A new password or `disabled`
    /// ends the user's sessions, but for `session`, the caller's own when the password is. Everybody may change the
    /// own password, giving the `old_password` too; another's only who has all that the other has.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `InvalidRequest`, `InvalidState` when no owner of the platform would be left.
    pub async fn update_user(
        &self,
        registry: &Registry,
        allowed: &Allowed,
        session: Option<Uuid>,
        key: &str,
        body: &Value,
    ) -> Result<User, Error> {
        expect(allowed, &USERS, Action::Update)?;
        let current = self.visible_user(allowed, key).await?;
        let is_own = is_own(allowed, current.user.id);
        let known = ["name", "password", "old_password", "email", "disabled", "must_change_password"];
        let mut body = Body::of(body, &known)?;
        body.unchanged("name", &current.user.name);
        let password = new_password(&mut body, &current.user.name);
        let old_password = if is_own && password.is_some() {
            Some(body.required_text("old_password").to_owned())
        } else {
            body.text("old_password");
            None
        };
        let email = body.email().filter(|email| *email != current.user.email);
        let disabled = body.flag("disabled").filter(|disabled| *disabled != current.user.disabled);
        let must_change = current.user.must_change_password;
        let must_change = body.flag("must_change_password").filter(|wanted| *wanted != must_change);
        body.finish()?;
        if !is_own || email.is_some() || disabled.is_some() || must_change.is_some() {
            allowed.in_project(PLATFORM_PROJECT)?;
        }
        if !is_own && (password.is_some() || must_change.is_some()) {
            self.may_become(registry, allowed, ActorKind::User, current.user.id).await?;
        }
        if let Some(old) = old_password {
            self.check_password(&current, &old).await?;
        }
        let old_hash = current.password_hash;
        let password_hash = match &password {
            Some(password) => Some(self.passwords.hash(password).await?),
            None => None,
        };
        let id = current.user.id;
        let record = Record::of(allowed);
        let keep = session.filter(|_| is_own && disabled != Some(true));
        let terms = self.terms.clone();
        self.make("change a user", move |mut tx| {
            Box::pin(async move {
                let mut row = tx.user(id).await?.ok_or_else(|| not_found(&id.to_string()))?;
                terms.hold(row.user.revision)?;
                let before = json!(row.user);
                let now = now();
                let is_new_password = password_hash.is_some();
                let ends_sessions = password_hash.is_some() || disabled == Some(true);
                if password_hash.is_some() {
                    if is_own && row.password_hash != old_hash {
                        let text = "the password was changed a moment ago; log in again";
                        return Err(Error::new(ErrorCode::InvalidState, text));
                    }
                    row.password_hash = password_hash;
                    row.user.must_change_password = !is_own;
                }
                row.user.must_change_password = must_change.unwrap_or(row.user.must_change_password);
                if let Some(email) = email {
                    row.user.email = email;
                }
                row.user.disabled = disabled.unwrap_or(row.user.disabled);
                row.user.updated_at = now;
                row.user.revision += 1;
                tx.update_user(&row).await?;
                if ends_sessions {
                    tx.revoke_sessions_of(id, keep, now).await?;
                }
                if is_new_password {
                    tx.unlock_user(id).await?;
                }
                if disabled == Some(true) {
                    keep_an_owner(&mut tx).await?;
                }
                let mut after = json!(row.user);
                if is_new_password && let Value::Object(members) = &mut after {
                    members.insert("password".into(), json!({ "redacted": true }));
                }
                tx.audit(record.changed(what(&row.user), PLATFORM_PROJECT, &before, &after)).await?;
                Ok(row.user)
            })
        })
        .await
    }

    /// Removes a user with its bindings and sessions.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `InvalidState` when no owner of the platform would be left.
    pub async fn delete_user(&self, allowed: &Allowed, key: &str) -> Result<(), Error> {
        expect(allowed, &USERS, Action::Delete)?;
        let user = self.visible_user(allowed, key).await?.user;
        allowed.in_project(PLATFORM_PROJECT)?;
        let (id, record) = (user.id, Record::of(allowed));
        let (key, terms) = (key.to_owned(), self.terms.clone());
        self.change("delete a user", move |mut tx| {
            Box::pin(async move {
                let user = tx.user(id).await?.ok_or_else(|| not_found(&key))?.user;
                terms.hold(user.revision)?;
                tx.delete_bindings_of(ActorKind::User, id).await?;
                tx.delete_user(id).await?;
                keep_an_owner(&mut tx).await?;
                Ok(tx.audit(record.deleted(what(&user), PLATFORM_PROJECT, &user)).await?)
            })
        })
        .await
    }

    /// Ends all sessions of a user: its access and refresh tokens are refused from now on.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`.
    pub async fn revoke_sessions(&self, allowed: &Allowed, key: &str) -> Result<(), Error> {
        expect(allowed, &USERS, Action::Update)?;
        let user = self.visible_user(allowed, key).await?.user;
        if !is_own(allowed, user.id) {
            allowed.in_project(PLATFORM_PROJECT)?;
        }
        let record = Record::by(allowed.context(), "iam.sessions.revoke".into());
        self.change("revoke sessions", move |mut tx| {
            Box::pin(async move {
                tx.revoke_sessions_of(user.id, None, now()).await?;
                Ok(tx.audit(record.line(OK, what(&user), Some(PLATFORM_PROJECT), None)).await?)
            })
        })
        .await
    }

    /// Whether it is the user's password; wrong ones count as failed logins do.
    async fn check_password(&self, row: &UserRow, password: &str) -> Result<(), Error> {
        let turn = self.passwords.turn().await?;
        let now = now();
        let locked_until = self.store().user(row.user.id).await?.and_then(|row| row.locked_until);
        if let Some(until) = locked_until.filter(|until| *until > now) {
            return Err(locked(until, now));
        }
        let (fits, turn) = turn.fits(password, row.password_hash.clone()).await?;
        if fits {
            return Ok(());
        }
        self.count_failure(row.user.id, turn);
        Err(Error::invalid_at("/old_password", "INVALID_VALUE", "this is not your password"))
    }

    /// Whether the caller may get hold of what somebody shows: only who has all that the other has.
    pub(super) async fn may_become(
        &self,
        registry: &Registry,
        allowed: &Allowed,
        kind: ActorKind,
        id: Uuid,
    ) -> Result<(), Error> {
        for grant in self.store().grants(kind, id).await? {
            may_give(registry, &allowed.context().actor.grants, grant.project, &grant.given)?;
        }
        Ok(())
    }

    async fn visible_user(&self, allowed: &Allowed, key: &str) -> Result<UserRow, Error> {
        let row = self.user_of(key).await?;
        let sees = |row: &UserRow| allowed.sees().contains(PLATFORM_PROJECT) || is_own(allowed, row.user.id);
        row.filter(sees).ok_or_else(|| not_found(key))
    }

    /// The user of that id or name, whoever asks.
    async fn user_of(&self, key: &str) -> Result<Option<UserRow>, StoreError> {
        match key.parse() {
            Ok(id) => self.store().user(id).await,
            Err(_) if is_user_name(key) => self.store().user_named(key).await,
            Err(_) => Ok(None),
        }
    }
}

fn is_own(allowed: &Allowed, user: Uuid) -> bool {
    let actor = &allowed.context().actor;
    actor.kind == ActorKind::User && actor.id == user
}

fn new_password(body: &mut Body<'_>, user_name: &str) -> Option<String> {
    let password = body.text("password")?;
    if let Some((code, detail)) = weakness(password, user_name) {
        body.problem("password", code, detail);
    }
    Some(password.into())
}

/// Issuer and subject.
fn identity(body: &mut Body<'_>) -> Option<(String, String)> {
    if !body.has("identity") {
        return None;
    }
    let mut part = body.object("identity", "/identity", &["issuer", "subject"])?;
    let identity = (part.required_text("issuer").to_owned(), part.required_text("subject").to_owned());
    body.take(part);
    Some(identity)
}

fn what(user: &User) -> String {
    format!("users/{}", user.name)
}

fn not_found(key: &str) -> Error {
    Error::not_found(format_args!("user {key}"))
}
