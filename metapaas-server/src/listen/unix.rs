//! The Unix socket that agents in containers call. It offers what agents call and nothing else.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_util::server::graceful::GracefulShutdown;
use sha2::{Digest, Sha256};
use tokio::net::UnixListener;
use tokio::sync::watch;

use super::{BREATH, Open, Serving, http, is_of_connection};
use crate::http::Http;
use crate::limits::Limits;
use crate::startup::StartError;

/// A socket that is about to be served.
pub(crate) struct AgentSocket {
    socket: UnixListener,
    path: PathBuf,
}

impl AgentSocket {
    /// Makes the socket of the control plane with this data folder in a folder that control planes share.
    ///
    /// # Errors
    /// One line when the folder or the socket cannot be made.
    pub(crate) fn bind(folder: &Path, data_dir: &Path) -> Result<Self, StartError> {
        let data_dir = data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_owned());
        let name: String = Sha256::digest(data_dir.to_string_lossy().as_bytes())
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let path = folder.join(format!("{name}.sock"));
        let bound = (|| {
            fs::create_dir_all(folder)?;
            // The users of all nodes come through here; what they find is a socket that asks for a node's token.
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
            bind(folder, &path)
        })();
        match bound {
            Ok(socket) => Ok(Self { socket, path }),
            Err(error) => Err(StartError(format!(
                "cannot listen on {}: {error}; choose another folder with `docker_control`",
                path.display()
            ))),
        }
    }

    /// Serves until `stop` turns true, and then until all requests under way are answered.
    pub(crate) async fn serve(self, app: Http, limits: Limits, mut stop: watch::Receiver<bool>) {
        let graceful = GracefulShutdown::new();
        let open = Open::new(&limits);
        let serving = Arc::new(Serving { app, tls: None, http: http(&limits), limits });
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            match accepted {
                Ok((stream, _)) => {
                    let peer = peer(stream.peer_cred().map_or(u32::MAX, |peer| peer.uid()));
                    // One node must not keep the others out. A connection too many is closed unanswered.
                    let Some(slot) = open.enter(peer.ip()) else { continue };
                    let (serving, watcher) = (serving.clone(), graceful.watcher());
                    tokio::spawn(async move {
                        serving.http(stream, peer, watcher).await;
                        drop(slot);
                    });
                }
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "connections of agents cannot be accepted");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
        let _ = fs::remove_file(&self.path);
        graceful.shutdown().await;
    }
}

/// Each node's user counts as an address of its own, from the block that no packet ever comes from (RFC 6666).
fn peer(user: u32) -> SocketAddr {
    let [a, b] = [(user >> 16) as u16, (user & 0xffff) as u16];
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, a, b)), 0)
}

fn bind(folder: &Path, path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The name of a socket has room for about a hundred bytes; that of its folder may be longer.
    let opened = fs::File::open(folder)?;
    let short = Path::new("/proc/self/fd")
        .join(std::os::fd::AsRawFd::as_raw_fd(&opened).to_string())
        .join(path.file_name().unwrap_or_default());
    let socket = UnixListener::bind(short)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_takes_the_place_of_one_that_a_crash_left_however_long_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(120)).join("y".repeat(120));
        for _ in 0..2 {
            let socket = AgentSocket::bind(&long, folder.path()).unwrap();
            assert_eq!(fs::metadata(&socket.path).unwrap().permissions().mode() & 0o777, 0o666);
        }
        assert_eq!(fs::read_dir(&long).unwrap().count(), 1);
        let other = AgentSocket::bind(&long, &long).unwrap();
        assert_eq!(fs::read_dir(&long).unwrap().count(), 2, "{}", other.path.display());
    }
}
