//! What `/metrics` tells of instances, as the database has it: one reading of a bounded number of rows per type.

use sea_query::{Alias, Order, Query};
use uuid::Uuid;

use super::error::StoreError;
use super::statement::Statement;
use super::value::{Arg, Required};
use super::{Store, codec};
use crate::descriptor::FieldDescriptor;
use crate::registry::RegisteredType;

/// The place of the limit among the arguments.
const LIMIT: usize = 0;

/// An instance with its values of the fields that are metrics.
pub(crate) struct Measured {
    pub(crate) id: Uuid,
    pub(crate) project_id: Uuid,
    /// In the order of [`measures`]; `None` before a node has told one.
    pub(crate) values: Vec<Option<serde_json::Number>>,
}

/// The fields of a type that are metrics.
pub(crate) fn measures(registered: &RegisteredType) -> impl Iterator<Item = &'static FieldDescriptor> {
    registered.ty.fields.iter().filter(|field| field.metric.is_some())
}

impl Store {
    /// The instances of a type that were made first, `limit` at the most.
    pub(crate) async fn measured(
        &self,
        registered: &RegisteredType,
        limit: i64,
    ) -> Result<Vec<Measured>, StoreError> {
        let columns = ["id", "project_id"].into_iter();
        let query = Query::select()
            .columns(columns.chain(measures(registered).map(|field| field.name)).map(Alias::new))
            .from(Alias::new(registered.ty.table()))
            .order_by(Alias::new("id"), Order::Asc)
            .limit(LIMIT as u64)
            .to_owned();
        let statement = Statement::new(self.database.dialect(), &query);
        let rows = self.database.fetch("read metrics of instances", &statement, &[Arg::from(limit)]).await?;
        let read = |row: &super::Row| {
            let values = measures(registered).enumerate().map(|(index, field)| {
                Ok(match codec::decode(row, 2 + index, &field.kind)?.to_json() {
                    serde_json::Value::Number(number) => Some(number),
                    _ => None,
                })
            });
            Ok(Measured {
                id: row.uuid(0).required("id")?,
                project_id: row.uuid(1).required("project_id")?,
                values: values.collect::<Result<_, StoreError>>()?,
            })
        };
        rows.iter().map(read).collect()
    }
}
