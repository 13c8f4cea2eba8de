//! S3 over the local file system, as the engine of the `s3` type runs it.
//!
//! A request passes `server`, then `s3s` (routes, signatures, XML), then `access` (who may do it), then
//! `service` (what S3 says it means), then `store` (an index in one file, contents in others). What there is to
//! be (buckets, users, keys, policies) comes from the `document`, which `live` follows.

mod access;
pub mod document;
mod fault;
mod live;
mod mfa;
pub mod policy;
mod server;
mod service;
mod store;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

/// Names that no bucket can have, because the server answers these paths itself.
pub const RESERVED_BUCKETS: [&str; 3] = ["health", "metrics", "usage"];

/// Runs the server until it is told to stop: `ADDRESS DOCUMENT_FILE DATA_DIR`.
pub fn engine(arguments: Vec<OsString>) -> ExitCode {
    let Err(error) = server::run(&arguments) else { return ExitCode::SUCCESS };
    log(&error);
    ExitCode::FAILURE
}

/// Writes a line to the engine's log, which is its standard error. Nothing secret is ever passed to it.
fn log(line: &dyn std::fmt::Display) {
    // There is nobody to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "s3d: {line}");
}
