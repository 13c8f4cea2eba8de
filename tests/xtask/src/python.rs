//! The Python packages of tests/requirements.txt in a virtual environment below the target folder.

use std::path::PathBuf;
use std::process::Command;

use crate::context::Context;
use crate::error::Error;
use crate::programs;
use crate::tools::{self, Kept};

/// Tests find the interpreter by this variable. A caller who sets it keeps it.
pub(crate) const VARIABLE: &str = "METAPAAS_TEST_PYTHON";

/// The interpreter that has the packages; installs them when their list or the system's Python changed.
pub(crate) fn ensure(ctx: &Context) -> Result<PathBuf, Error> {
    if let Some(chosen) = std::env::var_os(VARIABLE) {
        return Ok(chosen.into());
    }
    let requirements = ctx.root.join("tests/requirements.txt");
    let (version, asked) = ctx.run_quietly(Command::new("python3").arg("--version"));
    asked?;
    let kept = Kept::open(ctx, "python", &[tools::read(&requirements)?.as_str(), &version])?;
    let interpreter = kept.folder.join("bin/python");
    kept.fill(|folder| {
        println!("installing the Python packages of {}", requirements.display());
        // Debian keeps these modules of the standard library in a package of their own.
        if ctx.run_quietly(Command::new("python3").args(["-c", "import ensurepip, venv"])).1.is_err() {
            programs::install(ctx, &["python3-venv"])?;
        }
        ctx.run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let mut pip = Command::new(&interpreter);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
        ctx.run(pip.arg(&requirements)).map_err(|source| Error::Packages {
            what: "the Python packages of tests/requirements.txt",
            instead: format!(
                "python3 -m venv DIR && DIR/bin/pip install -r tests/requirements.txt && export {VARIABLE}=DIR/bin/python"
            ),
            source: Box::new(source),
        })
    })?;
    Ok(interpreter)
}
