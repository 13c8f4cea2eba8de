//! "Why may I, or why not": which binding gives a permission, or what is missing and who could give it.

use serde::Serialize;
use uuid::Uuid;

use super::body::is_user_name;
use super::check::{find, is_everybodys, place};
use super::permissions::Permission;
use super::{BINDINGS, Iam, PageAt, Principal, RoleEntry, in_project};
use crate::authz::{Allowed, Projects};
use crate::error::Error;
use crate::registry::Registry;
use crate::request::{ActorKind, Given, Grants};
use crate::role::{PLATFORM_PROJECT, Pattern, Role};
use crate::store::iam::bindings::Grant;

/// Roles and bindings beyond this are not looked at: an explanation must not cost more than a page.
const LOOKED_AT: u16 = 1000;
/// More people to ask are not named.
const NAMED: usize = 20;

/// Why somebody has a permission, or has not.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Whether they may.
    pub allowed: bool,
    /// Why, for people.
    pub reason: String,
    /// What was asked for.
    pub permission: String,
    /// Where it counts.
    pub project_id: Uuid,
    /// Who.
    pub principal: Principal,
    /// What gives it. A guarded field takes two permissions, which may come from two bindings.
    pub granted_by: Vec<GrantedBy>,
    /// Permissions that nothing gives.
    pub missing: Vec<String>,
    /// Roles that would give all that is missing, those that are built in by the least.
    pub roles: Vec<String>,
    /// Who could give such a role there; only for callers who may list bindings there.
    pub who_can_grant: Vec<Principal>,
}

/// What gives a permission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantedBy {
    /// The permission.
    pub permission: String,
    /// The binding; none for a role that a group of an OIDC issuer has.
    pub binding_id: Option<Uuid>,
    /// Where the binding is; the platform project's hold everywhere.
    pub project_id: Option<Uuid>,
    /// The role that it gives.
    pub role: Option<String>,
    /// The pattern of the role that fits; none when the role is built in.
    pub pattern: Option<String>,
}

/// Whom a question is about.
#[derive(Clone, Debug)]
pub struct Whom {
    /// User or service account.
    pub kind: ActorKind,
    /// Id or name.
    pub key: String,
}

impl Iam {
    /// Explains whether the caller, or `whom`, has `permission` in `project`; without a project, on the platform.
    /// `allowed` is for listing bindings.
    ///
    /// # Errors
    /// `InvalidRequest` for a permission or principal that does not exist; `NotFound` and `Forbidden` for a question
    /// about somebody else where the caller may not list bindings.
    pub async fn explain(
        &self,
        registry: &Registry,
        allowed: &Allowed,
        permission: &str,
        project: Option<Uuid>,
        whom: Option<Whom>,
    ) -> Result<Explanation, Error> {
        let permission = find(registry, permission)?;
        let everybodys = is_everybodys(&permission, project);
        let (project, words) = place(&permission, project);
        let actor = &allowed.context().actor;
        let (principal, grants, bindings) = match whom {
            None => {
                let bindings = self.store().grants(actor.kind, actor.id).await?;
                let name = actor.name.to_string();
                let own = Principal { kind: actor.kind.as_str(), id: actor.id, name };
                (own, (*actor.grants).clone(), bindings)
            }
            Some(whom) => {
                in_project(allowed, project)?;
                let principal = self.principal_of(allowed, &whom, project).await?;
                let bindings = self.store().grants(whom.kind, principal.id).await?;
                let given = bindings.iter().map(|grant| (grant.project, grant.given.clone()));
                (principal, Grants::new(given), bindings)
            }
        };
        let needs = permission.needs();
        let missing: Vec<Permission> = if everybodys {
            Vec::new()
        } else {
            needs.iter().copied().filter(|need| !need.is_in(&grants, project)).collect()
        };
        let has: Vec<Permission> =
            needs.iter().copied().filter(|need| need.is_in(&grants, project)).collect();
        let granted_by = has.iter().flat_map(|need| sources(need, &bindings, project)).collect();
        let can_list = allowed.sees().contains(project) && allowed.in_project(project).is_ok();
        let roles = if missing.is_empty() {
            Vec::new()
        } else {
            self.roles_with(&missing, project, can_list).await?
        };
        let who_can_grant = match (missing.is_empty(), can_list) {
            (false, true) => self.who_can_grant(registry, project).await?,
            _ => Vec::new(),
        };
        let mut explanation = Explanation {
            allowed: missing.is_empty(),
            reason: String::new(),
            permission: permission.name(),
            project_id: project,
            principal,
            granted_by,
            missing: missing.iter().map(Permission::name).collect(),
            roles,
            who_can_grant,
        };
        explanation.reason =
            if everybodys { "allowed: everybody may".into() } else { reason(&explanation, &bindings, words) };
        Ok(explanation)
    }

    async fn principal_of(&self, allowed: &Allowed, whom: &Whom, project: Uuid) -> Result<Principal, Error> {
        let key = whom.key.as_str();
        let kind = whom.kind.as_str();
        let found = match whom.kind {
            ActorKind::ServiceAccount => {
                let account = match key.parse() {
                    Ok(id) => self.store().service_account(id).await?,
                    Err(_) => {
                        let within = Projects::Some([project].into());
                        let page = PageAt::first(1);
                        self.store().service_accounts(&within, None, Some(key), page).await?.items.pop()
                    }
                };
                let visible = account
                    .filter(|found| found.project_id == project || allowed.sees().contains(found.project_id));
                visible.map(|account| Principal { kind, id: account.id, name: account.name })
            }
            _ => {
                let row = match key.parse() {
                    Ok(id) => self.store().user(id).await?,
                    Err(_) if is_user_name(key) => self.store().user_named(key).await?,
                    Err(_) => None,
                };
                row.map(|row| Principal { kind, id: row.user.id, name: row.user.name })
            }
        };
        found.ok_or_else(|| {
            let what = if whom.kind == ActorKind::User { "user" } else { "service account" };
            Error::invalid_at("/principal", "INVALID_REFERENCE", format!("there is no such {what}"))
        })
    }

    /// Roles that give all of `missing` in `project`.
    async fn roles_with(
        &self,
        missing: &[Permission],
        project: Uuid,
        sees: bool,
    ) -> Result<Vec<String>, Error> {
        let built_in = Role::ALL.into_iter().find(|role| missing.iter().all(|need| need.is_of(*role)));
        let within = if sees { vec![project, PLATFORM_PROJECT] } else { vec![PLATFORM_PROJECT] };
        let page = PageAt::first(LOOKED_AT);
        let own = self.store().roles(&Projects::Some(within.into()), None, page).await?.items;
        let fits = |patterns: &[Pattern]| {
            missing.iter().all(|need| patterns.iter().any(|pattern| need.is_given_by(pattern)))
        };
        let own =
            own.into_iter().filter(|role| fits(&role.permissions)).map(|role| RoleEntry::from(role).name);
        Ok(built_in.map(|role| role.as_str().to_owned()).into_iter().chain(own).collect())
    }

    /// Principals who may make bindings in `project`.
    async fn who_can_grant(&self, registry: &Registry, project: Uuid) -> Result<Vec<Principal>, Error> {
        let binds = find(registry, &BINDINGS.permission(crate::descriptor::Action::Create))?;
        let page = PageAt::first(LOOKED_AT);
        let within = Projects::Some([project, PLATFORM_PROJECT].into());
        let roles = self.store().roles(&within, None, page.clone()).await?.items;
        let gives = |role: &str, id: Option<Uuid>| match (Role::parse(role), id) {
            (Some(role), _) => binds.is_of(role),
            (None, Some(id)) => roles
                .iter()
                .filter(|row| row.id == id)
                .any(|row| row.permissions.iter().any(|pattern| binds.is_given_by(pattern))),
            (None, None) => false,
        };
        let bindings = self.store().bindings(&within, None, page).await?.items;
        let mut named: Vec<Principal> = Vec::new();
        for binding in bindings.into_iter().filter(|binding| gives(&binding.role, binding.role_id)) {
            if named.len() < NAMED && !named.contains(&binding.principal) {
                named.push(binding.principal);
            }
        }
        Ok(named)
    }
}

/// What gives `need` in `project`; something does.
fn sources(need: &Permission, bindings: &[Grant], project: Uuid) -> Vec<GrantedBy> {
    let here = bindings.iter().filter(|grant| [project, PLATFORM_PROJECT].contains(&grant.project));
    let found: Vec<GrantedBy> = here
        .filter_map(|grant| {
            let pattern = giving(&grant.given, need)?;
            Some(GrantedBy {
                permission: need.name(),
                binding_id: Some(grant.binding),
                project_id: Some(grant.project),
                role: Some(grant.role.clone()),
                pattern: pattern.map(|pattern| pattern.as_str().to_owned()),
            })
        })
        .collect();
    if found.is_empty() {
        let name = need.name();
        return vec![GrantedBy {
            permission: name,
            binding_id: None,
            project_id: None,
            role: None,
            pattern: None,
        }];
    }
    found
}

/// The pattern that gives it, or `Some(None)` when a built-in role does.
fn giving<'a>(given: &'a Given, need: &Permission) -> Option<Option<&'a Pattern>> {
    if given.role.is_some_and(|role| need.is_of(role)) {
        return Some(None);
    }
    given.patterns.iter().find(|pattern| need.is_given_by(pattern)).map(Some)
}

fn reason(explanation: &Explanation, bindings: &[Grant], place: &str) -> String {
    let who = &explanation.principal.name;
    if explanation.allowed {
        let by: Vec<String> = explanation
            .granted_by
            .iter()
            .map(|by| match (&by.role, &by.pattern) {
                (Some(role), Some(pattern)) => format!("its role {role} has {pattern}"),
                (Some(role), None) => format!("it has the role {role}"),
                (None, _) => "a group at the issuer of its token gives it".to_owned(),
            })
            .collect();
        return format!("allowed: {who}: {}", dedup(by).join(", "));
    }
    let project = explanation.project_id;
    let here = bindings.iter().filter(|grant| [project, PLATFORM_PROJECT].contains(&grant.project));
    let roles = dedup(here.map(|grant| grant.role.clone()).collect()).join(", ");
    let has = if roles.is_empty() { format!("no role {place}") } else { format!("only {roles} {place}") };
    let roles = &explanation.roles;
    let by =
        if roles.is_empty() { String::new() } else { format!(", which {} would give", roles.join(" or ")) };
    let names: Vec<&str> = explanation.who_can_grant.iter().map(|one| one.name.as_str()).collect();
    let ask = match (names.is_empty(), project == PLATFORM_PROJECT) {
        (false, _) => names.join(", "),
        (true, false) => "an owner of the project".to_owned(),
        (true, true) => "an owner of the platform".to_owned(),
    };
    let missing = explanation.missing.join(" and ");
    format!("denied because {who} has {has} and lacks {missing}{by}; ask {ask}")
}

fn dedup(mut words: Vec<String>) -> Vec<String> {
    words.sort_unstable();
    words.dedup();
    words
}
