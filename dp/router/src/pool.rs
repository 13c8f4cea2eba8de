//! [`Backend`]: one node's address and the connections to it that are kept for the next request.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::body::Payload;
use crate::workers::Workers;

/// How long a connection to a node may take to come about.
const CONNECT: Duration = Duration::from_secs(3);
/// A connection that has not been used for this long is let go: servers close theirs too, and a request that meets
/// a closing connection is lost.
const KEPT: Duration = Duration::from_secs(30);
/// Idle connections of a worker to one node at the most.
const MOST_KEPT: usize = 128;
/// How long a node comes last in the choice after it has refused a connection.
const FAILING: Duration = Duration::from_secs(2);
/// How long an idle connection may take to notice that its last answer is over.
const SETTLES: Duration = Duration::from_millis(20);

/// A connection to a node.
pub type Connection = SendRequest<Payload>;

/// A node's address and its connections.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    in_flight: AtomicUsize,
    /// Connections of each worker: one that another thread drives would be slower than a new one.
    idle: Vec<Mutex<Vec<(Connection, Instant)>>>,
    since: Instant,
    /// Milliseconds after `since` until which it counts as failing.
    failing_until: AtomicI64,
}

/// A request of a worker under way at a node; it counts until this is dropped.
#[derive(Debug)]
pub struct Entered {
    backend: Arc<Backend>,
    worker: usize,
}

impl Entered {
    /// Keeps a connection whose answer is over, for this worker.
    pub fn keep(&self, connection: Connection) {
        self.backend.keep(connection, self.worker);
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.backend.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Backend {
    /// A node without connections.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            in_flight: AtomicUsize::default(),
            idle: (0..Workers::count()).map(|_| Mutex::default()).collect(),
            since: Instant::now(),
            failing_until: AtomicI64::default(),
        }
    }

    /// Where it is.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts a request of a worker.
    pub fn enter(self: &Arc<Self>, worker: usize) -> Entered {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Entered { backend: self.clone(), worker }
    }

    /// Whether it has just refused a connection.
    pub fn is_failing(&self) -> bool {
        let until = self.failing_until.load(Ordering::Relaxed);
        until > 0 && until > self.milliseconds()
    }

    /// Notes that it has refused a connection.
    pub fn fails(&self) {
        let until = self.milliseconds() + i64::try_from(FAILING.as_millis()).unwrap_or_default();
        self.failing_until.store(until, Ordering::Relaxed);
    }

    fn milliseconds(&self) -> i64 {
        i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// An idle connection of a worker that was used within `within`, if there is one that still works.
    pub async fn kept(&self, within: Duration, worker: usize) -> Option<Connection> {
        let idle = self.idle.get(worker)?;
        loop {
            let (mut connection, since) = open(idle).pop()?;
            if since.elapsed() > within.min(KEPT) {
                // The rest is older.
                open(idle).clear();
                return None;
            }
            if connection.is_ready() {
                return Some(connection);
            }
            if let Ok(Ok(())) = tokio::time::timeout(SETTLES, connection.ready()).await {
                return Some(connection);
            }
        }
    }

    /// A new connection.
    ///
    /// # Errors
    /// When the node does not take it.
    pub async fn connect(&self) -> io::Result<Connection> {
        let connecting = async {
            let stream = TcpStream::connect(self.address).await?;
            // Requests are written whole; waiting for more to send would only delay them.
            stream.set_nodelay(true)?;
            http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)
        };
        let (connection, driver) =
            tokio::time::timeout(CONNECT, connecting).await.map_err(|_| io::ErrorKind::TimedOut)??;
        tokio::spawn(async move {
            // How it ends is told to the request under way, if there is one.
            let _ = driver.with_upgrades().await;
        });
        self.failing_until.store(0, Ordering::Relaxed);
        Ok(connection)
    }

    fn keep(&self, connection: Connection, worker: usize) {
        if connection.is_closed() {
            return;
        }
        let Some(idle) = self.idle.get(worker) else { return };
        let mut idle = open(idle);
        if idle.len() < MOST_KEPT {
            idle.push((connection, Instant::now()));
        }
    }

    /// Lets connections go that have been idle for long.
    pub fn sweep(&self) {
        for idle in &self.idle {
            open(idle).retain(|(connection, since)| since.elapsed() < KEPT && !connection.is_closed());
        }
    }
}

fn open<T>(idle: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}
