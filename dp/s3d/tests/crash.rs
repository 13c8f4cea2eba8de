//! What was acknowledged outlives the process; what was not leaves nothing behind.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::server::Server;

#[test]
fn acknowledged_objects_outlive_a_kill_in_the_middle_of_200_puts() {
    let mut server = Server::start();
    let mut torrent = server.python_command(&["torrent"]).stdout(Stdio::piped()).spawn().unwrap();
    // In the middle: hundreds are stored, and as many are on their way.
    wait(|| server.usage()["objects"].as_u64().unwrap() > 400);
    server.kill();
    let mut acknowledged = String::new();
    torrent.stdout.take().unwrap().read_to_string(&mut acknowledged).unwrap();
    assert!(torrent.wait().unwrap().success());
    assert!(acknowledged.lines().filter(|line| line.starts_with("done")).count() >= 400);
    server.start_again();
    let found = server.python_with(&["whole"], &acknowledged);
    let (in_files, all) = found.trim().split_once(' ').unwrap();
    // Removal of what was replaced may still be under way.
    wait(|| server.files().to_string() == in_files);
    let usage = server.usage();
    assert_eq!(usage["objects"].to_string(), all);
    assert_eq!(usage["buckets"]["plain"]["objects"].to_string(), all);
}

#[test]
fn a_client_that_goes_away_leaves_no_file() {
    let server = Server::start();
    server.python(&["keep", "3"]);
    let presigned = server.python(&["presigned"]);
    let url = presigned.lines().last().unwrap().to_owned();
    let path = url.split_once(&server.address).unwrap().1;
    let mut socket = TcpStream::connect(&server.address).unwrap();
    let head = format!("PUT {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 50000000\r\n\r\n", server.address);
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(&vec![b'x'; 3_000_000]).unwrap();
    wait(|| server.files() == 1);
    drop(socket);
    wait(|| server.files() == 0);
    server.python(&["kept", "3"]);
}

/// What the client sends next would be read as the body that it was told not to send.
#[test]
fn who_is_refused_before_the_body_begins_on_another_connection() {
    let server = Server::start();
    let mut socket = TcpStream::connect(&server.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!(
        "PUT /plain/key HTTP/1.1\r\nHost: {}\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n",
        server.address
    );
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
}

#[test]
fn replaced_and_deleted_contents_leave_the_disk() {
    let mut server = Server::start();
    server.python(&["keep", "60"]);
    let before = server.files();
    assert!(before > 20);
    server.python(&["keep", "60"]);
    wait(|| server.files() == before);
    server.kill();
    server.start_again();
    server.python(&["kept", "60"]);
    assert_eq!(server.files(), before);
    server.change(|document| {
        document["buckets"].as_object_mut().unwrap().remove("plain");
        document["purge"] = serde_json::json!(["plain"]);
    });
    wait(|| server.files() == 0);
    assert!(server.usage()["buckets"].get("plain").is_none());
}

/// A gigabyte comes and goes through buffers of a fixed size.
#[test]
fn a_large_object_is_not_held_in_memory() {
    let server = Server::start();
    let peak = || {
        let status = std::fs::File::open(format!("/proc/{}/status", server.pid())).unwrap();
        let lines = BufReader::new(status).lines().map(Result::unwrap);
        let line = lines.into_iter().find(|line| line.starts_with("VmHWM")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    };
    server.python(&["objects"]);
    let before = peak();
    let urls = server.python(&["presigned"]);
    let url = urls.lines().last().unwrap();
    let size = 256 << 20;
    let mut curl = std::process::Command::new("curl");
    curl.args([
        "-sS",
        "--fail",
        "-T",
        "-",
        "-H",
        &format!("Content-Length: {size}"),
        "-H",
        "Transfer-Encoding:",
        url,
    ]);
    let mut curl = curl.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = curl.stdin.take().unwrap();
    (0..size >> 20).for_each(|_| input.write_all(&vec![7; 1 << 20]).unwrap());
    drop(input);
    assert!(curl.wait().unwrap().success());
    assert_eq!(server.usage()["bytes"].as_u64().unwrap(), (size + 9) as u64);
    assert!(peak() < before + 64, "{} MiB after {before} MiB", peak());
}

fn wait(is_done: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_done() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it did not happen");
        std::thread::sleep(Duration::from_millis(50));
    }
}
