//! Table `metapaas_roles`: roles that an installation makes for itself.

use chrono::{DateTime, Utc};
use sea_query::{Expr, ExprTrait, Query};
use uuid::Uuid;

use super::{IamStore, IamTx, Listed, PageAt, Source, delete_by, insert, select, select_by, update_revised};
use crate::authz::Projects;
use crate::role::Pattern;
use crate::store::error::StoreError;
use crate::store::statement::{Dialect, Statement, slot};
use crate::store::value::{Arg, Required, Row, raw_json};

const TABLE: &str = "metapaas_roles";
const BINDINGS: &str = "metapaas_bindings";
const COLUMNS: [&str; 8] =
    ["id", "project_id", "name", "description", "permissions", "created_at", "updated_at", "revision"];

/// A role of the installation's own.
#[derive(Clone, Debug)]
pub(crate) struct RoleRow {
    pub(crate) id: Uuid,
    pub(crate) project_id: Uuid,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) permissions: Vec<Pattern>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) revision: i64,
}

#[derive(Debug)]
pub(super) struct RoleSql {
    by_id: Statement,
    named: Statement,
    insert: Statement,
    update: Statement,
    delete: Statement,
    delete_of_project: Statement,
    uses: Statement,
}

impl RoleSql {
    pub(super) fn new(dialect: Dialect) -> Self {
        let named = select(TABLE, &COLUMNS)
            .and_where(Expr::col((TABLE, "name")).eq(slot(0)))
            .and_where(Expr::col((TABLE, "project_id")).eq(slot(1)))
            .to_owned();
        let uses = Query::select()
            .expr(Expr::cust("count(*)"))
            .from(BINDINGS)
            .and_where(Expr::col("role_id").eq(slot(0)))
            .to_owned();
        Self {
            by_id: select_by(dialect, TABLE, &COLUMNS, "id"),
            named: Statement::new(dialect, &named),
            insert: Statement::new(dialect, &insert(TABLE, &COLUMNS)),
            update: update_revised(dialect, TABLE, &["description", "permissions", "updated_at"]),
            delete: delete_by(dialect, TABLE, &["id"]),
            delete_of_project: delete_by(dialect, TABLE, &["project_id"]),
            uses: Statement::new(dialect, &uses),
        }
    }
}

fn read(row: &Row) -> Result<RoleRow, StoreError> {
    Ok(RoleRow {
        id: row.uuid(0).required("id")?,
        project_id: row.uuid(1).required("project_id")?,
        name: row.text(2).required("name")?,
        description: row.text(3).required("description")?,
        permissions: read_patterns(row, 4)?,
        created_at: row.time(5).required("created_at")?,
        updated_at: row.time(6).required("updated_at")?,
        revision: row.int(7).required("revision")?,
    })
}

/// The patterns of a column; none when it is NULL.
pub(super) fn read_patterns(row: &Row, column: usize) -> Result<Vec<Pattern>, StoreError> {
    let Some(json) = row.json(column)? else { return Ok(Vec::new()) };
    let texts: Vec<&str> = serde_json::from_str(json.get()).map_err(|error| StoreError::Corrupt {
        action: "read the permissions of a role",
        detail: error.to_string(),
    })?;
    // What this binary cannot read gives nothing.
    Ok(texts.into_iter().filter_map(Pattern::parse).collect())
}

fn permissions(role: &RoleRow) -> Arg {
    let texts: Vec<&str> = role.permissions.iter().map(Pattern::as_str).collect();
    Arg::Json(Some(raw_json(&texts)))
}

impl IamStore {
    pub(crate) async fn role(&self, id: Uuid) -> Result<Option<RoleRow>, StoreError> {
        Ok(self.read("read a role", &self.sql.roles.by_id, &[id.into()], read).await?.pop())
    }

    pub(crate) async fn role_named(&self, name: &str, project: Uuid) -> Result<Option<RoleRow>, StoreError> {
        let args = [name.into(), project.into()];
        Ok(self.read("read a role", &self.sql.roles.named, &args, read).await?.pop())
    }

    /// A page of the roles of `projects`, perhaps of one name.
    pub(crate) async fn roles(
        &self,
        projects: &Projects,
        name: Option<&str>,
        page: PageAt,
    ) -> Result<Listed<RoleRow>, StoreError> {
        let select = select(TABLE, &COLUMNS);
        let having = name.map(|name| ("name", Arg::from(name))).into_iter().collect();
        let source = Source { table: TABLE, select, having, within: Some(("project_id", projects)) };
        self.list("list roles", source, page, read).await
    }
}

impl IamTx<'_> {
    pub(crate) async fn role(&mut self, id: Uuid) -> Result<Option<RoleRow>, StoreError> {
        let sql = self.sql.clone();
        Ok(self.read("read a role", &sql.roles.by_id, &[id.into()], read).await?.pop())
    }

    pub(crate) async fn role_named(
        &mut self,
        name: &str,
        project: Uuid,
    ) -> Result<Option<RoleRow>, StoreError> {
        let sql = self.sql.clone();
        let args = [name.into(), project.into()];
        Ok(self.read("read a role", &sql.roles.named, &args, read).await?.pop())
    }

    pub(crate) async fn insert_role(&mut self, role: &RoleRow) -> Result<(), StoreError> {
        let args = [
            role.id.into(),
            role.project_id.into(),
            role.name.as_str().into(),
            role.description.as_str().into(),
            permissions(role),
            role.created_at.into(),
            role.updated_at.into(),
            role.revision.into(),
        ];
        self.tx.execute("make a role", &self.sql.roles.insert, &args).await.map(drop)
    }

    pub(crate) async fn update_role(&mut self, role: &RoleRow) -> Result<(), StoreError> {
        let args =
            [role.id.into(), role.description.as_str().into(), permissions(role), role.updated_at.into()];
        self.tx.execute("change a role", &self.sql.roles.update, &args).await.map(drop)
    }

    pub(crate) async fn delete_role(&mut self, id: Uuid) -> Result<u64, StoreError> {
        self.tx.execute("delete a role", &self.sql.roles.delete, &[id.into()]).await
    }

    pub(crate) async fn delete_roles_in(&mut self, project: Uuid) -> Result<(), StoreError> {
        let delete = &self.sql.roles.delete_of_project;
        self.tx.execute("delete roles", delete, &[project.into()]).await.map(drop)
    }

    /// How many bindings give the role.
    pub(crate) async fn uses_of_role(&mut self, id: Uuid) -> Result<i64, StoreError> {
        let sql = self.sql.clone();
        let count = |row: &Row| row.int(0).required("count");
        let counts = self.read("count bindings of a role", &sql.roles.uses, &[id.into()], count).await?;
        Ok(counts.first().copied().unwrap_or_default())
    }
}
