//! Filters judged on a row in memory. The store's SQL says the same of the same row; a property test holds both.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use super::fields::{Field, Place};
use super::filter::{Comparison, Filter, LabelTest, Test};
use super::literal::Literal;
use crate::resource::{Datum, Resource};

/// A row of a list.
pub trait Listable {
    /// Its id.
    fn id(&self) -> Uuid;
    /// Its value of a field; `None` when it is null, and for labels, which are many.
    fn value(&self, field: &Field) -> Option<Literal>;
    /// Its label of that name.
    fn label(&self, name: &str) -> Option<String>;
}

impl Filter {
    /// Whether the list has the row.
    pub fn accepts(&self, row: &impl Listable) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.accepts(row)),
            Self::Any(parts) => parts.iter().any(|part| part.accepts(row)),
            Self::Not(part) => !part.accepts(row),
            Self::Field { field, test } => test.holds(row.value(field).as_ref()),
            Self::Label { name, test } => match (row.label(name), test) {
                (None, _) => false,
                (Some(_), LabelTest::Exists) => true,
                (Some(value), LabelTest::OneOf(values)) => values.contains(&value),
            },
        }
    }
}

impl Test {
    fn holds(&self, value: Option<&Literal>) -> bool {
        match (self, value) {
            (Self::IsNull, value) => value.is_none(),
            (Self::Compare(Comparison::NotEqual, _), None) => true,
            (_, None) => false,
            (Self::Compare(comparison, with), Some(value)) => comparison.holds(value.compare(with)),
            (Self::OneOf(values), Some(value)) => {
                values.iter().any(|one| one.compare(value) == Ordering::Equal)
            }
            (Self::Contains(part), Some(Literal::Text(text))) => text.contains(part.as_str()),
            (Self::Contains(_), Some(_)) => false,
        }
    }
}

impl Comparison {
    const fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl Listable for Resource {
    fn id(&self) -> Uuid {
        self.meta.id
    }

    fn value(&self, field: &Field) -> Option<Literal> {
        let meta = &self.meta;
        match field.place {
            Place::Id => Some(Literal::Uuid(meta.id)),
            Place::CreatedAt => Some(Literal::Time(meta.created_at)),
            Place::Project => Some(Literal::Uuid(meta.project_id)),
            Place::Name => meta.name.clone().map(Literal::Text),
            Place::Status => Some(Literal::Text(meta.status.clone())),
            Place::Labels | Place::Column(_) => None,
            Place::Spec(index) => field.kind.read(self.fields.get(index).unwrap_or(&Datum::Null)),
        }
    }

    fn label(&self, name: &str) -> Option<String> {
        // What is stored was validated; a row that cannot be read has no labels.
        let mut labels: BTreeMap<String, String> =
            serde_json::from_str(self.meta.labels.get()).unwrap_or_default();
        labels.remove(name)
    }
}

/// A row of no type, as answers have it.
impl Listable for Value {
    fn id(&self) -> Uuid {
        self["id"].as_str().and_then(|id| id.parse().ok()).unwrap_or_default()
    }

    fn value(&self, field: &Field) -> Option<Literal> {
        let at = match field.place {
            Place::Id => "/id",
            Place::CreatedAt => "/created_at",
            Place::Column(pointer) => pointer,
            Place::Project | Place::Name | Place::Status | Place::Labels | Place::Spec(_) => return None,
        };
        field.kind.read(&Datum::Written(self.pointer(at)?.clone()))
    }

    fn label(&self, _: &str) -> Option<String> {
        None
    }
}
