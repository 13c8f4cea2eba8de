//! Helpers for tests that look at the whole from outside, and the tidy rules.

use std::path::{Path, PathBuf};

#[cfg(test)]
mod tidy;

/// The workspace's root.
pub fn workspace_root() -> PathBuf {
    // This package is in its folder `tests`.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// A program of the workspace, such as `metapaas`, as cargo built it beside the running test. `cargo xtask test`
/// builds all programs first.
///
/// # Panics
/// When it was not built: a test that needs it must fail.
#[expect(clippy::panic, reason = "a helper of tests: a program that is not there fails them")]
pub fn built_program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    // <target>/<profile>/deps/<test>
    let path = test.ancestors().nth(2).unwrap_or(Path::new("")).join(name);
    if !path.is_file() {
        panic!("{} is not there; run `cargo build --workspace --all-features --bins`", path.display());
    }
    path
}
