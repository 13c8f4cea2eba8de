//! `cargo xtask test`: everything that a fresh clone needs to see its tests pass.

use clap::{Args, ValueEnum};

use crate::context::Context;
use crate::docker::{self, Docker};
use crate::error::Error;
use crate::postgres::{Postgres, URL_VARIABLE};
use crate::stages::Stages;
use crate::{examples, node, programs, python};

/// What to test.
#[derive(Args)]
pub(crate) struct Options {
    /// Only tests whose name contains this text; the examples are left out then.
    #[arg(long)]
    filter: Option<String>,
    /// Runs the S3 suites on this engine: `builtin`, or `rustfs`, which has to be installed.
    #[arg(long, value_enum, default_value_t = Engine::Builtin)]
    engine: Engine,
}

/// What S3 instances of tests run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    Builtin,
    Rustfs,
}

/// Names the RustFS program to tests.
const RUSTFS_VARIABLE: &str = "METAPAAS_TEST_RUSTFS";

/// Runs all tests. The server ends and its directory goes whatever happens, as both are dropped here.
pub(crate) fn run(ctx: &Context, options: &Options) -> Result<(), Error> {
    let rustfs = match options.engine {
        Engine::Builtin => None,
        Engine::Rustfs => Some(programs::rustfs()?),
    };
    // Of what others test, the engine changes nothing.
    let filter = options.filter.clone().or_else(|| rustfs.is_some().then(|| "s3::".to_owned()));
    let own_server = std::env::var_os(URL_VARIABLE).is_none();
    let own_engine = std::env::var_os(docker::VARIABLE).is_none();
    let own = [own_server.then_some(&programs::POSTGRES), own_engine.then_some(&programs::DOCKER)];
    let wanted = programs::FOR_TESTS.iter().chain(own.into_iter().flatten());
    programs::ensure(ctx, &wanted.collect::<Vec<_>>())?;

    let mut stages = Stages::new(ctx);
    let (mut postgres, mut engine, mut tools) = (None, None, None);
    let mut verdicts = Vec::new();
    let ready = stages.run("build", || {
        // The binaries first: tests start them as processes.
        ctx.run(&mut ctx.cargo(["build", "--workspace", "--all-features", "--bins"]))?;
        ctx.run(&mut ctx.cargo(["test", "--workspace", "--all-features", "--no-run"]))
    }) && stages.run("start postgresql", || {
        postgres = Some(Postgres::start(ctx)?);
        Ok(())
    }) && stages.run("start docker", || {
        engine = Some(Docker::start(ctx)?);
        Ok(())
    }) && stages.run("install test tools", || {
        tools = Some((python::ensure(ctx)?, node::ensure(ctx)?, docker::images(ctx)?));
        Ok(())
    });
    if let (true, Some(server), Some(engine), Some((python, node, images))) =
        (ready, &postgres, &engine, &tools)
    {
        stages.run("tests", || {
            let mut cargo = ctx.cargo(["test", "--workspace", "--all-features", "--no-fail-fast"]);
            cargo.args(&filter).env(URL_VARIABLE, server.url());
            cargo.envs(rustfs.iter().map(|program| (RUSTFS_VARIABLE, program)));
            cargo.env(docker::VARIABLE, engine.socket()).env(docker::IMAGES_VARIABLE, images);
            cargo.env(python::VARIABLE, python).env(node::VARIABLE, node);
            let (lines, ended) = ctx.run_keeping(&mut cargo, is_verdict);
            verdicts = lines;
            ended
        });
        match filter {
            None => stages.run("examples", || examples::run(ctx)),
            Some(_) => {
                stages.leave_out("examples");
                true
            }
        };
    } else {
        stages.leave_out("tests");
        stages.leave_out("examples");
    }
    drop(engine);
    drop(postgres);
    let finished = stages.finish();
    println!("\ncargo test:");
    for line in &verdicts {
        println!("{line}");
    }
    // Some of cargo's summaries are of programs without tests, the last one too; this one is of all.
    println!("{} passed, {} failed", total(&verdicts, "passed"), total(&verdicts, "failed"));
    finished
}

/// The sum of the numbers before `word` in cargo's summaries.
fn total(verdicts: &[String], word: &str) -> u64 {
    let counts = verdicts.iter().filter(|line| line.starts_with("test result: ")).flat_map(|line| {
        let words: Vec<&str> = line.split([' ', ';', '.']).filter(|word| !word.is_empty()).collect();
        words
            .windows(2)
            .filter(|pair| pair[1] == word)
            .filter_map(|pair| pair[0].parse::<u64>().ok())
            .collect::<Vec<_>>()
    });
    counts.sum()
}

/// The lines of cargo test that say how it went.
fn is_verdict(line: &str) -> bool {
    line.starts_with("test result: ") || (line.starts_with("test ") && line.ends_with(" FAILED"))
}

#[cfg(test)]
mod tests {
    use super::{is_verdict, total};

    #[test]
    fn summaries_are_added_up() {
        let lines = [
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s"
                .to_owned(),
            "test a::b ... FAILED".to_owned(),
            "test result: FAILED. 40 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out".to_owned(),
        ];
        assert_eq!((total(&lines, "passed"), total(&lines, "failed")), (43, 2));
    }

    #[test]
    fn verdicts_are_summaries_and_failures() {
        assert!(is_verdict("test result: ok. 3 passed; 0 failed; 0 ignored"));
        assert!(is_verdict("test tidy::tests::sizes ... FAILED"));
        assert!(!is_verdict("test tidy::tests::sizes ... ok"));
        assert!(!is_verdict("running 3 tests"));
    }
}
