//! Real agents with real services against a small control plane. This binary is also the program they run.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod adoption;
mod control;
mod documents;
mod launching;
mod node;
mod program;
mod testkit;

use std::future::Future;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().unwrap_or_default().to_str() {
        Some("agent") => program::agent(arguments.collect()),
        Some("engine") => program::engine(arguments.collect()),
        _ => {
            let topics = [documents::trials(), adoption::trials(), launching::trials(), testkit::trials()];
            libtest_mimic::run(&Arguments::from_args(), topics.into_iter().flatten().collect()).exit_code()
        }
    }
}

/// A test that runs in a runtime of its own.
fn trial<F: Future<Output = ()> + 'static>(name: &'static str, test: fn() -> F) -> Trial {
    Trial::test(name, move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(test());
        Ok(())
    })
}
