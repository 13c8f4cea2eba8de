//! `up` and `serve`: a control plane from start to stop.

use std::fs;
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use metapaas_core::agents::Agents;
use metapaas_core::authn::{Authenticator, FetchJson};
use metapaas_core::calls::Calls;
use metapaas_core::iam::Iam;
use metapaas_core::instance_metrics::InstanceMetrics;
use metapaas_core::logs::Logs;
use metapaas_core::openapi;
use metapaas_core::operations::Operations;
use metapaas_core::reconcile::{NodeTokens, Policy, Reconciler, Routing, Settings};
use metapaas_core::registry::Registry;
use metapaas_core::routers::Routers;
use metapaas_core::runs::Runs;
use metapaas_core::store::{NewProjectLimits, Store, quota_resources};
use metapaas_core::uploads::Uploads;
use metapaas_core::watch::WatchHub;
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::http::{Counts, Http, Methods, State};
use crate::hygiene::{self, CoreDumps};
use crate::keys;
use crate::listen::Listener;
use crate::listen::unix::AgentSocket;
use crate::oidc::{HttpFetcher, OidcIssuer};
use crate::providers;
use crate::rate::Rates;
use crate::router::Router;
use crate::startup::{StartError, Started, start, write_secret};
use crate::telemetry;
use crate::tls::Certificate;

/// How long requests under way may take to end once a stop was asked for.
const DRAIN: Duration = Duration::from_secs(10);
const HEARTBEAT: Duration = Duration::from_secs(2);
/// A control plane that has not reported for this long is no longer told to agents.
pub(crate) const REPLICA_SILENCE: Duration = Duration::from_secs(15);

/// Which parts of a control plane run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parts {
    /// The API and the workers.
    All,
    /// The API alone.
    Api,
}

/// Runs a control plane until it is told to stop.
///
/// # Errors
/// One line when it cannot start.
pub(crate) async fn run(config: Config, registry: Arc<Registry>, parts: Parts) -> Result<(), StartError> {
    hygiene::apply(
        if config.core_dumps { CoreDumps::AsSet } else { CoreDumps::Never },
        config.limits.connections,
    );
    let metrics = telemetry::metrics()?;
    let certificate = match (&config.tls_certificate, &config.tls_key) {
        (Some(certificate), Some(key)) => Some(Arc::new(Certificate::load(certificate, key)?)),
        _ => None,
    };
    let tls = certificate.as_ref().map(Certificate::acceptor).transpose()?;
    let ca = config.ca_file.as_deref().map(read_ca).transpose()?;
    let address = config.listen_address()?;
    let listener = TcpListener::bind(address).await.map_err(|error| {
        StartError(format!(
            "cannot listen on {address}: {error}; choose another with --listen, e.g. 127.0.0.1:0"
        ))
    })?;
    let bound = listener.local_addr().map_err(|error| StartError(format!("cannot listen: {error}")))?;
    let started = start(config, registry).await?;
    let url = started.config.url(bound);
    let (stop_sender, stop) = watch::channel(false);
    let replica = Uuid::now_v7();
    let endpoints = Arc::new(RwLock::new(vec![url.clone()]));
    let tokens = NodeTokens::new(&derived(&started.signing_key, "node tokens"));

    let settings = &started.config.nodes;
    let placement = settings.placement();
    let agent_socket = settings
        .uses("docker")
        .then(|| AgentSocket::bind(&settings.control(&started.config.data_dir), &started.config.data_dir))
        .transpose()?;

    let authenticator = Arc::new(authenticator(&started)?);
    let mut followers = vec![tokio::spawn(keys::follow(started.key_source.clone(), started.store.clone()))];
    followers.extend(certificate.map(|certificate| tokio::spawn(certificate.follow())));
    let follow = tokio::spawn({
        let authenticator = authenticator.clone();
        async move { authenticator.follow().await }
    });
    let beat = tokio::spawn(heartbeat(started.store.clone(), replica, url.clone(), endpoints.clone()));
    let routers =
        Routers::new(started.store.clone(), NodeTokens::new(&derived(&started.signing_key, "router tokens")));
    let beside = Router::new(&started.config)?;
    let routing = beside.routing(&started.config, routers.in_force())?;
    let router = beside.follow(routers.token(), ca.clone(), endpoints.clone());
    let reconciler = (parts == Parts::All)
        .then(|| worker(&started, replica, tokens.clone(), endpoints.clone(), ca, routing))
        .transpose()?;

    let hub = WatchHub::new(started.store.clone(), authenticator.clone(), stop.clone());
    let tail = tokio::spawn(hub.clone().run());
    let described = openapi::document(&started.registry, env!("CARGO_PKG_VERSION"));
    let iam = Iam::new(authenticator.clone()).keeping(started.store.kept_answers());
    let iam = Arc::new(iam.limiting(new_project_limits(&started)?));
    // Told to stop after the last request, whose denial it may have to write.
    let (audit_stop, audit_stopped) = watch::channel(false);
    let audit = tokio::spawn({
        let iam = iam.clone();
        async move { iam.write_audit(audit_stopped).await }
    });
    let calls = Calls::default();
    let logs = Logs::new(started.store.clone(), calls.clone(), authenticator.clone());
    let runs = Runs::new(
        started.store.clone(),
        calls.clone(),
        iam.clone(),
        Duration::from_secs(started.config.limits.run_timeout),
    );
    let app = Arc::new(State {
        hub,
        openapi: document(&described),
        methods: Methods::of(openapi::methods(&described)),
        openapi_by_slug: documents(&started.registry),
        registry: started.registry.clone(),
        store: started.store.clone(),
        iam,
        authenticator,
        operations: Operations::new(started.store.clone()),
        agents: Agents::new(started.store.clone(), tokens, endpoints),
        calls,
        logs,
        uploads: Uploads::new(started.store.clone(), started.config.limits.uploads()),
        runs,
        routers,
        placement,
        metrics,
        instance_metrics: InstanceMetrics::new(started.store.clone()),
        counts: Counts::default(),
        body_limit: started.config.limits.body(started.config.body_limit),
        rates: Rates::new(&started.config.limits),
        limits: started.config.limits.clone(),
        trusted_proxies: started.config.trusted_proxies.clone(),
        stop: stop.clone(),
    });
    let limits = started.config.limits.clone();
    let agents = agent_socket
        .map(|socket| tokio::spawn(socket.serve(Http::for_agents(app.clone()), limits, stop.clone())));
    let listener =
        Listener { socket: listener, app: Http::new(app), tls, limits: started.config.limits.clone() };
    let server = tokio::spawn(listener.serve(stop.clone()));
    write_secret(&started.config.file("endpoint"), url.as_bytes())?;
    // Last: nothing that outlives this process is started by one that then does not start.
    if parts == Parts::All {
        followers.push(tokio::spawn(router));
    }
    let worker = reconciler.map(|reconciler| tokio::spawn(reconciler.run(stop.clone())));
    announce(&url, &started.config, parts);

    stop_signal().await;
    tracing::info!("stopping");
    // Everybody who cares holds a receiver.
    let _ = stop_sender.send(true);
    let drained = tokio::time::timeout(DRAIN, async {
        let _ = server.await;
        if let Some(agents) = agents {
            let _ = agents.await;
        }
        if let Some(worker) = worker {
            let _ = worker.await;
        }
        let _ = tail.await;
    });
    if drained.await.is_err() {
        tracing::warn!("requests or work still ran after {DRAIN:?}; they are cut off");
    }
    let _ = audit_stop.send(true);
    if tokio::time::timeout(DRAIN, audit).await.is_err() {
        tracing::error!("the audit could not be written to its end");
    }
    follow.abort();
    for follower in followers {
        follower.abort();
    }
    beat.abort();
    if let Err(error) = started.store.replica_gone(replica).await {
        tracing::warn!(%error, "taking this control plane off the list failed");
    }
    let _ = fs::remove_file(started.config.file("endpoint"));
    started.store.database.close().await;
    drop(started.lock);
    Ok(())
}

/// Lifetimes, limits and issuers as the settings say.
fn authenticator(started: &Started) -> Result<Authenticator, StartError> {
    let config = &started.config;
    let made = Authenticator::new(started.store.database.clone(), &started.signing_key)
        .with_settings(config.auth_settings());
    if config.oidc.is_empty() {
        return Ok(made);
    }
    let fetcher: Arc<dyn FetchJson> = Arc::new(HttpFetcher::new()?);
    Ok(made.with_issuers(config.oidc.iter().map(OidcIssuer::settings).collect(), &fetcher))
}

fn announce(url: &str, config: &Config, parts: Parts) {
    // The URL alone on standard output is for programs; the rest is for people.
    crate::print(url);
    let database = if config.database.is_some() { "PostgreSQL" } else { "SQLite" };
    let what = if parts == Parts::All { "MetaPaaS" } else { "MetaPaaS (API only)" };
    crate::say(&format!(
        "{what} serves {url} on {database}, data in {}\ndocs: {url}/docs   try: metapaas types   stop: Ctrl-C",
        config.data_dir.display()
    ));
}

fn worker(
    started: &Started,
    replica: Uuid,
    tokens: NodeTokens,
    endpoints: Arc<RwLock<Vec<String>>>,
    ca: Option<String>,
    routing: Option<Routing>,
) -> Result<Arc<Reconciler>, StartError> {
    let tag = tag(&started.signing_key);
    let providers = providers::providers(&started.config, &tag)?;
    let policy = Policy {
        events: started.config.event_retention()?,
        operations: started.config.operation_retention.delta().to_std().unwrap_or_default(),
        answers: Duration::from_secs(started.config.limits.idempotency_hours * 60 * 60),
        ..Policy::default()
    };
    let settings = Settings { owner: replica.to_string(), tag, endpoints, ca, policy, tokens, routing };
    let reconciler = Reconciler::new(started.store.clone(), providers, settings);
    Ok(Arc::new(reconciler.with_placement(started.config.nodes.placement())))
}

/// Marks all that providers make for the installation with this key.
pub(crate) fn tag(signing_key: &[u8]) -> String {
    derived(signing_key, "installation").iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A key of its own for each purpose, from the one that the database keeps.
fn derived(signing_key: &[u8], purpose: &str) -> Zeroizing<Vec<u8>> {
    // HMAC takes keys of any length (RFC 2104 section 3), so the other arm is never taken.
    let mut mac: Hmac<Sha256> =
        Hmac::new_from_slice(signing_key).unwrap_or_else(|_| Hmac::new(&Default::default()));
    mac.update(b"metapaas key for ");
    mac.update(purpose.as_bytes());
    Zeroizing::new(mac.finalize().into_bytes().to_vec())
}

/// The certificates that agents get, checked now so that no node is made that could not call back.
fn read_ca(path: &Path) -> Result<String, StartError> {
    let wrong = |error: &dyn std::fmt::Display| {
        StartError(format!("`ca_file` {} cannot be used: {error}", path.display()))
    };
    let text = fs::read_to_string(path).map_err(|error| wrong(&error))?;
    metapaas_agent::http::roots(text.as_bytes()).map_err(|error| wrong(&error))?;
    Ok(text)
}

fn document(document: &impl serde::Serialize) -> Bytes {
    // The document is made of strings and maps; it serialises.
    serde_json::to_vec(document).unwrap_or_default().into()
}

/// How much new projects may have.
fn new_project_limits(started: &Started) -> Result<NewProjectLimits, StartError> {
    let limits = &started.config.project_quota;
    let limits = limits.iter().map(|(resource, limit)| (resource.clone(), i64::from(*limit))).collect();
    started.store.new_project_limits(limits).map_err(|unknown| {
        StartError(format!(
            "the setting `project_quota` names {}, which nothing can be limited by; there are {}",
            unknown.join(", "),
            quota_resources(&started.registry).join(", ")
        ))
    })
}

fn documents(registry: &Registry) -> Vec<(&'static str, Bytes)> {
    let slugs = registry.roots().map(|root| root.ty.slug);
    slugs.filter_map(|slug| Some((slug, document(&openapi::document_of(registry, slug)?)))).collect()
}

/// Says that this control plane lives, and learns of the others.
async fn heartbeat(store: Arc<Store>, replica: Uuid, url: String, endpoints: Arc<RwLock<Vec<String>>>) {
    loop {
        match store.replica_heartbeat(replica, &url, REPLICA_SILENCE).await {
            Ok(mut urls) => {
                // This one first: an agent that it starts asks it first.
                urls.retain(|other| *other != url);
                urls.insert(0, url.clone());
                if let Ok(mut endpoints) = endpoints.write() {
                    *endpoints = urls;
                }
            }
            Err(error) => tracing::warn!(error = metapaas_core::error::chain(&error), "the heartbeat failed"),
        }
        tokio::time::sleep(HEARTBEAT).await;
    }
}

/// Ctrl-C or SIGTERM.
async fn stop_signal() {
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        // Without handlers the signals end the process at once, which the next start copes with.
        _ => std::future::pending().await,
    }
}
