//! What the node of an instance is told: everything, in one document.

use std::collections::{BTreeMap, HashMap};

use metapaas_core::{Desired, NodeSpec, PlanError, Secret};
use metapaas_s3d::document::{self, Document, Retention};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::engine;
use crate::offer;
use crate::settings::{EngineName, Settings};
use crate::types::{AccessKey, Bucket, Encryption, Policy, RetentionMode, S3Instance, User, UserPolicy};

/// The port that S3 answers on.
const PORT: u16 = 9000;
/// A multipart upload that nobody completes is given up after a week.
const UPLOAD_EXPIRY: u64 = 7 * 24 * 60 * 60;
/// The user that the instance's own key belongs to. No tenant can make one of this name.
pub(crate) const ROOT: &str = "(root)";

/// What a node is told.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Wanted {
    /// Which engine it is for.
    pub(crate) version: String,
    /// The operator's program for it, when it is not the platform's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) program: Option<String>,
    /// Rises when the server has to restart.
    pub(crate) restarts: Option<u32>,
    /// Buckets to let go, of which those in the document's `purge` go with all they hold.
    pub(crate) leaving: Vec<String>,
    /// What the server is to be; the driver gives it its digest.
    pub(crate) document: Document,
}

/// One node.
pub(crate) fn nodes(instance: &Desired<S3Instance>) -> Result<Vec<NodeSpec>, PlanError> {
    let spec = &instance.spec;
    let settings: Settings = instance.settings()?;
    let open = |secret: &Option<Secret<String>>| secret.as_ref().map(|secret| secret.expose().clone());
    let leaving = instance.leaving::<Bucket>()?;
    let own = document::Bucket {
        versioning: spec.versioning,
        quota_bytes: 0,
        public: false,
        object_lock: false,
        retention: None,
    };
    let mut buckets = BTreeMap::from([(spec.bucket_name.to_string(), own)]);
    buckets.extend(
        instance.children::<Bucket>()?.into_iter().map(|row| (row.spec.name.to_string(), bucket(&row.spec))),
    );
    let policies = instance.children::<Policy>()?.into_iter();
    let wanted = Wanted {
        version: instance.meta.version.clone(),
        program: (engine::of(&instance.meta.version).name() == EngineName::Rustfs).then_some(settings.rustfs),
        restarts: spec.restarts,
        leaving: leaving.iter().map(|row| row.spec.name.to_string()).collect(),
        document: Document {
            digest: String::new(),
            encryption: match spec.encryption {
                Encryption::None => document::Encryption::None,
                Encryption::Aes256 => document::Encryption::Aes256,
            },
            instance_key: open(&spec.instance_key).unwrap_or_default(),
            usage_token: open(&spec.usage_token).unwrap_or_default(),
            mfa_secret: open(&spec.mfa_secret).filter(|_| spec.mfa_delete),
            disk_bytes: u64::from(spec.disk_gb) << 30,
            upload_expiry_seconds: UPLOAD_EXPIRY,
            buckets,
            purge: leaving
                .iter()
                .filter(|row| row.spec.purge == Some(true))
                .map(|row| row.spec.name.to_string())
                .collect(),
            policies: policies
                .map(|row| (row.spec.name, row.spec.document.0))
                .chain(instance.bound().iter().filter_map(|bound| offer::policy(instance, bound)))
                .collect(),
            users: users(instance)?,
        },
    };
    let mut node = NodeSpec::new("s3-0", PORT, json!(wanted));
    node.resources = [("cpu", spec.cpu), ("memory_mb", spec.ram_mb)]
        .map(|(name, value)| (name.to_owned(), value.into()))
        .into();
    Ok(vec![node])
}

fn bucket(spec: &Bucket) -> document::Bucket {
    let mode = spec.retention_mode.map(|mode| match mode {
        RetentionMode::Governance => document::RetentionMode::Governance,
        RetentionMode::Compliance => document::RetentionMode::Compliance,
    });
    document::Bucket {
        versioning: spec.versioning,
        quota_bytes: spec.quota_bytes,
        public: spec.public,
        object_lock: spec.object_lock,
        retention: mode.zip(spec.retention_days).map(|(mode, days)| Retention { mode, days }),
    }
}

/// The tenant's users, and the one that the instance's own key belongs to.
fn users(instance: &Desired<S3Instance>) -> Result<BTreeMap<String, document::User>, PlanError> {
    let key =
        |secret: &Secret<String>, enabled| document::AccessKey { secret: secret.expose().clone(), enabled };
    let spec = &instance.spec;
    let own = spec.access_key_id.iter().map(|id| (id.clone(), key(&spec.secret_access_key, true)));
    let root = document::User { root: true, policies: Vec::new(), access_keys: own.collect() };
    let mut users: HashMap<_, _> = instance
        .children::<User>()?
        .into_iter()
        .map(|row| {
            let nothing = document::User { root: false, policies: Vec::new(), access_keys: BTreeMap::new() };
            (row.meta.id, (row.spec.name, nothing))
        })
        .collect();
    for row in instance.children::<AccessKey>()? {
        if let Some((_, user)) = users.get_mut(&row.meta.parent_id) {
            let pair = key(&row.spec.secret_access_key, row.spec.enabled);
            user.access_keys.insert(row.spec.access_key_id, pair);
        }
    }
    for row in instance.children::<UserPolicy>()? {
        if let Some((_, user)) = users.get_mut(&row.meta.parent_id) {
            user.policies.push(row.spec.name);
        }
    }
    let bound = instance.bound().iter().map(|bound| offer::user(instance, bound));
    Ok(users.into_values().chain([(ROOT.to_owned(), root)]).chain(bound).collect())
}
