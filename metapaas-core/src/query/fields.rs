//! [`Fields`]: what lists of a type can be filtered and sorted by, which is what has an index.

use super::literal::Kind;
use crate::descriptor::{FieldKind, TypeDescriptor, Unique};
use crate::error::Problem;

/// A field that lists can be filtered by, and perhaps sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in answers and requests.
    pub name: &'static str,
    /// Where a row has it.
    pub place: Place,
    /// What its values are.
    pub kind: Kind,
    /// Whether it may be null.
    pub nullable: bool,
    /// Whether lists can be sorted by it.
    pub sortable: bool,
}

/// Where a row has the value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The id.
    Id,
    /// When it was made, which its id says too.
    CreatedAt,
    /// The project.
    Project,
    /// The framework's name.
    Name,
    /// The status.
    Status,
    /// The labels.
    Labels,
    /// The field of the type with that index.
    Spec(usize),
    /// The column of that name, which answers have at this JSON pointer: rows that are of no type.
    Column(&'static str),
}

/// All fields of a type that lists can be filtered by.
#[derive(Clone, Debug)]
pub struct Fields {
    all: Vec<Field>,
}

impl Fields {
    /// Those of rows that are of no type.
    pub fn new(all: &[Field]) -> Self {
        Self { all: all.to_vec() }
    }

    /// Those of `ty`: id, project, name or key, status, time of creation, labels, and the type's own fields that are
    /// unique or refer to other rows.
    pub fn of(ty: &'static TypeDescriptor) -> Self {
        let framework = |name, place, kind, sortable| Field { name, place, kind, nullable: false, sortable };
        let mut all = vec![framework("id", Place::Id, Kind::Uuid, true)];
        if ty.has_framework_name() {
            all.push(framework("name", Place::Name, Kind::Text, true));
        }
        all.push(framework("status", Place::Status, Kind::Status, true));
        all.push(framework("created_at", Place::CreatedAt, Kind::Time, true));
        if ty.is_instance() {
            all.push(framework("project_id", Place::Project, Kind::Uuid, false));
        }
        all.push(framework("labels", Place::Labels, Kind::Labels, false));
        for (index, field) in ty.fields.iter().enumerate() {
            let Some(kind) = Kind::of(&field.kind) else { continue };
            let is_reference = matches!(field.kind, FieldKind::Ref(_));
            let is_sortable = field.unique != Unique::No || ty.key_name() == Some(field.name);
            if is_sortable || is_reference {
                let nullable = field.nullable || field.output;
                let (name, place) = (field.name, Place::Spec(index));
                all.push(Field { name, place, kind, nullable, sortable: is_sortable });
            }
        }
        Self { all }
    }

    /// All, in the order of error messages.
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.all.iter()
    }

    /// The field of that name.
    pub fn get(&self, name: &str) -> Option<Field> {
        self.all.iter().find(|field| field.name == name).copied()
    }

    /// Names of those that lists can be filtered by, for error messages.
    pub fn filterable(&self) -> String {
        self.all.iter().map(|field| field.name).collect::<Vec<_>>().join(", ")
    }

    /// Names of those that lists can be sorted by, for error messages.
    pub fn sortable(&self) -> String {
        let sortable = self.all.iter().filter(|field| field.sortable).map(|field| field.name);
        sortable.collect::<Vec<_>>().join(", ")
    }

    /// What is wrong with filtering by `name`.
    pub fn not_filterable(&self, pointer: &str, name: &str) -> Problem {
        let detail = format!("cannot be filtered by {name:?}; it can by {}", self.filterable());
        Problem::new(pointer, "NOT_FILTERABLE", detail)
    }

    /// The filter of a parameter that is named like a field: rows with one of `values`.
    ///
    /// # Errors
    /// When one of them is no value of the field.
    pub fn equals(&self, field: Field, values: &[String]) -> Result<super::Filter, Problem> {
        let mut literals = Vec::new();
        for value in values {
            let literal = field.kind.parse(value).ok_or_else(|| {
                let detail = format!("expected {}", field.kind.expects());
                Problem::new(format!("?{}", field.name), "INVALID_VALUE", detail)
            })?;
            if !literals.contains(&literal) {
                literals.push(literal);
            }
        }
        Ok(super::Filter::Field { field, test: super::Test::OneOf(literals) })
    }
}
