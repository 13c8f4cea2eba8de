//! [`Resource`]: a row as the store reads it, and its JSON form in answers.

mod answer;
pub mod ids;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::ser::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

pub use self::answer::member_names;
use crate::descriptor::TypeDescriptor;
use crate::registry::RegisteredType;

/// A row of any type.
#[derive(Clone, Debug)]
pub struct Resource {
    /// What it is.
    pub ty: &'static TypeDescriptor,
    /// What the framework keeps of it.
    pub meta: Meta,
    /// The spec and output fields, in the descriptor's order.
    pub fields: Vec<Datum>,
}

/// What the framework keeps of every row.
#[derive(Clone, Debug)]
pub struct Meta {
    /// UUIDv7.
    pub id: Uuid,
    /// The project it belongs to.
    pub project_id: Uuid,
    /// The instance at the root; its own id for an instance.
    pub instance_id: Uuid,
    /// The row above; its own id for an instance.
    pub parent_id: Uuid,
    /// The framework's name, where the type has one.
    pub name: Option<String>,
    /// Free text.
    pub description: String,
    /// The version chosen, for instances.
    pub version: String,
    /// Object of text by text.
    pub labels: Box<RawValue>,
    /// One of [`crate::status::Status`].
    pub status: String,
    /// Array of [`crate::status::Condition`].
    pub conditions: Box<RawValue>,
    /// Whether an instance refuses to be deleted.
    pub deletion_protection: bool,
    /// Array of id, ip, port, status; for instances.
    pub nodes: Option<Box<RawValue>>,
    /// Raised by every change of the spec.
    pub generation: i64,
    /// The last generation that is in force.
    pub observed_generation: i64,
    /// The instance's generation that holds the last change; its own generation for an instance.
    pub held_generation: i64,
    /// Raised by every change; the ETag.
    pub revision: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed, its status included.
    pub updated_at: DateTime<Utc>,
    /// When its deletion was asked for.
    pub deleting_at: Option<DateTime<Utc>>,
}

/// A stored value, as far decoded as answers need it.
#[derive(Clone, Debug)]
pub enum Datum {
    /// NULL.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// Text, UUIDs in text form, enums, durations.
    Text(String),
    /// A time.
    Time(DateTime<Utc>),
    /// Lists, maps, JSON, unparsed.
    Json(Box<RawValue>),
    /// A sealed secret. Never serialised.
    Sealed(String),
    /// A value that was just written; a secret only when it was generated and is shown this once.
    Written(Value),
}

impl Datum {
    /// The canonical JSON; null for a secret.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Null | Self::Sealed(_) => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::from(*value),
            Self::Float(value) => Value::from(*value),
            Self::Text(value) => Value::String(value.clone()),
            Self::Time(value) => Value::String(rfc3339(*value)),
            Self::Json(raw) => serde_json::from_str(raw.get()).unwrap_or(Value::Null),
            Self::Written(value) => value.clone(),
        }
    }
}

impl Serialize for Datum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null | Self::Sealed(_) => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::Time(value) => serializer.serialize_str(&rfc3339(*value)),
            Self::Json(raw) => raw.serialize(serializer),
            Self::Written(value) => value.serialize(serializer),
        }
    }
}

/// A time as answers show it.
pub fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

impl Resource {
    /// What paths name it by.
    pub fn key(&self) -> String {
        match (self.ty.key_name(), &self.meta.name) {
            (Some(_), Some(name)) => name.clone(),
            (Some(key), None) => match self.field(key).map(Datum::to_json) {
                Some(Value::String(text)) => text,
                Some(other) => other.to_string(),
                None => self.meta.id.to_string(),
            },
            (None, _) => self.meta.id.to_string(),
        }
    }

    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&Datum> {
        let index = self.ty.fields.iter().position(|field| field.name == name)?;
        self.fields.get(index)
    }

    /// The word in `type`: the slug, and the plurals below it, e.g. `demo` or `demo/pages`.
    pub fn type_name(&self) -> String {
        type_name(self.ty)
    }

    /// Whether the row is on its way out.
    pub const fn is_deleting(&self) -> bool {
        self.meta.deleting_at.is_some()
    }
}

/// The word in `type`: the slug, and below an instance the plural, e.g. `demo` or `demo/pages`.
pub fn type_name(ty: &TypeDescriptor) -> String {
    if ty.is_instance() { ty.slug.into() } else { format!("{}/{}", ty.slug, ty.plural) }
}

/// A row that is about to be made: validated, complete.
#[derive(Clone, Debug)]
pub struct NewResource {
    /// The project it goes to.
    pub project_id: Uuid,
    /// The framework's name, where the type has one.
    pub name: Option<String>,
    /// Free text.
    pub description: String,
    /// The version chosen, for instances.
    pub version: String,
    /// Whether an instance refuses to be deleted.
    pub deletion_protection: bool,
    /// Object of text by text.
    pub labels: Value,
    /// Canonical JSON of each field, in the descriptor's order; null for outputs.
    pub fields: Vec<Value>,
    /// Fields whose secret was generated, to be shown once: indexes into `fields`.
    pub generated: Vec<usize>,
}

/// What an update changes: validated, only what differs.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// New free text.
    pub description: Option<String>,
    /// New labels.
    pub labels: Option<Value>,
    /// New version, for instances.
    pub version: Option<String>,
    /// Whether an instance refuses to be deleted from now on.
    pub deletion_protection: Option<bool>,
    /// New canonical JSON of fields, by index into the descriptor's fields.
    pub fields: Vec<(usize, Value)>,
    /// Fields whose secret is new, to be shown once: indexes into the descriptor's fields.
    pub generated: Vec<usize>,
}

impl Change {
    /// Whether nothing changes.
    pub const fn is_empty(&self) -> bool {
        self.description.is_none()
            && self.labels.is_none()
            && self.deletion_protection.is_none()
            && !self.changes_spec()
    }

    /// Whether nodes have to act, so that the generation rises.
    pub const fn changes_spec(&self) -> bool {
        self.version.is_some() || !self.fields.is_empty()
    }
}

/// Names a row in a path: its type, the keys of the rows above it, its own.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    /// The type of the last part.
    pub registered: &'a RegisteredType,
    /// Keys of the rows above, the instance first.
    pub above: Vec<String>,
    /// The project that names are looked up in, where the caller said one.
    pub project: Option<Uuid>,
}
