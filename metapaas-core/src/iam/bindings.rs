//! Bindings: owners of a project give roles in it. A binding in the platform project holds everywhere.

use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use super::body::{Body, is_user_name};
use super::permissions::may_give;
use super::record::Record;
use super::roles::resolve;
use super::{
    BINDINGS, Binding, Iam, Listed, PageAt, Principal, UNCHANGING, expect, in_project, keep_an_owner,
};
use crate::authz::{Allowed, Projects};
use crate::descriptor::Action;
use crate::error::{Error, ErrorCode};
use crate::field_type::is_dns_name;
use crate::registry::Registry;
use crate::request::ActorKind;
use crate::role::{PLATFORM_PROJECT, Role};
use crate::store::StoreError;
use crate::store::iam::IamTx;
use crate::store::iam::service_accounts::ServiceAccount;
use crate::store::resources::now;

/// How a request names who gets the role.
#[derive(Clone, Debug)]
struct Wanted {
    kind: ActorKind,
    id: Option<Uuid>,
    name: String,
}

impl Iam {
    /// Gives a role. Body: `project_id`, `role` (name or id), and `principal` with `kind` (user or service_account) and `id` or
    /// `name`; the name of a service account is looked up in the binding's project.
    ///
    /// # Errors
    /// `NotFound` for a project that the caller may not see, `Forbidden` also for a role that gives what the caller
    /// does not have there, `InvalidRequest`, `NameTaken` with the `id` of the binding that exists.
    pub async fn create_binding(
        &self,
        registry: &Arc<Registry>,
        allowed: &Allowed,
        body: &Value,
    ) -> Result<Binding, Error> {
        expect(allowed, &BINDINGS, Action::Create)?;
        let mut body = Body::of(body, &["project_id", "principal", "role"])?;
        let project_id = body.required_id("project_id");
        let role = body.required_text("role").to_owned();
        let wanted = wanted(&mut body);
        body.finish()?;
        in_project(allowed, project_id)?;
        let sees = allowed.sees().clone();
        let (registry, record) = (Arc::clone(registry), Record::of(allowed));
        let grants = Arc::clone(&allowed.context().actor.grants);
        self.make("make a binding", move |mut tx| {
            Box::pin(async move {
                if tx.project(project_id).await?.is_none() {
                    return Err(Error::not_found(format_args!("project {project_id}")));
                }
                let principal = principal(&mut tx, &wanted, project_id, &sees).await?;
                let (role, role_id, given) =
                    resolve(&mut tx, &role, project_id).await?.ok_or_else(|| no_role(&role))?;
                may_give(&registry, &grants, project_id, &given)?;
                let binding =
                    Binding { id: Uuid::now_v7(), project_id, principal, role, role_id, created_at: now() };
                if let Some(other) = tx.binding_like(&binding).await? {
                    let text =
                        format!("{} has the role {} there already", binding.principal.name, binding.role);
                    return Err(Error::new(ErrorCode::NameTaken, text).with("id", other.id.to_string()));
                }
                tx.insert_binding(&binding).await?;
                tx.audit(record.created(what(&binding), project_id, &binding)).await?;
                Ok(binding)
            })
        })
        .await
    }

    /// A page of the bindings of one project, or of all that the caller may see.
    ///
    /// # Errors
    /// `NotFound` for a project that the caller may not see.
    pub async fn list_bindings(
        &self,
        allowed: &Allowed,
        project: Option<Uuid>,
        page: PageAt,
    ) -> Result<Listed<Binding>, Error> {
        expect(allowed, &BINDINGS, Action::List)?;
        if let Some(project) = project {
            in_project(allowed, project)?;
        }
        Ok(self.store().bindings(allowed.sees(), project, page).await?)
    }

    /// The binding of that id.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn get_binding(&self, allowed: &Allowed, id: Uuid) -> Result<Binding, Error> {
        expect(allowed, &BINDINGS, Action::Read)?;
        self.permitted_binding(allowed, id).await
    }

    /// Takes a role away, at once.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `InvalidState` when no owner of the platform would be left.
    pub async fn delete_binding(&self, allowed: &Allowed, id: Uuid) -> Result<(), Error> {
        expect(allowed, &BINDINGS, Action::Delete)?;
        let binding = self.permitted_binding(allowed, id).await?;
        let (record, terms) = (Record::of(allowed), self.terms.clone());
        self.change("delete a binding", move |mut tx| {
            Box::pin(async move {
                terms.hold(UNCHANGING)?;
                if tx.delete_binding(id).await? == 0 {
                    return Err(not_found(id));
                }
                // Others may be removed even while the platform has no owner who can log in.
                if binding.project_id == PLATFORM_PROJECT && binding.role == Role::Owner.as_str() {
                    keep_an_owner(&mut tx).await?;
                }
                Ok(tx.audit(record.deleted(what(&binding), binding.project_id, &binding)).await?)
            })
        })
        .await
    }

    async fn permitted_binding(&self, allowed: &Allowed, id: Uuid) -> Result<Binding, Error> {
        let binding = self.store().binding(id).await?.ok_or_else(|| not_found(id))?;
        if !allowed.sees().contains(binding.project_id) {
            return Err(not_found(id));
        }
        allowed.in_project(binding.project_id)?;
        Ok(binding)
    }
}

fn not_found(id: Uuid) -> Error {
    Error::not_found(format_args!("binding {id}"))
}

fn what(binding: &Binding) -> String {
    format!("bindings/{}", binding.id)
}

fn no_role(name: &str) -> Error {
    let text = format!(
        "there is no role {name:?} here; there are owner, operator, viewer, and those of the project and of the \
         platform, see GET /v1/iam/roles?project_id="
    );
    Error::invalid_at("/role", "INVALID_REFERENCE", text)
}

fn wanted(body: &mut Body<'_>) -> Wanted {
    let mut wanted = Wanted { kind: ActorKind::User, id: None, name: String::new() };
    let Some(mut part) = body.object("principal", "/principal", &["kind", "id", "name"]) else {
        return wanted;
    };
    match part.required_text("kind") {
        "" | "user" => {}
        "service_account" => wanted.kind = ActorKind::ServiceAccount,
        _ => part.problem("kind", "INVALID_VALUE", "expected user or service_account"),
    }
    wanted.id = part.id("id");
    wanted.name = part.text("name").unwrap_or_default().into();
    if wanted.id.is_none() && wanted.name.is_empty() {
        part.problem("id", "REQUIRED", "give the id or the name");
    }
    body.take(part);
    wanted
}

async fn principal(
    tx: &mut IamTx<'_>,
    wanted: &Wanted,
    project: Uuid,
    sees: &Projects,
) -> Result<Principal, Error> {
    let kind = wanted.kind.as_str();
    let found = match wanted.kind {
        ActorKind::ServiceAccount => {
            let account = service_account(tx, wanted, project).await?;
            let account =
                account.filter(|found| found.project_id == project || sees.contains(found.project_id));
            // Its project's owners can make tokens for it and would own the platform with them.
            if project == PLATFORM_PROJECT
                && account.as_ref().is_some_and(|found| found.project_id != PLATFORM_PROJECT)
            {
                let detail = "only service accounts of the platform project may have a role there";
                return Err(Error::invalid_at("/principal", "INVALID_REFERENCE", detail));
            }
            account.map(|account| Principal { kind, id: account.id, name: account.name })
        }
        _ => {
            let row = match wanted.id {
                Some(id) => tx.user(id).await?,
                None if is_user_name(&wanted.name) => tx.user_named(&wanted.name).await?,
                None => None,
            };
            row.map(|row| Principal { kind, id: row.user.id, name: row.user.name })
        }
    };
    // Given both, they must be of the same.
    let fits = |principal: &Principal| wanted.name.is_empty() || principal.name == wanted.name;
    found.filter(fits).ok_or_else(|| {
        let what = if wanted.kind == ActorKind::User { "user" } else { "service account" };
        Error::invalid_at("/principal", "INVALID_REFERENCE", format!("there is no such {what}"))
    })
}

async fn service_account(
    tx: &mut IamTx<'_>,
    wanted: &Wanted,
    project: Uuid,
) -> Result<Option<ServiceAccount>, StoreError> {
    match wanted.id {
        Some(id) => tx.service_account(id).await,
        None if is_dns_name(&wanted.name) => tx.service_account_named(&wanted.name, project).await,
        None => Ok(None),
    }
}
