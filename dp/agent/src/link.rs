//! The agent's side of the orchestration and status APIs.

mod route;

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metapaas_protocol::calls::{CALLS_PATH, CallOutput, Calls, call_path};
use metapaas_protocol::{DOCUMENT_PATH, NodeDocument, NodeReport, status_path, upload_path};
use reqwest::{RequestBuilder, Response, StatusCode};
use tokio::sync::watch;
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::node_file::{NodeFile, read_token};
pub(crate) use route::Route;
use route::routes;

/// How long the control plane is asked to hold a call for a new document.
const WAIT_SECONDS: u64 = 30;
const DEADLINE: Duration = Duration::from_secs(WAIT_SECONDS + 15);
const REPORT_DEADLINE: Duration = Duration::from_secs(10);
/// A part of an answer waits for its reader for less than this.
const ANSWER_DEADLINE: Duration = Duration::from_secs(40);
/// An upload may be large; whoever asks for it gives up after five minutes.
const UPLOAD_DEADLINE: Duration = Duration::from_secs(280);
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// Calls the control planes with the node's token, whichever of them answers.
#[derive(Debug)]
pub struct Link {
    directory: PathBuf,
    state: Mutex<State>,
    changes: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    node: NodeFile,
    token: String,
    routes: Vec<Route>,
    /// Index of the route in use.
    current: usize,
}

/// Why a call got no answer that helps.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// `node.json` names no control plane.
    #[error("no control plane is known")]
    NoEndpoint,
    /// The call failed.
    #[error("call {url}")]
    Call {
        /// Where to.
        url: String,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// The control plane does not do it.
    #[error("{url} answers {status}")]
    Answer {
        /// Who.
        url: String,
        /// What.
        status: StatusCode,
    },
}

/// When to try again after failures: at once with the next endpoint, with backoff after each round of all.
#[derive(Debug)]
pub struct Retry {
    backoff: Backoff,
    failures: usize,
}

impl Default for Retry {
    fn default() -> Self {
        Self { backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY), failures: 0 }
    }
}

impl Link {
    /// The link of the node in `directory`.
    ///
    /// # Errors
    /// When the node's files cannot be read.
    pub fn open(directory: PathBuf) -> io::Result<Self> {
        let node = NodeFile::read(&directory)?;
        let routes = routes(&node, &[])?;
        let state = State { node, token: read_token(&directory)?, routes, current: 0 };
        Ok(Self { directory, state: Mutex::new(state), changes: watch::channel(()).0 })
    }

    /// The document, as soon as its digest is not `after`; `None` when the wait is over.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn document(&self, after: &str) -> Result<Option<NodeDocument>, LinkError> {
        let (route, token) = self.route()?;
        let url = format!("{}{DOCUMENT_PATH}", route.base);
        let query = [("after", after), ("wait", &WAIT_SECONDS.to_string())];
        let request = route.http.get(&url).query(&query).timeout(DEADLINE).bearer_auth(token);
        let response = self.send(&route, &url, request).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let document =
            response.json().await.map_err(|source| self.failed(&route, LinkError::Call { url, source }))?;
        Ok(Some(document))
    }

    /// Hands a report over.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn report(&self, report: &NodeReport) -> Result<(), LinkError> {
        let (route, token) = self.route()?;
        let url = format!("{}{}", route.base, status_path(self.state().node.node_id));
        let request = route.http.put(&url).json(report).timeout(REPORT_DEADLINE).bearer_auth(token);
        self.send(&route, &url, request).await.map(|_| ())
    }

    /// An upload of the node's instance; `None` when there is none of that digest.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub(crate) async fn upload(&self, digest: &str) -> Result<Option<Response>, LinkError> {
        let (route, token) = self.route()?;
        let url = format!("{}{}", route.base, upload_path(digest));
        let request = route.http.get(&url).timeout(UPLOAD_DEADLINE).bearer_auth(token);
        match ask(&url, request).await {
            Ok(response) => Ok(Some(response)),
            Err(LinkError::Answer { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
            Err(error) => Err(self.failed(&route, error)),
        }
    }

    /// The calls that a control plane has for the node; none when the wait is over.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub(crate) async fn calls(&self, route: &Route, agent: Uuid) -> Result<Calls, LinkError> {
        let url = format!("{}{CALLS_PATH}", route.base);
        let query = [("agent", agent.to_string()), ("wait", WAIT_SECONDS.to_string())];
        let request = route.http.get(&url).query(&query).timeout(DEADLINE).bearer_auth(self.token());
        let response = ask(&url, request).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(Calls::default());
        }
        response.json().await.map_err(|source| LinkError::Call { url, source })
    }

    /// Hands the control plane that made a call the next part of the answer.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub(crate) async fn answer(&self, route: &Route, id: Uuid, output: &CallOutput) -> Result<(), LinkError> {
        let url = format!("{}{}", route.base, call_path(id));
        let request = route.http.post(&url).json(output).timeout(ANSWER_DEADLINE).bearer_auth(self.token());
        ask(&url, request).await.map(|_| ())
    }

    /// The ways to all control planes.
    pub(crate) fn routes(&self) -> Vec<Route> {
        self.state().routes.clone()
    }

    /// Changes whenever the ways to control planes may have.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    fn token(&self) -> String {
        self.state().token.clone()
    }

    /// Uses these endpoints from now on, and after a restart.
    ///
    /// # Errors
    /// When they cannot be written down; they are used anyway.
    pub fn use_endpoints(&self, endpoints: &[String]) -> io::Result<()> {
        let mut state = self.state();
        if endpoints.is_empty() || state.node.endpoints == endpoints {
            return Ok(());
        }
        let in_use = state.routes.get(state.current).map(|route| route.name.clone());
        state.node.endpoints = endpoints.to_vec();
        state.routes = routes(&state.node, &state.routes)?;
        state.current =
            state.routes.iter().position(|route| Some(&route.name) == in_use.as_ref()).unwrap_or(0);
        self.changes.send_replace(());
        state.node.write(&self.directory)
    }

    /// How long to wait after a failure.
    pub fn pause(&self, retry: &mut Retry) -> Duration {
        retry.failures += 1;
        if retry.failures.is_multiple_of(self.state().routes.len().max(1)) {
            retry.backoff.wait()
        } else {
            Duration::ZERO
        }
    }

    async fn send(&self, route: &Route, url: &str, request: RequestBuilder) -> Result<Response, LinkError> {
        ask(url, request).await.map_err(|error| self.failed(route, error))
    }

    fn route(&self) -> Result<(Route, String), LinkError> {
        let state = self.state();
        let route = state.routes.get(state.current).cloned();
        let token = state.token.clone();
        drop(state);
        if route.is_none() {
            self.read_again();
        }
        Ok((route.ok_or(LinkError::NoEndpoint)?, token))
    }

    /// Turns to the next route, unless another call did meanwhile.
    fn failed(&self, route: &Route, error: LinkError) -> LinkError {
        let round_over = {
            let mut state = self.state();
            if state.routes.get(state.current).map(|current| &current.name) != Some(&route.name) {
                return error;
            }
            state.current += 1;
            state.current >= state.routes.len()
        };
        if round_over {
            self.read_again();
        }
        error
    }

    /// The provider may have written a new token, new endpoints or other certificates when the control planes moved.
    fn read_again(&self) {
        let read = NodeFile::read(&self.directory).and_then(|node| Ok((node, read_token(&self.directory)?)));
        let mut state = self.state();
        state.current = 0;
        match read {
            Ok((node, token)) if node.node_id == state.node.node_id => {
                // Clients of other certificates are made anew.
                let known = if node.ca == state.node.ca { state.routes.as_slice() } else { &[] };
                match routes(&node, known) {
                    Ok(routes) => state.routes = routes,
                    Err(error) => tracing::warn!(%error, "what node.json says of control planes is ignored"),
                }
                (state.node, state.token) = (node, token);
                self.changes.send_replace(());
            }
            Ok(_) => tracing::error!("node.json has become another node's; it is ignored"),
            Err(error) => tracing::warn!(%error, "cannot read the node's files"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask(url: &str, request: RequestBuilder) -> Result<Response, LinkError> {
    match request.send().await {
        Ok(response) if response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED => {
            Ok(response)
        }
        Ok(response) => Err(LinkError::Answer { url: url.to_owned(), status: response.status() }),
        Err(source) => Err(LinkError::Call { url: url.to_owned(), source }),
    }
}
