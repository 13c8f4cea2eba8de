//! [`NodeContext`]: the only way a driver may touch its node.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use metapaas_protocol::{Health, NodeDocument, is_digest};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::driver::{DriverError, HealthReport};
use crate::files::{self, Part, Root};
use crate::link::Link;
use crate::service::ServiceSpec;
use crate::supervisor::{ServiceFiles, Supervisor};

/// Answers to [`NodeContext::http_get`] are cut here.
const LONGEST_ANSWER: usize = 64 * 1024;
const HTTP_DEADLINE: Duration = Duration::from_secs(5);

/// What a driver sees of its node and may do to it.
///
/// Every method that changes something compares first, does the change in one step that a crash cannot halve, and
/// answers whether there was anything to change.
#[derive(Clone, Debug)]
pub struct NodeContext {
    node_id: Uuid,
    place: String,
    address: IpAddr,
    port: u16,
    hands: Arc<Hands>,
}

/// What all contexts of one node share.
pub(crate) struct Hands {
    work: Root,
    services: ServiceFiles,
    /// `None` in the test kit, where services are written down and not run.
    supervisor: Option<Supervisor>,
    /// `None` in the test kit, which has no control plane.
    link: Option<Arc<Link>>,
    http: reqwest::Client,
    after_effect: Box<dyn Fn(&str) + Send + Sync>,
}

/// What a service answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// The body, at most 64 KiB of it.
    pub body: Vec<u8>,
}

impl Hands {
    pub(crate) fn new(
        directory: &Path,
        supervisor: Option<Supervisor>,
        link: Option<Arc<Link>>,
        after_effect: Box<dyn Fn(&str) + Send + Sync>,
    ) -> io::Result<Self> {
        let services = ServiceFiles::open(directory)?;
        // A kept connection would fail the first check after each restart of the service.
        let http = crate::http::client(None)?
            .no_proxy()
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(HTTP_DEADLINE)
            .build()
            .map_err(io::Error::other)?;
        Ok(Self { work: Root::new(directory.join("work")), services, supervisor, link, http, after_effect })
    }
}

impl NodeContext {
    pub(crate) fn new(hands: Arc<Hands>, document: &NodeDocument) -> Self {
        Self {
            node_id: document.node_id,
            place: document.place.clone(),
            address: document.address,
            port: document.port,
            hands,
        }
    }

    /// The directory that files are written to; home and working directory of services.
    pub fn dir(&self) -> &Path {
        self.hands.work.path()
    }

    /// The node's id.
    pub fn node_id(&self) -> Uuid {
        self.node_id
    }

    /// Name of the node's place in its instance.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The address that services listen on.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The port of the main service.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where the main service listens.
    pub fn socket_address(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    /// Content of a file under [`NodeContext::dir`], `None` when there is none.
    ///
    /// # Errors
    /// A path that leaves the directory is the document's fault; the rest may work later.
    pub async fn read_file(&self, path: impl AsRef<Path>) -> Result<Option<Vec<u8>>, DriverError> {
        let path = path.as_ref().to_owned();
        let action = format!("read {}", path.display());
        Ok(self.on_disk(action, move |root| root.read(&path)).await?.map(|(bytes, _)| bytes))
    }

    /// Makes a file have this content and mode, and makes its parent directories.
    ///
    /// # Errors
    /// As [`NodeContext::read_file`].
    pub async fn write_file(
        &self,
        path: impl AsRef<Path>,
        bytes: impl Into<Vec<u8>>,
        mode: u32,
    ) -> Result<bool, DriverError> {
        let (path, bytes) = (path.as_ref().to_owned(), bytes.into());
        let action = format!("write {}", path.display());
        let work = move |root: &Root| {
            // What cannot be read as a file (e.g. a symbolic link) is replaced, unless the path itself is refused.
            match root.read(&path) {
                Ok(Some((there, mode_there))) if there == bytes && mode_there == mode => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(error),
                _ => {}
            }
            root.write(&path, &bytes, mode).map(|()| true)
        };
        self.changed_on_disk(action, work).await
    }

    /// Removes a file.
    ///
    /// # Errors
    /// As [`NodeContext::read_file`].
    pub async fn remove_file(&self, path: impl AsRef<Path>) -> Result<bool, DriverError> {
        let path = path.as_ref().to_owned();
        self.changed_on_disk(format!("remove {}", path.display()), move |root| root.remove(&path)).await
    }

    /// Makes a directory and its parents, each with mode 0700.
    ///
    /// # Errors
    /// As [`NodeContext::read_file`].
    pub async fn make_directory(&self, path: impl AsRef<Path>) -> Result<bool, DriverError> {
        let path = path.as_ref().to_owned();
        let action = format!("make directory {}", path.display());
        let work = move |root: &Root| match root.has_directory(&path)? {
            true => Ok(false),
            false => root.make_directory(&path).map(|()| true),
        };
        self.changed_on_disk(action, work).await
    }

    /// Has an upload of the instance in a file under [`NodeContext::dir`]. `false` when the control plane has none of that
    /// digest (SHA-256 in hexadecimal). What is fetched is held to its digest; a file that is there already is left alone.
    ///
    /// # Errors
    /// As [`NodeContext::read_file`]; also when no control plane answers.
    pub async fn fetch_upload(&self, digest: &str, path: impl AsRef<Path>) -> Result<bool, DriverError> {
        let path = path.as_ref().to_owned();
        if !is_digest(digest) {
            return Err(DriverError::Document(format!("`{digest}` is no SHA-256 of an upload")));
        }
        let action = format!("fetch the upload {digest}");
        let place = path.clone();
        if self.on_disk(action.clone(), move |root| root.has_file(&place)).await? {
            return Ok(true);
        }
        let failed = |source| DriverError::Effect { action: action.clone(), source };
        let link = self.hands.link.as_ref();
        let link = link.ok_or_else(|| failed(io::Error::other("there is no control plane to ask")))?;
        let found =
            link.upload(digest).await.map_err(|error| failed(io::Error::other(with_cause(&error))))?;
        let Some(response) = found else { return Ok(false) };
        let part = self.on_disk(action.clone(), move |root| root.begin(&path, 0o600)).await?;
        let fetched = fetch(response, &part, digest).await;
        let finished = self.on_disk(action.clone(), move |_| match fetched {
            Ok(()) => part.finish(),
            Err(error) => part.give_up().and(Err(error)),
        });
        finished.await?;
        (self.hands.after_effect)(&action);
        Ok(true)
    }

    /// Makes a service run as `spec` says. Unchanged, it is left alone; changed, it is restarted, and the old process
    /// has ended when this returns. That the new one works is for [`crate::Driver::health`] to find out.
    ///
    /// # Errors
    /// A malformed spec is the document's fault; the rest may work later.
    pub async fn ensure_service(&self, spec: &ServiceSpec) -> Result<bool, DriverError> {
        if let Some(problem) = spec.problem() {
            return Err(DriverError::Document(problem));
        }
        let action = format!("run service {}", spec.name);
        let failed = |source| DriverError::Effect { action: action.clone(), source };
        let path = self.hands.services.spec(&spec.name);
        let bytes = serde_json::to_vec(spec).map_err(|error| failed(error.into()))?;
        let changed = files::read_optional(&path).map_err(failed)?.is_none_or(|there| there != bytes);
        if changed {
            files::write_atomic(&path, &bytes, 0o600).map_err(failed)?;
        }
        // Also when unchanged: an earlier call may have failed between the file and the process.
        if let Some(supervisor) = &self.hands.supervisor {
            supervisor.run(&spec.name).await.map_err(failed)?;
        }
        if changed {
            (self.hands.after_effect)(&action);
        }
        Ok(changed)
    }

    /// How often a service ended by itself, or could not be started, since it was last asked for in another form or the
    /// agent started. It is started again each time, after a pause that grows.
    pub fn service_failures(&self, name: &str) -> u32 {
        self.hands.supervisor.as_ref().map_or(0, |supervisor| supervisor.failures(name))
    }

    /// Ends a service; none of its processes is left when this returns.
    ///
    /// # Errors
    /// It may work later.
    pub async fn stop_service(&self, name: &str) -> Result<bool, DriverError> {
        if !crate::service::valid_name(name) {
            return Err(DriverError::Document(format!("`{name}` is no service name")));
        }
        let action = format!("stop service {name}");
        let failed = |source| DriverError::Effect { action: action.clone(), source };
        let changed = files::remove_optional(&self.hands.services.spec(name)).map_err(failed)?;
        if let Some(supervisor) = &self.hands.supervisor {
            supervisor.stop(name).await.map_err(failed)?;
        }
        if changed {
            (self.hands.after_effect)(&action);
        }
        Ok(changed)
    }

    /// Ends every service whose name is not among `keep`.
    ///
    /// # Errors
    /// It may work later.
    pub async fn stop_other_services(&self, keep: &[&str]) -> Result<(), DriverError> {
        let listed = self.hands.services.wanted();
        let names =
            listed.map_err(|source| DriverError::Effect { action: "list services".to_owned(), source })?;
        for name in names.iter().filter(|name| !keep.contains(&name.as_str())) {
            self.stop_service(name).await?;
        }
        Ok(())
    }

    /// Does something that has no method here, e.g. a call to a service's own API. The caller has compared and found
    /// that it must be done, and doing it twice does no harm. The test kit counts it and crashes after it.
    ///
    /// # Errors
    /// What `work` answers, as something that may work later.
    pub async fn effect<T>(
        &self,
        action: impl Into<String>,
        work: impl Future<Output = io::Result<T>>,
    ) -> Result<T, DriverError> {
        let action = action.into();
        match work.await {
            Ok(answer) => {
                (self.hands.after_effect)(&action);
                Ok(answer)
            }
            Err(source) => Err(DriverError::Effect { action, source }),
        }
    }

    /// Asks the main service, within five seconds. `path` begins with a slash.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn http_get(&self, path: &str) -> io::Result<HttpAnswer> {
        self.http_get_from(self.socket_address(), path).await
    }

    /// Asks a service elsewhere, as [`NodeContext::http_get`] does.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn http_get_from(&self, address: SocketAddr, path: &str) -> io::Result<HttpAnswer> {
        let url = format!("http://{address}{path}");
        let mut response = self.hands.http.get(url).send().await.map_err(plain_http_error)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(plain_http_error)? {
            body.extend_from_slice(&chunk);
            if body.len() >= LONGEST_ANSWER {
                body.truncate(LONGEST_ANSWER);
                break;
            }
        }
        Ok(HttpAnswer { status, body })
    }

    /// A request to the main service, which has five seconds to answer. What it changes is an [`NodeContext::effect`].
    pub fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.hands.http.request(method, format!("http://{}{path}", self.socket_address()))
    }

    /// Healthy when the main service answers a GET of `path` with a 2xx status.
    pub async fn http_health(&self, path: &str) -> HealthReport {
        let message = match self.http_get(path).await {
            Ok(answer) if (200..300).contains(&answer.status) => {
                return HealthReport { health: Health::Healthy, message: String::new() };
            }
            Ok(answer) => format!("{path} on {} answers {}", self.socket_address(), answer.status),
            Err(error) => format!("{path} on {} does not answer: {error}", self.socket_address()),
        };
        HealthReport { health: Health::Unhealthy, message }
    }

    async fn changed_on_disk(
        &self,
        action: String,
        work: impl FnOnce(&Root) -> io::Result<bool> + Send + 'static,
    ) -> Result<bool, DriverError> {
        let changed = self.on_disk(action.clone(), work).await?;
        if changed {
            (self.hands.after_effect)(&action);
        }
        Ok(changed)
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        action: String,
        work: impl FnOnce(&Root) -> io::Result<T> + Send + 'static,
    ) -> Result<T, DriverError> {
        let root = self.hands.work.clone();
        let done = tokio::task::spawn_blocking(move || work(&root)).await;
        match done.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(answer) => Ok(answer),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                Err(DriverError::Document(error.to_string()))
            }
            Err(source) => Err(DriverError::Effect { action, source }),
        }
    }
}

impl fmt::Debug for Hands {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Hands").field("work", &self.work).finish_non_exhaustive()
    }
}

fn with_cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// Writes what comes, and holds it to its digest.
async fn fetch(mut response: reqwest::Response, part: &Part, digest: &str) -> io::Result<()> {
    use tokio::io::AsyncWriteExt;
    let mut file = tokio::fs::File::from_std(part.file.try_clone()?);
    let mut hash = Sha256::new();
    while let Some(chunk) = response.chunk().await.map_err(plain_http_error)? {
        hash.update(&chunk);
        file.write_all(&chunk).await?;
    }
    file.flush().await?;
    let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if found == digest {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("what came has the SHA-256 {found}")))
}

/// The innermost cause: the outer ones repeat the address.
fn plain_http_error(error: reqwest::Error) -> io::Error {
    if error.is_timeout() {
        return io::Error::new(io::ErrorKind::TimedOut, "no answer in time");
    }
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    io::Error::other(cause.to_string())
}
