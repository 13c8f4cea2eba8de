//! Old events go: each type's after its own time, a bounded look at a time.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sea_query::{Alias, Expr, ExprTrait, OnConflict, Order, Query};

use super::{col, table};
use crate::registry::RegisteredType;
use crate::store::statement::{Statement, slot};
use crate::store::value::{Arg, Required};
use crate::store::{Store, StoreError};

/// Events looked at in one go.
const LOOK: u64 = 1000;
const COUNTERS: &str = "metapaas_counters";

/// The counter that holds the number of the last event of a type that went.
fn counter(slug: &str, plural: &str) -> String {
    format!("retired:{slug}.{plural}")
}

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
        let mut gone = BTreeMap::new();
        for row in &rows {
            let seq = row.int(0).required("seq")?;
            let at = row.time(1).required("at")?;
            if at >= youngest {
                last = None;
                break;
            }
            let (slug, plural) = (row.text(2).required("type")?, row.text(3).required("plural")?);
            if at < cutoff(&slug, &plural) {
                old.push(Arg::from(seq));
                gone.insert(counter(&slug, &plural), seq);
            }
            last = Some(seq);
        }
        if !old.is_empty() {
            self.remove_events(old, gone).await?;
        }
        Ok(last)
    }

    /// Removes events and notes, in the same transaction, up to where each type's are gone.
    async fn remove_events(&self, old: Vec<Arg>, gone: BTreeMap<String, i64>) -> Result<(), StoreError> {
        let dialect = self.database.dialect();
        let delete = Query::delete()
            .from_table(table())
            .and_where(col("seq").is_in((0..old.len()).map(slot)))
            .to_owned();
        let delete = Statement::new(dialect, &delete);
        // MAX of two values is an aggregate on one database and GREATEST unknown on the other.
        let greater = "CASE WHEN metapaas_counters.value > excluded.value THEN metapaas_counters.value \
                       ELSE excluded.value END";
        let mut note = Query::insert();
        note.into_table(Alias::new(COUNTERS)).columns(["name", "value"].map(Alias::new));
        // It fails only when columns and values differ in number.
        let _ = note.values([slot(0), slot(1)]);
        note.on_conflict(
            OnConflict::column(Alias::new("name")).value(Alias::new("value"), Expr::cust(greater)).to_owned(),
        );
        let note = Statement::new(dialect, &note);
        self.database
            .write("remove old events", move |tx| {
                Box::pin(async move {
                    tx.execute("remove old events", &delete, &old).await?;
                    for (name, seq) in gone {
                        let args = [Arg::from(name), Arg::from(seq)];
                        tx.execute("note which events are gone", &note, &args).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// The number of the last event of these types that went; 0 when none did. What a reader read of events after a
    /// position is whole when this, asked afterwards, is not beyond the position.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn retired_upto(&self, types: &[&RegisteredType]) -> Result<i64, StoreError> {
        let names: Vec<Arg> =
            types.iter().map(|one| Arg::from(counter(one.ty.slug, one.ty.plural))).collect();
        if names.is_empty() {
            return Ok(0);
        }
        let select = Query::select()
            .expr(Expr::col(Alias::new("value")).max())
            .from(Alias::new(COUNTERS))
            .and_where(col("name").is_in((0..names.len()).map(slot)))
            .to_owned();
        let statement = Statement::new(self.database.dialect(), &select);
        let rows = self.database.fetch("read which events are gone", &statement, &names).await?;
        rows.first().map_or(Ok(None), |row| row.int(0)).map(Option::unwrap_or_default)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{self, postgres, sqlite};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn events_go_after_the_time_of_their_type_and_no_sooner() {
        for database in [sqlite().await, postgres().await] {
            let store = testing::store(&database, vec![]).await;
            let now = crate::store::now();
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
            let kept =
                |name: &str| format!("SELECT value FROM metapaas_counters WHERE name = 'retired:{name}'");
            assert_eq!(database.int(&kept("short.instances")).await, Some(2), "it is known what is gone");
            assert_eq!(database.int(&kept("long.instances")).await, None);
            assert_eq!(database.int("SELECT count(*) FROM metapaas_events").await, Some(3));
            assert_eq!(database.int("SELECT count(*) FROM metapaas_events WHERE seq = 2").await, Some(0));
        }
    }
}
