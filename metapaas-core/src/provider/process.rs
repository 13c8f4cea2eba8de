//! [`ProcessProvider`]: a node is a directory, a loopback address and a supervised agent process on this machine.
//!
//! All state is in the file system, so control planes that share the root may come and go:
//!
//! | path under the root | what |
//! |---|---|
//! | `<id>/` | the node; it has `node.json` from the moment it exists |
//! | `<id>.new/`, `<id>.gone/` | a node that is being made, or removed; what a crash left is finished by the next call |
//! | `<id>.lock` | held while a node is made or removed |
//! | `addresses/<address>` | the node that has this loopback address |

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use metapaas_agent::agent::RECORD_FILE;
use metapaas_agent::files;
use metapaas_agent::process::{ProcessRecord, end_all};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use uuid::Uuid;

use super::{NodeFound, NodeRef, NodeRequest, NodeState, Provider, ProviderError};
use place::Place;
use watchers::Watchers;

mod place;
mod start;
mod watchers;

/// How long an agent, and then the services of a node, may take to end before they are killed.
const GRACE: Duration = Duration::from_secs(3);

/// Where nodes live and what they run.
#[derive(Clone, Debug)]
pub struct ProcessOptions {
    /// The directory that has a directory for each node.
    pub root: PathBuf,
    /// The MetaPaaS program, which is run as `agent --dir <directory>`.
    pub program: PathBuf,
}

/// Nodes as processes of this machine. They outlive the control plane, which finds them again by their directory.
#[derive(Clone, Debug)]
pub struct ProcessProvider {
    options: Arc<ProcessOptions>,
    watchers: Watchers,
}

impl ProcessProvider {
    /// A provider for the nodes under `options.root`, which is made when it is needed.
    pub fn new(options: ProcessOptions) -> Self {
        // A node's location must mean the same to a control plane with another working directory.
        let root = std::path::absolute(&options.root).unwrap_or(options.root);
        let program = std::path::absolute(&options.program).unwrap_or(options.program);
        Self { options: Arc::new(ProcessOptions { root, program }), watchers: Watchers::default() }
    }

    async fn ensure_node(&self, request: &NodeRequest) -> Result<NodeFound, ProviderError> {
        let place = self.place(request.id, request.location.as_ref())?;
        let failed = failing("make", request.id);
        files::private_directory(place.root()).map_err(&failed)?;
        let _lock = files::lock(&place.lock()).await.map_err(&failed)?;
        let address = loopback_address(request.id);
        place.claim(address)?;
        place.furnish(request, address).map_err(&failed)?;
        let running = place.agent().map_err(&failed)?;
        let agent = match running {
            Some(agent) => agent,
            None => start::start(&self.options.program, &place, &self.watchers).await?,
        };
        self.watchers.watch(request.id, agent);
        Ok(NodeFound { address, location: json!({ "dir": place.directory() }) })
    }

    fn observe_node(&self, node: &NodeRef) -> Result<NodeState, ProviderError> {
        let place = self.place(node.id, node.location.as_ref())?;
        if !place.exists() {
            return Ok(NodeState::Gone);
        }
        match place.agent().map_err(failing("look at", node.id))? {
            Some(agent) => {
                self.watchers.watch(node.id, agent);
                Ok(NodeState::Running)
            }
            None => Ok(NodeState::Stopped),
        }
    }

    async fn delete_node(&self, node: &NodeRef) -> Result<(), ProviderError> {
        let place = self.place(node.id, node.location.as_ref())?;
        let failed = failing("remove", node.id);
        if !place.root().is_dir() {
            return end_all(node.id, None, &[], GRACE).await.map_err(&failed);
        }
        let lock = files::lock(&place.lock()).await.map_err(&failed)?;
        // The agent goes first: it would start again what is ended under it.
        if let Some(agent) = place.agent().map_err(&failed)? {
            agent.terminate(Signal::TERM, GRACE).await.map_err(&failed)?;
        }
        let records = place.service_records().map_err(&failed)?;
        end_all(node.id, None, &records, GRACE).await.map_err(&failed)?;
        // Renamed, the directory is out of reach of a process that was just being started and not seen above.
        place.put_away().map_err(&failed)?;
        end_all(node.id, None, &records, Duration::ZERO).await.map_err(&failed)?;
        place.remove(loopback_address(node.id)).map_err(&failed)?;
        files::remove_optional(&place.lock()).map_err(&failed)?;
        drop(lock);
        Ok(())
    }

    fn place(&self, id: Uuid, location: Option<&Value>) -> Result<Place, ProviderError> {
        let Some(location) = location else {
            return Ok(Place::new(self.options.root.join(id.to_string())));
        };
        let directory = location.get("dir").and_then(Value::as_str).map(PathBuf::from).unwrap_or_default();
        // Its name is checked because the directory will one day be removed with all that is in it.
        if !directory.is_absolute() || directory.file_name() != Some(id.to_string().as_ref()) {
            let message =
                format!("{location} is no location of a node that the process provider made for {id}");
            return Err(ProviderError::Terminal(message));
        }
        Ok(Place::new(directory))
    }
}

impl Provider for ProcessProvider {
    fn name(&self) -> &'static str {
        "process"
    }

    fn address(&self, node_id: Uuid) -> Option<IpAddr> {
        Some(loopback_address(node_id))
    }

    /// In this control plane's folder; any other one on the machine reaches it there.
    fn location(&self, node_id: Uuid) -> Option<Value> {
        Some(json!({ "dir": self.options.root.join(node_id.to_string()) }))
    }

    fn ensure<'a>(&'a self, request: &'a NodeRequest) -> BoxFuture<'a, Result<NodeFound, ProviderError>> {
        Box::pin(self.ensure_node(request))
    }

    fn observe<'a>(&'a self, node: &'a NodeRef) -> BoxFuture<'a, Result<NodeState, ProviderError>> {
        Box::pin(async move { self.observe_node(node) })
    }

    fn delete<'a>(&'a self, node: &'a NodeRef) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(self.delete_node(node))
    }

    fn list<'a>(&'a self, tag: &'a str) -> BoxFuture<'a, Result<Vec<NodeRef>, ProviderError>> {
        let (root, wanted) = (self.options.root.clone(), tag.to_owned());
        Box::pin(async move {
            let listed = tokio::task::spawn_blocking(move || place::list(&root, &wanted)).await;
            listed.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|source| {
                ProviderError::Transient {
                    action: format!("list the nodes under {}", self.options.root.display()),
                    source,
                }
            })
        })
    }

    fn exits(&self) -> broadcast::Receiver<Uuid> {
        self.watchers.exits()
    }
}

/// The address a node has: 127.64.0.1 to 127.127.255.254, from random bits of its id, so that no allocation is kept.
fn loopback_address(id: Uuid) -> IpAddr {
    // The last bytes are random in every version of UUID that is in use.
    let [.., a, b, c] = id.into_bytes();
    Ipv4Addr::new(127, 64 + a % 64, b, 1 + c % 254).into()
}

fn failing(verb: &'static str, id: Uuid) -> impl Fn(io::Error) -> ProviderError {
    move |source| ProviderError::Transient { action: format!("{verb} node {id}"), source }
}

fn record_path(directory: &Path) -> PathBuf {
    directory.join(RECORD_FILE)
}

fn records_in(directory: &Path) -> io::Result<Vec<ProcessRecord>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut records = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            records.extend(ProcessRecord::read(&path));
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_usable_and_depend_on_the_id_alone() {
        for number in 0..70_000_u128 {
            let id = Uuid::from_u128(number * 0x0001_0003_0107);
            let IpAddr::V4(address) = loopback_address(id) else { panic!("not IPv4") };
            let [first, second, _, last] = address.octets();
            assert_eq!((first, second & 0xc0), (127, 64), "{address}");
            assert!((1..=254).contains(&last), "{address}");
            assert_eq!(loopback_address(id), IpAddr::V4(address));
        }
    }

    #[test]
    fn only_a_directory_named_by_the_node_is_a_location() {
        let provider =
            ProcessProvider::new(ProcessOptions { root: "/nodes".into(), program: "/bin/true".into() });
        let id = Uuid::from_u128(7);
        let good = json!({ "dir": format!("/elsewhere/{id}") });
        assert_eq!(
            provider.place(id, Some(&good)).unwrap().directory(),
            Path::new(&format!("/elsewhere/{id}"))
        );
        assert_eq!(provider.place(id, None).unwrap().directory(), Path::new(&format!("/nodes/{id}")));
        for bad in
            [json!({}), json!({"dir": "/etc"}), json!({"dir": id.to_string()}), json!({"dir": "/"}), json!(1)]
        {
            assert!(matches!(provider.place(id, Some(&bad)), Err(ProviderError::Terminal(_))), "{bad}");
        }
    }
}
