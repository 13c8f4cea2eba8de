//! Tests of the demo type, one binary, which is also the program that its agents run.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod migrations;
mod node;
mod plan;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use metapaas_core::Plugin;
use metapaas_core::agent::{AgentOptions, Drivers, Engines};
use metapaas_plugin_demo::plugin;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().unwrap_or_default().to_str() {
        Some("agent") => agent(arguments.collect()),
        Some("engine") => engine(arguments.collect()),
        _ => {
            let topics = [migrations::trials(), node::trials(), plan::trials(), serve::trials()];
            libtest_mimic::run(&Arguments::from_args(), topics.into_iter().flatten().collect()).exit_code()
        }
    }
}

fn agent(arguments: Vec<OsString>) -> ExitCode {
    let Plugin { drivers, .. } = plugin();
    let drivers = drivers.into_iter().fold(Drivers::new(), |all, (slug, make)| all.with(slug, make));
    let options = AgentOptions { dir: arguments.last().unwrap().into() };
    runtime().block_on(metapaas_core::agent::run(options, &drivers)).unwrap();
    ExitCode::SUCCESS
}

fn engine(mut arguments: Vec<OsString>) -> ExitCode {
    let name = arguments.remove(0).into_string().unwrap();
    let engines =
        plugin().engines.into_iter().fold(Engines::new(), |all, (name, engine)| all.with(name, engine));
    engines.run(&name, arguments)
}

/// Asks a service for a page.
async fn fetch(url: &str) -> Result<reqwest::Response, reqwest::Error> {
    metapaas_core::agent::http::client(None).unwrap().no_proxy().build()?.get(url).send().await
}

/// A test that runs in a runtime of its own.
fn trial(name: &'static str, test: impl AsyncFnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        runtime().block_on(test());
        Ok(())
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
