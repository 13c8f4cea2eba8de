//! Control planes that share the database, small questions to it, and settings of the installation.

use std::time::Duration;

use sea_query::{Alias, Expr, ExprTrait, OnConflict, Order, Query};
use uuid::Uuid;

use super::error::StoreError;
use super::statement::{Statement, slot};
use super::value::{Arg, Required};
use super::work::{clock, clock_after};
use super::{Store, now};
use crate::error::Error;

impl Store {
    /// Whether the database answers.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn ping(&self) -> Result<(), Error> {
        let statement =
            Statement::new(self.database.dialect(), &Query::select().expr(Expr::cust("1")).to_owned());
        self.database.fetch("ask the database", &statement, &[]).await?;
        Ok(())
    }

    /// Says that the control plane `id` is alive at `url`, forgets those that have said nothing for `silence`, and
    /// answers the URLs of the others. The clock is the database's, which all of them share.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn replica_heartbeat(
        &self,
        id: Uuid,
        url: &str,
        silence: Duration,
    ) -> Result<Vec<String>, StoreError> {
        let dialect = self.database.dialect();
        let table = || Alias::new("metapaas_replicas");
        let mut insert = Query::insert();
        insert
            .into_table(table())
            .columns(["id", "url", "started_at", "seen_at", "sealing_key"].map(Alias::new))
            .on_conflict(
                OnConflict::column(Alias::new("id"))
                    .update_columns(["url", "seen_at", "sealing_key"].map(Alias::new))
                    .to_owned(),
            );
        // It fails only when columns and values differ in number.
        let _ = insert.values([slot(0), slot(1), clock(dialect, 2), clock(dialect, 2), slot(5)]);
        let forget = Query::delete()
            .from_table(table())
            .and_where(Expr::col(Alias::new("seen_at")).lt(clock_after(dialect, 2, 3)))
            .to_owned();
        let select = Query::select()
            .column(Alias::new("url"))
            .from(table())
            .order_by(Alias::new("started_at"), Order::Asc)
            // Slot 4, as all numbers in statements are slots.
            .limit(4)
            .to_owned();
        let key = self.keys.ids().into_iter().next();
        let before = i64::try_from(silence.as_millis()).unwrap_or(i64::MAX).saturating_neg();
        let args = vec![
            Arg::from(id),
            Arg::from(url),
            Arg::from(now()),
            Arg::from(before),
            Arg::from(100),
            Arg::Text(key),
        ];
        self.run_write("report a control plane", &Statement::new(dialect, &insert), args.clone()).await?;
        self.run_write("forget control planes", &Statement::new(dialect, &forget), args.clone()).await?;
        let rows =
            self.database.fetch("list control planes", &Statement::new(dialect, &select), &args).await?;
        rows.iter().map(|row| row.text(0).required("url")).collect()
    }

    /// Takes a control plane that stops off the list.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn replica_gone(&self, id: Uuid) -> Result<(), StoreError> {
        let delete = Query::delete()
            .from_table(Alias::new("metapaas_replicas"))
            .and_where(Expr::col(Alias::new("id")).eq(slot(0)))
            .to_owned();
        let statement = Statement::new(self.database.dialect(), &delete);
        self.run_write("forget a control plane", &statement, vec![Arg::from(id)]).await.map(|_| ())
    }
}
