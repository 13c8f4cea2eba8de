//! Operations: what became of actions. An unfinished one always has a work row, since both are written together and
//! the work row of an instance goes only after its operations have ended.

use chrono::{DateTime, Utc};
use sea_query::{Alias, Expr, ExprTrait, Query, SelectStatement, SimpleExpr};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use super::database::Tx;
use super::error::StoreError;
use super::iam::PageAt;
use super::resources::{first_args, narrow};
use super::statement::{Dialect, Statement, slot};
use super::value::{Arg, Required, Row};
use super::work::{Claim, held};
use super::{Store, now};
use crate::authz::Projects;
use crate::resource::rfc3339;

const TABLE: &str = "metapaas_operations";
/// Operations removed in one go.
const STEP: u64 = 1000;

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationStatus {
    /// Stored; no worker has seen it yet.
    Pending,
    /// Nodes are at it.
    Running,
    /// Its change is in force and the resource is active.
    Succeeded,
    /// It came to nothing; the error says why.
    Failed,
    /// Somebody asked to wait for it no more.
    Cancelled,
}

impl OperationStatus {
    /// All.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// The word in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// The status of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether nothing more will happen.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// An action on its way, or at its end.
#[derive(Clone, Debug)]
pub struct OperationRecord {
    /// UUIDv7.
    pub id: Uuid,
    /// The project of the row.
    pub project_id: Uuid,
    /// Slug of the row's type.
    pub slug: String,
    /// Plural of the row's type.
    pub plural: String,
    /// The row.
    pub resource_id: Uuid,
    /// The instance above it, or itself.
    pub instance_id: Uuid,
    /// What paths name the row by.
    pub name: String,
    /// The action's verb.
    pub action: String,
    /// Where it stands.
    pub status: OperationStatus,
    /// The generation of the instance that holds the change.
    pub generation: i64,
    /// What the request said, secrets left out.
    pub parameters: Option<Box<RawValue>>,
    /// Why it failed.
    pub error: Option<Box<RawValue>>,
    /// Kind of who asked.
    pub actor_kind: String,
    /// Who asked; none for the system.
    pub actor_id: Option<Uuid>,
    /// Its name at the time.
    pub actor_name: String,
    /// The request.
    pub request_id: String,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When its status last changed.
    pub updated_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

const COLUMNS: [&str; 19] = [
    "id",
    "project_id",
    "type",
    "plural",
    "resource_id",
    "instance_id",
    "name",
    "action",
    "status",
    "generation",
    "parameters",
    "error",
    "actor_kind",
    "actor_id",
    "actor_name",
    "request_id",
    "created_at",
    "updated_at",
    "finished_at",
];

impl Serialize for OperationRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_instance = self.resource_id == self.instance_id;
        let kind = if is_instance { self.slug.clone() } else { format!("{}/{}", self.slug, self.plural) };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("action", &self.action)?;
        map.serialize_entry("status", self.status.as_str())?;
        map.serialize_entry("project_id", &self.project_id)?;
        map.serialize_entry(
            "resource",
            &json!({
                "type": kind, "id": self.resource_id, "instance_id": self.instance_id, "name": self.name,
            }),
        )?;
        map.serialize_entry("generation", &self.generation)?;
        match &self.parameters {
            Some(parameters) => map.serialize_entry("parameters", parameters)?,
            None => map.serialize_entry("parameters", &json!({}))?,
        }
        map.serialize_entry(
            "actor",
            &json!({ "kind": self.actor_kind, "id": self.actor_id, "name": self.actor_name }),
        )?;
        map.serialize_entry("request_id", &self.request_id)?;
        map.serialize_entry("error", &self.error)?;
        map.serialize_entry("created_at", &rfc3339(self.created_at))?;
        map.serialize_entry("updated_at", &rfc3339(self.updated_at))?;
        map.serialize_entry("finished_at", &self.finished_at.map(rfc3339))?;
        map.end()
    }
}

/// Which operations a page is of.
#[derive(Clone, Debug)]
pub(crate) struct OperationFilter {
    /// Types by slug and plural, each group with the projects where the caller sees rows of them.
    pub(crate) visible: Vec<(Projects, Vec<(&'static str, &'static str)>)>,
    /// Only this project.
    pub(crate) project: Option<Uuid>,
    /// Which part.
    pub(crate) page: PageAt,
}

/// Texts that do not depend on the request.
#[derive(Debug)]
pub(super) struct OperationStatements {
    insert: Statement,
    by_id: Statement,
    unfinished: Statement,
    run: Statement,
    finish: Statement,
    cancel: Statement,
    retire: Statement,
}

mod own {
    pub(super) const ID: usize = 0;
    pub(super) const INSTANCE: usize = 1;
    pub(super) const GENERATION: usize = 2;
    pub(super) const STATUS: usize = 3;
    pub(super) const ERROR: usize = 4;
    pub(super) const NOW: usize = 5;
    pub(super) const LIMIT: usize = 6;
    pub(super) const EPOCH: usize = 7;
    pub(super) const LEN: usize = 8;
}

fn col(name: &str) -> SimpleExpr {
    Expr::col(Alias::new(name))
}

fn select() -> SelectStatement {
    Query::select().columns(COLUMNS.map(Alias::new)).from(Alias::new(TABLE)).to_owned()
}

/// Finds an operation of the instance of slot 0 that has not ended; the limit is slot 1.
pub(super) fn unfinished(dialect: Dialect) -> Statement {
    let some = Query::select()
        .expr(Expr::cust("1"))
        .from(Alias::new(TABLE))
        .and_where(col("instance_id").eq(slot(0)))
        .and_where(col("finished_at").is_null())
        .limit(1)
        .to_owned();
    Statement::new(dialect, &some)
}

impl OperationStatements {
    pub(super) fn new(dialect: Dialect) -> Self {
        let mut insert = Query::insert();
        insert.into_table(Alias::new(TABLE)).columns(COLUMNS.map(Alias::new));
        // It fails only when columns and values differ in number.
        let _ = insert.values((0..COLUMNS.len()).map(slot));
        let update = || {
            let mut update = Query::update();
            update
                .table(Alias::new(TABLE))
                .value(Alias::new("status"), slot(own::STATUS))
                .value(Alias::new("updated_at"), slot(own::NOW));
            update
        };
        let held = || held(dialect, own::INSTANCE, own::EPOCH, true);
        let run = update()
            .and_where(col("instance_id").eq(slot(own::INSTANCE)))
            .and_where(col("finished_at").is_null())
            .and_where(col("generation").lte(slot(own::GENERATION)))
            .and_where(col("status").eq(Expr::cust("'PENDING'")))
            .and_where(held())
            .to_owned();
        let cancel = update()
            .value(Alias::new("error"), slot(own::ERROR))
            .value(Alias::new("finished_at"), slot(own::NOW))
            .and_where(col("id").eq(slot(own::ID)))
            .and_where(col("finished_at").is_null())
            .returning_col(Alias::new("id"))
            .to_owned();
        let finish = cancel.clone().and_where(held()).to_owned();
        let old = Query::select()
            .column(Alias::new("id"))
            .from(Alias::new(TABLE))
            .and_where(col("finished_at").lt(slot(own::NOW)))
            .limit(own::LIMIT as u64)
            .to_owned();
        let retire = Query::delete()
            .from_table(Alias::new(TABLE))
            .and_where(col("id").in_subquery(old))
            .returning_col(Alias::new("id"))
            .to_owned();
        Self {
            insert: Statement::new(dialect, &insert),
            by_id: Statement::new(dialect, select().and_where(col("id").eq(slot(own::ID)))),
            unfinished: Statement::new(
                dialect,
                select()
                    .and_where(col("instance_id").eq(slot(own::INSTANCE)))
                    .and_where(col("finished_at").is_null()),
            ),
            run: Statement::new(dialect, &run),
            finish: Statement::new(dialect, &finish),
            cancel: Statement::new(dialect, &cancel),
            retire: Statement::new(dialect, &retire),
        }
    }

    /// Keeps a new operation, in the transaction of its change.
    pub(super) async fn insert(&self, tx: &mut Tx, record: &OperationRecord) -> Result<(), StoreError> {
        let args = [
            record.id.into(),
            record.project_id.into(),
            record.slug.as_str().into(),
            record.plural.as_str().into(),
            record.resource_id.into(),
            record.instance_id.into(),
            record.name.as_str().into(),
            record.action.as_str().into(),
            record.status.as_str().into(),
            record.generation.into(),
            Arg::Json(record.parameters.clone()),
            Arg::Json(record.error.clone()),
            record.actor_kind.as_str().into(),
            record.actor_id.into(),
            record.actor_name.as_str().into(),
            record.request_id.as_str().into(),
            record.created_at.into(),
            record.updated_at.into(),
            record.finished_at.into(),
        ];
        tx.execute("keep an operation", &self.insert, &args).await.map(drop)
    }
}

fn read(row: &Row) -> Result<OperationRecord, StoreError> {
    let status = row.text(8).required("status")?;
    let status = OperationStatus::parse(&status).ok_or_else(|| StoreError::Corrupt {
        action: "read an operation",
        detail: format!("there is no status {status:?}"),
    })?;
    Ok(OperationRecord {
        id: row.uuid(0).required("id")?,
        project_id: row.uuid(1).required("project_id")?,
        slug: row.text(2).required("type")?,
        plural: row.text(3).required("plural")?,
        resource_id: row.uuid(4).required("resource_id")?,
        instance_id: row.uuid(5).required("instance_id")?,
        name: row.text(6).required("name")?,
        action: row.text(7).required("action")?,
        status,
        generation: row.int(9).required("generation")?,
        parameters: row.json(10)?,
        error: row.json(11)?,
        actor_kind: row.text(12).required("actor_kind")?,
        actor_id: row.uuid(13)?,
        actor_name: row.text(14).required("actor_name")?,
        request_id: row.text(15).required("request_id")?,
        created_at: row.time(16).required("created_at")?,
        updated_at: row.time(17).required("updated_at")?,
        finished_at: row.time(18)?,
    })
}

fn ending(record: &OperationRecord, status: OperationStatus) -> Vec<Arg> {
    let mut args = vec![Arg::Text(None); own::LEN];
    args[own::ID] = Arg::from(record.id);
    args[own::STATUS] = Arg::from(status.as_str());
    args[own::ERROR] = Arg::Json(None);
    args[own::NOW] = Arg::from(now());
    args
}

impl Store {
    /// The operation of that id.
    pub(crate) async fn operation(&self, id: Uuid) -> Result<Option<OperationRecord>, StoreError> {
        let rows = self.database.fetch("read an operation", &self.operation.by_id, &[Arg::from(id)]).await?;
        rows.first().map(read).transpose()
    }

    /// The operations of an instance and the rows below it that have not ended.
    pub(crate) async fn unfinished_operations(
        &self,
        instance: Uuid,
    ) -> Result<Vec<OperationRecord>, StoreError> {
        let args = [Arg::Uuid(None), Arg::from(instance)];
        let rows = self.database.fetch("read operations", &self.operation.unfinished, &args).await?;
        rows.iter().map(read).collect()
    }

    /// Marks the operations of an instance up to a generation as running. Nothing happens when the lease is lost.
    pub(crate) async fn run_operations(&self, lease: &Claim, generation: i64) -> Result<(), StoreError> {
        let mut args = vec![Arg::Text(None); own::LEN];
        args[own::INSTANCE] = Arg::from(lease.resource_id);
        args[own::EPOCH] = Arg::from(lease.epoch);
        args[own::GENERATION] = Arg::from(generation);
        args[own::STATUS] = Arg::from(OperationStatus::Running.as_str());
        args[own::NOW] = Arg::from(now());
        self.run_write("run operations", &self.operation.run, args).await.map(drop)
    }

    /// Ends an operation as a pass has found it. `false` when it had ended before, or the lease is lost.
    pub(crate) async fn finish_operation(
        &self,
        lease: &Claim,
        record: &OperationRecord,
        status: OperationStatus,
        error: Option<&Value>,
    ) -> Result<bool, StoreError> {
        let mut args = ending(record, status);
        args[own::INSTANCE] = Arg::from(lease.resource_id);
        args[own::EPOCH] = Arg::from(lease.epoch);
        args[own::ERROR] = Arg::Json(error.map(super::raw_json));
        let rows = self.run_write("end an operation", &self.operation.finish, args).await?;
        self.changed(record.instance_id);
        Ok(!rows.is_empty())
    }

    /// Ends an operation because somebody asks for it, unless it has ended.
    pub(crate) async fn cancel_operation(&self, record: &OperationRecord) -> Result<(), StoreError> {
        let args = ending(record, OperationStatus::Cancelled);
        self.run_write("cancel an operation", &self.operation.cancel, args).await?;
        self.changed(record.instance_id);
        Ok(())
    }

    /// A page, and one more than the limit when there are more.
    pub(crate) async fn operations(
        &self,
        filter: &OperationFilter,
    ) -> Result<Vec<OperationRecord>, StoreError> {
        let mut args = first_args(&filter.page.listing, filter.page.limit);
        let mut put = |arg: Arg| {
            args.push(arg);
            slot(args.len() - 1)
        };
        let mut query = select();
        let mut visible = Expr::cust("1 = 0");
        for (projects, types) in &filter.visible {
            let mut of_types = Expr::cust("1 = 0");
            for (slug, plural) in types {
                let is_it = col("type").eq(put((*slug).into())).and(col("plural").eq(put((*plural).into())));
                of_types = of_types.or(is_it);
            }
            let group = match projects {
                Projects::All => of_types,
                Projects::Some(projects) if projects.is_empty() => continue,
                Projects::Some(projects) => {
                    let projects: Vec<_> = projects.iter().map(|project| put((*project).into())).collect();
                    of_types.and(col("project_id").is_in(projects))
                }
            };
            visible = visible.or(group);
        }
        query.and_where(visible);
        if let Some(project) = filter.project {
            query.and_where(col("project_id").eq(put(project.into())));
        }
        let dialect = self.database.dialect();
        narrow(dialect, &mut query, &filter.page.listing, &mut args);
        let statement = Statement::new(dialect, &query);
        let rows = self.database.fetch("list operations", &statement, &args).await?;
        rows.iter().map(read).collect()
    }

    /// Removes operations that ended before `before`, a bounded number. Answers whether there may be more.
    pub(crate) async fn retire_operations(&self, before: DateTime<Utc>) -> Result<bool, StoreError> {
        let mut args = vec![Arg::Text(None); own::LIMIT + 1];
        args[own::NOW] = Arg::from(before);
        args[own::LIMIT] = Arg::from(STEP.cast_signed());
        let rows = self.run_write("remove old operations", &self.operation.retire, args).await?;
        Ok(rows.len() as u64 == STEP)
    }
}

#[cfg(test)]
mod tests;
