//! What an instance offers to others that are bound to it: one bucket, by a user, a key and a policy of the binding's own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metapaas_core::{Bound, Denial, Desired, FieldProblem, Map, ObservedNode};
use metapaas_s3d::document;
use serde_json::{Value, json};

use crate::sign::REGION;
use crate::types::{Bucket, S3Instance, letters};

/// What a binding asks for.
struct Asked {
    bucket: String,
    is_read_only: bool,
}

/// Variables that S3 clients know, and where the bucket is.
pub(crate) fn environment(s3: &Desired<S3Instance>, bound: &Bound) -> Result<Map<String>, Denial> {
    let asked = asked(s3, bound)?;
    let address = s3.nodes().iter().find_map(ObservedNode::main_address);
    let address = address.ok_or_else(|| Denial::Refused("it has no node yet".into()))?;
    let endpoint = format!("http://{address}");
    let (id, secret) = key(bound);
    let variables = [
        ("S3_ENDPOINT", endpoint.clone()),
        ("S3_BUCKET", asked.bucket),
        ("AWS_ACCESS_KEY_ID", id),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_ENDPOINT_URL_S3", endpoint),
        ("AWS_DEFAULT_REGION", REGION.to_owned()),
        ("AWS_REGION", REGION.to_owned()),
    ];
    Ok(variables.map(|(name, value)| (name.to_owned(), value)).into())
}

/// The policy of a binding, unless what it asks for is gone.
pub(crate) fn policy(s3: &Desired<S3Instance>, bound: &Bound) -> Option<(String, Value)> {
    let asked = asked(s3, bound).ok()?;
    let bucket = format!("arn:aws:s3:::{}", asked.bucket);
    let (on_bucket, on_objects) = match asked.is_read_only {
        true => (vec!["s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucket*"], vec!["s3:GetObject*"]),
        false => (
            vec!["s3:ListBucket*", "s3:GetBucket*"],
            vec![
                "s3:GetObject*",
                "s3:PutObject",
                "s3:PutObjectTagging",
                "s3:DeleteObject*",
                "s3:AbortMultipartUpload",
                "s3:ListMultipartUploadParts",
            ],
        ),
    };
    let allow = |actions: Vec<&str>, resource: String| json!({ "Effect": "Allow", "Action": actions, "Resource": resource });
    let statements = [allow(on_bucket, bucket.clone()), allow(on_objects, format!("{bucket}/*"))];
    Some((name(bound), json!({ "Version": "2012-10-17", "Statement": statements })))
}

/// The user of a binding.
pub(crate) fn user(s3: &Desired<S3Instance>, bound: &Bound) -> (String, document::User) {
    let (id, secret) = key(bound);
    let user = document::User {
        root: false,
        policies: policy(s3, bound).map(|(name, _)| name).into_iter().collect(),
        access_keys: [(id, document::AccessKey { secret, enabled: true })].into(),
    };
    (name(bound), user)
}

/// What a binding's user and policy are called. No tenant can make one that begins like this.
fn name(bound: &Bound) -> String {
    format!("_binding-{}", bound.id)
}

/// Id and secret of a binding's key.
fn key(bound: &Bound) -> (String, String) {
    let id = letters(&bound.derive("s3 access key id"));
    (format!("MP{}", &id[..18]), STANDARD.encode(&bound.derive("s3 secret access key")[..30]))
}

fn asked(s3: &Desired<S3Instance>, bound: &Bound) -> Result<Asked, Denial> {
    let mut problems = Vec::new();
    let mut asked = Asked { bucket: s3.spec.bucket_name.to_string(), is_read_only: false };
    for (name, value) in &bound.parameters {
        match (name.as_str(), value.as_str()) {
            ("bucket", bucket) => {
                let others = s3.children::<Bucket>()?;
                let is_there =
                    *bucket == asked.bucket || others.iter().any(|one| one.spec.name.as_str() == bucket);
                if !is_there {
                    let detail = format!("the instance has no bucket {bucket:?}; make it first");
                    problems.push(FieldProblem::new(name, detail));
                }
                asked.bucket = bucket.to_owned();
            }
            ("access", "read-write") => {}
            ("access", "read-only") => asked.is_read_only = true,
            ("access", _) => problems.push(FieldProblem::new(name, "expected read-write or read-only")),
            _ => problems.push(FieldProblem::new(name, "there are `bucket` and `access`")),
        }
    }
    if problems.is_empty() { Ok(asked) } else { Err(Denial::Invalid(problems)) }
}
