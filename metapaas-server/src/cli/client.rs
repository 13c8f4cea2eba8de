//! [`Api`]: requests to the server. [`Client`]: what every command has at hand.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use metapaas_core::role::PLATFORM_PROJECT;
use reqwest::{Method, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::error::{ApiProblem, CliError};
use super::file_body::FileBody;
use super::output::Output;
use super::path::encode;
use super::session::Session;
use super::text::{did_you_mean, plain};
use super::types::Types;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// A file may take a while; no server waits for longer.
const FILE_TIMEOUT: Duration = Duration::from_secs(60 * 60);
const STREAM_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The most items that one page has.
pub(crate) const PAGE: usize = 1000;

/// Pauses before a request is sent again whose connection was lost: time for a control plane to start.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
const IDEMPOTENCY_KEY: header::HeaderName = header::HeaderName::from_static("idempotency-key");

/// A header of a request.
type Header<'a> = (header::HeaderName, &'a str);

const PROJECTS: &str = "/v1/iam/projects";

/// What every command has at hand.
pub(crate) struct Client<'a> {
    /// The server.
    pub(crate) api: Api,
    /// Where results go.
    pub(crate) output: &'a mut Output,
    /// The project that the user named, by name or id.
    pub(crate) project: Option<String>,
    /// How long to wait at most.
    pub(crate) timeout: Duration,
}

/// Requests to one server.
pub(crate) struct Api {
    http: reqwest::Client,
    session: Session,
}

/// A good answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// 2xx, or 304 to a conditional read.
    pub(crate) status: u16,
    /// The revision of what was read.
    pub(crate) etag: Option<String>,
    /// Null when there is none.
    pub(crate) body: Value,
}

/// Parameters of a query.
pub(crate) type Query<'a> = [(&'a str, String)];

impl Api {
    /// Talks to the session's server.
    pub(crate) fn new(session: Session, ca_file: Option<&Path>) -> Result<Self, CliError> {
        Ok(Self { http: http_client(ca_file)?, session })
    }

    /// Where the server is.
    pub(crate) fn endpoint(&self) -> &str {
        self.session.endpoint()
    }

    /// Reads.
    pub(crate) async fn get(&self, path: &str, query: &Query<'_>) -> Result<Answer, CliError> {
        self.send(Method::GET, path, query, None, &[]).await
    }

    /// Reads what is newer than `etag`; the answer's status is 304 when nothing is.
    pub(crate) async fn get_newer(&self, path: &str, etag: Option<&str>) -> Result<Answer, CliError> {
        let etag: Vec<Header<'_>> = etag.map(|etag| (header::IF_NONE_MATCH, etag)).into_iter().collect();
        self.send(Method::GET, path, &[], None, &etag).await
    }

    /// Makes or runs something, once: below `/v1/types` it carries a key, so that it can be sent again when the
    /// connection is lost and nobody knows how far it came.
    pub(crate) async fn post(&self, path: &str, query: &Query<'_>, body: &Value) -> Result<Answer, CliError> {
        let key = Uuid::new_v4().to_string();
        let headers = [(IDEMPOTENCY_KEY, key.as_str())];
        let headers = if path.starts_with("/v1/types/") { &headers[..] } else { &[] };
        self.send(Method::POST, path, query, Some(body), headers).await
    }

    /// Asks for what needs no words.
    pub(crate) async fn post_nothing(&self, path: &str) -> Result<Answer, CliError> {
        self.send(Method::POST, path, &[], None, &[]).await
    }

    /// Changes something.
    pub(crate) async fn patch(
        &self,
        path: &str,
        query: &Query<'_>,
        body: &Value,
    ) -> Result<Answer, CliError> {
        self.send(Method::PATCH, path, query, Some(body), &[]).await
    }

    /// Changes something once, if it still has that entity tag.
    pub(crate) async fn patch_if(
        &self,
        path: &str,
        query: &Query<'_>,
        body: &Value,
        etag: Option<&str>,
    ) -> Result<Answer, CliError> {
        let key = Uuid::new_v4().to_string();
        let mut headers = vec![(IDEMPOTENCY_KEY, key.as_str())];
        headers.extend(etag.map(|etag| (header::IF_MATCH, etag)));
        self.send(Method::PATCH, path, query, Some(body), &headers).await
    }

    /// Replaces something.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Answer, CliError> {
        self.send(Method::PUT, path, &[], Some(body), &[]).await
    }

    /// Sends a file as a whole. Once more does no harm.
    pub(crate) async fn put_file(
        &self,
        path: &str,
        query: &Query<'_>,
        file: &File,
    ) -> Result<Answer, CliError> {
        let url = format!("{}{path}", self.endpoint());
        self.exchange(&format!("PUT {path}"), true, || {
            let body = FileBody::new(file).map_err(|source| CliError::Unexpected {
                what: "the file cannot be read".into(),
                source: Some(Box::new(source)),
            })?;
            let request = self.http.put(&url).query(query).timeout(FILE_TIMEOUT);
            let request = request.header(header::CONTENT_TYPE, "application/octet-stream");
            Ok(request.body(reqwest::Body::wrap(body)))
        })
        .await
    }

    /// Removes something.
    pub(crate) async fn delete(&self, path: &str, query: &Query<'_>) -> Result<Answer, CliError> {
        self.send(Method::DELETE, path, query, None, &[]).await
    }

    /// Removes something, if it still has that entity tag.
    pub(crate) async fn delete_if(
        &self,
        path: &str,
        query: &Query<'_>,
        etag: Option<&str>,
    ) -> Result<Answer, CliError> {
        let headers: Vec<Header<'_>> = etag.map(|etag| (header::IF_MATCH, etag)).into_iter().collect();
        self.send(Method::DELETE, path, query, None, &headers).await
    }

    /// Opens a stream of server-sent events, after a position or from the beginning.
    pub(crate) async fn open_stream(
        &self,
        path: &str,
        query: &Query<'_>,
        after: Option<&str>,
    ) -> Result<reqwest::Response, CliError> {
        self.stream(Method::GET, path, query, after, None).await
    }

    /// Begins something that is told of by a stream, and ends with it.
    pub(crate) async fn post_stream(
        &self,
        path: &str,
        query: &Query<'_>,
        body: &Value,
    ) -> Result<reqwest::Response, CliError> {
        self.stream(Method::POST, path, query, None, Some(body)).await
    }

    async fn stream(
        &self,
        method: Method,
        path: &str,
        query: &Query<'_>,
        after: Option<&str>,
        body: Option<&Value>,
    ) -> Result<reqwest::Response, CliError> {
        let mut token = self.session.token(&self.http).await?;
        let mut renewed = false;
        loop {
            let url = format!("{}{path}", self.endpoint());
            let mut request = self.http.request(method.clone(), url).query(query);
            if let Some(body) = body {
                request = request.json(body);
            }
            // It has no end; its reader minds a silence.
            request = request.timeout(STREAM_TIMEOUT).header(header::ACCEPT, "text/event-stream");
            if let Some(token) = &token {
                request = request.bearer_auth(token);
            }
            if let Some(after) = after {
                request = request.header("last-event-id", after);
            }
            let response = request.send().await.map_err(|source| unreachable(self.endpoint(), source))?;
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            let bytes = response.bytes().await.map_err(|source| unreachable(self.endpoint(), source))?;
            let problem = Box::new(ApiProblem::of(status.as_u16(), &bytes));
            if problem.status != 401 || renewed {
                return Err(CliError::Api(problem));
            }
            renewed = true;
            match self.session.renew(&self.http, token.as_deref()).await? {
                Some(fresh) => token = Some(fresh),
                None => return Err(self.session.refused(problem)),
            }
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &Query<'_>,
        body: Option<&Value>,
        headers: &[Header<'_>],
    ) -> Result<Answer, CliError> {
        let url = format!("{}{path}", self.endpoint());
        let is_repeatable = headers.iter().any(|(name, _)| *name == IDEMPOTENCY_KEY);
        self.exchange(&format!("{method} {path}"), is_repeatable, || {
            let mut request = self.http.request(method.clone(), &url);
            if !query.is_empty() {
                request = request.query(query);
            }
            for (name, value) in headers {
                request = request.header(name, *value);
            }
            Ok(match body {
                Some(body) => request.json(body),
                None => request,
            })
        })
        .await
    }

    /// Sends what `request` makes, with the session's token; again when that was refused and there is a newer one, or when
    /// the connection was lost and doing it twice does no harm.
    async fn exchange(
        &self,
        what: &str,
        is_repeatable: bool,
        request: impl Fn() -> Result<reqwest::RequestBuilder, CliError>,
    ) -> Result<Answer, CliError> {
        let mut token = self.session.token(&self.http).await?;
        let mut renewed = false;
        let mut pauses = PAUSES.iter().filter(|_| is_repeatable);
        let mut was_sent = false;
        loop {
            let mut request = request()?;
            if let Some(token) = &token {
                request = request.bearer_auth(token);
            }
            let answer = receive(self.endpoint(), what, request).await;
            match answer {
                // The server may have restarted with other keys or revoked the token: a login can get a new one.
                Err(CliError::Api(problem)) if problem.status == 401 && !renewed => {
                    renewed = true;
                    match self.session.renew(&self.http, token.as_deref()).await? {
                        Some(fresh) => token = Some(fresh),
                        None => return Err(self.session.refused(problem)),
                    }
                }
                Err(error)
                    if error.is_lost(was_sent)
                        && let Some(pause) = pauses.next() =>
                {
                    was_sent = true;
                    tokio::time::sleep(*pause).await;
                }
                other => return other,
            }
        }
    }
}

/// A client that never sends a token to another place than the one it was meant for. It trusts the certificates in
/// `ca_file`, or those of the system.
pub(crate) fn http_client(ca_file: Option<&Path>) -> Result<reqwest::Client, CliError> {
    let wrong = |path: &Path, error: &std::io::Error| {
        CliError::Usage(format!("--ca-file {} cannot be used: {error}", path.display()))
    };
    let ca = match ca_file {
        Some(path) => Some((path, std::fs::read(path).map_err(|error| wrong(path, &error))?)),
        None => None,
    };
    let path = ca.as_ref().map_or(Path::new(""), |(path, _)| path);
    let client = metapaas_agent::http::client(ca.as_ref().map(|(_, pem)| pem.as_slice()));
    client
        .map_err(|error| wrong(path, &error))?
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("metapaas-cli/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|source| CliError::Unexpected {
            what: "cannot set up HTTP".into(),
            source: Some(Box::new(source)),
        })
}

/// Sends the request and reads the answer.
pub(crate) async fn receive(
    endpoint: &str,
    what: &str,
    request: reqwest::RequestBuilder,
) -> Result<Answer, CliError> {
    let unreachable = |source| unreachable(endpoint, source);
    let response = request.header(header::ACCEPT, "application/json").send().await.map_err(unreachable)?;
    let status = response.status();
    let etag = response.headers().get(header::ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned);
    let bytes = response.bytes().await.map_err(unreachable)?;
    if !status.is_success() && status != StatusCode::NOT_MODIFIED {
        return Err(CliError::Api(Box::new(ApiProblem::of(status.as_u16(), &bytes))));
    }
    let body = if bytes.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&bytes).map_err(|source| CliError::Unexpected {
            what: format!("{what} answered something that is not JSON; is {endpoint} a MetaPaaS server?"),
            source: Some(Box::new(source)),
        })?
    };
    Ok(Answer { status: status.as_u16(), etag, body })
}

fn unreachable(endpoint: &str, source: reqwest::Error) -> CliError {
    CliError::Unreachable {
        endpoint: endpoint.to_owned(),
        hint: if is_local(endpoint) { "; start it with `metapaas up`" } else { "" },
        source: source.without_url(),
    }
}

/// Whether the endpoint is on this machine.
pub(crate) fn is_local(endpoint: &str) -> bool {
    let host = reqwest::Url::parse(endpoint).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

/// The answer's body as the type that the contract says.
pub(crate) fn decode<T: DeserializeOwned>(what: impl fmt::Display, body: Value) -> Result<T, CliError> {
    serde_json::from_value(body).map_err(|source| CliError::Unexpected {
        what: format!("{what} answered something else than expected"),
        source: Some(Box::new(source)),
    })
}

impl Client<'_> {
    /// What the server hosts.
    pub(crate) async fn types(&self) -> Result<Types, CliError> {
        decode("GET /v1/types", self.api.get("/v1/types", &[]).await?.body)
    }

    /// The id of the project that the user named, if any.
    pub(crate) async fn project_id(&self) -> Result<Option<String>, CliError> {
        let Some(wanted) = &self.project else { return Ok(None) };
        if let Ok(id) = wanted.parse::<Uuid>() {
            return Ok(Some(id.to_string()));
        }
        let projects = self.all(PROJECTS, &[], usize::MAX).await?.items;
        let named = projects.iter().find(|project| project["name"] == wanted.as_str());
        if let Some(id) = named.and_then(|project| project["id"].as_str()) {
            return Ok(Some(id.to_owned()));
        }
        let names: Vec<&str> = projects.iter().filter_map(|project| project["name"].as_str()).collect();
        let hint = did_you_mean(wanted, names.iter().copied());
        let known = if names.is_empty() {
            "you may see none".into()
        } else {
            format!("you may see: {}", names.join(", "))
        };
        Err(CliError::NotFound(format!("there is no project `{wanted}`{hint}; {known}")))
    }

    /// The project that something new goes to: the one that the user named, or the only one there is to choose.
    pub(crate) async fn project_for_new(&self) -> Result<Option<String>, CliError> {
        if let Some(named) = self.project_id().await? {
            return Ok(Some(named));
        }
        let mut projects = match self.all(PROJECTS, &[], usize::MAX).await {
            // Who may see no projects may still have one; the server knows.
            Err(CliError::Api(problem)) if problem.status == 403 => return Ok(None),
            listed => listed?.items,
        };
        // The platform project holds users and roles, and is never meant unless it is named.
        projects.retain(|project| project["id"] != PLATFORM_PROJECT.to_string());
        match projects.as_slice() {
            [] => Ok(None),
            [only] => Ok(only["id"].as_str().map(str::to_owned)),
            many => {
                let names: Vec<String> = many.iter().map(|project| plain(&project["name"])).collect();
                let text = format!("say in which project: --project NAME, one of {}", names.join(", "));
                Err(CliError::Usage(text))
            }
        }
    }

    /// The user's project as a parameter, so that names are looked up there.
    pub(crate) async fn project_query(&self) -> Result<Vec<(&'static str, String)>, CliError> {
        Ok(self.project_id().await?.map(|id| ("project_id", id)).into_iter().collect())
    }

    /// Up to `most` items of a list, over as many pages as it takes.
    pub(crate) async fn all(&self, path: &str, query: &Query<'_>, most: usize) -> Result<Listed, CliError> {
        let mut listed = Listed::default();
        while listed.items.len() < most {
            let mut query = query.to_vec();
            query.push(("limit", (most - listed.items.len()).min(PAGE).to_string()));
            if let Some(token) = listed.next_page_token.take() {
                query.push(("page_token", token));
            }
            let page: Listed = decode(format_args!("GET {path}"), self.api.get(path, &query).await?.body)?;
            listed.items.extend(page.items);
            listed.next_page_token = page.next_page_token.filter(|token| !token.is_empty());
            if listed.next_page_token.is_none() {
                break;
            }
        }
        Ok(listed)
    }

    /// The id behind an id or name, e.g. of a user.
    pub(crate) async fn id_of(
        &self,
        collection: &str,
        name: &str,
        query: &Query<'_>,
    ) -> Result<String, CliError> {
        if let Ok(id) = name.parse::<Uuid>() {
            return Ok(id.to_string());
        }
        let path = format!("{collection}/{}", encode(name));
        let body = self.api.get(&path, query).await?.body;
        body["id"].as_str().map(str::to_owned).ok_or_else(|| CliError::Unexpected {
            what: format!("GET {path} answered something without an id"),
            source: None,
        })
    }
}

/// Items of a list, and how to get more.
#[derive(Debug, Default, serde::Deserialize, serde::Serialize)]
pub(crate) struct Listed {
    /// The items.
    pub(crate) items: Vec<Value>,
    /// For the next page.
    #[serde(default)]
    pub(crate) next_page_token: Option<String>,
}
