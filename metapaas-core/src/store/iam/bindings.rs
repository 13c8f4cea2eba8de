//! Table `metapaas_bindings`: which user or service account has which role where.

use chrono::{DateTime, Utc};
use sea_query::{Expr, ExprTrait, Func, Query, SelectStatement, SimpleExpr};
use serde::Serialize;
use uuid::Uuid;

use super::roles::read_patterns;
use super::{IamStore, IamTx, Listed, PageAt, Source, delete_by, insert, time};
use crate::authz::Projects;
use crate::request::{ActorKind, Given};
use crate::role::{PLATFORM_PROJECT, Role};
use crate::store::error::StoreError;
use crate::store::statement::{Dialect, Statement, slot};
use crate::store::value::{Arg, Required, Row};

const TABLE: &str = "metapaas_bindings";
const USERS: &str = "metapaas_users";
const ACCOUNTS: &str = "metapaas_service_accounts";
const PROJECTS: &str = "metapaas_projects";
const ROLES: &str = "metapaas_roles";
const COLUMNS: [&str; 7] =
    ["id", "project_id", "principal_kind", "principal_id", "role", "created_at", "role_id"];

/// A role of somebody in a project.
#[derive(Clone, Debug, Serialize)]
pub struct Binding {
    /// UUIDv7.
    pub id: Uuid,
    /// Where the role holds; everywhere when it is the platform project.
    pub project_id: Uuid,
    /// Who has the role.
    pub principal: Principal,
    /// `owner`, `operator`, `viewer`, or the name of a role of the project's or the platform's own.
    pub role: String,
    /// That role, unless it is built in.
    pub role_id: Option<Uuid>,
    /// When it was made.
    #[serde(serialize_with = "time")]
    pub created_at: DateTime<Utc>,
}

/// Who can have a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Principal {
    /// `user` or `service_account`.
    pub kind: &'static str,
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
}

/// A role of the caller, for `whoami`.
#[derive(Clone, Debug, Serialize)]
pub struct Membership {
    /// Where.
    pub project_id: Uuid,
    /// The project's name.
    pub project: String,
    /// Which.
    pub role: String,
}

/// What a binding gives to the one who has it.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) binding: Uuid,
    pub(crate) project: Uuid,
    pub(crate) role: String,
    pub(crate) given: Given,
}

#[derive(Debug)]
pub(super) struct BindingSql {
    by_id: Statement,
    exact: Statement,
    grants: Statement,
    memberships: Statement,
    platform_owners: Statement,
    insert: Statement,
    delete: Statement,
    delete_of_principal: Statement,
    delete_of_project: Statement,
}

impl BindingSql {
    pub(super) fn new(dialect: Dialect) -> Self {
        let of_principal = |select: &mut SelectStatement| {
            let select = select.from(TABLE).and_where(Expr::col((TABLE, "principal_kind")).eq(slot(0)));
            select.and_where(Expr::col((TABLE, "principal_id")).eq(slot(1))).to_owned()
        };
        let grants = of_principal(
            Query::select()
                .columns([(TABLE, "id"), (TABLE, "project_id"), (TABLE, "role"), (ROLES, "permissions")])
                .left_join(ROLES, Expr::col((ROLES, "id")).equals((TABLE, "role_id"))),
        );
        let memberships = of_principal(
            Query::select()
                .columns([(TABLE, "project_id"), (PROJECTS, "name"), (TABLE, "role")])
                .inner_join(PROJECTS, Expr::col((PROJECTS, "id")).equals((TABLE, "project_id")))
                .order_by((PROJECTS, "name"), sea_query::Order::Asc),
        );
        let exact = ["project_id", "principal_kind", "principal_id", "role"].iter().enumerate().fold(
            listed(),
            |mut select, (index, column)| {
                select.and_where(Expr::col((TABLE, *column)).eq(slot(index))).to_owned()
            },
        );
        let platform_owners = Query::select()
            .expr(Expr::cust("count(*)"))
            .from(TABLE)
            .inner_join(USERS, Expr::col((USERS, "id")).equals((TABLE, "principal_id")))
            .and_where(Expr::col((TABLE, "project_id")).eq(slot(0)))
            .and_where(Expr::col((TABLE, "principal_kind")).eq(slot(1)))
            .and_where(Expr::col((TABLE, "role")).eq(slot(2)))
            .and_where(Expr::col((USERS, "disabled")).eq(slot(3)))
            .to_owned();
        Self {
            by_id: Statement::new(dialect, listed().and_where(Expr::col((TABLE, "id")).eq(slot(0)))),
            exact: Statement::new(dialect, &exact),
            grants: Statement::new(dialect, &grants),
            memberships: Statement::new(dialect, &memberships),
            platform_owners: Statement::new(dialect, &platform_owners),
            insert: Statement::new(dialect, &insert(TABLE, &COLUMNS)),
            delete: delete_by(dialect, TABLE, &["id"]),
            delete_of_principal: delete_by(dialect, TABLE, &["principal_kind", "principal_id"]),
            delete_of_project: delete_by(dialect, TABLE, &["project_id"]),
        }
    }
}

/// Reads bindings with the names of their principals.
fn listed() -> SelectStatement {
    // Not by joins, beside which a list could not name a column without its table.
    let name_in = |table: &'static str| {
        let named = Query::select()
            .column((table, "name"))
            .from(table)
            .and_where(Expr::col((table, "id")).equals((TABLE, "principal_id")))
            .to_owned();
        SimpleExpr::SubQuery(None, Box::new(named.into()))
    };
    Query::select()
        .columns(COLUMNS.map(|name| (TABLE, name)))
        .expr(Func::coalesce([name_in(USERS), name_in(ACCOUNTS), Expr::cust("''")]))
        .from(TABLE)
        .to_owned()
}

fn read(row: &Row) -> Result<Binding, StoreError> {
    let kind = match row.text(2).required("principal_kind")?.as_str() {
        "user" => ActorKind::User,
        "service_account" => ActorKind::ServiceAccount,
        other => {
            let detail = format!("`{other}` is no kind of principal");
            return Err(StoreError::Corrupt { action: "read a binding", detail });
        }
    };
    Ok(Binding {
        id: row.uuid(0).required("id")?,
        project_id: row.uuid(1).required("project_id")?,
        principal: Principal {
            kind: kind.as_str(),
            id: row.uuid(3).required("principal_id")?,
            name: row.text(7).required("name")?,
        },
        role: row.text(4).required("role")?,
        role_id: row.uuid(6)?,
        created_at: row.time(5).required("created_at")?,
    })
}

impl IamStore {
    pub(crate) async fn binding(&self, id: Uuid) -> Result<Option<Binding>, StoreError> {
        Ok(self.read("read a binding", &self.sql.bindings.by_id, &[id.into()], read).await?.pop())
    }

    pub(crate) async fn bindings(
        &self,
        sees: &Projects,
        project: Option<Uuid>,
        page: PageAt,
    ) -> Result<Listed<Binding>, StoreError> {
        let having = project.map(|project| ("project_id", Arg::from(project))).into_iter().collect();
        let within = Some(("project_id", sees));
        let source = Source { table: TABLE, select: listed(), having, within };
        self.list("list bindings", source, page, read).await
    }

    /// What each binding of somebody gives.
    pub(crate) async fn grants(&self, kind: ActorKind, id: Uuid) -> Result<Vec<Grant>, StoreError> {
        let args = [kind.as_str().into(), id.into()];
        let read = |row: &Row| {
            let role = row.text(2).required("role")?;
            // A role that this binary does not know gives nothing.
            let given = Given { role: Role::parse(&role), patterns: read_patterns(row, 3)? };
            Ok(Grant {
                binding: row.uuid(0).required("id")?,
                project: row.uuid(1).required("project_id")?,
                role,
                given,
            })
        };
        self.read("read grants", &self.sql.bindings.grants, &args, read).await
    }

    pub(crate) async fn memberships(&self, kind: ActorKind, id: Uuid) -> Result<Vec<Membership>, StoreError> {
        let args = [kind.as_str().into(), id.into()];
        let read = |row: &Row| {
            Ok(Membership {
                project_id: row.uuid(0).required("project_id")?,
                project: row.text(1).required("name")?,
                role: row.text(2).required("role")?,
            })
        };
        self.read("read memberships", &self.sql.bindings.memberships, &args, read).await
    }
}

impl IamTx<'_> {
    pub(crate) async fn binding_like(&mut self, binding: &Binding) -> Result<Option<Binding>, StoreError> {
        let args = [
            binding.project_id.into(),
            binding.principal.kind.into(),
            binding.principal.id.into(),
            binding.role.as_str().into(),
        ];
        let sql = self.sql.clone();
        Ok(self.read("read a binding", &sql.bindings.exact, &args, read).await?.pop())
    }

    pub(crate) async fn insert_binding(&mut self, binding: &Binding) -> Result<(), StoreError> {
        let args = [
            binding.id.into(),
            binding.project_id.into(),
            binding.principal.kind.into(),
            binding.principal.id.into(),
            binding.role.as_str().into(),
            binding.created_at.into(),
            binding.role_id.into(),
        ];
        self.tx.execute("make a binding", &self.sql.bindings.insert, &args).await.map(drop)
    }

    pub(crate) async fn delete_binding(&mut self, id: Uuid) -> Result<u64, StoreError> {
        self.tx.execute("delete a binding", &self.sql.bindings.delete, &[id.into()]).await
    }

    pub(crate) async fn delete_bindings_of(&mut self, kind: ActorKind, id: Uuid) -> Result<(), StoreError> {
        let args = [kind.as_str().into(), id.into()];
        self.tx.execute("delete bindings", &self.sql.bindings.delete_of_principal, &args).await.map(drop)
    }

    pub(crate) async fn delete_bindings_in(&mut self, project: Uuid) -> Result<(), StoreError> {
        let delete = &self.sql.bindings.delete_of_project;
        self.tx.execute("delete bindings", delete, &[project.into()]).await.map(drop)
    }

    /// How many people own the platform and can log in.
    pub(crate) async fn platform_owners(&mut self) -> Result<i64, StoreError> {
        let args = [
            PLATFORM_PROJECT.into(),
            ActorKind::User.as_str().into(),
            Role::Owner.as_str().into(),
            false.into(),
        ];
        let sql = self.sql.clone();
        let count = |row: &Row| row.int(0).required("count");
        let counts = self.read("count platform owners", &sql.bindings.platform_owners, &args, count).await?;
        Ok(counts.first().copied().unwrap_or_default())
    }
}
