//! Which Rust types can be fields: [`FieldType`] and its impls for std, uuid and chrono types.
//!
//! A field's kind is asked of this trait, never guessed from a type's name.

mod secret;
mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;
use zeroize::Zeroize;

pub use self::secret::{Ref, Secret};
pub use self::text::{ANY_TEXT, BucketName, Cidr, DnsName, Domain, Email, InstancePath};
pub(crate) use self::text::{is_dns_name, is_user_name};
use crate::descriptor::{EnumVariant, FieldKind};

/// A type that a field of a `#[paas_type]` struct may have.
///
/// # Guarantees
/// `from_json(&x.to_json())` gives `x` again for every `x` that validation lets through.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a metapaas field",
    label = "not a field type",
    note = "implement `metapaas_core::FieldType` for it, derive `FieldEnum` when it is an enum of plain names, or wrap it in `Json<T>`"
)]
pub trait FieldType: Sized {
    /// The kind of its values.
    const KIND: FieldKind;
    /// Whether `null` is a value of it.
    const NULLABLE: bool = false;

    /// The canonical JSON form.
    fn to_json(&self) -> Value;

    /// Reads the canonical JSON form.
    ///
    /// # Errors
    /// When the value is not of [`Self::KIND`].
    fn from_json(value: &Value) -> Result<Self, FieldError>;

    /// Overwrites in memory what it holds; a [`Secret`] of it does so when it is dropped. The values of this crate do,
    /// but for [`Json`]; a type of your own that may be secret says how.
    fn wipe(&mut self) {}
}

/// A type that an `output` field may have: the platform has no value before a node reports one.
#[diagnostic::on_unimplemented(
    message = "an `output` field must be an `Option`, and `{Self}` is not",
    label = "write `Option<{Self}>`",
    note = "the platform has no value for it before the first node reports one"
)]
pub trait OutputType: FieldType {}

impl<T: FieldType> OutputType for Option<T> {}

/// A stored or given value was not of its field's kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field `{field}`: expected {expected}, found {found}")]
pub struct FieldError {
    /// The field's name; empty for a value inside a list or map.
    pub field: String,
    /// The kind that was wanted.
    pub expected: String,
    /// What stood there, shortened; never the content of a secret.
    pub found: String,
}

impl FieldError {
    /// `value` was not `expected`. Only the value's JSON type is kept, since it may be secret.
    pub fn new(expected: impl Into<String>, value: &Value) -> Self {
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        Self { field: String::new(), expected: expected.into(), found: found.into() }
    }

    /// The same, naming the field.
    #[must_use]
    pub fn at(mut self, field: &str) -> Self {
        self.field = field.into();
        self
    }
}

/// An enum of plain names that can be a field; derive it with `#[derive(FieldEnum)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a field enum",
    note = "add `#[derive(FieldEnum)]` to the enum"
)]
pub trait FieldEnum: Sized + Copy + 'static {
    /// Names and docs, in the order of the variants.
    const VARIANTS: &'static [EnumVariant];

    /// Its name, e.g. `aes256`.
    fn name(self) -> &'static str;

    /// The variant of that name.
    fn parse(name: &str) -> Option<Self>;
}

impl FieldType for bool {
    const KIND: FieldKind = FieldKind::Bool;

    fn to_json(&self) -> Value {
        Value::Bool(*self)
    }

    fn from_json(value: &Value) -> Result<Self, FieldError> {
        value.as_bool().ok_or_else(|| FieldError::new("a boolean", value))
    }
}

macro_rules! integer {
    ($($int:ty => $max:expr),*) => {$(
        impl FieldType for $int {
            const KIND: FieldKind = FieldKind::Integer { min: <$int>::MIN as i64, max: $max };

            fn to_json(&self) -> Value {
                Value::from(*self)
            }

            fn from_json(value: &Value) -> Result<Self, FieldError> {
                value
                    .as_i64()
                    .and_then(|number| Self::try_from(number).ok())
                    .ok_or_else(|| FieldError::new(stringify!($int), value))
            }

            fn wipe(&mut self) {
                self.zeroize();
            }
        }
    )*};
}

// Databases have no unsigned 64-bit column, so u64 ends where i64 does.
integer!(i8 => i8::MAX as i64, i16 => i16::MAX as i64, i32 => i32::MAX as i64, i64 => i64::MAX,
         u8 => u8::MAX as i64, u16 => u16::MAX as i64, u32 => u32::MAX as i64, u64 => i64::MAX);

impl FieldType for f64 {
    const KIND: FieldKind = FieldKind::Float;

    fn to_json(&self) -> Value {
        Value::from(*self)
    }

    fn from_json(value: &Value) -> Result<Self, FieldError> {
        value.as_f64().ok_or_else(|| FieldError::new("a number", value))
    }
}

impl FieldType for String {
    const KIND: FieldKind = FieldKind::Text(&ANY_TEXT);

    fn to_json(&self) -> Value {
        Value::String(self.clone())
    }

    fn from_json(value: &Value) -> Result<Self, FieldError> {
        value.as_str().map(Self::from).ok_or_else(|| FieldError::new("a string", value))
    }

    fn wipe(&mut self) {
        self.zeroize();
    }
}

impl FieldType for Uuid {
    const KIND: FieldKind = FieldKind::Uuid;

    fn to_json(&self) -> Value {
        Value::String(self.to_string())
    }

    fn from_json(value: &Value) -> Result<Self, FieldError> {
        let parsed = value.as_str().and_then(|text| text.parse().ok());
        parsed.ok_or_else(|| FieldError::new("a UUID", value))
    }
}

impl FieldType for DateTime<Utc> {
    const KIND: FieldKind = FieldKind::Timestamp;

    fn to_json(&self) -> Value {
        Value::String(self.to_rfc3339_opts(SecondsFormat::Micros, true))
    }

    fn from_json(value: &Value) -> Result<Self, FieldError> {
        let parsed = value.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        parsed.map(|time| time.to_utc()).ok_or_else(|| FieldError::new("an RFC 3339 time", value))
    }
}

impl FieldType for Duration {
    const KIND: FieldKind = FieldKind::Duration;

    fn to_json(&self) -> Value {
        Value::String(humantime::format_duration(*self).to_string())
    }

    fn from_json(value: &Value) -> Result<Self, FieldError> {
        let parsed = value.as_str().and_then(|text| humantime::parse_duration(text).ok());
        parsed.ok_or_else(|| FieldError::new("a duration such as \"1h 30m\"", value))
    }
}

impl<T: FieldType> FieldType for Option<T> {
    const KIND: FieldKind = T::KIND;
    const NULLABLE: bool = true;

    fn to_json(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_json)
    }

    fn from_json(value: &Value) -> Result<Self, FieldError> {
        if value.is_null() { Ok(None) } else { T::from_json(value).map(Some) }
    }

    fn wipe(&mut self) {
        self.iter_mut().for_each(T::wipe);
    }
}

impl<T: FieldType> FieldType for Vec<T> {
    const KIND: FieldKind = FieldKind::List(&T::KIND);

    fn to_json(&self) -> Value {
        self.iter().map(T::to_json).collect()
    }

    fn from_json(value: &Value) -> Result<Self, FieldError> {
        let items = value.as_array().ok_or_else(|| FieldError::new("an array", value))?;
        items.iter().map(T::from_json).collect()
    }

    fn wipe(&mut self) {
        self.iter_mut().for_each(T::wipe);
    }
}

/// An object with any keys.
pub type Map<T> = BTreeMap<String, T>;

impl<T: FieldType> FieldType for Map<T> {
    const KIND: FieldKind = FieldKind::Map(&T::KIND);

    fn to_json(&self) -> Value {
        Value::Object(self.iter().map(|(key, item)| (key.clone(), item.to_json())).collect())
    }

    fn from_json(value: &Value) -> Result<Self, FieldError> {
        let items = value.as_object().ok_or_else(|| FieldError::new("an object", value))?;
        items.iter().map(|(key, item)| Ok((key.clone(), T::from_json(item)?))).collect()
    }

    fn wipe(&mut self) {
        for (mut key, mut item) in std::mem::take(self) {
            key.zeroize();
            item.wipe();
        }
    }
}

/// Any type that serde knows, kept as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize + DeserializeOwned> FieldType for Json<T> {
    const KIND: FieldKind = FieldKind::Json;

    fn to_json(&self) -> Value {
        // A map with keys that are not text is the only way to fail; it then reads back as null.
        serde_json::to_value(&self.0).unwrap_or(Value::Null)
    }

    fn from_json(value: &Value) -> Result<Self, FieldError> {
        T::deserialize(value)
            .map(Self)
            .map_err(|problem| FieldError::new(format!("other JSON ({problem})"), value))
    }
}
