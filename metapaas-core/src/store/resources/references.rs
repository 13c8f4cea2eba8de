//! References between rows: they lead to rows that are there and stay, or the request is refused.
//!
//! Foreign keys hold in any case; this is for the answer, and for rows on their way out, which are still there.

use sea_query::{Alias, Expr, ExprTrait, LockType, Query, SelectStatement, SimpleExpr};

use super::statements::slots;
use crate::descriptor::{FieldDescriptor, FieldKind, TypeDescriptor};
use crate::error::{Error, ErrorCode, Problem};
use crate::registry::{RegisteredType, Registry};
use crate::resource::Resource;
use crate::role::PLATFORM_PROJECT;
use crate::store::error::StoreError;
use crate::store::statement::{Dialect, Statement, slot};
use crate::store::value::Arg;
use crate::store::{Database, Tx};

/// What there is to know of references from and to rows of one type.
#[derive(Debug, Default)]
pub(in crate::store) struct References {
    /// Answers a row when a field's reference can be kept, by index of the field.
    to: Vec<(usize, Statement)>,
    /// Locks the row and the instance above it, so that nobody begins to refer to it meanwhile.
    lock: Vec<Statement>,
    /// Answers a row when one of that name refers to the row, or to one below it, from outside.
    by: Vec<(String, Statement)>,
}

/// The type a field refers to.
fn target(field: &FieldDescriptor) -> Option<&'static TypeDescriptor> {
    match field.kind {
        FieldKind::Ref(target) if !field.output => Some(target()),
        _ => None,
    }
}

fn col(name: &str) -> SimpleExpr {
    Expr::col(Alias::new(name))
}

/// Selects the row that field number `index` refers to, when it may: it is of the same project or the platform's, and
/// neither it nor its instance is on its way out.
fn referred(index: usize, target: &TypeDescriptor) -> SelectStatement {
    let platform = Expr::cust(format!("'{PLATFORM_PROJECT}'"));
    let mut select = live(target, slot(slots::FIELDS + index));
    select.and_where(col("project_id").eq(slot(slots::PROJECT)).or(col("project_id").eq(platform)));
    if !target.is_instance() {
        let instance = Expr::col((Alias::new(target.table()), Alias::new("instance_id")));
        select.and_where(Expr::exists(live(target.root(), instance)));
    }
    select
}

fn live(ty: &TypeDescriptor, id: SimpleExpr) -> SelectStatement {
    Query::select()
        .column(Alias::new("id"))
        .from(Alias::new(ty.table()))
        .and_where(Expr::col((Alias::new(ty.table()), Alias::new("id"))).eq(id))
        .and_where(col("deleting_at").is_null())
        .to_owned()
}

/// What must hold for a row of `ty` to be written: the row above it stays, and so do all that it refers to.
pub(super) fn conditions(dialect: Dialect, ty: &TypeDescriptor) -> Vec<SimpleExpr> {
    let above = ty.parent.filter(|parent| !parent.is_instance());
    let above = above.map(|parent| Expr::exists(live(parent, slot(slots::PARENT))));
    let fields = ty.fields.iter().enumerate();
    let referred =
        fields.filter_map(|(index, field)| Some((index, target(field)?))).map(|(index, target)| {
            let mut select = referred(index, target);
            if dialect == Dialect::Postgres {
                // A delete of it that is under way comes to its end first.
                select.lock(LockType::Share);
            }
            slot(slots::FIELDS + index).is_null().or(Expr::exists(select))
        });
    above.into_iter().chain(referred).collect()
}

impl References {
    pub(in crate::store) fn new(dialect: Dialect, registry: &Registry, registered: &RegisteredType) -> Self {
        let ty = registered.ty;
        let fields = ty.fields.iter().enumerate();
        let to = fields
            .filter_map(|(index, field)| {
                Some((index, Statement::new(dialect, &referred(index, target(field)?))))
            })
            .collect();
        let by: Vec<_> = registry
            .types()
            .iter()
            .flat_map(|from| from.ty.fields.iter().map(move |field| (from.ty, field)))
            .filter_map(|(from, field)| {
                let select = outsiders(ty, from, field)?;
                Some((format!("{}.{}", from.name, field.name), Statement::new(dialect, &select)))
            })
            .collect();
        let lock = |ty: &TypeDescriptor, id: usize| {
            let select = Query::select()
                .column(Alias::new("id"))
                .from(Alias::new(ty.table()))
                .and_where(col("id").eq(slot(id)))
                .lock_exclusive()
                .to_owned();
            Statement::new(dialect, &select)
        };
        let lock = match dialect {
            // It has one writer.
            Dialect::Sqlite => Vec::new(),
            Dialect::Postgres if ty.is_instance() => vec![lock(ty, slots::ID)],
            Dialect::Postgres => vec![lock(ty.root(), slots::INSTANCE), lock(ty, slots::ID)],
        };
        Self { to, lock, by }
    }

    /// Whether another type's rows may refer to rows of this one, or to those below them.
    pub(super) const fn may_be_used(&self) -> bool {
        !self.by.is_empty()
    }

    /// Refuses the delete of a row that others refer to.
    pub(super) async fn unused(&self, tx: &mut Tx, row: &Resource, args: &[Arg]) -> Result<(), Error> {
        const ACTION: &str = "look for references";
        for lock in &self.lock {
            tx.fetch(ACTION, lock, args).await?;
        }
        for (name, statement) in &self.by {
            if !tx.fetch(ACTION, statement, args).await?.is_empty() {
                let what = format!("{} {:?}", row.ty.name, row.key());
                let detail = format!("{name} of another row still refers to {what} or to what is below it");
                return Err(Error::new(ErrorCode::InUse, detail));
            }
        }
        Ok(())
    }

    /// The references among `args` that cannot be kept.
    pub(super) async fn missing(
        &self,
        ty: &TypeDescriptor,
        database: &Database,
        args: &[Arg],
    ) -> Result<Vec<Problem>, StoreError> {
        let mut problems = Vec::new();
        for (index, statement) in &self.to {
            let field = &ty.fields[*index];
            let is_given = matches!(args.get(slots::FIELDS + index), Some(Arg::Uuid(Some(_))));
            if is_given && database.fetch("look up a reference", statement, args).await?.is_empty() {
                let target = target(field).map_or("row", |target| target.name);
                let detail = format!("no {target} of this project has this id, or it is being deleted");
                problems.push(Problem::new(format!("/{}", field.name), "MISSING_REFERENCE", detail));
            }
        }
        Ok(problems)
    }
}

/// Rows of `from` that refer by `field` to the row of `ty` or one below it, and would not go with it.
fn outsiders(ty: &TypeDescriptor, from: &TypeDescriptor, field: &FieldDescriptor) -> Option<SelectStatement> {
    let FieldKind::Ref(target) = field.kind else { return None };
    let target = target();
    let refers = col(field.name);
    let refers = match column_above(ty, target)? {
        "id" => refers.eq(slot(slots::ID)),
        above => refers.in_subquery(
            Query::select()
                .column(Alias::new("id"))
                .from(Alias::new(target.table()))
                .and_where(col(above).eq(slot(slots::ID)))
                .to_owned(),
        ),
    };
    let mut select = Query::select();
    select.column(Alias::new("id")).from(Alias::new(from.table())).and_where(refers);
    if let Some(above) = column_above(ty, from) {
        select.and_where(col(above).ne(slot(slots::ID)));
    }
    Some(select)
}

/// The column by which rows of `ty` name the row of `above` that they go with.
fn column_above(above: &TypeDescriptor, ty: &TypeDescriptor) -> Option<&'static str> {
    let is = |one: &TypeDescriptor| one.table() == above.table();
    if is(ty) {
        Some("id")
    } else if is(ty.root()) {
        Some("instance_id")
    } else if ty.parent.is_some_and(is) {
        Some("parent_id")
    } else {
        None
    }
}
