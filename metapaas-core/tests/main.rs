//! Integration tests of the framework, one binary.
#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test that cannot go on fails")]

mod iam;
mod migrations;
mod registry;
mod store;
