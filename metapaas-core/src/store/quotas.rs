//! Quotas: what a project's instances may use, reserved in the transaction of the write that needs it.
//!
//! Rows of `metapaas_quotas` exist only where a limit is set; projects without any pay one look at an empty index. In
//! a project with limits every instance has a row of `metapaas_reservations` with all that it uses, so that
//! `used` = the sum of the reservations = what a recount of the plans says.
//!
//! Locks are taken in one order: instance rows (or, for a recount, their tables), then quota rows by resource.

mod count;

use std::collections::BTreeMap;
use std::sync::Arc;

use sea_query::{Alias, Expr, ExprTrait, OnConflict, Query, SimpleExpr};
use serde::Serialize;
use uuid::Uuid;

pub use self::count::{NewProjectLimits, QuotaItem};
use super::database::Tx;
use super::desired::{Beside, wanted};
use super::error::StoreError;
use super::iam::audit::AuditSql;
use super::raw_json;
use super::resources::rows::read_resource;
use super::resources::statements::slots;
use super::resources::statements::{TypeStatements, children_between, rows_in_project};
use super::statement::{Dialect, Statement, slot};
use super::value::{Arg, Required, Row};
use crate::error::{Error, ErrorCode};
use crate::offer::Ties;
use crate::registry::{RegisteredType, Registry};
use crate::resource::Resource;
use crate::secret::KeyRing;

const QUOTAS: &str = "metapaas_quotas";
const RESERVATIONS: &str = "metapaas_reservations";

/// The key of a node's resources that is counted as disk.
const DISK_GB: &str = "disk_gb";

/// How much of each kind of resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Amounts(BTreeMap<String, i64>);

impl Amounts {
    fn get(&self, resource: &str) -> i64 {
        self.0.get(resource).copied().unwrap_or_default()
    }

    fn add(&mut self, other: &Self) {
        for (resource, amount) in &other.0 {
            let sum = self.0.entry(resource.clone()).or_default();
            *sum = sum.saturating_add(*amount);
        }
    }

    fn parse(row: &Row, column: usize) -> Result<Self, StoreError> {
        let raw = row.json(column).required("amounts")?;
        serde_json::from_str(raw.get())
            .map(Self)
            .map_err(|error| StoreError::Corrupt { action: "read a reservation", detail: error.to_string() })
    }
}

/// Every kind of resource that limits can be set on.
pub fn quota_resources(registry: &Registry) -> Vec<String> {
    let of_types = registry.roots().map(|root| format!("instances:{}", root.ty.slug));
    ["instances".to_owned()].into_iter().chain(of_types).chain(["nodes".into(), DISK_GB.into()]).collect()
}

/// Reserves and counts, with all that it needs to do so inside of a transaction.
#[derive(Debug)]
pub(crate) struct Quotas {
    registry: Arc<Registry>,
    keys: Arc<KeyRing>,
    types: Vec<TypeSql>,
    /// Takes the tables of all instances for a recount; writers wait.
    lock: Option<Statement>,
    limits: Statement,
    add: Statement,
    reservation: Statement,
    reservations: Statement,
    reserve: Statement,
    release: Statement,
    insert_limit: Statement,
    clear_limits: Statement,
    clear_reservations: Statement,
    audit: AuditSql,
}

#[derive(Debug)]
struct TypeSql {
    by_id: Statement,
    of_instance: Statement,
    in_project: Statement,
    between: Statement,
}

mod own {
    pub(super) const PROJECT: usize = 0;
    pub(super) const RESOURCE: usize = 1;
    pub(super) const AMOUNT: usize = 2;
    pub(super) const INSTANCE: usize = 3;
    pub(super) const AMOUNTS: usize = 4;
    pub(super) const LIMIT: usize = 5;
    pub(super) const LEN: usize = 6;
}

fn col(name: &str) -> SimpleExpr {
    Expr::col(Alias::new(name))
}

/// Holds when nothing limits the project whose id is in that slot.
pub(in crate::store) fn without_limits(project: usize) -> SimpleExpr {
    let rows = Query::select()
        .expr(Expr::cust("1"))
        .from(Alias::new(QUOTAS))
        .and_where(Expr::col((Alias::new(QUOTAS), Alias::new("project_id"))).eq(slot(project)))
        .to_owned();
    Expr::exists(rows).not()
}

impl Quotas {
    pub(super) fn new(
        dialect: Dialect,
        registry: Arc<Registry>,
        keys: Arc<KeyRing>,
        types: &[TypeStatements],
    ) -> Self {
        let own_types = registry.types().iter().zip(types).map(|(registered, statements)| TypeSql {
            by_id: statements.by_id.clone(),
            of_instance: statements.of_instance.clone(),
            in_project: Statement::new(dialect, &rows_in_project(registered.ty)),
            between: Statement::new(dialect, &children_between(registered.ty)),
        });
        let types = own_types.collect();
        let lock = match dialect {
            // It has one writer.
            Dialect::Sqlite => None,
            Dialect::Postgres => {
                let mut tables: Vec<String> =
                    registry.roots().map(|root| format!("\"{}\"", root.ty.table())).collect();
                tables.sort_unstable();
                (!tables.is_empty()).then(|| {
                    let tables = tables.join(", ");
                    Statement::raw(&format!("LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE"))
                })
            }
        };
        let of_project = || col("project_id").eq(slot(own::PROJECT));
        let of_instance = || col("instance_id").eq(slot(own::INSTANCE));
        let limits = Query::select()
            .columns(["resource", "limit_value", "used"].map(Alias::new))
            .from(Alias::new(QUOTAS))
            .and_where(of_project())
            .order_by(Alias::new("resource"), sea_query::Order::Asc)
            .to_owned();
        let fits = Expr::expr(slot(own::AMOUNT))
            .lte(Expr::cust("0"))
            .or(col("used").add(slot(own::AMOUNT)).lte(col("limit_value")));
        let add = Query::update()
            .table(Alias::new(QUOTAS))
            .value(Alias::new("used"), col("used").add(slot(own::AMOUNT)))
            .and_where(of_project())
            .and_where(col("resource").eq(slot(own::RESOURCE)))
            .and_where(fits)
            .returning_col(Alias::new("used"))
            .to_owned();
        let reservation = Query::select()
            .column(Alias::new("amounts"))
            .from(Alias::new(RESERVATIONS))
            .and_where(of_instance())
            .to_owned();
        let reservations = Query::select()
            .columns(["instance_id", "amounts"].map(Alias::new))
            .from(Alias::new(RESERVATIONS))
            .and_where(of_project())
            .and_where(col("instance_id").gt(slot(own::INSTANCE)))
            .order_by(Alias::new("instance_id"), sea_query::Order::Asc)
            .limit(own::LIMIT as u64)
            .to_owned();
        let mut reserve = Query::insert();
        reserve
            .into_table(Alias::new(RESERVATIONS))
            .columns(["instance_id", "project_id", "amounts"].map(Alias::new))
            .on_conflict(
                OnConflict::column(Alias::new("instance_id")).update_column(Alias::new("amounts")).to_owned(),
            );
        // It fails only when columns and values differ in number.
        let _ = reserve.values([slot(own::INSTANCE), slot(own::PROJECT), slot(own::AMOUNTS)]);
        let release = Query::delete()
            .from_table(Alias::new(RESERVATIONS))
            .and_where(of_instance())
            .returning(Query::returning().columns(["project_id", "amounts"].map(Alias::new)))
            .to_owned();
        let mut insert_limit = Query::insert();
        insert_limit
            .into_table(Alias::new(QUOTAS))
            .columns(["project_id", "resource", "limit_value", "used"].map(Alias::new));
        let values = [slot(own::PROJECT), slot(own::RESOURCE), slot(own::LIMIT), slot(own::AMOUNT)];
        let _ = insert_limit.values(values);
        let clear =
            |table: &str| Query::delete().from_table(Alias::new(table)).and_where(of_project()).to_owned();
        Self {
            registry,
            keys,
            types,
            lock,
            limits: Statement::new(dialect, &limits),
            add: Statement::new(dialect, &add),
            reservation: Statement::new(dialect, &reservation),
            reservations: Statement::new(dialect, &reservations),
            reserve: Statement::new(dialect, &reserve),
            release: Statement::new(dialect, &release),
            insert_limit: Statement::new(dialect, &insert_limit),
            clear_limits: Statement::new(dialect, &clear(QUOTAS)),
            clear_reservations: Statement::new(dialect, &clear(RESERVATIONS)),
            audit: AuditSql::new(dialect),
        }
    }

    /// Brings the reservation of an instance in line with what its rows, as this transaction has them, will use.
    /// The caller holds the instance's row, so that nobody else changes what is below it meanwhile.
    ///
    /// # Errors
    /// `QuotaExceeded` with the numbers; the caller gives up the transaction.
    pub(super) async fn settle(
        &self,
        tx: &mut Tx,
        project: Uuid,
        root: usize,
        instance: Uuid,
    ) -> Result<(), Error> {
        let mut args = arguments();
        args[own::PROJECT] = Arg::from(project);
        args[own::INSTANCE] = Arg::from(instance);
        let limits = tx.fetch("read limits", &self.limits, &args).await?;
        if limits.is_empty() {
            return Ok(());
        }
        let rows = tx.fetch("read a reservation", &self.reservation, &args).await?;
        let before = rows.first().map(|row| Amounts::parse(row, 0)).transpose()?;
        let root = &self.registry.types()[root];
        let (row, children) = self.tree(tx, root, instance).await?;
        let after = self.amounts(root, &row, &children, before.as_ref());
        let before = before.unwrap_or_default();
        if before == after {
            return Ok(());
        }
        for limit in &limits {
            let resource = limit.text(0).required("resource")?;
            let more = after.get(&resource) - before.get(&resource);
            if more == 0 {
                continue;
            }
            args[own::RESOURCE] = Arg::from(resource.as_str());
            args[own::AMOUNT] = Arg::from(more);
            if tx.fetch("reserve", &self.add, &args).await?.is_empty() {
                return Err(self.exceeded(tx, &args, &resource, more).await);
            }
        }
        args[own::AMOUNTS] = Arg::from(raw_json(&after));
        tx.execute("keep a reservation", &self.reserve, &args).await?;
        Ok(())
    }

    /// Gives back what an instance that is no more has reserved.
    pub(super) async fn release(&self, tx: &mut Tx, instance: Uuid) -> Result<(), StoreError> {
        let mut args = arguments();
        args[own::INSTANCE] = Arg::from(instance);
        let rows = tx.fetch("release a reservation", &self.release, &args).await?;
        let Some(row) = rows.first() else { return Ok(()) };
        args[own::PROJECT] = Arg::from(row.uuid(0).required("project_id")?);
        for (resource, amount) in Amounts::parse(row, 1)?.0 {
            if amount != 0 {
                args[own::RESOURCE] = Arg::from(resource);
                args[own::AMOUNT] = Arg::from(-amount);
                tx.fetch("release a reservation", &self.add, &args).await?;
            }
        }
        Ok(())
    }

    async fn exceeded(&self, tx: &mut Tx, args: &[Arg], resource: &str, requested: i64) -> Error {
        let limits = tx.fetch("read limits", &self.limits, args).await;
        let numbers = limits.and_then(|rows| {
            let row = rows.iter().find(|row| matches!(row.text(0), Ok(Some(name)) if name == resource));
            row.map(|row| Ok((row.int(1).required("limit_value")?, row.int(2).required("used")?))).transpose()
        });
        match numbers {
            Ok(Some((limit, used))) => Error::new(
                ErrorCode::QuotaExceeded,
                format!(
                    "this takes {requested} more of {resource}; the project may have {limit} and has {used}"
                ),
            )
            .with("resource", resource)
            .with("limit", limit)
            .with("used", used)
            .with("requested", requested),
            // The limit went just now.
            Ok(None) => Error::new(ErrorCode::Unavailable, "the project's limits change; try again"),
            Err(error) => error.into(),
        }
    }

    /// An instance and all rows below it, as the transaction sees them.
    async fn tree(
        &self,
        tx: &mut Tx,
        root: &RegisteredType,
        id: Uuid,
    ) -> Result<(Resource, Vec<Vec<Resource>>), StoreError> {
        let mut args = vec![Arg::Uuid(None); slots::INSTANCE + 1];
        args[slots::ID] = Arg::from(id);
        args[slots::INSTANCE] = Arg::from(id);
        let rows = tx.fetch("read an instance", &self.types[root.index].by_id, &args).await?;
        let row = rows.first().ok_or_else(|| StoreError::Corrupt {
            action: "read an instance",
            detail: format!("{id} is not there"),
        })?;
        let instance = read_resource(root.ty, row)?;
        let mut children = Vec::new();
        // Without a plan nothing below the instance counts.
        if self.registry.plan(root.ty.slug).is_some() {
            for child in self.registry.below(root.index) {
                let rows = tx.fetch("read children", &self.types[child.index].of_instance, &args).await?;
                children.push(rows.iter().map(|row| read_resource(child.ty, row)).collect::<Result<_, _>>()?);
            }
        }
        Ok((instance, children))
    }

    /// What an instance uses. One whose plan cannot be made keeps what it has, as its nodes stay as they are; so does
    /// one on its way out, until its row goes.
    fn amounts(
        &self,
        root: &RegisteredType,
        instance: &Resource,
        children: &[Vec<Resource>],
        before: Option<&Amounts>,
    ) -> Amounts {
        if instance.is_deleting()
            && let Some(before) = before
        {
            return before.clone();
        }
        let beside = Beside { ties: &Ties::default(), uploads: &[] };
        let (nodes, disk) = match wanted(&self.registry, &self.keys, root, instance, children, &[], beside) {
            Ok(planned) => {
                let specs = planned.nodes;
                let gigabytes = specs.iter().filter_map(|spec| spec.resources.get(DISK_GB)).map(whole);
                (i64::try_from(specs.len()).unwrap_or(i64::MAX), gigabytes.fold(0, i64::saturating_add))
            }
            Err(_) => before.map_or((0, 0), |before| (before.get("nodes"), before.get(DISK_GB))),
        };
        let all = [
            ("instances".to_owned(), 1),
            (format!("instances:{}", root.ty.slug), 1),
            ("nodes".to_owned(), nodes),
            (DISK_GB.to_owned(), disk),
        ];
        Amounts(all.into_iter().collect())
    }
}

fn arguments() -> Vec<Arg> {
    vec![Arg::Text(None); own::LEN]
}

/// A number of gigabytes, rounded up.
fn whole(value: &serde_json::Value) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a cast of a float to an integer saturates")]
    value
        .as_i64()
        .or_else(|| value.as_f64().map(|number| number.ceil() as i64))
        .filter(|number| *number > 0)
        .unwrap_or_default()
}
