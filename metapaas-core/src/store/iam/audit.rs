//! Table `metapaas_audit`: who changed or was denied what.

use chrono::{DateTime, Utc};
use sea_query::{Expr, ExprTrait, Order, Query};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{IamStore, IamTx, Listed, PageAt, insert, select, time};
use crate::authz::Projects;
use crate::store::database::Tx;
use crate::store::error::StoreError;
use crate::store::resources::{first_args, narrow};
use crate::store::statement::{Dialect, Statement, slot};
use crate::store::value::{Arg, Required, Row};

const TABLE: &str = "metapaas_audit";
const COLUMNS: [&str; 11] = [
    "id",
    "at",
    "actor_kind",
    "actor_id",
    "actor_name",
    "request_id",
    "action",
    "resource",
    "project_id",
    "outcome",
    "detail",
];

/// One line of the audit.
#[derive(Clone, Debug, Serialize)]
pub struct AuditRecord {
    /// UUIDv7.
    pub id: Uuid,
    /// When.
    #[serde(serialize_with = "time")]
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: AuditActor,
    /// Finds the request in logs and events.
    pub request_id: String,
    /// What was done or tried: a permission, such as `iam.bindings.create`, or `iam.sessions.login` and the like.
    pub action: String,
    /// What it was done to, such as `users/ann`, or the path of the request.
    pub resource: String,
    /// The project that it belongs to.
    pub project_id: Option<Uuid>,
    /// `OK`, `DENIED` or `FAILED`.
    pub outcome: String,
    /// `before` and `after` of a change without its secrets; why something was denied.
    pub detail: Option<Box<RawValue>>,
}

/// Who did or tried something.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct AuditActor {
    /// `user`, `service_account`, `system`, or `unknown` for a login as nobody who exists.
    pub kind: String,
    /// Its id.
    pub id: Option<Uuid>,
    /// Its name at the time, or the one that was tried.
    pub name: String,
}

/// Which records are wanted. What is not said does not matter.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// The actor's id.
    pub actor_id: Option<Uuid>,
    /// The actor's name.
    pub actor_name: Option<String>,
    /// What was done.
    pub action: Option<String>,
    /// How it ended.
    pub outcome: Option<String>,
    /// Where.
    pub project_id: Option<Uuid>,
    /// Not before.
    pub since: Option<DateTime<Utc>>,
    /// Before.
    pub until: Option<DateTime<Utc>>,
}

#[derive(Debug)]
pub(in crate::store) struct AuditSql {
    insert: Statement,
    sweep: Statement,
}

impl AuditSql {
    pub(in crate::store) fn new(dialect: Dialect) -> Self {
        let old = Query::select()
            .column("id")
            .from(TABLE)
            .and_where(Expr::col("at").lt(slot(0)))
            .order_by("at", Order::Asc)
            // Slot 1, as all numbers in statements are slots.
            .limit(1)
            .to_owned();
        let sweep = Query::delete().from_table(TABLE).and_where(Expr::col("id").in_subquery(old)).to_owned();
        Self {
            insert: Statement::new(dialect, &insert(TABLE, &COLUMNS)),
            sweep: Statement::new(dialect, &sweep),
        }
    }
}

impl AuditSql {
    /// Writes a line of the audit, as a part of what it tells of.
    pub(in crate::store) async fn write(&self, tx: &mut Tx, record: AuditRecord) -> Result<(), StoreError> {
        let args = [
            record.id.into(),
            record.at.into(),
            record.actor.kind.into(),
            record.actor.id.into(),
            record.actor.name.into(),
            record.request_id.into(),
            record.action.into(),
            record.resource.into(),
            record.project_id.into(),
            record.outcome.into(),
            Arg::Json(record.detail),
        ];
        tx.execute("write the audit", &self.insert, &args).await.map(drop)
    }
}

fn read(row: &Row) -> Result<AuditRecord, StoreError> {
    Ok(AuditRecord {
        id: row.uuid(0).required("id")?,
        at: row.time(1).required("at")?,
        actor: AuditActor {
            kind: row.text(2).required("actor_kind")?,
            id: row.uuid(3)?,
            name: row.text(4).required("actor_name")?,
        },
        request_id: row.text(5).required("request_id")?,
        action: row.text(6).required("action")?,
        resource: row.text(7).required("resource")?,
        project_id: row.uuid(8)?,
        outcome: row.text(9).required("outcome")?,
        detail: row.json(10)?,
    })
}

impl IamStore {
    /// A page of the audit.
    pub(crate) async fn audit_records(
        &self,
        sees: &Projects,
        filter: &AuditFilter,
        page: PageAt,
    ) -> Result<Listed<AuditRecord>, StoreError> {
        let mut args = first_args(&page.listing, page.limit);
        let mut next_slot = |arg: Arg| {
            args.push(arg);
            slot(args.len() - 1)
        };
        let mut select = select(TABLE, &COLUMNS);
        let col = |name: &'static str| Expr::col((TABLE, name));
        if let Some(id) = filter.actor_id {
            select.and_where(col("actor_id").eq(next_slot(id.into())));
        }
        let texts =
            [("actor_name", &filter.actor_name), ("action", &filter.action), ("outcome", &filter.outcome)];
        for (column, text) in texts {
            if let Some(text) = text {
                select.and_where(col(column).eq(next_slot(text.as_str().into())));
            }
        }
        if let Some(project) = filter.project_id {
            select.and_where(col("project_id").eq(next_slot(project.into())));
        }
        if let Some(since) = filter.since {
            select.and_where(col("at").gte(next_slot(since.into())));
        }
        if let Some(until) = filter.until {
            select.and_where(col("at").lt(next_slot(until.into())));
        }
        if let Projects::Some(projects) = sees {
            if projects.is_empty() {
                return Ok(Listed { items: Vec::new(), has_more: false });
            }
            let projects: Vec<Expr> = projects.iter().map(|project| next_slot((*project).into())).collect();
            select.and_where(col("project_id").is_in(projects));
        }
        let dialect = self.database.dialect();
        narrow(dialect, &mut select, &page.listing, &mut args);
        let statement = Statement::new(dialect, &select);
        let rows = self.database.fetch("list the audit", &statement, &args).await?;
        let limit = usize::from(page.limit);
        let items = rows.iter().take(limit).map(read).collect::<Result<_, _>>()?;
        Ok(Listed { items, has_more: rows.len() > limit })
    }
}

impl IamTx<'_> {
    /// Writes a line of the audit, as a part of what it tells of.
    pub(crate) async fn audit(&mut self, record: AuditRecord) -> Result<(), StoreError> {
        let sql = self.sql.clone();
        sql.audit.write(self.tx, record).await
    }

    /// Removes up to `most` records made before `before`.
    pub(crate) async fn sweep_audit(&mut self, before: DateTime<Utc>, most: i64) -> Result<u64, StoreError> {
        let args = [before.into(), most.into()];
        self.tx.execute("remove old audit records", &self.sql.audit.sweep, &args).await
    }
}
