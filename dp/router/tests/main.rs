//! The router as a process has it: listeners, threads, connections and files are real.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod proxy;
mod slow;
mod support;
