//! [`Operation`]: a change of several tables, all or nothing, in as few round trips as the database allows.
//!
//! PostgreSQL gets one statement whose parts are data-modifying WITH queries; SQLite, which lives in the process,
//! gets the parts one by one in a transaction. Both take the same values.

use sea_query::{
    Alias, CommonTableExpression, Expr, InsertStatement, OnConflict, Query, SelectStatement, SimpleExpr,
    SubQueryStatement, WithClause,
};

use super::database::{Database, Tx};
use super::error::StoreError;
use super::statement::{Dialect, Statement};
use super::value::{Arg, Row};

/// A change of several tables, written for one database.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
struct Step {
    statement: Statement,
    /// Without a row from it the whole operation does not happen.
    is_guard: bool,
    /// Its rows are the operation's answer.
    is_answer: bool,
}

impl Operation {
    /// Runs it on its own. No rows in the answer: a guard did not hold and nothing was changed.
    ///
    /// # Errors
    /// See [`StoreError`]; nothing was changed then either.
    pub(super) async fn run(
        &self,
        database: &Database,
        action: &'static str,
        args: Vec<Arg>,
    ) -> Result<Vec<Row>, StoreError> {
        if let (Dialect::Postgres, [only]) = (database.dialect(), self.steps.as_slice()) {
            return database.fetch(action, &only.statement, &args).await;
        }
        let operation = self.clone();
        let written: Result<Vec<Row>, GuardFailed> = database
            .write(action, move |tx| {
                Box::pin(async move {
                    let rows = operation.run_in(tx, action, &args).await?;
                    if rows.is_empty() { Err(GuardFailed(None)) } else { Ok(rows) }
                })
            })
            .await;
        match written {
            Ok(rows) => Ok(rows),
            Err(GuardFailed(None)) => Ok(Vec::new()),
            Err(GuardFailed(Some(error))) => Err(error),
        }
    }

    /// Runs it as a part of a transaction, which the caller gives up when there are no rows in the answer.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(super) async fn run_in(
        &self,
        tx: &mut Tx,
        action: &'static str,
        args: &[Arg],
    ) -> Result<Vec<Row>, StoreError> {
        let mut answer = Vec::new();
        for step in &self.steps {
            let rows = tx.fetch(action, &step.statement, args).await?;
            if step.is_guard && rows.is_empty() {
                return Ok(Vec::new());
            }
            if step.is_answer {
                answer = rows;
            }
        }
        Ok(answer)
    }
}

/// Undoes the transaction: a guard did not hold, or the database failed.
struct GuardFailed(Option<StoreError>);

impl From<StoreError> for GuardFailed {
    fn from(error: StoreError) -> Self {
        Self(Some(error))
    }
}

/// Puts an [`Operation`] together.
#[derive(Debug)]
pub(super) struct OperationBuilder {
    dialect: Dialect,
    parts: Vec<(&'static str, SubQueryStatement, bool)>,
}

/// Name of the part that answers.
pub(super) const ROW: &str = "changed_row";
/// Name of the part that locks the instance above a child; it has the column `generation`.
pub(super) const LOCKED: &str = "locked_instance";
/// Name of the part that raises the instance above a child.
pub(super) const INSTANCE: &str = "changed_instance";
const REVISION: &str = "next_revision";
/// The transaction has its id before it takes a number. A reader that saw the number and takes an id of its own knows
/// that the writer's is the smaller one, and so when the number is decided; see `store/events/position.rs`.
const NEXT_REVISION: &str =
    "nextval(CASE WHEN pg_current_xact_id() IS NOT NULL THEN 'metapaas_revision'::regclass END)";

impl OperationBuilder {
    /// Begins by taking the next revision for the row, and before it one for the instance above it, if there is one.
    pub(super) fn new(dialect: Dialect, has_instance_above: bool) -> Self {
        let next: SubQueryStatement = match dialect {
            Dialect::Postgres => {
                let mut next = Query::select();
                if has_instance_above {
                    let name = Alias::new("instance_revision");
                    next.expr_as(Expr::cust(NEXT_REVISION), name);
                }
                next.expr_as(Expr::cust(NEXT_REVISION), Alias::new("revision"));
                next.into()
            }
            Dialect::Sqlite => Query::update()
                .table(Alias::new("metapaas_counters"))
                .value(
                    Alias::new("value"),
                    Expr::cust(if has_instance_above { "value + 2" } else { "value + 1" }),
                )
                .and_where(Expr::cust("name = 'revision'"))
                .to_owned()
                .into(),
        };
        Self { dialect, parts: vec![(REVISION, next, false)] }
    }

    /// The revision of the row that changes.
    pub(super) fn revision(&self) -> SimpleExpr {
        Expr::cust(match self.dialect {
            Dialect::Postgres => "(SELECT revision FROM next_revision)",
            Dialect::Sqlite => "(SELECT value FROM metapaas_counters WHERE name = 'revision')",
        })
    }

    /// The revision of the instance above the row that changes.
    pub(super) fn instance_revision(&self) -> SimpleExpr {
        Expr::cust(match self.dialect {
            Dialect::Postgres => "(SELECT instance_revision FROM next_revision)",
            Dialect::Sqlite => "(SELECT value - 1 FROM metapaas_counters WHERE name = 'revision')",
        })
    }

    /// Adds a part without whose rows nothing happens: an UPDATE, INSERT or DELETE with RETURNING.
    #[must_use]
    pub(super) fn guard(mut self, name: &'static str, part: impl Into<SubQueryStatement>) -> Self {
        self.parts.push((name, part.into(), true));
        self
    }

    /// Adds an INSERT of one row, made only when the part `after` had a row.
    #[must_use]
    pub(super) fn insert_after(
        mut self,
        name: &'static str,
        after: &'static str,
        table: &str,
        values: Vec<(&'static str, SimpleExpr)>,
        on_conflict: Option<OnConflict>,
    ) -> Self {
        let insert = insert_row(self.dialect, table, values, Some(after), on_conflict);
        self.parts.push((name, insert.into(), false));
        self
    }

    /// The operation; the part [`ROW`] answers with `columns`.
    pub(super) fn finish(self, columns: &[&'static str]) -> Operation {
        let dialect = self.dialect;
        let steps = match dialect {
            Dialect::Sqlite => self
                .parts
                .into_iter()
                .map(|(name, part, is_guard)| {
                    let statement = match part {
                        SubQueryStatement::SelectStatement(select) => Statement::new(dialect, &select),
                        SubQueryStatement::InsertStatement(insert) => Statement::new(dialect, &insert),
                        SubQueryStatement::UpdateStatement(update) => Statement::new(dialect, &update),
                        SubQueryStatement::DeleteStatement(delete) => Statement::new(dialect, &delete),
                        SubQueryStatement::WithStatement(with) => Statement::of_with(dialect, &with),
                    };
                    Step { statement, is_guard, is_answer: name == ROW }
                })
                .collect(),
            Dialect::Postgres => {
                let mut with = WithClause::new();
                for (name, part, _) in self.parts {
                    let cte =
                        CommonTableExpression::new().query(part).table_name(Alias::new(name)).to_owned();
                    with.cte(cte);
                }
                let answer = Query::select()
                    .columns(columns.iter().map(|column| Alias::new(*column)))
                    .from(Alias::new(ROW))
                    .to_owned();
                let statement = Statement::of_with(dialect, &answer.with(with));
                vec![Step { statement, is_guard: false, is_answer: true }]
            }
        };
        Operation { steps }
    }
}

/// `INSERT INTO table (...)` of one row; on PostgreSQL as `SELECT ... FROM after` so that it depends on that part.
pub(super) fn insert_row(
    dialect: Dialect,
    table: &str,
    values: Vec<(&'static str, SimpleExpr)>,
    after: Option<&'static str>,
    on_conflict: Option<OnConflict>,
) -> InsertStatement {
    let (columns, values): (Vec<_>, Vec<_>) = values.into_iter().unzip();
    let mut insert = Query::insert();
    insert.into_table(Alias::new(table)).columns(columns.into_iter().map(Alias::new));
    // Both fail only when columns and values differ in number, and they come in pairs.
    match (dialect, after) {
        (Dialect::Postgres, Some(after)) => {
            let mut select: SelectStatement = Query::select();
            select.exprs(values).from(Alias::new(after));
            let _ = insert.select_from(select);
        }
        _ => {
            let _ = insert.values(values);
        }
    }
    if let Some(on_conflict) = on_conflict {
        insert.on_conflict(on_conflict);
    }
    insert
}
