//! What a node's container is made of. Values in, values out; nothing here calls the engine.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerStateStatusEnum, ContainerUpdateBody,
    EndpointIpamConfig, EndpointSettings, HostConfig, HostConfigLogConfig, Mount, MountType,
    NetworkingConfig, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::engine::{DIRECTORY_LABEL, IMAGE_LABEL, NODE_LABEL, SPEC_LABEL, TAG_LABEL};
use super::place::Owner;
use crate::provider::NodeState;
use crate::provider::limits::{Image, Limits};

/// Where the program is in every image.
pub(super) const PROGRAM: &str = "/usr/bin/metapaas";
/// Where the node's directory is in its container.
pub(super) const NODE_DIRECTORY: &str = "/var/lib/metapaas/node";
/// Where the sockets of control planes are in a container.
pub(super) const SOCKETS: &str = "/run/metapaas";

/// Limits of a node whose plan asks for none.
const CPU: f64 = 1.0;
const RAM_MB: u64 = 512;
const PROCESSES: u64 = 512;
/// Seconds that the processes of a container have to end.
pub(super) const GRACE: i32 = 12;

/// A container to have.
#[derive(Clone, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) node: Uuid,
    pub(super) tag: &'a str,
    pub(super) address: Ipv4Addr,
    pub(super) network: &'a str,
    /// The node's directory on the host.
    pub(super) directory: &'a Path,
    /// The folder of sockets on the host.
    pub(super) sockets: &'a Path,
    pub(super) owner: Owner,
    pub(super) limits: Limits,
}

/// A container that is there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) state: NodeState,
    pub(super) is_paused: bool,
    /// Name of the image that it was made from.
    pub(super) image: String,
    pub(super) kind: String,
    pub(super) spec: String,
    memory: i64,
    nano_cpus: i64,
    processes: i64,
}

/// The name of a node's container.
pub(super) fn name(node: Uuid) -> String {
    format!("metapaas-{node}")
}

impl Wanted<'_> {
    pub(super) fn kind(&self) -> Image {
        self.limits.image.unwrap_or_default()
    }

    /// Hash of what an existing container cannot be given.
    pub(super) fn spec(&self) -> String {
        let text = format!(
            "1\n{}\n{}\n{}\n{}\n{}:{}\n{:?}",
            self.address,
            self.network,
            self.directory.display(),
            self.sockets.display(),
            self.owner.user,
            self.owner.group,
            self.limits.file_mb,
        );
        Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    fn memory(&self) -> i64 {
        signed(self.limits.ram_mb.unwrap_or(RAM_MB)).saturating_mul(1 << 20)
    }

    fn nano_cpus(&self) -> i64 {
        // `Limits::read` keeps it within what fits.
        (self.limits.cpu.unwrap_or(CPU) * 1e9) as i64
    }

    fn processes(&self) -> i64 {
        signed(self.limits.processes.unwrap_or(PROCESSES))
    }

    /// What the engine is asked to make.
    pub(super) fn body(&self, image: String) -> ContainerCreateBody {
        let command = ["engine", "init", "agent", "--dir", NODE_DIRECTORY];
        let labels = [
            (TAG_LABEL, self.tag.to_owned()),
            (NODE_LABEL, self.node.to_string()),
            (SPEC_LABEL, self.spec()),
            (DIRECTORY_LABEL, self.directory.to_string_lossy().into_owned()),
            (IMAGE_LABEL, self.kind().as_str().to_owned()),
        ];
        let endpoint = EndpointSettings {
            ipam_config: Some(EndpointIpamConfig {
                ipv4_address: Some(self.address.to_string()),
                ..EndpointIpamConfig::default()
            }),
            ..EndpointSettings::default()
        };
        ContainerCreateBody {
            image: Some(image),
            entrypoint: Some(vec![PROGRAM.to_owned()]),
            cmd: Some(command.map(str::to_owned).to_vec()),
            user: Some(format!("{}:{}", self.owner.user, self.owner.group)),
            working_dir: Some(NODE_DIRECTORY.to_owned()),
            env: Some(vec![format!("HOME={NODE_DIRECTORY}"), "TMPDIR=/tmp".to_owned()]),
            labels: Some(labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
            stop_timeout: Some(GRACE.into()),
            host_config: Some(self.host()),
            networking_config: Some(NetworkingConfig {
                endpoints_config: Some(HashMap::from([(self.network.to_owned(), endpoint)])),
            }),
            ..ContainerCreateBody::default()
        }
    }

    fn host(&self) -> HostConfig {
        let bind = |source: &Path, target: &str, read_only| Mount {
            typ: Some(MountType::BIND),
            source: Some(source.to_string_lossy().into_owned()),
            target: Some(target.to_owned()),
            read_only: Some(read_only),
            ..Mount::default()
        };
        let limit = |name: &str, value: i64| ResourcesUlimits {
            name: Some(name.to_owned()),
            soft: Some(value),
            hard: Some(value),
        };
        // That of open files is the engine's: nobody may raise a limit beyond what it has itself.
        let mut ulimits = vec![limit("core", 0)];
        ulimits.extend(self.limits.file_mb.map(|mb| limit("fsize", signed(mb).saturating_mul(1 << 20))));
        HostConfig {
            network_mode: Some(self.network.to_owned()),
            mounts: Some(vec![
                bind(self.directory, NODE_DIRECTORY, false),
                bind(self.sockets, SOCKETS, true),
            ]),
            tmpfs: Some([("/tmp".to_owned(), "rw,nosuid,nodev,mode=1777,size=256m".to_owned())].into()),
            readonly_rootfs: Some(true),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
            memory: Some(self.memory()),
            // Swap and memory together: no swap on top.
            memory_swap: Some(self.memory()),
            nano_cpus: Some(self.nano_cpus()),
            pids_limit: Some(self.processes()),
            ulimits: Some(ulimits),
            // Nodes come back with the machine, before or without a control plane.
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
                maximum_retry_count: None,
            }),
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".to_owned()),
                config: Some(
                    [("max-size", "1m"), ("max-file", "2")].map(|(a, b)| (a.to_owned(), b.to_owned())).into(),
                ),
            }),
            ..HostConfig::default()
        }
    }

    /// What a running container must be told, if anything.
    pub(super) fn update(&self, found: &Found) -> Option<ContainerUpdateBody> {
        let wanted = (self.memory(), self.nano_cpus(), self.processes());
        ((found.memory, found.nano_cpus, found.processes) != wanted).then(|| ContainerUpdateBody {
            memory: Some(self.memory()),
            memory_swap: Some(self.memory()),
            nano_cpus: Some(self.nano_cpus()),
            pids_limit: Some(self.processes()),
            ..ContainerUpdateBody::default()
        })
    }
}

impl Found {
    pub(super) fn read(answer: ContainerInspectResponse) -> Self {
        use ContainerStateStatusEnum as Status;
        let status = answer.state.and_then(|state| state.status);
        let config = answer.config.unwrap_or_default();
        let labels = config.labels.unwrap_or_default();
        let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
        let host = answer.host_config.unwrap_or_default();
        Self {
            state: match status {
                // Its restart policy is about to start it.
                Some(Status::RUNNING | Status::RESTARTING) => NodeState::Running,
                _ => NodeState::Stopped,
            },
            is_paused: status == Some(Status::PAUSED),
            image: config.image.unwrap_or_default(),
            kind: label(IMAGE_LABEL),
            spec: label(SPEC_LABEL),
            memory: host.memory.unwrap_or_default(),
            nano_cpus: host.nano_cpus.unwrap_or_default(),
            processes: host.pids_limit.unwrap_or_default(),
        }
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
