//! The last lines of nodes that are gone, so that it can still be read what an earlier release said.

use std::time::Duration;

use chrono::Utc;
use metapaas_protocol::calls::LogLine;
use sea_query::{Alias, Expr, ExprTrait, OnConflict, Order, Query};
use uuid::Uuid;

use super::error::StoreError;
use super::statement::{Statement, slot};
use super::value::{Arg, Required};
use super::{Node, Store};

const TABLE: &str = "metapaas_logs";
/// Nodes of one instance whose lines are kept.
const NODES: i64 = 20;
/// For how long.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Slots of all statements.
mod own {
    pub(super) const ID: usize = 0;
    pub(super) const INSTANCE: usize = 1;
    pub(super) const PLACE: usize = 2;
    pub(super) const LINES: usize = 3;
    pub(super) const NOW: usize = 4;
    pub(super) const BEFORE: usize = 5;
    pub(super) const MOST: usize = 6;
    pub(super) const LEN: usize = 7;
}

/// Where the lines of a node stand, for sealing.
pub(super) fn lines_place(id: impl std::fmt::Display) -> String {
    format!("{TABLE}.lines:{id}")
}

/// What a node left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptLines {
    /// Its place in the instance.
    pub(crate) place: String,
    pub(crate) lines: Vec<LogLine>,
}

fn arguments(instance: Uuid) -> Vec<Arg> {
    let mut args = vec![Arg::Text(None); own::LEN];
    args[own::INSTANCE] = Arg::from(instance);
    let now = Utc::now();
    args[own::NOW] = Arg::from(now);
    args[own::BEFORE] = Arg::from(now - KEPT);
    args[own::MOST] = Arg::from(NODES);
    args
}

impl Store {
    /// Keeps the last lines of a node that goes. Logs may hold secrets, so they are sealed.
    pub(crate) async fn keep_lines(&self, node: &Node, lines: &[LogLine]) -> Result<(), StoreError> {
        let dialect = self.database.dialect();
        let col = |name: &str| Expr::col(Alias::new(name));
        let mut insert = Query::insert();
        insert
            .into_table(Alias::new(TABLE))
            .columns(["id", "instance_id", "place", "lines", "created_at"].map(Alias::new))
            .on_conflict(OnConflict::new().do_nothing().to_owned());
        // It fails only when columns and values differ in number.
        let _ = insert.values([own::ID, own::INSTANCE, own::PLACE, own::LINES, own::NOW].map(slot));
        let newest = Query::select()
            .column(Alias::new("id"))
            .from(Alias::new(TABLE))
            .and_where(col("instance_id").eq(slot(own::INSTANCE)))
            .order_by(Alias::new("created_at"), Order::Desc)
            .order_by(Alias::new("id"), Order::Desc)
            .limit(own::MOST as u64)
            .to_owned();
        let surplus = Query::delete()
            .from_table(Alias::new(TABLE))
            .and_where(col("instance_id").eq(slot(own::INSTANCE)))
            .and_where(col("id").in_subquery(newest).not())
            .to_owned();
        let old = Query::delete()
            .from_table(Alias::new(TABLE))
            .and_where(col("created_at").lt(slot(own::BEFORE)))
            .to_owned();
        // Lines are texts and numbers; they serialise.
        let text = serde_json::to_vec(lines).unwrap_or_default();
        let mut args = arguments(node.instance_id);
        args[own::ID] = Arg::from(node.id);
        args[own::PLACE] = Arg::from(node.place.as_str());
        args[own::LINES] = Arg::from(self.keys.seal(&lines_place(node.id), &text));
        self.run_write("keep a node's last lines", &Statement::new(dialect, &insert), args.clone()).await?;
        self.run_write("forget surplus lines", &Statement::new(dialect, &surplus), args.clone()).await?;
        self.run_write("forget old lines", &Statement::new(dialect, &old), args).await.map(|_| ())
    }

    /// What nodes of an instance left that are gone, the oldest first.
    pub(crate) async fn kept_lines(&self, instance: Uuid) -> Result<Vec<KeptLines>, StoreError> {
        const ACTION: &str = "read lines of nodes that are gone";
        let col = |name: &str| Expr::col(Alias::new(name));
        let select = Query::select()
            .columns(["id", "place", "lines"].map(Alias::new))
            .from(Alias::new(TABLE))
            .and_where(col("instance_id").eq(slot(own::INSTANCE)))
            .and_where(col("created_at").gte(slot(own::BEFORE)))
            .order_by(Alias::new("created_at"), Order::Asc)
            .order_by(Alias::new("id"), Order::Asc)
            .to_owned();
        let statement = Statement::new(self.database.dialect(), &select);
        let rows = self.database.fetch(ACTION, &statement, &arguments(instance)).await?;
        let mut all = Vec::new();
        for row in &rows {
            let sealed_at = lines_place(row.uuid(0).required("id")?);
            let opened = self.keys.open(&sealed_at, &row.text(2).required("lines")?);
            let plain = opened.map_err(|error| StoreError::sealed(ACTION, &sealed_at, error))?;
            let lines = serde_json::from_slice(&plain)
                .map_err(|error| StoreError::Corrupt { action: ACTION, detail: error.to_string() })?;
            all.push(KeptLines { place: row.text(1).required("place")?, lines });
        }
        Ok(all)
    }

    /// Forgets the lines of an instance that goes.
    pub(crate) async fn forget_lines(&self, instance: Uuid) -> Result<(), StoreError> {
        let delete = Query::delete()
            .from_table(Alias::new(TABLE))
            .and_where(Expr::col(Alias::new("instance_id")).eq(slot(own::INSTANCE)))
            .to_owned();
        let statement = Statement::new(self.database.dialect(), &delete);
        self.run_write("forget lines of nodes", &statement, arguments(instance)).await.map(|_| ())
    }
}
