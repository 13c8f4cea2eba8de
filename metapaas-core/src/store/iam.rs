//! Identity tables: users, projects, bindings, service accounts, sessions, settings.
//!
//! Only this crate reaches it: `Iam` holds the `Allowed` token against every call that an actor makes.

pub(crate) mod audit;
pub(crate) mod bindings;
pub(crate) mod identities;
pub(crate) mod projects;
pub(crate) mod roles;
pub(crate) mod service_accounts;
pub(crate) mod sessions;
pub(crate) mod settings;
pub(crate) mod users;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use sea_query::{DeleteStatement, Expr, ExprTrait, InsertStatement, Query, SelectStatement, UpdateStatement};
use serde::Serializer;
use uuid::Uuid;

use self::audit::AuditSql;
use self::bindings::BindingSql;
use self::identities::IdentitySql;
use self::projects::ProjectSql;
use self::roles::RoleSql;
use self::service_accounts::ServiceAccountSql;
use self::sessions::SessionSql;
use self::settings::SettingSql;
use self::users::UserSql;
use super::database::{Database, Tx};
use super::error::StoreError;
use super::resources::{Effect, first_args, narrow};
use super::statement::{Dialect, Statement, slot};
use super::value::{Arg, Row};
use crate::authz::Projects;
use crate::error::Error;
use crate::query::{After, Listing, Order};
use crate::resource::rfc3339;

/// The identity tables of one database.
#[derive(Clone, Debug)]
pub(crate) struct IamStore {
    database: Database,
    sql: Arc<IamSql>,
}

/// The same inside of a transaction.
#[derive(Debug)]
pub(crate) struct IamTx<'t> {
    tx: &'t mut Tx,
    sql: Arc<IamSql>,
}

/// Every statement with a fixed text.
#[derive(Debug)]
struct IamSql {
    audit: AuditSql,
    identities: IdentitySql,
    roles: RoleSql,
    users: UserSql,
    projects: ProjectSql,
    bindings: BindingSql,
    accounts: ServiceAccountSql,
    sessions: SessionSql,
    settings: SettingSql,
}

/// Some rows of a list, in its order.
#[derive(Clone, Debug)]
pub struct Listed<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Whether more follow after the last.
    pub has_more: bool,
}

/// Which part of a list.
#[derive(Clone, Debug, Default)]
pub struct PageAt {
    /// Which rows, in which order, after which one.
    pub listing: Listing,
    /// How many rows at the most.
    pub limit: u16,
}

impl PageAt {
    /// All rows in the order of their ids, from the first on.
    pub fn first(limit: u16) -> Self {
        Self { listing: Listing::default(), limit }
    }

    /// All rows, the last that was made first.
    pub fn newest(limit: u16) -> Self {
        Self { listing: Listing { order: Order::NEWEST_FIRST, ..Listing::default() }, limit }
    }

    /// The same from after a row on.
    #[must_use]
    pub fn after(mut self, id: Option<Uuid>) -> Self {
        self.listing.after = id.map(|id| After { keys: Vec::new(), id });
        self
    }
}

impl IamStore {
    pub(crate) fn new(database: Database) -> Self {
        let dialect = database.dialect();
        let sql = IamSql {
            audit: AuditSql::new(dialect),
            identities: IdentitySql::new(dialect),
            roles: RoleSql::new(dialect),
            users: UserSql::new(dialect),
            projects: ProjectSql::new(dialect),
            bindings: BindingSql::new(dialect),
            accounts: ServiceAccountSql::new(dialect),
            sessions: SessionSql::new(dialect),
            settings: SettingSql::new(dialect),
        };
        Self { database, sql: Arc::new(sql) }
    }

    /// A transaction that changes who may do what. It moves the IAM epoch first, by which other control planes
    /// learn of it; the lock on that row also makes such changes wait for each other, so that rules over several
    /// rows (the last owner) hold.
    pub(crate) async fn change<T, F>(&self, action: &'static str, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(IamTx<'t>) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
    {
        self.change_with(Effect::Kept, action, work).await
    }

    /// The same, kept or only tried.
    pub(crate) async fn change_with<T, F>(
        &self,
        effect: Effect,
        action: &'static str,
        work: F,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(IamTx<'t>) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
    {
        let sql = Arc::clone(&self.sql);
        self.database
            .write_with(effect, action, move |tx| {
                Box::pin(async move {
                    let mut tx = IamTx { tx, sql };
                    tx.move_epoch().await?;
                    work(tx).await
                })
            })
            .await
    }

    /// A transaction that takes nothing away from anybody, such as a login.
    pub(crate) async fn write<T, F>(&self, action: &'static str, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(IamTx<'t>) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
    {
        let sql = Arc::clone(&self.sql);
        self.database.write(action, move |tx| work(IamTx { tx, sql })).await
    }

    /// One page of the rows of `source`.
    async fn list<T>(
        &self,
        action: &'static str,
        source: Source<'_>,
        page: PageAt,
        read: fn(&Row) -> Result<T, StoreError>,
    ) -> Result<Listed<T>, StoreError> {
        let Source { table, mut select, having, within } = source;
        let mut args = first_args(&page.listing, page.limit);
        let mut next_slot = |arg: Arg| {
            args.push(arg);
            slot(args.len() - 1)
        };
        for (column, value) in having {
            select.and_where(Expr::col((table, column)).eq(next_slot(value)));
        }
        if let Some((column, Projects::Some(projects))) = within {
            if projects.is_empty() {
                return Ok(Listed { items: Vec::new(), has_more: false });
            }
            let projects: Vec<Expr> = projects.iter().map(|project| next_slot(Arg::from(*project))).collect();
            select.and_where(Expr::col((table, column)).is_in(projects));
        }
        let dialect = self.database.dialect();
        narrow(dialect, &mut select, &page.listing, &mut args);
        let statement = Statement::new(dialect, &select);
        let rows = self.database.fetch(action, &statement, &args).await?;
        let limit = usize::from(page.limit);
        let items = rows.iter().take(limit).map(read).collect::<Result<_, _>>()?;
        Ok(Listed { items, has_more: rows.len() > limit })
    }

    async fn read<T>(
        &self,
        action: &'static str,
        statement: &Statement,
        args: &[Arg],
        read: fn(&Row) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.database.fetch(action, statement, args).await?.iter().map(read).collect()
    }
}

impl IamTx<'_> {
    /// The same transaction, for a part of what happens in it.
    pub(crate) fn part(&mut self) -> IamTx<'_> {
        IamTx { tx: self.tx, sql: Arc::clone(&self.sql) }
    }

    /// The transaction, for what is not of IAM.
    pub(crate) const fn inner(&mut self) -> &mut Tx {
        self.tx
    }

    async fn read<T>(
        &mut self,
        action: &'static str,
        statement: &Statement,
        args: &[Arg],
        read: fn(&Row) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.tx.fetch(action, statement, args).await?.iter().map(read).collect()
    }
}

/// What a list is made of. No column of the statement goes by the same name as another.
struct Source<'a> {
    table: &'static str,
    select: SelectStatement,
    /// Columns that must have that value.
    having: Vec<(&'static str, Arg)>,
    /// The column that must name one of these projects.
    within: Option<(&'static str, &'a Projects)>,
}

/// Reads `columns`, in that order.
fn select(table: &'static str, columns: &[&'static str]) -> SelectStatement {
    Query::select().columns(columns.iter().map(|column| (table, *column))).from(table).to_owned()
}

/// Reads `columns` of the row whose column `by` has the value of slot 0.
fn select_by(dialect: Dialect, table: &'static str, columns: &[&'static str], by: &'static str) -> Statement {
    Statement::new(dialect, select(table, columns).and_where(Expr::col((table, by)).eq(slot(0))))
}

/// Takes the values of `columns` from the slots in that order.
fn insert(table: &'static str, columns: &[&'static str]) -> InsertStatement {
    let mut insert = Query::insert();
    insert.into_table(table).columns(columns.iter().copied()).values_panic((0..columns.len()).map(slot));
    insert
}

/// Sets `columns` from slot 1 on in the row whose id is slot 0.
fn update(table: &'static str, columns: &[&'static str]) -> UpdateStatement {
    let mut update = Query::update();
    update.table(table).and_where(Expr::col("id").eq(slot(0)));
    for (index, column) in columns.iter().enumerate() {
        update.value(*column, slot(index + 1));
    }
    update
}

/// The same for a table that counts its changes.
fn update_revised(dialect: Dialect, table: &'static str, columns: &[&'static str]) -> Statement {
    Statement::new(dialect, update(table, columns).value("revision", Expr::cust("revision + 1")))
}

/// Removes the rows whose columns have the values of the slots in that order.
fn delete_by(dialect: Dialect, table: &'static str, by: &[&'static str]) -> Statement {
    let mut delete: DeleteStatement = Query::delete();
    delete.from_table(table);
    for (index, column) in by.iter().enumerate() {
        delete.and_where(Expr::col(*column).eq(slot(index)));
    }
    Statement::new(dialect, &delete)
}

/// Times in answers have one form everywhere.
fn time<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

fn optional_time<S: Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.serialize_str(&rfc3339(*time)),
        None => serializer.serialize_none(),
    }
}
