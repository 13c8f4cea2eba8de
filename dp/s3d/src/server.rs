//! The HTTP side: S3 through `s3s`, and the paths that the engine answers itself.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fmt::Write;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, EXPECT, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, S3Error};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::access::{Access, Peer};
use crate::live::{App, add};
use crate::log;
use crate::mfa::is_same;
use crate::service::Service;
use crate::store::Store;

/// How long a client may take to send the head of a request.
const HEAD: Duration = Duration::from_secs(60);
/// How long requests under way are waited for at the end.
const GRACE: Duration = Duration::from_secs(10);

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) requests: AtomicU64,
    /// Answers of the classes 2xx to 5xx.
    classes: [AtomicU64; 4],
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
}

pub(crate) fn run(arguments: &[OsString]) -> io::Result<()> {
    let [address, document, data] = arguments else {
        return Err(io::Error::other("usage: metapaas engine s3d ADDRESS DOCUMENT_FILE DATA_DIR"));
    };
    let (address, document, data) = (address.to_string_lossy(), PathBuf::from(document), PathBuf::from(data));
    let store = Store::open(&data).and_then(App::new).map_err(|fault| {
        io::Error::other(format!("{} cannot be opened: {}", data.display(), S3Error::from(fault)))
    });
    let app = Arc::new(store?);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(app, &address, document))
}

async fn serve(app: Arc<App>, address: &str, document: PathBuf) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let (following, purging, expiring) = (app.clone(), app.clone(), app.clone());
    tokio::spawn(async move { following.follow(&document).await });
    tokio::spawn(async move { purging.purge().await });
    tokio::spawn(async move { expiring.expire().await });
    let s3 = s3_service(&app);
    let graceful = GracefulShutdown::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    loop {
        let mut accepting = pin!(listener.accept());
        let socket = tokio::select! {
            accepted = &mut accepting => accepted,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        };
        let (socket, peer) = match socket {
            Ok(accepted) => accepted,
            Err(error) => {
                // E.g. too many open files; connections that end make room.
                log(&format_args!("a connection was not accepted: {error}"));
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // A failure here only costs time.
        let _ = socket.set_nodelay(true);
        let (app, s3) = (app.clone(), s3.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer.ip()));
            let (app, s3) = (app.clone(), s3.clone());
            async move { Ok::<_, Infallible>(answer(&app, &s3, request).await) }
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD);
        let connection = graceful.watch(http.serve_connection(TokioIo::new(socket), service));
        tokio::spawn(async move {
            // A client that goes away is no event.
            let _ = connection.await;
        });
    }
    drop(listener);
    // Who is still not done is cut off; what was acknowledged is on the disk.
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
    app.keep_count(true).await;
    Ok(())
}

fn s3_service(app: &Arc<App>) -> S3Service {
    let access = Access(app.clone());
    let mut builder = S3ServiceBuilder::new(Service { app: app.clone(), access: access.clone() });
    builder.set_auth(access.clone());
    builder.set_access(access);
    let mut config = S3Config::default();
    // Bodies that are held in memory: XML, and forms, which are refused.
    config.xml_max_body_size = 8 << 20;
    config.post_object_max_file_size = 1 << 20;
    config.form_max_fields_size = 1 << 20;
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    builder.build()
}

async fn answer(app: &Arc<App>, s3: &S3Service, request: Request<Incoming>) -> Response<Body> {
    let is_get = request.method() == Method::GET;
    match request.uri().path() {
        "/health" if is_get => match app.live() {
            Some(live) => text(StatusCode::OK, live.document.digest.clone()),
            None => text(StatusCode::SERVICE_UNAVAILABLE, "there is no valid document yet".into()),
        },
        "/metrics" if is_get => match exposition(app) {
            Ok(metrics) => text(StatusCode::OK, metrics),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        "/usage" if is_get => usage(app, &request),
        _ => {
            let is_waiting = request.headers().contains_key(EXPECT);
            let response = s3.call(request.map(Body::from)).await;
            let mut response =
                response.unwrap_or_else(|_| text(StatusCode::INTERNAL_SERVER_ERROR, String::new()));
            // Who is refused before it sent the body may begin the next request where the body would be (RFC 9110, 10.1.1).
            if is_waiting && !response.status().is_success() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            app.metrics.count(response.status());
            app.keep_count(false).await;
            response
        }
    }
}

fn text(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn usage(app: &App, request: &Request<Incoming>) -> Response<Body> {
    let Some(live) = app.live() else { return text(StatusCode::SERVICE_UNAVAILABLE, String::new()) };
    let shown =
        request.headers().get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    let token = live.document.usage_token.as_bytes();
    if token.is_empty() || !shown.is_some_and(|shown| is_same(shown, token)) {
        return text(StatusCode::UNAUTHORIZED, "a bearer token is needed".into());
    }
    let usage = app.usage().map_err(|fault| S3Error::from(fault).to_string());
    match usage.and_then(|usage| serde_json::to_string(&usage).map_err(|error| error.to_string())) {
        Ok(json) => {
            let mut response = text(StatusCode::OK, json);
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

impl Metrics {
    fn count(&self, status: StatusCode) {
        add(&self.requests, 1);
        if let Some(class) = self.classes.get(usize::from(status.as_u16() / 100).wrapping_sub(2)) {
            add(class, 1);
        }
    }
}

/// Prometheus text. Names of buckets are lower-case letters, digits, dots and hyphens, so they need no escaping.
fn exposition(app: &App) -> Result<String, S3Error> {
    let usage = app.usage()?;
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, values: &[(String, u64)]| {
        let _ = writeln!(text, "# HELP metapaas_s3_{name} {help}\n# TYPE metapaas_s3_{name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(text, "metapaas_s3_{name}{labels} {value}");
        }
    };
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let classes = app
        .metrics
        .classes
        .iter()
        .zip(2..)
        .map(|(count, class)| (format!("{{code=\"{class}xx\"}}"), load(count)));
    metric("requests_total", "counter", "Requests answered since the start.", &classes.collect::<Vec<_>>());
    metric(
        "received_bytes_total",
        "counter",
        "Bytes of objects received.",
        &[(String::new(), load(&app.metrics.received))],
    );
    metric(
        "sent_bytes_total",
        "counter",
        "Bytes of objects sent.",
        &[(String::new(), load(&app.metrics.sent))],
    );
    let of_buckets = |value: fn(&crate::document::BucketUsage) -> u64| {
        let line = |(name, bucket): (&String, _)| (format!("{{bucket=\"{name}\"}}"), value(bucket));
        usage.buckets.iter().map(line).collect::<Vec<_>>()
    };
    metric("objects", "gauge", "Objects, versions and delete markers.", &of_buckets(|bucket| bucket.objects));
    metric("bytes", "gauge", "Bytes of all versions.", &of_buckets(|bucket| bucket.bytes));
    Ok(text)
}
