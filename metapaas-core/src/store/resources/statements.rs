//! The statements of one type, written once at start from its descriptor.

mod event;

use sea_query::{
    Alias, Expr, ExprTrait, OnConflict, Order, Query, SelectStatement, SimpleExpr, UpdateStatement,
};

use self::event::{After, event, instance_event};
use super::references::conditions;
use crate::authz::Projects;
use crate::descriptor::{FieldDescriptor, FieldKind, TypeDescriptor};
use crate::store::operation::{INSTANCE, LOCKED, Operation, OperationBuilder, ROW, insert_row};
use crate::store::quotas::without_limits;
use crate::store::schema::{key_columns, unique_columns};
use crate::store::statement::{Dialect, Statement, slot};
use crate::store::work::{clock, held};

/// Numbers of the values that the statements of a type take.
pub(in crate::store) mod slots {
    pub(crate) const ID: usize = 0;
    pub(crate) const PROJECT: usize = 1;
    pub(crate) const INSTANCE: usize = 2;
    pub(crate) const PARENT: usize = 3;
    pub(crate) const NAME: usize = 4;
    pub(crate) const DESCRIPTION: usize = 5;
    pub(crate) const VERSION: usize = 6;
    pub(crate) const LABELS: usize = 7;
    pub(crate) const STATUS: usize = 8;
    pub(crate) const CONDITIONS: usize = 9;
    pub(crate) const NODES: usize = 10;
    pub(crate) const NOW: usize = 11;
    pub(crate) const OLD_REVISION: usize = 12;
    pub(crate) const GENERATION_STEP: usize = 13;
    /// Of the lease under which a status is written, which steps no generation.
    pub(crate) const EPOCH: usize = GENERATION_STEP;
    pub(crate) const ACTOR_KIND: usize = 14;
    pub(crate) const ACTOR_ID: usize = 15;
    pub(crate) const ACTOR_NAME: usize = 16;
    pub(crate) const REQUEST_ID: usize = 17;
    pub(crate) const SLUG: usize = 18;
    pub(crate) const PLURAL: usize = 19;
    pub(crate) const KEY: usize = 20;
    pub(crate) const ACTION: usize = 21;
    pub(crate) const DETAIL: usize = 22;
    pub(crate) const OBSERVED: usize = 23;
    pub(crate) const PROTECTION: usize = 24;
    /// Whether the same transaction keeps the project's limits; a write on its own does so only where there are none.
    pub(crate) const LIMITS_KEPT: usize = 25;
    /// The first field; the others follow in the descriptor's order.
    pub(crate) const FIELDS: usize = 26;
}

/// Values of statements that go through a project.
pub(in crate::store) mod between_slots {
    pub(crate) const PROJECT: usize = 0;
    pub(crate) const AFTER: usize = 1;
    pub(crate) const LIMIT: usize = 2;
    pub(crate) const LAST: usize = 3;
}

/// Values of list statements.
pub(in crate::store) mod list_slots {
    pub(crate) const PARENT: usize = 0;
    pub(crate) const AFTER: usize = 1;
    pub(crate) const LIMIT: usize = 2;
    /// The first project; the others follow, then the values of filter and order.
    pub(crate) const PROJECTS: usize = 3;
}

/// Everything that is done to rows of one type.
#[derive(Debug)]
pub(in crate::store) struct TypeStatements {
    /// By id.
    pub(in crate::store) by_id: Statement,
    /// By parent id and key (children), by key (instances, in any project).
    pub(in crate::store) by_key: Option<Statement>,
    /// Instances by key within one project.
    pub(in crate::store) by_key_in_project: Option<Statement>,
    /// All rows of one instance, oldest first.
    pub(in crate::store) of_instance: Statement,
    /// First page and later pages over all projects (or of one parent).
    pub(in crate::store) list_all: [Statement; 2],
    /// First page and later pages of one project.
    pub(in crate::store) list_one: [Statement; 2],
    pub(in crate::store) create: Operation,
    pub(in crate::store) update: Operation,
    /// An update by an action, which may set every field.
    pub(in crate::store) act: Operation,
    pub(in crate::store) mark_deleting: Operation,
    /// Removes the row for good.
    pub(in crate::store) remove: Operation,
    /// Writes what the platform found: status, conditions, nodes, outputs.
    pub(in crate::store) observe: Operation,
    /// Gives an instance a new generation because what is bound to it changed.
    pub(in crate::store) raise: Operation,
}

impl TypeStatements {
    /// `is_planned` tells whether nodes are planned for instances of this type's root: then every change may need more.
    pub(in crate::store) fn new(dialect: Dialect, ty: &'static TypeDescriptor, is_planned: bool) -> Self {
        let one = |query: &SelectStatement| Statement::new(dialect, query);
        let by_key = ty.key_name().map(|key| {
            let mut select = select(ty);
            select.and_where(Expr::col(Alias::new(key)).eq(slot(slots::KEY)));
            if !ty.is_instance() {
                select.and_where(Expr::col(Alias::new("parent_id")).eq(slot(slots::PARENT)));
            }
            select
        });
        let by_key_in_project = by_key.clone().filter(|_| ty.is_instance()).map(|mut select| {
            one(select.and_where(Expr::col(Alias::new("project_id")).eq(slot(slots::PROJECT))))
        });
        Self {
            by_id: one(select(ty).and_where(Expr::col(Alias::new("id")).eq(slot(slots::ID)))),
            by_key: by_key.map(|select| one(&select)),
            by_key_in_project,
            of_instance: one(select(ty)
                .and_where(Expr::col(Alias::new(instance_column(ty))).eq(slot(slots::INSTANCE)))
                .order_by(Alias::new("id"), Order::Asc)),
            list_all: [false, true].map(|later| one(&list(ty, &Projects::All, later, false))),
            list_one: [false, true].map(|later| one(&list(ty, &Projects::All, later, true))),
            create: create(dialect, ty, limits(ty.is_instance() || is_planned)),
            update: update(dialect, ty, limits(is_planned), FieldDescriptor::is_mutable),
            act: update(dialect, ty, limits(is_planned), |_| true),
            mark_deleting: mark_deleting(dialect, ty, limits(is_planned && !ty.is_instance())),
            remove: remove(dialect, ty),
            observe: observe(dialect, ty),
            raise: raise(dialect, ty),
        }
    }
}

/// Holds when nothing limits the project, or the transaction sees to its limits.
fn limits(matter: bool) -> Option<SimpleExpr> {
    matter.then(|| slot(slots::LIMITS_KEPT).or(without_limits(slots::PROJECT)))
}

fn instance_column(ty: &TypeDescriptor) -> &'static str {
    if ty.is_instance() { "id" } else { "instance_id" }
}

/// Columns in the order that the reader of rows knows.
pub(super) fn columns(ty: &TypeDescriptor) -> Vec<&'static str> {
    let mut columns = vec!["id", "project_id"];
    if ty.is_instance() {
        columns.extend(["id", "id", "generation", "version", "nodes", "deletion_protection"]);
    } else {
        columns.extend(["instance_id", "parent_id", "held_generation"]);
    }
    columns.extend([
        "description",
        "labels",
        "status",
        "conditions",
        "generation",
        "observed_generation",
        "revision",
        "created_at",
        "updated_at",
        "deleting_at",
    ]);
    if ty.has_framework_name() {
        columns.push("name");
    }
    columns.extend(ty.fields.iter().map(|field| field.name));
    columns
}

pub(in crate::store) fn select(ty: &TypeDescriptor) -> SelectStatement {
    Query::select().columns(columns(ty).into_iter().map(Alias::new)).from(Alias::new(ty.table())).to_owned()
}

/// Some instances of a project, in the order of their ids.
pub(in crate::store) fn rows_in_project(ty: &TypeDescriptor) -> SelectStatement {
    select(ty)
        .and_where(Expr::col(Alias::new("project_id")).eq(slot(between_slots::PROJECT)))
        .and_where(Expr::col(Alias::new("id")).gt(slot(between_slots::AFTER)))
        .order_by(Alias::new("id"), Order::Asc)
        .limit(between_slots::LIMIT as u64)
        .to_owned()
}

/// The rows below those instances, in the order they were made.
pub(in crate::store) fn children_between(ty: &TypeDescriptor) -> SelectStatement {
    let instance = || Expr::col(Alias::new(instance_column(ty)));
    select(ty)
        .and_where(Expr::col(Alias::new("project_id")).eq(slot(between_slots::PROJECT)))
        .and_where(instance().gt(slot(between_slots::AFTER)))
        .and_where(instance().lte(slot(between_slots::LAST)))
        .order_by(Alias::new("id"), Order::Asc)
        .to_owned()
}

/// Columns whose values are unique, each with the columns of its index.
pub(super) fn uniques(ty: &TypeDescriptor) -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    let key = ty.key_name().zip(key_columns(ty)).map(|(key, columns)| (key, columns.to_vec()));
    let fields = ty.fields.iter().filter_map(|field| Some((field.name, unique_columns(ty, field)?)));
    key.into_iter().chain(fields)
}

/// Id and project of the row that has the value of `column` that a write was to have.
pub(super) fn holder(ty: &TypeDescriptor, column: &str, index: &[&str]) -> SelectStatement {
    let field = ty.fields.iter().position(|field| field.name == column);
    let value = field.map_or_else(|| slot(slots::NAME), field_slot);
    let mut select = Query::select();
    select
        .columns(["id", "project_id", "deleting_at"].map(Alias::new))
        .from(Alias::new(ty.table()))
        .and_where(Expr::col(Alias::new(column)).eq(value));
    for (siblings, above) in [("project_id", slots::PROJECT), ("parent_id", slots::PARENT)] {
        if index.contains(&siblings) {
            select.and_where(Expr::col(Alias::new(siblings)).eq(slot(above)));
        }
    }
    select
}

/// One page in the order of ids, which is the order of creation.
pub(in crate::store) fn list(
    ty: &TypeDescriptor,
    projects: &Projects,
    later: bool,
    one_project: bool,
) -> SelectStatement {
    let mut select = select(ty);
    if !ty.is_instance() {
        select.and_where(Expr::col(Alias::new("parent_id")).eq(slot(list_slots::PARENT)));
    }
    if one_project {
        select.and_where(Expr::col(Alias::new("project_id")).eq(slot(list_slots::PROJECTS)));
    }
    if let Projects::Some(projects) = projects {
        let values = (0..projects.len()).map(|index| slot(list_slots::PROJECTS + index));
        select.and_where(Expr::col(Alias::new("project_id")).is_in(values));
    }
    if later {
        select.and_where(Expr::col(Alias::new("id")).gt(slot(list_slots::AFTER)));
    }
    select.order_by(Alias::new("id"), Order::Asc).limit(list_slots::LIMIT as u64);
    select
}

fn field_slot(index: usize) -> SimpleExpr {
    slot(slots::FIELDS + index)
}

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
fn raise(dialect: Dialect, ty: &TypeDescriptor) -> Operation {
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

fn create(dialect: Dialect, ty: &TypeDescriptor, limits: Option<SimpleExpr>) -> Operation {
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

fn update(
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

fn mark_deleting(dialect: Dialect, ty: &TypeDescriptor, limits: Option<SimpleExpr>) -> Operation {
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
pub(super) const fn is_dropped_reference(field: &FieldDescriptor) -> bool {
    field.nullable && matches!(field.kind, FieldKind::Ref(_))
}

/// The last step of a delete, by the platform. No work is left, so nobody is woken.
fn remove(dialect: Dialect, ty: &TypeDescriptor) -> Operation {
    let builder = OperationBuilder::new(dialect, false);
    let mut delete = Query::delete();
    delete
        .from_table(Alias::new(ty.table()))
        .and_where(Expr::col(Alias::new("id")).eq(slot(slots::ID)))
        .returning(Query::returning().columns(["revision", "generation"].map(Alias::new)));
    event(builder.guard(ROW, delete), dialect, ty, After::Removed).finish(&["revision", "generation"])
}

/// What the platform found. Raises the revision, never the generation.
fn observe(dialect: Dialect, ty: &TypeDescriptor) -> Operation {
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
