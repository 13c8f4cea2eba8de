//! Filters judged on a row in memory. The store's SQL says the same of the same row; a property test holds both.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::fields::{Field, Place};
use super::filter::{Comparison, Filter, LabelTest, Test};
use super::literal::Literal;
use crate::resource::{Datum, Resource};

impl Filter {
    /// Whether the list has the row.
    pub fn accepts(&self, row: &Resource) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.accepts(row)),
            Self::Any(parts) => parts.iter().any(|part| part.accepts(row)),
            Self::Not(part) => !part.accepts(row),
            Self::Field { field, test } => test.holds(field.value(row).as_ref()),
            Self::Label { name, test } => {
                // What is stored was validated; a row that cannot be read has no labels.
                let labels: BTreeMap<String, String> =
                    serde_json::from_str(row.meta.labels.get()).unwrap_or_default();
                match (labels.get(name), test) {
                    (None, _) => false,
                    (Some(_), LabelTest::Exists) => true,
                    (Some(value), LabelTest::OneOf(values)) => values.contains(value),
                }
            }
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

impl Field {
    /// The row's value; `None` when it is null, and for labels, which are many.
    pub fn value(&self, row: &Resource) -> Option<Literal> {
        let meta = &row.meta;
        match self.place {
            Place::Id => Some(Literal::Uuid(meta.id)),
            Place::CreatedAt => Some(Literal::Time(meta.created_at)),
            Place::Project => Some(Literal::Uuid(meta.project_id)),
            Place::Name => meta.name.clone().map(Literal::Text),
            Place::Status => Some(Literal::Text(meta.status.clone())),
            Place::Labels => None,
            Place::Spec(index) => self.kind.read(row.fields.get(index).unwrap_or(&Datum::Null)),
        }
    }
}
