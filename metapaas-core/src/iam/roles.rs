//! Roles: three are built in; owners of a project, or of the platform, make others as sets of permissions.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::body::Body;
use super::permissions::{all, may_give, nearest};
use super::record::Record;
use super::{Iam, Listed, PageAt, ROLES, expect, in_project};
use crate::authz::{Allowed, Projects};
use crate::descriptor::Action;
use crate::error::{Error, ErrorCode};
use crate::field_type::is_dns_name;
use crate::registry::Registry;
use crate::request::Given;
use crate::resource::rfc3339;
use crate::role::{PLATFORM_PROJECT, Pattern, Role};
use crate::store::StoreError;
use crate::store::iam::IamTx;
use crate::store::iam::roles::RoleRow;
use crate::store::resources::now;

/// More patterns than this are too many for one role.
const PATTERNS_MAX: usize = 200;

/// A role that bindings can give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoleEntry {
    /// UUIDv7; a fixed one for a role that is built in.
    pub id: Uuid,
    /// What bindings call it.
    pub name: String,
    /// Where it can be given; everywhere when it is the platform project.
    pub project_id: Uuid,
    /// What it is for.
    pub description: String,
    /// What it gives: patterns of permissions.
    pub permissions: Vec<String>,
    /// Whether it exists everywhere and cannot change.
    pub built_in: bool,
    /// When it was made; never, for a role that is built in.
    pub created_at: Option<String>,
    /// When it last changed.
    pub updated_at: Option<String>,
    /// The ETag.
    #[serde(skip)]
    pub revision: i64,
}

impl RoleEntry {
    fn built_in(registry: &Registry, role: Role) -> Self {
        let description = match role {
            Role::Viewer => "sees everything but secrets",
            Role::Operator => "sees, updates fields that are not reserved for owners, runs actions",
            Role::Owner => "does everything, and gives roles to others",
        };
        let given = all(registry).into_iter().filter(|permission| permission.least_role() <= role);
        Self {
            id: role.id(),
            name: role.as_str().into(),
            project_id: PLATFORM_PROJECT,
            description: description.into(),
            permissions: given.map(|permission| permission.name()).collect(),
            built_in: true,
            created_at: None,
            updated_at: None,
            revision: 0,
        }
    }
}

impl From<RoleRow> for RoleEntry {
    fn from(row: RoleRow) -> Self {
        let time = |time: DateTime<Utc>| Some(rfc3339(time));
        Self {
            id: row.id,
            name: row.name,
            project_id: row.project_id,
            description: row.description,
            permissions: row.permissions.iter().map(|pattern| pattern.as_str().to_owned()).collect(),
            built_in: false,
            created_at: time(row.created_at),
            updated_at: time(row.updated_at),
            revision: row.revision,
        }
    }
}

impl Iam {
    /// Makes a role. Body: `project_id`, `name`, `permissions`, and optionally `description`.
    ///
    /// # Errors
    /// `NotFound` for a project that the caller may not see, `Forbidden` also for a permission that the caller does
    /// not have there, `InvalidRequest`, `NameTaken`.
    pub async fn create_role(
        &self,
        registry: &Registry,
        allowed: &Allowed,
        body: &Value,
    ) -> Result<RoleEntry, Error> {
        expect(allowed, &ROLES, Action::Create)?;
        let mut body = Body::of(body, &["project_id", "name", "description", "permissions"])?;
        let project_id = body.required_id("project_id");
        let name = body.name();
        if Role::parse(&name).is_some() {
            body.problem("name", "TAKEN", "this role is built in");
        }
        let description = body.description().unwrap_or_default();
        let permissions = patterns(registry, &mut body);
        if !body.has("permissions") {
            body.problem("permissions", "REQUIRED", "give permissions, such as [\"demo.instances.read\"]");
        }
        body.finish()?;
        in_project(allowed, project_id)?;
        let permissions = permissions.unwrap_or_default();
        let given = Given { role: None, patterns: permissions.clone() };
        may_give(registry, &allowed.context().actor.grants, project_id, &given)?;
        let now = now();
        let role = RoleRow {
            id: Uuid::now_v7(),
            project_id,
            name,
            description,
            permissions,
            created_at: now,
            updated_at: now,
            revision: 1,
        };
        let record = Record::of(allowed);
        self.make("make a role", move |mut tx| {
            Box::pin(async move {
                if tx.project(project_id).await?.is_none() {
                    return Err(Error::not_found(format_args!("project {project_id}")));
                }
                if let Some(other) = tx.role_named(&role.name, project_id).await? {
                    let text = format!("the project has a role {} already", role.name);
                    return Err(Error::new(ErrorCode::NameTaken, text).with("id", other.id.to_string()));
                }
                tx.insert_role(&role).await?;
                let entry = RoleEntry::from(role);
                tx.audit(record.created(what(&entry), project_id, &entry)).await?;
                Ok(entry)
            })
        })
        .await
    }

    /// A page of the roles that can be given in `project`, or of all that the caller may see: those of its projects,
    /// those of the platform, and the ones that are built in, whose ids come after all others.
    ///
    /// # Errors
    /// `NotFound` for a project that the caller may not see.
    pub async fn list_roles(
        &self,
        registry: &Registry,
        allowed: &Allowed,
        project: Option<Uuid>,
        page: PageAt,
    ) -> Result<Listed<RoleEntry>, Error> {
        expect(allowed, &ROLES, Action::List)?;
        let projects = match project {
            Some(project) => {
                in_project(allowed, project)?;
                Projects::Some([project, PLATFORM_PROJECT].into())
            }
            None => with_platform(allowed.sees()),
        };
        let PageAt { listing, limit } = page.clone();
        let mine = self.store().roles(&projects, None, page).await?;
        let placed = |role: RoleEntry| (listing.order.position(&json!(role)), role);
        let built_in = Role::ALL.into_iter().map(|role| RoleEntry::built_in(registry, role));
        let built_in = built_in.filter(|role| listing.filter.accepts(&json!(role))).map(placed);
        let built_in = built_in.filter(|(place, _)| {
            listing.after.as_ref().is_none_or(|after| listing.order.compare(place, after).is_gt())
        });
        let mut items: Vec<_> = mine.items.into_iter().map(RoleEntry::from).map(placed).collect();
        items.extend(built_in);
        items.sort_by(|(one, _), (other, _)| listing.order.compare(one, other));
        let has_more = mine.has_more || items.len() > usize::from(limit);
        Ok(Listed { items: items.into_iter().take(limit.into()).map(|(_, role)| role).collect(), has_more })
    }

    /// The role of that id, or of that name in `project` or in all projects that the caller may see.
    ///
    /// # Errors
    /// `NotFound`, `AmbiguousName`.
    pub async fn get_role(
        &self,
        registry: &Registry,
        allowed: &Allowed,
        key: &str,
        project: Option<Uuid>,
    ) -> Result<RoleEntry, Error> {
        expect(allowed, &ROLES, Action::Read)?;
        if let Some(role) = built_in(key) {
            return Ok(RoleEntry::built_in(registry, role));
        }
        self.visible_role(allowed, key, project).await.map(RoleEntry::from)
    }

    /// Changes `description` or `permissions` (merge patch).
    ///
    /// # Errors
    /// As [`Self::get_role`] and [`Self::create_role`]; `InvalidState` for a role that is built in.
    pub async fn update_role(
        &self,
        registry: &Registry,
        allowed: &Allowed,
        key: &str,
        project: Option<Uuid>,
        body: &Value,
    ) -> Result<RoleEntry, Error> {
        expect(allowed, &ROLES, Action::Update)?;
        let current = self.own_role(allowed, key, project).await?;
        let mut body = Body::of(body, &["project_id", "name", "description", "permissions", "built_in"])?;
        body.unchanged("project_id", &current.project_id.to_string());
        body.unchanged("name", &current.name);
        let description = body.description();
        let permissions = patterns(registry, &mut body);
        body.finish()?;
        if let Some(permissions) = &permissions {
            let is_new = |pattern: &&Pattern| !current.permissions.contains(pattern);
            let given = Given { role: None, patterns: permissions.iter().filter(is_new).cloned().collect() };
            may_give(registry, &allowed.context().actor.grants, current.project_id, &given)?;
        }
        let record = Record::of(allowed);
        let (key, terms) = (key.to_owned(), self.terms.clone());
        self.make("change a role", move |mut tx| {
            Box::pin(async move {
                let mut row = tx.role(current.id).await?.ok_or_else(|| not_found(&key))?;
                terms.hold(row.revision)?;
                let before = RoleEntry::from(row.clone());
                row.description = description.unwrap_or(row.description);
                row.permissions = permissions.unwrap_or(row.permissions);
                row.updated_at = now();
                row.revision += 1;
                tx.update_role(&row).await?;
                let entry = RoleEntry::from(row);
                tx.audit(record.changed(what(&entry), entry.project_id, &before, &entry)).await?;
                Ok(entry)
            })
        })
        .await
    }

    /// Removes a role that nobody has.
    ///
    /// # Errors
    /// As [`Self::get_role`], `Forbidden`, `InUse` with the number of its bindings, `InvalidState` for a role that is
    /// built in.
    pub async fn delete_role(
        &self,
        allowed: &Allowed,
        key: &str,
        project: Option<Uuid>,
    ) -> Result<(), Error> {
        expect(allowed, &ROLES, Action::Delete)?;
        let role = self.own_role(allowed, key, project).await?;
        let (record, terms) = (Record::of(allowed), self.terms.clone());
        self.change("delete a role", move |mut tx| {
            Box::pin(async move {
                let role = tx.role(role.id).await?.ok_or_else(|| not_found(&role.name))?;
                terms.hold(role.revision)?;
                let uses = tx.uses_of_role(role.id).await?;
                if uses > 0 {
                    let text = format!("{uses} bindings give the role {}; delete them first", role.name);
                    return Err(Error::new(ErrorCode::InUse, text).with("bindings", uses));
                }
                tx.delete_role(role.id).await?;
                let entry = RoleEntry::from(role);
                Ok(tx.audit(record.deleted(what(&entry), entry.project_id, &entry)).await?)
            })
        })
        .await
    }

    /// A role that the caller may change.
    async fn own_role(&self, allowed: &Allowed, key: &str, project: Option<Uuid>) -> Result<RoleRow, Error> {
        if let Some(role) = built_in(key) {
            let text = format!("the role {} is built in; make one of your own", role.as_str());
            return Err(Error::new(ErrorCode::InvalidState, text));
        }
        let role = self.visible_role(allowed, key, project).await?;
        allowed.in_project(role.project_id)?;
        Ok(role)
    }

    async fn visible_role(
        &self,
        allowed: &Allowed,
        key: &str,
        project: Option<Uuid>,
    ) -> Result<RoleRow, Error> {
        let sees = with_platform(allowed.sees());
        let found = match key.parse() {
            Ok(id) => {
                let found = self.store().role(id).await?;
                found.filter(|found| project.is_none_or(|project| found.project_id == project))
            }
            Err(_) if is_dns_name(key) => {
                let within = match project {
                    Some(project) if sees.contains(project) => Projects::Some([project].into()),
                    Some(_) => return Err(not_found(key)),
                    None => sees.clone(),
                };
                let page = PageAt::first(2);
                let mut found = self.store().roles(&within, Some(key), page).await?.items;
                if found.len() > 1 {
                    let text =
                        format!("several projects have a role {key}; say which project, or use the id");
                    return Err(Error::new(ErrorCode::AmbiguousName, text));
                }
                found.pop()
            }
            Err(_) => None,
        };
        let role = found.ok_or_else(|| not_found(key))?;
        if sees.contains(role.project_id) { Ok(role) } else { Err(Error { hidden: true, ..not_found(key) }) }
    }
}

/// What the role `name` (or id) gives in `project`: one that is built in, the project's own, or the platform's.
pub(super) async fn resolve(
    tx: &mut IamTx<'_>,
    name: &str,
    project: Uuid,
) -> Result<Option<(String, Option<Uuid>, Given)>, StoreError> {
    if let Some(role) = built_in(name) {
        return Ok(Some((role.as_str().into(), None, role.into())));
    }
    let row = match name.parse() {
        Ok(id) => tx.role(id).await?.filter(|row| [project, PLATFORM_PROJECT].contains(&row.project_id)),
        Err(_) if is_dns_name(name) => match tx.role_named(name, project).await? {
            Some(row) => Some(row),
            None => tx.role_named(name, PLATFORM_PROJECT).await?,
        },
        Err(_) => None,
    };
    Ok(row.map(|row| (row.name, Some(row.id), Given { role: None, patterns: row.permissions })))
}

/// Everybody may see the platform's roles: they can be given in every project.
fn with_platform(sees: &Projects) -> Projects {
    match sees {
        Projects::All => Projects::All,
        Projects::Some(projects) => {
            let mut projects: Vec<Uuid> = projects.iter().copied().chain([PLATFORM_PROJECT]).collect();
            projects.sort_unstable();
            projects.dedup();
            Projects::Some(projects.into())
        }
    }
}

fn built_in(key: &str) -> Option<Role> {
    let id: Option<Uuid> = key.parse().ok();
    Role::ALL.into_iter().find(|role| role.as_str() == key || Some(role.id()) == id)
}

/// The patterns of a body, each of which fits some permission; `None` when they are not given.
fn patterns(registry: &Registry, body: &mut Body<'_>) -> Option<Vec<Pattern>> {
    let texts = body.texts("permissions")?;
    let known = all(registry);
    if !(1..=PATTERNS_MAX).contains(&texts.len()) {
        body.problem("permissions", "OUT_OF_RANGE", format!("expected 1 to {PATTERNS_MAX} permissions"));
    }
    let mut patterns: Vec<Pattern> = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let pattern = Pattern::parse(text)
            .filter(|pattern| known.iter().any(|permission| permission.is_given_by(pattern)));
        match pattern {
            Some(pattern) if patterns.contains(&pattern) => {}
            Some(pattern) => patterns.push(pattern),
            None => {
                let near = nearest(&known, text);
                let detail = format!(
                    "no permission fits; the nearest are {near}; the form is <type>.<collection>.<action> or \
                     <type>.<collection>.field:<name>, where * stands for a whole part"
                );
                body.problem(&format!("permissions/{index}"), "UNKNOWN_PERMISSION", detail);
            }
        }
    }
    Some(patterns)
}

fn what(role: &RoleEntry) -> String {
    format!("roles/{}", role.name)
}

fn not_found(key: &str) -> Error {
    Error::not_found(format_args!("role {key}"))
}
