//! "May I" and "who am I", and the roles there are.

use serde::Serialize;
use uuid::Uuid;

use super::{Iam, Membership, ROLES, TYPES};
use crate::authz::policy::least_role;
use crate::descriptor::{Action, Scope, TypeDescriptor};
use crate::error::Error;
use crate::registry::Registry;
use crate::request::Actor;
use crate::role::{PLATFORM_PROJECT, Role};

/// Whether the caller may do something, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckAnswer {
    /// Whether.
    pub allowed: bool,
    /// Why, for people.
    pub reason: String,
}

/// Who the caller is.
#[derive(Clone, Debug, Serialize)]
pub struct Whoami {
    /// `user` or `service_account`.
    pub kind: &'static str,
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The role that holds in every project.
    pub platform_role: Option<&'static str>,
    /// Roles by project, in the order of their names.
    pub bindings: Vec<Membership>,
}

/// A role that bindings can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RoleEntry {
    /// What bindings call it.
    pub name: &'static str,
    /// What it may do.
    pub description: &'static str,
}

/// The roles that exist everywhere, least first. Everybody may see them.
pub fn roles() -> Vec<RoleEntry> {
    let description = |role| match role {
        Role::Viewer => "sees everything but secrets",
        Role::Operator => "sees, updates fields that are not reserved for owners, runs actions",
        Role::Owner => "does everything, and gives roles to others",
    };
    Role::ALL
        .into_iter()
        .map(|role| RoleEntry { name: role.as_str(), description: description(role) })
        .collect()
}

/// Whether `actor` has `permission` (`<slug>.<plural>.<action>` or `<slug>.<plural>.field:<name>`) in `project`;
/// without a project, in the platform.
///
/// # Errors
/// `InvalidRequest` for a permission that does not exist, with those that do.
pub fn check(
    registry: &Registry,
    actor: &Actor,
    permission: &str,
    project: Option<Uuid>,
) -> Result<CheckAnswer, Error> {
    let (ty, least) = least_role_for(registry, permission)?;
    if std::ptr::eq(ty, &ROLES) && least == Role::Viewer {
        return Ok(CheckAnswer { allowed: true, reason: "everybody may".into() });
    }
    let makes_project = permission == "iam.projects.create";
    let is_platform = ty.scope == Scope::Platform || makes_project || project.is_none();
    let project = project.filter(|_| !is_platform).unwrap_or(PLATFORM_PROJECT);
    let place = if is_platform { "on the platform" } else { "in this project" };
    let (allowed, reason) = match actor.grants.role_in(project) {
        Some(role) if role >= least => (true, format!("you are {} {place}", role.as_str())),
        Some(role) => (false, format!("this takes {}; you are {} {place}", least.as_str(), role.as_str())),
        None => (false, format!("this takes {}; you have no role {place}", least.as_str())),
    };
    Ok(CheckAnswer { allowed, reason })
}

fn least_role_for(registry: &Registry, permission: &str) -> Result<(&'static TypeDescriptor, Role), Error> {
    let mut parts = permission.splitn(3, '.');
    let (slug, plural, verb) = (parts.next(), parts.next(), parts.next());
    let types = || TYPES.into_iter().chain(registry.types().iter().map(|registered| registered.ty));
    let Some(ty) = types().find(|ty| Some(ty.slug) == slug && Some(ty.plural) == plural) else {
        let known: Vec<String> = types().map(|ty| format!("{}.{}", ty.slug, ty.plural)).collect();
        return Err(unknown(format!("expected <type>.<action>, with a type of {}", known.join(", "))));
    };
    let declared = registry.of(ty).map(|registered| registered.actions.clone()).unwrap_or_default();
    let actions: Vec<Action> =
        Action::STANDARD.into_iter().chain(declared.into_iter().map(Action::Custom)).collect();
    let verb = verb.unwrap_or_default();
    if let Some(action) = actions.iter().find(|action| action.as_str() == verb) {
        return Ok((ty, least_role(ty, *action)));
    }
    let mut fields = ty.fields.iter().filter(|field| !field.output);
    if let Some(name) = verb.strip_prefix("field:")
        && let Some(field) = fields.clone().find(|field| field.name == name)
    {
        let action = if field.is_mutable() { Action::Update } else { Action::Create };
        return Ok((ty, least_role(ty, action).max(field.iam.unwrap_or(Role::Viewer))));
    }
    let known = actions.iter().map(|action| action.as_str().to_owned());
    let known: Vec<String> =
        known.chain(fields.by_ref().map(|field| format!("field:{}", field.name))).collect();
    Err(unknown(format!("{}.{} has {}", ty.slug, ty.plural, known.join(", "))))
}

fn unknown(detail: String) -> Error {
    Error::invalid_at("/permission", "UNKNOWN_PERMISSION", detail)
}

impl Iam {
    /// Who `actor` is and which roles it has.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn whoami(&self, actor: &Actor) -> Result<Whoami, Error> {
        Ok(Whoami {
            kind: actor.kind.as_str(),
            id: actor.id,
            name: actor.name.to_string(),
            platform_role: actor.grants.platform_role().map(Role::as_str),
            bindings: self.store().memberships(actor.kind, actor.id).await?,
        })
    }
}
