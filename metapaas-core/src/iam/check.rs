//! "May I" and "who am I".

use serde::Serialize;
use uuid::Uuid;

use super::permissions::{Permission, all, nearest};
use super::{Iam, Membership, PROJECTS};
use crate::authn::Identified;
use crate::descriptor::{Action, Scope};
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
    /// The built-in role that holds in every project.
    pub platform_role: Option<&'static str>,
    /// Somebody else chose the password: nothing else may be done before it is changed.
    pub must_change_password: bool,
    /// Roles by project, in the order of their names.
    pub bindings: Vec<Membership>,
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
    let permission = find(registry, permission)?;
    let least = permission.least_role();
    if is_everybodys(&permission, project) {
        return Ok(CheckAnswer { allowed: true, reason: "everybody may".into() });
    }
    let (project, place) = place(&permission, project);
    let grants = &actor.grants;
    let allowed = permission.needs().iter().all(|need| need.is_in(grants, project));
    let has = match (grants.role_in(project), grants.patterns_in(project).next().is_some()) {
        (Some(role), _) => format!("you are {} {place}", role.as_str()),
        (None, true) => format!("you have only roles without it {place}"),
        (None, false) => format!("you have no role {place}"),
    };
    let reason = match (allowed, grants.role_in(project)) {
        (true, Some(role)) if role >= least => format!("you are {} {place}", role.as_str()),
        (true, _) => format!("a role of yours {place} gives it"),
        (false, _) => format!("this takes {}; {has}", least.as_str()),
    };
    Ok(CheckAnswer { allowed, reason })
}

/// The permission of that name.
///
/// # Errors
/// `InvalidRequest` with those that there are.
pub(super) fn find(registry: &Registry, name: &str) -> Result<Permission, Error> {
    let all = all(registry);
    if let Some(found) = all.iter().find(|permission| permission.name() == name) {
        return Ok(*found);
    }
    let near = nearest(&all, name);
    let mut parts = name.splitn(3, '.');
    let (slug, plural) = (parts.next(), parts.next());
    let beside: Vec<String> = all
        .iter()
        .filter(|other| Some(other.ty.slug) == slug && Some(other.ty.plural) == plural)
        .filter_map(|other| other.name().splitn(3, '.').nth(2).map(ToOwned::to_owned))
        .collect();
    let detail = if beside.is_empty() {
        let mut types: Vec<String> =
            all.iter().map(|other| format!("{}.{}", other.ty.slug, other.ty.plural)).collect();
        types.dedup();
        format!("expected <type>.<action>, with a type of {}; the nearest are {near}", types.join(", "))
    } else {
        let types = format!("{}.{}", slug.unwrap_or_default(), plural.unwrap_or_default());
        format!("{types} has {}; the nearest are {near}", beside.join(", "))
    };
    Err(Error::invalid_at("/permission", "UNKNOWN_PERMISSION", detail))
}

/// The roles that can be given everywhere are no secret.
pub(super) fn is_everybodys(permission: &Permission, project: Option<Uuid>) -> bool {
    let name = permission.name();
    project.is_none_or(|project| project == PLATFORM_PROJECT)
        && ["iam.roles.list", "iam.roles.read"].contains(&name.as_str())
}

/// The project where the permission counts, and words for it.
pub(super) fn place(permission: &Permission, project: Option<Uuid>) -> (Uuid, &'static str) {
    let makes_project = permission.name() == PROJECTS.permission(Action::Create);
    let is_platform = permission.ty.scope == Scope::Platform || makes_project;
    match project.filter(|project| !is_platform && *project != PLATFORM_PROJECT) {
        Some(project) => (project, "in this project"),
        None => (PLATFORM_PROJECT, "on the platform"),
    }
}

impl Iam {
    /// Who somebody is and which roles it has.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn whoami(&self, who: &Identified) -> Result<Whoami, Error> {
        let actor = &who.actor;
        Ok(Whoami {
            must_change_password: who.must_change_password,
            kind: actor.kind.as_str(),
            id: actor.id,
            name: actor.name.to_string(),
            platform_role: actor.grants.platform_role().map(Role::as_str),
            bindings: self.store().memberships(actor.kind, actor.id).await?,
        })
    }
}
