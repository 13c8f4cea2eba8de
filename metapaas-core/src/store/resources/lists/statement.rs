//! Statements of lists with a filter, an order or several projects, by their shape: what is the same whatever the
//! values are. [`Shape`] and [`write`] walk over a listing in the same order, the one for its values, the other for
//! their places.

use sea_query::{
    Alias, Asterisk, Expr, ExprTrait, Func, NullOrdering, Order as Way, Query, SelectStatement, SimpleExpr,
    UnionType,
};

use super::shape::{Scope, Shape};
use crate::descriptor::TypeDescriptor;
use crate::query::{After, Comparison, Field, Filter, LabelTest, Listing, Order, Place, Test};
use crate::store::resources::statements::{columns, list_slots, select};
use crate::store::statement::{Dialect, Statement, slot};
use crate::store::value::Arg;

/// Most parts that a statement is put together from; with more, the database sorts what they have in common.
const BRANCHES_MAX: usize = 32;

/// Narrows `select`, a statement over rows that are of no type, to the filter, the place and the order of a listing.
/// Its first values are those of [`list_slots`] up to the limit, and its own follow them in `args`; those of the listing
/// are added.
pub(in crate::store) fn narrow(
    dialect: Dialect,
    select: &mut SelectStatement,
    listing: &Listing,
    args: &mut Vec<Arg>,
) {
    if !listing.filter.is_everything() {
        select.and_where(condition(dialect, &listing.filter, args));
    }
    if let Some(after) = &listing.after {
        select.and_where(Writer::plain(dialect, args.len()).after(&listing.order, after));
        Shape { dialect, key: String::new(), args }.after(after);
    }
    sort(select, &listing.order, column);
    select.limit(list_slots::LIMIT as u64);
}

/// A filter of rows that are of no type, whose values are added to `args`.
pub(in crate::store) fn condition(dialect: Dialect, filter: &Filter, args: &mut Vec<Arg>) -> SimpleExpr {
    let condition = Writer::plain(dialect, args.len()).filter(filter);
    Shape { dialect, key: String::new(), args }.filter(filter);
    condition
}

/// The values that such a statement begins with: one row more than the limit tells whether there is a next page.
pub(in crate::store) fn first_args(listing: &Listing, limit: u16) -> Vec<Arg> {
    let after = listing.after.as_ref().map(|after| after.id);
    vec![Arg::Uuid(None), Arg::Uuid(after), Arg::from(i64::from(limit) + 1)]
}

/// Writes the statement of a listing.
///
/// How many rows are asked for is a value, so that PostgreSQL plans the page of a long list anew each time: it then knows
/// how rare a status is. A plan that it kept would walk along ids past a million rows to find sixty of a rare one.
pub(super) fn write(
    dialect: Dialect,
    ty: &'static TypeDescriptor,
    scope: Scope,
    listing: &Listing,
) -> Statement {
    let projects = match scope {
        Scope::Everywhere => 0,
        Scope::Projects(count) => count,
    };
    let by_id = listing.order.keys().is_empty();
    let mut writer = Writer {
        dialect,
        next: list_slots::PROJECTS + projects,
        by_id,
        branching: None,
        statuses: Vec::new(),
    };
    // Several statuses or projects have an index each that gives the order, which their union has not.
    let several_statuses = |filter: &&Filter| {
        matches!(filter, Filter::Field { field, test: Test::OneOf(values) }
            if field.place == Place::Status && values.len() > 1)
    };
    let parts = match &listing.filter {
        Filter::All(parts) => parts.as_slice(),
        other => std::slice::from_ref(other),
    };
    let found = parts.iter().find(several_statuses).filter(|_| by_id);
    let statuses = match found {
        Some(Filter::Field { test: Test::OneOf(values), .. }) => values.len(),
        _ => 1,
    };
    if statuses * projects.max(1) <= BRANCHES_MAX {
        writer.branching = found;
    }
    let filter = writer.filter(&listing.filter);
    let after = listing.after.as_ref().map(|after| writer.after(&listing.order, after));

    let statuses: Vec<Option<usize>> = match writer.statuses.as_slice() {
        [] => vec![None],
        slots => slots.iter().copied().map(Some).collect(),
    };
    let project_slots = list_slots::PROJECTS..list_slots::PROJECTS + projects;
    let common = |select: &mut SelectStatement| {
        if !ty.is_instance() {
            select.and_where(column("parent_id").eq(slot(list_slots::PARENT)));
        }
        select.and_where(filter.clone());
        if let Some(after) = &after {
            select.and_where(after.clone());
        }
    };
    let mut branches = Vec::new();
    if statuses.len() * projects.max(1) <= BRANCHES_MAX {
        let projects: Vec<Option<usize>> =
            if projects == 0 { vec![None] } else { project_slots.map(Some).collect() };
        for project in projects {
            for status in &statuses {
                let mut branch = select(ty);
                if let Some(project) = project {
                    branch.and_where(column("project_id").eq(slot(project)));
                }
                if let Some(status) = status {
                    branch.and_where(column("status").eq(slot(*status)));
                }
                common(&mut branch);
                branches.push(branch);
            }
        }
    } else {
        let mut only = select(ty);
        only.and_where(column("project_id").is_in(project_slots.map(slot)));
        common(&mut only);
        branches.push(only);
    }
    let mut query = united(ty, &listing.order, branches);
    query.limit(list_slots::LIMIT as u64);
    Statement::new(dialect, &query)
}

/// Branches that are each in order and as long as the page, and all of them in order.
fn united(ty: &TypeDescriptor, order: &Order, mut branches: Vec<SelectStatement>) -> SelectStatement {
    if branches.len() == 1 {
        let mut only = branches.remove(0);
        sort(&mut only, order, column);
        return only;
    }
    let mut whole: Option<SelectStatement> = None;
    for mut branch in branches {
        sort(&mut branch, order, column);
        branch.limit(list_slots::LIMIT as u64);
        let mut part = Query::select();
        part.column(Asterisk).from_subquery(branch, Alias::new("part"));
        match &mut whole {
            Some(whole) => {
                whole.union(UnionType::All, part);
            }
            None => whole = Some(part),
        }
    }
    let mut whole = whole.unwrap_or_default();
    // By the number of the column: its name stands in several parts.
    let columns = columns(ty);
    sort(&mut whole, order, |name| {
        let place = columns.iter().position(|column| *column == name).unwrap_or_default();
        Expr::cust((place + 1).to_string())
    });
    whole
}

fn sort(query: &mut SelectStatement, order: &Order, expression: impl Fn(&'static str) -> SimpleExpr) {
    let way = |descends: bool| if descends { Way::Desc } else { Way::Asc };
    for key in order.keys() {
        let by = expression(key.field.name);
        if key.field.nullable {
            let nulls = if key.descends { NullOrdering::First } else { NullOrdering::Last };
            query.order_by_expr_with_nulls(by, way(key.descends), nulls);
        } else {
            query.order_by_expr(by, way(key.descends));
        }
    }
    query.order_by_expr(expression("id"), way(order.id_descends()));
}

fn column(name: &'static str) -> SimpleExpr {
    Expr::col(Alias::new(name))
}

struct Writer<'a> {
    dialect: Dialect,
    /// Number of the next value.
    next: usize,
    /// Whether the list is in the order of ids.
    by_id: bool,
    /// The part of the filter that each branch has one value of.
    branching: Option<&'a Filter>,
    /// Numbers of those values.
    statuses: Vec<usize>,
}

impl Writer<'_> {
    /// One whose first value is that number, for rows that are of no type.
    const fn plain(dialect: Dialect, next: usize) -> Self {
        Self { dialect, next, by_id: true, branching: None, statuses: Vec::new() }
    }

    fn number(&mut self) -> usize {
        self.next += 1;
        self.next - 1
    }

    fn value(&mut self) -> SimpleExpr {
        slot(self.number())
    }

    fn values<T>(&mut self, values: &[T]) -> Vec<SimpleExpr> {
        values.iter().map(|_| self.value()).collect()
    }

    fn filter(&mut self, filter: &Filter) -> SimpleExpr {
        match filter {
            Filter::All(parts) => {
                let parts = parts.iter().map(|part| self.filter(part)).reduce(ExprTrait::and);
                parts.unwrap_or_else(|| Expr::cust("1 = 1"))
            }
            Filter::Any(parts) => {
                let parts = parts.iter().map(|part| self.filter(part)).reduce(ExprTrait::or);
                parts.unwrap_or_else(|| Expr::cust("1 = 0"))
            }
            Filter::Not(part) => self.filter(part).not(),
            Filter::Field { test: Test::OneOf(values), .. }
                if self.branching.is_some_and(|branching| std::ptr::eq(branching, filter)) =>
            {
                self.statuses = values.iter().map(|_| self.number()).collect();
                Expr::cust("1 = 1")
            }
            Filter::Field { field, test } if field.place == Place::CreatedAt => self.time(test),
            Filter::Field { field, test } => self.field(*field, test),
            Filter::Label { test, .. } => self.label(test),
        }
    }

    /// Never NULL, so that NOT turns it round.
    fn field(&mut self, field: Field, test: &Test) -> SimpleExpr {
        // SQLite keeps no statistics, and would rather sort all rows of a status than walk along the order's index.
        let by = match (self.dialect, field.place, self.by_id) {
            (Dialect::Sqlite, Place::Status, false) => Expr::cust("+\"status\""),
            _ => column(field.name),
        };
        let is_true = match test {
            Test::IsNull => return by.is_null(),
            Test::Compare(Comparison::NotEqual, _) => {
                let differs = by.clone().ne(self.value());
                return if field.nullable { differs.or(by.is_null()) } else { differs };
            }
            Test::Compare(Comparison::Equal, _) => by.clone().eq(self.value()),
            Test::Compare(Comparison::Less, _) => by.clone().lt(self.value()),
            Test::Compare(Comparison::LessOrEqual, _) => by.clone().lte(self.value()),
            Test::Compare(Comparison::Greater, _) => by.clone().gt(self.value()),
            Test::Compare(Comparison::GreaterOrEqual, _) => by.clone().gte(self.value()),
            Test::OneOf(values) => match self.values(values).as_slice() {
                [only] => by.clone().eq(only.clone()),
                values => by.clone().is_in(values.iter().cloned()),
            },
            Test::Contains(_) => {
                let find = match self.dialect {
                    Dialect::Postgres => "strpos",
                    Dialect::Sqlite => "instr",
                };
                let part = self.value();
                SimpleExpr::from(Func::cust(Alias::new(find)).args([by.clone(), part])).gt(Expr::cust("0"))
            }
        };
        if field.nullable { is_true.and(by.is_not_null()) } else { is_true }
    }

    /// The id says when a row was made: each time has the first id that it can have, and the first after.
    fn time(&mut self, test: &Test) -> SimpleExpr {
        let id = || column("id");
        let within = |first: SimpleExpr, next: SimpleExpr| id().gte(first).and(id().lt(next));
        match test {
            Test::Compare(comparison, _) => {
                let (first, next) = (self.value(), self.value());
                match comparison {
                    Comparison::Equal => within(first, next),
                    Comparison::NotEqual => within(first, next).not(),
                    Comparison::Less => id().lt(first),
                    Comparison::LessOrEqual => id().lt(next),
                    Comparison::Greater => id().gte(next),
                    Comparison::GreaterOrEqual => id().gte(first),
                }
            }
            Test::OneOf(values) => {
                let within = values.iter().map(|_| within(self.value(), self.value()));
                within.reduce(ExprTrait::or).unwrap_or_else(|| Expr::cust("1 = 0"))
            }
            // It is no text and never null.
            Test::Contains(_) => {
                self.number();
                Expr::cust("1 = 0")
            }
            Test::IsNull => Expr::cust("1 = 0"),
        }
    }

    fn label(&mut self, test: &LabelTest) -> SimpleExpr {
        let extract = match self.dialect {
            Dialect::Postgres => "jsonb_extract_path_text",
            Dialect::Sqlite => "json_extract",
        };
        let name = self.value();
        let value = SimpleExpr::from(Func::cust(Alias::new(extract)).args([column("labels"), name]));
        match test {
            LabelTest::Exists => value.is_not_null(),
            LabelTest::OneOf(values) => {
                let is_one = value.is_in(self.values(values));
                Func::coalesce([is_one, Expr::cust("FALSE")]).into()
            }
        }
    }

    /// What comes after a row in an order.
    fn after(&mut self, order: &Order, after: &After) -> SimpleExpr {
        let keys: Vec<Key> = order
            .keys()
            .iter()
            .zip(&after.keys)
            .map(|(key, value)| Key {
                column: column(key.field.name),
                value: value.as_ref().map(|_| self.value()),
                nullable: key.field.nullable,
                descends: key.descends,
            })
            .collect();
        let id = Key {
            column: column("id"),
            value: Some(slot(list_slots::AFTER)),
            nullable: false,
            descends: order.id_descends(),
        };
        let is_uniform = keys.iter().all(|key| !key.nullable && key.descends == id.descends);
        if is_uniform && !keys.is_empty() {
            // One comparison of rows, which both databases begin to read the index at.
            let columns = keys.iter().chain([&id]).map(|key| key.column.clone());
            let values = keys.iter().chain([&id]).filter_map(|key| key.value.clone());
            let (columns, values) = (SimpleExpr::tuple(columns), SimpleExpr::tuple(values));
            return if id.descends { columns.lt(values) } else { columns.gt(values) };
        }
        let last = id.beyond(None);
        let whole = keys.iter().rev().fold(last, |rest, key| key.beyond(Some(rest)));
        match keys.first() {
            // So that the index is read from here on, and not from its beginning.
            Some(Key { column, value: Some(value), nullable: false, descends }) => {
                let bound = if *descends {
                    column.clone().lte(value.clone())
                } else {
                    column.clone().gte(value.clone())
                };
                bound.and(whole)
            }
            _ => whole,
        }
    }
}

/// A field of an order and the value that the last row had.
struct Key {
    column: SimpleExpr,
    /// `None` for null.
    value: Option<SimpleExpr>,
    nullable: bool,
    descends: bool,
}

impl Key {
    /// Rows that come after by this field, or have the same value and come after by the `rest`.
    fn beyond(&self, rest: Option<SimpleExpr>) -> SimpleExpr {
        let column = || self.column.clone();
        let Some(value) = self.value.clone() else {
            // Null is greater than every value.
            let same = rest.map_or_else(|| column().is_null(), |rest| column().is_null().and(rest));
            return if self.descends { column().is_not_null().or(same) } else { same };
        };
        let beyond = if self.descends { column().lt(value.clone()) } else { column().gt(value.clone()) };
        let beyond = if self.nullable && !self.descends { beyond.or(column().is_null()) } else { beyond };
        match rest {
            Some(rest) => beyond.or(column().eq(value).and(rest)),
            None => beyond,
        }
    }
}
