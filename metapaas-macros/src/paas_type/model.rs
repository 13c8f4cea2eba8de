//! What a `#[paas_type]` struct says, as values with places.

use proc_macro2::Span;
use syn::{Expr, Ident, LitStr, Path, Type};

use crate::grammar::{Given, Interval};

/// A `#[paas_type]` struct.
pub(crate) struct Model {
    /// The struct's name.
    pub(crate) ident: Ident,
    /// Its doc comment.
    pub(crate) doc: String,
    /// `slug`
    pub(crate) slug: Option<Given<LitStr>>,
    /// `parent`
    pub(crate) parent: Option<Given<Type>>,
    /// `plural`
    pub(crate) plural: Option<Given<LitStr>>,
    /// `segment`
    pub(crate) segment: Option<Given<LitStr>>,
    /// `key`
    pub(crate) key: Option<Given<LitStr>>,
    /// `element`
    pub(crate) element: Option<Given<LitStr>>,
    /// `scope`, as the variant of `Scope`.
    pub(crate) scope: Option<Given<Ident>>,
    /// `iam`, as the variants of `Action` and `Role`.
    pub(crate) policy: Vec<(Ident, Ident)>,
    /// `retention` in seconds.
    pub(crate) retention: Option<u64>,
    /// `check`
    pub(crate) check: Option<Path>,
    /// `crate`
    pub(crate) framework: Option<Path>,
    /// Whether `parent` stands there, be its value right or wrong.
    pub(crate) has_parent: bool,
    /// Whether every key could be read; if not, a missing one is no further mistake.
    pub(crate) complete: bool,
    /// The fields in order.
    pub(crate) fields: Vec<Field>,
}

/// A field of it.
pub(crate) struct Field {
    /// Its name.
    pub(crate) ident: Ident,
    /// Its type.
    pub(crate) ty: Type,
    /// Its doc comment.
    pub(crate) doc: String,
    /// `mutable`
    pub(crate) mutable: Option<Span>,
    /// `output`
    pub(crate) output: Option<Span>,
    /// `metric`, as the variant of `Metric`.
    pub(crate) metric: Option<Given<Ident>>,
    /// `iam`, as the variant of `Role`.
    pub(crate) iam: Option<Given<Ident>>,
    /// `default`
    pub(crate) default: Option<Given<Expr>>,
    /// `unique`, as the variant of `Unique`.
    pub(crate) unique: Option<Given<Ident>>,
    /// `len`
    pub(crate) len: Option<Interval>,
    /// `range`
    pub(crate) range: Option<Interval>,
    /// `pattern`
    pub(crate) pattern: Option<LitStr>,
    /// `renamed_from`
    pub(crate) renamed_from: Option<Given<LitStr>>,
    /// `check`
    pub(crate) check: Option<Given<Path>>,
}

/// How a path names a row.
pub(crate) enum RowKey {
    /// The framework's name.
    Name,
    /// A field in place of it.
    Field(String),
    /// The id alone.
    Id,
}

impl Model {
    /// Whether it is surely meant as an instance type; a `parent` may hide in a key that could not be read.
    pub(crate) fn is_instance(&self) -> bool {
        !self.has_parent && (self.complete || self.slug.is_some())
    }

    /// What `key` comes to.
    pub(crate) fn row_key(&self) -> RowKey {
        match self.key.as_ref().map(|key| key.value.value()) {
            Some(id) if id == "id" => RowKey::Id,
            Some(name) if name == "name" && self.field("name").is_none() => RowKey::Name,
            Some(field) => RowKey::Field(field),
            None => RowKey::Name,
        }
    }

    /// The field of that name.
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.ident == name)
    }
}
