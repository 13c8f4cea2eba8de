//! Links: what the framework keeps of bindings beside the rows that tenants see.
//!
//! A link is written in the transaction of its binding, which also gives the other instance a new generation: that is
//! when its nodes accept the credentials. It is marked in the transaction that lets the binding go, which gives that
//! instance another generation: that is when they no longer do. Whoever dies in between leaves both to be carried out.

mod bind;

use sea_query::{Alias, Expr, ExprTrait, Order, Query, SelectStatement};
use uuid::Uuid;

pub(crate) use self::bind::Denied;
use super::Store;
use super::error::StoreError;
use super::resources::now;
use super::resources::rows::read_resource;
use super::resources::statements::slots;
use super::statement::{Dialect, Statement, slot};
use super::value::{Arg, Required, Row};
use super::work::clock;
use crate::field_type::{Map, Secret};
use crate::offer::Bound;
use crate::resource::Resource;

const TABLE: &str = "metapaas_links";

/// A link as the database has it.
#[derive(Clone, Debug)]
pub(crate) struct LinkRow {
    /// The id of its binding.
    pub(crate) id: Uuid,
    /// The instance that is bound to.
    pub(crate) target_id: Uuid,
    /// Its type.
    pub(crate) target_slug: String,
    /// The generation of that instance which accepts the credentials; once it is leaving, which no longer does.
    pub(crate) generation: i64,
    /// Whether its binding is on its way out.
    pub(crate) is_leaving: bool,
    /// What the other instance sees of it; the secret is still sealed.
    path: String,
    parameters: Map<String>,
    sealed: String,
}

impl LinkRow {
    /// What paths name its binding by.
    pub(crate) fn key(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// The statements on links.
#[derive(Debug)]
pub(super) struct LinkStatements {
    insert: Statement,
    by_id: Statement,
    of_binder: Statement,
    of_target: Statement,
    leave: Statement,
    forget: Statement,
    forget_all: Statement,
    used: Statement,
    wake: Statement,
}

mod own {
    pub(super) const ID: usize = 0;
    pub(super) const BINDER: usize = 1;
    pub(super) const TARGET: usize = 2;
    pub(super) const SLUG: usize = 3;
    pub(super) const PATH: usize = 4;
    pub(super) const PARAMETERS: usize = 5;
    pub(super) const SECRET: usize = 6;
    pub(super) const GENERATION: usize = 7;
    pub(super) const LEAVING: usize = 8;
    pub(super) const NOW: usize = 9;
    pub(super) const LIMIT: usize = 10;
    pub(super) const COUNT: usize = 11;
}

const COLUMNS: [(&str, usize); 10] = [
    ("id", own::ID),
    ("binder_id", own::BINDER),
    ("target_id", own::TARGET),
    ("target_type", own::SLUG),
    ("path", own::PATH),
    ("parameters", own::PARAMETERS),
    ("secret", own::SECRET),
    ("generation", own::GENERATION),
    ("leaving", own::LEAVING),
    ("created_at", own::NOW),
];

fn col(name: &str) -> Expr {
    Expr::col(Alias::new(name))
}

/// The name under which a link's secret is sealed.
pub(super) fn secret_place(id: impl std::fmt::Display) -> String {
    format!("{TABLE}.secret:{id}")
}

impl LinkStatements {
    pub(super) fn new(dialect: Dialect) -> Self {
        let table = || Alias::new(TABLE);
        let mut insert = Query::insert();
        insert.into_table(table()).columns(COLUMNS.map(|(name, _)| Alias::new(name)));
        // It fails only when columns and values differ in number, and they come in pairs.
        let _ = insert.values(COLUMNS.map(|(_, at)| slot(at)));
        let select = |column: &str, at: usize| -> SelectStatement {
            Query::select()
                .columns(COLUMNS.map(|(name, _)| Alias::new(name)))
                .from(table())
                .and_where(col(column).eq(slot(at)))
                .order_by(Alias::new("id"), Order::Asc)
                .to_owned()
        };
        let staying = || col("leaving").eq(slot(own::LEAVING));
        let leave = Query::update()
            .table(table())
            .value(Alias::new("leaving"), slot(own::LEAVING))
            .value(Alias::new("generation"), slot(own::GENERATION))
            .and_where(col("id").eq(slot(own::ID)))
            .to_owned();
        let delete = |column: &str, at: usize| {
            Query::delete().from_table(table()).and_where(col(column).eq(slot(at))).to_owned()
        };
        let used = Query::select()
            .column(Alias::new("path"))
            .from(table())
            .and_where(col("target_id").eq(slot(own::TARGET)))
            .and_where(staying())
            .order_by(Alias::new("path"), Order::Asc)
            .limit(own::LIMIT as u64)
            .to_owned();
        let binders = Query::select()
            .column(Alias::new("binder_id"))
            .from(table())
            .and_where(col("target_id").eq(slot(own::TARGET)))
            .to_owned();
        let wake = Query::update()
            .table(Alias::new("metapaas_work"))
            .value(Alias::new("due_at"), clock(dialect, own::NOW))
            .value(Alias::new("wake"), Expr::cust("wake + 1"))
            .and_where(col("resource_id").in_subquery(binders))
            .to_owned();
        Self {
            insert: Statement::new(dialect, &insert),
            by_id: Statement::new(dialect, &select("id", own::ID)),
            of_binder: Statement::new(dialect, &select("binder_id", own::BINDER)),
            of_target: Statement::new(dialect, select("target_id", own::TARGET).and_where(staying())),
            leave: Statement::new(dialect, &leave),
            forget: Statement::new(dialect, &delete("id", own::ID)),
            forget_all: Statement::new(dialect, &delete("binder_id", own::BINDER)),
            used: Statement::new(dialect, &used),
            wake: Statement::new(dialect, &wake),
        }
    }
}

fn read_link(row: &Row) -> Result<LinkRow, StoreError> {
    let corrupt = |error: serde_json::Error| StoreError::Corrupt {
        action: "read a link",
        detail: format!("parameters: {error}"),
    };
    Ok(LinkRow {
        id: row.uuid(0).required("id")?,
        target_id: row.uuid(2).required("target_id")?,
        target_slug: row.text(3).required("target_type")?,
        path: row.text(4).required("path")?,
        parameters: serde_json::from_str(row.json(5).required("parameters")?.get()).map_err(corrupt)?,
        sealed: row.text(6).required("secret")?,
        generation: row.int(7).required("generation")?,
        is_leaving: row.bool(8).required("leaving")?,
    })
}

fn arguments(values: &[(usize, Arg)]) -> Vec<Arg> {
    let mut args = vec![Arg::Text(None); own::COUNT];
    args[own::LEAVING] = Arg::from(false);
    args[own::NOW] = Arg::from(now());
    for (at, value) in values {
        args[*at] = value.clone();
    }
    args
}

impl Store {
    /// What of an instance leads to others, in the order it was made.
    pub(crate) async fn links_of(&self, binder: Uuid) -> Result<Vec<LinkRow>, StoreError> {
        let args = arguments(&[(own::BINDER, binder.into())]);
        let rows = self.database.fetch("read links", &self.link.of_binder, &args).await?;
        rows.iter().map(read_link).collect()
    }

    /// The bindings that lead to an instance, in the order they were made.
    pub(crate) async fn bound_to(&self, target: Uuid) -> Result<Vec<Bound>, StoreError> {
        let args = arguments(&[(own::TARGET, target.into())]);
        let rows = self.database.fetch("read links", &self.link.of_target, &args).await?;
        rows.iter().map(|row| self.bound(&read_link(row)?)).collect()
    }

    /// A link as the instance sees it that it leads to, its secret in the open.
    pub(crate) fn bound(&self, link: &LinkRow) -> Result<Bound, StoreError> {
        const ACTION: &str = "open the secret of a link";
        let place = secret_place(link.id);
        let plain = self.keys.open(&place, &link.sealed);
        let plain = plain.map_err(|error| StoreError::sealed(ACTION, &place, error))?;
        let secret = String::from_utf8(plain.to_vec())
            .map_err(|error| StoreError::Corrupt { action: ACTION, detail: error.to_string() })?;
        Ok(Bound {
            id: link.id,
            by: link.path.clone(),
            parameters: link.parameters.clone(),
            secret: Secret::new(secret),
        })
    }

    /// The instance that a link leads to.
    pub(crate) async fn linked(&self, link: &LinkRow) -> Result<Option<Resource>, StoreError> {
        let Some(root) = self.registry.root(&link.target_slug) else { return Ok(None) };
        let mut args = vec![Arg::Uuid(None); slots::ID + 1];
        args[slots::ID] = Arg::from(link.target_id);
        let statement = &self.statements(root).by_id;
        let rows = self.database.fetch("read what is bound to", statement, &args).await?;
        rows.first().map(|row| read_resource(root.ty, row)).transpose()
    }

    /// Removes a link whose credentials are no longer accepted.
    pub(crate) async fn forget_link(&self, id: Uuid) -> Result<(), StoreError> {
        let args = arguments(&[(own::ID, id.into())]);
        self.run_write("forget a link", &self.link.forget, args).await.map(drop)
    }

    /// Removes all links of an instance that goes. Those that they lead to know already.
    pub(crate) async fn forget_links(&self, binder: Uuid) -> Result<(), StoreError> {
        let args = arguments(&[(own::BINDER, binder.into())]);
        self.run_write("forget links", &self.link.forget_all, args).await.map(drop)
    }

    /// Has those looked at that are bound to an instance, when it changed.
    pub(super) async fn wake_bound(&self, target: &Resource) -> Result<(), StoreError> {
        if !target.ty.is_instance() || self.registry.offer(target.ty.slug).is_none() {
            return Ok(());
        }
        let args = arguments(&[(own::TARGET, target.meta.id.into())]);
        self.run_write("wake what is bound", &self.link.wake, args).await.map(drop)
    }
}
