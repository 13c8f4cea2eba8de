//! [`IssuerSettings`]: what an operator says of an issuer.

use std::net::IpAddr;

/// An issuer whose tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerSettings {
    /// Its URL, exactly as its tokens and its discovery document say it.
    pub issuer: String,
    /// Tokens must be for one of these.
    pub audience: Vec<String>,
    /// The claim that names the user.
    pub username_claim: String,
    /// The claim that lists the user's groups.
    pub groups_claim: Option<String>,
    /// What groups may do.
    pub roles: Vec<GroupRole>,
    /// Whether a subject that is not known yet becomes a user; else it is refused.
    pub create_users: bool,
    /// Clocks may differ by so many seconds.
    pub leeway_seconds: u64,
}

/// A role that a group of an issuer has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRole {
    /// The group, as the claim names it.
    pub group: String,
    /// The role, built in or the installation's own.
    pub role: String,
    /// Name or id of the project where it holds.
    pub project: String,
}

/// Whether `url` may be an issuer's: `https`, or `http` to this machine alone, and nothing that could make it mean
/// another host than it shows.
///
/// # Errors
/// What is wrong.
pub fn check_url(url: &str) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{what}, found {url:?}"));
    let Some((scheme, rest)) = url.split_once("://") else {
        return wrong("expected a URL that begins with https://");
    };
    if rest.bytes().any(|byte| byte.is_ascii_control() || b" \"\\<>?#@".contains(&byte)) {
        return wrong("expected a URL without user, query, fragment or spaces");
    }
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let is_loopback =
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match scheme {
        _ if host.is_empty() => wrong("expected a URL with a host"),
        "https" => Ok(()),
        "http" if is_loopback => Ok(()),
        "http" => wrong("expected https; http is for this machine alone"),
        _ => wrong("expected a URL that begins with https://"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_alone() {
        for (url, expected) in [
            ("https://id.example.com", true),
            ("https://id.example.com/realms/one", true),
            ("http://127.0.0.1:9400", true),
            ("http://localhost:9400/x", true),
            ("http://[::1]:9400", true),
            ("http://id.example.com", false),
            ("http://127.0.0.1:80@id.example.com", false),
            ("http://localhost.example.com", false),
            ("https://", false),
            ("ftp://id.example.com", false),
            ("id.example.com", false),
            ("https://id.example.com?x", false),
            ("https://id.exa mple.com", false),
        ] {
            assert_eq!(check_url(url).is_ok(), expected, "{url}");
        }
    }
}
