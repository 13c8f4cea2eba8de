//! Ways out of the attributes, from the nearest to the farthest:
//!
//! 1. A hook function for a rule that no attribute says: [`reservation::in_order`].
//! 2. A field type of one's own: [`port::Port`].
//! 3. A type without macros, as data that a person wrote: [`reservation::Reservation`].
//!
//! A type without a plan function, as this one, is kept and served and has no nodes. Routes and reconcilers of a
//! plugin's own are planned and do not exist yet: what a node does is a driver's affair, see the example `minimal`.

mod port;
mod reservation;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use metapaas_core::{Plugin, migrations};

use crate::reservation::Reservation;

fn plugin() -> Plugin {
    Plugin::new("ports", env!("CARGO_PKG_VERSION")).instance::<Reservation>().migrations(migrations!())
}

fn main() -> ExitCode {
    metapaas_server::main(&[plugin])
}
