//! Table `metapaas_users`.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{
    IamStore, IamTx, Listed, Listing, PageAt, delete_by, insert, select, select_by, time, update_revised,
};
use crate::store::error::StoreError;
use crate::store::statement::{Dialect, Statement};
use crate::store::value::{Arg, Required, Row};

const TABLE: &str = "metapaas_users";
const COLUMNS: [&str; 9] = [
    "id",
    "name",
    "password_hash",
    "email",
    "disabled",
    "must_change_password",
    "created_at",
    "updated_at",
    "revision",
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
    /// Somebody else knows the password.
    pub(crate) must_change_password: bool,
}

#[derive(Debug)]
pub(super) struct UserSql {
    by_id: Statement,
    by_name: Statement,
    insert: Statement,
    update: Statement,
    delete: Statement,
}

impl UserSql {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            by_id: select_by(dialect, TABLE, &COLUMNS, "id"),
            by_name: select_by(dialect, TABLE, &COLUMNS, "name"),
            insert: Statement::new(dialect, &insert(TABLE, &COLUMNS)),
            update: update_revised(
                dialect,
                TABLE,
                &["password_hash", "email", "disabled", "must_change_password", "updated_at"],
            ),
            delete: delete_by(dialect, TABLE, &["id"]),
        }
    }
}

fn read(row: &Row) -> Result<UserRow, StoreError> {
    let user = User {
        id: row.uuid(0).required("id")?,
        name: row.text(1).required("name")?,
        email: row.text(3)?,
        disabled: row.bool(4).required("disabled")?,
        created_at: row.time(6).required("created_at")?,
        updated_at: row.time(7).required("updated_at")?,
        revision: row.int(8).required("revision")?,
    };
    let must_change_password = row.bool(5).required("must_change_password")?;
    Ok(UserRow { user, password_hash: row.text(2)?, must_change_password })
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
        let listing = Listing { table: TABLE, select, having: Vec::new(), within: None };
        self.list("list users", listing, page, |row| read(row).map(|row| row.user)).await
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
            row.must_change_password.into(),
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
            row.must_change_password.into(),
            row.user.updated_at.into(),
        ];
        self.tx.execute("change a user", &self.sql.users.update, &args).await.map(drop)
    }

    pub(crate) async fn delete_user(&mut self, id: Uuid) -> Result<u64, StoreError> {
        self.tx.execute("delete a user", &self.sql.users.delete, &[id.into()]).await
    }
}
