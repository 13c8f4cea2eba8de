//! The driver of both kinds of node: it hands the builder its orders, and runs a release on a web node.

mod web;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use metapaas_core::agent::{
    Applied, BoxFuture, Driver, DriverError, Health, HealthReport, NodeContext, NodeDocument, ServiceSpec,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::document::{Builds, Document, State, UPLOADS};
use crate::source;

/// What a node is, once it has been told.
#[derive(Default)]
pub(crate) enum Role {
    #[default]
    Unknown,
    Build(Builds),
    Web(web::Serving),
}

impl Driver for Role {
    fn apply<'a>(
        &'a mut self,
        node: &'a NodeContext,
        document: &'a NodeDocument,
    ) -> BoxFuture<'a, Result<Applied, DriverError>> {
        Box::pin(async move {
            let told = Document::deserialize(&document.config)
                .map_err(|error| DriverError::Document(format!("neither builds nor a release: {error}")))?;
            match told {
                Document::Build(mut builds) => {
                    // The builder finds it there before it reads the order.
                    fetch_uploads(node, &builds).await?;
                    builds.digest.clone_from(&document.digest);
                    builds.is_shared = node.address().is_loopback();
                    node.write_file("builds.json", json!(builds).to_string(), 0o600).await?;
                    let service = ServiceSpec::engine("build", "app-build");
                    node.ensure_service(&service.arguments([node.socket_address().to_string()])).await?;
                    *self = Self::Build(builds);
                }
                Document::Web(told) => {
                    let port = web::port(node).await?;
                    web::fetch(node, &told).await?;
                    web::run(node, &told, port).await?;
                    let since = match self {
                        Self::Web(before) => before.draining_since,
                        _ => None,
                    };
                    let draining_since = told.drain_seconds.map(|_| since.unwrap_or_else(Instant::now));
                    *self = Self::Web(web::Serving { told, port, draining_since, failures: 0 });
                }
            }
            Ok(Applied::default())
        })
    }

    fn health<'a>(&'a mut self, node: &'a NodeContext) -> BoxFuture<'a, HealthReport> {
        Box::pin(async move {
            match self {
                Self::Unknown => report(Health::Starting, "waiting for a document"),
                Self::Build(builds) => building(node, builds).await,
                Self::Web(serving) => serving.health(node).await,
            }
        })
    }

    fn patience(&self) -> Duration {
        match self {
            // What has crashed three times will crash again.
            Self::Web(serving) if serving.failures >= 3 => Duration::ZERO,
            Self::Web(serving) => Duration::from_secs(serving.told.start_seconds),
            _ => Duration::from_secs(60),
        }
    }

    fn command<'a>(
        &'a mut self,
        _: &'a NodeContext,
        words: &'a [String],
    ) -> BoxFuture<'a, Result<ServiceSpec, DriverError>> {
        Box::pin(async move {
            match self {
                Self::Web(_) => Ok(web::command(words)),
                Self::Unknown | Self::Build(_) => {
                    Err(DriverError::Document("this node serves no release".to_owned()))
                }
            }
        })
    }

    fn observe<'a>(&'a mut self, node: &'a NodeContext) -> BoxFuture<'a, BTreeMap<String, Value>> {
        Box::pin(async move {
            match self {
                Self::Unknown => BTreeMap::new(),
                Self::Build(builds) => {
                    let state = state(node).await.unwrap_or_default();
                    let told = builds.orders.iter().filter_map(|order| {
                        let outcome = match (state.results.get(&order.build), &state.saying) {
                            (Some(outcome), _) => json!(outcome),
                            // No more than that: what the release has of an earlier build stays.
                            (None, Some((build, log))) if *build == order.build => {
                                json!({ "build_log": log })
                            }
                            (None, _) => return None,
                        };
                        let items = order.releases.iter().map(|release| format!("releases/{release}"));
                        Some(items.map(move |item| (item, outcome.clone())))
                    });
                    told.flatten().collect()
                }
                Self::Web(serving) => serving.facts(node),
            }
        })
    }
}

/// Has what was uploaded for builds that are yet to be made, and nothing else of that kind. A build tells what is missing.
async fn fetch_uploads(node: &NodeContext, builds: &Builds) -> Result<(), DriverError> {
    let wanted: Vec<&str> = builds.orders.iter().filter_map(|order| source::upload(&order.repo)).collect();
    for digest in &wanted {
        node.fetch_upload(digest, Path::new(UPLOADS).join(digest)).await?;
    }
    // None are there before the first.
    let there = std::fs::read_dir(node.dir().join(UPLOADS)).into_iter().flatten().flatten();
    for name in there.filter_map(|entry| entry.file_name().into_string().ok()) {
        if !wanted.contains(&name.as_str()) {
            node.remove_file(Path::new(UPLOADS).join(name)).await?;
        }
    }
    Ok(())
}

fn report(health: Health, message: impl Into<String>) -> HealthReport {
    HealthReport { health, message: message.into() }
}

/// Starting while it builds, so that what it came to is told as soon as it is known.
async fn building(node: &NodeContext, builds: &Builds) -> HealthReport {
    match (node.http_get("/health").await, state(node).await) {
        (Err(error), _) => report(Health::Unhealthy, format!("the builder does not answer: {error}")),
        (Ok(_), Some(State { digest, doing: None, .. })) if digest == builds.digest => {
            report(Health::Healthy, "")
        }
        (Ok(_), Some(State { doing: Some(doing), .. })) => report(Health::Starting, doing),
        (Ok(_), _) => report(Health::Starting, "the builder has yet to read its orders"),
    }
}

async fn state(node: &NodeContext) -> Option<State> {
    serde_json::from_slice(&node.read_file("state.json").await.ok()??).ok()
}
