//! What happened to rows: who, when, what. Written with the change itself (see `resources/statements.rs`); read here.

mod history;
mod position;
mod read;
mod retire;

pub use self::history::{Event, EventFilter, EventOrder, EventRange, FIELDS, MEMBERS, Readable};
pub use self::position::Decided;
pub use self::read::{Change, ChangeAction, Changes, ChangesOf, RowsOf};

use sea_query::{Alias, Expr, SimpleExpr};

const EVENTS: &str = "metapaas_events";

fn table() -> Alias {
    Alias::new(EVENTS)
}

fn col(name: &str) -> SimpleExpr {
    Expr::col(Alias::new(name))
}
