//! One request from its head to the end of its answer.
//!
//! A request that no node has seen may go to another node, however often; one that a node may have seen goes to
//! another only when it has no body and its method is idempotent (RFC 9110, section 9.2.2). So a node that stops, as
//! in a switch to a new release, costs no request.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;
use tokio::sync::OwnedSemaphorePermit;

use crate::access::{AccessLog, Record};
use crate::body::{Answer, End, Payload};
use crate::metrics::{Metrics, count};
use crate::pages::page;
use crate::pool::{Backend, Connection, Entered};
use crate::table::{Current, Route};
use crate::{body, headers};

/// How long a request waits for a node of its app to take a connection: a restart takes less.
const HOLD: Duration = Duration::from_secs(2);
/// Between two rounds through all nodes.
const ROUND: Duration = Duration::from_millis(50);
/// How long a node may take to begin its answer.
const ANSWER: Duration = Duration::from_secs(60);
/// The same for a request with a body, which may take its time to arrive.
const ANSWER_TO_BODY: Duration = Duration::from_secs(600);
/// A request that cannot be made again gets a connection that was used a moment ago, or a new one: an older one may be
/// about to be closed by the node.
const FRESH: Duration = Duration::from_secs(1);
/// Any other request gets a connection that was used within this.
const KEPT: Duration = Duration::from_secs(30);

/// What all requests share.
#[derive(Debug)]
pub struct Server {
    /// What leads where.
    pub table: Current,
    /// What is counted.
    pub metrics: Metrics,
    /// Where requests are noted.
    pub log: AccessLog,
}

/// The listener that a request came in on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// The one for host names, with its port.
    Hosts(u16),
    /// That of a leased port.
    Leased(u16),
}

/// A client's connection. What is the same for all of its requests is made once.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    ip: HeaderValue,
    entrance: Entrance,
    port: HeaderValue,
    worker: usize,
    /// Taken for as long as it is open, also as a WebSocket.
    _place: Place,
}

/// A place among all connections, and the count of them.
#[derive(Debug)]
pub struct Place {
    server: Arc<Server>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// One more.
    pub fn new(server: Arc<Server>, permit: OwnedSemaphorePermit) -> Self {
        count(&server.metrics.connections);
        Self { server, _permit: permit }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.server.metrics.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Client {
    /// One that came in by `entrance`, is served by a worker, and takes a place among all connections.
    pub fn new(address: SocketAddr, entrance: Entrance, worker: usize, place: Place) -> Self {
        let (Entrance::Hosts(port) | Entrance::Leased(port)) = entrance;
        let ip = HeaderValue::from_str(&address.ip().to_canonical().to_string());
        // An address is always a value.
        let ip = ip.unwrap_or(HeaderValue::from_static("unknown"));
        Self { address, ip, entrance, port: HeaderValue::from(port), worker, _place: place }
    }
}

/// Why no node answered.
enum Failure {
    /// No node took the request.
    Down,
    /// One took it and broke off.
    Broken,
    /// One took it and did not answer in time.
    Late,
}

/// An attempt that failed.
enum Lost {
    /// No byte of it was sent.
    NotSent(Box<Request<Payload>>),
    /// The node may have seen it.
    Sent(Failure),
}

/// An answer that has begun.
struct Begun {
    response: Response<Incoming>,
    connection: Connection,
    entered: Entered,
}

impl Server {
    /// Answers a request. It never fails: what goes wrong is an answer as well.
    ///
    /// # Errors
    /// None.
    pub async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        client: Arc<Client>,
    ) -> Result<Response<Answer>, Infallible> {
        let mut record = Record {
            client: client.address,
            method: request.method().clone(),
            host: String::new(),
            path: request.uri().path().to_owned(),
            instance: None,
            backend: None,
            retries: 0,
            status: 0,
            bytes: 0,
            is_whole: false,
            began: Instant::now(),
        };
        let Some((name, host)) = headers::host(request.headers(), request.uri()) else {
            return Ok(self.refuse(record, StatusCode::BAD_REQUEST));
        };
        record.host = name;
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return Ok(self.refuse(record, StatusCode::METHOD_NOT_ALLOWED));
        }
        let Some(route) = self.route(&record.host, client.entrance) else {
            return Ok(self.refuse(record, StatusCode::NOT_FOUND));
        };
        record.instance = Some(route.instance);
        if route.is_empty() {
            return Ok(self.refuse(record, StatusCode::SERVICE_UNAVAILABLE));
        }
        let (request, upgrade) = outbound(request, &client, &host);
        match self.forward(request, &mut record, route, &client).await {
            Ok(begun) => Ok(self.pass_on(begun, upgrade, record, client).await),
            Err(failure) => Ok(self.refuse(
                record,
                match failure {
                    Failure::Down => StatusCode::SERVICE_UNAVAILABLE,
                    Failure::Broken => StatusCode::BAD_GATEWAY,
                    Failure::Late => StatusCode::GATEWAY_TIMEOUT,
                },
            )),
        }
    }

    fn route(&self, host: &str, entrance: Entrance) -> Option<Arc<Route>> {
        let table = self.table.get();
        match entrance {
            Entrance::Hosts(_) => table.by_host(host).cloned(),
            Entrance::Leased(port) => table.by_port(port).cloned(),
        }
    }

    /// Finds a node that takes the request. The table is read anew in every round: it may have changed meanwhile.
    async fn forward(
        &self,
        mut request: Request<Payload>,
        record: &mut Record,
        mut route: Arc<Route>,
        client: &Client,
    ) -> Result<Begun, Failure> {
        let until = record.began + HOLD;
        loop {
            let mut tried = Vec::new();
            while let Some(backend) = route.choose(&tried) {
                record.backend = Some(backend.address());
                match self.attempt(&backend, request, client.worker).await {
                    Ok(begun) => return Ok(begun),
                    Err(Lost::Sent(failure)) => return Err(failure),
                    Err(Lost::NotSent(back)) => {
                        request = *back;
                        tried.push(backend.address());
                        record.retries += 1;
                        count(&self.metrics.retries);
                    }
                }
            }
            if route.is_empty() || Instant::now() >= until {
                return Err(Failure::Down);
            }
            tokio::time::sleep(ROUND).await;
            route = self.route(&record.host, client.entrance).ok_or(Failure::Down)?;
        }
    }

    /// Sends a request to a node, over a kept connection if there is one that works.
    async fn attempt(
        &self,
        backend: &Arc<Backend>,
        mut request: Request<Payload>,
        worker: usize,
    ) -> Result<Begun, Lost> {
        let entered = backend.enter(worker);
        let is_repeatable = request.body().is_empty() && request.method().is_idempotent();
        let within = if is_repeatable { KEPT } else { FRESH };
        let patience = if request.body().is_empty() { ANSWER } else { ANSWER_TO_BODY };
        loop {
            let (mut connection, is_kept) = match backend.kept(within, worker).await {
                Some(connection) => (connection, true),
                None => match backend.connect().await {
                    Ok(connection) => (connection, false),
                    Err(error) => {
                        tracing::debug!(backend = %backend.address(), %error, "a node takes no connection");
                        backend.fails();
                        return Err(Lost::NotSent(request.into()));
                    }
                },
            };
            let again = (is_kept && is_repeatable).then(|| copy(&request));
            match tokio::time::timeout(patience, connection.try_send_request(request)).await {
                Ok(Ok(response)) => return Ok(Begun { response, connection, entered }),
                Err(_) => return Err(Lost::Sent(Failure::Late)),
                Ok(Err(mut error)) => match (error.take_message(), again) {
                    // A kept connection that was closed meanwhile says nothing of the node.
                    (Some(back), _) if is_kept => request = back,
                    (Some(back), _) => return Err(Lost::NotSent(back.into())),
                    (None, Some(again)) => request = again,
                    (None, None) => {
                        let error = error.into_error();
                        tracing::debug!(backend = %backend.address(), %error, "a node broke off");
                        return Err(Lost::Sent(Failure::Broken));
                    }
                },
            }
            count(&self.metrics.retries);
        }
    }

    /// Hands a node's answer to the client.
    async fn pass_on(
        self: &Arc<Self>,
        begun: Begun,
        upgrade: Option<OnUpgrade>,
        mut record: Record,
        client: Arc<Client>,
    ) -> Response<Answer> {
        let Begun { mut response, connection, entered } = begun;
        record.status = response.status().as_u16();
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return match upgrade {
                Some(upgrade) => self.switch(response, upgrade, entered, record, client),
                // Nobody asked for it.
                None => self.refuse(record, StatusCode::BAD_GATEWAY),
            };
        }
        headers::end_to_end(response.headers_mut());
        *response.version_mut() = Version::HTTP_11;
        let end = End { server: self.clone(), record, connection: Some((connection, entered)) };
        let (head, mut body) = response.into_parts();
        let first = body::at_hand(&mut body).await;
        Response::from_parts(head, Answer::of_node(first, body, end))
    }

    /// Connects the two ends of a WebSocket; it lasts until one of them ends it.
    fn switch(
        self: &Arc<Self>,
        mut response: Response<Incoming>,
        upgrade: OnUpgrade,
        entered: Entered,
        record: Record,
        client: Arc<Client>,
    ) -> Response<Answer> {
        let node = hyper::upgrade::on(&mut response);
        let server = self.clone();
        tokio::spawn(async move {
            let (Ok(upgraded), Ok(node)) = (upgrade.await, node.await) else { return };
            count(&server.metrics.websockets);
            let (mut upgraded, mut node) = (TokioIo::new(upgraded), TokioIo::new(node));
            // Either end may go away as it likes.
            let _ = tokio::io::copy_bidirectional(&mut upgraded, &mut node).await;
            server.metrics.websockets.fetch_sub(1, Ordering::Relaxed);
            drop((entered, client));
        });
        headers::end_to_end(response.headers_mut());
        upgrades(response.headers_mut());
        let end = End { server: self.clone(), record, connection: None };
        response.map(|_| Answer::page("", end))
    }

    /// An answer of the router's own.
    fn refuse(self: &Arc<Self>, mut record: Record, status: StatusCode) -> Response<Answer> {
        record.status = status.as_u16();
        let text = page(status);
        let end = End { server: self.clone(), record, connection: None };
        let mut response = Response::new(Answer::page(text, end));
        *response.status_mut() = status;
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            fields.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            let methods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
            fields.insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        response
    }

    /// Counts and notes an answer that has ended.
    pub fn answered(&self, record: Record) {
        if let Some(counter) = self.metrics.answers.get(usize::from(record.status / 100)) {
            count(counter);
        }
        self.metrics.bytes.fetch_add(record.bytes, Ordering::Relaxed);
        if !record.is_whole {
            count(&self.metrics.broken);
        }
        if !self.log.note(&record) {
            count(&self.metrics.log_lines_dropped);
        }
    }
}

/// The request as a node gets it, and what a WebSocket of the client's becomes.
fn outbound(
    mut request: Request<Incoming>,
    client: &Client,
    host: &HeaderValue,
) -> (Request<Payload>, Option<OnUpgrade>) {
    let is_websocket = request.version() == Version::HTTP_11 && headers::is_websocket(request.headers());
    let upgrade = is_websocket.then(|| hyper::upgrade::on(&mut request));
    let (mut parts, body) = request.into_parts();
    headers::end_to_end(&mut parts.headers);
    // The client has its 100 from this server.
    parts.headers.remove(header::EXPECT);
    parts.headers.insert(header::HOST, host.clone());
    headers::forward(&mut parts.headers, &client.ip, host, &client.port);
    if is_websocket {
        upgrades(&mut parts.headers);
    }
    parts.version = Version::HTTP_11;
    parts.uri = origin_form(&parts);
    (Request::from_parts(parts, Payload::of(body)), upgrade)
}

fn upgrades(headers: &mut hyper::HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

fn origin_form(parts: &Parts) -> Uri {
    match parts.uri.path_and_query() {
        Some(path) if parts.uri.scheme().is_some() || parts.uri.authority().is_some() => {
            Uri::from(path.clone())
        }
        _ => parts.uri.clone(),
    }
}

/// The head of a request without a body, to send it once more.
fn copy(request: &Request<Payload>) -> Request<Payload> {
    let mut copy = Request::new(Payload::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}
