//! `cargo xtask check`: what review should not have to look for.

use std::process::Stdio;

use clap::{Args, ValueEnum};

use crate::context::Context;
use crate::error::Error;
use crate::openapi;
use crate::stages::Stages;

/// Which checks.
#[derive(Args)]
pub(crate) struct Options {
    /// Run this check and no other; may be repeated.
    #[arg(long, value_name = "CHECK", conflicts_with = "without")]
    only: Vec<Check>,
    /// Leave this check out; may be repeated.
    #[arg(long, value_name = "CHECK")]
    without: Vec<Check>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Check {
    /// Formatting.
    Fmt,
    /// Lints, every warning an error.
    Clippy,
    /// Documentation builds without a warning.
    Rustdoc,
    /// Rules about files, imports and manifests.
    Tidy,
    /// Licences, banned dependencies and their sources.
    Deny,
    /// Known vulnerabilities; fetches the advisory database.
    Advisories,
    /// The server without plugins, and with each alone.
    Features,
    /// manifests/openapi.json is current.
    Openapi,
}

/// Runs the chosen checks, all of them even when one fails.
pub(crate) fn run(ctx: &Context, options: &Options) -> Result<(), Error> {
    let mut stages = Stages::new(ctx);
    for check in Check::value_variants() {
        let value = check.to_possible_value();
        let name = value.as_ref().map_or("check", |value| value.get_name());
        let chosen = options.only.is_empty() || options.only.contains(check);
        if chosen && !options.without.contains(check) {
            stages.run(name, || check.run(ctx));
        } else {
            stages.leave_out(name);
        }
    }
    stages.finish()
}

impl Check {
    fn run(self, ctx: &Context) -> Result<(), Error> {
        match self {
            Self::Fmt => ctx.run(&mut ctx.cargo(["fmt", "--all", "--check"])),
            Self::Clippy => {
                let scope = ["clippy", "--workspace", "--all-targets", "--all-features"];
                ctx.run(ctx.cargo(scope).args(["--", "--deny", "warnings"]))
            }
            Self::Rustdoc => {
                let mut cargo = ctx.cargo(["doc", "--workspace", "--no-deps", "--all-features"]);
                ctx.run(cargo.env("RUSTDOCFLAGS", "--deny warnings"))
            }
            Self::Tidy => ctx.run(&mut ctx.cargo(["test", "--package", "metapaas-tests", "--lib"])),
            Self::Deny => deny(ctx, &["bans", "licenses", "sources"]),
            Self::Advisories => deny(ctx, &["advisories"]),
            Self::Features => features(ctx),
            Self::Openapi => openapi::run(ctx, &openapi::Options { check: true }),
        }
    }
}

/// A check that cannot run is a failure, not a success.
fn deny(ctx: &Context, checks: &[&str]) -> Result<(), Error> {
    let mut asked = ctx.cargo(["deny", "--version"]);
    if ctx.run(asked.stdout(Stdio::null()).stderr(Stdio::null())).is_err() {
        return Err(Error::NoTool {
            tool: "cargo-deny",
            purpose: "the check of licences and dependencies",
            install: "cargo install cargo-deny --locked        (or leave it out: --without deny --without advisories)",
        });
    }
    ctx.run(ctx.cargo(["deny", "--config", ".deny.toml", "check"]).args(checks))
}

fn features(ctx: &Context) -> Result<(), Error> {
    let bare = ["check", "--package", "metapaas-server", "--no-default-features"];
    ctx.run(&mut ctx.cargo(bare))?;
    // A tidy rule holds that each folder is a feature.
    let folder = ctx.root.join("plugins");
    let listing = |source| Error::File { action: "list", path: folder.clone(), source };
    for entry in std::fs::read_dir(&folder).map_err(listing)? {
        let name = entry.map_err(listing)?.file_name();
        ctx.run(ctx.cargo(bare).arg("--features").arg(name))?;
    }
    Ok(())
}
