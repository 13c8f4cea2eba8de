//! `metapaas nodes`: the operator's look at what providers have made. Works beside running control planes.

use std::sync::Arc;

use clap::Subcommand;
use metapaas_core::authn::load_or_create_signing_key;
use metapaas_core::error::chain;
use metapaas_core::reconcile::orphans;
use metapaas_core::registry::Registry;
use metapaas_core::store::Store;
use serde_json::json;

use crate::cli::Format;
use crate::config::Config;
use crate::keys::Source;
use crate::providers;
use crate::serve;
use crate::startup::{self, StartError};

/// What an operator does with nodes.
#[derive(Subcommand, Clone, Debug)]
pub enum NodesCommand {
    /// Show nodes (containers, processes and folders of this installation) that the database does not know
    Orphans {
        /// Remove them, with all that is in them
        #[arg(long)]
        remove: bool,
    },
}

/// Runs one of them.
///
/// # Errors
/// One line that says what and what to do.
pub async fn run(
    command: NodesCommand,
    format: Format,
    config: &Config,
    registry: Arc<Registry>,
) -> Result<(), StartError> {
    let NodesCommand::Orphans { remove } = command;
    let (store, tag) = open(config, registry).await?;
    let mut found = Vec::new();
    let mut problems = Vec::new();
    for provider in providers::providers(config, &tag)? {
        match orphans(&store, &*provider, &tag).await {
            Ok(nodes) => {
                for node in nodes {
                    if remove && let Err(error) = provider.delete(&node).await {
                        problems.push(format!("{} {}: {}", provider.name(), node.id, chain(&error)));
                        continue;
                    }
                    found.push((provider.name(), node));
                }
            }
            Err(error) => problems.push(format!("{}: {}", provider.name(), chain(&error))),
        }
    }
    store.database.close().await;
    match format {
        Format::Table => {
            if found.is_empty() && problems.is_empty() {
                crate::say("every node has its row");
            }
            for (provider, node) in &found {
                let location = node.location.as_ref().map(ToString::to_string).unwrap_or_default();
                let done = if remove { "removed" } else { "orphan" };
                crate::print(&format!("{done:8} {provider:8} {} {location}", node.id));
            }
        }
        _ => {
            let items: Vec<_> = found
                .iter()
                .map(|(provider, node)| {
                    json!({ "provider": provider, "id": node.id, "location": node.location, "removed": remove })
                })
                .collect();
            crate::print(&format!("{:#}", json!(items)));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(StartError(problems.join("; "))) }
}

/// The database and the tag of the installation that the settings speak of.
pub(crate) async fn open(
    config: &Config,
    registry: Arc<Registry>,
) -> Result<(Arc<Store>, String), StartError> {
    let (source, text) = Source::choose(config)?;
    let text = text.ok_or_else(|| StartError(format!("{source} does not exist; `metapaas up` makes it")))?;
    let ring = source.parse(&text)?;
    let database = startup::database(config).await?;
    let signing_key =
        load_or_create_signing_key(&database, &ring).await.map_err(|error| StartError(chain(&error)))?;
    let store = Arc::new(Store::new(database, registry, Arc::new(ring)));
    Ok((store, serve::tag(&signing_key)))
}
