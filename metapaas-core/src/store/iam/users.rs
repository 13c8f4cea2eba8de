//! Table `metapaas_users`.

use chrono::{DateTime, Utc};
use sea_query::{CaseStatement, Expr, ExprTrait, Query};
use serde::Serialize;
use uuid::Uuid;

use super::{
    IamStore, IamTx, Listed, PageAt, Source, delete_by, insert, select, select_by, time, update_revised,
};
use crate::store::error::StoreError;
use crate::store::statement::{Dialect, Statement, slot};
use crate::store::value::{Arg, Required, Row};

pub(super) const TABLE: &str = "metapaas_users";
pub(super) const COLUMNS: [&str; 11] = [
    "id",
    "name",
    "password_hash",
    "email",
    "disabled",
    "must_change_password",
    "created_at",
    "updated_at",
    "revision",
    "failed_logins",
    "locked_until",
];

/// A person.
#[derive(Clone, Debug, Serialize)]
pub struct User {
    /// UUIDv7.
    pub id: Uuid,
    /// What it logs in with.
    pub name: String,
    /// Where to reach it.
    pub email: Option<String>,
    /// A disabled user can neither log in nor go on with a session.
    pub disabled: bool,
    /// Somebody else knows the password: it must be changed before anything else.
    pub must_change_password: bool,
    /// When it was made.
    #[serde(serialize_with = "time")]
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    #[serde(serialize_with = "time")]
    pub updated_at: DateTime<Utc>,
    /// Raised by every change; the ETag.
    #[serde(skip)]
    pub revision: i64,
}

/// A user with what only the login may know.
#[derive(Clone, Debug)]
pub(crate) struct UserRow {
    pub(crate) user: User,
    /// PHC string; without one there is no login by password.
    pub(crate) password_hash: Option<String>,
    /// Wrong passwords since the last right one.
    pub(crate) failed_logins: i64,
    /// Until when no password is looked at.
    pub(crate) locked_until: Option<DateTime<Utc>>,
}

impl UserRow {
    /// A user that has not logged in yet.
    pub(crate) const fn new(user: User, password_hash: Option<String>) -> Self {
        Self { user, password_hash, failed_logins: 0, locked_until: None }
    }
}

#[derive(Debug)]
pub(super) struct UserSql {
    by_id: Statement,
    by_name: Statement,
    insert: Statement,
    update: Statement,
    delete: Statement,
    count_failure: Statement,
    lock: Statement,
    unlock: Statement,
}

impl UserSql {
    pub(super) fn new(dialect: Dialect) -> Self {
        // A lock that ended long ago is forgiven: the count begins anew.
        let is_forgiven = Expr::col("locked_until").lt(slot(1));
        let more = Expr::cust("COALESCE(failed_logins, 0) + 1");
        let count = CaseStatement::new().case(is_forgiven, Expr::cust("1")).finally(more);
        let mut count_failure = Query::update();
        count_failure
            .table(TABLE)
            .value("failed_logins", count)
            .and_where(Expr::col("id").eq(slot(0)))
            .returning(Query::returning().column("failed_logins"));
        let lock = Query::update()
            .table(TABLE)
            .value("locked_until", slot(1))
            .and_where(Expr::col("id").eq(slot(0)))
            .to_owned();
        let unlock = Query::update()
            .table(TABLE)
            .value("failed_logins", Expr::cust("NULL"))
            .value("locked_until", Expr::cust("NULL"))
            .and_where(Expr::col("id").eq(slot(0)))
            .to_owned();
        Self {
            count_failure: Statement::new(dialect, &count_failure),
            lock: Statement::new(dialect, &lock),
            unlock: Statement::new(dialect, &unlock),
            by_id: select_by(dialect, TABLE, &COLUMNS, "id"),
            by_name: select_by(dialect, TABLE, &COLUMNS, "name"),
            insert: Statement::new(dialect, &insert(TABLE, &COLUMNS[..9])),
            update: update_revised(
                dialect,
                TABLE,
                &["password_hash", "email", "disabled", "must_change_password", "updated_at"],
            ),
            delete: delete_by(dialect, TABLE, &["id"]),
        }
    }
}

pub(super) fn read(row: &Row) -> Result<UserRow, StoreError> {
    let user = User {
        id: row.uuid(0).required("id")?,
        name: row.text(1).required("name")?,
        email: row.text(3)?,
        disabled: row.bool(4).required("disabled")?,
        must_change_password: row.bool(5).required("must_change_password")?,
        created_at: row.time(6).required("created_at")?,
        updated_at: row.time(7).required("updated_at")?,
        revision: row.int(8).required("revision")?,
    };
    Ok(UserRow {
        user,
        password_hash: row.text(2)?,
        failed_logins: row.int(9)?.unwrap_or_default(),
        locked_until: row.time(10)?,
    })
}

impl IamStore {
    pub(crate) async fn user(&self, id: Uuid) -> Result<Option<UserRow>, StoreError> {
        Ok(self.read("read a user", &self.sql.users.by_id, &[id.into()], read).await?.pop())
    }

    pub(crate) async fn user_named(&self, name: &str) -> Result<Option<UserRow>, StoreError> {
        Ok(self.read("read a user", &self.sql.users.by_name, &[name.into()], read).await?.pop())
    }

    pub(crate) async fn users(&self, page: PageAt) -> Result<Listed<User>, StoreError> {
        let select = select(TABLE, &COLUMNS);
        let source = Source { table: TABLE, select, having: Vec::new(), within: None };
        self.list("list users", source, page, |row| read(row).map(|row| row.user)).await
    }
}

impl IamTx<'_> {
    pub(crate) async fn user(&mut self, id: Uuid) -> Result<Option<UserRow>, StoreError> {
        let sql = self.sql.clone();
        Ok(self.read("read a user", &sql.users.by_id, &[id.into()], read).await?.pop())
    }

    pub(crate) async fn user_named(&mut self, name: &str) -> Result<Option<UserRow>, StoreError> {
        let sql = self.sql.clone();
        Ok(self.read("read a user", &sql.users.by_name, &[name.into()], read).await?.pop())
    }

    pub(crate) async fn insert_user(&mut self, row: &UserRow) -> Result<(), StoreError> {
        let user = &row.user;
        let args = [
            user.id.into(),
            user.name.as_str().into(),
            Arg::Text(row.password_hash.clone()),
            Arg::Text(user.email.clone()),
            user.disabled.into(),
            user.must_change_password.into(),
            user.created_at.into(),
            user.updated_at.into(),
            user.revision.into(),
        ];
        self.tx.execute("make a user", &self.sql.users.insert, &args).await.map(drop)
    }

    pub(crate) async fn update_user(&mut self, row: &UserRow) -> Result<(), StoreError> {
        let args = [
            row.user.id.into(),
            Arg::Text(row.password_hash.clone()),
            Arg::Text(row.user.email.clone()),
            row.user.disabled.into(),
            row.user.must_change_password.into(),
            row.user.updated_at.into(),
        ];
        self.tx.execute("change a user", &self.sql.users.update, &args).await.map(drop)
    }

    pub(crate) async fn delete_user(&mut self, id: Uuid) -> Result<u64, StoreError> {
        self.tx.execute("delete a user", &self.sql.users.delete, &[id.into()]).await
    }

    /// Counts a wrong password and answers how many there were since the last right one, or since `forgiven`.
    pub(crate) async fn count_failed_login(
        &mut self,
        id: Uuid,
        forgiven: DateTime<Utc>,
    ) -> Result<i64, StoreError> {
        let sql = self.sql.clone();
        let count = |row: &Row| row.int(0).required("failed_logins");
        let args = [id.into(), forgiven.into()];
        let counts = self.read("count a failed login", &sql.users.count_failure, &args, count).await?;
        Ok(counts.first().copied().unwrap_or_default())
    }

    /// Looks at no password of the user until then.
    pub(crate) async fn lock_user(&mut self, id: Uuid, until: DateTime<Utc>) -> Result<(), StoreError> {
        let args = [id.into(), until.into()];
        self.tx.execute("lock a user", &self.sql.users.lock, &args).await.map(drop)
    }

    /// Forgets wrong passwords.
    pub(crate) async fn unlock_user(&mut self, id: Uuid) -> Result<(), StoreError> {
        self.tx.execute("unlock a user", &self.sql.users.unlock, &[id.into()]).await.map(drop)
    }
}
