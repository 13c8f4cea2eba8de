//! Old events go: each type's after its own time, a bounded look at a time.

use chrono::{DateTime, Utc};
use sea_query::{Alias, Expr, ExprTrait, Order, Query};

use super::Store;
use super::error::StoreError;
use super::statement::{Statement, slot};
use super::value::{Arg, Required};

/// Events looked at in one go.
const LOOK: u64 = 1000;

impl Store {
    /// Looks at the next events after `after` and removes those made before what `cutoff` says for their slug and
    /// plural. Answers where to go on, or `None` when the rest is newer than `youngest`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn retire_events(
        &self,
        after: i64,
        youngest: DateTime<Utc>,
        cutoff: &(dyn Fn(&str, &str) -> DateTime<Utc> + Sync),
    ) -> Result<Option<i64>, StoreError> {
        let dialect = self.database.dialect();
        let table = || Alias::new("metapaas_events");
        let col = |name: &str| Expr::col(Alias::new(name));
        let select = Query::select()
            .columns(["seq", "at", "type", "plural"].map(Alias::new))
            .from(table())
            .and_where(col("seq").gt(slot(0)))
            .order_by(Alias::new("seq"), Order::Asc)
            // Slot 1, as all numbers in statements are slots.
            .limit(1)
            .to_owned();
        let args = [Arg::from(after), Arg::from(LOOK.cast_signed())];
        let rows = self.database.fetch("look at events", &Statement::new(dialect, &select), &args).await?;
        let mut last = None;
        let mut old = Vec::new();
        for row in &rows {
            let seq = row.int(0).required("seq")?;
            let at = row.time(1).required("at")?;
            if at >= youngest {
                last = None;
                break;
            }
            if at < cutoff(&row.text(2).required("type")?, &row.text(3).required("plural")?) {
                old.push(Arg::from(seq));
            }
            last = Some(seq);
        }
        if !old.is_empty() {
            let delete = Query::delete()
                .from_table(table())
                .and_where(col("seq").is_in((0..old.len()).map(slot)))
                .to_owned();
            self.run_write("remove old events", &Statement::new(dialect, &delete), old).await?;
        }
        Ok(last)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{self, postgres, sqlite};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn events_go_after_the_time_of_their_type_and_no_sooner() {
        for database in [sqlite().await, postgres().await] {
            let store = testing::store(&database, vec![]).await;
            let now = super::super::now();
            for (seq, days, slug) in [(1, 9, "long"), (2, 5, "short"), (3, 1, "short"), (4, 0, "short")] {
                let at = now - chrono::Duration::days(days);
                let at = match store.database.dialect() {
                    crate::store::Dialect::Sqlite => at.timestamp_micros().to_string(),
                    crate::store::Dialect::Postgres => format!("'{}'", at.to_rfc3339()),
                };
                database
                    .run(&format!(
                        "INSERT INTO metapaas_events (seq, at, project_id, type, plural, resource_id, name, action, \
                         actor_kind, actor_name, request_id, generation) VALUES ({seq}, {at}, \
                         '00000000-0000-0000-0000-000000000001', '{slug}', 'instances', \
                         '00000000-0000-0000-0000-000000000001', 'n', 'a', 'system', 's', 'r', 0)"
                    ))
                    .await;
            }
            let cutoff = |slug: &str, _: &str| {
                now - if slug == "long" { chrono::Duration::days(30) } else { chrono::Duration::days(3) }
            };
            let next = store.retire_events(0, now - chrono::Duration::days(3), &cutoff).await.unwrap();
            assert_eq!(next, None, "the rest is newer");
            assert_eq!(database.int("SELECT count(*) FROM metapaas_events").await, Some(3));
            assert_eq!(database.int("SELECT count(*) FROM metapaas_events WHERE seq = 2").await, Some(0));
        }
    }
}
