//! [`DockerProvider`]: a node is a container of the Docker Engine on this machine, with an address of its own in a
//! network of the installation, and a directory on the host that outlives the container.
//!
//! | where | what |
//! |---|---|
//! | container `metapaas-<id>` | the node; its labels name the installation, the node and its directory |
//! | `<root>/<id>/` | its directory, mounted into the container; it has `node.json` from the moment it is complete |
//! | `<root>/<id>.lock` | held while a node is made or removed |
//! | `<sockets>/` | Unix sockets of control planes, mounted into every container: the agents' way out |

mod container;
mod engine;
mod exits;
mod images;
mod network;
mod place;
mod rootfs;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use bollard::Docker;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
    StopContainerOptionsBuilder,
};
use futures::future::BoxFuture;
use metapaas_agent::{NodeFile, files};
use serde_json::{Value, json};
use tokio::sync::broadcast;
use uuid::Uuid;

use self::container::{Found, GRACE, SOCKETS, Wanted};
use self::engine::{DIRECTORY_LABEL, Engine, NODE_LABEL, TAG_LABEL, failed, is_status};
use self::exits::Exits;
use self::images::Images;
pub use self::images::Packages;
pub use self::network::Subnet;
use self::place::{Owner, Place};
use super::limits::{Image, Limits};
use super::{NodeFound, NodeRef, NodeRequest, NodeState, Provider, ProviderError};

/// User ids of nodes begin here when the control plane runs as root; each node has its own.
const FIRST_USER: u32 = 1_900_000_000;

/// Where the engine is and how nodes live in it.
#[derive(Clone, Debug)]
pub struct DockerOptions {
    /// The engine's Unix socket.
    pub socket: PathBuf,
    /// The directory that has a directory for each node.
    pub root: PathBuf,
    /// The folder with the sockets of control planes.
    pub sockets: PathBuf,
    /// Name of the bridge network.
    pub network: String,
    /// Its addresses.
    pub subnet: Subnet,
    /// The MetaPaaS program, which images are made of.
    pub program: PathBuf,
    /// Prefix of the names of images, to pull them from a registry; they are made here when absent.
    pub registry: Option<String>,
    /// The installation's tag.
    pub tag: String,
}

/// Nodes as containers. They outlive the control plane, which finds them again by name and labels.
#[derive(Clone, Debug)]
pub struct DockerProvider {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: DockerOptions,
    engine: Arc<Engine>,
    images: Images,
    exits: Exits,
}

impl DockerProvider {
    /// A provider for the engine behind `options.socket`, which is reached when it is first needed.
    pub fn new(mut options: DockerOptions) -> Self {
        // A node's location must mean the same to a control plane with another working directory, and to the engine.
        for path in [&mut options.root, &mut options.sockets, &mut options.program] {
            *path = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
        }
        let engine = Arc::new(Engine::new(options.socket.clone()));
        let images = Images::new(options.program.clone(), options.registry.clone());
        Self { shared: Arc::new(Shared { options, engine, images, exits: Exits::default() }) }
    }

    /// Makes an image, with a Debian from `packages` where it needs one, and answers its name.
    ///
    /// # Errors
    /// When the engine cannot be reached or the image cannot be made.
    pub async fn build_image(&self, image: Image, packages: &Packages) -> Result<String, ProviderError> {
        let docker = self.shared.engine.docker().await?;
        let work = self.shared.options.root.join("images");
        self.shared.images.build(docker, image, packages, &work).await
    }

    async fn ensure_node(&self, request: &NodeRequest) -> Result<NodeFound, ProviderError> {
        let Shared { options, engine, .. } = &*self.shared;
        let place = self.place(request.id, request.location.as_ref())?;
        let failing = failing("make", request.id);
        let docker = engine.docker().await?;
        files::private_directory(&options.root).map_err(&failing)?;
        open_folder(&options.sockets).map_err(&failing)?;
        let _lock = files::lock(&place.lock()).await.map_err(&failing)?;
        let address = options.subnet.address(request.id);
        let wanted = Wanted {
            node: request.id,
            tag: &request.tag,
            address,
            network: &options.network,
            directory: place.directory(),
            sockets: &options.sockets,
            owner: self.owner(address),
            limits: Limits::read(&request.resources).map_err(ProviderError::Terminal)?,
        };
        let node = NodeFile {
            node_id: request.id,
            tag: request.tag.clone(),
            address: address.into(),
            endpoints: request.endpoints.clone(),
            ca: request.ca.clone(),
            sockets: Some(SOCKETS.into()),
            resources: request.resources.clone(),
        };
        place.furnish(&node, &request.token, wanted.owner).map_err(&failing)?;
        self.run(docker, &wanted, request.resources.is_empty()).await?;
        Ok(NodeFound { address: address.into(), location: json!({ "dir": place.directory() }) })
    }

    /// Makes the container exist and run. One that runs is left alone when its limits are not known here.
    async fn run(
        &self,
        docker: &Docker,
        wanted: &Wanted<'_>,
        limits_are_unknown: bool,
    ) -> Result<(), ProviderError> {
        let Shared { options, images, .. } = &*self.shared;
        let name = container::name(wanted.node);
        if let Some(found) = self.find(docker, wanted.node).await? {
            let is_other = found.spec != wanted.spec() || found.kind != wanted.kind().as_str();
            match found.state {
                NodeState::Running if limits_are_unknown || !is_other => {
                    return match wanted.update(&found).filter(|_| !limits_are_unknown) {
                        Some(update) => docker.update_container(&name, update).await.map_err(|error| {
                            failed(format!("change the limits of the container {name}"), error)
                        }),
                        None => Ok(()),
                    };
                }
                // It was killed, or stopped by hand: it starts with the program that is installed now.
                _ if is_other || found.is_paused || found.image != images.name(wanted.kind()).await? => {
                    self.remove(docker, wanted.node).await?;
                }
                _ => {}
            }
        }
        let image = images.ensure(docker, wanted.kind()).await?;
        network::ensure(docker, &options.network, options.subnet, &options.tag).await?;
        let create = CreateContainerOptionsBuilder::new().name(&name).build();
        match docker.create_container(Some(create), wanted.body(image)).await {
            Ok(_) => {}
            // It is there already, made by an earlier call.
            Err(error) if is_status(&error, 409) => {}
            Err(error) => return Err(failed(format!("make the container {name}"), error)),
        }
        match docker.start_container(&name, None).await {
            Ok(()) => Ok(()),
            Err(error) if error.to_string().contains("Address already in use") => {
                self.remove(docker, wanted.node).await?;
                Err(ProviderError::Taken(format!("the address {} is taken", wanted.address)))
            }
            Err(error) => Err(failed(format!("start the container {name}"), error)),
        }
    }

    async fn find(&self, docker: &Docker, node: Uuid) -> Result<Option<Found>, ProviderError> {
        let name = container::name(node);
        match docker.inspect_container(&name, None).await {
            Ok(answer) => Ok(Some(Found::read(answer))),
            Err(error) if is_status(&error, 404) => Ok(None),
            Err(error) => Err(failed(format!("look at the container {name}"), error)),
        }
    }

    /// Stops a container and removes it; one that is not there, or is being removed, is fine.
    async fn remove(&self, docker: &Docker, node: Uuid) -> Result<(), ProviderError> {
        let name = container::name(node);
        let is_fine = |error: &bollard::errors::Error| is_status(error, 404) || is_status(error, 409);
        let stop = StopContainerOptionsBuilder::new().t(GRACE).build();
        match docker.stop_container(&name, Some(stop)).await {
            Err(error) if !is_fine(&error) => {
                return Err(failed(format!("stop the container {name}"), error));
            }
            _ => {}
        }
        let remove = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match docker.remove_container(&name, Some(remove)).await {
            Err(error) if !is_fine(&error) => Err(failed(format!("remove the container {name}"), error)),
            _ => Ok(()),
        }
    }

    async fn observe_node(&self, node: &NodeRef) -> Result<NodeState, ProviderError> {
        let docker = self.shared.engine.docker().await?;
        Ok(self.find(docker, node.id).await?.map_or(NodeState::Gone, |found| found.state))
    }

    async fn delete_node(&self, node: &NodeRef) -> Result<(), ProviderError> {
        let place = self.place(node.id, node.location.as_ref())?;
        let docker = self.shared.engine.docker().await?;
        let failing = failing("remove", node.id);
        let root = place.directory().parent().is_some_and(|root| root.is_dir());
        let lock = if root { Some(files::lock(&place.lock()).await.map_err(&failing)?) } else { None };
        self.remove(docker, node.id).await?;
        place.remove().map_err(&failing)?;
        files::remove_optional(&place.lock()).map_err(&failing)?;
        drop(lock);
        Ok(())
    }

    /// Containers by their labels, and directories whose container is gone.
    async fn list_nodes(&self, tag: &str) -> Result<Vec<NodeRef>, ProviderError> {
        let docker = self.shared.engine.docker().await?;
        let filters = HashMap::from([("label", vec![format!("{TAG_LABEL}={tag}")])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let listed = docker.list_containers(Some(options)).await;
        let listed = listed.map_err(|error| failed("list the containers".to_owned(), error))?;
        let (root, wanted) = (self.shared.options.root.clone(), tag.to_owned());
        let places = tokio::task::spawn_blocking(move || place::list(&root, &wanted)).await;
        let places = places.unwrap_or_else(|error| Err(io::Error::other(error)));
        let places = places.map_err(|source| ProviderError::Transient {
            action: format!("list the nodes under {}", self.shared.options.root.display()),
            source,
        })?;
        let mut nodes: BTreeMap<Uuid, Value> =
            places.into_iter().map(|(id, directory)| (id, json!({ "dir": directory }))).collect();
        for labels in listed.into_iter().filter_map(|container| container.labels) {
            if let Some(id) = labels.get(NODE_LABEL).and_then(|id| id.parse().ok()) {
                nodes.entry(id).or_insert_with(|| json!({ "dir": labels.get(DIRECTORY_LABEL) }));
            }
        }
        Ok(nodes.into_iter().map(|(id, location)| NodeRef { id, location: Some(location) }).collect())
    }

    /// A user of its own for each node where this process may give files away, else this process's.
    fn owner(&self, address: std::net::Ipv4Addr) -> Owner {
        if rustix::process::geteuid().is_root() {
            let id = FIRST_USER + self.shared.options.subnet.offset(address);
            return Owner { user: id, group: id };
        }
        Owner { user: rustix::process::geteuid().as_raw(), group: rustix::process::getegid().as_raw() }
    }

    fn place(&self, id: Uuid, location: Option<&Value>) -> Result<Place, ProviderError> {
        let Some(location) = location else {
            return Ok(Place::new(self.shared.options.root.join(id.to_string())));
        };
        let directory = location.get("dir").and_then(Value::as_str).map(PathBuf::from).unwrap_or_default();
        // Its name is checked because the directory will one day be removed with all that is in it.
        if !directory.is_absolute() || directory.file_name() != Some(id.to_string().as_ref()) {
            let message =
                format!("{location} is no location of a node that the docker provider made for {id}");
            return Err(ProviderError::Terminal(message));
        }
        Ok(Place::new(directory))
    }
}

impl Provider for DockerProvider {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn address(&self, node_id: Uuid) -> Option<IpAddr> {
        Some(self.shared.options.subnet.address(node_id).into())
    }

    fn location(&self, node_id: Uuid) -> Option<Value> {
        Some(json!({ "dir": self.shared.options.root.join(node_id.to_string()) }))
    }

    fn ensure<'a>(&'a self, request: &'a NodeRequest) -> BoxFuture<'a, Result<NodeFound, ProviderError>> {
        Box::pin(self.ensure_node(request))
    }

    fn observe<'a>(&'a self, node: &'a NodeRef) -> BoxFuture<'a, Result<NodeState, ProviderError>> {
        Box::pin(self.observe_node(node))
    }

    fn delete<'a>(&'a self, node: &'a NodeRef) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(self.delete_node(node))
    }

    fn list<'a>(&'a self, tag: &'a str) -> BoxFuture<'a, Result<Vec<NodeRef>, ProviderError>> {
        Box::pin(self.list_nodes(tag))
    }

    fn exits(&self) -> broadcast::Receiver<Uuid> {
        self.shared.exits.listen(&self.shared.engine, &self.shared.options.tag)
    }
}

/// A folder that the users of all nodes may look into. The data folder around it lets nobody else come near.
fn open_folder(path: &std::path::Path) -> io::Result<()> {
    std::fs::create_dir_all(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}

fn failing(verb: &'static str, id: Uuid) -> impl Fn(io::Error) -> ProviderError {
    move |source| ProviderError::Transient { action: format!("{verb} node {id}"), source }
}

#[cfg(test)]
mod tests;
