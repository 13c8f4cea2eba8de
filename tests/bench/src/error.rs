//! What can go wrong in a measurement.

use std::path::PathBuf;

/// The benchmark could not be finished.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error("start {}", program.display())]
    Spawn { program: PathBuf, source: std::io::Error },
    #[error("{} did not say where it listens; its log:\n{log}", program.display())]
    Silent { program: PathBuf, log: String },
    #[error("end {}", program.display())]
    End { program: PathBuf, source: std::io::Error },
    #[error("{action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("connect to {address}")]
    Connect { address: String, source: std::io::Error },
    #[error("speak HTTP with {address}")]
    Handshake { address: String, source: hyper::Error },
    #[error("{request}")]
    Request { request: String, source: hyper::Error },
    #[error("make the request {request}")]
    Invalid { request: String, source: hyper::http::Error },
    #[error("{request} answered {status}: {body}")]
    Status { request: String, status: u16, body: String },
    #[error("{request} answered what is no JSON of the expected shape")]
    Shape { request: String, source: serde_json::Error },
    #[error("sign a token")]
    Sign(#[source] jsonwebtoken::errors::Error),
    #[error("a connection's task ended early")]
    Task(#[source] tokio::task::JoinError),
    #[error("prepare a database")]
    Fill(#[source] metapaas_core::store::StoreError),
    #[error("listen for signals")]
    Signals(#[source] std::io::Error),
    #[error("{had} of {count} watches came so far in time")]
    Watches { had: usize, count: usize },
    #[error("interrupted")]
    Interrupted,
    #[error("no request was answered in the measured time")]
    NoAnswer,
    #[error("{path} does not come to what is measured: {row}")]
    App { path: String, row: String },
    #[error("read the URL of a database")]
    Url { source: url::ParseError },
    #[error("use the database: {0}")]
    Store(String),
    #[error("{rows} rows were written though nothing had changed")]
    Wrote { rows: i64 },
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
