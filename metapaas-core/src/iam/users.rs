//! Users: made by owners of the platform; everybody may change the own password.

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::body::{Body, is_user_name};
use super::password::weakness;
use super::{Iam, Listed, PageAt, USERS, User, expect, keep_an_owner};
use crate::authz::Allowed;
use crate::descriptor::Action;
use crate::error::{Error, ErrorCode};
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
    /// Makes a user. Body: `name`, and optionally `password`, `email`, `disabled`.
    ///
    /// # Errors
    /// `Forbidden`, `InvalidRequest`, `NameTaken` with the `id` that has the name.
    pub async fn create_user(&self, allowed: &Allowed, body: &Value) -> Result<CreatedUser, Error> {
        expect(allowed, &USERS, Action::Create)?;
        allowed.in_project(PLATFORM_PROJECT)?;
        let mut body = Body::of(body, &["name", "password", "email", "disabled"])?;
        let name = body.required_text("name").to_owned();
        if !name.is_empty() && !is_user_name(&name) {
            let detail = "expected 1 to 63 lower-case letters, digits and . _ @ -, starting with a letter, and no UUID";
            body.problem("name", "INVALID_NAME", detail);
        }
        let given = new_password(&mut body, &name);
        let email = body.email().flatten();
        let disabled = body.flag("disabled").unwrap_or_default();
        body.finish()?;

        let generated = given.is_none().then(|| random_text(GENERATED_LENGTH));
        let password_hash =
            self.passwords.hash(given.as_deref().or(generated.as_deref()).unwrap_or_default()).await?;
        let now = now();
        let user =
            User { id: Uuid::now_v7(), name, email, disabled, created_at: now, updated_at: now, revision: 1 };
        let row =
            UserRow { user: user.clone(), password_hash: Some(password_hash), must_change_password: true };
        let made = self
            .change("make a user", move |mut tx| Box::pin(async move { Ok(tx.insert_user(&row).await?) }))
            .await;
        match made {
            Err(error) if error.code == ErrorCode::NameTaken => {
                let other = self.store().user_named(&user.name).await?.map(|row| row.user.id.to_string());
                Err(error.with("id", other))
            }
            made => made.map(|()| CreatedUser { user, password: generated }),
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

    /// Changes `email`, `disabled` or `password` (merge patch). A new password or `disabled` ends the user's
    /// sessions. Everybody may change the own password, giving the `old_password` too.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `InvalidRequest`, `InvalidState` when no owner of the platform would be left.
    pub async fn update_user(&self, allowed: &Allowed, key: &str, body: &Value) -> Result<User, Error> {
        expect(allowed, &USERS, Action::Update)?;
        let current = self.visible_user(allowed, key).await?;
        let is_own = is_own(allowed, current.user.id);
        let mut body = Body::of(body, &["name", "password", "old_password", "email", "disabled"])?;
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
        body.finish()?;
        if !is_own || email.is_some() || disabled.is_some() {
            allowed.in_project(PLATFORM_PROJECT)?;
        }
        let old_hash = current.password_hash;
        if let Some(old) = old_password
            && !self.passwords.fits(&old, old_hash.clone()).await?
        {
            return Err(Error::invalid_at("/old_password", "INVALID_VALUE", "this is not your password"));
        }
        let password_hash = match &password {
            Some(password) => Some(self.passwords.hash(password).await?),
            None => None,
        };
        let id = current.user.id;
        self.change("change a user", move |mut tx| {
            Box::pin(async move {
                let mut row = tx.user(id).await?.ok_or_else(|| not_found(&id.to_string()))?;
                let now = now();
                let ends_sessions = password_hash.is_some() || disabled == Some(true);
                if password_hash.is_some() {
                    if is_own && row.password_hash != old_hash {
                        let text = "the password was changed a moment ago; log in again";
                        return Err(Error::new(ErrorCode::InvalidState, text));
                    }
                    row.password_hash = password_hash;
                    row.must_change_password = !is_own;
                }
                if let Some(email) = email {
                    row.user.email = email;
                }
                row.user.disabled = disabled.unwrap_or(row.user.disabled);
                row.user.updated_at = now;
                row.user.revision += 1;
                tx.update_user(&row).await?;
                if ends_sessions {
                    tx.revoke_sessions_of(id, now).await?;
                }
                if disabled == Some(true) {
                    keep_an_owner(&mut tx).await?;
                }
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
        let id = self.visible_user(allowed, key).await?.user.id;
        allowed.in_project(PLATFORM_PROJECT)?;
        let key = key.to_owned();
        self.change("delete a user", move |mut tx| {
            Box::pin(async move {
                tx.delete_bindings_of(ActorKind::User, id).await?;
                if tx.delete_user(id).await? == 0 {
                    return Err(not_found(&key));
                }
                keep_an_owner(&mut tx).await
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
        let id = self.visible_user(allowed, key).await?.user.id;
        if !is_own(allowed, id) {
            allowed.in_project(PLATFORM_PROJECT)?;
        }
        self.change("revoke sessions", move |mut tx| {
            Box::pin(async move { Ok(tx.revoke_sessions_of(id, now()).await?) })
        })
        .await
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

fn not_found(key: &str) -> Error {
    Error::not_found(format_args!("user {key}"))
}
