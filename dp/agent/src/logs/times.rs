//! When which part of a log was written.
//!
//! Services write their logs themselves, without times. Beside each log stands a list of marks: up to this byte it had been
//! written by that time. A line has the time of the first mark past its beginning.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Bytes of a mark: where it stands and when that was, both little-endian.
const SIZE: usize = 16;

/// Up to this byte the log had been written by that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) end: u64,
    /// Milliseconds since 1970.
    pub(super) at: i64,
}

impl Mark {
    fn bytes(self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let (end, at) = bytes.split_at_mut(SIZE / 2);
        end.copy_from_slice(&self.end.to_le_bytes());
        at.copy_from_slice(&self.at.to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (end, at) = bytes.split_at_checked(SIZE / 2)?;
        Some(Self {
            end: u64::from_le_bytes(end.try_into().ok()?),
            at: i64::from_le_bytes(at.try_into().ok()?),
        })
    }
}

/// Adds a mark. Bytes of one that a crash cut short go first.
pub(super) fn append(path: &Path, mark: Mark) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let length = file.metadata()?.len();
    if !length.is_multiple_of(SIZE as u64) {
        file.set_len(length - length % SIZE as u64)?;
    }
    file.write_all(&mark.bytes())
}

/// Replaces all marks.
pub(super) fn write(path: &Path, marks: &[Mark]) -> io::Result<()> {
    let bytes: Vec<u8> = marks.iter().flat_map(|mark| mark.bytes()).collect();
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(&bytes)
}

/// Bytes that the marks take.
pub(super) fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

/// Where the last mark stands, 0 when there is none.
pub(super) fn marked(path: &Path) -> io::Result<u64> {
    let Some((file, count)) = open(path)? else { return Ok(0) };
    Ok(if count == 0 { 0 } else { nth(&file, count - 1)?.end })
}

/// The marks past a byte of the log.
pub(super) fn past(path: &Path, offset: u64) -> io::Result<Vec<Mark>> {
    let Some((file, count)) = open(path)? else { return Ok(Vec::new()) };
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        if nth(&file, middle)?.end > offset {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let mut bytes = vec![0; usize::try_from(count - low).unwrap_or_default() * SIZE];
    file.read_exact_at(&mut bytes, low * SIZE as u64)?;
    Ok(bytes.chunks_exact(SIZE).filter_map(Mark::read).collect())
}

/// The time of what begins at `offset`; `otherwise` when it is past all marks.
pub(super) fn at(marks: &[Mark], offset: u64, otherwise: i64) -> i64 {
    let index = marks.partition_point(|mark| mark.end <= offset);
    marks.get(index).map_or(otherwise, |mark| mark.at)
}

fn open(path: &Path) -> io::Result<Option<(File, u64)>> {
    match File::open(path) {
        Ok(file) => {
            let count = file.metadata()?.len() / SIZE as u64;
            Ok(Some((file, count)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn nth(file: &File, index: u64) -> io::Result<Mark> {
    let mut bytes = [0; SIZE];
    file.read_exact_at(&mut bytes, index * SIZE as u64)?;
    Mark::read(&bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_time_of_the_first_mark_past_its_beginning() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web");
        assert_eq!((marked(&path).unwrap(), past(&path, 0).unwrap()), (0, Vec::new()));
        for (end, at) in [(10, 100), (20, 200), (35, 300)] {
            append(&path, Mark { end, at }).unwrap();
        }
        assert_eq!(marked(&path).unwrap(), 35);
        for (offset, expected) in [(0, 100), (9, 100), (10, 200), (34, 300), (35, 999)] {
            assert_eq!(at(&past(&path, 0).unwrap(), offset, 999), expected, "{offset}");
            assert_eq!(at(&past(&path, offset).unwrap(), offset, 999), expected, "past {offset}");
        }
    }

    #[test]
    fn half_a_mark_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web");
        append(&path, Mark { end: 1, at: 1 }).unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"half").unwrap();
        assert_eq!(marked(&path).unwrap(), 1);
        append(&path, Mark { end: 2, at: 2 }).unwrap();
        assert_eq!(past(&path, 0).unwrap(), [Mark { end: 1, at: 1 }, Mark { end: 2, at: 2 }]);
    }
}
