//! A router before nodes that behave in every way a node can.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{exchange, head, metrics_of, node, router, says};

#[tokio::test]
async fn a_node_sees_the_request_and_who_asked() {
    let (_directory, router) = router(&[node(|head| says(&head.to_lowercase())).await]).await;
    let request = "GET http://A.localhost/x?y=1 HTTP/1.1\r\nHost: other\r\nX-Forwarded-For: 1.2.3.4\r\n\
                   Connection: close, X-Mine\r\nX-Mine: 1\r\nX-Kept: 2\r\n\r\n";
    let answer = exchange(router, request).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    for part in ["get /x?y=1 http/1.1", "host: a.localhost", "x-forwarded-for: 127.0.0.1", "x-kept: 2"] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    for part in ["x-mine", "1.2.3.4", "x-secret"] {
        assert!(!answer.contains(part), "{part}: {answer}");
    }
}

#[tokio::test]
async fn what_leads_nowhere_gets_a_page() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let (_directory, router) = router(&[address]).await;
    for (request, expected) in [
        ("GET / HTTP/1.1\r\nHost: b.localhost\r\nConnection: close\r\n\r\n", "404"),
        ("GET / HTTP/1.1\r\nHost: empty.localhost\r\nConnection: close\r\n\r\n", "503"),
        ("GET / HTTP/1.1\r\nHost: a.localhost\r\nConnection: close\r\n\r\n", "503"),
        ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a.localhost\r\nHost: b\r\nConnection: close\r\n\r\n", "400"),
        ("TRACE / HTTP/1.1\r\nHost: a.localhost\r\nConnection: close\r\n\r\n", "405"),
        // One request or two, depending on who reads it.
        (
            "POST / HTTP/1.1\r\nHost: a.localhost\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
            "400",
        ),
        ("POST / HTTP/1.1\r\nHost: a.localhost\r\nTransfer-Encoding: identity\r\n\r\nabcde", "400"),
    ] {
        let answer = exchange(router, request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{request}: {answer}");
        assert_eq!(answer.contains("retry-after"), expected == "503", "{answer}");
    }
}

#[tokio::test]
async fn a_request_that_no_node_saw_goes_to_another() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = gone.local_addr().unwrap();
    drop(gone);
    let (_directory, router) = router(&[closed, node(|_| says("here")).await]).await;
    for _ in 0..4 {
        let request =
            "POST / HTTP/1.1\r\nHost: a.localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        assert!(exchange(router, request).await.ends_with("here"));
    }
}

#[tokio::test]
async fn a_node_that_breaks_off_is_a_bad_gateway() {
    let (_directory, router) = router(&[node(|_| Vec::new()).await]).await;
    let answer = exchange(router, "GET / HTTP/1.1\r\nHost: a.localhost\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
}

#[tokio::test]
async fn a_stream_arrives_as_it_is_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_directory, router) = router(&[listener.local_addr().unwrap()]).await;
    let mut client = TcpStream::connect(router).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a.localhost\r\n\r\n").await.unwrap();
    let (mut node, _) = listener.accept().await.unwrap();
    head(&mut node).await.unwrap();
    node.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    )
    .await
    .unwrap();
    head(&mut client).await.unwrap();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        node.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await.unwrap();
        let mut buffer = vec![0; event.len() + 5];
        client.read_exact(&mut buffer).await.unwrap();
        assert!(String::from_utf8(buffer).unwrap().contains(event), "before the next one is sent");
    }
}

#[tokio::test]
async fn a_websocket_goes_both_ways_and_no_other_protocol_does() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (directory, router) = router(&[listener.local_addr().unwrap()]).await;
    let mut client = TcpStream::connect(router).await.unwrap();
    let ask = |protocol: &str| {
        format!("GET /ws HTTP/1.1\r\nHost: a.localhost\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n")
    };
    client.write_all(ask("websocket").as_bytes()).await.unwrap();
    let (mut node, _) = listener.accept().await.unwrap();
    assert!(head(&mut node).await.unwrap().to_lowercase().contains("upgrade: websocket"));
    node.write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .await
        .unwrap();
    assert!(head(&mut client).await.unwrap().starts_with("HTTP/1.1 101"));
    for text in ["ping", "pong"] {
        let (from, to) = if text == "ping" { (&mut client, &mut node) } else { (&mut node, &mut client) };
        from.write_all(text.as_bytes()).await.unwrap();
        let mut buffer = [0; 4];
        to.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, text.as_bytes());
    }
    // It takes a place among all connections until it ends.
    let open = "metapaas_router_connections 1\nmetapaas_router_websockets 1\n";
    let metrics =
        async || metrics_of(directory.path()).await.replace("# TYPE metapaas_router_websockets gauge\n", "");
    assert!(metrics().await.contains(open), "{}", metrics().await);
    drop(node);
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0, "the end of one is the end of the other");

    drop(client);
    while !metrics().await.contains(&open.replace('1', "0")) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }

    let mut client = TcpStream::connect(router).await.unwrap();
    client.write_all(ask("h2c").as_bytes()).await.unwrap();
    let (mut node, _) = listener.accept().await.unwrap();
    assert!(!head(&mut node).await.unwrap().to_lowercase().contains("upgrade"));
}
