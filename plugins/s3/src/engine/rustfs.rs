//! `rustfs`: the RustFS program, supervised on the node and set up through its S3 port and its admin API.
//!
//! Its own root credentials are the platform's. Tenants have users, and access keys that belong to them; a policy that
//! each user has denies what is the control plane's to decide, such as making buckets. What was last set up is kept in a
//! file, so that a change costs what it changes.

mod accounts;
mod admin;
mod buckets;
mod policy;

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use metapaas_core::agent::{
    Applied, BoxFuture, DriverError, HttpAnswer, ItemError, NodeContext, ServiceSpec,
};
use metapaas_s3d::document::{BucketUsage, Document, Usage};
use serde::Deserialize;
use serde_json::Value;

use self::admin::Admin;
use super::{Engine, Feature};
use crate::plan::Wanted;
use crate::settings::EngineName;
use crate::sign::REGION;

/// The name of the platform's own access key. Names of tenants begin with a letter or a digit.
const ROOT_KEY: &str = "_platform";
/// The document that the server was last made to follow. It holds secrets.
const APPLIED: &str = "applied.json";
/// How often and how long a starting server is asked whether it is ready.
const LOOKS: u32 = 300;
const LOOK: Duration = Duration::from_millis(200);

pub(crate) struct RustFs;

impl Engine for RustFs {
    fn name(&self) -> EngineName {
        EngineName::Rustfs
    }

    fn versions(&self) -> &'static [&'static str] {
        &["rustfs-1.0"]
    }

    fn can(&self, feature: Feature) -> bool {
        feature != Feature::MfaDelete
    }

    fn refuses_bucket(&self, name: &str) -> Option<String> {
        let is_path = ["rustfs", "minio", "profile"].contains(&name);
        is_path.then(|| "RustFS has a path of its own there; choose another".to_owned())
    }

    fn refuses_user(&self, name: &str) -> Option<String> {
        let is_known = name.len() >= 3 && !name.contains(['=', ',']);
        (!is_known).then(|| "RustFS wants at least three characters, without `=` and `,`".to_owned())
    }

    fn refuses_policy(&self, document: &Value) -> Vec<(String, String)> {
        policy::translated(document).err().unwrap_or_default()
    }

    fn apply<'a>(
        &'a self,
        node: &'a NodeContext,
        wanted: &'a Wanted,
    ) -> BoxFuture<'a, Result<Applied, DriverError>> {
        Box::pin(async move {
            node.make_directory("data").await?;
            node.ensure_service(&service(node, wanted)).await?;
            ready(node, wanted).await?;
            let known = applied(node).await?;
            let admin = Admin::new(node, wanted);
            let mut errors = Vec::new();
            accounts::policies(&admin, known.as_ref(), &wanted.document, &mut errors).await?;
            accounts::users(&admin, known.as_ref(), &wanted.document, &mut errors).await?;
            buckets::buckets(&admin, known.as_ref(), &wanted.document, &mut errors).await?;
            buckets::leaving(&admin, wanted, &mut errors).await?;
            let record = without(wanted.document.clone(), &errors);
            let bytes = serde_json::to_vec(&record).map_err(|source| DriverError::Effect {
                action: format!("write {APPLIED}"),
                source: source.into(),
            })?;
            node.write_file(APPLIED, bytes, 0o600).await?;
            Ok(Applied { errors })
        })
    }

    fn check<'a>(&'a self, node: &'a NodeContext, wanted: &'a Wanted) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move {
            alive(&node.http_get("/health/ready").await?)?;
            let known = applied(node).await.map_err(io::Error::other)?;
            if known.is_none_or(|known| known.digest != wanted.document.digest) {
                return Err(io::Error::other("it is not set up yet"));
            }
            buckets::counted(&Admin::new(node, wanted), &wanted.document).await
        })
    }

    fn usage<'a>(&'a self, node: &'a NodeContext, wanted: &'a Wanted) -> BoxFuture<'a, io::Result<Usage>> {
        Box::pin(async move {
            let found: Found = Admin::new(node, wanted).read("/rustfs/admin/v3/datausageinfo", &[]).await?;
            let mut usage = Usage { objects: found.objects_total_count, ..Usage::default() };
            for (name, bucket) in found.buckets_usage {
                usage.bytes += bucket.size;
                let objects = bucket.versions_count.max(bucket.objects_count) + bucket.delete_markers_count;
                usage.buckets.insert(name, BucketUsage { objects, bytes: bucket.size, error: None });
            }
            Ok(usage)
        })
    }
}

/// What RustFS counted, as of its last round.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Found {
    objects_total_count: u64,
    buckets_usage: BTreeMap<String, FoundBucket>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FoundBucket {
    size: u64,
    objects_count: u64,
    versions_count: u64,
    delete_markers_count: u64,
}

fn service(node: &NodeContext, wanted: &Wanted) -> ServiceSpec {
    let document = &wanted.document;
    let program = wanted.program.as_deref().unwrap_or("rustfs");
    let data = node.dir().join("data");
    let service = ServiceSpec::program("s3", program).arguments(["server", &data.to_string_lossy()]);
    let environment = [
        ("RUSTFS_ADDRESS", node.socket_address().to_string()),
        ("RUSTFS_ACCESS_KEY", ROOT_KEY.to_owned()),
        ("RUSTFS_SECRET_KEY", document.usage_token.clone()),
        ("RUSTFS_SSE_S3_MASTER_KEY", document.instance_key.clone()),
        ("RUSTFS_REGION", REGION.to_owned()),
        ("RUSTFS_CONSOLE_ENABLE", "false".to_owned()),
        ("RUSTFS_CHECK_UPDATE", "false".to_owned()),
        ("RUSTFS_SCANNER_START_DELAY_SECS", "10".to_owned()),
        ("RUSTFS_SCANNER_CYCLE", "10".to_owned()),
        ("RUSTFS_OBS_LOGGER_LEVEL", "warn".to_owned()),
        ("RUSTFS_OBS_LOG_STDOUT_ENABLED", "true".to_owned()),
    ];
    let service =
        environment.into_iter().fold(service, |service, (name, value)| service.environment(name, value));
    service.restart_on(wanted.restarts.map_or_else(String::new, |restarts| restarts.to_string()))
}

/// Waits until the server takes requests.
async fn ready(node: &NodeContext, wanted: &Wanted) -> Result<(), DriverError> {
    let mut why = io::Error::other("it does not answer");
    for _ in 0..LOOKS {
        match node.http_get("/health/ready").await.and_then(|answer| alive(&answer)) {
            Ok(()) => return Ok(()),
            Err(error) => why = error,
        }
        if node.service_failures("s3") > 2 {
            let program = wanted.program.as_deref().unwrap_or("rustfs");
            why = io::Error::other(format!(
                "`{program}` ends by itself; is it RustFS 1.0 and executable? Its log is log/s3.log"
            ));
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(DriverError::Effect { action: "start RustFS".to_owned(), source: why })
}

fn alive(answer: &HttpAnswer) -> io::Result<()> {
    match answer.status {
        200..300 => Ok(()),
        status => Err(io::Error::other(format!("/health/ready answers {status}"))),
    }
}

async fn applied(node: &NodeContext) -> Result<Option<Document>, DriverError> {
    // One that cannot be read is as good as none: everything is set up once more.
    Ok(node.read_file(APPLIED).await?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// The document without what was refused, which is tried again with the next one.
fn without(mut document: Document, errors: &[ItemError]) -> Document {
    for error in errors {
        match error.item.split_once('/') {
            Some(("policies", name)) => drop(document.policies.remove(name)),
            Some(("users", name)) => drop(document.users.remove(name)),
            Some(("buckets", name)) => drop(document.buckets.remove(name)),
            Some(("access-keys", id)) => {
                document.users.values_mut().for_each(|user| drop(user.access_keys.remove(id)));
            }
            _ => {}
        }
    }
    document
}
