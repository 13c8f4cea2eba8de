//! Service accounts of a project, and their tokens.

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::body::Body;
use super::record::{OK, Record};
use super::{
    Iam, Listed, PageAt, SERVICE_ACCOUNTS, ServiceAccount, ServiceToken, TOKENS, UNCHANGING, expect,
    in_project,
};
use crate::authn::{digest, new_service_token};
use crate::authz::Allowed;
use crate::descriptor::Action;
use crate::error::{Error, ErrorCode};
use crate::field_type::is_dns_name;
use crate::registry::Registry;
use crate::request::ActorKind;
use crate::resource::rfc3339;
use crate::role::Role;
use crate::store::StoreError;
use crate::store::resources::now;

/// A new token with its secret, which cannot be shown again.
#[derive(Clone, Debug, Serialize)]
pub struct CreatedToken {
    /// What is kept of it.
    #[serde(flatten)]
    pub info: ServiceToken,
    /// The secret; empty in the answer to a dry run, which makes none.
    pub token: String,
}

impl Iam {
    /// Makes a service account. Body: `project_id`, `name`, and optionally `description`, `disabled`. It may do
    /// nothing until a binding gives it a role.
    ///
    /// # Errors
    /// `NotFound` for a project that the caller may not see, `Forbidden`, `InvalidRequest`, `NameTaken`.
    pub async fn create_service_account(
        &self,
        allowed: &Allowed,
        body: &Value,
    ) -> Result<ServiceAccount, Error> {
        expect(allowed, &SERVICE_ACCOUNTS, Action::Create)?;
        let mut body = Body::of(body, &["project_id", "name", "description", "disabled"])?;
        let project_id = body.required_id("project_id");
        let name = body.name();
        let description = body.description().unwrap_or_default();
        let disabled = body.flag("disabled").unwrap_or_default();
        body.finish()?;
        in_project(allowed, project_id)?;
        let account = ServiceAccount { disabled, ..new_service_account(project_id, &name, description) };
        let record = Record::of(allowed);
        self.make("make a service account", move |mut tx| {
            Box::pin(async move {
                if let Some(other) = tx.service_account_named(&name, project_id).await? {
                    let text = format!("the project has a service account {name} already");
                    return Err(Error::new(ErrorCode::NameTaken, text).with("id", other.id.to_string()));
                }
                match tx.insert_service_account(&account).await {
                    Ok(()) => {
                        tx.audit(record.created(what(&account), project_id, &account)).await?;
                        Ok(account)
                    }
                    Err(StoreError::Reference { .. }) => {
                        Err(Error::not_found(format_args!("project {project_id}")))
                    }
                    Err(error) => Err(error.into()),
                }
            })
        })
        .await
    }

    /// A page of the service accounts of one project, or of all that the caller may see.
    ///
    /// # Errors
    /// `NotFound` for a project that the caller may not see.
    pub async fn list_service_accounts(
        &self,
        allowed: &Allowed,
        project: Option<Uuid>,
        page: PageAt,
    ) -> Result<Listed<ServiceAccount>, Error> {
        expect(allowed, &SERVICE_ACCOUNTS, Action::List)?;
        if let Some(project) = project {
            in_project(allowed, project)?;
        }
        Ok(self.store().service_accounts(allowed.sees(), project, None, page).await?)
    }

    /// The service account of that id, or of that name in `project` or in all that the caller may see.
    ///
    /// # Errors
    /// `NotFound`, `AmbiguousName` when several projects have the name.
    pub async fn get_service_account(
        &self,
        allowed: &Allowed,
        key: &str,
        project: Option<Uuid>,
    ) -> Result<ServiceAccount, Error> {
        expect(allowed, &SERVICE_ACCOUNTS, Action::Read)?;
        self.permitted_account(allowed, key, project).await
    }

    /// Changes `description` or `disabled` (merge patch).
    ///
    /// # Errors
    /// As [`Self::get_service_account`], `Forbidden`, `InvalidRequest`.
    pub async fn update_service_account(
        &self,
        allowed: &Allowed,
        key: &str,
        project: Option<Uuid>,
        body: &Value,
    ) -> Result<ServiceAccount, Error> {
        expect(allowed, &SERVICE_ACCOUNTS, Action::Update)?;
        let current = self.permitted_account(allowed, key, project).await?;
        let mut body = Body::of(body, &["project_id", "name", "description", "disabled"])?;
        body.unchanged("project_id", &current.project_id.to_string());
        body.unchanged("name", &current.name);
        let description = body.description();
        let disabled = body.flag("disabled");
        body.finish()?;
        let (record, terms) = (Record::of(allowed), self.terms.clone());
        self.make("change a service account", move |mut tx| {
            Box::pin(async move {
                let missing = || not_found(&current.name);
                let mut account = tx.service_account(current.id).await?.ok_or_else(missing)?;
                terms.hold(account.revision)?;
                let before = account.clone();
                account.description = description.unwrap_or(account.description);
                account.disabled = disabled.unwrap_or(account.disabled);
                account.updated_at = now();
                account.revision += 1;
                tx.update_service_account(&account).await?;
                tx.audit(record.changed(what(&account), account.project_id, &before, &account)).await?;
                Ok(account)
            })
        })
        .await
    }

    /// Removes a service account with its bindings and tokens.
    ///
    /// # Errors
    /// As [`Self::get_service_account`], `Forbidden`.
    pub async fn delete_service_account(
        &self,
        allowed: &Allowed,
        key: &str,
        project: Option<Uuid>,
    ) -> Result<(), Error> {
        expect(allowed, &SERVICE_ACCOUNTS, Action::Delete)?;
        let account = self.permitted_account(allowed, key, project).await?;
        let (record, terms) = (Record::of(allowed), self.terms.clone());
        self.change("delete a service account", move |mut tx| {
            Box::pin(async move {
                let missing = || not_found(&account.name);
                let account = tx.service_account(account.id).await?.ok_or_else(missing)?;
                terms.hold(account.revision)?;
                tx.delete_bindings_of(ActorKind::ServiceAccount, account.id).await?;
                tx.delete_service_account(account.id).await?;
                Ok(tx.audit(record.deleted(what(&account), account.project_id, &account)).await?)
            })
        })
        .await
    }

    /// Makes a token for a service account. Body: optionally `description`, `expires_at`; the latest allowed one is
    /// taken when it is not given.
    ///
    /// # Errors
    /// As [`Self::get_service_account`], `Forbidden`, `InvalidRequest`.
    pub async fn create_token(
        &self,
        registry: &Registry,
        allowed: &Allowed,
        account: &str,
        project: Option<Uuid>,
        body: &Value,
    ) -> Result<CreatedToken, Error> {
        expect(allowed, &TOKENS, Action::Create)?;
        let account = self.permitted_account(allowed, account, project).await?;
        let mut body = Body::of(body, &["description", "expires_at"])?;
        let description = body.description().unwrap_or_default();
        let created_at = now();
        let latest = self.authenticator.settings().service_token_max.map(|max| created_at + max);
        let expires_at = body.future("expires_at", created_at).or(latest);
        if let (Some(latest), Some(end)) = (latest, expires_at)
            && end > latest
        {
            let detail =
                format!("service tokens of this installation last until {} at the most", rfc3339(latest));
            body.problem("expires_at", "OUT_OF_RANGE", detail);
        }
        body.finish()?;
        // Owners of its project answer for the account; whoever else makes tokens must not gain by them.
        if allowed.context().actor.grants.role_in(account.project_id) != Some(Role::Owner) {
            self.may_become(registry, allowed, ActorKind::ServiceAccount, account.id).await?;
        }
        let record = Record::of(allowed);
        let token = new_service_token();
        let info = ServiceToken {
            id: Uuid::now_v7(),
            service_account_id: account.id,
            description,
            created_at,
            expires_at,
            last_used_at: None,
        };
        let (token_digest, is_dry_run) = (digest(&token), self.terms.is_dry_run());
        let created = CreatedToken { info, token: if is_dry_run { String::new() } else { token } };
        self.make("make a service token", move |mut tx| {
            Box::pin(async move {
                match tx.insert_service_token(&created.info, &token_digest).await {
                    Ok(()) => {
                        let what = format!("{}/tokens/{}", what(&account), created.info.id);
                        tx.audit(record.created(what, account.project_id, &created.info)).await?;
                        Ok(created)
                    }
                    Err(StoreError::Reference { .. }) => Err(not_found(&account.name)),
                    Err(error) => Err(error.into()),
                }
            })
        })
        .await
    }

    /// A page of the tokens of a service account, without their secrets.
    ///
    /// # Errors
    /// As [`Self::get_service_account`].
    pub async fn list_tokens(
        &self,
        allowed: &Allowed,
        account: &str,
        project: Option<Uuid>,
        page: PageAt,
    ) -> Result<Listed<ServiceToken>, Error> {
        expect(allowed, &TOKENS, Action::List)?;
        let account = self.permitted_account(allowed, account, project).await?;
        Ok(self.store().service_tokens(account.id, page).await?)
    }

    /// Removes a token; it is refused from now on.
    ///
    /// # Errors
    /// As [`Self::get_service_account`], `Forbidden`.
    pub async fn delete_token(
        &self,
        allowed: &Allowed,
        account: &str,
        project: Option<Uuid>,
        token: Uuid,
    ) -> Result<(), Error> {
        expect(allowed, &TOKENS, Action::Delete)?;
        let account = self.permitted_account(allowed, account, project).await?;
        let (record, terms) = (Record::of(allowed), self.terms.clone());
        self.change("delete a service token", move |mut tx| {
            Box::pin(async move {
                terms.hold(UNCHANGING)?;
                match tx.delete_service_token(token, account.id).await? {
                    0 => Err(Error::not_found(format_args!("token {token}"))),
                    _ => {
                        let what = format!("{}/tokens/{token}", what(&account));
                        Ok(tx.audit(record.line(OK, what, Some(account.project_id), None)).await?)
                    }
                }
            })
        })
        .await
    }

    async fn permitted_account(
        &self,
        allowed: &Allowed,
        key: &str,
        project: Option<Uuid>,
    ) -> Result<ServiceAccount, Error> {
        let account = match key.parse() {
            Ok(id) => {
                let found = self.store().service_account(id).await?;
                found.filter(|found| project.is_none_or(|project| found.project_id == project))
            }
            Err(_) if is_dns_name(key) => {
                let page = PageAt::first(2);
                let found = self.store().service_accounts(allowed.sees(), project, Some(key), page).await?;
                if found.items.len() > 1 {
                    let text = format!(
                        "several projects have a service account {key}; say which project, or use the id"
                    );
                    return Err(Error::new(ErrorCode::AmbiguousName, text));
                }
                found.items.into_iter().next()
            }
            Err(_) => None,
        };
        let account = account.ok_or_else(|| not_found(key))?;
        if !allowed.sees().contains(account.project_id) {
            return Err(not_found(key));
        }
        allowed.in_project(account.project_id)?;
        Ok(account)
    }
}

pub(super) fn new_service_account(project_id: Uuid, name: &str, description: String) -> ServiceAccount {
    let now = now();
    ServiceAccount {
        id: Uuid::now_v7(),
        project_id,
        name: name.into(),
        description,
        disabled: false,
        created_at: now,
        updated_at: now,
        revision: 1,
    }
}

fn what(account: &ServiceAccount) -> String {
    format!("service-accounts/{}", account.name)
}

fn not_found(key: &str) -> Error {
    Error::not_found(format_args!("service account {key}"))
}
