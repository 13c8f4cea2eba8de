//! What a tenant can ask for.

use metapaas_core::{FieldEnum, paas_type};

/// A small website on nodes of its own.
#[paas_type(slug = "demo")]
pub struct Demo {
    /// The headline of the front page.
    #[field(mutable, len = 1..=200)]
    pub greeting: String,
    /// How many nodes serve the site.
    #[field(mutable, range = 1..=5, default = 1)]
    pub replicas: u32,
    /// The colours of the front page.
    #[field(mutable, iam = "owner", default = Theme::Light)]
    pub theme: Theme,
    /// How often the action `restart` was run.
    #[field(output)]
    pub restarts: Option<u32>,
}

/// Colours of text and page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FieldEnum)]
pub enum Theme {
    /// Dark on white.
    Light,
    /// White on dark.
    Dark,
}

/// A page of the site, as plain text.
#[paas_type(parent = Demo, plural = "pages", key = "path")]
pub struct Page {
    /// Where the page is, below the site's address: `about` or `docs/install`. `health` is taken.
    #[field(len = 1..=100, pattern = "^[a-z0-9-]+(/[a-z0-9-]+)*$")]
    pub path: String,
    /// What it says.
    #[field(mutable, len = ..=65_536)]
    pub text: String,
}
