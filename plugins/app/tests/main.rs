//! Tests of the app type.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod migrations;
mod plan;
