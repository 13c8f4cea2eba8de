//! [`Resync`]: has every instance looked at again, a bounded batch at a time.
//!
//! For operators: after a restore, or when something outside was changed by hand. An instance that is as it should be
//! is read and nothing of it is written.

use sea_query::{Alias, Expr, ExprTrait, Order, Query, SelectStatement, SimpleExpr};
use uuid::Uuid;

use super::database::Database;
use super::error::StoreError;
use super::now;
use super::resources::statements::{slots, wake_conflict, wake_values};
use super::statement::{Dialect, Statement, slot};
use super::value::{Arg, Required};
use super::work::clock;
use crate::descriptor::TypeDescriptor;

/// Wakes the instances of one type in the order of their ids.
#[derive(Debug)]
pub struct Resync<'a> {
    database: &'a Database,
    wake: Statement,
    backlog: Statement,
    slug: &'static str,
    after: Option<Uuid>,
}

/// Numbers of values beside those of [`slots`], which these statements do not use.
const AFTER: usize = slots::ID;
const LIMIT: usize = slots::PARENT;

impl<'a> Resync<'a> {
    /// Begins with the oldest instance of `ty`, which must be an instance type.
    pub fn new(database: &'a Database, ty: &TypeDescriptor) -> Self {
        let dialect = database.dialect();
        let (columns, values): (Vec<_>, Vec<SimpleExpr>) = wake_values(dialect)
            .into_iter()
            .map(|(name, value)| match name {
                "resource_id" => (Alias::new(name), Expr::col(Alias::new("id"))),
                _ => (Alias::new(name), value),
            })
            .unzip();
        let mut instances: SelectStatement = Query::select();
        instances
            .exprs(values)
            .from(Alias::new(ty.table()))
            .and_where(Expr::col(Alias::new("id")).gt(slot(AFTER)))
            .order_by(Alias::new("id"), Order::Asc)
            .limit(LIMIT as u64);
        let mut wake = Query::insert();
        wake.into_table(Alias::new("metapaas_work"))
            .columns(columns)
            .on_conflict(wake_conflict())
            .returning_col(Alias::new("resource_id"));
        // It fails only when columns and values differ in number, and they come in pairs.
        let _ = wake.select_from(instances);
        let due = Query::select()
            .expr(Expr::cust("1"))
            .from(Alias::new("metapaas_work"))
            .and_where(Expr::col(Alias::new("due_at")).lte(clock(dialect, slots::NOW)))
            .limit(LIMIT as u64)
            .to_owned();
        let backlog =
            Query::select().expr(Expr::cust("count(*)")).from_subquery(due, Alias::new("due")).to_owned();
        Self {
            database,
            wake: Statement::new(dialect, &wake),
            backlog: Statement::new(dialect, &backlog),
            slug: ty.slug,
            after: None,
        }
    }

    /// Wakes up to `limit` more instances and answers how many there were: fewer than asked for at the end.
    ///
    /// # Errors
    /// See [`StoreError`]; the batch may be tried again then.
    pub async fn wake(&mut self, limit: u16) -> Result<usize, StoreError> {
        const ACTION: &str = "wake instances";
        let mut args = self.arguments(limit);
        args[AFTER] = Arg::from(self.after.unwrap_or_default());
        args[slots::SLUG] = Arg::from(self.slug);
        let rows = match self.database.dialect() {
            Dialect::Postgres => self.database.fetch(ACTION, &self.wake, &args).await?,
            Dialect::Sqlite => {
                let wake = self.wake.clone();
                self.database
                    .write(ACTION, move |tx| Box::pin(async move { tx.fetch(ACTION, &wake, &args).await }))
                    .await?
            }
        };
        for row in &rows {
            self.after = self.after.max(Some(row.uuid(0).required("resource_id")?));
        }
        Ok(rows.len())
    }

    /// How much work is due and not begun, counted up to `limit`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn backlog(&self, limit: u16) -> Result<usize, StoreError> {
        let rows = self.database.fetch("look at the queue", &self.backlog, &self.arguments(limit)).await?;
        let count = rows.first().map(|row| row.int(0).required("count")).transpose()?;
        Ok(usize::try_from(count.unwrap_or_default()).unwrap_or_default())
    }

    fn arguments(&self, limit: u16) -> Vec<Arg> {
        let mut args = vec![Arg::Text(None); slots::SLUG + 1];
        args[slots::NOW] = Arg::from(now());
        args[LIMIT] = Arg::from(i64::from(limit));
        args
    }
}
