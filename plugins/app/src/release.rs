//! When a new release is due, and what it is.

use std::collections::BTreeMap;

use metapaas_core::{FieldEnum, Secret};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::types::{App, Release};

/// What the app is to be now.
pub(crate) struct Current {
    source_key: String,
    config_key: String,
    env: BTreeMap<String, String>,
}

impl Current {
    pub(crate) fn of(spec: &App, env: &BTreeMap<String, String>) -> Self {
        let runtime = spec.runtime.map(|runtime| runtime.name());
        let source = json!([spec.repo, spec.git_ref, spec.subdir, runtime, spec.deploys.unwrap_or_default()]);
        let config = json!([spec.command, env]);
        Self {
            source_key: hash(&source.to_string()),
            config_key: hash(&config.to_string()),
            env: env.clone(),
        }
    }
}

/// The release to make, when the newest of `releases` is not what the app is to be.
pub(crate) fn due(app: &App, current: Current, releases: &[Release]) -> Option<Release> {
    let newest = releases.last();
    let rollbacks = app.rollbacks.unwrap_or_default();
    let Current { source_key, config_key, env } = current;
    let number = newest.map_or(0, |newest| newest.number) + 1;
    let back_to = app.rollback_to.and_then(|to| releases.iter().find(|release| release.number == to));
    if let (Some(newest), Some(old)) = (newest, back_to)
        && newest.rollbacks != rollbacks
    {
        let reason = format!("rollback to release {}", old.number);
        let state = Some("STARTING".to_owned());
        return Some(Release { number, reason, state, source_key, config_key, rollbacks, ..old.clone() });
    }
    match newest {
        Some(newest) if newest.source_key == source_key && newest.config_key == config_key => None,
        Some(newest) if newest.source_key == source_key => Some(Release {
            number,
            reason: "new command or environment".into(),
            command: app.command.clone(),
            env_names: env.keys().cloned().collect(),
            env: Secret::new(env),
            config_key,
            rollbacks,
            state: None,
            ..newest.clone()
        }),
        _ => Some(Release {
            number,
            reason: if newest.is_some() { "deploy" } else { "first release" }.into(),
            build: number,
            repo: app.repo.clone(),
            git_ref: app.git_ref.clone(),
            subdir: app.subdir.clone(),
            command: app.command.clone(),
            env_names: env.keys().cloned().collect(),
            env: Secret::new(env),
            source_key,
            config_key,
            rollbacks,
            state: Some("BUILDING".into()),
            commit: None,
            image: None,
            language: None,
            default_command: None,
            message: None,
            build_log: None,
        }),
    }
}

/// Whether it has a build of its own.
pub(crate) fn is_build(release: &Release) -> bool {
    release.build == release.number
}

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}
