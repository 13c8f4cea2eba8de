//! The demo type: a small website, served by one to five nodes.

mod driver;
mod plan;
mod serve;
mod types;

use metapaas_core::{ActionCall, ActionError, Plugin, migrations};

pub use crate::types::{Demo, Page, Theme};

/// What the plugin brings.
pub fn plugin() -> Plugin {
    Plugin::new("demo", env!("CARGO_PKG_VERSION"))
        .instance::<Demo>()
        .child::<Page>()
        .migrations(migrations!())
        .action("restart", "Restarts the web server on every node.", restart)
        .plan(plan::nodes)
        .routes(plan::routes)
        .driver::<Demo>(|| Box::new(driver::Website::default()))
        .engine("demo-web", serve::engine)
}

/// Nodes restart what they run when the number that comes with their document differs.
fn restart(mut demo: Demo, _: &ActionCall) -> Result<Demo, ActionError> {
    demo.restarts = Some(demo.restarts.unwrap_or(0) + 1);
    Ok(demo)
}
