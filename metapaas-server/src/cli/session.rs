//! [`Session`]: which server to ask and how to prove who asks. Flags and environment, then login, then local data.

use std::path::Path;
use std::time::Duration;

use chrono::Utc;
use metapaas_agent::files;
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ClientOptions;
use super::client::{decode, receive};
use super::error::{ApiProblem, CliError};
use super::logins::{Login, LoginFile};
use super::places::Places;

/// A token that ends sooner is renewed first.
const RENEW_BEFORE: Duration = Duration::from_secs(30);

/// A server and the caller's standing with it.
pub(crate) struct Session {
    endpoint: String,
    credential: Credential,
}

enum Credential {
    /// No one we know; some paths are open to all.
    None,
    /// A token that was given, or that `metapaas up` left for its owner.
    Token(String),
    /// A login whose tokens are renewed.
    Login(LoginFile),
}

/// What `metapaas up` leaves in its data directory for its owner.
struct Local {
    endpoint: String,
    token: Option<String>,
}

#[derive(Deserialize)]
struct AdminFile {
    token: String,
}

/// What `POST /v1/iam/token` answers.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    refresh_token: String,
    expires_in: u32,
    #[serde(default)]
    must_change_password: bool,
}

/// What a login or renewal gives.
pub(crate) struct Granted {
    /// To be kept.
    pub(crate) login: Login,
    /// Whether somebody else chose the password.
    pub(crate) must_change_password: bool,
}

impl Session {
    /// The session that options, login file and local data directory give.
    pub(crate) fn choose(options: &ClientOptions, places: &Places) -> Result<Self, CliError> {
        let endpoint = find_endpoint(options, places)?;
        let credential = find_credential(options, places, &endpoint)?;
        Ok(Self { endpoint, credential })
    }

    /// The session of the login at `endpoint`, if there is one.
    pub(crate) fn of_login(endpoint: &str, file: &LoginFile) -> Option<Self> {
        let known = file.read().ok()?.servers.contains_key(endpoint);
        known.then(|| Self { endpoint: endpoint.to_owned(), credential: Credential::Login(file.clone()) })
    }

    /// Base URL of the server, without a slash at the end.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The token for the next request.
    pub(crate) async fn token(&self, http: &reqwest::Client) -> Result<Option<String>, CliError> {
        match &self.credential {
            Credential::None => Ok(None),
            Credential::Token(token) => Ok(Some(token.clone())),
            Credential::Login(file) => {
                let login = file.read()?.servers.remove(&self.endpoint);
                match login.filter(|login| login.expires_at > Utc::now() + RENEW_BEFORE) {
                    Some(login) => Ok(Some(login.access_token)),
                    None => self.renewed(http, file, None).await.map(Some),
                }
            }
        }
    }

    /// A token in place of `refused`; `None` when there is no way to get one.
    pub(crate) async fn renew(
        &self,
        http: &reqwest::Client,
        refused: Option<&str>,
    ) -> Result<Option<String>, CliError> {
        match &self.credential {
            Credential::Login(file) => self.renewed(http, file, refused).await.map(Some),
            Credential::None | Credential::Token(_) => Ok(None),
        }
    }

    /// What to tell when the server does not take the credentials.
    pub(crate) fn refused(&self, problem: Box<ApiProblem>) -> CliError {
        match self.credential {
            Credential::None => CliError::Unauthenticated(format!(
                "there are no credentials for {}; log in with `metapaas login` or set METAPAAS_TOKEN",
                self.endpoint
            )),
            _ => CliError::Api(problem),
        }
    }

    /// The refresh token is good for once, so it is read, used and replaced under the lock.
    async fn renewed(
        &self,
        http: &reqwest::Client,
        file: &LoginFile,
        refused: Option<&str>,
    ) -> Result<String, CliError> {
        let locked = file.lock().await?;
        let mut logins = locked.read()?;
        let Some(login) = logins.servers.get_mut(&self.endpoint) else {
            return Err(self.login_again());
        };
        let fresh =
            login.expires_at > Utc::now() + RENEW_BEFORE && refused != Some(login.access_token.as_str());
        if !fresh {
            let body = json!({"grant_type": "refresh_token", "refresh_token": login.refresh_token});
            *login = match grant(http, &self.endpoint, &login.user, &body).await {
                Err(CliError::Api(problem)) if matches!(problem.status, 400 | 401 | 403) => {
                    return Err(self.login_again());
                }
                granted => granted?.login,
            };
            let token = login.access_token.clone();
            locked.write(&logins)?;
            return Ok(token);
        }
        Ok(login.access_token.clone())
    }

    fn login_again(&self) -> CliError {
        CliError::Unauthenticated(format!(
            "the login at {} has ended; log in with `metapaas login --endpoint {}`",
            self.endpoint, self.endpoint
        ))
    }
}

/// Asks for tokens.
pub(crate) async fn grant(
    http: &reqwest::Client,
    endpoint: &str,
    user: &str,
    body: &Value,
) -> Result<Granted, CliError> {
    let asked_at = Utc::now();
    let request = http.post(format!("{endpoint}/v1/iam/token")).json(body);
    let answer = receive(endpoint, "POST /v1/iam/token", request).await?;
    let tokens: TokenAnswer = decode("POST /v1/iam/token", answer.body)?;
    let login = Login {
        user: user.to_owned(),
        refresh_token: tokens.refresh_token,
        access_token: tokens.access_token,
        expires_at: asked_at + Duration::from_secs(u64::from(tokens.expires_in)),
    };
    Ok(Granted { login, must_change_password: tokens.must_change_password })
}

/// The login file of this user.
pub(crate) fn login_file(places: &Places) -> Option<LoginFile> {
    places.config.clone().map(LoginFile::new)
}

/// Which server to ask.
pub(crate) fn find_endpoint(options: &ClientOptions, places: &Places) -> Result<String, CliError> {
    if let Some(given) = given(options.endpoint.as_deref()) {
        return normal(given);
    }
    // A data directory that was named stands for its server; the usual one comes last.
    let named = options.data_dir.as_deref().filter(|path| !path.as_os_str().is_empty());
    if let Some(local) = named.map(local).transpose()?.flatten() {
        return Ok(local.endpoint);
    }
    if let Some(current) =
        login_file(places).map(|file| file.read()).transpose()?.and_then(|logins| logins.current)
    {
        return Ok(current);
    }
    if let Some(local) =
        named.is_none().then(|| places.data.as_deref().map(local)).flatten().transpose()?.flatten()
    {
        return Ok(local.endpoint);
    }
    Err(CliError::NoServer(
        "no server is known: start one with `metapaas up`, or name one with `metapaas login --endpoint URL`"
            .into(),
    ))
}

fn find_credential(options: &ClientOptions, places: &Places, endpoint: &str) -> Result<Credential, CliError> {
    if let Some(token) = given(options.token.as_ref().map(super::Token::reveal)) {
        return Ok(Credential::Token(token.to_owned()));
    }
    let named = options.data_dir.as_deref().filter(|path| !path.as_os_str().is_empty());
    // A token goes to the server that it belongs to and to no other.
    let local_token = |path: &Path| -> Result<Option<Credential>, CliError> {
        let local = local(path)?.filter(|local| local.endpoint == endpoint);
        Ok(local.and_then(|local| local.token).map(Credential::Token))
    };
    if let Some(credential) = named.map(local_token).transpose()?.flatten() {
        return Ok(credential);
    }
    if let Some(file) = login_file(places)
        && file.read()?.servers.contains_key(endpoint)
    {
        return Ok(Credential::Login(file));
    }
    let usual = places.data.as_deref().filter(|_| named.is_none());
    Ok(usual.map(local_token).transpose()?.flatten().unwrap_or(Credential::None))
}

fn given(option: Option<&str>) -> Option<&str> {
    option.map(str::trim).filter(|text| !text.is_empty())
}

fn local(data: &Path) -> Result<Option<Local>, CliError> {
    let read = |name: &str| {
        let path = data.join(name);
        files::read_optional(&path).map_err(|source| CliError::File { doing: "cannot read", path, source })
    };
    let Some(endpoint) = read("endpoint")? else { return Ok(None) };
    let endpoint = normal(String::from_utf8_lossy(&endpoint).trim())?;
    // Another user's server is found all the same; its owner's token is not ours to read.
    let token = match read("admin.json") {
        Ok(None) => None,
        Err(CliError::File { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => None,
        Ok(Some(bytes)) => {
            let admin: AdminFile = serde_json::from_slice(&bytes).map_err(|source| CliError::Unexpected {
                what: format!("{} is damaged", data.join("admin.json").display()),
                source: Some(Box::new(source)),
            })?;
            Some(admin.token)
        }
        Err(error) => return Err(error),
    };
    Ok(Some(Local { endpoint, token }))
}

/// The base URL in the one form that endpoints are compared in.
fn normal(text: &str) -> Result<String, CliError> {
    let wrong = |why: &str| {
        CliError::Usage(format!(
            "`{text}` is no endpoint: {why}; write it as http://HOST:PORT or https://HOST:PORT"
        ))
    };
    let url = Url::parse(text).map_err(|_| wrong("it is no URL"))?;
    match url.scheme() {
        "http" | "https" => {}
        _ => return Err(wrong("it does not begin with http:// or https://")),
    }
    let more = !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some();
    if !url.has_host() || more {
        return Err(wrong("it may have a host, a port and a path only"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}
