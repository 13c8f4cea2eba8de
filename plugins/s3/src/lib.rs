//! The s3 type: object storage on a node of its own, with buckets, users, access keys and policies.
//!
//! `types` is what a tenant can ask for, `rules` what goes together, `plan` what a node is told, `driver` how it
//! gets there, by one of the servers in `engine`, which `settings` choose; `offer` is what other instances can be
//! bound to.

mod driver;
mod engine;
mod offer;
mod plan;
mod rules;
mod settings;
mod sign;
mod types;

use metapaas_core::{ActionCall, ActionError, Plugin, migrations};

pub use crate::settings::{EngineName, Settings};
pub use crate::types::{AccessKey, Bucket, Encryption, Policy, RetentionMode, S3Instance, User, UserPolicy};

/// What the plugin brings.
pub fn plugin() -> Plugin {
    Plugin::new("s3", env!("CARGO_PKG_VERSION"))
        .instance::<S3Instance>()
        .child::<Bucket>()
        .child::<Policy>()
        .child::<User>()
        .child::<AccessKey>()
        .child::<UserPolicy>()
        .migrations(migrations!())
        .settings::<Settings>()
        .versions_by::<S3Instance, Settings>(engine::versions)
        .complete(rules::complete)
        .admit::<S3Instance, S3Instance>(rules::instance)
        .admit::<S3Instance, Bucket>(rules::bucket)
        .admit::<S3Instance, Policy>(rules::policy)
        .admit::<S3Instance, User>(rules::user)
        .admit::<S3Instance, AccessKey>(rules::access_key)
        .admit::<S3Instance, UserPolicy>(rules::attachment)
        .leave(rules::leave)
        .action(
            "rotate-keys",
            "Makes a new pair of keys of the instance's own. The answer shows the secret.",
            rotate,
        )
        .action("restart", "Restarts the S3 server.", restart)
        .plan(plan::nodes)
        .offer(offer::environment)
        .driver::<S3Instance>(|| Box::new(driver::Storage::default()))
        .engine("s3d", metapaas_s3d::engine)
}

fn rotate(mut instance: S3Instance, _: &ActionCall) -> Result<S3Instance, ActionError> {
    (instance.access_key_id, instance.secret_access_key) = (Some(types::key_id()), types::secret_key());
    Ok(instance)
}

/// Nodes restart what they run when the number that comes with their document differs.
fn restart(mut instance: S3Instance, _: &ActionCall) -> Result<S3Instance, ActionError> {
    instance.restarts = Some(instance.restarts.unwrap_or(0) + 1);
    Ok(instance)
}
