//! What a tenant can ask for.

use metapaas_core::{DnsName, FieldEnum, InstancePath, Map, Secret, paas_type};

use crate::rules;

/// An app that is built from a Git repository, or from a directory that is uploaded, and served under its name.
#[paas_type(slug = "app", check = rules::app)]
pub struct App {
    /// The repository: an `https:` or `ssh:` URL, or `user@host:path`; or `upload:` and the SHA-256 of an upload.
    #[field(mutable, len = 1..=2000, check = rules::repo)]
    pub repo: String,
    /// The branch, tag or whole commit id to build.
    #[field(mutable, len = 1..=200, default = "HEAD".into(), check = rules::git_ref,
        pattern = "^[A-Za-z0-9_+@#=%,][A-Za-z0-9_+@#=%,-]*(?:\\.[A-Za-z0-9_+@#=%,-]+)*(?:\\.?/[A-Za-z0-9_+@#=%,-]+(?:\\.[A-Za-z0-9_+@#=%,-]+)*)*$")]
    pub git_ref: String,
    /// The folder in the repository that holds the app; empty for all of it.
    #[field(mutable, len = ..=200, default = String::new(), check = rules::subdir,
        pattern = r"^(?:(?:\.?[^./:\\\x00-\x1f\x7f-\x9f-])[^/:\\\x00-\x1f\x7f-\x9f]*(?:/(?:\.?[^./:\\\x00-\x1f\x7f-\x9f-])[^/:\\\x00-\x1f\x7f-\x9f]*)*)?$")]
    pub subdir: String,
    /// The language; told from the files unless given.
    #[field(mutable)]
    pub runtime: Option<Runtime>,
    /// A private key in OpenSSH's format, for `ssh:` repositories.
    #[field(mutable)]
    pub deploy_key: Option<Secret<String>>,
    /// What is run, a word each. Without it, `web` of the Procfile, or what the runtime says. `$PORT` is replaced.
    #[field(mutable, len = 1..=200)]
    pub command: Option<Vec<String>>,
    /// How many nodes serve the app.
    #[field(mutable, range = 1..=20, default = 1)]
    pub replicas: u32,
    /// Processors that a node may use, where the provider can limit them.
    #[field(mutable, range = 0.1..=64.0, default = 1.0)]
    pub cpu: f64,
    /// Memory of a node, in MiB.
    #[field(mutable, range = 64..=65_536, default = 512)]
    pub ram_mb: u32,
    /// The path that answers 2xx or 3xx when the app works. Without it, any answer at `/` below 500 will do.
    #[field(mutable, len = 1..=200, pattern = "^/[!-~]*$")]
    pub health_path: Option<String>,
    /// Host names of your own that lead to the app.
    #[field(mutable, default = Vec::new(), len = ..=50, check = rules::domains,
        pattern = r"^(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?$")]
    pub domains: Vec<String>,
    /// What the nodes of the app show each other; for them alone.
    #[field(output)]
    pub build_token: Option<Secret<String>>,
    /// Where it is served.
    #[field(output)]
    pub url: Option<String>,
    /// The port of the router's address that leads to it as well. It stays the app's.
    #[field(output)]
    pub port: Option<u16>,
    /// The release that serves.
    #[field(output)]
    pub release: Option<u32>,
    /// How often the action `deploy` was run.
    #[field(output)]
    pub deploys: Option<u32>,
    /// How often the action `restart` was run.
    #[field(output)]
    pub restarts: Option<u32>,
    /// How often the action `rollback` was run.
    #[field(output)]
    pub rollbacks: Option<u32>,
    /// The release that the last rollback went back to.
    #[field(output)]
    pub rollback_to: Option<u32>,
    /// Whether it was stopped.
    #[field(output)]
    pub stopped: Option<bool>,
}

/// Languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FieldEnum)]
pub enum Runtime {
    /// `app.py` and `requirements.txt`.
    Python,
    /// `package.json` with a script `start`.
    Node,
}

/// A variable in the environment of the app. A change makes a new release, without a build.
#[paas_type(parent = App, plural = "env-vars", key = "key", check = rules::env_var)]
pub struct EnvVar {
    /// Its name. `PORT` is the platform's.
    #[field(len = 1..=200, check = rules::env_name)]
    pub key: String,
    /// Its value, for all to read who see the app.
    #[field(mutable, len = ..=32_768)]
    pub value: Option<String>,
    /// Its value, when nobody is to read it; instead of `value`.
    #[field(mutable, len = ..=32_768)]
    pub secret: Option<Secret<String>>,
}

/// What another instance gives the app: credentials, as variables in its environment. A change makes a new release,
/// without a build.
#[paas_type(parent = App, plural = "bindings", key = "name")]
pub struct Binding {
    /// What it is called.
    pub name: DnsName,
    /// The instance, such as `s3/data`, in the same project. Who binds an app to it may change both.
    pub to: InstancePath,
    /// What is asked of it; its type says what there is to ask for.
    #[field(len = ..=20, default = Map::new())]
    pub parameters: Map<String>,
    /// What the names of the variables begin with, such as `MEDIA_`; for an app that has two bindings to one type.
    #[field(len = ..=40, pattern = "^([A-Z_][A-Z0-9_]*)?$", default = String::new())]
    pub prefix: String,
    /// Names of the variables that it gives.
    #[field(output)]
    pub env_names: Option<Vec<String>>,
}

/// What the app was at one time: code, command and environment. The platform makes them; the newest one that works
/// serves.
#[paas_type(parent = App, plural = "releases", key = "number")]
#[derive(Clone, Debug)]
pub struct Release {
    /// Counts from 1.
    pub number: u32,
    /// Why it was made.
    pub reason: String,
    /// The release whose build it uses.
    pub build: u32,
    /// The repository it is built from.
    pub repo: String,
    /// What was asked for of it.
    pub git_ref: String,
    /// The folder in it.
    pub subdir: String,
    /// What is run, when the app says so.
    pub command: Option<Vec<String>>,
    /// Names of the variables in its environment.
    pub env_names: Vec<String>,
    /// The environment.
    pub env: Secret<Map<String>>,
    /// Hash of what its build was made from.
    pub source_key: String,
    /// Hash of command and environment.
    pub config_key: String,
    /// How often the app had been rolled back.
    pub rollbacks: u32,
    /// `BUILDING`, `STARTING`, `SERVING`, `STOPPED`, `FAILED`, or `RETIRED` when a newer one serves.
    #[field(output)]
    pub state: Option<String>,
    /// The commit that was built, or the SHA-256 of the upload.
    #[field(output)]
    pub commit: Option<String>,
    /// What the build made, by name.
    #[field(output)]
    pub image: Option<String>,
    /// The language that it was built for.
    #[field(output)]
    pub language: Option<String>,
    /// What is run when the app does not say so.
    #[field(output)]
    pub default_command: Option<Vec<String>>,
    /// Why it failed.
    #[field(output)]
    pub message: Option<String>,
    /// The end of what the build said.
    #[field(output)]
    pub build_log: Option<String>,
}

impl Release {
    /// Whether its build failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.image.is_none() && self.message.is_some()
    }
}
