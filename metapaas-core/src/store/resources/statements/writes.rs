//! What is done to rows of one type: create, update, delete, what the platform found, and the work that follows.

use sea_query::{Alias, Expr, ExprTrait, OnConflict, Query, SimpleExpr, UpdateStatement};

use super::event::{After, event, instance_event};
use super::{field_slot, slots};
use crate::descriptor::{FieldDescriptor, FieldKind, TypeDescriptor};
use crate::store::operation::{INSTANCE, LOCKED, Operation, OperationBuilder, ROW, insert_row};
use crate::store::resources::references::conditions;
use crate::store::statement::{Dialect, Statement, slot};
use crate::store::work::{clock, held};

/// The generation of the instance once this operation is done, for a child that changes with it.
fn held_generation(dialect: Dialect, ty: &TypeDescriptor) -> SimpleExpr {
    match dialect {
        Dialect::Postgres => Expr::cust("(SELECT generation + 1 FROM locked_instance)"),
        Dialect::Sqlite => {
            let select = Query::select()
                .expr(Expr::col(Alias::new("generation")).add(Expr::cust("1")))
                .from(Alias::new(ty.root().table()))
                .and_where(Expr::col(Alias::new("id")).eq(slot(slots::INSTANCE)))
                .to_owned();
            SimpleExpr::SubQuery(None, Box::new(select.into()))
        }
    }
}

/// Begins an operation that happens only when `conditions` hold; for a child it locks the instance, which must not be
/// on its way out.
fn begin(dialect: Dialect, ty: &TypeDescriptor, conditions: Vec<SimpleExpr>) -> OperationBuilder {
    let builder = OperationBuilder::new(dialect, !ty.is_instance());
    let mut lock = Query::select();
    if ty.is_instance() {
        if conditions.is_empty() {
            return builder;
        }
        lock.expr_as(Expr::cust("0"), Alias::new("generation"));
    } else {
        lock.column(Alias::new("generation"))
            .from(Alias::new(ty.root().table()))
            .and_where(Expr::col(Alias::new("id")).eq(slot(slots::INSTANCE)))
            .and_where(Expr::col(Alias::new("deleting_at")).is_null());
        if dialect == Dialect::Postgres {
            lock.lock_exclusive();
        }
    }
    for condition in conditions {
        lock.and_where(condition);
    }
    builder.guard(LOCKED, lock)
}

/// Ends a user's operation: the instance above a child moves on, the event is kept, the worker is told.
fn end(
    mut builder: OperationBuilder,
    dialect: Dialect,
    ty: &TypeDescriptor,
    columns: &[&'static str],
) -> Operation {
    if !ty.is_instance() {
        let mut raise = raised(ty.root(), builder.instance_revision());
        if dialect == Dialect::Postgres {
            raise.and_where(Expr::cust("EXISTS (SELECT 1 FROM changed_row)"));
        }
        let key = ty.root().key_name().unwrap_or("id");
        raise.returning(Query::returning().columns(["revision", "generation", key].map(Alias::new)));
        builder = instance_event(builder.guard(INSTANCE, raise), dialect, ty);
    }
    let builder = event(builder, dialect, ty, After::Kept);
    wake(builder, dialect).finish(columns)
}

/// The instance moves on to a new generation.
fn raised(root: &TypeDescriptor, revision: SimpleExpr) -> UpdateStatement {
    Query::update()
        .table(Alias::new(root.table()))
        .value(Alias::new("generation"), Expr::col(Alias::new("generation")).add(Expr::cust("1")))
        .value(Alias::new("revision"), revision)
        .value(Alias::new("updated_at"), slot(slots::NOW))
        .value(
            Alias::new("status"),
            Expr::cust(
                "CASE status WHEN 'ACTIVE' THEN 'UPDATING' WHEN 'ERROR' THEN 'UPDATING' ELSE status END",
            ),
        )
        .and_where(Expr::col(Alias::new("id")).eq(slot(slots::INSTANCE)))
        .to_owned()
}

/// The same by itself, for an instance that stays.
pub(super) fn raise(dialect: Dialect, ty: &TypeDescriptor) -> Operation {
    let builder = OperationBuilder::new(dialect, false);
    let mut update = raised(ty.root(), builder.revision());
    update
        .and_where(Expr::col(Alias::new("deleting_at")).is_null())
        .returning(Query::returning().columns(["revision", "generation"].map(Alias::new)));
    let builder = event(builder.guard(ROW, update), dialect, ty.root(), After::Kept);
    wake(builder, dialect).finish(&["revision", "generation"])
}

/// The instance's work row becomes due. A claim that is under way sees `wake` move and does not put it to sleep.
fn wake(builder: OperationBuilder, dialect: Dialect) -> OperationBuilder {
    builder.insert_after("due_work", ROW, "metapaas_work", wake_values(dialect), Some(wake_conflict()))
}

pub(in crate::store) fn wake_values(dialect: Dialect) -> Vec<(&'static str, SimpleExpr)> {
    vec![
        ("resource_id", slot(slots::INSTANCE)),
        ("type", slot(slots::SLUG)),
        ("due_at", clock(dialect, slots::NOW)),
        ("priority", Expr::cust("0")),
        ("attempts", Expr::cust("0")),
        ("wake", Expr::cust("1")),
        ("claimed_wake", Expr::cust("0")),
        ("epoch", Expr::cust("0")),
    ]
}

pub(in crate::store) fn wake_conflict() -> OnConflict {
    // Work that is due already stays so: an index entry that need not move is the dearer part of this write.
    let due_at = "CASE WHEN metapaas_work.due_at <= excluded.due_at THEN metapaas_work.due_at ELSE excluded.due_at END";
    OnConflict::column(Alias::new("resource_id"))
        .value(Alias::new("due_at"), Expr::cust(due_at))
        .value(Alias::new("wake"), Expr::cust("metapaas_work.wake + 1"))
        .value(Alias::new("attempts"), Expr::cust("0"))
        .to_owned()
}

/// Makes the work row of an instance due, on its own.
pub(in crate::store) fn wake_statement(dialect: Dialect) -> Statement {
    Statement::new(
        dialect,
        &insert_row(dialect, "metapaas_work", wake_values(dialect), None, Some(wake_conflict())),
    )
}

pub(super) fn create(dialect: Dialect, ty: &TypeDescriptor, limits: Option<SimpleExpr>) -> Operation {
    let mut conditions = conditions(dialect, ty);
    conditions.extend(limits);
    let is_locked = !ty.is_instance() || !conditions.is_empty();
    let builder = begin(dialect, ty, conditions);
    let mut values = vec![("id", slot(slots::ID)), ("project_id", slot(slots::PROJECT))];
    if ty.is_instance() {
        values.push(("version", slot(slots::VERSION)));
        values.push(("nodes", slot(slots::NODES)));
        values.push(("deletion_protection", slot(slots::PROTECTION)));
    } else {
        values.push(("instance_id", slot(slots::INSTANCE)));
        values.push(("parent_id", slot(slots::PARENT)));
        values.push(("held_generation", held_generation(dialect, ty)));
    }
    if ty.has_framework_name() {
        values.push(("name", slot(slots::NAME)));
    }
    values.extend([
        ("description", slot(slots::DESCRIPTION)),
        ("labels", slot(slots::LABELS)),
        ("status", slot(slots::STATUS)),
        ("conditions", slot(slots::CONDITIONS)),
        ("generation", Expr::cust("1")),
        ("observed_generation", Expr::cust("0")),
        ("revision", builder.revision()),
        ("created_at", slot(slots::NOW)),
        ("updated_at", slot(slots::NOW)),
    ]);
    for (index, field) in ty.fields.iter().enumerate() {
        values.push((field.name, field_slot(index)));
    }
    let after = if is_locked { LOCKED } else { "next_revision" };
    let mut insert = insert_row(dialect, &ty.table(), values, Some(after), None);
    insert.returning(Query::returning().columns(returned(ty).into_iter().map(Alias::new)));
    end(builder.guard(ROW, insert), dialect, ty, &returned(ty))
}

/// What a changed row answers: revision, generation, and for a child the instance generation that holds it.
fn returned(ty: &TypeDescriptor) -> Vec<&'static str> {
    if ty.is_instance() {
        vec!["revision", "generation"]
    } else {
        vec!["revision", "generation", "held_generation"]
    }
}

pub(super) fn update(
    dialect: Dialect,
    ty: &TypeDescriptor,
    limits: Option<SimpleExpr>,
    may_change: impl Fn(&FieldDescriptor) -> bool,
) -> Operation {
    let mut conditions = conditions(dialect, ty);
    conditions.extend(limits);
    let is_locked = !ty.is_instance() || !conditions.is_empty();
    let builder = begin(dialect, ty, conditions);
    let mut update = Query::update();
    update
        .table(Alias::new(ty.table()))
        .value(Alias::new("description"), slot(slots::DESCRIPTION))
        .value(Alias::new("labels"), slot(slots::LABELS))
        .value(Alias::new("status"), slot(slots::STATUS))
        .value(Alias::new("conditions"), slot(slots::CONDITIONS))
        .value(Alias::new("revision"), builder.revision())
        .value(Alias::new("updated_at"), slot(slots::NOW))
        .value(
            Alias::new("generation"),
            Expr::col(Alias::new("generation")).add(slot(slots::GENERATION_STEP)),
        );
    if ty.is_instance() {
        update.value(Alias::new("version"), slot(slots::VERSION));
        update.value(Alias::new("deletion_protection"), slot(slots::PROTECTION));
    } else {
        update.value(Alias::new("held_generation"), held_generation(dialect, ty));
    }
    for (index, field) in ty.fields.iter().enumerate().filter(|(_, field)| may_change(field)) {
        update.value(Alias::new(field.name), field_slot(index));
    }
    update
        .and_where(Expr::col(Alias::new("id")).eq(slot(slots::ID)))
        .and_where(Expr::col(Alias::new("revision")).eq(slot(slots::OLD_REVISION)))
        .and_where(Expr::col(Alias::new("deleting_at")).is_null());
    if dialect == Dialect::Postgres && is_locked {
        update.and_where(Expr::cust("EXISTS (SELECT 1 FROM locked_instance)"));
    }
    update.returning(Query::returning().columns(returned(ty).into_iter().map(Alias::new)));
    end(builder.guard(ROW, update), dialect, ty, &returned(ty))
}

pub(super) fn mark_deleting(dialect: Dialect, ty: &TypeDescriptor, limits: Option<SimpleExpr>) -> Operation {
    let builder = begin(dialect, ty, limits.into_iter().collect());
    let mut update = Query::update();
    update
        .table(Alias::new(ty.table()))
        .value(Alias::new("status"), Expr::cust("'DELETING'"))
        .value(Alias::new("deleting_at"), slot(slots::NOW))
        .value(Alias::new("revision"), builder.revision())
        .value(Alias::new("updated_at"), slot(slots::NOW));
    if !ty.is_instance() {
        update.value(Alias::new("held_generation"), held_generation(dialect, ty));
        if dialect == Dialect::Postgres {
            update.and_where(Expr::cust("EXISTS (SELECT 1 FROM locked_instance)"));
        }
    }
    // What goes keeps nothing else from going.
    for field in ty.fields.iter().filter(|field| is_dropped_reference(field) && !field.output) {
        update.value(Alias::new(field.name), Expr::cust("NULL"));
    }
    // What nodes are to know of a row while it leaves. It may be told once more, with more force.
    for (index, field) in ty.fields.iter().enumerate().filter(|(_, field)| field.output) {
        update.value(Alias::new(field.name), field_slot(index));
    }
    update
        .and_where(Expr::col(Alias::new("id")).eq(slot(slots::ID)))
        .and_where(Expr::col(Alias::new("revision")).eq(slot(slots::OLD_REVISION)))
        .returning(Query::returning().columns(returned(ty).into_iter().map(Alias::new)));
    end(builder.guard(ROW, update), dialect, ty, &returned(ty))
}

/// Whether a row on its way out no longer has the reference.
pub(in crate::store::resources) const fn is_dropped_reference(field: &FieldDescriptor) -> bool {
    field.nullable && matches!(field.kind, FieldKind::Ref(_))
}

/// The last step of a delete, by the platform. No work is left, so nobody is woken.
pub(super) fn remove(dialect: Dialect, ty: &TypeDescriptor) -> Operation {
    let builder = OperationBuilder::new(dialect, false);
    let mut delete = Query::delete();
    delete
        .from_table(Alias::new(ty.table()))
        .and_where(Expr::col(Alias::new("id")).eq(slot(slots::ID)))
        .returning(Query::returning().columns(["revision", "generation"].map(Alias::new)));
    event(builder.guard(ROW, delete), dialect, ty, After::Removed).finish(&["revision", "generation"])
}

/// What the platform found. Raises the revision, never the generation.
pub(super) fn observe(dialect: Dialect, ty: &TypeDescriptor) -> Operation {
    let builder = OperationBuilder::new(dialect, false);
    let mut update = Query::update();
    update
        .table(Alias::new(ty.table()))
        .value(Alias::new("status"), slot(slots::STATUS))
        .value(Alias::new("conditions"), slot(slots::CONDITIONS))
        .value(Alias::new("observed_generation"), slot(slots::OBSERVED))
        .value(Alias::new("revision"), builder.revision())
        .value(Alias::new("updated_at"), slot(slots::NOW));
    if ty.is_instance() {
        update.value(Alias::new("nodes"), slot(slots::NODES));
    }
    // No node tells a secret.
    let is_told = |field: &FieldDescriptor| field.output && !field.is_secret();
    for (index, field) in ty.fields.iter().enumerate().filter(|(_, field)| is_told(field)) {
        update.value(Alias::new(field.name), field_slot(index));
    }
    update
        .and_where(Expr::col(Alias::new("id")).eq(slot(slots::ID)))
        .and_where(Expr::col(Alias::new("revision")).eq(slot(slots::OLD_REVISION)))
        // Users' changes lock the row before the work, so the work is not locked here.
        .and_where(held(dialect, slots::INSTANCE, slots::EPOCH, false))
        .returning(Query::returning().columns(["revision", "generation"].map(Alias::new)));
    event(builder.guard(ROW, update), dialect, ty, After::Kept).finish(&["revision", "generation"])
}
