//! Canonical JSON to statement values and columns to data, by field kind.

use serde_json::Value;
use uuid::Uuid;

use super::error::StoreError;
use super::value::{Arg, Row, raw_json};
use crate::descriptor::{FieldDescriptor, FieldKind, TypeDescriptor};
use crate::resource::Datum;
use crate::secret::KeyRing;
use crate::validate::{duration_millis, timestamp};

/// Where a secret stands: it cannot be opened as the secret of another row or field.
pub(super) fn place(ty: &TypeDescriptor, field: &FieldDescriptor, id: impl std::fmt::Display) -> String {
    format!("{}.{}.{}:{id}", ty.slug, ty.plural, field.name)
}

/// The value of a field for its column. `value` is canonical.
pub(super) fn encode(
    keys: &KeyRing,
    ty: &TypeDescriptor,
    field: &FieldDescriptor,
    id: Uuid,
    value: &Value,
) -> Arg {
    let text = || value.as_str().map(str::to_owned);
    match field.kind {
        FieldKind::Bool => Arg::Bool(value.as_bool()),
        FieldKind::Integer { .. } => Arg::Int(value.as_i64()),
        FieldKind::Float => Arg::Float(value.as_f64()),
        FieldKind::Text(_) | FieldKind::Enum(_) => Arg::Text(text()),
        FieldKind::Uuid | FieldKind::Ref(_) => Arg::Uuid(value.as_str().and_then(|text| text.parse().ok())),
        FieldKind::Timestamp => Arg::Time(value.as_str().and_then(timestamp)),
        FieldKind::Duration => Arg::Int(value.as_str().and_then(duration_millis)),
        FieldKind::List(_) | FieldKind::Map(_) | FieldKind::Json if field.nullable && value.is_null() => {
            Arg::Json(None)
        }
        FieldKind::List(_) | FieldKind::Map(_) | FieldKind::Json => Arg::Json(Some(raw_json(value))),
        FieldKind::Secret(_) if value.is_null() => Arg::Text(None),
        FieldKind::Secret(_) => {
            Arg::Text(Some(keys.seal(&place(ty, field, id), value.to_string().as_bytes())))
        }
    }
}

/// The sealed text of a secret that stays as it is, for a statement that writes all columns. Under an older master
/// key it is sealed anew: a row that was read before a rotation must not bring the older key back.
pub(super) fn keep(
    keys: &KeyRing,
    ty: &TypeDescriptor,
    field: &FieldDescriptor,
    id: Uuid,
    sealed: &str,
) -> Arg {
    if keys.is_current(sealed) {
        return Arg::from(sealed);
    }
    let place = place(ty, field, id);
    // What does not open is left alone; whoever wants to read it learns why.
    Arg::from(keys.open(&place, sealed).map_or_else(|_| sealed.to_owned(), |plain| keys.seal(&place, &plain)))
}

/// The value of a field from its column.
///
/// # Errors
/// When the column is not of the field's kind.
pub(super) fn decode(row: &Row, column: usize, kind: &FieldKind) -> Result<Datum, StoreError> {
    let datum = match kind {
        FieldKind::Bool => row.bool(column)?.map(Datum::Bool),
        FieldKind::Integer { .. } => row.int(column)?.map(Datum::Int),
        FieldKind::Float => row.float(column)?.map(Datum::Float),
        FieldKind::Text(_) | FieldKind::Enum(_) => row.text(column)?.map(Datum::Text),
        FieldKind::Uuid | FieldKind::Ref(_) => row.uuid(column)?.map(|id| Datum::Text(id.to_string())),
        FieldKind::Timestamp => row.time(column)?.map(Datum::Time),
        FieldKind::Duration => row.int(column)?.map(|millis| {
            let duration = std::time::Duration::from_millis(millis.unsigned_abs());
            Datum::Text(humantime::format_duration(duration).to_string())
        }),
        FieldKind::List(_) | FieldKind::Map(_) | FieldKind::Json => row.json(column)?.map(Datum::Json),
        FieldKind::Secret(_) => row.text(column)?.map(Datum::Sealed),
    };
    Ok(datum.unwrap_or(Datum::Null))
}

/// The canonical JSON of a stored value, secrets opened.
///
/// # Errors
/// When a secret was sealed under a key that is not there, or is damaged.
pub(super) fn reveal(
    keys: &KeyRing,
    ty: &TypeDescriptor,
    field: &FieldDescriptor,
    id: Uuid,
    datum: &Datum,
) -> Result<Value, StoreError> {
    let Datum::Sealed(sealed) = datum else { return Ok(datum.to_json()) };
    let corrupt = |detail: String| StoreError::Corrupt { action: "open a secret", detail };
    let place = place(ty, field, id);
    let plain =
        keys.open(&place, sealed).map_err(|error| StoreError::sealed("open a secret", &place, error))?;
    serde_json::from_slice(&plain).map_err(|_| corrupt(format!("{place}: not JSON")))
}
