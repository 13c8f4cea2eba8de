//! `metapaas keys`: the operator's side of the master keys. Works beside running control planes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Subcommand;
use metapaas_core::error::chain;
use metapaas_core::registry::Registry;
use metapaas_core::secret::KeyRing;
use metapaas_core::store::{Store, StoreError};
use serde_json::json;
use zeroize::Zeroizing;

use super::{LOOK, Source, VARIABLE, replace};
use crate::cli::Format;
use crate::config::Config;
use crate::serve::REPLICA_SILENCE;
use crate::startup::{self, StartError};

/// What an operator does with master keys.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum KeysCommand {
    /// Show the keys: which one seals, and how many values each has sealed
    List,
    /// Put a new key first: it seals from now on; control planes that read this file take it within seconds
    Add,
    /// Seal everything anew under the first key (running control planes do so by themselves)
    Reseal,
    /// Take a key away that has nothing sealed any more
    Remove {
        /// Its id, as `keys list` shows it
        id: String,
    },
    /// Print a new key, for a file or variable that something else manages
    Generate,
}

/// Runs one of them.
///
/// # Errors
/// One line that says what and what to do.
pub(crate) async fn run(
    command: KeysCommand,
    format: Format,
    config: &Config,
    registry: Arc<Registry>,
) -> Result<(), StartError> {
    if let KeysCommand::Generate = command {
        crate::print(KeyRing::generate().trim_end());
        return Ok(());
    }
    let (source, text) = Source::choose(config)?;
    let text = text.ok_or_else(|| StartError(format!("{source} does not exist; `metapaas up` makes it")))?;
    let ring = source.parse(&text)?;
    if let KeysCommand::Add = command {
        return add(&source, &text);
    }
    let database = startup::database(config).await?;
    let store = Store::new(database, registry, Arc::new(ring));
    let done = match command {
        KeysCommand::List => list(&store, format).await,
        KeysCommand::Reseal => reseal(&store).await,
        KeysCommand::Remove { id } => remove(&store, &source, &text, &id).await,
        KeysCommand::Add | KeysCommand::Generate => Ok(()),
    };
    store.database.close().await;
    done
}

fn failed(error: StoreError) -> StartError {
    StartError(format!("{}; is this the database of the control plane, and up to date?", chain(&error)))
}

async fn list(store: &Store, format: Format) -> Result<(), StartError> {
    let mut counts = store.sealed_counts().await.map_err(failed)?;
    let mut lines = Vec::new();
    for (index, id) in store.keys().ids().into_iter().enumerate() {
        let values = counts.remove(&id).unwrap_or_default();
        lines.push((id, if index == 0 { "seals" } else { "opens" }, values));
    }
    // Values under keys that are not there (any more, or yet) come last.
    lines.extend(counts.into_iter().map(|(id, values)| (id, "missing", values)));
    if format == Format::Table {
        crate::print(&format!("{:16} {:8} {}", "KEY", "STATE", "VALUES"));
        for (id, state, values) in lines {
            crate::print(&format!("{id:16} {state:8} {values}"));
        }
        return Ok(());
    }
    let items: Vec<_> = lines
        .iter()
        .map(|(id, state, values)| json!({ "id": id, "state": state, "values": values }))
        .collect();
    crate::print(&format!("{:#}", json!(items)));
    Ok(())
}

fn add(source: &Source, text: &str) -> Result<(), StartError> {
    let path = file(source)?;
    let new = Zeroizing::new(format!("{}{}", *KeyRing::generate(), text));
    replace(path, &new)?;
    let ids = source.parse(&new)?.ids();
    crate::print(&ids[0]);
    crate::say(&format!(
        "{} seals from now on. Give it to control planes with other key files; `metapaas keys list` shows what is left \
         under older keys.",
        ids[0]
    ));
    Ok(())
}

async fn reseal(store: &Store) -> Result<(), StartError> {
    let done = store.reseal().await.map_err(failed)?;
    crate::print(&format!("sealed anew: {}", done.resealed));
    if done.unopened.is_empty() {
        return Ok(());
    }
    let reasons: Vec<String> =
        done.unopened.iter().map(|(reason, values)| format!("{values} ({reason})")).collect();
    Err(StartError(format!("some values do not open and stay as they are: {}", reasons.join(", "))))
}

async fn remove(store: &Store, source: &Source, text: &str, id: &str) -> Result<(), StartError> {
    let path = file(source)?;
    let ids = store.keys().ids();
    match ids.iter().position(|other| other == id) {
        None => return Err(StartError(format!("there is no key `{id}`; there are {}", ids.join(", ")))),
        Some(0) => {
            let text = format!("`{id}` is the key that seals; put a new one first with `metapaas keys add`");
            return Err(StartError(text));
        }
        Some(_) => {}
    }
    not_in_use(store, id).await?;
    let lines = text.split(['\n', ',']).map(str::trim).filter(|line| !line.is_empty());
    let kept = lines.filter(|line| line.split(':').next() != Some(id)).flat_map(|line| [line, "\n"]);
    replace(path, &Zeroizing::new(kept.collect::<String>()))?;
    // A write that was under way when the last value was counted has ended by now.
    tokio::time::sleep(LOOK + Duration::from_secs(1)).await;
    if let Err(error) = not_in_use(store, id).await {
        replace(path, text)?;
        return Err(error);
    }
    crate::print(id);
    crate::say(&format!("`{id}` is gone. Keep it with the backups that were made while it was in use."));
    Ok(())
}

/// Refuses a key under which something is sealed, or that some control plane seals with.
async fn not_in_use(store: &Store, id: &str) -> Result<(), StartError> {
    let since: DateTime<Utc> = Utc::now() - REPLICA_SILENCE;
    let replicas = store.sealing_replicas(since).await.map_err(failed)?;
    if let Some((url, _)) = replicas.iter().find(|(_, key)| key.as_deref() == Some(id)) {
        return Err(StartError(format!(
            "the control plane {url} seals with `{id}`; give it the newer key first"
        )));
    }
    let counts: BTreeMap<String, u64> = store.sealed_counts().await.map_err(failed)?;
    match counts.get(id) {
        None | Some(0) => Ok(()),
        Some(count) => Err(StartError(format!(
            "{count} values are sealed under `{id}`; run `metapaas keys reseal` and try again"
        ))),
    }
}

fn file(source: &Source) -> Result<&PathBuf, StartError> {
    match source {
        Source::File { path } => Ok(path),
        Source::Environment => Err(StartError(format!(
            "the master keys are in {VARIABLE}, which this cannot change; `metapaas keys generate` prints a new line \
             for it"
        ))),
    }
}
