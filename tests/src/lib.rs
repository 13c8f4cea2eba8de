//! Helpers for tests that look at the whole from outside, and the tidy rules.

use std::path::{Path, PathBuf};

pub mod docker;
pub mod harness;
mod images;
pub mod repository;
pub mod sse;
#[cfg(test)]
mod tidy;
pub mod vault;
pub mod zoo;

/// The workspace's root.
pub fn workspace_root() -> PathBuf {
    // This package is in its folder `tests`.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}
