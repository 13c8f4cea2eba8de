//! The text of server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::fold::{Kind, Told, What};
use crate::error::Error;
use crate::registry::Registry;
use crate::resource::{Resource, type_name};

/// How the object of a row is written; `None` writes all of it.
pub type Render = dyn Fn(&Resource) -> Value + Send + Sync;

/// What comes first: how long a browser waits before it comes back.
pub(super) const BEGIN: Bytes = Bytes::from_static(b"retry: 1000\n\n");

#[derive(Serialize)]
struct Data<'a, T: Serialize + ?Sized> {
    #[serde(rename = "type")]
    kind: &'a str,
    object: &'a T,
}

/// One event. Without a position a client that comes back begins where it last had one.
pub(super) fn event<T: Serialize + ?Sized>(kind: &str, position: Option<i64>, object: &T) -> Bytes {
    let mut text = Vec::with_capacity(1024);
    if let Some(position) = position {
        text.extend_from_slice(format!("id: {position}\n").as_bytes());
    }
    text.extend_from_slice(format!("event: {kind}\ndata: ").as_bytes());
    // Objects are made of maps and texts; JSON has no line break outside of a text, and none inside of one.
    if serde_json::to_writer(&mut text, &Data { kind, object }).is_err() {
        text.extend_from_slice(b"null");
    }
    text.extend_from_slice(b"\n\n");
    text.into()
}

/// An event that says only where the watch is: SYNCED or BOOKMARK.
pub(super) fn mark(kind: &str, position: i64) -> Bytes {
    event(kind, Some(position), &json!({ "revision": position }))
}

/// Why the stream ends.
pub(super) fn error(error: &Error) -> Bytes {
    let mut object: Map<String, Value> = error.extra.clone();
    object.insert("code".into(), error.code.as_str().into());
    object.insert("title".into(), error.code.title().into());
    object.insert("detail".into(), error.detail.clone().into());
    event("ERROR", None, &object)
}

/// A row, or what is left of it.
pub(super) fn told(
    registry: &Registry,
    told: &Told,
    kind: Kind,
    position: Option<i64>,
    render: Option<&Render>,
) -> Bytes {
    match (&told.what, kind) {
        (What::Row(row), Kind::Added | Kind::Modified) => row_event(kind.as_str(), row, position, render),
        (What::Row(row), Kind::Deleted) => {
            event(kind.as_str(), position, &rest(registry, told, &row.key(), row.meta.instance_id))
        }
        (What::Gone { key, instance_id, .. }, _) => {
            event(kind.as_str(), position, &rest(registry, told, key, *instance_id))
        }
    }
}

/// A row.
pub(super) fn row_event(kind: &str, row: &Resource, position: Option<i64>, render: Option<&Render>) -> Bytes {
    match render {
        Some(render) => event(kind, position, &render(row)),
        None => event(kind, position, row),
    }
}

fn rest(registry: &Registry, told: &Told, key: &str, instance_id: uuid::Uuid) -> Value {
    let ty = registry.types()[told.type_index].ty;
    let mut object = json!({
        "id": told.id,
        "key": key,
        "project_id": told.project_id,
        "type": type_name(ty),
        "revision": told.position,
    });
    if !ty.is_instance() {
        object["instance_id"] = json!(instance_id);
        object["parent_id"] = json!(told.parent_id);
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_of_data() {
        let text = event("ADDED", Some(7), &json!({ "text": "a\nb\r\u{2028}" }));
        let text = std::str::from_utf8(&text).unwrap();
        assert_eq!(
            text,
            "id: 7\nevent: ADDED\ndata: {\"type\":\"ADDED\",\"object\":{\"text\":\"a\\nb\\r\u{2028}\"}}\n\n"
        );
    }
}
