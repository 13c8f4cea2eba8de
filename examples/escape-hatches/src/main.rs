//! Ways out of the attributes, from the nearest to the farthest:
//!
//! 1. A hook function for a rule that no attribute says: [`reservation::in_order`].
//! 2. A field type of one's own: [`port::Port`].
//! 3. A type without macros, as data that a person wrote: [`reservation::Reservation`].
//! 4. An action with a parameter: [`reservation::extend`].
//!
//! A type without a plan function, as this one, is kept and served and has no nodes. Routes and reconcilers of a
//! plugin's own are planned and do not exist yet: what a node does is a driver's affair, see the example `minimal`.

mod port;
mod reservation;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use metapaas_core::action::parameter;
use metapaas_core::{Plugin, migrations};

use crate::reservation::Reservation;

fn plugin() -> Plugin {
    let by = parameter::<u16>("by", "How many ports more.").range(1.0, 1000.0);
    Plugin::new("ports", env!("CARGO_PKG_VERSION"))
        .instance::<Reservation>()
        .action_with("extend", "Adds ports at the end.", [by], reservation::extend)
        .migrations(migrations!())
}

fn main() -> ExitCode {
    metapaas_server::main(&[plugin])
}
