//! The demo type: a small website, served by one to five nodes.

mod driver;
mod plan;
mod serve;
mod types;

use metapaas_core::{Plugin, migrations};

pub use crate::types::{Demo, Page, Theme};

/// What the plugin brings.
pub fn plugin() -> Plugin {
    Plugin::new("demo", env!("CARGO_PKG_VERSION"))
        .instance::<Demo>()
        .child::<Page>()
        .migrations(migrations!())
        .plan(plan::nodes)
        .driver::<Demo>(|| Box::new(driver::Website::default()))
        .engine("demo-web", serve::engine)
}
