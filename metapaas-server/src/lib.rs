//! The distribution: plugins linked together with HTTP, workers and the command line.
//!
//! A distribution of one's own is a `main` that hands its plugins to [`main`].

pub mod cli;
mod commands;
pub mod config;
pub mod http;
mod hygiene;
#[cfg(feature = "docker")]
mod images;
mod keys;
pub mod lifetime;
pub mod limits;
pub mod listen;
pub mod network;
pub mod nodes;
pub mod oidc;
pub mod providers;
pub mod rate;
mod resync;
mod router;
mod schema;
mod serve;
pub mod startup;
mod telemetry;
mod tls;

use std::io::Write;

pub use self::commands::main;
use metapaas_core::Plugin;

/// The plugins that the cargo features of this crate select.
pub const PLUGINS: &[fn() -> Plugin] = &[
    #[cfg(feature = "demo")]
    metapaas_plugin_demo::plugin,
    #[cfg(feature = "app")]
    metapaas_plugin_app::plugin,
    #[cfg(feature = "s3")]
    metapaas_plugin_s3::plugin,
];

/// A line for people, on standard error.
pub(crate) fn say(line: &str) {
    // There is nobody to tell when standard error is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A line for programs, on standard output.
pub(crate) fn print(line: &str) {
    // A reader that went away, as `| head -1` does, is no failure.
    let _ = writeln!(std::io::stdout(), "{line}");
}
