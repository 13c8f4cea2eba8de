//! `schema.json`: the schema after a plugin's last migration, as the next one starts from it.

use crate::store::schema::Schema;

/// `schema.json` is not a schema.
#[derive(Debug, thiserror::Error)]
#[error("the text is not a schema")]
pub struct SnapshotError(#[source] pub(super) serde_json::Error);

/// Reads a snapshot; an empty text is the empty schema.
///
/// # Errors
/// When the text is not a schema.
pub fn read_snapshot(text: &str) -> Result<Schema, SnapshotError> {
    if text.trim().is_empty() {
        return Ok(Schema::default());
    }
    serde_json::from_str(text).map_err(SnapshotError)
}

/// Writes a snapshot, the same text for the same schema.
pub fn write_snapshot(schema: &Schema) -> String {
    // A schema has only text keys, which is all that could fail.
    serde_json::to_string_pretty(schema).unwrap_or_default() + "\n"
}
