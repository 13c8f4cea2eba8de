//! The ways to control planes: by URL, or by a Unix socket in a folder that a container shares with its host.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::node_file::NodeFile;

const CONNECT_DEADLINE: Duration = Duration::from_secs(3);

/// One way to a control plane.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// Its URL, or the path of its socket.
    pub(crate) name: String,
    /// What paths are appended to.
    pub(super) base: String,
    pub(super) http: reqwest::Client,
}

/// All ways that a node's file names, sockets first. A client in `known` is used again: it keeps its connections.
///
/// # Errors
/// When the node's certificates cannot be used, or the folder of sockets cannot be read.
pub(super) fn routes(node: &NodeFile, known: &[Route]) -> io::Result<Vec<Route>> {
    let mut routes = Vec::new();
    let mut http = None;
    for socket in node.sockets.as_deref().map(sockets).transpose()?.unwrap_or_default() {
        routes.push(match known.iter().find(|route| route.name == socket) {
            Some(route) => route.clone(),
            // The host is in the request alone; nobody looks it up.
            None => Route {
                http: client(None, Some(&socket))?,
                base: "http://localhost".to_owned(),
                name: socket,
            },
        });
    }
    for endpoint in &node.endpoints {
        let base = endpoint.trim_end_matches('/').to_owned();
        // In a container, loopback is the container itself.
        if node.sockets.is_some() && is_loopback(&base) {
            continue;
        }
        let known = known.iter().find(|route| route.base == route.name).map(|route| &route.http);
        let http = match http.as_ref().or(known) {
            Some(http) => http.clone(),
            None => http.insert(client(node.ca.as_deref(), None)?).clone(),
        };
        routes.push(Route { name: base.clone(), base, http });
    }
    Ok(routes)
}

fn sockets(folder: &Path) -> io::Result<Vec<String>> {
    let mut sockets = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sock") {
            sockets.extend(path.to_str().map(str::to_owned));
        }
    }
    sockets.sort();
    Ok(sockets)
}

fn is_loopback(url: &str) -> bool {
    let host = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.is_some_and(|host| {
        let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
    })
}

/// A token must not reach a proxy or another host, so neither proxies nor redirects are followed.
fn client(ca: Option<&str>, socket: Option<&str>) -> io::Result<reqwest::Client> {
    let mut builder = crate::http::client(ca.map(str::as_bytes))?
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_DEADLINE);
    if let Some(socket) = socket {
        builder = builder.unix_socket(socket);
    }
    builder.build().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sockets: Option<&Path>, endpoints: &[&str]) -> Vec<String> {
        let node = NodeFile {
            node_id: uuid::Uuid::nil(),
            tag: String::new(),
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            endpoints: endpoints.iter().map(|&endpoint| endpoint.to_owned()).collect(),
            ca: None,
            sockets: sockets.map(Path::to_owned),
            resources: Default::default(),
        };
        routes(&node, &[]).unwrap().into_iter().map(|route| route.name).collect()
    }

    #[test]
    fn a_container_uses_sockets_first_and_no_loopback() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("a.sock");
        std::fs::write(&socket, "").unwrap();
        std::fs::write(folder.path().join("other"), "").unwrap();
        let endpoints =
            ["http://127.0.0.1:1", "https://[::1]:2", "http://localhost:3", "https://paas.example.org/"];
        assert_eq!(
            names(Some(folder.path()), &endpoints),
            [socket.to_str().unwrap(), "https://paas.example.org"]
        );
        assert_eq!(names(None, &endpoints).len(), 4);
    }
}
