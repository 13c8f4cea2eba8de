//! Keeps the agent's own log small: a full log is copied aside and emptied in place; the agent appends, so it goes on at
//! its new beginning.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

/// Rotates every `*.log` in a directory that has reached `limit` bytes; one old file of each is kept as `*.log.old`.
///
/// # Errors
/// Whatever the file system answers.
pub fn rotate(directory: &Path, limit: u64) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") && fs::metadata(&path)?.len() >= limit
        {
            fs::copy(&path, path.with_extension("log.old"))?;
            OpenOptions::new().write(true).open(&path)?.set_len(0)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_full_log_moves_aside_under_its_writer() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web.log");
        let mut writer = OpenOptions::new().append(true).create(true).open(&path).unwrap();
        writer.write_all(b"0123456789").unwrap();
        rotate(directory.path(), 11).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"0123456789");
        rotate(directory.path(), 10).unwrap();
        writer.write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read(directory.path().join("web.log.old")).unwrap(), b"0123456789");
    }
}
