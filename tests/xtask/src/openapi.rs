//! `cargo xtask openapi`: keeps manifests/openapi.json and its reduced form what the registered types say.

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

/// Writes the files, or fails when one differs.
pub(crate) fn run(ctx: &Context, options: &Options) -> Result<(), Error> {
    ctx.run(&mut ctx.cargo(["build", "--package", "metapaas-server", "--bin", "metapaas"]))?;
    for (version, file) in [("3.1", "manifests/openapi.json"), ("3.0", "manifests/openapi-3.0.json")] {
        let mut metapaas = Command::new(ctx.built("debug", "metapaas"));
        let (document, ended) = ctx.run_quietly(metapaas.args(["schema", "openapi", "--version", version]));
        ended?;
        let path = ctx.root.join(file);
        if !options.check {
            std::fs::write(&path, document).map_err(|source| Error::File {
                action: "write",
                path,
                source,
            })?;
        } else if std::fs::read_to_string(&path).unwrap_or_default() != document {
            // A file that is not there is as stale as one that differs.
            return Err(Error::Stale(path));
        }
    }
    Ok(())
}
