//! The statements of one type, written once at start from its descriptor.

mod event;
mod writes;

use sea_query::{Alias, Expr, ExprTrait, Order, Query, SelectStatement, SimpleExpr};

pub(super) use self::writes::is_dropped_reference;
use self::writes::{create, mark_deleting, observe, raise, remove, update};
pub(in crate::store) use self::writes::{wake_conflict, wake_statement, wake_values};
use crate::authz::Projects;
use crate::descriptor::{FieldDescriptor, TypeDescriptor};
use crate::store::operation::Operation;
use crate::store::quotas::without_limits;
use crate::store::schema::{key_columns, unique_columns};
use crate::store::statement::{Dialect, Statement, slot};

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
