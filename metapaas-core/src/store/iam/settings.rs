//! Table `metapaas_settings`: the IAM epoch, and values that an installation makes once.

use sea_query::OnConflict;
use uuid::Uuid;

use super::{IamStore, IamTx, insert, select_by};
use crate::store::error::StoreError;
use crate::store::statement::{Dialect, Statement};
use crate::store::value::{Required, Row};

const TABLE: &str = "metapaas_settings";
const EPOCH: &str = "iam_epoch";

#[derive(Debug)]
pub(super) struct SettingSql {
    get: Statement,
    put: Statement,
    put_if_absent: Statement,
}

impl SettingSql {
    pub(super) fn new(dialect: Dialect) -> Self {
        let insert = insert(TABLE, &["name", "value"]);
        let update = OnConflict::column("name").update_column("value").to_owned();
        let nothing = OnConflict::column("name").do_nothing().to_owned();
        Self {
            get: select_by(dialect, TABLE, &["value"], "name"),
            put: Statement::new(dialect, insert.clone().on_conflict(update)),
            put_if_absent: Statement::new(dialect, insert.clone().on_conflict(nothing)),
        }
    }
}

fn read(row: &Row) -> Result<String, StoreError> {
    row.text(0).required("value")
}

impl IamStore {
    /// Another value than last time means that somebody's rights have changed.
    pub(crate) async fn epoch(&self) -> Result<Option<String>, StoreError> {
        self.setting(EPOCH).await
    }

    pub(crate) async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        Ok(self.read("read a setting", &self.sql.settings.get, &[name.into()], read).await?.pop())
    }
}

impl IamTx<'_> {
    pub(super) async fn move_epoch(&mut self) -> Result<(), StoreError> {
        let args = [EPOCH.into(), Uuid::now_v7().to_string().into()];
        self.tx.execute("move the IAM epoch", &self.sql.settings.put, &args).await.map(drop)
    }

    pub(crate) async fn put_setting_if_absent(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        let args = [name.into(), value.into()];
        self.tx.execute("write a setting", &self.sql.settings.put_if_absent, &args).await.map(drop)
    }
}
