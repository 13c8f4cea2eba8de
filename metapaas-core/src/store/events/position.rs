//! How far the order of events is decided.
//!
//! An event's number is the revision that its change gave the row. On SQLite there is one writer, and numbers become
//! visible in their order. On PostgreSQL a number is taken before its transaction commits: a smaller one may become
//! visible after a greater one, or never. A reader that went by the greatest number seen would skip the smaller.
//!
//! # Guarantees
//! Nothing with a number up to [`Decided::upto`] becomes visible after [`Store::decide`] has answered it.
//!
//! On PostgreSQL that is known in two ways. Numbers that are all there are decided. At a gap the reader reads the last
//! number given out, and after that takes a transaction id of its own: writers have their id before they take a number,
//! so whoever holds a number up to that one has a smaller id. Once the oldest transaction under way is not older
//! than the reader's id, all of those have ended. (The `xmax` of a snapshot will not do in place of an id: it is one
//! past the last *completed* transaction, and a writer under way may be beyond it.) Transactions of other databases of the
//! same server do not count.

use std::collections::VecDeque;

use sea_query::{Alias, ExprTrait, Order, Query};

use super::{col, table};
use crate::store::statement::{Dialect, Statement, slot};
use crate::store::value::{Arg, Required};
use crate::store::{Store, StoreError};

/// Numbers looked at in one go.
const LOOK: usize = 1000;
/// A transaction that stays open for long must not cost an id at each look.
const OPEN_MAX: usize = 16;

/// The oldest transaction under way, in any database of the server.
const OLDEST: &str = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint";

/// The oldest transaction under way that is not one of another database: those take no numbers here. Dearer, and asked
/// only when the other answer keeps watches waiting. Who has an id holds a lock on it, which tells who that is.
const OLDEST_HERE: &str = "
    WITH seen AS MATERIALIZED (SELECT pg_current_snapshot() AS snapshot),
    running AS (SELECT pg_snapshot_xip(snapshot)::text::bigint AS id FROM seen),
    elsewhere AS (
        SELECT lock.transactionid::text::bigint AS id FROM pg_locks lock
        JOIN pg_stat_activity holder ON holder.pid = lock.pid
        WHERE lock.locktype = 'transactionid' AND lock.mode = 'ExclusiveLock' AND lock.granted
        AND holder.datid <> (SELECT oid FROM pg_database WHERE datname = current_database()))
    SELECT COALESCE(
        (SELECT min(id) FROM running WHERE id % 4294967296 NOT IN (SELECT id FROM elsewhere)),
        pg_snapshot_xmax(snapshot)::text::bigint) FROM seen";

/// What is known of the order of events; begins knowing nothing.
#[derive(Debug, Default)]
pub struct Decided {
    upto: Option<i64>,
    /// Last numbers given out, each with a transaction id that was taken after.
    open: VecDeque<(i64, i64)>,
}

impl Decided {
    /// Everything up to `upto` is known to be decided.
    pub fn known(upto: i64) -> Self {
        Self { upto: Some(upto), ..Self::default() }
    }

    /// The last decided number; `None` while it is not known yet.
    pub const fn upto(&self) -> Option<i64> {
        self.upto
    }

    /// Whether numbers wait for transactions under way.
    pub fn is_waiting(&self) -> bool {
        !self.open.is_empty()
    }

    /// Takes in numbers that are visible, ascending. Answers whether there is a gap before one of them.
    fn see(&mut self, visible: &[i64]) -> bool {
        let Some(mut upto) = self.upto else { return true };
        for number in visible {
            if *number > upto + 1 {
                self.upto = Some(upto);
                return true;
            }
            upto = *number;
        }
        self.upto = Some(upto);
        false
    }

    /// Takes in that all transactions with a smaller id than `oldest` have ended.
    fn ended(&mut self, oldest: i64) {
        while let Some((number, _)) = self.open.front().filter(|(_, id)| *id <= oldest) {
            if self.upto < Some(*number) {
                self.upto = Some(*number);
            }
            self.open.pop_front();
        }
        let upto = self.upto;
        self.open.retain(|(number, _)| Some(*number) > upto);
    }
}

impl Store {
    /// The last number given out; its change may still be under way.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn last_position(&self) -> Result<i64, StoreError> {
        let sql = match self.database.dialect() {
            // Before the first number the sequence shows the number it will give.
            Dialect::Postgres => {
                "SELECT last_value - CASE WHEN is_called THEN 0 ELSE 1 END FROM metapaas_revision"
            }
            Dialect::Sqlite => "SELECT value FROM metapaas_counters WHERE name = 'revision'",
        };
        self.number("read the last revision", sql).await
    }

    /// Moves `decided` on as far as possible.
    ///
    /// # Errors
    /// See [`StoreError`]; what was known stays known.
    pub async fn decide(&self, decided: &mut Decided) -> Result<(), StoreError> {
        if self.database.dialect() == Dialect::Sqlite {
            decided.upto = Some(self.last_position().await?);
            return Ok(());
        }
        loop {
            let visible = match decided.upto {
                Some(upto) => self.numbers_after(upto).await?,
                None => Vec::new(),
            };
            let is_full = visible.len() == LOOK;
            if !decided.see(&visible) {
                if is_full {
                    continue;
                }
                decided.open.clear();
                return Ok(());
            }
            // The order of these statements matters: number, then id, then the oldest under way.
            let last = self.last_position().await?;
            let is_new = decided.open.back().is_none_or(|(number, _)| *number < last);
            if is_new && decided.open.len() < OPEN_MAX {
                let id =
                    self.number("take a transaction id", "SELECT pg_current_xact_id()::text::bigint").await?;
                decided.open.push_back((last, id));
            }
            let before = decided.upto;
            decided.ended(self.number("read the oldest transaction", OLDEST).await?);
            if decided.is_waiting() && decided.upto == before {
                decided.ended(self.number("read the oldest transaction here", OLDEST_HERE).await?);
            }
            if decided.upto == before || !decided.is_waiting() {
                return Ok(());
            }
        }
    }

    async fn numbers_after(&self, after: i64) -> Result<Vec<i64>, StoreError> {
        let select = Query::select()
            .column(Alias::new("seq"))
            .from(table())
            .and_where(col("seq").gt(slot(0)))
            .order_by(Alias::new("seq"), Order::Asc)
            // Slot 1, as all numbers in statements are slots.
            .limit(1)
            .to_owned();
        let args = [Arg::from(after), Arg::from(i64::try_from(LOOK).unwrap_or(i64::MAX))];
        let statement = Statement::new(self.database.dialect(), &select);
        let rows = self.database.fetch("look for events", &statement, &args).await?;
        rows.iter().map(|row| row.int(0).required("seq")).collect()
    }

    async fn number(&self, action: &'static str, sql: &str) -> Result<i64, StoreError> {
        let rows = self.database.fetch(action, &Statement::raw(sql), &[]).await?;
        let missing = || StoreError::Corrupt { action, detail: "no row".into() };
        rows.first().ok_or_else(missing)?.int(0).required("number")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(upto: i64, visible: &[i64], expected: i64, gap: bool) {
        let mut decided = Decided { upto: Some(upto), ..Decided::default() };
        assert_eq!((decided.see(visible), decided.upto), (gap, Some(expected)), "{upto} {visible:?}");
    }

    #[test]
    fn numbers_without_a_gap_are_decided() {
        check(5, &[], 5, false);
        check(5, &[6, 7, 8], 8, false);
        check(5, &[7, 8], 5, true);
        check(5, &[6, 8, 9], 6, true);
    }

    #[test]
    fn a_gap_is_decided_when_all_who_could_fill_it_have_ended() {
        let mut decided = Decided { upto: Some(5), open: [(9, 100), (12, 103)].into() };
        decided.ended(99);
        assert_eq!(decided.upto, Some(5));
        decided.ended(100);
        assert_eq!((decided.upto, decided.is_waiting()), (Some(9), true));
        decided.ended(200);
        assert_eq!((decided.upto, decided.is_waiting()), (Some(12), false));
    }

    #[test]
    fn what_became_visible_meanwhile_is_not_waited_for() {
        let mut decided = Decided { upto: Some(5), open: [(7, 100)].into() };
        assert!(!decided.see(&[6, 7, 8]));
        decided.ended(1);
        assert_eq!((decided.upto, decided.is_waiting()), (Some(8), false));
    }
}
