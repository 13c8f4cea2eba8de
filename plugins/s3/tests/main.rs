//! Tests of the s3 type, one binary.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod driver;
mod migrations;
mod plan;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let topics = [driver::trials(), migrations::trials(), plan::trials()];
    libtest_mimic::run(&Arguments::from_args(), topics.into_iter().flatten().collect()).exit_code()
}

/// A test that runs in a runtime of its own.
fn trial(name: &'static str, test: impl AsyncFnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build().unwrap().block_on(test());
        Ok(())
    })
}
