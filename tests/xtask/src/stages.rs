//! [`Stages`]: steps that are run one after the other, and the summary at the end.

use std::time::{Duration, Instant};

use crate::context::Context;
use crate::error::{Error, with_sources};

/// What became of a stage.
enum Outcome {
    Passed(Duration),
    Failed(Duration, String),
    LeftOut,
}

/// Collects what became of each stage, so that one run reports every failure.
pub(crate) struct Stages<'a> {
    ctx: &'a Context,
    done: Vec<(String, Outcome)>,
}

impl<'a> Stages<'a> {
    /// No stage yet.
    pub(crate) fn new(ctx: &'a Context) -> Self {
        Self { ctx, done: Vec::new() }
    }

    /// Runs a stage unless the command was interrupted; answers whether it passed.
    pub(crate) fn run(&mut self, name: &str, stage: impl FnOnce() -> Result<(), Error>) -> bool {
        if self.ctx.is_interrupted() {
            self.leave_out(name);
            return false;
        }
        println!("==> {name}");
        let start = Instant::now();
        let result = stage();
        let took = start.elapsed();
        let passed = result.is_ok();
        let outcome = match result {
            Ok(()) => Outcome::Passed(took),
            Err(error) => Outcome::Failed(took, with_sources(&error)),
        };
        self.done.push((name.to_owned(), outcome));
        passed
    }

    /// Notes a stage that is not run.
    pub(crate) fn leave_out(&mut self, name: &str) {
        self.done.push((name.to_owned(), Outcome::LeftOut));
    }

    /// Prints the table of stages; an error names those that failed.
    pub(crate) fn finish(self) -> Result<(), Error> {
        println!("\nstage                     time  result");
        let mut failed = Vec::new();
        for (name, outcome) in &self.done {
            match outcome {
                Outcome::Passed(took) => println!("{name:<20} {:>7.1} s  passed", took.as_secs_f64()),
                Outcome::Failed(took, why) => {
                    println!("{name:<20} {:>7.1} s  FAILED: {why}", took.as_secs_f64());
                    failed.push(name.as_str());
                }
                Outcome::LeftOut => println!("{name:<20}         -  not run"),
            }
        }
        match (self.ctx.is_interrupted(), failed.is_empty()) {
            (true, _) => Err(Error::Interrupted),
            (false, true) => Ok(()),
            (false, false) => Err(Error::Stages(failed.join(", "))),
        }
    }
}
