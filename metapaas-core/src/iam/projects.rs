//! Projects: made by owners of the platform, managed by their own owners.

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use super::body::Body;
use super::record::Record;
use super::{Iam, Listed, PROJECTS, PageAt, Project, expect};
use crate::authz::Allowed;
use crate::descriptor::Action;
use crate::error::{Error, ErrorCode};
use crate::field_type::is_dns_name;
use crate::role::PLATFORM_PROJECT;
use crate::store::resources::now;
use crate::store::{Store, StoreError};

impl Iam {
    /// Makes a project. Body: `name`, and optionally `description`. It gets the limits of new projects, if there are any.
    ///
    /// # Errors
    /// `Forbidden`, `InvalidRequest`, `NameTaken` with the `id` that has the name.
    pub async fn create_project(&self, allowed: &Allowed, body: &Value) -> Result<Project, Error> {
        expect(allowed, &PROJECTS, Action::Create)?;
        allowed.in_project(PLATFORM_PROJECT)?;
        let mut body = Body::of(body, &["name", "description"])?;
        let name = body.name();
        let description = body.description().unwrap_or_default();
        body.finish()?;
        let project = new_project(Uuid::now_v7(), &name, description);
        let row = project;
        let limits = self.limits.clone();
        let record = Record::of(allowed);
        let made = self
            .make("make a project", move |mut tx| {
                Box::pin(async move {
                    tx.insert_project(&row).await?;
                    if let Some(limits) = limits {
                        limits.set(tx.inner(), row.id).await?;
                    }
                    tx.audit(record.created(what(&row), row.id, &row)).await?;
                    Ok(row)
                })
            })
            .await;
        match made {
            Err(error) if error.code == ErrorCode::NameTaken => {
                let other = self.store().project_named(&name).await?.map(|project| project.id.to_string());
                Err(error.with("id", other))
            }
            made => made,
        }
    }

    /// Sets all limits of a project; what is not named has none. The body of the audit's line has them before and after.
    ///
    /// # Errors
    /// As [`Store::set_quota`].
    pub async fn set_quota(
        &self,
        store: &Store,
        allowed: &Allowed,
        project: &Project,
        limits: BTreeMap<String, i64>,
    ) -> Result<(), Error> {
        let record = Record::by(allowed.context(), "iam.projects.quota".into());
        let (resource, id) = (format!("{}/quota", what(project)), project.id);
        let line = move |before: &BTreeMap<_, _>, after: &BTreeMap<_, _>| {
            record.changed(resource, id, before, after)
        };
        store.set_quota_with(allowed, id, limits, self.terms.effect, Some(Box::new(line))).await
    }

    /// A page of the projects that the caller may see.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn list_projects(&self, allowed: &Allowed, page: PageAt) -> Result<Listed<Project>, Error> {
        expect(allowed, &PROJECTS, Action::List)?;
        Ok(self.store().projects(allowed.sees(), page).await?)
    }

    /// The project of that id or name.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn get_project(&self, allowed: &Allowed, key: &str) -> Result<Project, Error> {
        expect(allowed, &PROJECTS, Action::Read)?;
        self.permitted_project(allowed, key).await
    }

    /// Changes the `description` (merge patch).
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `InvalidRequest`.
    pub async fn update_project(&self, allowed: &Allowed, key: &str, body: &Value) -> Result<Project, Error> {
        expect(allowed, &PROJECTS, Action::Update)?;
        let current = self.permitted_project(allowed, key).await?;
        let mut body = Body::of(body, &["name", "description"])?;
        body.unchanged("name", &current.name);
        let description = body.description();
        body.finish()?;
        let record = Record::of(allowed);
        let (key, terms) = (key.to_owned(), self.terms.clone());
        self.make("change a project", move |mut tx| {
            Box::pin(async move {
                let mut project = tx.project(current.id).await?.ok_or_else(|| not_found(&key))?;
                terms.hold(project.revision)?;
                let before = project.clone();
                project.description = description.unwrap_or(project.description);
                project.updated_at = now();
                project.revision += 1;
                tx.update_project(&project).await?;
                tx.audit(record.changed(what(&project), project.id, &before, &project)).await?;
                Ok(project)
            })
        })
        .await
    }

    /// Removes a project with its bindings and roles.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `InUse` while it has instances or service accounts, `InvalidState` for the
    /// platform project.
    pub async fn delete_project(&self, allowed: &Allowed, key: &str) -> Result<(), Error> {
        expect(allowed, &PROJECTS, Action::Delete)?;
        let project = self.permitted_project(allowed, key).await?;
        if project.id == PLATFORM_PROJECT {
            return Err(Error::new(ErrorCode::InvalidState, "the platform project cannot be deleted"));
        }
        let record = Record::of(allowed);
        let (key, terms) = (key.to_owned(), self.terms.clone());
        self.change("delete a project", move |mut tx| {
            Box::pin(async move {
                let project = tx.project(project.id).await?.ok_or_else(|| not_found(&key))?;
                terms.hold(project.revision)?;
                tx.delete_bindings_in(project.id).await?;
                tx.delete_roles_in(project.id).await?;
                match tx.delete_project(project.id).await {
                    Ok(0) => Err(not_found(&key)),
                    Ok(_) => Ok(tx.audit(record.deleted(what(&project), project.id, &project)).await?),
                    Err(error @ StoreError::Reference { .. }) => Err(Error {
                        source: Some(error.into()),
                        ..Error::new(
                            ErrorCode::InUse,
                            format!(
                                "project {} still has instances or service accounts; delete them first",
                                project.name
                            ),
                        )
                    }),
                    Err(error) => Err(error.into()),
                }
            })
        })
        .await
    }

    async fn permitted_project(&self, allowed: &Allowed, key: &str) -> Result<Project, Error> {
        let found = match key.parse() {
            Ok(id) => self.store().project(id).await?,
            Err(_) if is_dns_name(key) => self.store().project_named(key).await?,
            Err(_) => None,
        };
        let project = found.ok_or_else(|| not_found(key))?;
        if !allowed.sees().contains(project.id) {
            return Err(not_found(key));
        }
        allowed.in_project(project.id)?;
        Ok(project)
    }
}

pub(super) fn new_project(id: Uuid, name: &str, description: String) -> Project {
    let now = now();
    Project { id, name: name.into(), description, created_at: now, updated_at: now, revision: 1 }
}

fn what(project: &Project) -> String {
    format!("projects/{}", project.name)
}

fn not_found(key: &str) -> Error {
    Error::not_found(format_args!("project {key}"))
}
