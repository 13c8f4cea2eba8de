//! `cargo xtask openapi`: keeps manifests/openapi.json what the registered types say.

use std::process::Command;

use clap::Args;

use crate::context::Context;
use crate::error::Error;

/// What to do with the file.
#[derive(Args)]
pub(crate) struct Options {
    /// Compare instead of writing.
    #[arg(long)]
    pub(crate) check: bool,
}

/// Writes the file, or fails when it differs.
pub(crate) fn run(ctx: &Context, options: &Options) -> Result<(), Error> {
    ctx.run(&mut ctx.cargo(["build", "--package", "metapaas-server", "--bin", "metapaas"]))?;
    let mut metapaas = Command::new(ctx.built("debug", "metapaas"));
    let (document, ended) = ctx.run_quietly(metapaas.args(["schema", "openapi"]));
    ended?;
    let path = ctx.root.join("manifests/openapi.json");
    if options.check {
        // A file that is not there is as stale as one that differs.
        let current = std::fs::read_to_string(&path).unwrap_or_default();
        return if current == document { Ok(()) } else { Err(Error::Stale(path)) };
    }
    std::fs::write(&path, document).map_err(|source| Error::File { action: "write", path, source })
}
