//! Tests of the app type.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod migrations;
mod plan;
