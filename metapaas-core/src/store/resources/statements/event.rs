//! The events that a change of a row makes, in the same operation.

use sea_query::{Alias, Expr, ExprTrait, Func, Query, SimpleExpr};

use super::slots;
use crate::descriptor::TypeDescriptor;
use crate::store::operation::{INSTANCE, OperationBuilder, ROW};
use crate::store::statement::{Dialect, slot};

/// Whether the row is still there after the operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Kept,
    Removed,
}

/// The event of the row that changes.
pub(super) fn event(
    builder: OperationBuilder,
    dialect: Dialect,
    ty: &TypeDescriptor,
    after: After,
) -> OperationBuilder {
    let revision = builder.revision();
    let generation = match (dialect, after) {
        (Dialect::Postgres, _) => Expr::col(Alias::new("generation")),
        // A row that is gone cannot be asked; who removes it says.
        (Dialect::Sqlite, After::Removed) => slot(slots::GENERATION_STEP),
        (Dialect::Sqlite, After::Kept) => column_of(&ty.table(), "generation", slots::ID),
    };
    builder.insert_after(
        "kept_event",
        ROW,
        "metapaas_events",
        vec![
            ("seq", revision),
            ("at", slot(slots::NOW)),
            ("project_id", slot(slots::PROJECT)),
            ("type", slot(slots::SLUG)),
            ("plural", slot(slots::PLURAL)),
            ("resource_id", slot(slots::ID)),
            ("instance_id", slot(slots::INSTANCE)),
            ("parent_id", slot(slots::PARENT)),
            ("name", slot(slots::KEY)),
            ("action", slot(slots::ACTION)),
            ("actor_kind", slot(slots::ACTOR_KIND)),
            ("actor_id", slot(slots::ACTOR_ID)),
            ("actor_name", slot(slots::ACTOR_NAME)),
            ("request_id", slot(slots::REQUEST_ID)),
            ("generation", generation),
            ("detail", slot(slots::DETAIL)),
        ],
        None,
    )
}

/// The event of the instance above a child: its generation, revision and status moved because the child changed.
pub(super) fn instance_event(
    builder: OperationBuilder,
    dialect: Dialect,
    ty: &TypeDescriptor,
) -> OperationBuilder {
    let root = ty.root();
    let key = root.key_name().unwrap_or("id");
    let column = |name: &str| match dialect {
        Dialect::Postgres => Expr::col(Alias::new(name)),
        Dialect::Sqlite => column_of(&root.table(), name, slots::INSTANCE),
    };
    let object = match dialect {
        Dialect::Postgres => "jsonb_build_object",
        Dialect::Sqlite => "json_object",
    };
    let text = |slot_of: usize| slot(slot_of).cast_as(Alias::new("text"));
    let child: SimpleExpr = Func::cust(Alias::new(object))
        .arg(Expr::cust("'plural'"))
        .arg(text(slots::PLURAL))
        .arg(Expr::cust("'id'"))
        .arg(text(slots::ID))
        .arg(Expr::cust("'name'"))
        .arg(text(slots::KEY))
        .arg(Expr::cust("'action'"))
        .arg(text(slots::ACTION))
        .into();
    let detail = Func::cust(Alias::new(object)).arg(Expr::cust("'child'")).arg(child).into();
    let revision = builder.instance_revision();
    builder.insert_after(
        "kept_instance_event",
        INSTANCE,
        "metapaas_events",
        vec![
            ("seq", revision),
            ("at", slot(slots::NOW)),
            ("project_id", slot(slots::PROJECT)),
            ("type", slot(slots::SLUG)),
            ("plural", Expr::cust(format!("'{}'", root.plural))),
            ("resource_id", slot(slots::INSTANCE)),
            ("instance_id", slot(slots::INSTANCE)),
            ("parent_id", slot(slots::INSTANCE)),
            ("name", column(key).cast_as(Alias::new("text"))),
            ("action", Expr::cust("'child'")),
            ("actor_kind", slot(slots::ACTOR_KIND)),
            ("actor_id", slot(slots::ACTOR_ID)),
            ("actor_name", slot(slots::ACTOR_NAME)),
            ("request_id", slot(slots::REQUEST_ID)),
            ("generation", column("generation")),
            ("detail", detail),
        ],
        None,
    )
}

/// A column of the row whose id is in that slot.
fn column_of(table: &str, column: &str, id: usize) -> SimpleExpr {
    let select = Query::select()
        .column(Alias::new(column))
        .from(Alias::new(table))
        .and_where(Expr::col(Alias::new("id")).eq(slot(id)))
        .to_owned();
    SimpleExpr::SubQuery(None, Box::new(select.into()))
}
