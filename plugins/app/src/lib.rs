//! The app type: from a Git repository, or a directory, to a URL.
//!
//! A release is what an app was at one time: code, command and environment. The plan makes one for each change; one node
//! builds, and each release has web nodes of its own. The nodes of the old release stay until all of the new one are
//! healthy.

mod actions;
mod build;
mod commands;
mod document;
mod driver;
mod environment;
mod plan;
mod release;
mod rules;
mod sandbox;
mod settings;
mod source;
mod types;

use metapaas_core::{Plugin, migrations};

pub use crate::settings::Settings;
pub use crate::types::{App, Binding, EnvVar, Release, Runtime};

/// What the plugin brings.
pub fn plugin() -> Plugin {
    let plugin = Plugin::new("app", env!("CARGO_PKG_VERSION"))
        .instance::<App>()
        .child::<EnvVar>()
        .binding::<Binding>()
        .managed_child::<Release>()
        .complete(rules::complete)
        .migrations(migrations!())
        .settings::<Settings>()
        .uploads::<App>()
        .plan_all(plan::plan)
        .routes(plan::routes)
        .runs(plan::command_node)
        .driver::<App>(|| Box::new(driver::Role::default()))
        .engine("app-build", build::engine)
        .engine("app-unpack", build::unpack::engine)
        .engine("app-run", sandbox::engine)
        .engine("app-inside", sandbox::inside);
    commands::declare(actions::declare(plugin))
}
