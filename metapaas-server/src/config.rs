//! Settings: flags over environment over file over defaults. Every mistake is reported at once.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::Value;
use metapaas_core::authn::AuthSettings;
use metapaas_core::route::host_name;
use serde::{Deserialize, Serialize};

use crate::lifetime::Lifetime;
use crate::limits::Limits;
use crate::network::Network;
use crate::oidc::OidcIssuer;
use crate::providers::NodeSettings;

/// Address that a control plane listens on unless told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:7480";

/// Address that the router listens on unless told otherwise.
const DEFAULT_ROUTER: &str = "127.0.0.1:7490";

/// Watches that lose their connection must find what they missed.
const RETENTION_LEAST: Duration = Duration::from_secs(60);
const RETENTION_MOST: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// Flags of the commands that run or administer a control plane.
#[derive(Args, Clone, Default)]
pub struct ServerOptions {
    /// Settings file in TOML; `<data dir>/metapaas.toml` is read when it exists.
    #[arg(long, value_name = "FILE", env = "METAPAAS_CONFIG")]
    pub config: Option<PathBuf>,
    /// Folder for the database, keys and nodes [default: ~/.local/share/metapaas].
    #[arg(long, value_name = "DIR", env = "METAPAAS_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address and port to listen on; port 0 takes a free one [default: 127.0.0.1:7480].
    #[arg(long, value_name = "ADDRESS", env = "METAPAAS_LISTEN")]
    pub listen: Option<String>,
    /// `postgres://user:password@host/database`; SQLite in the data folder when absent.
    #[arg(long, value_name = "URL", env = "METAPAAS_DATABASE", hide_env_values = true)]
    pub database: Option<String>,
}

/// Everything that an operator can set.
#[derive(Clone, Serialize, Deserialize)]
pub struct Config {
    /// Folder for the database, keys and nodes.
    pub data_dir: PathBuf,
    /// Address and port to listen on.
    pub listen: String,
    /// URL under which agents and other control planes reach this one; from `listen` when absent.
    pub advertise_url: Option<String>,
    /// PostgreSQL URL; SQLite in the data folder when absent.
    pub database: Option<String>,
    /// Connections to PostgreSQL at the most.
    pub database_connections: u32,
    /// File with the master keys that seal secrets; `<data dir>/master.key` when absent.
    pub master_key_file: Option<PathBuf>,
    /// Largest body of a request, in bytes.
    pub body_limit: usize,
    /// How long events are kept of types that do not say so themselves, such as `90d`.
    pub event_retention: String,
    /// How long an access token is good.
    pub access_token_lifetime: Lifetime,
    /// How long a session lasts that nobody refreshes.
    pub session_lifetime: Lifetime,
    /// The longest lifetime of a new service token; without one it may be good for ever.
    pub service_token_max_lifetime: Option<Lifetime>,
    /// Wrong passwords of one user before further ones have to wait.
    pub login_failures_per_user: u32,
    /// Failed logins and refreshes from one address before further ones have to wait.
    pub login_failures_per_address: u32,
    /// Proxies that are believed when they say whom a request comes from.
    pub trusted_proxies: Vec<Network>,
    /// How long the audit is kept.
    pub audit_retention: Lifetime,
    /// How long operations are kept that have ended.
    pub operation_retention: Lifetime,
    /// How much a new project may have, by resource, until somebody sets its quota; what is not named has no limit.
    pub project_quota: BTreeMap<String, u32>,
    /// Issuers whose tokens are accepted besides the built-in ones.
    pub oidc: Vec<OidcIssuer>,
    /// `text` or `json`.
    pub log_format: LogFormat,
    /// What is logged, in the syntax of `RUST_LOG`.
    pub log: String,
    /// Certificate chain in PEM; with `tls_key` it turns TLS on.
    pub tls_certificate: Option<PathBuf>,
    /// Its private key in PEM.
    pub tls_key: Option<PathBuf>,
    /// Certificates in PEM that agents trust when they call `https` URLs of control planes; those of the system
    /// when absent.
    pub ca_file: Option<PathBuf>,
    /// Whether passwords and tokens may travel in the open beyond this machine.
    pub insecure_plaintext: bool,
    /// Whether the system may write memory to a file when the process crashes.
    pub core_dumps: bool,
    /// What is set for plugins, by the plugin's name and as each of them says.
    pub plugins: BTreeMap<String, serde_json::Value>,
    /// Address and port on which apps are reached by host name, or `off`.
    pub router_listen: String,
    /// The domain under which instances have their host names.
    pub router_domain: String,
    /// First and last port that instances may lease, such as `20000-20999`.
    pub router_ports: String,
    /// What a client may ask at the most.
    #[serde(flatten)]
    pub limits: Limits,
    /// What makes nodes.
    #[serde(flatten)]
    pub nodes: NodeSettings,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Config {
    /// Puts the settings together.
    ///
    /// # Errors
    /// One line per mistake.
    pub fn load(options: &ServerOptions) -> Result<Self, String> {
        let data_dir = options.data_dir.clone().map_or_else(default_data_dir, Ok)?;
        let defaults = Self {
            data_dir: data_dir.clone(),
            listen: DEFAULT_LISTEN.into(),
            advertise_url: None,
            database: None,
            database_connections: 16,
            master_key_file: None,
            body_limit: 1 << 20,
            event_retention: "90d".into(),
            access_token_lifetime: Lifetime::minutes(15),
            session_lifetime: Lifetime::days(30),
            service_token_max_lifetime: None,
            login_failures_per_user: 5,
            login_failures_per_address: 50,
            trusted_proxies: Vec::new(),
            audit_retention: Lifetime::days(365),
            operation_retention: Lifetime::days(30),
            project_quota: BTreeMap::new(),
            oidc: Vec::new(),
            log_format: LogFormat::Text,
            log: "info".into(),
            tls_certificate: None,
            tls_key: None,
            ca_file: None,
            insecure_plaintext: false,
            core_dumps: false,
            plugins: BTreeMap::new(),
            router_listen: DEFAULT_ROUTER.into(),
            router_domain: "localhost".into(),
            router_ports: "20000-20999".into(),
            limits: Limits::default(),
            nodes: NodeSettings::default(),
        };
        let mut figment = Figment::from(Serialized::defaults(defaults));
        match &options.config {
            Some(file) if !file.is_file() => {
                return Err(format!("the settings file {} does not exist", file.display()));
            }
            Some(file) => figment = figment.merge(Toml::file_exact(file)),
            None => {
                let file = data_dir.join("metapaas.toml");
                if file.is_file() {
                    figment = figment.merge(Toml::file_exact(file));
                }
            }
        }
        // What is read by flags, the command-line client or tests is no setting of the server.
        let others = [
            "config",
            "endpoint",
            "token",
            "project",
            "output",
            "timeout",
            // The keys themselves are read where they are used, so that they are in no settings.
            "master_key",
        ];
        let of_tests = |name: &str| ["test_", "fault_", "schemathesis"].iter().any(|of| name.starts_with(of));
        let environment = Env::prefixed("METAPAAS_").ignore(&others);
        figment = figment.merge(environment.filter(move |name| !of_tests(&name.as_str().to_lowercase())));
        // A flag wins over a file; clap has already put the environment under the flags.
        let flags = [
            ("listen", options.listen.clone()),
            ("database", options.database.clone()),
            ("data_dir", options.data_dir.as_ref().map(|dir| dir.to_string_lossy().into_owned())),
        ];
        for (name, value) in flags {
            if let Some(value) = value {
                figment = figment.merge(Serialized::default(name, value));
            }
        }
        let config = Self::extract(&figment)?;
        config.check()?;
        Ok(config)
    }

    /// Reads every setting on its own, so that one mistake does not hide another.
    fn extract(figment: &Figment) -> Result<Self, String> {
        let given: BTreeMap<String, Value> =
            figment.extract().map_err(|error| wrong(&[error.to_string()]))?;
        let mut mistakes: Vec<String> = given
            .keys()
            .filter(|name| !settings().any(|setting| setting == *name))
            .map(|name| {
                let all: Vec<&str> = settings().collect();
                format!("there is no setting `{name}`; there are {}", all.join(", "))
            })
            .collect();
        let mut probe =
            |found: Result<(), figment::Error>| mistakes.extend(found.err().map(|error| error.to_string()));
        probe(figment.extract_inner::<PathBuf>("data_dir").map(drop));
        probe(figment.extract_inner::<String>("listen").map(drop));
        probe(figment.extract_inner::<Option<String>>("advertise_url").map(drop));
        probe(figment.extract_inner::<Option<String>>("database").map(drop));
        probe(figment.extract_inner::<u32>("database_connections").map(drop));
        probe(figment.extract_inner::<Option<PathBuf>>("master_key_file").map(drop));
        probe(figment.extract_inner::<usize>("body_limit").map(drop));
        probe(figment.extract_inner::<String>("event_retention").map(drop));
        for name in ["access_token_lifetime", "session_lifetime", "audit_retention", "operation_retention"] {
            probe(figment.extract_inner::<Lifetime>(name).map(drop));
        }
        probe(figment.extract_inner::<BTreeMap<String, u32>>("project_quota").map(drop));
        probe(figment.extract_inner::<Option<Lifetime>>("service_token_max_lifetime").map(drop));
        probe(figment.extract_inner::<u32>("login_failures_per_user").map(drop));
        probe(figment.extract_inner::<u32>("login_failures_per_address").map(drop));
        probe(figment.extract_inner::<Vec<Network>>("trusted_proxies").map(drop));
        probe(figment.extract_inner::<Vec<OidcIssuer>>("oidc").map(drop));
        probe(figment.extract_inner::<LogFormat>("log_format").map(drop));
        probe(figment.extract_inner::<String>("log").map(drop));
        for name in ["tls_certificate", "tls_key", "ca_file"] {
            probe(figment.extract_inner::<Option<PathBuf>>(name).map(drop));
        }
        probe(figment.extract_inner::<bool>("insecure_plaintext").map(drop));
        probe(figment.extract_inner::<bool>("core_dumps").map(drop));
        probe(figment.extract_inner::<BTreeMap<String, serde_json::Value>>("plugins").map(drop));
        for name in ["router_listen", "router_domain", "router_ports"] {
            probe(figment.extract_inner::<String>(name).map(drop));
        }
        for name in Limits::names() {
            probe(figment.extract_inner::<u64>(name).map(drop));
        }
        NodeSettings::probe(figment, probe);
        if mistakes.is_empty() {
            figment.extract().map_err(|error| wrong(&[error.to_string()]))
        } else {
            Err(wrong(&mistakes))
        }
    }

    fn check(&self) -> Result<(), String> {
        let mut mistakes = Vec::new();
        match self.listen_address() {
            Err(reason) => mistakes.push(reason),
            Ok(address) if !self.is_tls() && !self.insecure_plaintext && !address.ip().is_loopback() => {
                mistakes.push(format!(
                    "`listen` is {address}, where passwords and tokens would travel in the open: set \
                     `tls_certificate` and `tls_key`, or `insecure_plaintext = true` behind something that speaks TLS"
                ));
            }
            Ok(_) => {}
        }
        if self.tls_certificate.is_some() != self.tls_key.is_some() {
            mistakes.push("`tls_certificate` and `tls_key` go together".to_owned());
        }
        mistakes.extend(self.limits.mistakes());
        mistakes.extend(self.nodes.mistakes());
        if let Some(url) = &self.database
            && !url.starts_with("postgres://")
            && !url.starts_with("postgresql://")
        {
            mistakes.push("`database` must be postgres://user:password@host:port/name".to_owned());
        }
        if let Err(reason) = self.event_retention() {
            mistakes.push(reason);
        }
        mistakes.extend(self.router_address().err());
        mistakes.extend(self.router_ports().err());
        if host_name(&self.router_domain).as_deref() != Some(&self.router_domain) {
            mistakes.push("`router_domain` must be a host name in lower case, such as localhost".to_owned());
        }
        if !(1..=1000).contains(&self.database_connections) {
            mistakes.push("`database_connections` must be from 1 to 1000".to_owned());
        }
        if !(1024..=(64 << 20)).contains(&self.body_limit) {
            mistakes.push("`body_limit` must be from 1024 to 67108864 bytes".to_owned());
        }
        self.check_identity(&mut mistakes);
        if mistakes.is_empty() { Ok(()) } else { Err(wrong(&mistakes)) }
    }

    /// How long events are kept.
    ///
    /// # Errors
    /// When it is not a duration, or one that no clock goes back.
    pub fn event_retention(&self) -> Result<Duration, String> {
        let found = &self.event_retention;
        let wrong =
            || format!("`event_retention` must be from 1m to 100 years, such as 90d, found {found:?}");
        let duration = humantime::parse_duration(found).map_err(|_| wrong())?;
        if (RETENTION_LEAST..=RETENTION_MOST).contains(&duration) { Ok(duration) } else { Err(wrong()) }
    }

    /// Where the router listens; `None` when there is none.
    ///
    /// # Errors
    /// When it is neither `off` nor `IP:PORT`.
    pub fn router_address(&self) -> Result<Option<SocketAddr>, String> {
        let found = &self.router_listen;
        let wrong = || {
            format!(
                "`router_listen` must be `off`, or an IP address and a port such as {DEFAULT_ROUTER}, found {found:?}"
            )
        };
        if found == "off" { Ok(None) } else { found.parse().map(Some).map_err(|_| wrong()) }
    }

    /// Ports that instances may lease.
    ///
    /// # Errors
    /// When it is not `FIRST-LAST`.
    pub fn router_ports(&self) -> Result<RangeInclusive<u16>, String> {
        let found = &self.router_ports;
        let ends =
            found.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
        let range = ends.filter(|(first, last)| 1024 <= *first && first <= last);
        let wrong =
            || format!("`router_ports` must be two ports from 1024 on, such as 20000-20999, found {found:?}");
        range.map(|(first, last)| first..=last).ok_or_else(wrong)
    }

    fn check_identity(&self, mistakes: &mut Vec<String>) {
        let (minute, day) = (Lifetime::minutes(1), Lifetime::days(1));
        let mut bounds = |name: &str, value: Lifetime, least: Lifetime, most: Lifetime| {
            if value < least || value > most {
                let (least, most) = (String::from(least), String::from(most));
                mistakes.push(format!("`{name}` must be from {least} to {most}"));
            }
        };
        bounds("access_token_lifetime", self.access_token_lifetime, minute, day);
        bounds("session_lifetime", self.session_lifetime, self.access_token_lifetime, Lifetime::days(365));
        bounds("audit_retention", self.audit_retention, day, Lifetime::days(3650));
        bounds("operation_retention", self.operation_retention, minute, Lifetime::days(3650));
        if let Some(max) = self.service_token_max_lifetime {
            bounds("service_token_max_lifetime", max, Lifetime::minutes(60), Lifetime::days(3650));
        }
        for (name, value) in [
            ("login_failures_per_user", self.login_failures_per_user),
            ("login_failures_per_address", self.login_failures_per_address),
        ] {
            if !(1..=1000).contains(&value) {
                mistakes.push(format!("`{name}` must be from 1 to 1000"));
            }
        }
        mistakes.extend(self.oidc.iter().flat_map(OidcIssuer::mistakes));
        for (index, issuer) in self.oidc.iter().enumerate() {
            if self.oidc.iter().take(index).any(|other| other.issuer == issuer.issuer) {
                mistakes.push(format!("`oidc` names the issuer {} twice", issuer.issuer));
            }
        }
    }

    /// Lifetimes and limits for the authenticator.
    pub fn auth_settings(&self) -> AuthSettings {
        AuthSettings {
            access_lifetime: self.access_token_lifetime.delta(),
            session_lifetime: self.session_lifetime.delta(),
            service_token_max: self.service_token_max_lifetime.map(Lifetime::delta),
            failures_per_user: self.login_failures_per_user,
            failures_per_address: self.login_failures_per_address,
            audit_retention: self.audit_retention.delta(),
        }
    }

    /// The address to bind.
    ///
    /// # Errors
    /// When it is not `IP:PORT`.
    pub fn listen_address(&self) -> Result<SocketAddr, String> {
        let wrong = || {
            format!(
                "`listen` must be an IP address and a port such as {DEFAULT_LISTEN}, found {:?}",
                self.listen
            )
        };
        self.listen.parse().map_err(|_| wrong())
    }

    /// The URL under which others reach the control plane bound to `bound`.
    pub fn url(&self, bound: SocketAddr) -> String {
        self.advertise_url.clone().map_or_else(
            || {
                let ip = match bound.ip() {
                    IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
                    ip => ip,
                };
                let scheme = if self.is_tls() { "https" } else { "http" };
                format!("{scheme}://{}", SocketAddr::new(ip, bound.port()))
            },
            |url| url.trim_end_matches('/').to_owned(),
        )
    }

    /// Whether connections are TLS.
    pub const fn is_tls(&self) -> bool {
        self.tls_certificate.is_some()
    }

    /// A file in the data folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.data_dir.join(name)
    }
}

/// The database's URL holds a password.
impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("data_dir", &self.data_dir)
            .field("listen", &self.listen)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Names of all settings.
fn settings() -> impl Iterator<Item = &'static str> {
    SETTINGS.into_iter().chain(Limits::names()).chain(NodeSettings::names())
}

/// Names of the settings that are no [`Limits`].
const SETTINGS: [&str; 29] = [
    "data_dir",
    "listen",
    "advertise_url",
    "database",
    "database_connections",
    "master_key_file",
    "body_limit",
    "event_retention",
    "access_token_lifetime",
    "session_lifetime",
    "service_token_max_lifetime",
    "login_failures_per_user",
    "login_failures_per_address",
    "trusted_proxies",
    "audit_retention",
    "operation_retention",
    "project_quota",
    "oidc",
    "plugins",
    "log_format",
    "log",
    "tls_certificate",
    "tls_key",
    "ca_file",
    "insecure_plaintext",
    "core_dumps",
    "router_listen",
    "router_domain",
    "router_ports",
];

fn wrong(mistakes: &[String]) -> String {
    format!("the settings are wrong: {}", mistakes.join("; "))
}

/// `$XDG_DATA_HOME/metapaas`, or `~/.local/share/metapaas`.
///
/// # Errors
/// When neither is known.
pub fn default_data_dir() -> Result<PathBuf, String> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_DATA_HOME")
        .or_else(|| set("HOME").map(|home| home.join(Path::new(".local/share"))))
        .map(|base| base.join("metapaas"))
        .ok_or_else(|| "HOME is not set; say where data goes with --data-dir".to_owned())
}
