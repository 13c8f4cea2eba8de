//! [`Shape`]: what the statement of a listing depends on, and the values that go into it.

use crate::query::{After, Field, Filter, LabelTest, Listing, Literal, Place, Test};
use crate::registry::RegisteredType;
use crate::resource::ids::first_id;
use crate::store::statement::Dialect;
use crate::store::value::Arg;

/// Whose rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Those of all projects, or those below one row.
    Everywhere,
    /// Those of so many projects.
    Projects(usize),
}

/// What the statement of a listing depends on.
#[derive(Debug)]
pub(super) struct Shape<'a> {
    pub(super) dialect: Dialect,
    pub(super) key: String,
    pub(super) args: &'a mut Vec<Arg>,
}

impl<'a> Shape<'a> {
    /// Adds the values of the listing to `args`, which has those of its scope.
    pub(super) fn of(
        dialect: Dialect,
        registered: &RegisteredType,
        scope: Scope,
        listing: &Listing,
        args: &'a mut Vec<Arg>,
    ) -> Self {
        let key = format!("{} {scope:?} {} ", registered.index, listing.order);
        let mut shape = Self { dialect, key, args };
        shape.filter(&listing.filter);
        if let Some(after) = &listing.after {
            shape.after(after);
        }
        shape
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn filter(&mut self, filter: &Filter) {
        match filter {
            Filter::All(parts) | Filter::Any(parts) => {
                self.key.push_str(if matches!(filter, Filter::All(_)) { "&(" } else { "|(" });
                parts.iter().for_each(|part| self.filter(part));
                self.key.push(')');
            }
            Filter::Not(part) => {
                self.key.push('!');
                self.filter(part);
            }
            Filter::Field { field, test } => {
                self.key.push_str(field.name);
                self.test(*field, test);
                self.key.push(' ');
            }
            Filter::Label { name, test } => {
                let path = match self.dialect {
                    Dialect::Postgres => name.clone(),
                    // Names of labels hold no quotes.
                    Dialect::Sqlite => format!("$.\"{name}\""),
                };
                self.args.push(Arg::from(path));
                self.key.push_str("label");
                if let LabelTest::OneOf(values) = test {
                    self.key.push_str(&values.len().to_string());
                    self.args.extend(values.iter().map(|value| Arg::from(value.as_str())));
                }
                self.key.push(' ');
            }
        }
    }

    fn test(&mut self, field: Field, test: &Test) {
        let values: &[Literal] = match test {
            Test::Compare(comparison, value) => {
                self.key.push_str(comparison.as_str());
                std::slice::from_ref(value)
            }
            Test::OneOf(values) => {
                self.key.push_str(&values.len().to_string());
                values
            }
            Test::Contains(part) => {
                self.key.push(':');
                self.args.push(Arg::from(part.as_str()));
                return;
            }
            Test::IsNull => {
                self.key.push('0');
                return;
            }
        };
        for value in values {
            match (field.place, value) {
                (Place::CreatedAt, Literal::Time(time)) => {
                    let next = *time + chrono::TimeDelta::microseconds(1);
                    self.args.extend([first_id(*time), first_id(next)].map(Arg::from));
                }
                _ => self.args.push(arg(value)),
            }
        }
    }

    pub(super) fn after(&mut self, after: &After) {
        self.key.push('>');
        for key in &after.keys {
            self.key.push(if key.is_some() { 'v' } else { '0' });
            self.args.extend(key.as_ref().map(arg));
        }
    }
}

fn arg(value: &Literal) -> Arg {
    match value {
        Literal::Bool(value) => Arg::from(*value),
        Literal::Int(value) | Literal::Millis(value) => Arg::from(*value),
        Literal::Float(value) => Arg::Float(Some(*value)),
        Literal::Text(value) => Arg::from(value.as_str()),
        Literal::Uuid(value) => Arg::from(*value),
        Literal::Time(value) => Arg::from(*value),
    }
}
