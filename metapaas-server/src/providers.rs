//! What makes nodes: the settings, and the providers that they choose.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use figment::Figment;
use metapaas_core::placement::Placement;
use metapaas_core::provider::Provider;
use metapaas_core::provider::process::{ProcessOptions, ProcessProvider};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::Config;
use crate::startup::StartError;

/// Settings of what makes nodes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeSettings {
    /// What makes nodes, the default first.
    pub providers: OneOrMore,
    /// Projects (ids) by provider, for providers that not every project may use.
    pub provider_projects: BTreeMap<String, BTreeSet<Uuid>>,
    /// The Unix socket of the Docker Engine.
    pub docker_socket: PathBuf,
    /// Name of the bridge network of nodes; `metapaas-<tag of the installation>` when absent.
    pub docker_network: Option<String>,
    /// Its IPv4 subnet; one in 10.0.0.0/8 that follows from the installation when absent.
    pub docker_subnet: Option<String>,
    /// Prefix of the names of images, to pull them from a registry.
    pub docker_registry: Option<String>,
    /// Folder with the sockets of control planes that nodes in containers call; `<data dir>/docker/control` when
    /// absent. Control planes on one machine share it.
    pub docker_control: Option<PathBuf>,
}

/// Names of the settings.
const NAMES: [&str; 7] = [
    "providers",
    "provider_projects",
    "docker_socket",
    "docker_network",
    "docker_subnet",
    "docker_registry",
    "docker_control",
];

/// All providers that a distribution may have.
const KNOWN: [&str; 2] = ["process", "docker"];

/// A name alone or a list of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMore {
    /// A name alone.
    One(String),
    /// In order of preference.
    More(Vec<String>),
}

impl OneOrMore {
    fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::More(names) => names,
        }
    }
}

impl Default for NodeSettings {
    fn default() -> Self {
        Self {
            providers: OneOrMore::One("process".to_owned()),
            provider_projects: BTreeMap::new(),
            docker_socket: "/var/run/docker.sock".into(),
            docker_network: None,
            docker_subnet: None,
            docker_registry: None,
            docker_control: None,
        }
    }
}

impl NodeSettings {
    /// Names of the settings.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        NAMES.into_iter()
    }

    /// One error for each that cannot be read.
    pub(crate) fn probe(figment: &Figment, mut probe: impl FnMut(Result<(), figment::Error>)) {
        probe(figment.extract_inner::<OneOrMore>("providers").map(drop));
        probe(figment.extract_inner::<BTreeMap<String, BTreeSet<Uuid>>>("provider_projects").map(drop));
        probe(figment.extract_inner::<PathBuf>("docker_socket").map(drop));
        for name in ["docker_network", "docker_subnet", "docker_registry"] {
            probe(figment.extract_inner::<Option<String>>(name).map(drop));
        }
        probe(figment.extract_inner::<Option<PathBuf>>("docker_control").map(drop));
    }

    /// One line for each that is wrong.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let names = self.providers.names();
        let mut mistakes = Vec::new();
        if names.is_empty() {
            mistakes.push(format!("`providers` must name at least one of {}", KNOWN.join(", ")));
        }
        for (index, name) in names.iter().enumerate() {
            if !KNOWN.contains(&name.as_str()) {
                mistakes.push(format!("`providers` may name {}, found `{name}`", KNOWN.join(", ")));
            } else if name == "docker" && !cfg!(feature = "docker") {
                mistakes.push("`providers` names docker, which this program was built without".to_owned());
            }
            if names.iter().take(index).any(|other| other == name) {
                mistakes.push(format!("`providers` names {name} twice"));
            }
        }
        for name in self.provider_projects.keys().filter(|name| !names.contains(name)) {
            mistakes.push(format!("`provider_projects` speaks of `{name}`, which is not among `providers`"));
        }
        #[cfg(feature = "docker")]
        if let Some(Err(reason)) =
            self.docker_subnet.as_ref().map(|text| text.parse::<metapaas_core::provider::docker::Subnet>())
        {
            mistakes.push(format!("`docker_subnet`: {reason}"));
        }
        mistakes
    }

    /// Whether a provider is among those that are used.
    pub(crate) fn uses(&self, name: &str) -> bool {
        self.providers.names().iter().any(|other| other == name)
    }

    /// Who may use what.
    pub(crate) fn placement(&self) -> Placement {
        Placement::new(self.providers.names().to_vec(), self.provider_projects.clone())
    }

    /// The folder with the sockets of control planes.
    pub(crate) fn control(&self, data_dir: &Path) -> PathBuf {
        self.docker_control.clone().unwrap_or_else(|| data_dir.join("docker").join("control"))
    }
}

/// The providers that the settings name, in their order.
///
/// # Errors
/// When this program's own path is not known.
pub(crate) fn providers(config: &Config, tag: &str) -> Result<Vec<Arc<dyn Provider>>, StartError> {
    let program = program()?;
    let mut made: Vec<Arc<dyn Provider>> = Vec::new();
    for name in config.nodes.providers.names() {
        match name.as_str() {
            #[cfg(feature = "docker")]
            "docker" => made.push(Arc::new(docker(config, tag)?)),
            _ => {
                let root = config.file("nodes");
                let options = ProcessOptions { root, program: program.clone() };
                made.push(Arc::new(ProcessProvider::new(options)));
            }
        }
    }
    #[cfg(not(feature = "docker"))]
    let _ = tag;
    Ok(made)
}

/// The docker provider of an installation.
///
/// # Errors
/// As [`providers`].
#[cfg(feature = "docker")]
pub(crate) fn docker(
    config: &Config,
    tag: &str,
) -> Result<metapaas_core::provider::docker::DockerProvider, StartError> {
    use metapaas_core::provider::docker::{DockerOptions, DockerProvider, Subnet};
    let settings = &config.nodes;
    let subnet = match &settings.docker_subnet {
        Some(text) => text.parse().map_err(StartError)?,
        None => Subnet::of_tag(tag),
    };
    Ok(DockerProvider::new(DockerOptions {
        socket: settings.docker_socket.clone(),
        root: config.file("docker").join("nodes"),
        sockets: settings.control(&config.data_dir),
        network: settings.docker_network.clone().unwrap_or_else(|| format!("metapaas-{tag}")),
        subnet,
        program: program()?,
        registry: settings.docker_registry.clone(),
        tag: tag.to_owned(),
    }))
}

fn program() -> Result<PathBuf, StartError> {
    std::env::current_exe()
        .map_err(|error| StartError(format!("the path of this program is not known: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(settings: NodeSettings, parts: &[&str]) {
        let mistakes = settings.mistakes();
        assert_eq!(mistakes.len(), parts.len(), "{mistakes:?}");
        for (mistake, part) in mistakes.iter().zip(parts) {
            assert!(mistake.contains(part), "{mistake} has {part}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let with = |providers: &[&str]| NodeSettings {
            providers: OneOrMore::More(providers.iter().map(|&name| name.to_owned()).collect()),
            ..NodeSettings::default()
        };
        check(NodeSettings::default(), &[]);
        check(with(&[]), &["at least one"]);
        check(with(&["process", "k8s"]), &["k8s"]);
        check(with(&["process", "process"]), &["twice"]);
        let projects = BTreeMap::from([("docker".to_owned(), BTreeSet::new())]);
        check(NodeSettings { provider_projects: projects, ..with(&["process"]) }, &["not among"]);
    }

    #[cfg(feature = "docker")]
    #[test]
    fn a_subnet_that_is_none_is_a_mistake() {
        let settings = NodeSettings { docker_subnet: Some("10.0.0.1/24".into()), ..NodeSettings::default() };
        check(settings, &["docker_subnet"]);
    }
}
