//! What an event says of a change: each member with its value before and after.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::descriptor::FieldDescriptor;
use crate::resource::{Datum, Resource};

/// A value whose JSON text is longer is not repeated in events.
const LONGEST: usize = 4096;

/// The `detail` of the event of a change from `before` to `after`: `{"changes":[{"field","from","to"}]}`. A secret is
/// said to have changed, never what it is.
pub(in crate::store) fn detail(before: &Resource, after: &Resource) -> Value {
    let mut changes = Changes::default();
    let (old, new) = (&before.meta, &after.meta);
    changes.add("description", old.description.as_str(), new.description.as_str());
    changes.add("version", old.version.as_str(), new.version.as_str());
    changes.add("deletion_protection", old.deletion_protection, new.deletion_protection);
    changes.add_json("labels", &old.labels, &new.labels);
    for (field, (from, to)) in before.ty.fields.iter().zip(before.fields.iter().zip(&after.fields)) {
        changes.add_field(field, from, to);
    }
    changes.add("status", old.status.as_str(), new.status.as_str());
    if old.conditions.get() != new.conditions.get() {
        changes.add("conditions.reason", reason(before), reason(after));
    }
    changes.add("observed_generation", old.observed_generation, new.observed_generation);
    json!({ "changes": changes.0 })
}

#[derive(Default)]
struct Changes(Vec<Value>);

impl Changes {
    fn add<T: PartialEq + Into<Value>>(&mut self, name: &str, from: T, to: T) {
        if from == to {
            return;
        }
        let (from, to) = (from.into(), to.into());
        let is_long = |value: &Value| value.to_string().len() > LONGEST;
        self.0.push(if is_long(&from) || is_long(&to) {
            json!({ "field": name, "truncated": true })
        } else {
            json!({ "field": name, "from": from, "to": to })
        });
    }

    fn add_json(&mut self, name: &str, from: &RawValue, to: &RawValue) {
        if from.get() != to.get() {
            self.add(name, parsed(from), parsed(to));
        }
    }

    fn add_field(&mut self, field: &FieldDescriptor, from: &Datum, to: &Datum) {
        match (from, to) {
            (Datum::Null, Datum::Null) => {}
            // Sealing the same text twice gives different texts, and what does not change is not sealed again.
            (Datum::Sealed(from), Datum::Sealed(to)) if from == to => {}
            _ if field.is_secret() => self.0.push(json!({ "field": field.name, "redacted": true })),
            (Datum::Json(from), Datum::Json(to)) => self.add_json(field.name, from, to),
            _ => self.add(field.name, from.to_json(), to.to_json()),
        }
    }
}

fn parsed(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap_or_default()
}

/// Why the row is not ready, as its conditions say.
fn reason(row: &Resource) -> Value {
    parsed(&row.meta.conditions).get(0).and_then(|one| one.get("reason")).cloned().unwrap_or_default()
}
