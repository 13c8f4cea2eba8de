//! Lines that are found, split, cut and followed.

use std::fs::{self, OpenOptions};
use std::io::Write;

use super::*;

/// A node's directory with one log.
struct Node {
    directory: tempfile::TempDir,
    logs: Logs,
}

impl Node {
    fn new(limit: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("log")).unwrap();
        let logs = Logs::with_limit(directory.path(), limit).unwrap();
        Self { directory, logs }
    }

    fn write(&self, service: &str, text: &str) {
        let path = self.directory.path().join("log").join(format!("{service}.log"));
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn texts(&self, query: &LogQuery) -> Vec<String> {
        texts(&self.logs.lines(query).unwrap().0)
    }

    fn more(&self, cursors: &mut Cursors) -> Vec<String> {
        self.logs.look().unwrap();
        texts(&self.logs.more(cursors).unwrap())
    }
}

fn texts(lines: &[LogLine]) -> Vec<String> {
    lines.iter().map(|line| line.text.clone()).collect()
}

const ALL: LogQuery = LogQuery { tail: 1000, since: None, follow: false, bytes: 1 << 20 };

#[test]
fn the_newest_lines_are_told_in_their_order() {
    let node = Node::new(1 << 20);
    assert!(node.texts(&ALL).is_empty());
    node.write("web", "one\r\n\ntwo\nthree");
    assert_eq!(node.texts(&ALL), ["one", "", "two", "three"]);
    assert_eq!(node.texts(&LogQuery { tail: 2, ..ALL }), ["two", "three"]);
    assert_eq!(node.texts(&LogQuery { bytes: 9, ..ALL }), ["three"], "half a line is not told");
    node.write("other", "\u{1b}[1m\n");
    assert_eq!(node.texts(&ALL).len(), 5);
}

#[test]
fn lines_have_the_time_they_were_written() {
    let node = Node::new(1 << 20);
    node.write("web", "early\n");
    node.logs.look().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(30));
    node.write("web", "late\n");
    let (lines, _) = node.logs.lines(&ALL).unwrap();
    assert!(lines[0].at < lines[1].at, "{lines:?}");
    let since = Some(lines[1].at);
    assert_eq!(node.texts(&LogQuery { since, ..ALL }), ["late"]);
    // The next agent knows them too.
    let again = Logs::open(node.directory.path()).unwrap();
    assert_eq!(again.lines(&ALL).unwrap().0, lines);
}

#[test]
fn a_full_log_moves_aside_and_is_still_read() {
    let node = Node::new(10);
    node.write("web", "one\ntwo\nthree\n");
    node.logs.look().unwrap();
    let log = node.directory.path().join("log/web.log");
    assert_eq!(fs::metadata(&log).unwrap().len(), 0);
    node.write("web", "four\n");
    assert_eq!(node.texts(&ALL), ["one", "two", "three", "four"]);
    assert_eq!(node.texts(&LogQuery { tail: 1, ..ALL }), ["four"]);
}

#[test]
fn a_flood_does_not_fill_the_disk() {
    let node = Node::new(100);
    node.write("web", &"0123456789\n".repeat(1000));
    node.logs.look().unwrap();
    let old = node.directory.path().join("log/web.log.old");
    assert_eq!(fs::metadata(&old).unwrap().len(), 200, "no more than twice the limit is kept");
}

#[test]
fn a_follower_sees_each_line_once_across_a_move() {
    let node = Node::new(20);
    node.write("web", "one\ntw");
    let (lines, mut cursors) = node.logs.lines(&LogQuery { follow: true, ..ALL }).unwrap();
    assert_eq!(texts(&lines), ["one"], "a line is told when it has ended");
    node.write("web", "o\n");
    assert_eq!(node.more(&mut cursors), ["two"]);
    assert!(node.more(&mut cursors).is_empty());
    node.write("web", "three which is long\n");
    node.logs.look().unwrap();
    node.write("web", "four\n");
    assert_eq!(node.more(&mut cursors), ["three which is long", "four"]);
    node.write("new", "five\n");
    assert_eq!(node.more(&mut cursors), ["five"]);
}

#[test]
fn a_follower_that_falls_behind_is_told_so() {
    let node = Node::new(1 << 30);
    let (_, mut cursors) = node.logs.lines(&LogQuery { follow: true, ..ALL }).unwrap();
    node.write("web", &format!("{}\n", "x".repeat(99)).repeat(30_000));
    let told = node.more(&mut cursors);
    assert!(told.iter().any(|text| text.contains("are left out")), "{:?}", told.first());
    assert!(told.len() < 1000, "{}", told.len());
    let mut last = told;
    loop {
        let more = node.more(&mut cursors);
        if more.is_empty() {
            break;
        }
        last = more;
    }
    assert_eq!(last.last().unwrap().len(), 99, "it goes on to the end");
}

#[test]
fn a_line_without_end_comes_in_pieces() {
    let node = Node::new(1 << 30);
    let (_, mut cursors) = node.logs.lines(&LogQuery { follow: true, ..ALL }).unwrap();
    node.write("web", &"y".repeat(LONGEST_LINE + 10));
    let told = node.more(&mut cursors);
    assert_eq!(told.iter().map(String::len).collect::<Vec<_>>(), [LONGEST_LINE, 10]);
}
