//! Clients that take their time, in every part of a request, do not keep others waiting.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{exchange, head, node, router, says};

/// Far more than there are threads that serve.
const SLOW: usize = 300;
const QUICK: &str = "GET /quick HTTP/1.1\r\nHost: a.localhost\r\nConnection: close\r\n\r\n";

async fn connect(router: std::net::SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(router).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_dribble_in_hold_nobody_up() {
    let (_directory, router) = router(&[node(|_| says("yes")).await]).await;
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        slow.push(connect(router, "GET /slow HTTP/1.1\r\nHo").await);
    }
    for text in ["st: a.loc", "alhost\r\n", "X-Long: "] {
        assert!(exchange(router, QUICK).await.ends_with("yes"));
        for stream in &mut slow {
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    }
    // Slow is not wrong: in the end each is answered.
    for stream in &mut slow {
        stream.write_all(b"1\r\nConnection: close\r\n\r\n").await.unwrap();
    }
    for mut stream in slow {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("yes"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_dribble_in_hold_nobody_up_and_arrive_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_directory, router) = router(&[listener.local_addr().unwrap()]).await;
    // The node answers with the length of what it was sent.
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while let Some(head) = head(&mut stream).await {
                    let length = head.to_lowercase().lines().find_map(|line| {
                        line.strip_prefix("content-length: ").and_then(|length| length.parse::<usize>().ok())
                    });
                    let mut body = vec![0; length.unwrap_or_default()];
                    if stream.read_exact(&mut body).await.is_err() {
                        return;
                    }
                    let text = body.iter().filter(|byte| **byte == b'x').count().to_string();
                    if stream.write_all(&says(&text)).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let head =
            "POST /slow HTTP/1.1\r\nHost: a.localhost\r\nContent-Length: 12\r\nConnection: close\r\n\r\n";
        slow.push(connect(router, head).await);
    }
    for _ in 0..4 {
        assert!(exchange(router, QUICK).await.ends_with("\r\n\r\n0"));
        for stream in &mut slow {
            stream.write_all(b"xxx").await.unwrap();
        }
    }
    for mut stream in slow {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n12"), "{answer}");
    }
}

/// An answer that does not fit into the buffers on the way.
fn large() -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 16 << 20).into_bytes();
    answer.resize(answer.len() + (16 << 20), b'x');
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_do_not_read_hold_nobody_up_and_get_it_all_in_the_end() {
    let answer = |head: &str| if head.contains("/large") { large() } else { says("yes") };
    let (_directory, router) = router(&[node(answer).await]).await;
    let ask = "GET /large HTTP/1.1\r\nHost: a.localhost\r\nConnection: close\r\n\r\n";
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut stream = connect(router, ask).await;
        // It is on its way.
        let _ = head(&mut stream).await.unwrap();
        slow.push(stream);
    }
    for _ in 0..20 {
        let quick = tokio::time::timeout(Duration::from_secs(20), exchange(router, QUICK)).await;
        assert!(quick.unwrap().ends_with("yes"));
    }
    for mut stream in slow {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!((rest.len(), rest.iter().all(|byte| *byte == b'x')), (16 << 20, true));
    }
}
