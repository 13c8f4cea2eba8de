//! What a list can be asked for: filters, label selectors, order, fields, pages. Parsed and checked here, judged in
//! memory here, and made into SQL by the store.

mod evaluate;
mod fields;
mod filter;
mod literal;
mod order;
mod page;
mod parse;
mod scanner;
mod selection;
mod selector;
#[cfg(test)]
mod tests;

pub use self::evaluate::Listable;
pub use self::fields::{Field, Fields, Place};
pub use self::filter::{Comparison, Filter, LabelTest, Test};
pub use self::literal::{Kind, Literal};
pub use self::order::{Order, SortKey};
pub use self::page::{After, PageToken, TokenError};
pub use self::parse::filter;
pub use self::scanner::Mistake;
pub use self::selection::{Selected, Selection};
pub use self::selector::label_selector;

/// Greatest length of `filter`, `label_selector` or `order_by`, in bytes.
pub const TEXT_MAX: usize = 4096;
/// Most comparisons of a filter or selector.
pub const TERMS_MAX: usize = 100;
/// How deep brackets and NOT may be nested.
pub const DEPTH_MAX: usize = 20;

/// Which rows a list has and in which order.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Only rows that it accepts.
    pub filter: Filter,
    /// The order.
    pub order: Order,
    /// Only rows after this one.
    pub after: Option<After>,
}

impl Listing {
    /// Whether it is all rows in the order of creation.
    pub fn is_plain(&self) -> bool {
        self.filter.is_everything() && self.order.is_by_id()
    }
}
