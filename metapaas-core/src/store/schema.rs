//! [`Schema`]: tables as data, the same for both databases, made from descriptors or read from a snapshot.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::descriptor::{FieldDescriptor, FieldKind, TypeDescriptor, Unique};

/// Table of the projects, which every row of a plugin belongs to.
pub(super) const PROJECTS: &str = "metapaas_projects";

/// Longest name that PostgreSQL keeps whole.
pub(super) const MAX_NAME_LEN: usize = 63;

/// All tables of one plugin, or of the framework.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// By name.
    pub tables: BTreeMap<String, Table>,
}

/// One table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// In the order of `CREATE TABLE`. The order means nothing when schemas are compared.
    pub columns: Vec<Column>,
    /// Columns of the primary key.
    pub primary_key: Vec<String>,
    /// Indexes besides that of the primary key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<Index>,
}

/// One column. It has no default: statements write every column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// Whether it may be NULL.
    #[serde(default, skip_serializing_if = "is_false")]
    pub nullable: bool,
    /// The table whose `id` it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub references: Option<Reference>,
    /// Whether its text is compared by its bytes, as SQLite does it anyway: all text in an index is, so that lists
    /// have the same order on both databases.
    #[serde(default, skip_serializing_if = "is_false")]
    pub by_bytes: bool,
    /// What the type allows in it, where that is less than the kind. The database does not check it; taking a value
    /// away is still a narrowing, since rows may hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Values>,
}

/// What a column holds. Some kinds have the same database type and still must not turn into each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// A boolean.
    Bool,
    /// A whole number of 64 bits.
    Int,
    /// A floating-point number of 64 bits.
    Float,
    /// Text.
    Text,
    /// A UUID.
    Uuid,
    /// A time.
    Timestamp,
    /// A duration, in milliseconds.
    Duration,
    /// JSON.
    Json,
    /// A secret, sealed, as text.
    Sealed,
}

/// A foreign key to the `id` of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// The table referred to.
    pub table: String,
    /// What happens when the row there is deleted.
    pub on_delete: OnDelete,
}

/// What happens to a row when the row it refers to is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    /// The delete is refused.
    Restrict,
    /// It is deleted too.
    Cascade,
}

/// The values that a type allows in a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Values {
    /// One of these texts.
    OneOf(Vec<String>),
    /// A whole number between the two, both allowed.
    Between(i64, i64),
}

/// An index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Its name, see [`index_name`].
    pub name: String,
    /// Its columns, in order.
    pub columns: Vec<String>,
    /// Whether two rows may not agree in all its columns. NULLs never agree.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unique: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The name of an index: `<table>_<columns>_key` when unique, else `_idx`; a hash stands for the end of a long one.
pub fn index_name(table: &str, columns: &[&str], unique: bool) -> String {
    let name = format!("{table}_{}_{}", columns.join("_"), if unique { "key" } else { "idx" });
    if name.len() < MAX_NAME_LEN {
        return name;
    }
    let hash: String = Sha256::digest(&name).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let keep = (0..=MAX_NAME_LEN - 10).rev().find(|end| name.is_char_boundary(*end)).unwrap_or_default();
    format!("{}_{hash}", &name[..keep])
}

/// The columns of the unique index that finds rows by key.
pub(super) fn key_columns(ty: &TypeDescriptor) -> Option<[&'static str; 2]> {
    let key = ty.key_name()?;
    // An instance is looked up by name alone when the caller sees all projects.
    Some(if ty.is_instance() { [key, "project_id"] } else { ["parent_id", key] })
}

/// The columns of the unique index of a field that is unique.
pub(super) fn unique_columns(ty: &TypeDescriptor, field: &FieldDescriptor) -> Option<Vec<&'static str>> {
    let siblings = if ty.is_instance() { "project_id" } else { "parent_id" };
    match field.unique {
        Unique::No => None,
        Unique::Siblings => Some(vec![siblings, field.name]),
        Unique::Everywhere => Some(vec![field.name]),
    }
}

impl Schema {
    /// The tables of `types`.
    pub fn of(types: &[&'static TypeDescriptor]) -> Self {
        Self { tables: types.iter().map(|ty| (ty.table(), Table::of(ty))).collect() }
    }
}

impl Table {
    /// The table of a type: the framework's columns, then one for each field in the order of the struct.
    fn of(ty: &'static TypeDescriptor) -> Self {
        use ColumnKind::{Int, Json, Text, Timestamp, Uuid};

        let mut columns = vec![Column::new("id", Uuid), Column::new("project_id", Uuid).restrict(PROJECTS)];
        if let Some(parent) = ty.parent {
            columns.push(Column::new("instance_id", Uuid).restrict(&ty.root().table()));
            columns.push(Column::new("parent_id", Uuid).restrict(&parent.table()));
        }
        if ty.has_framework_name() {
            columns.push(Column::new("name", Text));
        }
        columns.push(Column::new("description", Text));
        if ty.is_instance() {
            columns.push(Column::new("version", Text));
            // Nullable, as rows that are older than the column have no value; they are not protected.
            columns.push(Column::new("deletion_protection", ColumnKind::Bool).nullable());
        }
        columns.extend([
            Column::new("labels", Json),
            Column::new("status", Text),
            Column::new("conditions", Json),
        ]);
        if ty.is_instance() {
            columns.push(Column::new("nodes", Json));
        }
        columns.extend([Column::new("generation", Int), Column::new("observed_generation", Int)]);
        if !ty.is_instance() {
            columns.push(Column::new("held_generation", Int));
        }
        columns.extend([
            Column::new("revision", Int),
            Column::new("created_at", Timestamp),
            Column::new("updated_at", Timestamp),
            Column::new("deleting_at", Timestamp).nullable(),
        ]);
        columns.extend(ty.fields.iter().map(Column::of));

        let siblings = if ty.is_instance() { "project_id" } else { "parent_id" };
        let mut table = Self { columns, primary_key: vec!["id".into()], indexes: Vec::new() };
        let name = ty.table();
        if let Some(columns) = key_columns(ty) {
            table = table.unique(&name, &columns);
        }
        if !ty.is_instance() {
            table = table.index(&name, &["instance_id", "id"]);
        }
        table = table.index(&name, &[siblings, "id"]);
        for field in ty.fields {
            if let Some(columns) = unique_columns(ty, field) {
                table = table.unique(&name, &columns);
            }
            // Deleting the row referred to looks for rows that refer to it.
            if matches!(field.kind, FieldKind::Ref(_)) && field.unique != Unique::Everywhere {
                table = table.index(&name, &[field.name]);
            }
        }
        table.for_lists(&name, ty)
    }

    /// What lists by name and by status need, in one project and in all, or below one row. Lists by time need nothing:
    /// it is in the id. Status is the only column here that changes by itself, and it changes a few times in a row's
    /// life; `updated_at` or `revision` in an index would make every write dearer.
    fn for_lists(mut self, name: &str, ty: &'static TypeDescriptor) -> Self {
        if ty.is_instance() {
            if let Some(key) = ty.key_name() {
                self = self.index(name, &["project_id", key]);
            }
            self = self.index(name, &["status", "id"]).index(name, &["project_id", "status", "id"]);
        } else {
            self = self.index(name, &["parent_id", "status", "id"]);
        }
        let indexed: Vec<String> = self.indexes.iter().flat_map(|index| index.columns.clone()).collect();
        for column in &mut self.columns {
            column.by_bytes = column.kind == ColumnKind::Text && indexed.contains(&column.name);
        }
        self
    }

    /// A table whose primary key is its first column.
    pub(super) fn new(columns: Vec<Column>) -> Self {
        let primary_key = columns.first().map(|column| column.name.clone()).into_iter().collect();
        Self { columns, primary_key, indexes: Vec::new() }
    }

    /// Adds a unique index, unless it is there.
    #[must_use]
    pub(super) fn unique(self, table: &str, columns: &[&str]) -> Self {
        self.with_index(table, columns, true)
    }

    /// Adds an index, unless it is there.
    #[must_use]
    pub(super) fn index(self, table: &str, columns: &[&str]) -> Self {
        self.with_index(table, columns, false)
    }

    fn with_index(mut self, table: &str, columns: &[&str], unique: bool) -> Self {
        let name = index_name(table, columns, unique);
        // A unique index of the same columns does what another would.
        if !self.indexes.iter().any(|index| index.name == name || (!unique && index.columns == *columns)) {
            let columns = columns.iter().map(|column| (*column).to_owned()).collect();
            self.indexes.push(Index { name, columns, unique });
        }
        self
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

impl Column {
    /// A column that is NOT NULL.
    pub(super) fn new(name: &str, kind: ColumnKind) -> Self {
        Self { name: name.into(), kind, nullable: false, references: None, by_bytes: false, values: None }
    }

    /// The column of a field.
    fn of(field: &FieldDescriptor) -> Self {
        let (kind, values) = match field.kind {
            FieldKind::Bool => (ColumnKind::Bool, None),
            FieldKind::Integer { min: i64::MIN, max: i64::MAX } => (ColumnKind::Int, None),
            FieldKind::Integer { min, max } => (ColumnKind::Int, Some(Values::Between(min, max))),
            FieldKind::Float => (ColumnKind::Float, None),
            FieldKind::Text(_) => (ColumnKind::Text, None),
            FieldKind::Enum(variants) => {
                let names = variants.iter().map(|variant| variant.name.to_owned()).collect();
                (ColumnKind::Text, Some(Values::OneOf(names)))
            }
            FieldKind::Secret(_) => (ColumnKind::Sealed, None),
            FieldKind::Uuid | FieldKind::Ref(_) => (ColumnKind::Uuid, None),
            FieldKind::Timestamp => (ColumnKind::Timestamp, None),
            FieldKind::Duration => (ColumnKind::Duration, None),
            FieldKind::List(_) | FieldKind::Map(_) | FieldKind::Json => (ColumnKind::Json, None),
        };
        let column = Self { nullable: field.nullable || field.output, values, ..Self::new(field.name, kind) };
        match field.kind {
            FieldKind::Ref(target) => column.restrict(&target().table()),
            _ => column,
        }
    }

    /// The same, and it may be NULL.
    #[must_use]
    pub(super) fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }

    /// The same, in the order of its bytes on both databases: lists are sorted by it.
    #[must_use]
    pub(super) const fn by_bytes(mut self) -> Self {
        self.by_bytes = true;
        self
    }

    /// The same, holding an `id` of `table` that then cannot be deleted.
    #[must_use]
    pub(super) fn restrict(mut self, table: &str) -> Self {
        self.references = Some(Reference { table: table.into(), on_delete: OnDelete::Restrict });
        self
    }

    /// The same, holding an `id` of `table` and deleted with it.
    #[must_use]
    pub(super) fn cascade(mut self, table: &str) -> Self {
        self.references = Some(Reference { table: table.into(), on_delete: OnDelete::Cascade });
        self
    }
}

impl Values {
    /// Whether `wide` allows all that `narrow` allows; `None` allows everything.
    pub(super) fn covers(wide: Option<&Self>, narrow: Option<&Self>) -> bool {
        match (wide, narrow) {
            (None, _) => true,
            (Some(Self::OneOf(wide)), Some(Self::OneOf(narrow))) => {
                narrow.iter().all(|value| wide.contains(value))
            }
            (Some(Self::Between(wide_min, wide_max)), Some(Self::Between(min, max))) => {
                wide_min <= min && max <= wide_max
            }
            (Some(_), _) => false,
        }
    }
}
