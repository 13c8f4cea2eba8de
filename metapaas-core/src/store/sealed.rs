//! What is sealed in the database, column by column: how much of it under which master key, and sealing it anew.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use sea_query::{Alias, Expr, ExprTrait, Order, Query, SelectStatement};

use super::error::StoreError;
use super::idempotency::answer_place;
use super::links::secret_place;
use super::logs::lines_place;
use super::nodes::document_place;
use super::statement::{Dialect, Statement, slot};
use super::uploads::{CHUNKS, chunk_place};
use super::value::{Arg, Required, Row};
use super::{Store, codec};
use crate::descriptor::{FieldDescriptor, TypeDescriptor};
use crate::registry::Registry;

/// How many values are read at once.
const BATCH: usize = 200;
/// How many of them are written at the same time. Each is a write of its own, which waits for no other row.
const AT_ONCE: usize = 16;

/// What became of values that were not sealed under the newest key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Values that are now sealed under the newest key.
    pub resealed: u64,
    /// Values that changed by themselves meanwhile; they were sealed anew by that.
    pub changed: u64,
    /// Values that do not open, by the reason; they are left as they are.
    pub unopened: BTreeMap<String, u64>,
}

/// A column that holds sealed texts.
struct SealedColumn {
    table: String,
    /// The columns that tell its rows apart.
    keys: Vec<(&'static str, KeyKind)>,
    column: &'static str,
    place: Place,
}

#[derive(Clone, Copy)]
enum KeyKind {
    Uuid,
    Text,
}

/// How a value's place is named when it is sealed.
#[derive(Clone, Copy)]
enum Place {
    Field(&'static TypeDescriptor, &'static FieldDescriptor),
    NodeDocument,
    LinkSecret,
    NodeLines,
    UploadChunk,
    /// The name of the setting.
    Setting,
    /// Caller and key of an answer that is kept for a repeated request.
    Answer,
}

/// Slots after those of the keys.
const MARK: usize = 0;
const LIMIT: usize = 1;
const NEW: usize = 2;
const OLD: usize = 3;
const KEYS: usize = 4;

impl SealedColumn {
    /// Every one that there is.
    fn all(registry: &Registry) -> Vec<Self> {
        let id = || vec![("id", KeyKind::Uuid)];
        let fields = registry.types().iter().flat_map(|registered| {
            let ty = registered.ty;
            let secrets = ty.fields.iter().filter(|field| field.is_secret());
            secrets.map(move |field| Self {
                table: ty.table(),
                keys: vec![("id", KeyKind::Uuid)],
                column: field.name,
                place: Place::Field(ty, field),
            })
        });
        let document = Self {
            table: "metapaas_nodes".into(),
            keys: id(),
            column: "document",
            place: Place::NodeDocument,
        };
        let link =
            Self { table: "metapaas_links".into(), keys: id(), column: "secret", place: Place::LinkSecret };
        let lines =
            Self { table: "metapaas_logs".into(), keys: id(), column: "lines", place: Place::NodeLines };
        let chunk = Self { table: CHUNKS.into(), keys: id(), column: "data", place: Place::UploadChunk };
        let setting = Self {
            table: "metapaas_settings".into(),
            keys: vec![("name", KeyKind::Text)],
            column: "value",
            place: Place::Setting,
        };
        let answer = Self {
            table: "metapaas_idempotency".into(),
            keys: vec![("principal", KeyKind::Text), ("key", KeyKind::Text)],
            column: "body",
            place: Place::Answer,
        };
        fields.chain([document, link, lines, chunk, setting, answer]).collect()
    }

    /// The values of which a part, as `text` says it, is (or is not) another text.
    fn sealed(&self) -> SelectStatement {
        Query::select()
            .from(Alias::new(&self.table))
            .and_where(Expr::cust(format!("substr(\"{}\", 1, 3) = 'v1:'", self.column)))
            .to_owned()
    }

    /// How many values there are under each key.
    fn counts(&self, dialect: Dialect) -> Statement {
        let column = self.column;
        let key = match dialect {
            Dialect::Postgres => format!("split_part(\"{column}\", ':', 2)"),
            Dialect::Sqlite => {
                format!("substr(\"{column}\", 4, instr(substr(\"{column}\", 4), ':') - 1)")
            }
        };
        let mut select = self.sealed();
        select.expr(Expr::cust(key.clone())).expr(Expr::cust("count(*)"));
        select.add_group_by([Expr::cust(key)]);
        Statement::new(dialect, &select)
    }

    /// The next values, past those of the keys in the slots, that do not begin with the mark of `length` bytes.
    fn next(&self, dialect: Dialect, length: usize) -> Statement {
        let mut select = self.sealed();
        for (key, _) in &self.keys {
            select.column(Alias::new(*key)).order_by(Alias::new(*key), Order::Asc);
        }
        let columns = self.keys.iter().map(|(key, _)| Expr::col(Alias::new(*key)));
        let slots = (0..self.keys.len()).map(|index| slot(KEYS + index));
        select
            .column(Alias::new(self.column))
            .and_where(Expr::cust(format!("substr(\"{}\", 1, {length})", self.column)).ne(slot(MARK)))
            .and_where(Expr::tuple(columns).gt(Expr::tuple(slots)))
            .limit(LIMIT as u64);
        Statement::new(dialect, &select)
    }

    /// Replaces a value that is still the one that was read.
    fn replace(&self, dialect: Dialect) -> Statement {
        let column = || Alias::new(self.column);
        let mut update = Query::update();
        update
            .table(Alias::new(&self.table))
            .value(column(), slot(NEW))
            .and_where(Expr::col(column()).eq(slot(OLD)))
            .returning_col(Alias::new(self.keys[0].0));
        for (index, (key, _)) in self.keys.iter().enumerate() {
            update.and_where(Expr::col(Alias::new(*key)).eq(slot(KEYS + index)));
        }
        Statement::new(dialect, &update)
    }

    /// Lower than all keys.
    fn first(&self) -> Vec<Arg> {
        let lowest = |(_, kind): &(_, KeyKind)| match kind {
            KeyKind::Uuid => Arg::from(uuid::Uuid::nil()),
            KeyKind::Text => Arg::from(""),
        };
        self.keys.iter().map(lowest).collect()
    }

    /// A row's keys as values and as text, and its sealed text.
    fn read(&self, row: &Row) -> Result<(Vec<Arg>, String, String), StoreError> {
        let (mut args, mut texts) = (Vec::new(), Vec::new());
        for (index, (name, kind)) in self.keys.iter().enumerate() {
            match kind {
                KeyKind::Uuid => {
                    let id = row.uuid(index).required(name)?;
                    args.push(Arg::from(id));
                    texts.push(id.to_string());
                }
                KeyKind::Text => {
                    let text = row.text(index).required(name)?;
                    args.push(Arg::from(text.as_str()));
                    texts.push(text);
                }
            }
        }
        Ok((args, texts.join(":"), row.text(self.keys.len()).required(self.column)?))
    }

    fn place(&self, key: &str) -> String {
        match self.place {
            Place::Field(ty, field) => codec::place(ty, field, key),
            Place::NodeDocument => document_place(key),
            Place::LinkSecret => secret_place(key),
            Place::NodeLines => lines_place(key),
            Place::UploadChunk => chunk_place(key),
            Place::Setting => key.to_owned(),
            Place::Answer => answer_place(key),
        }
    }
}

impl Store {
    /// How many values are sealed under each master key, by the key's id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn sealed_counts(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut counts = BTreeMap::new();
        for column in SealedColumn::all(&self.registry) {
            let statement = column.counts(self.database.dialect());
            for row in self.database.fetch("count sealed values", &statement, &[]).await? {
                let count = row.int(1).required("count")?.unsigned_abs();
                *counts.entry(row.text(0)?.unwrap_or_default()).or_default() += count;
            }
        }
        Ok(counts)
    }

    /// Seals everything under the newest master key that is sealed under another one. Neither revision nor
    /// generation changes and there is no event: the values are the same.
    ///
    /// # Guarantees
    /// A value that changes meanwhile is not touched. It may be broken off at any point and run again, also at the
    /// same time by several control planes.
    ///
    /// # Errors
    /// See [`StoreError`]. A value that does not open is counted and left as it is.
    pub async fn reseal(&self) -> Result<Resealed, StoreError> {
        let mut done = Resealed::default();
        for column in SealedColumn::all(&self.registry) {
            self.reseal_column(&column, &mut done).await?;
        }
        Ok(done)
    }

    async fn reseal_column(&self, column: &SealedColumn, done: &mut Resealed) -> Result<(), StoreError> {
        let dialect = self.database.dialect();
        let replace = column.replace(dialect);
        let mut after = column.first();
        loop {
            let mark = self.keys.mark();
            let next = column.next(dialect, mark.len());
            let mut args = vec![Arg::from(mark), Arg::from(BATCH as i64), Arg::Text(None), Arg::Text(None)];
            args.extend(after);
            let rows = self.database.fetch("find values to seal anew", &next, &args).await?;
            let rows = rows.iter().map(|row| column.read(row)).collect::<Result<Vec<_>, _>>()?;
            let Some((last, ..)) = rows.last() else { return Ok(()) };
            after = last.clone();
            let mut writes = Vec::new();
            for (keys, key, old) in rows {
                let place = column.place(&key);
                match self.keys.open(&place, &old) {
                    Ok(plain) => {
                        let new = self.keys.seal(&place, &plain);
                        let mut args = vec![Arg::Text(None), Arg::Int(None), Arg::from(new), Arg::from(old)];
                        args.extend(keys);
                        writes.push(self.run_write("seal a value anew", &replace, args));
                    }
                    Err(error) => *done.unopened.entry(error.to_string()).or_default() += 1,
                }
            }
            let count = writes.len() as u64;
            let written: Vec<_> = stream::iter(writes).buffer_unordered(AT_ONCE).try_collect().await?;
            let written = written.iter().filter(|rows| !rows.is_empty()).count() as u64;
            done.resealed += written;
            done.changed += count - written;
        }
    }

    /// The control planes that have reported since `since`: their URLs, and the ids of the keys that they seal with.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn sealing_replicas(
        &self,
        since: DateTime<Utc>,
    ) -> Result<Vec<(String, Option<String>)>, StoreError> {
        let select = Query::select()
            .columns(["url", "sealing_key"].map(Alias::new))
            .from(Alias::new("metapaas_replicas"))
            .and_where(Expr::col(Alias::new("seen_at")).gte(slot(0)))
            .to_owned();
        let statement = Statement::new(self.database.dialect(), &select);
        let rows = self.database.fetch("list control planes", &statement, &[Arg::from(since)]).await?;
        rows.iter().map(|row| Ok((row.text(0).required("url")?, row.text(1)?))).collect()
    }
}
