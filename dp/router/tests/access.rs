//! The access log: every request is in it once, it moves aside when it is large, and nothing gets lost on the way.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{node, router, says};

/// A log of this size moves aside.
const LIMIT: usize = 10 << 20;
const PATIENCE: Duration = Duration::from_secs(60);

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Sends requests without waiting for each answer; each path says which it is.
async fn ask(router: std::net::SocketAddr, numbers: std::ops::Range<usize>) {
    let stream = TcpStream::connect(router).await.unwrap();
    let (mut from, mut to) = stream.into_split();
    let padding = "x".repeat(500);
    let count = numbers.len();
    let asking = async {
        for number in numbers {
            let request = format!("GET /{number}/{padding} HTTP/1.1\r\nHost: a.localhost\r\n\r\n");
            to.write_all(request.as_bytes()).await.unwrap();
        }
    };
    let hearing = async {
        let (mut answers, mut buffer) = (String::new(), [0; 4096]);
        let mut heard = 0;
        while heard < count {
            let length = from.read(&mut buffer).await.unwrap();
            assert!(length > 0, "the router closed after {heard} of {count} answers");
            answers.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
            while let Some(end) = answers.find("\r\n\r\nyes") {
                answers.drain(..end + 7);
                heard += 1;
            }
        }
    };
    tokio::join!(asking, hearing);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_is_in_it_and_it_moves_aside_when_it_is_large() {
    let (directory, router) = router(&[node(|_| says("yes")).await]).await;
    let log = directory.path().join("log");
    let (new, old) = (log.join("access.log"), log.join("access.log.old"));
    let mut asked = 0;
    let since = Instant::now();
    while !old.exists() {
        assert!(since.elapsed() < 4 * PATIENCE, "{asked} requests and no old log");
        tokio::join!(ask(router, asked..asked + 500), ask(router, asked + 500..asked + 1000));
        asked += 1000;
    }
    ask(router, asked..asked + 10).await;
    asked += 10;

    let numbers = || {
        let text = read(&old) + &read(&new);
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let paths = lines.filter_map(|line| line["path"].as_str()?.split('/').nth(1)?.parse::<usize>().ok());
        paths.collect::<Vec<usize>>()
    };
    let since = Instant::now();
    while numbers().len() < asked {
        assert!(since.elapsed() < PATIENCE, "{} of {asked} are written", numbers().len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let written = numbers();
    assert_eq!(written.len(), asked);
    assert_eq!(written.into_iter().collect::<BTreeSet<_>>(), (0..asked).collect());
    assert!(read(&old).len() >= LIMIT && read(&old).len() < 2 * LIMIT, "{}", read(&old).len());
    assert!(read(&new).len() < LIMIT && read(&new).ends_with('\n') && read(&old).ends_with('\n'));
    for line in read(&new).lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&line["status"], &line["bytes"], &line["host"]),
            (&200.into(), &3.into(), &"a.localhost".into())
        );
    }
    for file in [&new, &old] {
        let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "whoever asks for what is nobody's business");
    }
}
