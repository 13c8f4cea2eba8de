//! The load generator of `cargo xtask bench s3`: this server, the `s3s-fs` program and plain files, in turns.
//!
//! `bench METAPAAS_S3D S3S_FS FOLDER KEYS`: everything is written below FOLDER, so all have the same disk.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for a terminal")]

use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::net::TcpStream;

const CONNECTIONS: usize = 16;
const ROUNDS: usize = 3;
const LASTS: Duration = Duration::from_secs(4);
const GIB: u64 = 1 << 30;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;
type Body = BoxBody<Bytes, io::Error>;

struct Server {
    name: &'static str,
    address: String,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [ours, theirs, folder, keys] = &arguments[..] else {
        return Err("usage: bench METAPAAS_S3D S3S_FS FOLDER KEYS".into());
    };
    let folder = PathBuf::from(folder);
    let servers = [our_server(ours, &folder).await?, their_server(theirs, &folder).await?];
    let idle = resident(servers[0].child.id(), "VmRSS:")?;
    for (label, size) in [("4 KiB", 4 << 10), ("1 MiB", 1 << 20)] {
        let mut puts: [Vec<f64>; 3] = Default::default();
        let mut gets: [Vec<f64>; 2] = Default::default();
        for round in 0..ROUNDS {
            let mut order = [0, 1, 2];
            order.rotate_left(round);
            for which in order {
                let rate = match servers.get(which) {
                    Some(server) => load(server, Method::PUT, size).await?,
                    None => plain_files(&folder, size)?,
                };
                eprintln!("put {label} {}: {rate:.0}/s", name(&servers, which));
                puts[which].push(rate);
            }
            for which in order.into_iter().filter(|which| *which < 2) {
                let rate = load(&servers[which], Method::GET, size).await?;
                eprintln!("get {label} {}: {rate:.0}/s", name(&servers, which));
                gets[which].push(rate);
            }
        }
        let [our_put, their_put, floor] = puts.map(median);
        let [our_get, their_get] = gets.map(median);
        println!(
            "put {label}, {CONNECTIONS} connections: {our_put:.0}/s; s3s-fs {their_put:.0}/s (x{:.2}); files with fsync {floor:.0}/s (takes x{:.2} of them)",
            our_put / their_put,
            floor / our_put
        );
        println!(
            "get {label}, {CONNECTIONS} connections: {our_get:.0}/s; s3s-fs {their_get:.0}/s (x{:.2})",
            our_get / their_get
        );
    }
    memory(&servers[0], idle).await?;
    pages(&servers[0], keys.parse()?).await
}

fn name(servers: &[Server], which: usize) -> &str {
    servers.get(which).map_or("files with fsync", |server| server.name)
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

async fn our_server(program: &str, folder: &Path) -> Fallible<Server> {
    let bucket = json!({ "versioning": false, "quota_bytes": 0, "public": false, "object_lock": false });
    let document = json!({
        "digest": "bench", "encryption": "none", "usage_token": "t", "disk_bytes": 1u64 << 50,
        "instance_key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "buckets": { "bench": bucket, "listed": bucket },
        "users": { "root": { "root": true, "access_keys": { "key": { "secret": "secret", "enabled": true } } } },
    });
    let (file, data) = (folder.join("document.json"), folder.join("ours"));
    std::fs::write(&file, document.to_string())?;
    std::fs::create_dir(&data)?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let child = Command::new(program).arg(&address).arg(file).arg(data).spawn()?;
    ready(Server { name: "metapaas-s3d", address, child }).await
}

async fn their_server(program: &str, folder: &Path) -> Fallible<Server> {
    let data = folder.join("theirs");
    std::fs::create_dir_all(data.join("bench"))?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut command = Command::new(program);
    command.args(["--host", "127.0.0.1", "--port", &address.port().to_string()]);
    command.args(["--access-key", "key", "--secret-key", "secret"]).arg(data).env("RUST_LOG", "off");
    let child = command.stdout(Stdio::null()).spawn()?;
    ready(Server { name: "s3s-fs", address: address.to_string(), child }).await
}

async fn ready(server: Server) -> Fallible<Server> {
    for _ in 0..500 {
        if let Ok(mut connection) = connect(&server.address).await
            && send(&mut connection, &server.address, Method::GET, "/bench", "list-type=2", empty(), 0)
                .await
                .is_ok()
        {
            return Ok(server);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(format!("{} does not answer", server.name).into())
}

/// Requests a second. Each connection goes through some keys of its own, over and over.
async fn load(server: &Server, method: Method, size: usize) -> Fallible<f64> {
    let (body, count) = (Bytes::from(vec![7u8; size]), Arc::new(AtomicUsize::new(0)));
    let begin = Instant::now();
    let connections = (0..CONNECTIONS).map(|number| {
        let (address, method, body, count) =
            (server.address.clone(), method.clone(), body.clone(), count.clone());
        async move {
            let mut connection = connect(&address).await?;
            for turn in 0.. {
                let path = format!("/bench/{size}-{number}-{}", turn % 8);
                let (body, length) =
                    if method == Method::PUT { (full(body.clone()), size) } else { (empty(), 0) };
                send(&mut connection, &address, method.clone(), &path, "", body, length as u64).await?;
                if begin.elapsed() > LASTS {
                    break;
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
            Fallible::Ok(())
        }
    });
    for result in futures::future::join_all(connections).await {
        result?;
    }
    Ok(count.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64())
}

/// What a put cannot be quicker than: a new file, written, made to last, and named.
fn plain_files(folder: &Path, size: usize) -> Fallible<f64> {
    let folder = folder.join("files");
    std::fs::create_dir_all(&folder)?;
    let (body, count, begin) = (vec![7u8; size], AtomicUsize::new(0), Instant::now());
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let (folder, body, count) = (&folder, &body, &count);
                scope.spawn(move || -> io::Result<()> {
                    for turn in 0.. {
                        let (new, name) = (
                            folder.join(format!("{number}.new")),
                            folder.join(format!("{number}-{}", turn % 8)),
                        );
                        let mut file = File::create(&new)?;
                        file.write_all(body)?;
                        file.sync_all()?;
                        std::fs::rename(&new, name)?;
                        if begin.elapsed() > LASTS {
                            break;
                        }
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        writers
            .into_iter()
            .try_for_each(|writer| writer.join().unwrap_or_else(|_| Err(io::Error::other("a writer ended"))))
    })?;
    Ok(count.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64())
}

/// The most memory that a gigabyte in and out takes, above what the idle server had.
async fn memory(server: &Server, idle: u64) -> Fallible<()> {
    let before = resident(server.child.id(), "VmRSS:")?;
    std::fs::write(format!("/proc/{}/clear_refs", server.child.id()), "5")?;
    let mut connection = connect(&server.address).await?;
    let piece = Bytes::from(vec![9u8; 1 << 20]);
    let pieces =
        futures::stream::iter((0..GIB >> 20).map(move |_| Ok(hyper::body::Frame::data(piece.clone()))));
    let body = BodyExt::boxed(StreamBody::new(pieces));
    send(&mut connection, &server.address, Method::PUT, "/bench/gigabyte", "", body, GIB).await?;
    let got = send(&mut connection, &server.address, Method::GET, "/bench/gigabyte", "", empty(), 0).await?;
    let peak = resident(server.child.id(), "VmHWM:")?;
    let above = |other: u64| (peak.saturating_sub(other)) as f64 / (1 << 20) as f64;
    println!(
        "1 GiB in and out ({got} bytes): at most {:.0} MiB above before, {:.0} MiB above the idle start",
        above(before),
        above(idle)
    );
    Ok(())
}

/// Page 1 and page 1,000 of many keys.
async fn pages(server: &Server, keys: usize) -> Fallible<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let connections = (0..4 * CONNECTIONS).map(|_| {
        let (address, next) = (server.address.clone(), next.clone());
        async move {
            let mut connection = connect(&address).await?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= keys {
                    return Fallible::Ok(());
                }
                if number % 100_000 == 0 {
                    eprintln!("{number} keys");
                }
                let path = format!("/listed/key-{number:08}");
                send(&mut connection, &address, Method::PUT, &path, "", full(Bytes::from_static(b"x")), 1)
                    .await?;
            }
        }
    });
    for result in futures::future::join_all(connections).await {
        result?;
    }
    let mut connection = connect(&server.address).await?;
    let late = keys.saturating_sub(1001);
    let mut times: [Vec<f64>; 2] = Default::default();
    for turn in 0..60 {
        let which = turn % 2;
        let query = if which == 0 {
            "list-type=2".to_owned()
        } else {
            format!("list-type=2&start-after=key-{late:08}")
        };
        let begin = Instant::now();
        send(&mut connection, &server.address, Method::GET, "/listed", &query, empty(), 0).await?;
        times[which].push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    let [first, last] = times.map(median);
    println!(
        "a page of 1,000 of {keys} keys: the first {first:.2} ms, the last {last:.2} ms (x{:.2})",
        last / first
    );
    Ok(())
}

fn resident(process: u32, line: &str) -> Fallible<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let number = status.lines().find_map(|text| text.strip_prefix(line)?.split_whitespace().next());
    Ok(number.ok_or("the kernel does not tell")?.parse::<u64>()? << 10)
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

fn empty() -> Body {
    full(Bytes::new())
}

async fn connect(address: &str) -> Fallible<SendRequest<Body>> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// A request signed with its payload unsigned, as SDKs do over TLS; answers the length of the body.
async fn send(
    connection: &mut SendRequest<Body>,
    host: &str,
    method: Method,
    path: &str,
    query: &str,
    body: Body,
    length: u64,
) -> Fallible<u64> {
    let now = OffsetDateTime::now_utc();
    let stamp = now.format(format_description!("[year][month][day]T[hour][minute][second]Z"))?;
    let day = &stamp[..8];
    let mut pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).collect();
    pairs.sort_unstable();
    let canonical = format!(
        "{method}\n{path}\n{}\nhost:{host}\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:{stamp}\n\n\
         host;x-amz-content-sha256;x-amz-date\nUNSIGNED-PAYLOAD",
        pairs.join("&")
    );
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let scope = format!("{day}/us-east-1/s3/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
    let mut key = b"AWS4secret".to_vec();
    for part in [day, "us-east-1", "s3", "aws4_request", &text] {
        let mut hmac = Hmac::<Sha256>::new_from_slice(&key)?;
        hmac.update(part.as_bytes());
        key = hmac.finalize().into_bytes().to_vec();
    }
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=key/{scope}, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={}",
        hex(&key)
    );
    let uri = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header("host", host)
        .header("x-amz-date", stamp)
        .header("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
        .header("authorization", authorization)
        .header("content-length", length)
        .body(body)?;
    connection.ready().await?;
    let response = connection.send_request(request).await?;
    let status = response.status();
    let mut stream = response.into_body().into_data_stream();
    let (mut got, mut start) = (0, vec![]);
    while let Some(bytes) = stream.next().await {
        let bytes = bytes?;
        got += bytes.len() as u64;
        if status != StatusCode::OK {
            start.extend_from_slice(&bytes);
        }
    }
    if status != StatusCode::OK {
        return Err(format!("{path} answered {status}: {}", String::from_utf8_lossy(&start)).into());
    }
    Ok(got)
}
