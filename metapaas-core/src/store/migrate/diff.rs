//! Old snapshot and new descriptors to changes, or to every reason why not.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::descriptor::TypeDescriptor;
use crate::store::ddl::Change;
use crate::store::schema::{Column, Index, MAX_NAME_LEN, Schema, Table, Values};

/// The schema that the code needs, and what a change to it must know of the types.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// The schema.
    pub schema: Schema,
    /// Former name by table and column.
    renamed_from: BTreeMap<(String, String), String>,
    /// What existing rows get, by table and column of a field with a default.
    fills: BTreeMap<(String, String), Value>,
}

/// A change that could lose or spoil data and so is not proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The table.
    pub table: String,
    /// The column, unless it is about the table.
    pub column: Option<String>,
    /// What would happen.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

const BY_HAND: &str = "if it is meant, write the migration by hand: both .sql files, the entry of list.rs, the change of schema.json";

impl Target {
    /// What `types` need.
    pub fn of(types: &[&'static TypeDescriptor]) -> Self {
        let mut target = Self::from(Schema::of(types));
        for ty in types {
            for field in ty.fields {
                let place = (ty.table(), field.name.to_owned());
                if let Some(old) = field.renamed_from {
                    target.renamed_from.insert(place.clone(), old.into());
                }
                // A sealed value is bound to its row, so no statement can write it for all rows.
                if let Some(make) = field.default
                    && !field.is_secret()
                {
                    target.fills.insert(place, make());
                }
            }
        }
        target
    }
}

impl From<Schema> for Target {
    fn from(schema: Schema) -> Self {
        Self { schema, ..Self::default() }
    }
}

impl Refusal {
    /// Table, column and reason, without the remedy.
    pub fn what(&self) -> String {
        let dot = if self.column.is_some() { "." } else { "" };
        format!("`{}{dot}{}`: {}", self.table, self.column.as_deref().unwrap_or_default(), self.reason)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what(), self.remedy)
    }
}

/// The changes that lead from `old` to `new`: tables first, indexes last.
///
/// # Errors
/// Every refusal at once.
pub fn diff(old: &Schema, new: &Target) -> Result<Vec<Change>, Vec<Refusal>> {
    let mut found = Differences { target: new, changes: Vec::new(), refusals: Vec::new() };
    for table in old.tables.keys().filter(|table| !new.schema.tables.contains_key(*table)) {
        found.refuse(table, None, "the table would be dropped with all its rows", BY_HAND);
    }
    for (name, table) in &new.schema.tables {
        found.name_lengths(name, table);
        if !old.tables.contains_key(name) {
            found.changes.push(Change::CreateTable { table: name.clone() });
        }
    }
    for (name, table) in &new.schema.tables {
        if let Some(before) = old.tables.get(name) {
            found.table(name, before, table);
        }
    }
    // A new index comes after every column it may need.
    found.changes.sort_by_key(|change| matches!(change, Change::CreateIndex { .. }));
    if found.refusals.is_empty() { Ok(found.changes) } else { Err(found.refusals) }
}

struct Differences<'a> {
    target: &'a Target,
    changes: Vec<Change>,
    refusals: Vec<Refusal>,
}

impl Differences<'_> {
    fn refuse(&mut self, table: &str, column: Option<&str>, reason: &str, remedy: &str) {
        self.refusals.push(Refusal {
            table: table.into(),
            column: column.map(Into::into),
            reason: reason.into(),
            remedy: remedy.into(),
        });
    }

    fn name_lengths(&mut self, name: &str, table: &Table) {
        let (reason, remedy) =
            ("its name is longer than 63 bytes, which PostgreSQL would cut", "choose a shorter one");
        if name.len() > MAX_NAME_LEN {
            self.refuse(name, None, reason, remedy);
        }
        for column in table.columns.iter().filter(|column| column.name.len() > MAX_NAME_LEN) {
            self.refuse(name, Some(&column.name), reason, remedy);
        }
    }

    fn table(&mut self, name: &str, old: &Table, new: &Table) {
        let renamed = self.renames(name, old, new);
        // The old table under the names that hold after the renames.
        let mut before = old.clone();
        for (from, to) in &renamed {
            let names = before.columns.iter_mut().map(|column| &mut column.name);
            let names = names.chain(before.indexes.iter_mut().flat_map(|index| &mut index.columns));
            names
                .chain(&mut before.primary_key)
                .filter(|one| *one == from)
                .for_each(|one| one.clone_from(to));
        }
        let dropped = before.indexes.iter().filter(|index| !new.indexes.contains(index));
        self.changes.extend(dropped.map(|index| Change::DropIndex { index: index.name.clone() }));
        self.changes.extend(renamed.into_iter().map(|(from, to)| Change::RenameColumn {
            table: name.into(),
            from,
            to,
        }));
        for column in &new.columns {
            match before.column(&column.name) {
                Some(was) => self.column(name, was, column),
                None => self.new_column(name, new, column),
            }
        }
        for column in before.columns.iter().filter(|column| new.column(&column.name).is_none()) {
            let remedy = format!(
                "if the field has a new name, put `renamed_from = \"{}\"` on it; {BY_HAND}",
                column.name
            );
            self.refuse(name, Some(&column.name), "the column would be dropped with its values", &remedy);
        }
        if before.primary_key != new.primary_key {
            self.refuse(name, None, "its primary key would change", BY_HAND);
        }
        for index in new.indexes.iter().filter(|index| !before.indexes.contains(index)) {
            self.new_index(name, &before, index);
        }
    }

    /// Columns with a former name that the old table still has.
    fn renames(&self, name: &str, old: &Table, new: &Table) -> Vec<(String, String)> {
        let former = |column: &Column| self.target.renamed_from.get(&(name.to_owned(), column.name.clone()));
        new.columns
            .iter()
            .filter(|column| old.column(&column.name).is_none())
            .filter_map(|column| Some((former(column)?.clone(), column.name.clone())))
            .filter(|(from, _)| old.column(from).is_some() && new.column(from).is_none())
            .collect()
    }

    fn column(&mut self, table: &str, old: &Column, new: &Column) {
        let place = Some(new.name.as_str());
        if old.kind != new.kind {
            let reason = format!("it would turn from {:?} into {:?}", old.kind, new.kind);
            let remedy = format!("add a field of the new type beside it, or, {BY_HAND}");
            self.refuse(table, place, &reason, &remedy);
        } else if old.references != new.references {
            self.refuse(table, place, "the table it refers to would change", BY_HAND);
        } else if !Values::covers(new.values.as_ref(), old.values.as_ref()) {
            let reason = "values that rows may hold would be allowed no more";
            self.refuse(table, place, reason, &format!("keep them in the type, or, {BY_HAND}"));
        } else if old.values != new.values {
            self.changes.push(Change::AllowValues { table: table.into(), column: new.name.clone() });
        }
        if old.by_bytes != new.by_bytes {
            self.changes.push(Change::Collate { table: table.into(), column: new.name.clone() });
        }
        if old.nullable && !new.nullable {
            let remedy = format!("keep the `Option`, or, {BY_HAND}");
            self.refuse(table, place, "it would have to have a value, and rows may have none", &remedy);
        } else if !old.nullable && new.nullable {
            self.changes.push(Change::AllowNull { table: table.into(), column: new.name.clone() });
        }
    }

    fn new_column(&mut self, name: &str, table: &Table, column: &Column) {
        let fill = self.target.fills.get(&(name.to_owned(), column.name.clone()));
        let fill = fill.filter(|value| !value.is_null()).cloned();
        let is_unique =
            table.indexes.iter().any(|index| index.unique && index.columns.contains(&column.name));
        if !column.nullable && fill.is_none() {
            let reason = "existing rows have no value for the new field";
            self.refuse(name, Some(&column.name), reason, "give it a `default` or make it an `Option`");
        } else if fill.is_some() && is_unique {
            let reason = "existing rows would all get the same value in a unique field";
            self.refuse(name, Some(&column.name), reason, "make it an `Option` without a default");
        } else {
            let (table, column) = (name.to_owned(), column.name.clone());
            self.changes.push(Change::AddColumn { table, column, fill });
        }
    }

    fn new_index(&mut self, table: &str, before: &Table, index: &Index) {
        let was_unique = before
            .indexes
            .iter()
            .any(|old| old.unique && old.columns.iter().all(|column| index.columns.contains(column)));
        // A column that was not there is NULL in all rows, or was refused above.
        let is_new = index.columns.iter().any(|column| before.column(column).is_none());
        if index.unique && !was_unique && !is_new {
            let reason =
                format!("({}) would have to be unique, and rows may agree in it", index.columns.join(", "));
            self.refuse(table, None, &reason, BY_HAND);
        } else {
            self.changes.push(Change::CreateIndex { table: table.into(), index: index.name.clone() });
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateTable { table } => write!(f, "`{table}`: the table is new"),
            Self::DropIndex { index } => write!(f, "the index `{index}` is gone"),
            Self::RenameColumn { table, from, to } => write!(f, "`{table}.{from}`: its name is now `{to}`"),
            Self::AddColumn { table, column, .. } => write!(f, "`{table}.{column}`: the column is new"),
            Self::AllowNull { table, column } => write!(f, "`{table}.{column}`: it may be null now"),
            Self::Collate { table, column } => {
                write!(f, "`{table}.{column}`: its text has another order now")
            }
            Self::AllowValues { table, column } => {
                write!(f, "`{table}.{column}`: more values are allowed now")
            }
            Self::CreateIndex { table, index } => write!(f, "`{table}`: the index `{index}` is new"),
        }
    }
}
