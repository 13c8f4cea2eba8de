//! The listener: accepts connections, holds them to the limits, serves them until they end or the process stops.
//!
//! A connection costs a task and its buffers, never a thread. A client that is slow to send its headers, to send its
//! body or to take its answer is cut off; none of them holds up another.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::http::Http;
use crate::limits::Limits;

mod patience;
pub(crate) mod unix;

use self::patience::{Patience, Patient};

/// Who is at the other end of the connection that a request came on.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// A pause after the system has refused to accept, as when it is out of file descriptors.
const BREATH: Duration = Duration::from_millis(100);
/// The parser's own limits stand this far above ours, so that what is a little too large gets our answer.
const SLACK: u64 = 2;

/// What a client over the limit of connections is told; TLS clients are told nothing.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
    retry-after: 1\r\nconnection: close\r\ncontent-length: 193\r\n\r\n\
    {\"type\":\"urn:metapaas:error:UNAVAILABLE\",\"title\":\"Temporarily unavailable\",\"status\":503,\
    \"code\":\"UNAVAILABLE\",\"detail\":\"too many connections are open; close some or try again later\",\"errors\":[]}";

/// A listener that is about to serve.
pub(crate) struct Listener {
    /// Accepts.
    pub(crate) socket: TcpListener,
    /// Answers.
    pub(crate) app: Http,
    /// Speaks TLS, when a certificate is set.
    pub(crate) tls: Option<TlsAcceptor>,
    /// What a client may do at the most.
    pub(crate) limits: Limits,
}

impl Listener {
    /// Serves until `stop` turns true, and then until all requests under way are answered.
    pub(crate) async fn serve(self, mut stop: watch::Receiver<bool>) {
        let Self { socket, app, tls, limits } = self;
        let graceful = GracefulShutdown::new();
        let open = Open::new(&limits);
        let serving = Arc::new(Serving { app, tls, http: http(&limits), limits });
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            match accepted {
                Ok((stream, peer)) => match open.enter(peer.ip()) {
                    Some(slot) => {
                        let (serving, watcher) = (serving.clone(), graceful.watcher());
                        tokio::spawn(async move {
                            serving.connection(stream, peer, watcher).await;
                            drop(slot);
                        });
                    }
                    None => refuse(&stream, serving.tls.is_some()),
                },
                // The client went away before it was its turn.
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "connections cannot be accepted; is the limit of open files too low?");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
        drop(socket);
        graceful.shutdown().await;
    }
}

/// How HTTP is spoken.
fn http(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    let bytes = (limits.header_bytes + limits.uri_bytes) * SLACK;
    http.timer(TokioTimer::new())
        .max_header_size(usize::try_from(bytes).unwrap_or(usize::MAX))
        // Runs from the end of a request on; that of the headers alone is kept by `Patient`.
        .header_read_timeout(Duration::from_secs(limits.idle_timeout));
    http
}

fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn refuse(stream: &TcpStream, is_tls: bool) {
    metrics::counter!("metapaas_http_connections_refused_total").increment(1);
    if !is_tls {
        // The answer fits into the buffer of a new connection; one that does not take it gets none.
        let _ = stream.try_write(FULL);
    }
}

struct Serving {
    app: Http,
    tls: Option<TlsAcceptor>,
    http: http1::Builder,
    limits: Limits,
}

impl Serving {
    async fn connection(&self, stream: TcpStream, peer: SocketAddr, watcher: Watcher) {
        // Answers are written whole; waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else { return self.http(stream, peer, watcher).await };
        match tokio::time::timeout(self.limits.header_timeout(), tls.accept(stream)).await {
            Ok(Ok(stream)) => self.http(stream, peer, watcher).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS was agreed on"),
            Err(_) => tracing::debug!(%peer, "no TLS was agreed on in time"),
        }
    }

    async fn http<I>(&self, stream: I, peer: SocketAddr, watcher: Watcher)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let patience = Arc::new(Patience::new(&self.limits));
        let service = service_fn(|request: Request<Incoming>| {
            patience.request_begins();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer));
            let patience = &patience;
            async move {
                let answer = self.app.answer(request).await;
                patience.request_ends();
                Ok::<_, Infallible>(answer)
            }
        });
        let stream = TokioIo::new(Patient::new(stream, patience.clone()));
        if let Err(error) = watcher.watch(self.http.serve_connection(stream, service)).await {
            // Clients come and go as they like; that is no fault of this side.
            tracing::debug!(%peer, error = metapaas_core::error::chain(&error), "a connection was cut off");
        }
    }
}

/// How many connections are open, in all and by address.
struct Open {
    most: usize,
    most_per_address: Option<usize>,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection's place; it is free again when this is dropped.
struct Slot {
    open: Arc<Open>,
    address: IpAddr,
}

impl Open {
    fn new(limits: &Limits) -> Arc<Self> {
        let number = |number| usize::try_from(number).unwrap_or(usize::MAX);
        let per_address = Some(number(limits.connections_per_address)).filter(|most| *most > 0);
        let counts = Mutex::default();
        Arc::new(Self { most: number(limits.connections), most_per_address: per_address, counts })
    }

    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Slot> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all >= self.most {
            return None;
        }
        if let Some(most) = self.most_per_address {
            let count = counts.by_address.entry(address).or_default();
            if *count >= most {
                return None;
            }
            *count += 1;
        }
        counts.all += 1;
        Some(Slot { open: self.clone(), address })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.open.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all -= 1;
        if let Some(count) = counts.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_one_too_many_is_whole() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        assert_eq!(length.parse(), Ok(body.len()));
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["status"], 503);
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_ends() {
        let open = Open::new(&Limits { connections: 3, connections_per_address: 2, ..Limits::default() });
        let [one, other]: [IpAddr; 2] = [[127, 0, 0, 1].into(), [127, 0, 0, 2].into()];
        let (first, _second) = (open.enter(one).unwrap(), open.enter(one).unwrap());
        assert!(open.enter(one).is_none(), "two of one address");
        let _third = open.enter(other).unwrap();
        assert!(open.enter(other).is_none(), "three in all");
        drop(first);
        assert!(open.enter(one).is_some());
    }
}
