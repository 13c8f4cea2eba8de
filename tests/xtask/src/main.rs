//! `cargo xtask`: the commands that contributors and continuous integration run.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for a terminal")]

mod bench;
mod book;
mod check;
mod context;
mod docker;
mod error;
mod examples;
mod node;
mod openapi;
mod postgres;
mod programs;
mod python;
mod server;
mod stages;
mod test;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::context::Context;

/// Developer commands of MetaPaaS.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds and tests everything, against a PostgreSQL server of its own.
    Test(test::Options),
    /// Formatting, lints, documentation, tidy rules, licences, feature builds.
    Check(check::Options),
    /// Builds the book and checks its links.
    Book,
    /// Writes manifests/openapi.json from the types of this distribution.
    Openapi(openapi::Options),
    /// Installs what tests run from PyPI and npm and prints the variables that name it.
    Tools,
    /// Measures the server beside the hand-written one in examples/baseline.
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = Context::new().and_then(|ctx| match arguments.command {
        Command::Test(options) => test::run(&ctx, &options),
        Command::Check(options) => check::run(&ctx, &options),
        Command::Book => book::run(&ctx),
        Command::Openapi(options) => openapi::run(&ctx, &options),
        Command::Tools => tools::run(&ctx),
        Command::Bench(options) => bench::run(&ctx, &options),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo xtask: {}", error::with_sources(&error));
            ExitCode::FAILURE
        }
    }
}
