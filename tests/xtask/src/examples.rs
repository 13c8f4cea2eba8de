//! Starts every program under examples/ and asks whether it is ready.

use std::path::Path;
use std::process::Command;

use crate::context::Context;
use crate::error::Error;
use crate::server::Server;

/// An example with `src/main.rs` is a server that answers `/readyz`; all but the baseline take the arguments of
/// `metapaas`.
pub(crate) fn run(ctx: &Context) -> Result<(), Error> {
    let folder = ctx.root.join("examples");
    let listing = |source| Error::File { action: "list", path: folder.clone(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(listing)? {
        let path = entry.map_err(listing)?.path();
        if path.join("src/main.rs").is_file() {
            names.push(program_name(&path.join("Cargo.toml"))?);
        }
    }
    names.sort();
    for name in names {
        start_and_ask(ctx, &name)?;
        println!("{name} is ready");
    }
    Ok(())
}

fn start_and_ask(ctx: &Context, name: &str) -> Result<(), Error> {
    let directory = tempfile::Builder::new().prefix("metapaas-example-").tempdir().map_err(|source| {
        Error::File { action: "make a directory in", path: std::env::temp_dir(), source }
    })?;
    let mut command = Command::new(ctx.built("debug", name));
    if name == "metapaas-baseline" {
        let database = format!("sqlite://{}", directory.path().join("baseline.db").display());
        command.args(["--database", &database, "--secret", "of-no-worth-outside-this-test-run"]);
    } else {
        command
            .env("METAPAAS_ROUTER_LISTEN", "off")
            .arg("up")
            .arg("--data-dir")
            .arg(directory.path().join("data"));
    }
    let server = Server::start(ctx, name, command.args(["--listen", "127.0.0.1:0"]))?;
    server.wait_until_ok(ctx, "/readyz")
}

/// The `name` of the manifest's package, which is that of its program too.
fn program_name(manifest: &Path) -> Result<String, Error> {
    let text = std::fs::read_to_string(manifest).map_err(|source| Error::File {
        action: "read",
        path: manifest.to_owned(),
        source,
    })?;
    let name = text.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    name.map(str::to_owned).ok_or_else(|| Error::Server {
        name: manifest.display().to_string(),
        reason: "its manifest has no line `name = \"...\"`".into(),
    })
}
