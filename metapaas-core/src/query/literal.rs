//! [`Literal`]: a value of a filter or a page token, of the [`Kind`] that its field has.

use std::cmp::Ordering;

use chrono::{DateTime, Datelike, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::descriptor::{EnumVariant, FieldKind};
use crate::resource::{Datum, rfc3339};
use crate::status::Status;

/// What the values of a field are, as far as comparing them goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// Text.
    Text,
    /// One of the names.
    Enum(&'static [EnumVariant]),
    /// One of [`Status`].
    Status,
    /// An id.
    Uuid,
    /// A time.
    Time,
    /// A length of time.
    Duration,
    /// Text by text.
    Labels,
}

/// A value to compare a field with.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A finite number.
    Float(f64),
    /// Text without NUL.
    Text(String),
    /// An id.
    Uuid(Uuid),
    /// A time in steps of a microsecond.
    Time(DateTime<Utc>),
    /// A length of time in milliseconds.
    Millis(i64),
}

impl Kind {
    /// The kind of a field of a type; `None` for what cannot be compared.
    pub fn of(kind: &FieldKind) -> Option<Self> {
        Some(match kind {
            FieldKind::Bool => Self::Bool,
            FieldKind::Integer { .. } => Self::Int,
            FieldKind::Float => Self::Float,
            FieldKind::Text(_) => Self::Text,
            FieldKind::Enum(variants) => Self::Enum(variants),
            FieldKind::Uuid | FieldKind::Ref(_) => Self::Uuid,
            FieldKind::Timestamp => Self::Time,
            FieldKind::Duration => Self::Duration,
            FieldKind::List(_) | FieldKind::Map(_) | FieldKind::Json | FieldKind::Secret(_) => return None,
        })
    }

    /// Whether `<` and the like mean something.
    pub const fn is_ordered(self) -> bool {
        matches!(self, Self::Int | Self::Float | Self::Text | Self::Time | Self::Duration)
    }

    /// What a value looks like, for error messages.
    pub fn expects(self) -> String {
        match self {
            Self::Bool => "true or false".into(),
            Self::Int => "a whole number".into(),
            Self::Float => "a number".into(),
            Self::Text => "text".into(),
            Self::Enum(variants) => {
                let names: Vec<&str> = variants.iter().map(|variant| variant.name).collect();
                format!("one of {}", names.join(", "))
            }
            Self::Status => format!("one of {}", Status::ALL.map(Status::as_str).join(", ")),
            Self::Uuid => "an id (UUID)".into(),
            Self::Time => "a time such as 2026-01-31T12:00:00Z".into(),
            Self::Duration => "a duration such as \"1h 30m\"".into(),
            Self::Labels => "the name of a label".into(),
        }
    }

    /// The value that `text` stands for.
    pub fn parse(self, text: &str) -> Option<Literal> {
        Some(match self {
            Self::Bool => Literal::Bool(text.parse().ok()?),
            Self::Int => Literal::Int(text.parse().ok()?),
            // Zero has no sign in the store either.
            Self::Float => Literal::Float(text.parse().ok().filter(|number: &f64| number.is_finite())? + 0.0),
            Self::Text if !text.contains('\0') => Literal::Text(text.into()),
            Self::Enum(variants) if variants.iter().any(|variant| variant.name == text) => {
                Literal::Text(text.into())
            }
            Self::Status => Literal::Text(Status::parse(text)?.as_str().into()),
            Self::Uuid => Literal::Uuid(text.parse().ok()?),
            Self::Time => Literal::Time(time(text)?),
            Self::Duration => Literal::Millis(millis(text)?),
            Self::Text | Self::Enum(_) | Self::Labels => return None,
        })
    }

    /// A stored value to compare with; `None` for NULL.
    pub fn read(self, datum: &Datum) -> Option<Literal> {
        match (self, datum) {
            (Self::Bool, Datum::Bool(value)) => Some(Literal::Bool(*value)),
            (Self::Int, Datum::Int(value)) => Some(Literal::Int(*value)),
            (Self::Float, Datum::Float(value)) => Some(Literal::Float(*value)),
            (Self::Time, Datum::Time(value)) => Some(Literal::Time(*value)),
            // The other is canonical JSON, of a row that was just written.
            (kind, Datum::Text(text) | Datum::Written(Value::String(text))) => kind.read_text(text),
            (Self::Bool, Datum::Written(value)) => value.as_bool().map(Literal::Bool),
            (Self::Int, Datum::Written(value)) => value.as_i64().map(Literal::Int),
            (Self::Float, Datum::Written(value)) => value.as_f64().map(Literal::Float),
            _ => None,
        }
    }

    /// Text as it is stored: an enum may have lost the variant since.
    fn read_text(self, text: &str) -> Option<Literal> {
        match self {
            Self::Text | Self::Enum(_) | Self::Status => Kind::Text.parse(text),
            kind => kind.parse(text),
        }
    }
}

impl Literal {
    /// Less, equal or greater, as both databases see it: text by its bytes, ids by theirs. Values of one field have
    /// one kind, so that there is always an answer.
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(one), Self::Bool(other)) => one.cmp(other),
            (Self::Int(one), Self::Int(other)) | (Self::Millis(one), Self::Millis(other)) => one.cmp(other),
            (Self::Float(one), Self::Float(other)) => one.total_cmp(other),
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            (Self::Uuid(one), Self::Uuid(other)) => one.cmp(other),
            (Self::Time(one), Self::Time(other)) => one.cmp(other),
            _ => Ordering::Equal,
        }
    }

    /// As JSON that reads back as exactly the same value.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) | Self::Millis(value) => Value::from(*value),
            Self::Float(value) => Value::from(value.to_bits()),
            Self::Text(value) => Value::String(value.clone()),
            Self::Uuid(value) => Value::String(value.to_string()),
            Self::Time(value) => Value::from(value.timestamp_micros()),
        }
    }

    /// The value of that kind in a page token.
    pub(super) fn from_json(kind: Kind, value: &Value) -> Option<Self> {
        match kind {
            Kind::Bool => value.as_bool().map(Self::Bool),
            Kind::Int => value.as_i64().map(Self::Int),
            Kind::Duration => value.as_i64().map(Self::Millis),
            Kind::Float => {
                value.as_u64().map(f64::from_bits).filter(|number| number.is_finite()).map(Self::Float)
            }
            Kind::Time => {
                value.as_i64().and_then(DateTime::from_timestamp_micros).filter(in_range).map(Self::Time)
            }
            kind => kind.read_text(value.as_str()?),
        }
    }
}

impl std::fmt::Display for Literal {
    /// As a filter writes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Millis(value) => write!(f, "{value}ms"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Text(value) => quote(f, value),
            Self::Uuid(value) => write!(f, "{value}"),
            Self::Time(value) => f.write_str(&rfc3339(*value)),
        }
    }
}

/// Text in quotes, as a filter takes it.
pub(super) fn quote(f: &mut std::fmt::Formatter<'_>, text: &str) -> std::fmt::Result {
    write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    DateTime::from_timestamp_micros(time.timestamp_micros()).filter(in_range)
}

/// The years that both databases and RFC 3339 know.
fn in_range(time: &DateTime<Utc>) -> bool {
    (1..=9999).contains(&time.year())
}

fn millis(text: &str) -> Option<i64> {
    let duration = humantime::parse_duration(text).ok()?;
    i64::try_from(duration.as_millis()).ok()
}
