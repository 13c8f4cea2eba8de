//! A Python environment for tests that run Python programs, made from `tests/requirements.txt`.

use std::path::PathBuf;
use std::process::Command;

use crate::context::Context;
use crate::error::Error;
use crate::programs;

/// Tells tests which interpreter has the packages.
pub(crate) const PYTHON_VARIABLE: &str = "METAPAAS_TEST_PYTHON";
const REQUIREMENTS: &str = "tests/requirements.txt";

/// The interpreter of the environment, which is made anew when the requirements have changed.
pub(crate) fn ensure(ctx: &Context) -> Result<PathBuf, Error> {
    let folder = ctx.made("python");
    let python = folder.join("bin/python");
    let stamp = folder.join("requirements.txt");
    let file = |action, path: &PathBuf| {
        let path = path.clone();
        move |source| Error::File { action, path, source }
    };
    let wanted_file = ctx.root.join(REQUIREMENTS);
    let wanted = std::fs::read(&wanted_file).map_err(file("read", &wanted_file))?;
    if python.is_file() && std::fs::read(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(python);
    }
    if ctx.run_quietly(Command::new("python3").args(["-c", "import ensurepip, venv"])).1.is_err() {
        programs::install(ctx, &["python3-venv"])?;
    }
    ctx.run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    ctx.run(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .arg(&wanted_file),
    )?;
    // Last: an environment whose making was interrupted is made again.
    std::fs::write(&stamp, wanted).map_err(file("write", &stamp))?;
    Ok(python)
}
