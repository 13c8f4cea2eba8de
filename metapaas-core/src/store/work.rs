//! The work queue: one row per instance, claimed in batches under a lease.
//!
//! A claim raises the row's epoch. Whoever lost its lease cannot finish, since finishing names the epoch.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_query::{Alias, Expr, ExprTrait, Order, Query};
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
    wake: Statement,
    wake_waiting: Statement,
}

mod own {
    pub(super) const NOW: usize = 0;
    pub(super) const LIMIT: usize = 1;
    pub(super) const OWNER: usize = 2;
    pub(super) const UNTIL: usize = 3;
    pub(super) const ID: usize = 4;
    pub(super) const EPOCH: usize = 5;
    pub(super) const DUE: usize = 6;
    pub(super) const ATTEMPTS: usize = 7;
    pub(super) const ERROR: usize = 8;
    pub(super) const WAITING: usize = 9;
}

impl WorkStatements {
    pub(super) fn new(dialect: Dialect) -> Self {
        let table = || Alias::new("metapaas_work");
        let col = |name: &str| Expr::col(Alias::new(name));
        let mut due = Query::select();
        due.column(Alias::new("resource_id"))
            .from(table())
            .and_where(col("due_at").lte(slot(own::NOW)))
            .and_where(col("lease_until").is_null().or(col("lease_until").lt(slot(own::NOW))))
            .order_by(Alias::new("due_at"), Order::Asc)
            .limit(own::LIMIT as u64);
        if dialect == Dialect::Postgres {
            due.lock_with_behavior(sea_query::LockType::Update, sea_query::LockBehavior::SkipLocked);
        }
        let claim = Query::update()
            .table(table())
            .value(Alias::new("lease_owner"), slot(own::OWNER))
            .value(Alias::new("lease_until"), slot(own::UNTIL))
            // Should this control plane die, the work is due again when the lease ends.
            .value(Alias::new("due_at"), slot(own::UNTIL))
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
                Expr::case(Expr::cust("wake <> claimed_wake"), slot(own::NOW)).finally(slot(own::DUE)),
            )
            .and_where(col("resource_id").eq(slot(own::ID)))
            .and_where(col("epoch").eq(slot(own::EPOCH)))
            .to_owned();
        let forget = Query::delete()
            .from_table(table())
            .and_where(col("resource_id").eq(slot(own::ID)))
            .and_where(col("epoch").eq(slot(own::EPOCH)))
            .and_where(Expr::cust("wake = claimed_wake"))
            .to_owned();
        let wake_waiting = Query::update()
            .table(table())
            .value(Alias::new("due_at"), slot(own::NOW))
            .value(Alias::new("wake"), Expr::cust("wake + 1"))
            .and_where(col("waiting_for").eq(slot(own::WAITING)))
            .to_owned();
        Self {
            claim: Statement::new(dialect, &claim),
            finish: Statement::new(dialect, &finish),
            forget: Statement::new(dialect, &forget),
            wake: wake_statement(dialect),
            wake_waiting: Statement::new(dialect, &wake_waiting),
        }
    }
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
        let now = now();
        let args =
            vec![Arg::from(now), Arg::from(i64::from(limit)), Arg::from(owner), Arg::from(now + lease)];
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
        args[own::NOW] = Arg::from(now());
        args[own::WAITING] = Arg::Text(outcome.waiting_for.map(|id| id.to_string()));
        args[own::ID] = Arg::from(claim.resource_id);
        args[own::EPOCH] = Arg::from(claim.epoch);
        args[own::DUE] = Arg::from(outcome.due_at);
        args[own::ATTEMPTS] = Arg::from(i64::from(outcome.attempts));
        args[own::ERROR] = Arg::Text(outcome.last_error);
        self.run_write("finish work", &self.work.finish, args).await.map(|_| ())
    }

    /// Ends a lease on an instance that is no more. Nothing happens when it was lost or the row was woken.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn forget_work(&self, claim: &Claim) -> Result<(), StoreError> {
        let mut args = vec![Arg::Text(None); own::EPOCH + 1];
        args[own::ID] = Arg::from(claim.resource_id);
        args[own::EPOCH] = Arg::from(claim.epoch);
        self.run_write("forget work", &self.work.forget, args).await.map(|_| ())
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
        let mut args = vec![Arg::Text(None); slots::SLUG + 1];
        args[slots::INSTANCE] = Arg::from(instance);
        args[slots::SLUG] = Arg::from(slug);
        args[slots::NOW] = Arg::from(now());
        self.run_write("wake", &self.work.wake, args).await?;
        self.changed(instance);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
