//! The tables that a database really has, and those that a schema means, as lines of text that can be compared.

use std::collections::BTreeSet;

use super::history;
use crate::store::database::Database;
use crate::store::ddl::column_type;
use crate::store::error::StoreError;
use crate::store::schema::{OnDelete, Schema, Table};
use crate::store::statement::{Dialect, Statement};
use crate::store::value::{Required, Row};

pub(crate) use super::history::TABLE as HISTORY;

const ACTION: &str = "read the tables of the database";

/// One line for each column, key, reference and index that `schemas` and the history mean.
pub(crate) fn expected(schemas: &[&Schema], dialect: Dialect) -> BTreeSet<String> {
    let history = history::table();
    let tables = schemas.iter().flat_map(|schema| &schema.tables).map(|(name, table)| (name.as_str(), table));
    tables.chain([(history::TABLE, &history)]).flat_map(|(name, table)| lines(name, table, dialect)).collect()
}

fn lines(name: &str, table: &Table, dialect: Dialect) -> Vec<String> {
    let mut lines = Vec::new();
    for column in &table.columns {
        lines.push(column_line(name, &column.name, &column_type(column, dialect), column.nullable));
        if let Some(reference) = &column.references {
            let on_delete = match reference.on_delete {
                OnDelete::Restrict => "RESTRICT",
                OnDelete::Cascade => "CASCADE",
            };
            lines.push(reference_line(name, &column.name, &reference.table, "id", on_delete));
        }
    }
    lines.push(key_line(name, &table.primary_key.join(", ")));
    let index = |index: &crate::store::schema::Index| {
        index_line(name, &index.name, &index.columns.join(", "), index.unique)
    };
    lines.extend(table.indexes.iter().map(index));
    lines
}

fn column_line(table: &str, column: &str, kind: &str, nullable: bool) -> String {
    format!("{table}: column {column} {kind}{}", if nullable { "" } else { " NOT NULL" })
}

fn reference_line(table: &str, column: &str, to: &str, to_column: &str, on_delete: &str) -> String {
    format!("{table}: {column} REFERENCES {to} ({to_column}) ON DELETE {on_delete}")
}

fn key_line(table: &str, columns: &str) -> String {
    format!("{table}: PRIMARY KEY ({columns})")
}

fn index_line(table: &str, name: &str, columns: &str, unique: bool) -> String {
    format!("{table}: {}INDEX {name} ({columns})", if unique { "UNIQUE " } else { "" })
}

const SQLITE_COLUMNS: &str = "
SELECT t.name, c.name, lower(c.type), c.\"notnull\" = 0
FROM sqlite_schema t, pragma_table_xinfo(t.name) c
WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";

const SQLITE_REFERENCES: &str = "
SELECT t.name, f.\"from\", f.\"table\", coalesce(f.\"to\", 'id'), f.on_delete
FROM sqlite_schema t, pragma_foreign_key_list(t.name) f
WHERE t.type = 'table'";

const SQLITE_KEYS: &str = "
SELECT name, group_concat(part, ', ') FROM (
    SELECT t.name, c.name AS part FROM sqlite_schema t, pragma_table_xinfo(t.name) c
    WHERE t.type = 'table' AND c.pk > 0 ORDER BY t.name, c.pk
) GROUP BY name";

const SQLITE_INDEXES: &str = "
SELECT tbl, idx, group_concat(part, ', '), uniq <> 0 FROM (
    SELECT t.name AS tbl, i.name AS idx, c.name AS part, i.\"unique\" AS uniq
    FROM sqlite_schema t, pragma_index_list(t.name) i, pragma_index_info(i.name) c
    WHERE t.type = 'table' AND i.origin <> 'pk' ORDER BY i.name, c.seqno
) GROUP BY tbl, idx, uniq";

const POSTGRES_COLUMNS: &str = "
SELECT table_name::text, column_name::text,
    data_type::text || coalesce(' COLLATE \"' || collation_name::text || '\"', '')
        || coalesce(' DEFAULT ' || column_default::text, ''), is_nullable::text = 'YES'
FROM information_schema.columns WHERE table_schema = current_schema()";

const POSTGRES_REFERENCES: &str = "
SELECT own.relname::text, a.attname::text, other.relname::text, b.attname::text,
    CASE c.confdeltype WHEN 'r' THEN 'RESTRICT' WHEN 'c' THEN 'CASCADE' ELSE c.confdeltype::text END
FROM pg_constraint c
JOIN pg_class own ON own.oid = c.conrelid
JOIN pg_class other ON other.oid = c.confrelid
JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = c.confkey[1]
WHERE c.contype = 'f' AND own.relnamespace = current_schema()::regnamespace";

const POSTGRES_INDEXES: &str = "
SELECT t.relname::text, i.relname::text, x.indisunique, x.indisprimary,
    (SELECT string_agg(a.attname::text, ', ' ORDER BY k.place)
        FROM unnest(x.indkey::smallint[]) WITH ORDINALITY k(attnum, place)
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum)
FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_class t ON t.oid = x.indrelid
WHERE t.relnamespace = current_schema()::regnamespace";

/// A column as the database describes it.
#[derive(Clone, Debug)]
pub(crate) struct FoundColumn {
    pub(crate) table: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) nullable: bool,
}

/// All columns of the database.
pub(crate) async fn columns(database: &Database) -> Result<Vec<FoundColumn>, StoreError> {
    let sql = match database.dialect() {
        Dialect::Sqlite => SQLITE_COLUMNS,
        Dialect::Postgres => POSTGRES_COLUMNS,
    };
    let column = |row: &Row| {
        Ok(FoundColumn {
            table: text(row, 0)?,
            name: text(row, 1)?,
            kind: text(row, 2)?,
            nullable: row.bool(3).required("nullable")?,
        })
    };
    query(database, sql).await?.iter().map(column).collect()
}

/// The same lines for what the database has. A SQLite default is left out: SQLite cannot drop one.
pub(crate) async fn found(database: &Database) -> Result<BTreeSet<String>, StoreError> {
    let references = match database.dialect() {
        Dialect::Sqlite => SQLITE_REFERENCES,
        Dialect::Postgres => POSTGRES_REFERENCES,
    };
    let columns = columns(database).await?;
    let lines = columns.iter().map(|one| column_line(&one.table, &one.name, &one.kind, one.nullable));
    let mut lines: BTreeSet<String> = lines.collect();
    for row in query(database, references).await? {
        let to = (text(&row, 2)?, text(&row, 3)?);
        lines.insert(reference_line(&text(&row, 0)?, &text(&row, 1)?, &to.0, &to.1, &text(&row, 4)?));
    }
    match database.dialect() {
        Dialect::Sqlite => {
            for row in query(database, SQLITE_KEYS).await? {
                lines.insert(key_line(&text(&row, 0)?, &text(&row, 1)?));
            }
            for row in query(database, SQLITE_INDEXES).await? {
                let unique = row.bool(3).required("unique")?;
                lines.insert(index_line(&text(&row, 0)?, &text(&row, 1)?, &text(&row, 2)?, unique));
            }
        }
        Dialect::Postgres => {
            for row in query(database, POSTGRES_INDEXES).await? {
                let (table, name, columns) = (text(&row, 0)?, text(&row, 1)?, text(&row, 4)?);
                lines.insert(match row.bool(3).required("primary")? {
                    true => key_line(&table, &columns),
                    false => index_line(&table, &name, &columns, row.bool(2).required("unique")?),
                });
            }
        }
    }
    Ok(lines)
}

async fn query(database: &Database, sql: &str) -> Result<Vec<Row>, StoreError> {
    database.fetch(ACTION, &Statement::raw(sql), &[]).await
}

fn text(row: &Row, column: usize) -> Result<String, StoreError> {
    row.text(column).required("a name")
}
