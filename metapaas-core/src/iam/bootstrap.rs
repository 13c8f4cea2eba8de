//! [`bootstrap`]: the first start of an installation makes the first administrator.

use serde::Serialize;
use uuid::Uuid;
use zeroize::Zeroize;

use super::password::hash;
use super::projects::new_project;
use super::service_accounts::new_service_account;
use super::{Binding, Principal, ServiceToken, User};
use crate::authn::{digest, new_service_token};
use crate::error::Error;
use crate::request::ActorKind;
use crate::role::{PLATFORM_PROJECT, Role};
use crate::secret::random_text;
use crate::store::Database;
use crate::store::iam::users::UserRow;
use crate::store::iam::{IamStore, IamTx};
use crate::store::resources::now;

/// The service account that the command line on the control plane's own machine uses.
pub const LOCAL_ACCOUNT: &str = "local-cli";
const ADMIN: &str = "admin";

/// Secrets of the first start. They exist nowhere else in the open.
#[derive(Clone, Serialize)]
pub struct Bootstrap {
    /// The first owner of the platform.
    pub user: String,
    /// Its password.
    pub password: String,
    /// A service token that owns the platform.
    pub token: String,
}

impl std::fmt::Debug for Bootstrap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bootstrap").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Drop for Bootstrap {
    fn drop(&mut self) {
        self.password.zeroize();
        self.token.zeroize();
    }
}

/// Makes, on the first start only, the platform project, the user `admin` and the service account `local-cli` as
/// owners of it, and the project `default`. `None` when that has happened before.
///
/// `keep` gets the secrets before the commit, so that a crash never leaves an administrator whose password nobody
/// has: when it fails, nothing was made. Of control planes that start at once only one runs it to the end; it blocks
/// the transaction, so it should do no more than write a file.
///
/// # Errors
/// What `keep` answers, `Unavailable`.
pub async fn bootstrap(
    database: &Database,
    keep: impl FnOnce(&Bootstrap) -> Result<(), Error> + Send + 'static,
) -> Result<Option<Bootstrap>, Error> {
    let store = IamStore::new(database.clone());
    if store.project(PLATFORM_PROJECT).await?.is_some() {
        return Ok(None);
    }
    let secrets = Bootstrap { user: ADMIN.into(), password: random_text(24), token: new_service_token() };
    let password = secrets.password.clone();
    let password_hash =
        tokio::task::spawn_blocking(move || hash(&password)).await.map_err(Error::internal)??;
    store
        .change("make the first administrator", move |mut tx| {
            Box::pin(async move {
                let text = "A role here holds in every project.".to_owned();
                if !tx.insert_project_if_absent(&new_project(PLATFORM_PROJECT, "platform", text)).await? {
                    return Ok(None);
                }
                fill(&mut tx, &secrets, password_hash).await?;
                keep(&secrets)?;
                Ok(Some(secrets))
            })
        })
        .await
}

async fn fill(tx: &mut IamTx<'_>, secrets: &Bootstrap, password_hash: String) -> Result<(), Error> {
    let now = now();
    tx.insert_project(&new_project(Uuid::now_v7(), "default", String::new())).await?;
    let user = User {
        id: Uuid::now_v7(),
        name: ADMIN.into(),
        email: None,
        disabled: false,
        must_change_password: false,
        created_at: now,
        updated_at: now,
        revision: 1,
    };
    let account = new_service_account(
        PLATFORM_PROJECT,
        LOCAL_ACCOUNT,
        "Used by the command line on the control plane's own machine.".into(),
    );
    let token = ServiceToken {
        id: Uuid::now_v7(),
        service_account_id: account.id,
        description: "Made at the first start.".into(),
        created_at: now,
        expires_at: None,
        last_used_at: None,
    };
    for (kind, id, name) in
        [(ActorKind::User, user.id, &user.name), (ActorKind::ServiceAccount, account.id, &account.name)]
    {
        let binding = Binding {
            id: Uuid::now_v7(),
            project_id: PLATFORM_PROJECT,
            principal: Principal { kind: kind.as_str(), id, name: name.clone() },
            role: Role::Owner.as_str().into(),
            role_id: None,
            created_at: now,
        };
        tx.insert_binding(&binding).await?;
    }
    tx.insert_user(&UserRow::new(user, Some(password_hash))).await?;
    tx.insert_service_account(&account).await?;
    Ok(tx.insert_service_token(&token, &digest(&secrets.token)).await?)
}
