//! `cargo xtask bench`: builds in release mode, starts PostgreSQL, and hands over to `metapaas-bench`.

use std::ffi::OsString;
use std::process::Command;

use clap::Args;

use crate::context::Context;
use crate::error::Error;
use crate::postgres::{Postgres, URL_VARIABLE};
use crate::programs;

/// How to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Profile to build with; numbers from `dev` mean nothing, but it builds sooner.
    #[arg(long, default_value = "release", value_parser = ["release", "dev"])]
    profile: String,
    /// Build and measure one server alone.
    #[arg(long, value_parser = ["metapaas", "baseline"])]
    server: Option<String>,
    /// Handed to the load generator: --only, --full, --database, --seconds, --rounds, --rows, --json.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    load: Vec<OsString>,
}

/// Measures both servers on both databases. Nothing is asserted about time.
pub(crate) fn run(ctx: &Context, options: &Options) -> Result<(), Error> {
    let own_server = std::env::var_os(URL_VARIABLE).is_none();
    let wanted =
        [&programs::PSQL, &programs::PGBENCH].into_iter().chain(own_server.then_some(&programs::POSTGRES));
    programs::ensure(ctx, &wanted.collect::<Vec<_>>())?;
    let mut build = ctx.cargo(["build", "--profile", &options.profile]);
    build.args(["--package", "metapaas-bench"]);
    for (server, package) in [("metapaas", "metapaas-server"), ("baseline", "metapaas-baseline")] {
        if options.server.as_deref().is_none_or(|only| only == server) {
            build.args(["--package", package]);
        }
    }
    ctx.run(&mut build)?;
    let folder = if options.profile == "dev" { "debug" } else { &options.profile };
    let postgres = Postgres::start(ctx)?;
    let mut bench = Command::new(ctx.built(folder, "metapaas-bench"));
    bench.arg("--metapaas").arg(ctx.built(folder, "metapaas"));
    bench.arg("--baseline").arg(ctx.built(folder, "metapaas-baseline"));
    for server in ["metapaas", "baseline"] {
        let url = postgres.create_database(ctx, &format!("bench_{server}"))?;
        // In the environment: other users of the machine can read arguments.
        bench.env(format!("BENCH_{}_POSTGRES", server.to_uppercase()), url);
    }
    if let Some(pgbench) = programs::PGBENCH.path() {
        bench.arg("--pgbench").arg(pgbench);
    }
    // The reconcilers get databases of their own.
    bench.env(URL_VARIABLE, postgres.url());
    bench.args(options.server.iter().flat_map(|server| ["--server", server]));
    ctx.run(bench.args(&options.load))
}
