//! Table `metapaas_projects`.

use chrono::{DateTime, Utc};
use sea_query::OnConflict;
use serde::Serialize;
use uuid::Uuid;

use super::{
    IamStore, IamTx, Listed, PageAt, Source, delete_by, insert, select, select_by, time, update_revised,
};
use crate::authz::Projects;
use crate::store::error::StoreError;
use crate::store::statement::{Dialect, Statement};
use crate::store::value::{Arg, Required, Row};

const TABLE: &str = "metapaas_projects";
const COLUMNS: [&str; 6] = ["id", "name", "description", "created_at", "updated_at", "revision"];

/// What rows belong to.
#[derive(Clone, Debug, Serialize)]
pub struct Project {
    /// UUIDv7.
    pub id: Uuid,
    /// Unique in the installation.
    pub name: String,
    /// Free text.
    pub description: String,
    /// When it was made.
    #[serde(serialize_with = "time")]
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    #[serde(serialize_with = "time")]
    pub updated_at: DateTime<Utc>,
    /// Raised by every change; the ETag.
    #[serde(skip)]
    pub revision: i64,
}

#[derive(Debug)]
pub(super) struct ProjectSql {
    by_id: Statement,
    by_name: Statement,
    insert: Statement,
    insert_if_absent: Statement,
    update: Statement,
    delete: Statement,
}

impl ProjectSql {
    pub(super) fn new(dialect: Dialect) -> Self {
        let nothing = OnConflict::column("id").do_nothing().to_owned();
        Self {
            by_id: select_by(dialect, TABLE, &COLUMNS, "id"),
            by_name: select_by(dialect, TABLE, &COLUMNS, "name"),
            insert: Statement::new(dialect, &insert(TABLE, &COLUMNS)),
            insert_if_absent: Statement::new(dialect, insert(TABLE, &COLUMNS).on_conflict(nothing)),
            update: update_revised(dialect, TABLE, &["description", "updated_at"]),
            delete: delete_by(dialect, TABLE, &["id"]),
        }
    }
}

fn read(row: &Row) -> Result<Project, StoreError> {
    Ok(Project {
        id: row.uuid(0).required("id")?,
        name: row.text(1).required("name")?,
        description: row.text(2).required("description")?,
        created_at: row.time(3).required("created_at")?,
        updated_at: row.time(4).required("updated_at")?,
        revision: row.int(5).required("revision")?,
    })
}

fn all_args(project: &Project) -> [Arg; 6] {
    [
        project.id.into(),
        project.name.as_str().into(),
        project.description.as_str().into(),
        project.created_at.into(),
        project.updated_at.into(),
        project.revision.into(),
    ]
}

impl IamStore {
    pub(crate) async fn project(&self, id: Uuid) -> Result<Option<Project>, StoreError> {
        Ok(self.read("read a project", &self.sql.projects.by_id, &[id.into()], read).await?.pop())
    }

    pub(crate) async fn project_named(&self, name: &str) -> Result<Option<Project>, StoreError> {
        Ok(self.read("read a project", &self.sql.projects.by_name, &[name.into()], read).await?.pop())
    }

    pub(crate) async fn projects(
        &self,
        sees: &Projects,
        page: PageAt,
    ) -> Result<Listed<Project>, StoreError> {
        let select = select(TABLE, &COLUMNS);
        let source = Source { table: TABLE, select, having: Vec::new(), within: Some(("id", sees)) };
        self.list("list projects", source, page, read).await
    }
}

impl IamTx<'_> {
    pub(crate) async fn project(&mut self, id: Uuid) -> Result<Option<Project>, StoreError> {
        let sql = self.sql.clone();
        Ok(self.read("read a project", &sql.projects.by_id, &[id.into()], read).await?.pop())
    }

    pub(crate) async fn insert_project(&mut self, project: &Project) -> Result<(), StoreError> {
        self.tx.execute("make a project", &self.sql.projects.insert, &all_args(project)).await.map(drop)
    }

    /// Whether it was made; another transaction that is making it is waited for.
    pub(crate) async fn insert_project_if_absent(&mut self, project: &Project) -> Result<bool, StoreError> {
        let insert = &self.sql.projects.insert_if_absent;
        Ok(self.tx.execute("make a project", insert, &all_args(project)).await? > 0)
    }

    pub(crate) async fn update_project(&mut self, project: &Project) -> Result<(), StoreError> {
        let args = [project.id.into(), project.description.as_str().into(), project.updated_at.into()];
        self.tx.execute("change a project", &self.sql.projects.update, &args).await.map(drop)
    }

    pub(crate) async fn delete_project(&mut self, id: Uuid) -> Result<u64, StoreError> {
        self.tx.execute("delete a project", &self.sql.projects.delete, &[id.into()]).await
    }
}
