//! What goes together: on one row, with the engine, and across the rows of an instance.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metapaas_core::secret::{random_bytes, random_text};
use metapaas_core::{
    ActionError, Admission, BucketName, ChangeKind, Denial, Desired, FieldProblem, LeaveCall, Secret,
};
use metapaas_s3d::RESERVED_BUCKETS;

use crate::engine::{self, Feature};
use crate::types::{AccessKey, Bucket, Encryption, Policy, S3Instance, User, UserPolicy, base32, key_id};

pub(crate) fn bucket_name(new: &BucketName, _: Option<&BucketName>) -> Result<(), String> {
    match RESERVED_BUCKETS.contains(&new.as_str()) {
        true => Err(format!("{} are paths of the server's own; choose another", RESERVED_BUCKETS.join(", "))),
        false => Ok(()),
    }
}

pub(crate) fn grows(new: &u32, old: Option<&u32>) -> Result<(), String> {
    match old {
        Some(old) if new < old => Err(format!("a disk can grow and not shrink; it has {old} GiB")),
        _ => Ok(()),
    }
}

pub(crate) fn mfa(new: &S3Instance, old: Option<&S3Instance>) -> Vec<FieldProblem> {
    let is_new = new.mfa_secret.is_some() && old.is_none_or(|old| old.mfa_secret != new.mfa_secret);
    match is_new && !new.mfa_delete {
        true => vec![FieldProblem::new("mfa_secret", "it is for `mfa_delete`; switch that on as well")],
        false => Vec::new(),
    }
}

pub(crate) fn retention(new: &Bucket, _: Option<&Bucket>) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    let mut add = |field: &str, detail: &str| problems.push(FieldProblem::new(field, detail));
    if new.object_lock && !new.versioning {
        add("versioning", "a bucket with `object_lock` keeps versions; set `versioning` to true");
    }
    match (new.retention_mode, new.retention_days) {
        (Some(_), None) => add("retention_days", "`retention_mode` needs it; say for how many days"),
        (None, Some(_)) => add("retention_mode", "`retention_days` needs it; say governance or compliance"),
        (Some(_), Some(_)) if !new.object_lock => {
            add("object_lock", "a default retention needs it; it can be set only when the bucket is made");
        }
        _ => {}
    }
    problems
}

pub(crate) fn document(new: &Policy, _: Option<&Policy>) -> Vec<FieldProblem> {
    let problems = metapaas_s3d::policy::validate(&new.document.0);
    problems.into_iter().map(|(at, detail)| FieldProblem::new(format!("document{at}"), detail)).collect()
}

/// The secrets that a tenant does not choose.
pub(crate) fn complete(mut new: S3Instance, old: Option<&S3Instance>) -> S3Instance {
    if old.is_none() {
        new.access_key_id = Some(key_id());
        new.instance_key = Some(Secret::new(STANDARD.encode(random_bytes::<32>())));
        new.usage_token = Some(Secret::new(random_text(40)));
    }
    new.mfa_secret = match new.mfa_secret {
        _ if !new.mfa_delete => None,
        None => Some(Secret::new(base32())),
        given => given,
    };
    new
}

/// What the engine must be able to do, each with the field that asks for it.
fn needs(problems: &mut Vec<FieldProblem>, version: &str, wanted: &[(bool, Feature, &str)]) {
    let engine = engine::of(version);
    for (_, feature, field) in wanted.iter().filter(|(asked, feature, _)| *asked && !engine.can(*feature)) {
        let detail = format!("version {version} has no {}; choose another version", feature.name());
        problems.push(FieldProblem::new(*field, detail));
    }
}

fn named(field: &str, refusal: Option<String>) -> Option<FieldProblem> {
    refusal.map(|why| FieldProblem::new(field, why))
}

fn verdict(problems: Vec<FieldProblem>) -> Result<(), Denial> {
    if problems.is_empty() { Ok(()) } else { Err(Denial::Invalid(problems)) }
}

pub(crate) fn instance(whole: &Desired<S3Instance>, change: &Admission<S3Instance>) -> Result<(), Denial> {
    let mut problems = Vec::new();
    let (spec, version) = (&whole.spec, &whole.meta.version);
    let encrypted = spec.encryption == Encryption::Aes256;
    needs(
        &mut problems,
        version,
        &[
            (spec.mfa_delete, Feature::MfaDelete, "mfa_delete"),
            (encrypted, Feature::Encryption, "encryption"),
        ],
    );
    if change.kind == ChangeKind::Create {
        problems.extend(named("bucket_name", engine::of(version).refuses_bucket(spec.bucket_name.as_str())));
    }
    let before = change.old.as_ref().map(|old| engine::of(&old.meta.version).name());
    if change.kind == ChangeKind::Update && before != Some(engine::of(version).name()) {
        problems.push(FieldProblem::new(
            "version",
            "it is another engine, which does not read the data of this one",
        ));
    }
    verdict(problems)
}

pub(crate) fn bucket(whole: &Desired<S3Instance>, change: &Admission<Bucket>) -> Result<(), Denial> {
    let bucket = &change.row.spec;
    let mut problems = Vec::new();
    if change.kind == ChangeKind::Create && bucket.name == whole.spec.bucket_name {
        problems.push(FieldProblem::new("name", "the instance's own bucket has this name; choose another"));
    }
    let refusal = engine::of(&whole.meta.version).refuses_bucket(bucket.name.as_str());
    problems.extend(named("name", refusal.filter(|_| change.kind == ChangeKind::Create)));
    needs(
        &mut problems,
        &whole.meta.version,
        &[
            (bucket.object_lock, Feature::ObjectLock, "object_lock"),
            (bucket.public, Feature::Public, "public"),
            (bucket.quota_bytes > 0, Feature::Quota, "quota_bytes"),
        ],
    );
    verdict(problems)
}

pub(crate) fn policy(whole: &Desired<S3Instance>, change: &Admission<Policy>) -> Result<(), Denial> {
    let policy = &change.row.spec;
    if change.kind != ChangeKind::Delete {
        let problems = engine::of(&whole.meta.version).refuses_policy(&policy.document.0).into_iter();
        return verdict(problems.map(|(at, why)| FieldProblem::new(format!("document{at}"), why)).collect());
    }
    let name = &policy.name;
    let users = whole.children::<User>()?;
    let attached = whole.children::<UserPolicy>()?.into_iter().filter(|one| one.spec.name == *name);
    let owner = |id| users.iter().find(|user| user.meta.id == id).map(|user| user.spec.name.as_str());
    let names: Vec<&str> = attached.filter_map(|one| owner(one.meta.parent_id)).collect();
    match names.as_slice() {
        [] => Ok(()),
        names => Err(Denial::InUse(format!(
            "{} have the policy {name}; take it from them first",
            names.join(", ")
        ))),
    }
}

pub(crate) fn user(whole: &Desired<S3Instance>, change: &Admission<User>) -> Result<(), Denial> {
    let refusal = engine::of(&whole.meta.version).refuses_user(&change.row.spec.name);
    verdict(named("name", refusal.filter(|_| change.kind == ChangeKind::Create)).into_iter().collect())
}

pub(crate) fn access_key(whole: &Desired<S3Instance>, change: &Admission<AccessKey>) -> Result<(), Denial> {
    let (id, own) = (&change.row.spec.access_key_id, change.row.meta.id);
    let keys = whole.children::<AccessKey>()?;
    let is_taken = whole.spec.access_key_id.as_ref() == Some(id)
        || keys.iter().any(|key| key.meta.id != own && key.spec.access_key_id == *id);
    match change.kind == ChangeKind::Create && is_taken {
        true => Err(Denial::field("access_key_id", "another key of the instance has this id; leave it out")),
        false => Ok(()),
    }
}

pub(crate) fn attachment(whole: &Desired<S3Instance>, change: &Admission<UserPolicy>) -> Result<(), Denial> {
    let name = &change.row.spec.name;
    let is_there = whole.children::<Policy>()?.iter().any(|policy| policy.spec.name == *name);
    match change.kind == ChangeKind::Create && !is_there {
        true => Err(Denial::field("name", format!("the instance has no policy {name:?}; make it first"))),
        false => Ok(()),
    }
}

/// What was last counted decides what a tenant is told; the server itself lets no bucket go that holds something.
pub(crate) fn leave(mut bucket: Bucket, call: &LeaveCall) -> Result<Bucket, ActionError> {
    match bucket.objects {
        _ if call.force => bucket.purge = Some(true),
        Some(objects) if objects > 0 => {
            let reason = format!(
                "bucket {:?} holds {objects} objects and versions; delete them first, or say ?force=true to delete \
                 it with all that it holds",
                bucket.name.as_str()
            );
            return Err(ActionError::refused(reason).with("objects", objects));
        }
        _ => {}
    }
    Ok(bucket)
}
