//! The connection to the Docker Engine, and what its errors mean.

use std::path::PathBuf;

use bollard::{API_DEFAULT_VERSION, Docker, errors::Error};
use tokio::sync::OnceCell;

use crate::error::chain;
use crate::provider::ProviderError;

/// Label of all that belongs to an installation: its tag.
pub(super) const TAG_LABEL: &str = "metapaas.tag";
/// Label of a container: the node's id.
pub(super) const NODE_LABEL: &str = "metapaas.node";
/// Label of a container: hash of what can only change by making it anew.
pub(super) const SPEC_LABEL: &str = "metapaas.spec";
/// Label of a container: the node's directory on the host.
pub(super) const DIRECTORY_LABEL: &str = "metapaas.dir";
/// Label of an image: which of the recipes it is of.
pub(super) const IMAGE_LABEL: &str = "metapaas.image";

/// Seconds for one call. Stopping a container and unpacking an image take the longest.
const DEADLINE: u64 = 120;

/// A Docker Engine on this machine. It is reached when it is first needed, and again after it was away.
#[derive(Debug)]
pub(super) struct Engine {
    socket: PathBuf,
    docker: OnceCell<Docker>,
}

impl Engine {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket, docker: OnceCell::new() }
    }

    /// A client that speaks a version of the API that the engine knows.
    pub(super) async fn docker(&self) -> Result<&Docker, ProviderError> {
        let connect = || async {
            let path = self.socket.to_string_lossy();
            Docker::connect_with_unix(&path, DEADLINE, API_DEFAULT_VERSION)?.negotiate_version().await
        };
        self.docker.get_or_try_init(connect).await.map_err(|error| {
            let action = format!(
                "reach the Docker Engine at {} (is `docker_socket` right, does dockerd run, may this user use it?)",
                self.socket.display()
            );
            failed(action, error)
        })
    }
}

/// An error of the engine that may be gone later; what it says of the request itself stays.
pub(super) fn failed(action: String, error: Error) -> ProviderError {
    match error {
        Error::DockerResponseServerError { status_code: 400, message } => {
            ProviderError::Terminal(format!("{action}: {message}"))
        }
        Error::DockerResponseServerError { message, .. } => {
            ProviderError::Transient { action, source: std::io::Error::other(message) }
        }
        Error::SocketNotFoundError(path) => ProviderError::Transient {
            action,
            source: std::io::Error::new(std::io::ErrorKind::NotFound, format!("there is no socket {path}")),
        },
        error => ProviderError::Transient { action, source: std::io::Error::other(chain(&error)) },
    }
}

/// Whether the engine answered with this status.
pub(super) fn is_status(error: &Error, status: u16) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code, .. } if *status_code == status)
}
