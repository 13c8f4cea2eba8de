//! Schema changes as SQL text for both databases, laid out for the person who reviews it.

use std::collections::BTreeSet;

use sea_query::{
    Alias, ColumnDef, ColumnType, Expr, Index as IndexSql, PostgresQueryBuilder, Query,
    SchemaStatementBuilder, SimpleExpr, SqliteQueryBuilder, Table as TableSql,
};
use serde_json::Value;

use super::schema::{Column, ColumnKind, Index, OnDelete, Reference, Schema, Table};
use super::statement::Dialect;
use crate::validate::{duration_millis, timestamp};

/// One step from a schema to another. Names are those that hold when the step runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new table with its indexes.
    CreateTable {
        /// Its name.
        table: String,
    },
    /// An index goes.
    DropIndex {
        /// The index.
        index: String,
    },
    /// A column has a new name.
    RenameColumn {
        /// The table.
        table: String,
        /// The name it had.
        from: String,
        /// The name it has.
        to: String,
    },
    /// A new column.
    AddColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What existing rows get, as canonical JSON; NULL when absent.
        fill: Option<Value>,
    },
    /// A column may be NULL from now on.
    AllowNull {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The text of a column is compared by its bytes from now on, or as the database does it by default. SQLite's
    /// default is by bytes.
    Collate {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A type allows more values in a column. The database need not know.
    AllowValues {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A new index of a table that was there.
    CreateIndex {
        /// The table.
        table: String,
        /// The index.
        index: String,
    },
}

/// The database type of a kind of column.
const fn physical_type(kind: ColumnKind, dialect: Dialect) -> &'static str {
    match (dialect, kind) {
        (_, ColumnKind::Bool) => "boolean",
        (Dialect::Postgres, ColumnKind::Int | ColumnKind::Duration) => "bigint",
        // A primary key of exactly this type is SQLite's own row number and needs no index beside the table.
        (Dialect::Sqlite, ColumnKind::Int | ColumnKind::Duration | ColumnKind::Timestamp) => "integer",
        (Dialect::Postgres, ColumnKind::Float) => "double precision",
        (Dialect::Sqlite, ColumnKind::Float) => "double",
        (_, ColumnKind::Text | ColumnKind::Sealed) => "text",
        (Dialect::Postgres, ColumnKind::Uuid) => "uuid",
        (Dialect::Postgres, ColumnKind::Timestamp) => "timestamp with time zone",
        (Dialect::Postgres, ColumnKind::Json) => "jsonb",
        (Dialect::Sqlite, ColumnKind::Uuid | ColumnKind::Json) => "text",
    }
}

/// What follows the type of a column whose text PostgreSQL compares by its bytes.
pub(super) const BY_BYTES: &str = " COLLATE \"C\"";

/// The database type of a column, with its collation where it has one of its own.
pub(super) fn column_type(column: &Column, dialect: Dialect) -> String {
    let collation = if column.by_bytes && dialect == Dialect::Postgres { BY_BYTES } else { "" };
    format!("{}{collation}", physical_type(column.kind, dialect))
}

/// The SQL that makes all tables of `schema` in an empty database.
pub fn create_schema(schema: &Schema, dialect: Dialect) -> String {
    let changes: Vec<Change> =
        schema.tables.keys().map(|table| Change::CreateTable { table: table.clone() }).collect();
    script(&changes, schema, dialect)
}

/// The SQL of `changes`, which lead to the schema `after`. Empty when the database need not change.
pub fn script(changes: &[Change], after: &Schema, dialect: Dialect) -> String {
    let rebuilt: BTreeSet<&str> = match dialect {
        // SQLite cannot change a column of an existing table.
        Dialect::Sqlite => changes.iter().filter_map(needs_rebuild).collect(),
        Dialect::Postgres => BTreeSet::new(),
    };
    let mut statements = create_tables(changes, after, dialect);
    for change in changes {
        let (name, table) = match change {
            Change::DropIndex { index } => {
                statements.push(build(dialect, &IndexSql::drop().name(index).to_owned()));
                continue;
            }
            Change::CreateTable { .. } | Change::AllowValues { .. } => continue,
            Change::RenameColumn { table, .. }
            | Change::AddColumn { table, .. }
            | Change::AllowNull { table, .. }
            | Change::Collate { table, .. }
            | Change::CreateIndex { table, .. } => match after.tables.get(table) {
                Some(definition) => (table, definition),
                None => continue,
            },
        };
        let mut alter = TableSql::alter();
        alter.table(Alias::new(name));
        match change {
            Change::RenameColumn { from, to, .. } => {
                alter.rename_column(Alias::new(from), Alias::new(to));
                statements.push(build(dialect, &alter));
            }
            Change::AddColumn { column, fill, .. } => {
                let Some(column) = table.column(column) else { continue };
                let mut definition = column_definition(column, dialect, true);
                if let Some(fill) = fill {
                    definition.default(literal(column.kind, fill, dialect));
                }
                alter.add_column(definition);
                statements.push(build(dialect, &alter));
                if fill.is_some() && dialect == Dialect::Postgres {
                    statements.push(format!(
                        "ALTER TABLE {} ALTER COLUMN {} DROP DEFAULT",
                        quoted(name),
                        quoted(&column.name)
                    ));
                }
            }
            Change::AllowNull { column, .. } if dialect == Dialect::Postgres => {
                statements.push(format!(
                    "ALTER TABLE {} ALTER COLUMN {} DROP NOT NULL",
                    quoted(name),
                    quoted(column)
                ));
            }
            Change::Collate { column, .. } if dialect == Dialect::Postgres => {
                let Some(column) = table.column(column) else { continue };
                // PostgreSQL makes the indexes of the column anew by itself, and leaves the rows as they are.
                statements.push(format!(
                    "ALTER TABLE {} ALTER COLUMN {} TYPE {}{}",
                    quoted(name),
                    quoted(&column.name),
                    physical_type(column.kind, dialect),
                    if column.by_bytes { BY_BYTES } else { " COLLATE \"default\"" }
                ));
            }
            Change::CreateIndex { index, .. } if !rebuilt.contains(name.as_str()) => {
                let found = table.indexes.iter().filter(|one| one.name == *index);
                statements.extend(found.map(|index| create_index(name, index, dialect)));
            }
            _ => {}
        }
    }
    for name in rebuilt {
        if let Some(table) = after.tables.get(name) {
            statements.extend(rebuild(name, table));
        }
    }
    let table_begins = |place: usize| place > 0 && statements[place].starts_with("CREATE TABLE");
    let gap = |place| if table_begins(place) { "\n" } else { "" };
    statements.iter().enumerate().map(|(place, statement)| format!("{}{statement};\n", gap(place))).collect()
}

fn needs_rebuild(change: &Change) -> Option<&str> {
    match change {
        Change::AllowNull { table, .. } => Some(table),
        _ => None,
    }
}

/// CREATE TABLE in an order in which references find their tables; where types refer to each other in a circle,
/// PostgreSQL gets the reference afterwards.
fn create_tables(changes: &[Change], after: &Schema, dialect: Dialect) -> Vec<String> {
    let mut waiting: Vec<(&str, &Table)> = changes
        .iter()
        .filter_map(|change| match change {
            Change::CreateTable { table } => after.tables.get_key_value(table),
            _ => None,
        })
        .map(|(name, table)| (name.as_str(), table))
        .collect();
    let mut statements = Vec::new();
    let mut afterwards = Vec::new();
    while !waiting.is_empty() {
        let comes_later = |name: &str, reference: &Reference| {
            reference.table != name && waiting.iter().any(|(other, _)| *other == reference.table)
        };
        let is_ready = |(name, table): &(&str, &Table)| {
            !table
                .columns
                .iter()
                .filter_map(|column| column.references.as_ref())
                .any(|to| comes_later(name, to))
        };
        let next = waiting.iter().position(is_ready).unwrap_or_default();
        let (name, table) = waiting[next];
        let late: Vec<&Column> = table
            .columns
            .iter()
            .filter(|column| column.references.as_ref().is_some_and(|to| comes_later(name, to)))
            .filter(|_| dialect == Dialect::Postgres)
            .collect();
        statements.push(create_table(name, table, dialect, |column| !late.contains(&column)));
        statements.extend(table.indexes.iter().map(|index| create_index(name, index, dialect)));
        afterwards.extend(late.iter().filter_map(|column| {
            let reference = references(column.references.as_ref()?);
            Some(format!(
                "ALTER TABLE {} ADD FOREIGN KEY ({}) {reference}",
                quoted(name),
                quoted(&column.name)
            ))
        }));
        waiting.remove(next);
    }
    statements.extend(afterwards);
    statements
}

/// CREATE TABLE without indexes.
pub(super) fn create_table(
    name: &str,
    table: &Table,
    dialect: Dialect,
    has_reference: impl Fn(&Column) -> bool,
) -> String {
    let mut create = TableSql::create();
    create.table(Alias::new(name));
    for column in &table.columns {
        create.col(column_definition(column, dialect, has_reference(column)));
    }
    let mut key = IndexSql::create();
    for column in &table.primary_key {
        key.col(Alias::new(column));
    }
    create.primary_key(&mut key);
    one_part_a_line(&build(dialect, &create))
}

fn create_index(table: &str, index: &Index, dialect: Dialect) -> String {
    let mut create = IndexSql::create();
    create.name(&index.name).table(Alias::new(table));
    for column in &index.columns {
        create.col(Alias::new(column));
    }
    if index.unique {
        create.unique();
    }
    build(dialect, &create)
}

/// A SQLite table made anew with its rows. Foreign keys are not enforced meanwhile; the runner checks them after.
fn rebuild(name: &str, table: &Table) -> Vec<String> {
    let new = format!("{name}_new");
    let columns: Vec<Alias> = table.columns.iter().map(|column| Alias::new(&column.name)).collect();
    let rows = Query::select().columns(columns.clone()).from(Alias::new(name)).to_owned();
    let mut copy = Query::insert();
    copy.into_table(Alias::new(&new)).columns(columns);
    // The two lists have the same length, which is all that it can refuse.
    let _ = copy.select_from(rows);
    let mut statements = vec![
        create_table(&new, table, Dialect::Sqlite, |_| true),
        copy.to_string(SqliteQueryBuilder),
        build(Dialect::Sqlite, &TableSql::drop().table(Alias::new(name)).to_owned()),
        build(Dialect::Sqlite, &TableSql::rename().table(Alias::new(&new), Alias::new(name)).to_owned()),
    ];
    statements.extend(table.indexes.iter().map(|index| create_index(name, index, Dialect::Sqlite)));
    statements
}

fn column_definition(column: &Column, dialect: Dialect, has_reference: bool) -> ColumnDef {
    let kind = ColumnType::custom(column_type(column, dialect));
    let mut definition = ColumnDef::new_with_type(Alias::new(&column.name), kind);
    if column.nullable {
        definition.null();
    } else {
        definition.not_null();
    }
    if let Some(reference) = column.references.as_ref().filter(|_| has_reference) {
        definition.extra(references(reference));
    }
    definition
}

fn references(reference: &Reference) -> String {
    let on_delete = match reference.on_delete {
        OnDelete::Restrict => "RESTRICT",
        OnDelete::Cascade => "CASCADE",
    };
    format!("REFERENCES {} (\"id\") ON DELETE {on_delete}", quoted(&reference.table))
}

/// Canonical JSON as the value of a column.
fn literal(kind: ColumnKind, value: &Value, dialect: Dialect) -> SimpleExpr {
    let text = value.as_str();
    match (kind, dialect) {
        (ColumnKind::Bool, _) => Expr::val(value.as_bool()),
        (ColumnKind::Int, _) => Expr::val(value.as_i64()),
        (ColumnKind::Float, _) => Expr::val(value.as_f64()),
        (ColumnKind::Duration, _) => Expr::val(text.and_then(duration_millis)),
        (ColumnKind::Timestamp, Dialect::Sqlite) => {
            Expr::val(text.and_then(timestamp).map(|time| time.timestamp_micros()))
        }
        (ColumnKind::Json, _) => Expr::val(value.to_string()),
        (ColumnKind::Text | ColumnKind::Uuid | ColumnKind::Timestamp | ColumnKind::Sealed, _) => {
            Expr::val(text)
        }
    }
}

fn build(dialect: Dialect, statement: &impl SchemaStatementBuilder) -> String {
    match dialect {
        Dialect::Sqlite => statement.to_string(SqliteQueryBuilder),
        Dialect::Postgres => statement.to_string(PostgresQueryBuilder),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Lays a CREATE TABLE out for readers. Names hold neither quotes nor brackets, so counting brackets is enough.
fn one_part_a_line(create: &str) -> String {
    let mut depth = 0;
    let mut starts_line = false;
    let mut laid_out = String::with_capacity(create.len() + 256);
    for letter in create.chars().filter(|letter| !letter.is_control()) {
        if starts_line && letter == ' ' {
            continue;
        }
        starts_line = matches!((letter, depth), ('(', 0) | (',', 1));
        if (letter, depth) == (')', 1) {
            laid_out.truncate(laid_out.trim_end().len());
            laid_out.push('\n');
        }
        laid_out.push(letter);
        if starts_line {
            laid_out.push_str("\n    ");
        }
        depth += i32::from(letter == '(') - i32::from(letter == ')');
    }
    laid_out
}
