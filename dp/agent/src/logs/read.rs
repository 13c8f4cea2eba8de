//! Reading logs: the newest lines, and what has come since.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use metapaas_protocol::calls::{LogLine, LogQuery};

use super::times::{self, Mark};
use super::{Kept, Logs, millis};

/// A line that is longer is told in pieces.
const LONGEST_LINE: usize = 16 * 1024;
/// Bytes of one log that [`Logs::more`] reads at once.
const PIECE: usize = 64 * 1024;
/// A follower that is this far behind is taken on to [`RESUME`] before the end: who looks on wants to see what happens now.
const BEHIND: u64 = 2 * 1024 * 1024;
const RESUME: u64 = 256 * 1024;

/// Up to where somebody has read the logs, by service.
pub(crate) type Cursors = BTreeMap<String, Cursor>;

/// Up to where somebody has read a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// How often the log had been moved aside.
    epoch: u64,
    offset: u64,
}

impl Logs {
    /// The newest lines, oldest first, and where reading goes on.
    ///
    /// # Errors
    /// Whatever the file system answers.
    pub(crate) fn lines(&self, query: &LogQuery) -> io::Result<(Vec<LogLine>, Cursors)> {
        let mut state = self.state();
        self.look_under(&mut state)?;
        let share = query.bytes / state.len().max(1) as u64;
        let (mut all, mut cursors) = (Vec::new(), Cursors::new());
        for (name, kept) in &*state {
            let (lines, cursor) = self.newest(name, kept, query, share)?;
            all.extend(lines);
            cursors.insert(name.clone(), cursor);
        }
        // Stable: lines of one service stay in their order.
        all.sort_by_key(|line| line.at);
        let surplus = all.len().saturating_sub(query.tail as usize);
        all.drain(..surplus);
        Ok((all, cursors))
    }

    fn newest(
        &self,
        name: &str,
        kept: &Kept,
        query: &LogQuery,
        share: u64,
    ) -> io::Result<(Vec<LogLine>, Cursor)> {
        let current = Part::end_of(&self.log(name), &self.times(name), share)?;
        let left = share.saturating_sub(current.bytes.len() as u64);
        let is_enough = count_lines(&current.bytes) > query.tail as usize || current.start > 0;
        let old = match is_enough {
            true => Part::default(),
            false => Part::end_of(&self.old(name), &self.old_times(name), left)?,
        };
        let border = old.bytes.len();
        let at = |index: usize| match index.checked_sub(border) {
            None => old.at(index),
            Some(index) => current.at(index),
        };
        let is_cut = if border > 0 { old.start > 0 } else { current.start > 0 };
        let mut bytes = old.bytes.clone();
        bytes.extend_from_slice(&current.bytes);
        let mut lines = Vec::new();
        let mut whole = 0;
        for (start, line, is_whole) in split(&bytes) {
            if is_whole {
                whole = start + line.len() + 1;
            }
            // The first one of a cut text is the end of a line.
            if (start == 0 && is_cut) || (!is_whole && query.follow) {
                continue;
            }
            let at = at(start);
            if query.since.is_none_or(|since| at >= since) {
                push(&mut lines, at, name, line);
            }
        }
        let surplus = lines.len().saturating_sub(query.tail as usize);
        lines.drain(..surplus);
        let read = if query.follow { whole } else { bytes.len() };
        let offset = current.start + read.saturating_sub(border) as u64;
        Ok((lines, Cursor { epoch: kept.epoch, offset }))
    }

    /// Whole lines that have come since, some of them when there are many.
    ///
    /// # Errors
    /// Whatever the file system answers.
    pub(crate) fn more(&self, cursors: &mut Cursors) -> io::Result<Vec<LogLine>> {
        let state = self.state();
        let mut all = Vec::new();
        for (name, kept) in &*state {
            let start = Cursor { epoch: kept.epoch, offset: 0 };
            let cursor = cursors.entry(name.clone()).or_insert(start);
            if cursor.epoch != kept.epoch {
                let is_there = cursor.epoch + 1 == kept.epoch && cursor.offset >= kept.cut;
                let rest = Cursor { epoch: cursor.epoch, offset: cursor.offset.saturating_sub(kept.cut) };
                if is_there {
                    let mut at = rest;
                    let is_at_end =
                        self.piece(name, &self.old(name), &self.old_times(name), &mut at, true, &mut all)?;
                    cursor.offset = at.offset.saturating_add(kept.cut);
                    if !is_at_end {
                        continue;
                    }
                } else {
                    all.push(left_out(name, None));
                }
                *cursor = start;
            }
            self.piece(name, &self.log(name), &self.times(name), cursor, false, &mut all)?;
        }
        all.sort_by_key(|line| line.at);
        Ok(all)
    }

    /// Reads on in one file; answers whether that was its end.
    fn piece(
        &self,
        name: &str,
        path: &Path,
        marks: &Path,
        cursor: &mut Cursor,
        is_over: bool,
        lines: &mut Vec<LogLine>,
    ) -> io::Result<bool> {
        let Some(file) = open(path)? else { return Ok(true) };
        let found = file.metadata()?;
        let mut is_cut = false;
        if found.len().saturating_sub(cursor.offset) > BEHIND {
            let resume = found.len() - RESUME;
            lines.push(left_out(name, Some(resume - cursor.offset)));
            cursor.offset = resume;
            is_cut = true;
        }
        let mut bytes = vec![0; PIECE];
        let count = read_at(&file, &mut bytes, cursor.offset)?;
        bytes.truncate(count);
        let is_at_end = cursor.offset + count as u64 >= found.len();
        let marks = times::past(marks, cursor.offset)?;
        let mut read = 0;
        for (start, line, is_whole) in split(&bytes) {
            // More of it is to come.
            let is_last = is_over && is_at_end;
            if !(is_whole || is_last || line.len() >= LONGEST_LINE) {
                break;
            }
            read = start + line.len() + usize::from(is_whole);
            if start > 0 || !is_cut {
                let at = times::at(&marks, cursor.offset + start as u64, millis(&found));
                push(lines, at, name, line);
            }
        }
        cursor.offset += read as u64;
        Ok(is_at_end)
    }
}

/// The end of a log file with its times.
#[derive(Default)]
struct Part {
    start: u64,
    bytes: Vec<u8>,
    marks: Vec<Mark>,
    /// The time of what no mark is past.
    otherwise: i64,
}

impl Part {
    fn end_of(path: &Path, marks: &Path, most: u64) -> io::Result<Self> {
        let Some(file) = open(path)? else { return Ok(Self::default()) };
        let found = file.metadata()?;
        let start = found.len().saturating_sub(most);
        let mut bytes = vec![0; usize::try_from(found.len() - start).unwrap_or_default()];
        let count = read_at(&file, &mut bytes, start)?;
        bytes.truncate(count);
        Ok(Self { start, bytes, marks: times::past(marks, start)?, otherwise: millis(&found) })
    }

    fn at(&self, index: usize) -> i64 {
        times::at(&self.marks, self.start + index as u64, self.otherwise)
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], offset + read as u64)? {
            0 => break,
            count => read += count,
        }
    }
    Ok(read)
}

fn count_lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// Lines with where they begin and whether their end is there.
fn split(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8], bool)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let begin = start;
        match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                start += end + 1;
                Some((begin, &rest[..end], true))
            }
            None => {
                start = bytes.len();
                Some((begin, rest, false))
            }
        }
    })
}

fn push(lines: &mut Vec<LogLine>, at: i64, service: &str, line: &[u8]) {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut pieces = line.chunks(LONGEST_LINE);
    // An empty line has no pieces and is a line.
    let first = pieces.next().unwrap_or_default();
    for piece in std::iter::once(first).chain(pieces) {
        let text = String::from_utf8_lossy(piece).into_owned();
        lines.push(LogLine { at, service: service.to_owned(), text });
    }
}

/// What is said in place of lines that are not told.
fn left_out(service: &str, bytes: Option<u64>) -> LogLine {
    let much = bytes.map_or_else(|| "some lines".to_owned(), |bytes| format!("{bytes} bytes"));
    let text = format!("{much} of the log of {service} are left out: it is written faster than it is read");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    LogLine { at: i64::try_from(now.as_millis()).unwrap_or(i64::MAX), service: String::new(), text }
}

#[cfg(test)]
mod tests;
