//! What can go wrong in a developer command, in words that say what to do next.

use std::path::PathBuf;

/// A developer command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("find out where the workspace and its target folder are")]
    Locate(#[source] std::io::Error),
    #[error("listen for signals")]
    Signals(#[source] std::io::Error),
    #[error("start `{command}`")]
    Start { command: String, source: std::io::Error },
    #[error("wait for `{command}`")]
    Wait { command: String, source: std::io::Error },
    #[error("`{command}` failed ({status})")]
    Failed { command: String, status: String },
    #[error("interrupted")]
    Interrupted,
    #[error("{action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error(
        "these programs are missing: {programs}. Install them, then run this again:\n\n    sudo apt-get install -y {packages}\n"
    )]
    Missing { programs: String, packages: String },
    #[error("{tool} is not installed, so {purpose} cannot be done. Install it:\n\n    {install}\n")]
    NoTool { tool: &'static str, purpose: &'static str, install: &'static str },
    #[error(
        "{what} could not be installed; without a package registry in reach do it where one is:\n\n    {instead}\n"
    )]
    Packages { what: &'static str, instead: String, source: Box<Error> },
    #[error("no PostgreSQL in /usr/lib/postgresql although its package is installed")]
    NoPostgres,
    #[error("start a private PostgreSQL: {reason}")]
    Postgres { reason: String },
    #[error(
        "start a private Docker Engine: {reason}\n\nTests of the docker provider need one: run this as root, or name the socket of an engine with METAPAAS_TEST_DOCKER"
    )]
    Docker { reason: String },
    #[error("{name} did not come up: {reason}")]
    Server { name: String, reason: String },
    #[error("{} is not what the types of this distribution say; run `cargo xtask openapi` and commit it", .0.display())]
    Stale(PathBuf),
    #[error("failed: {0}")]
    Stages(String),
}

/// The message with those of its causes, in one line.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
