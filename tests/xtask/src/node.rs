//! The npm packages of tests/clients/typescript/package.json, below the target folder.

use std::path::PathBuf;
use std::process::Command;

use crate::context::Context;
use crate::error::Error;
use crate::tools::{self, Kept};

/// Tests find the folder that holds `node_modules` by this variable. A caller who sets it keeps it.
pub(crate) const VARIABLE: &str = "METAPAAS_TEST_NODE";

const FILES: [&str; 2] = ["package.json", "package-lock.json"];

/// The folder that has the packages in `node_modules`; installs them when their list changed.
pub(crate) fn ensure(ctx: &Context) -> Result<PathBuf, Error> {
    if let Some(chosen) = std::env::var_os(VARIABLE) {
        return Ok(chosen.into());
    }
    let [list, lock] = FILES.map(|file| ctx.root.join("tests/clients/typescript").join(file));
    let kept = Kept::open(ctx, "node", &[tools::read(&list)?.as_str(), &tools::read(&lock)?])?;
    kept.fill(|folder| {
        println!("installing the npm packages of {}", list.display());
        std::fs::create_dir(folder).map_err(|source| tools::file("make", folder, source))?;
        for (from, name) in [&list, &lock].into_iter().zip(FILES) {
            std::fs::copy(from, folder.join(name)).map_err(|source| tools::file("copy", from, source))?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
        ctx.run(npm.current_dir(folder)).map_err(|source| Error::Packages {
            what: "the npm packages of tests/clients/typescript/package.json",
            instead: format!(
                "cd tests/clients/typescript && npm ci --ignore-scripts && export {VARIABLE}=$PWD"
            ),
            source: Box::new(source),
        })
    })?;
    Ok(kept.folder)
}
