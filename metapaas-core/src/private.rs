//! The one path that generated code may name. No part of the public interface.

use serde_json::Value;

pub use crate::descriptor::{
    Action, EnumVariant, FieldDescriptor, FieldKind, FieldProblem, Key, Metric, Scope, Spec, TypeDescriptor,
    Unique,
};
pub use crate::field_type::{FieldEnum, FieldError, FieldType, OutputType};
pub use crate::paas_type::PaasType;
pub use crate::role::Role;
pub use ::core::option::Option;
pub use ::core::option::Option::Some;
pub use ::core::primitive::str;
pub use ::core::result::Result;
pub use ::serde_json::Value as JsonValue;

/// What generated code does with a field's type, once the type is known to be one.
///
/// Everything goes through [`of`] or [`output_of`]: rustc reports equal errors once, so a wrong type is one error.
#[derive(Debug)]
pub struct Of<T> {
    kind: FieldKind,
    nullable: bool,
    output: bool,
    to_json: fn(&T) -> Value,
    from_json: fn(&Value) -> Result<T, FieldError>,
}

/// The gate for the type of a field that requests set.
pub const fn of<T: FieldType>() -> Of<T> {
    Of { kind: T::KIND, nullable: T::NULLABLE, output: false, to_json: T::to_json, from_json: T::from_json }
}

/// The gate for the type of a field that only the platform sets.
pub const fn output_of<T: OutputType>() -> Of<T> {
    Of { output: true, ..of::<T>() }
}

impl<T> Of<T> {
    /// A field without options.
    pub const fn field(&self, name: &'static str, doc: &'static str) -> FieldDescriptor {
        FieldDescriptor {
            name,
            doc,
            kind: self.kind,
            nullable: self.nullable,
            mutable: false,
            output: self.output,
            metric: None,
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

    /// The field's value from its entry in a spec.
    ///
    /// # Errors
    /// When the entry is not of the field's kind.
    pub fn get(&self, spec: &Spec, name: &str) -> Result<T, FieldError> {
        (self.from_json)(spec.get(name).unwrap_or(&Value::Null)).map_err(|error| error.at(name))
    }

    /// The canonical JSON of a default.
    pub fn json(&self, value: T) -> Value {
        (self.to_json)(&value)
    }

    /// Runs an author's check on typed values.
    ///
    /// # Errors
    /// What the check found wrong.
    pub fn check<E: ToString>(
        &self,
        check: impl Fn(&T, Option<&T>) -> Result<(), E>,
        new: &Value,
        old: Option<&Value>,
    ) -> Result<(), String> {
        let new = (self.from_json)(new).map_err(|error| error.to_string())?;
        let old = old.and_then(|old| (self.from_json)(old).ok());
        check(&new, old.as_ref()).map_err(|error| error.to_string())
    }
}

/// A spec that is being written.
#[derive(Debug)]
pub struct Entries(Spec);

/// A spec without entries.
pub fn entries() -> Entries {
    Entries(Spec::new())
}

impl Entries {
    /// One more entry.
    #[must_use]
    pub fn put<T>(mut self, name: &str, of: &Of<T>, value: &T) -> Self {
        self.0.insert(name.into(), (of.to_json)(value));
        self
    }

    /// All of them.
    pub fn spec(self) -> Spec {
        self.0
    }
}

/// What the inert impl of a type with a mistake answers; a program with one is never run.
pub fn inert() -> FieldError {
    FieldError::new("a type without mistakes", &Value::Null)
}

/// The kind of an enum.
pub const fn enum_kind<T: FieldEnum>() -> FieldKind {
    FieldKind::Enum(T::VARIANTS)
}

/// The canonical JSON of an enum.
pub fn enum_to_json<T: FieldEnum>(value: &T) -> Value {
    Value::String(value.name().into())
}

/// Reads the canonical JSON of an enum.
///
/// # Errors
/// When the value is none of its names.
pub fn enum_from_json<T: FieldEnum>(value: &Value) -> Result<T, FieldError> {
    value.as_str().and_then(T::parse).ok_or_else(|| {
        let names: Vec<&str> = T::VARIANTS.iter().map(|variant| variant.name).collect();
        FieldError::new(format!("one of {}", names.join(", ")), value)
    })
}

/// An instance type without fields or options.
pub const fn instance(name: &'static str, slug: &'static str, doc: &'static str) -> TypeDescriptor {
    TypeDescriptor {
        name,
        slug,
        plural: "instances",
        segment: None,
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

/// A child type of `P` without fields or options.
pub const fn child<P: PaasType>(
    name: &'static str,
    plural: &'static str,
    doc: &'static str,
) -> TypeDescriptor {
    let parent = P::DESCRIPTOR;
    TypeDescriptor {
        plural,
        parent: Some(parent),
        scope: parent.scope,
        element: parent.element,
        policy: parent.policy,
        ..instance(name, parent.slug, doc)
    }
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

    /// `#[field(output, metric = "gauge")]`
    #[must_use]
    pub const fn metric(mut self, metric: Metric) -> Self {
        self.metric = Some(metric);
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
