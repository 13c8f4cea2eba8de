//! [`Selection`]: `fields=id,name`, the members that an answer is to have.

use serde::ser::{Serialize, Serializer};
use serde_json::Value;

use crate::error::Problem;
use crate::resource::Resource;

/// Which members of a resource an answer has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    names: Vec<&'static str>,
}

impl Selection {
    /// Reads `fields` of answers that have the members `known`.
    ///
    /// # Errors
    /// Every name that is no member.
    pub fn parse(known: &[&'static str], text: &str) -> Result<Self, Vec<Problem>> {
        let mut names = Vec::new();
        let mut problems = Vec::new();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match known.iter().find(|known| **known == name) {
                Some(name) => names.push(*name),
                None => {
                    let detail = format!("answers have no {name:?}; they have {}", known.join(", "));
                    problems.push(Problem::new("?fields", "UNKNOWN_FIELD", detail));
                }
            }
        }
        if names.is_empty() && problems.is_empty() {
            problems.push(Problem::new("?fields", "INVALID_VALUE", "name at least one field, as in id,name"));
        }
        if problems.is_empty() { Ok(Self { names }) } else { Err(problems) }
    }

    /// Whether answers have it.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(&name)
    }

    /// What was asked for of a row.
    pub fn of(&self, row: Value) -> Value {
        match row {
            Value::Object(members) => members.into_iter().filter(|(name, _)| self.has(name)).collect(),
            other => other,
        }
    }
}

/// A resource with the members that were asked for; all of them without a selection.
#[derive(Clone, Copy, Debug)]
pub struct Selected<'a> {
    /// The resource.
    pub row: &'a Resource,
    /// Which members.
    pub selection: Option<&'a Selection>,
}

impl Serialize for Selected<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.selection {
            Some(selection) => self.row.serialize_members(serializer, &|name| selection.has(name)),
            None => self.row.serialize(serializer),
        }
    }
}
