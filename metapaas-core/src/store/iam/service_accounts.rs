//! Tables `metapaas_service_accounts` and `metapaas_service_tokens`.

use chrono::{DateTime, Utc};
use sea_query::{Expr, ExprTrait, Query};
use serde::Serialize;
use uuid::Uuid;

use super::{
    IamStore, IamTx, Listed, PageAt, Source, delete_by, insert, optional_time, select, select_by, time,
    update, update_revised,
};
use crate::authz::Projects;
use crate::store::error::StoreError;
use crate::store::statement::{Dialect, Statement, slot};
use crate::store::value::{Arg, Required, Row};

const TABLE: &str = "metapaas_service_accounts";
const COLUMNS: [&str; 8] =
    ["id", "project_id", "name", "description", "disabled", "created_at", "updated_at", "revision"];
const TOKENS: &str = "metapaas_service_tokens";
const TOKEN_COLUMNS: [&str; 6] =
    ["id", "service_account_id", "description", "created_at", "expires_at", "last_used_at"];

/// A program that makes requests.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceAccount {
    /// UUIDv7.
    pub id: Uuid,
    /// Whose owners manage it. Its rights come from bindings, there or elsewhere.
    pub project_id: Uuid,
    /// Unique in the project.
    pub name: String,
    /// Free text.
    pub description: String,
    /// The tokens of a disabled one are refused.
    pub disabled: bool,
    /// When it was made.
    #[serde(serialize_with = "time")]
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    #[serde(skip)]
    pub updated_at: DateTime<Utc>,
    /// Raised by every change; the ETag.
    #[serde(skip)]
    pub revision: i64,
}

/// What a service account shows. The secret itself is not kept.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceToken {
    /// UUIDv7.
    pub id: Uuid,
    /// Whose it is.
    #[serde(skip)]
    pub service_account_id: Uuid,
    /// Free text.
    pub description: String,
    /// When it was made.
    #[serde(serialize_with = "time")]
    pub created_at: DateTime<Utc>,
    /// Until when it is good; forever without one.
    #[serde(serialize_with = "optional_time")]
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, give or take a minute or two.
    #[serde(serialize_with = "optional_time")]
    pub last_used_at: Option<DateTime<Utc>>,
}

/// A token that somebody shows, with the account it stands for.
#[derive(Clone, Debug)]
pub(crate) struct ShownToken {
    pub(crate) id: Uuid,
    pub(crate) account_id: Uuid,
    pub(crate) account_name: String,
    pub(crate) account_disabled: bool,
    pub(crate) expires_at: Option<DateTime<Utc>>,
    pub(crate) last_used_at: Option<DateTime<Utc>>,
}

#[derive(Debug)]
pub(super) struct ServiceAccountSql {
    by_id: Statement,
    named: Statement,
    insert: Statement,
    update: Statement,
    delete: Statement,
    insert_token: Statement,
    shown_token: Statement,
    touch_token: Statement,
    delete_token: Statement,
}

impl ServiceAccountSql {
    pub(super) fn new(dialect: Dialect) -> Self {
        let shown_token = Query::select()
            .columns([
                (TOKENS, "id"),
                (TABLE, "id"),
                (TABLE, "name"),
                (TABLE, "disabled"),
                (TOKENS, "expires_at"),
                (TOKENS, "last_used_at"),
            ])
            .from(TOKENS)
            .inner_join(TABLE, Expr::col((TABLE, "id")).equals((TOKENS, "service_account_id")))
            .and_where(Expr::col((TOKENS, "token_hash")).eq(slot(0)))
            .to_owned();
        let named = select(TABLE, &COLUMNS)
            .and_where(Expr::col((TABLE, "name")).eq(slot(0)))
            .and_where(Expr::col((TABLE, "project_id")).eq(slot(1)))
            .to_owned();
        let mut token_columns = TOKEN_COLUMNS.to_vec();
        token_columns.push("token_hash");
        Self {
            by_id: select_by(dialect, TABLE, &COLUMNS, "id"),
            named: Statement::new(dialect, &named),
            insert: Statement::new(dialect, &insert(TABLE, &COLUMNS)),
            update: update_revised(dialect, TABLE, &["description", "disabled", "updated_at"]),
            delete: delete_by(dialect, TABLE, &["id"]),
            insert_token: Statement::new(dialect, &insert(TOKENS, &token_columns)),
            shown_token: Statement::new(dialect, &shown_token),
            touch_token: Statement::new(dialect, &update(TOKENS, &["last_used_at"])),
            delete_token: delete_by(dialect, TOKENS, &["id", "service_account_id"]),
        }
    }
}

fn read(row: &Row) -> Result<ServiceAccount, StoreError> {
    Ok(ServiceAccount {
        id: row.uuid(0).required("id")?,
        project_id: row.uuid(1).required("project_id")?,
        name: row.text(2).required("name")?,
        description: row.text(3).required("description")?,
        disabled: row.bool(4).required("disabled")?,
        created_at: row.time(5).required("created_at")?,
        updated_at: row.time(6).required("updated_at")?,
        revision: row.int(7).required("revision")?,
    })
}

fn read_token(row: &Row) -> Result<ServiceToken, StoreError> {
    Ok(ServiceToken {
        id: row.uuid(0).required("id")?,
        service_account_id: row.uuid(1).required("service_account_id")?,
        description: row.text(2).required("description")?,
        created_at: row.time(3).required("created_at")?,
        expires_at: row.time(4)?,
        last_used_at: row.time(5)?,
    })
}

fn read_shown_token(row: &Row) -> Result<ShownToken, StoreError> {
    Ok(ShownToken {
        id: row.uuid(0).required("id")?,
        account_id: row.uuid(1).required("service_account_id")?,
        account_name: row.text(2).required("name")?,
        account_disabled: row.bool(3).required("disabled")?,
        expires_at: row.time(4)?,
        last_used_at: row.time(5)?,
    })
}

impl IamStore {
    pub(crate) async fn service_account(&self, id: Uuid) -> Result<Option<ServiceAccount>, StoreError> {
        Ok(self.read("read a service account", &self.sql.accounts.by_id, &[id.into()], read).await?.pop())
    }

    /// Narrowed to a name, to a project, or not at all.
    pub(crate) async fn service_accounts(
        &self,
        sees: &Projects,
        project: Option<Uuid>,
        name: Option<&str>,
        page: PageAt,
    ) -> Result<Listed<ServiceAccount>, StoreError> {
        let project = project.map(|project| ("project_id", Arg::from(project)));
        let having = project.into_iter().chain(name.map(|name| ("name", Arg::from(name)))).collect();
        let within = Some(("project_id", sees));
        let source = Source { table: TABLE, select: select(TABLE, &COLUMNS), having, within };
        self.list("list service accounts", source, page, read).await
    }

    pub(crate) async fn service_tokens(
        &self,
        account: Uuid,
        page: PageAt,
    ) -> Result<Listed<ServiceToken>, StoreError> {
        let having = vec![("service_account_id", Arg::from(account))];
        let source = Source { table: TOKENS, select: select(TOKENS, &TOKEN_COLUMNS), having, within: None };
        self.list("list service tokens", source, page, read_token).await
    }

    pub(crate) async fn shown_token(&self, hash: &str) -> Result<Option<ShownToken>, StoreError> {
        let statement = &self.sql.accounts.shown_token;
        Ok(self.read("look up a service token", statement, &[hash.into()], read_shown_token).await?.pop())
    }
}

impl IamTx<'_> {
    pub(crate) async fn service_account(&mut self, id: Uuid) -> Result<Option<ServiceAccount>, StoreError> {
        let sql = self.sql.clone();
        Ok(self.read("read a service account", &sql.accounts.by_id, &[id.into()], read).await?.pop())
    }

    pub(crate) async fn service_account_named(
        &mut self,
        name: &str,
        project: Uuid,
    ) -> Result<Option<ServiceAccount>, StoreError> {
        let sql = self.sql.clone();
        let args = [name.into(), project.into()];
        Ok(self.read("read a service account", &sql.accounts.named, &args, read).await?.pop())
    }

    pub(crate) async fn insert_service_account(
        &mut self,
        account: &ServiceAccount,
    ) -> Result<(), StoreError> {
        let args = [
            account.id.into(),
            account.project_id.into(),
            account.name.as_str().into(),
            account.description.as_str().into(),
            account.disabled.into(),
            account.created_at.into(),
            account.updated_at.into(),
            account.revision.into(),
        ];
        self.tx.execute("make a service account", &self.sql.accounts.insert, &args).await.map(drop)
    }

    pub(crate) async fn update_service_account(
        &mut self,
        account: &ServiceAccount,
    ) -> Result<(), StoreError> {
        let args = [
            account.id.into(),
            account.description.as_str().into(),
            account.disabled.into(),
            account.updated_at.into(),
        ];
        self.tx.execute("change a service account", &self.sql.accounts.update, &args).await.map(drop)
    }

    pub(crate) async fn delete_service_account(&mut self, id: Uuid) -> Result<u64, StoreError> {
        self.tx.execute("delete a service account", &self.sql.accounts.delete, &[id.into()]).await
    }

    pub(crate) async fn insert_service_token(
        &mut self,
        token: &ServiceToken,
        hash: &str,
    ) -> Result<(), StoreError> {
        let args = [
            token.id.into(),
            token.service_account_id.into(),
            token.description.as_str().into(),
            token.created_at.into(),
            token.expires_at.into(),
            token.last_used_at.into(),
            hash.into(),
        ];
        self.tx.execute("make a service token", &self.sql.accounts.insert_token, &args).await.map(drop)
    }

    pub(crate) async fn touch_service_token(
        &mut self,
        id: Uuid,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let args = [id.into(), now.into()];
        self.tx
            .execute("note the use of a service token", &self.sql.accounts.touch_token, &args)
            .await
            .map(drop)
    }

    pub(crate) async fn delete_service_token(&mut self, id: Uuid, account: Uuid) -> Result<u64, StoreError> {
        let args = [id.into(), account.into()];
        self.tx.execute("delete a service token", &self.sql.accounts.delete_token, &args).await
    }
}
