//! The work queue: one row per instance, claimed in batches under a lease.
//!
//! A claim raises the row's epoch. Whoever lost its lease changes nothing any more: finishing names the epoch, and so
//! does every write of a pass (see `held`).
//!
//! All times of the queue are by the database's clock, so that control planes need not agree on the time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_query::{Alias, Expr, ExprTrait, Order, Query, SimpleExpr};
use uuid::Uuid;

use super::error::StoreError;
use super::resources::statements::{slots, wake_statement};
use super::statement::{Dialect, Statement, slot};
use super::value::{Arg, Required};
use super::{Store, now};

/// A piece of work under a lease.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The instance.
    pub resource_id: Uuid,
    /// Slug of its type.
    pub slug: String,
    /// Tells this lease from earlier and later ones.
    pub epoch: i64,
    /// How often it was claimed since its last change or success.
    pub attempts: u32,
}

/// What becomes of claimed work.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// When to look again; `None` sleeps until something changes.
    pub due_at: Option<DateTime<Utc>>,
    /// Attempts to count on from; 0 after a success.
    pub attempts: u32,
    /// The resource whose change makes it due before.
    pub waiting_for: Option<Uuid>,
    /// Why it is not done, for operators.
    pub last_error: Option<String>,
}

#[derive(Debug)]
pub(super) struct WorkStatements {
    claim: Statement,
    finish: Statement,
    forget: Statement,
    renew: Statement,
    holds: Statement,
    wake: Statement,
    wake_waiting: Statement,
}

mod own {
    pub(super) const NOW: usize = 0;
    pub(super) const LIMIT: usize = 1;
    pub(super) const OWNER: usize = 2;
    /// Milliseconds from now.
    pub(super) const LEASE: usize = 3;
    pub(super) const ID: usize = 4;
    pub(super) const EPOCH: usize = 5;
    /// Milliseconds from now.
    pub(super) const DUE: usize = 6;
    pub(super) const ATTEMPTS: usize = 7;
    pub(super) const ERROR: usize = 8;
    pub(super) const WAITING: usize = 9;
}

impl WorkStatements {
    pub(super) fn new(dialect: Dialect) -> Self {
        let table = || Alias::new("metapaas_work");
        let col = |name: &str| Expr::col(Alias::new(name));
        let now = || clock(dialect, own::NOW);
        let until = || clock_after(dialect, own::NOW, own::LEASE);
        let mut due = Query::select();
        due.column(Alias::new("resource_id"))
            .from(table())
            .and_where(col("due_at").lte(now()))
            .and_where(col("lease_until").is_null().or(col("lease_until").lt(now())))
            .order_by(Alias::new("due_at"), Order::Asc)
            .limit(own::LIMIT as u64);
        if dialect == Dialect::Postgres {
            due.lock_with_behavior(sea_query::LockType::Update, sea_query::LockBehavior::SkipLocked);
        }
        let claim = Query::update()
            .table(table())
            .value(Alias::new("lease_owner"), slot(own::OWNER))
            .value(Alias::new("lease_until"), until())
            // Should this control plane die, the work is due again when the lease ends.
            .value(Alias::new("due_at"), until())
            .value(Alias::new("epoch"), Expr::cust("epoch + 1"))
            .value(Alias::new("attempts"), Expr::cust("attempts + 1"))
            .value(Alias::new("claimed_wake"), Expr::cust("wake"))
            .and_where(col("resource_id").in_subquery(due))
            .returning(
                Query::returning().columns(["resource_id", "type", "epoch", "attempts"].map(Alias::new)),
            )
            .to_owned();
        let finish = Query::update()
            .table(table())
            .value(Alias::new("lease_owner"), Expr::cust("NULL"))
            .value(Alias::new("lease_until"), Expr::cust("NULL"))
            .value(Alias::new("attempts"), slot(own::ATTEMPTS))
            .value(Alias::new("last_error"), slot(own::ERROR))
            .value(Alias::new("waiting_for"), slot(own::WAITING))
            .value(
                Alias::new("due_at"),
                Expr::case(Expr::cust("wake <> claimed_wake"), now()).finally(clock_after(
                    dialect,
                    own::NOW,
                    own::DUE,
                )),
            )
            .and_where(col("resource_id").eq(slot(own::ID)))
            .and_where(col("epoch").eq(slot(own::EPOCH)))
            .to_owned();
        let forget = Query::delete()
            .from_table(table())
            .and_where(col("resource_id").eq(slot(own::ID)))
            .and_where(col("epoch").eq(slot(own::EPOCH)))
            .and_where(Expr::cust("wake = claimed_wake"))
            .returning_col(Alias::new("resource_id"))
            .to_owned();
        let renew = Query::update()
            .table(table())
            .value(Alias::new("lease_until"), until())
            .and_where(col("resource_id").eq(slot(own::ID)))
            .and_where(col("epoch").eq(slot(own::EPOCH)))
            .returning_col(Alias::new("resource_id"))
            .to_owned();
        let holds = Query::select()
            .column(Alias::new("resource_id"))
            .from(table())
            .and_where(col("resource_id").eq(slot(own::ID)))
            .and_where(col("epoch").eq(slot(own::EPOCH)))
            .to_owned();
        let wake_waiting = Query::update()
            .table(table())
            .value(Alias::new("due_at"), now())
            .value(Alias::new("wake"), Expr::cust("wake + 1"))
            .and_where(col("waiting_for").eq(slot(own::WAITING)))
            .to_owned();
        Self {
            claim: Statement::new(dialect, &claim),
            finish: Statement::new(dialect, &finish),
            forget: Statement::new(dialect, &forget),
            renew: Statement::new(dialect, &renew),
            holds: Statement::new(dialect, &holds),
            wake: wake_statement(dialect),
            wake_waiting: Statement::new(dialect, &wake_waiting),
        }
    }
}

/// The time by the clock that all control planes share: the database's. SQLite has one control plane, whose time is
/// the value of `now`.
pub(super) fn clock(dialect: Dialect, now: usize) -> SimpleExpr {
    match dialect {
        Dialect::Postgres => Expr::cust("now()"),
        Dialect::Sqlite => slot(now),
    }
}

/// As many milliseconds later as the value of `milliseconds` says; NULL when that is NULL.
pub(super) fn clock_after(dialect: Dialect, now: usize, milliseconds: usize) -> SimpleExpr {
    let unit = match dialect {
        Dialect::Postgres => "interval '1 millisecond'",
        // Times are microseconds.
        Dialect::Sqlite => "1000",
    };
    clock(dialect, now).add(slot(milliseconds).mul(Expr::cust(unit)))
}

/// Whether the work on the instance is still leased under that epoch: the condition of every write of a pass. A
/// control plane that was stopped for longer than its lease must not write over what another one did meanwhile.
pub(super) fn held(dialect: Dialect, instance: usize, epoch: usize, is_locking: bool) -> SimpleExpr {
    let mut lease = Query::select();
    lease
        .expr(Expr::cust("1"))
        .from(Alias::new("metapaas_work"))
        .and_where(Expr::col(Alias::new("resource_id")).eq(slot(instance)))
        .and_where(Expr::col(Alias::new("epoch")).eq(slot(epoch)));
    // Nobody takes the lease until the write is done. Only for writers that lock no row before this one.
    if is_locking && dialect == Dialect::Postgres {
        lease.lock_shared();
    }
    Expr::exists(lease)
}

fn milliseconds(duration: Duration) -> Arg {
    Arg::from(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

impl Store {
    /// Takes up to `limit` pieces of due work for `owner`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn claim_work(
        &self,
        owner: &str,
        limit: u16,
        lease: Duration,
    ) -> Result<Vec<Claim>, StoreError> {
        let args = vec![Arg::from(now()), Arg::from(i64::from(limit)), Arg::from(owner), milliseconds(lease)];
        let rows = self.run_write("claim work", &self.work.claim, args).await?;
        rows.iter()
            .map(|row| {
                Ok(Claim {
                    resource_id: row.uuid(0).required("resource_id")?,
                    slug: row.text(1).required("type")?,
                    epoch: row.int(2).required("epoch")?,
                    attempts: u32::try_from(row.int(3).required("attempts")?).unwrap_or(u32::MAX),
                })
            })
            .collect()
    }

    /// Ends a lease. Nothing happens when it was lost.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn finish_work(&self, claim: &Claim, outcome: Outcome) -> Result<(), StoreError> {
        let mut args = vec![Arg::Text(None); own::WAITING + 1];
        let now = now();
        args[own::NOW] = Arg::from(now);
        args[own::WAITING] = Arg::Text(outcome.waiting_for.map(|id| id.to_string()));
        args[own::ID] = Arg::from(claim.resource_id);
        args[own::EPOCH] = Arg::from(claim.epoch);
        args[own::DUE] =
            Arg::Int(outcome.due_at.map(|due_at| Ord::max((due_at - now).num_milliseconds(), 0)));
        args[own::ATTEMPTS] = Arg::from(i64::from(outcome.attempts));
        args[own::ERROR] = Arg::Text(outcome.last_error);
        self.run_write("finish work", &self.work.finish, args).await.map(|_| ())
    }

    /// Ends a lease on an instance that is no more. `false` and nothing happens when it was lost or the row was woken.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn forget_work(&self, claim: &Claim) -> Result<bool, StoreError> {
        let args = lease_arguments(claim);
        Ok(!self.run_write("forget work", &self.work.forget, args).await?.is_empty())
    }

    /// Makes a lease end that much from now. `false` when it was lost.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn renew_work(&self, claim: &Claim, lease: Duration) -> Result<bool, StoreError> {
        let mut args = lease_arguments(claim);
        args[own::NOW] = Arg::from(now());
        args[own::LEASE] = milliseconds(lease);
        Ok(!self.run_write("renew a lease", &self.work.renew, args).await?.is_empty())
    }

    /// Whether nobody else has taken the work since: to be asked before an effect outside of the database.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn holds_work(&self, claim: &Claim) -> Result<bool, StoreError> {
        let args = lease_arguments(claim);
        Ok(!self.database.fetch("look at a lease", &self.work.holds, &args).await?.is_empty())
    }

    /// Makes the work due that waits for a change of `resource`. A hint: such work is also looked at by itself.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn wake_waiting(&self, resource: Uuid) -> Result<(), StoreError> {
        let mut args = vec![Arg::Text(None); own::WAITING + 1];
        args[own::NOW] = Arg::from(now());
        args[own::WAITING] = Arg::from(resource.to_string());
        self.run_write("wake what waits", &self.work.wake_waiting, args).await.map(|_| ())
    }

    /// Makes an instance's work due now.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn wake(&self, instance: Uuid, slug: &str) -> Result<(), StoreError> {
        let (statement, args) = self.waking(instance, slug);
        self.run_write("wake", &statement, args).await?;
        self.changed(instance);
        Ok(())
    }

    /// The statement that makes an instance's work due, and its values: for a part of a transaction.
    pub(super) fn waking(&self, instance: Uuid, slug: &str) -> (Statement, Vec<Arg>) {
        let mut args = vec![Arg::Text(None); slots::SLUG + 1];
        args[slots::INSTANCE] = Arg::from(instance);
        args[slots::SLUG] = Arg::from(slug);
        args[slots::NOW] = Arg::from(now());
        (self.work.wake.clone(), args)
    }
}

fn lease_arguments(claim: &Claim) -> Vec<Arg> {
    let mut args = vec![Arg::Text(None); own::EPOCH + 1];
    args[own::ID] = Arg::from(claim.resource_id);
    args[own::EPOCH] = Arg::from(claim.epoch);
    args
}

#[cfg(test)]
mod tests;
