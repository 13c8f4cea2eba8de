//! The one path that generated code may name. No part of the public interface.

use serde_json::Value;

pub use crate::descriptor::{
    Action, EnumVariant, FieldDescriptor, FieldKind, FieldProblem, Key, Scope, Spec, TypeDescriptor, Unique,
};
pub use crate::field_type::{FieldEnum, FieldError, FieldType, OutputType};
pub use crate::paas_type::PaasType;
pub use crate::role::Role;
pub use ::core::option::Option;
pub use ::core::result::Result;
pub use ::serde_json::Value as JsonValue;

/// A field without options.
pub const fn field<T: FieldType>(name: &'static str, doc: &'static str) -> FieldDescriptor {
    FieldDescriptor {
        name,
        doc,
        kind: T::KIND,
        nullable: T::NULLABLE,
        mutable: false,
        output: false,
        iam: None,
        default: None,
        unique: Unique::No,
        len: None,
        range: None,
        pattern: None,
        renamed_from: None,
        check: None,
    }
}

/// A field that only the platform sets.
pub const fn output_field<T: OutputType>(name: &'static str, doc: &'static str) -> FieldDescriptor {
    FieldDescriptor { output: true, ..field::<T>(name, doc) }
}

/// An instance type without fields or options.
pub const fn instance(name: &'static str, slug: &'static str, doc: &'static str) -> TypeDescriptor {
    TypeDescriptor {
        name,
        slug,
        plural: "instances",
        doc,
        parent: None,
        key: Key::Name,
        scope: Scope::Project,
        element: slug,
        policy: &[],
        retention_seconds: None,
        fields: &[],
        check: None,
    }
}

/// A child type without fields or options.
pub const fn child(
    name: &'static str,
    plural: &'static str,
    doc: &'static str,
    parent: &'static TypeDescriptor,
) -> TypeDescriptor {
    TypeDescriptor {
        plural,
        parent: Some(parent),
        scope: parent.scope,
        element: parent.element,
        policy: parent.policy,
        ..instance(name, parent.slug, doc)
    }
}

/// One entry of a spec from a field of the struct.
pub fn put<T: FieldType>(spec: &mut Spec, name: &str, field: &T) {
    spec.insert(name.into(), field.to_json());
}

/// One field of the struct from its entry in a spec.
///
/// # Errors
/// When the entry is not of the field's kind.
pub fn get<T: FieldType>(spec: &Spec, name: &str) -> Result<T, FieldError> {
    T::from_json(spec.get(name).unwrap_or(&Value::Null)).map_err(|error| error.at(name))
}

/// The canonical JSON of a default.
pub fn json<T: FieldType>(value: &T) -> Value {
    value.to_json()
}

/// Runs an author's check of one field on typed values.
///
/// # Errors
/// What the check found wrong.
pub fn check_field<T: FieldType, E: ToString>(
    check: impl Fn(&T, Option<&T>) -> Result<(), E>,
    new: &Value,
    old: Option<&Value>,
) -> Result<(), String> {
    let new = T::from_json(new).map_err(|error| error.to_string())?;
    let old = old.and_then(|old| T::from_json(old).ok());
    check(&new, old.as_ref()).map_err(|error| error.to_string())
}

/// Runs an author's check of a whole struct.
pub fn check_type<T: PaasType>(
    check: impl Fn(&T, Option<&T>) -> Vec<FieldProblem>,
    new: &Spec,
    old: Option<&Spec>,
) -> Vec<FieldProblem> {
    match T::from_spec(new) {
        Ok(new) => check(&new, old.and_then(|old| T::from_spec(old).ok()).as_ref()),
        Err(error) => vec![FieldProblem::new(error.field.clone(), error.to_string())],
    }
}

impl FieldDescriptor {
    /// `#[field(mutable)]`
    #[must_use]
    pub const fn mutable(mut self) -> Self {
        self.mutable = true;
        self
    }

    /// `#[field(iam = "owner")]`
    #[must_use]
    pub const fn iam(mut self, role: Role) -> Self {
        self.iam = Some(role);
        self
    }

    /// `#[field(default = ...)]`
    #[must_use]
    pub const fn default(mut self, make: fn() -> Value) -> Self {
        self.default = Some(make);
        self
    }

    /// `#[field(unique)]`, `#[field(unique = "everywhere")]`
    #[must_use]
    pub const fn unique(mut self, unique: Unique) -> Self {
        self.unique = unique;
        self
    }

    /// `#[field(len = 1..=80)]`
    #[must_use]
    pub const fn len(mut self, least: u64, greatest: u64) -> Self {
        self.len = Some((least, greatest));
        self
    }

    /// `#[field(range = 1..=5)]`
    #[must_use]
    pub const fn range(mut self, least: f64, greatest: f64) -> Self {
        self.range = Some((least, greatest));
        self
    }

    /// `#[field(pattern = "...")]`
    #[must_use]
    pub const fn pattern(mut self, pattern: &'static str) -> Self {
        self.pattern = Some(pattern);
        self
    }

    /// `#[field(renamed_from = "...")]`
    #[must_use]
    pub const fn renamed_from(mut self, name: &'static str) -> Self {
        self.renamed_from = Some(name);
        self
    }

    /// `#[field(check = path::to::fn)]`
    #[must_use]
    pub const fn check(mut self, check: fn(&Value, Option<&Value>) -> Result<(), String>) -> Self {
        self.check = Some(check);
        self
    }
}
