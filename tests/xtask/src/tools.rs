//! What tests run that comes from package registries, and `cargo xtask tools`, which only installs it.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::context::Context;
use crate::error::Error;
use crate::{node, programs, python};

/// Installs the packages and prints the variables by which tests find them, for `cargo test` by hand.
pub(crate) fn run(ctx: &Context) -> Result<(), Error> {
    programs::ensure(ctx, &programs::FOR_TESTS.iter().collect::<Vec<_>>())?;
    println!("export {}={}", python::VARIABLE, python::ensure(ctx)?.display());
    println!("export {}={}", node::VARIABLE, node::ensure(ctx)?.display());
    Ok(())
}

/// A folder below the target folder that is filled once for what it is made of.
pub(crate) struct Kept {
    /// Where it is.
    pub(crate) folder: PathBuf,
    done: PathBuf,
    // Held until the folder is filled: two commands may run on one target folder.
    _lock: File,
}

impl Kept {
    /// The folder for these contents, perhaps not filled yet.
    pub(crate) fn open(ctx: &Context, name: &str, made_of: &[&str]) -> Result<Self, Error> {
        let above = ctx.made("test-tools");
        std::fs::create_dir_all(&above).map_err(|source| file("make", &above, source))?;
        let lock_path = above.join(format!("{name}.lock"));
        let lock = File::create(&lock_path).map_err(|source| file("make", &lock_path, source))?;
        lock.lock().map_err(|source| file("lock", &lock_path, source))?;
        let mut hasher = DefaultHasher::new();
        made_of.hash(&mut hasher);
        let folder = above.join(format!("{name}-{:016x}", hasher.finish()));
        Ok(Self { done: above.join(format!("{name}-{:016x}.done", hasher.finish())), folder, _lock: lock })
    }

    /// Fills the folder unless it is; what an interrupted try left goes first.
    pub(crate) fn fill(&self, fill: impl FnOnce(&Path) -> Result<(), Error>) -> Result<(), Error> {
        if self.done.exists() {
            return Ok(());
        }
        if self.folder.exists() {
            std::fs::remove_dir_all(&self.folder).map_err(|source| file("remove", &self.folder, source))?;
        }
        fill(&self.folder)?;
        File::create(&self.done).map_err(|source| file("make", &self.done, source))?;
        Ok(())
    }
}

/// A file's text.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| file("read", path, source))
}

/// The error of a file.
pub(crate) fn file(action: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::File { action, path: path.to_owned(), source }
}
