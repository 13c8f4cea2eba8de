//! How the instances of a type do: how many have which status, and whether workers come to their work. Both cost the
//! same however many there are: counts end at [`COUNT_MAX`], and of the work that waits only the oldest is looked at.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_query::{Alias, Expr, ExprTrait, Order, Query, SimpleExpr, UnionType};

use super::error::StoreError;
use super::statement::{Statement, slot};
use super::value::{Arg, Required};
use super::work::{clock, clock_after};
use super::{Store, now};
use crate::authz::{Allowed, Projects};
use crate::describe::Standing;
use crate::error::Error;
use crate::registry::RegisteredType;
use crate::status::Status;

/// Rows of one status beyond this are not counted: a count must not cost more than a page.
pub const COUNT_MAX: i64 = 10_000;
/// Work that no worker has taken for so long is overdue: free workers take it at once, and busy ones tell by it.
const OVERDUE: Duration = Duration::from_secs(30);
/// Pieces of overdue work that are looked at.
const OVERDUE_MAX: i64 = 1000;

mod own {
    pub(super) const LIMIT: usize = 0;
    /// The first status; the others follow, then the projects.
    pub(super) const STATUSES: usize = 1;
}

impl Store {
    /// How many instances of a type the caller may see in each status, up to [`COUNT_MAX`] of each.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn standing(&self, allowed: &Allowed, root: &RegisteredType) -> Result<Standing, Error> {
        let mut args = vec![Arg::from(COUNT_MAX + 1)];
        args.extend(Status::ALL.map(|status| Arg::from(status.as_str())));
        let mut within = None;
        if let Projects::Some(projects) = allowed.sees() {
            if projects.is_empty() {
                return Ok(Standing { exact: true, ..Standing::default() });
            }
            let first = args.len();
            args.extend(projects.iter().map(|project| Arg::from(*project)));
            within = Some((first..args.len()).map(slot).collect::<Vec<SimpleExpr>>());
        }
        let mut whole: Option<sea_query::SelectStatement> = None;
        for index in 0..Status::ALL.len() {
            let mut rows = Query::select();
            rows.expr(Expr::cust("1"))
                .from(Alias::new(root.ty.table()))
                .and_where(Expr::col(Alias::new("status")).eq(slot(own::STATUSES + index)))
                .limit(own::LIMIT as u64);
            if let Some(within) = &within {
                rows.and_where(Expr::col(Alias::new("project_id")).is_in(within.clone()));
            }
            let mut count = Query::select();
            count
                .expr(Expr::cust(format!("CAST({index} AS bigint)")))
                .expr(Expr::cust("count(*)"))
                .from_subquery(rows, Alias::new("visible"));
            match &mut whole {
                Some(whole) => {
                    whole.union(UnionType::All, count);
                }
                None => whole = Some(count),
            }
        }
        let statement = Statement::new(self.database.dialect(), &whole.unwrap_or_default());
        let rows = self.database.fetch("count", &statement, &args).await?;
        let mut standing = Standing { exact: true, ..Standing::default() };
        for row in &rows {
            let index = usize::try_from(row.int(0).required("index")?).unwrap_or(usize::MAX);
            let count = row.int(1).required("count")?;
            standing.exact &= count <= COUNT_MAX;
            if let Some(place) = standing.by_status.get_mut(index) {
                *place = Ord::min(count, COUNT_MAX);
            }
        }
        Ok(standing)
    }

    /// The types whose work no worker has taken for too long, with the seconds that the oldest of it has waited.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn overdue(&self) -> Result<BTreeMap<String, i64>, StoreError> {
        let dialect = self.database.dialect();
        let due = || Expr::col(Alias::new("due_at"));
        // A claim makes the work due when its lease ends, so that what is worked on is not among it.
        let oldest = Query::select()
            .columns(["type", "due_at"].map(Alias::new))
            .expr(clock(dialect, 0))
            .from(Alias::new("metapaas_work"))
            .and_where(due().lt(clock_after(dialect, 0, 1)))
            .order_by(Alias::new("due_at"), Order::Asc)
            // Slot 2, as all numbers in statements are slots.
            .limit(2)
            .to_owned();
        let before = i64::try_from(OVERDUE.as_millis()).unwrap_or(i64::MAX).saturating_neg();
        let args = [Arg::from(now()), Arg::from(before), Arg::from(OVERDUE_MAX)];
        let statement = Statement::new(dialect, &oldest);
        let rows = self.database.fetch("look for overdue work", &statement, &args).await?;
        let mut overdue = BTreeMap::new();
        for row in &rows {
            let since: DateTime<Utc> = row.time(1).required("due_at")?;
            let now = row.time(2).required("now")?;
            overdue.entry(row.text(0).required("type")?).or_insert((now - since).num_seconds());
        }
        Ok(overdue)
    }
}
