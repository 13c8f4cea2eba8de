//! Settings of OIDC issuers, and the client that gets their keys.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use metapaas_agent::http;
use metapaas_core::authn::{FetchJson, GroupRole, IssuerSettings, check_url};
use metapaas_core::error::chain;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How long an issuer may take for one document.
const DEADLINE: Duration = Duration::from_secs(5);
/// The largest document.
const LARGEST: usize = 1 << 20;
/// The largest leeway.
const LEEWAY_MAX: u64 = 600;

/// `[[oidc]]`: an issuer whose tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcIssuer {
    /// Its URL, exactly as its tokens say it.
    pub issuer: String,
    /// Tokens must be for one of these.
    pub audience: Vec<String>,
    /// The claim that names the user.
    #[serde(default = "username_claim")]
    pub username_claim: String,
    /// The claim that lists the user's groups.
    #[serde(default)]
    pub groups_claim: Option<String>,
    /// Whether a subject that is not known yet becomes a user.
    #[serde(default)]
    pub create_users: bool,
    /// Clocks may differ by so many seconds.
    #[serde(default = "leeway")]
    pub leeway_seconds: u64,
    /// What groups may do.
    #[serde(default)]
    pub roles: Vec<OidcRole>,
}

/// `[[oidc.roles]]`: a role that a group has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcRole {
    /// The group.
    pub group: String,
    /// The role.
    pub role: String,
    /// Name or id of the project; `platform` for all.
    pub project: String,
}

fn username_claim() -> String {
    "preferred_username".into()
}

const fn leeway() -> u64 {
    60
}

impl OidcIssuer {
    /// What is wrong with it.
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if let Err(reason) = check_url(&self.issuer) {
            mistakes.push(format!("`oidc.issuer`: {reason}"));
        }
        let issuer = &self.issuer;
        if self.audience.iter().all(String::is_empty) {
            mistakes.push(format!(
                "`oidc.audience` of {issuer} must name who tokens are for; without it, tokens for others would do"
            ));
        }
        if self.leeway_seconds > LEEWAY_MAX {
            mistakes.push(format!("`oidc.leeway_seconds` of {issuer} must be from 0 to {LEEWAY_MAX}"));
        }
        if !self.roles.is_empty() && self.groups_claim.is_none() {
            mistakes.push(format!(
                "`oidc.roles` of {issuer} need `oidc.groups_claim`, the claim that lists groups"
            ));
        }
        mistakes
    }

    /// For the authenticator.
    pub fn settings(&self) -> IssuerSettings {
        let role = |role: &OidcRole| GroupRole {
            group: role.group.clone(),
            role: role.role.clone(),
            project: role.project.clone(),
        };
        IssuerSettings {
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            username_claim: self.username_claim.clone(),
            groups_claim: self.groups_claim.clone(),
            roles: self.roles.iter().map(role).collect(),
            create_users: self.create_users,
            leeway_seconds: self.leeway_seconds,
        }
    }
}

/// Gets documents over HTTP, with TLS against the system's certificates. Follows no redirects: an issuer says where
/// its keys are, and nobody else.
#[derive(Debug)]
pub struct HttpFetcher {
    client: reqwest::Client,
}

impl HttpFetcher {
    /// A client that trusts what the system trusts.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new() -> Result<Self, String> {
        let client = http::client(None)
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(DEADLINE)
            .build()
            .map_err(|error| format!("the client for OIDC issuers cannot be made: {error}"))?;
        Ok(Self { client })
    }

    async fn get(&self, url: &str) -> Result<Value, String> {
        check_url(url)?;
        let failed = |error: reqwest::Error| chain(&error);
        let request = self.client.get(url).header(reqwest::header::ACCEPT, "application/json");
        let mut answer = request.send().await.map_err(failed)?;
        if !answer.status().is_success() {
            return Err(format!("{url} answered {}", answer.status()));
        }
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(failed)? {
            body.extend_from_slice(&part);
            if body.len() > LARGEST {
                return Err(format!("{url} answered more than {LARGEST} bytes"));
            }
        }
        serde_json::from_slice(&body).map_err(|error| format!("{url} is not JSON: {error}"))
    }
}

impl FetchJson for HttpFetcher {
    fn fetch<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Value, String>> {
        self.get(url).boxed()
    }
}
