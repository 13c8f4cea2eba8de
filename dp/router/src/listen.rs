//! The listeners: that of host names, one for each leased port, and the one for operators.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep};

use crate::proxy::{Client, Entrance, Place, Server};
use crate::workers::Workers;

/// How long the head of a request may take, and how long a connection may be idle.
const HEAD: Duration = Duration::from_secs(60);
/// Heads larger than this are refused.
const LARGEST_HEAD: usize = 64 * 1024;
/// A client that takes nothing of its answer for this long is cut off.
const STALLED: Duration = Duration::from_secs(60);
/// After so long without a word it is looked whether a client is still there, and so long again until it counts as gone.
const SILENT: Duration = Duration::from_secs(60);
/// Connections of clients at the most, WebSockets among them.
const CONNECTIONS: usize = 20_000;
/// A pause after the system has refused to accept, as when it is out of file descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// Accepts on all ports.
#[derive(Debug)]
pub struct Doors {
    server: Arc<Server>,
    workers: Arc<Workers>,
    room: Arc<Semaphore>,
    stop: watch::Sender<bool>,
    ip: IpAddr,
    leased: HashMap<u16, JoinHandle<()>>,
}

impl Doors {
    /// No door is open yet. Leased ports are on `ip`.
    ///
    /// # Errors
    /// When the threads that serve cannot be started.
    pub fn new(server: Arc<Server>, ip: IpAddr) -> io::Result<Self> {
        let (room, workers) = (Arc::new(Semaphore::new(CONNECTIONS)), Arc::new(Workers::start()?));
        Ok(Self { server, workers, room, stop: watch::channel(false).0, ip, leased: HashMap::new() })
    }

    /// Serves a listener.
    pub fn open(&self, listener: TcpListener, entrance: Entrance) -> JoinHandle<()> {
        let (server, workers, room) = (self.server.clone(), self.workers.clone(), self.room.clone());
        tokio::spawn(accept(listener, server, workers, room, self.stop.subscribe(), entrance))
    }

    /// Listens on the leased ports of the table, and no longer on others. One that cannot be had is tried again by the
    /// next call.
    pub async fn follow(&mut self) {
        let table = self.server.table.get();
        self.leased.retain(|port, door| {
            let stays = table.by_port(*port).is_some();
            if !stays {
                door.abort();
            }
            stays
        });
        for port in table.ports() {
            if self.leased.contains_key(&port) {
                continue;
            }
            match TcpListener::bind((self.ip, port)).await {
                Ok(listener) => {
                    let door = self.open(listener, Entrance::Leased(port));
                    self.leased.insert(port, door);
                }
                Err(error) => tracing::warn!(port, %error, "a leased port cannot be listened on"),
            }
        }
    }

    /// Takes no more connections and waits until the requests under way are answered.
    pub async fn close(self) {
        for door in self.leased.values() {
            door.abort();
        }
        // Nobody listens when there is no connection.
        let _ = self.stop.send(true);
        // A WebSocket has no end that could be waited for.
        let websockets = || usize::try_from(self.server.metrics.websockets.load(Ordering::Relaxed));
        while self.room.available_permits() + websockets().unwrap_or_default() < CONNECTIONS {
            tokio::time::sleep(BREATH).await;
        }
    }
}

async fn accept(
    listener: TcpListener,
    server: Arc<Server>,
    workers: Arc<Workers>,
    room: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
    entrance: Entrance,
) {
    loop {
        // Beyond the limit, connections wait in the system's queue.
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let accepted = match listener.accept().await {
            // It goes to the thread that serves it.
            Ok((stream, client)) => stream.into_std().map(|stream| (stream, client)),
            Err(error) => Err(error),
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
                let of_connection = [ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted];
                if !of_connection.contains(&error.kind()) {
                    tracing::error!(%error, "connections cannot be accepted; is the limit of open files too low?");
                    tokio::time::sleep(BREATH).await;
                }
                continue;
            }
        };
        let (server, stop) = (server.clone(), stop.clone());
        workers.give(move |worker| async move {
            let place = Place::new(server.clone(), permit);
            serve(stream, server, Client::new(client, entrance, worker, place), stop).await;
        });
    }
}

/// Answers the requests of a connection until it ends, or until the one under way is answered after a stop.
async fn serve(
    stream: std::net::TcpStream,
    server: Arc<Server>,
    client: Client,
    mut stop: watch::Receiver<bool>,
) {
    // Only a worker that is out of file descriptors cannot take it.
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    // Answers are written whole; waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let _ = notice_the_gone(&stream);
    let client = Arc::new(client);
    let service = service_fn(move |request| server.clone().answer(request, client.clone()));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(LARGEST_HEAD);
    let stream = TokioIo::new(Patient { stream, sleep: None });
    let connection = http.serve_connection(stream, service).with_upgrades();
    tokio::pin!(connection);
    let told = async { drop(stop.wait_for(|stop| *stop).await) };
    // How it ends is of no interest: clients come and go as they like.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = told => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// Has the system look whether a client that says nothing is still there: a WebSocket may be silent for hours.
fn notice_the_gone(stream: &TcpStream) -> rustix::io::Result<()> {
    sockopt::set_tcp_keepidle(stream, SILENT)?;
    sockopt::set_tcp_keepintvl(stream, SILENT / 4)?;
    sockopt::set_tcp_keepcnt(stream, 4)?;
    sockopt::set_socket_keepalive(stream, true)
}

/// `/metrics` and `/healthz`, for this machine.
pub async fn admin(listener: TcpListener, server: Arc<Server>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        let server = server.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let text = match request.uri().path() {
                    "/metrics" => Some(server.metrics.render(&server.table.get())),
                    "/healthz" => Some("ok\n".to_owned()),
                    _ => None,
                };
                let mut response = Response::new(Full::new(Bytes::from(text.clone().unwrap_or_default())));
                if text.is_none() {
                    *response.status_mut() = StatusCode::NOT_FOUND;
                }
                async move { Ok::<_, Infallible>(response) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD);
            // How it ends is of no interest.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// A connection that ends when its client takes nothing of what it is sent.
struct Patient {
    stream: TcpStream,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn written<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.sleep = None;
            return written;
        }
        let end = || Box::pin(tokio::time::sleep_until(Instant::now() + STALLED));
        ready!(self.sleep.get_or_insert_with(end).as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing of its answer")))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.written(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
