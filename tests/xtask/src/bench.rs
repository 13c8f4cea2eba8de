//! `cargo xtask bench`: builds in release mode, starts PostgreSQL, and hands over to `metapaas-bench`.

use std::ffi::OsString;
use std::process::Command;

use clap::Args;

use crate::context::Context;
use crate::error::Error;
use crate::postgres::{Postgres, URL_VARIABLE};
use crate::{programs, tools};

/// How to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Profile to build with; numbers from `dev` mean nothing, but it builds sooner.
    #[arg(long, default_value = "release", value_parser = ["release", "dev"])]
    profile: String,
    /// Build and measure one server alone.
    #[arg(long, value_parser = ["metapaas", "baseline"])]
    server: Option<String>,
    /// `s3` first measures the built-in S3 engine beside `s3s-fs`, with a number of keys to list behind it; `app` first
    /// measures the router beside nginx, and builds and redeploys of apps, with --only, --seconds, --rounds, --redeploys,
    /// --json behind it. All else is handed to the load generator: --only, --full, --database, --seconds, --rounds, --rows,
    /// --json.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    load: Vec<OsString>,
}

impl Options {
    /// Cargo's folder for what it builds with the profile.
    fn folder(&self) -> &str {
        if self.profile == "dev" { "debug" } else { &self.profile }
    }
}

/// The published program that the S3 engine is measured beside: of the same release as the library that both use.
const S3S_FS: [&str; 7] = ["install", "s3s-fs", "--version", "0.14.1", "--locked", "--features", "binary"];

/// Measures both servers on both databases. Nothing is asserted about time.
pub(crate) fn run(ctx: &Context, options: &Options) -> Result<(), Error> {
    if options.load.first().is_some_and(|first| first == "s3") {
        return s3(ctx, options);
    }
    if options.load.first().is_some_and(|first| first == "app") {
        return app(ctx, options);
    }
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
    let folder = options.folder();
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

/// Measures the router, and builds and redeploys of apps.
fn app(ctx: &Context, options: &Options) -> Result<(), Error> {
    programs::ensure(ctx, &programs::FOR_APPS.iter().chain([&programs::NGINX]).collect::<Vec<_>>())?;
    let mut build = ctx.cargo(["build", "--profile", &options.profile]);
    ctx.run(build.args(["--package", "metapaas-bench", "--package", "metapaas-server"]))?;
    let mut bench = Command::new(ctx.built(options.folder(), "metapaas-bench"));
    bench.arg("app").arg("--metapaas").arg(ctx.built(options.folder(), "metapaas"));
    if let Some(nginx) = programs::NGINX.path() {
        bench.arg("--nginx").arg(nginx);
    }
    ctx.run(bench.args(options.load.iter().skip(1)))
}

/// Measures the built-in S3 engine.
fn s3(ctx: &Context, options: &Options) -> Result<(), Error> {
    let tools = ctx.made("bench-tools");
    let mut build = ctx.cargo(["build", "--profile", &options.profile, "--package", "metapaas-s3d"]);
    ctx.run(build.args(["--bin", "metapaas-s3d", "--example", "bench"]))?;
    ctx.run(ctx.cargo(S3S_FS).arg("--root").arg(&tools))?;
    let folder = ctx.made("bench-s3");
    // What an interrupted run left; a failure to remove it shows when it is made anew.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(|source| tools::file("make", &folder, source))?;
    let profile = options.folder();
    let mut bench = Command::new(ctx.built(profile, "examples/bench"));
    bench.arg(ctx.built(profile, "metapaas-s3d")).arg(tools.join("bin/s3s-fs")).arg(&folder);
    let measured =
        ctx.run(bench.arg(options.load.get(1).map_or("1000000".as_ref(), |keys| keys.as_os_str())));
    // It holds gigabytes that nobody wants.
    let _ = std::fs::remove_dir_all(&folder);
    measured
}
