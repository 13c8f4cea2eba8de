//! [`Order`]: `order_by=created_at desc,name`. Every order ends in the id, so that it is the same on every page.

use std::cmp::Ordering;
use std::fmt;

use super::TEXT_MAX;
use super::evaluate::Listable;
use super::fields::{Field, Fields, Place};
use super::page::After;
use super::scanner::{Mistake, Scanner};

/// Most fields of an order.
const KEYS_MAX: usize = 8;

/// In which order a list is. The default is the order of creation, which is that of ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// What comes before the id.
    keys: Vec<SortKey>,
    id_descends: bool,
}

/// A field that a list is sorted by. Null comes after every value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// The field.
    pub field: Field,
    /// The greatest first, and null before it.
    pub descends: bool,
}

impl Order {
    /// The last that was made comes first.
    pub const NEWEST_FIRST: Self = Self { keys: Vec::new(), id_descends: true };

    /// Reads `order_by`.
    ///
    /// # Errors
    /// Where it is wrong and what would be right.
    pub fn parse(fields: &Fields, text: &str) -> Result<Self, Mistake> {
        let mut scanner = Scanner::new(text);
        if text.len() > TEXT_MAX {
            return Err(scanner.mistake_at(0, format!("expected at most {TEXT_MAX} bytes")));
        }
        let mut order = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        let mut is_total = false;
        let mut is_first = true;
        while !scanner.is_at_end() {
            if !is_first && !scanner.eat(",") {
                return Err(scanner.mistake_at(scanner.place(), "expected asc, desc, a comma or the end"));
            }
            is_first = false;
            scanner.skip_space();
            let at = scanner.place();
            let name = scanner.word();
            if name.is_empty() {
                return Err(scanner.mistake_at(at, "expected a field"));
            }
            let Some(field) = fields.get(name).filter(|field| field.sortable) else {
                let detail = format!("cannot be sorted by {name:?}; it can by {}", fields.sortable());
                return Err(scanner.coded_at(at, "NOT_SORTABLE", detail));
            };
            let descends = !scanner.eat_word("asc") && scanner.eat_word("desc");
            // Where rows have the same value of a field, sorting them by it once more changes nothing.
            if is_total || seen.contains(&field.name) {
                continue;
            }
            if seen.len() == KEYS_MAX {
                return Err(scanner.mistake_at(at, format!("expected at most {KEYS_MAX} fields")));
            }
            seen.push(field.name);
            // The last field says which way the id goes, so that one index serves both.
            order.id_descends = descends;
            is_total = matches!(field.place, Place::Id | Place::CreatedAt);
            if !is_total {
                order.keys.push(SortKey { field, descends });
            }
        }
        Ok(order)
    }

    /// What comes before the id.
    pub fn keys(&self) -> &[SortKey] {
        &self.keys
    }

    /// Whether the greatest id comes first.
    pub const fn id_descends(&self) -> bool {
        self.id_descends
    }

    /// Whether it is the order that lists have by default.
    pub const fn is_by_id(&self) -> bool {
        self.keys.is_empty() && !self.id_descends
    }

    /// Where a row stands in it.
    pub fn position(&self, row: &impl Listable) -> After {
        After { keys: self.keys.iter().map(|key| row.value(&key.field)).collect(), id: row.id() }
    }

    /// Which of two rows comes first, by where they stand.
    pub fn compare(&self, one: &After, other: &After) -> Ordering {
        let directed = |order: Ordering, descends: bool| if descends { order.reverse() } else { order };
        let by_keys = self.keys.iter().zip(one.keys.iter().zip(&other.keys)).map(|(key, values)| {
            let order = match values {
                (Some(one), Some(other)) => one.compare(other),
                (one, other) => one.is_none().cmp(&other.is_none()),
            };
            directed(order, key.descends)
        });
        let by_id = directed(one.id.cmp(&other.id), self.id_descends);
        by_keys.fold(Ordering::Equal, Ordering::then).then(by_id)
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = |descends: bool| if descends { " desc" } else { "" };
        for key in &self.keys {
            write!(f, "{}{},", key.field.name, way(key.descends))?;
        }
        write!(f, "id{}", way(self.id_descends))
    }
}
