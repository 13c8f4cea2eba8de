//! Policies as RustFS knows them: single values in lists, names in its letters, patterns of actions written out.

use serde_json::{Map, Value, json};

/// The actions that policies may name, without `s3:`.
const ACTIONS: &str = "AbortMultipartUpload BypassGovernanceRetention CreateBucket DeleteBucket DeleteBucketCors DeleteBucketPolicy \
    DeleteBucketPublicAccessBlock DeleteObject DeleteObjectTagging DeleteObjectVersion \
    DeleteObjectVersionTagging GetBucketAcl GetBucketCors GetBucketEncryption GetBucketLifecycle \
    GetBucketLocation GetBucketLogging GetBucketNotification GetBucketObjectLockConfiguration GetBucketPolicy \
    GetBucketPolicyStatus GetBucketPublicAccessBlock GetBucketQuota GetBucketTagging GetBucketVersioning \
    GetObject GetObjectAcl GetObjectAttributes GetObjectLegalHold GetObjectRetention GetObjectTagging \
    GetObjectVersion GetObjectVersionAttributes GetObjectVersionTagging GetReplicationConfiguration HeadBucket \
    ListAllMyBuckets ListBucket ListBucketMultipartUploads ListBucketVersions ListMultipartUploadParts \
    ListenBucketNotification ListenNotification PutBucketAcl PutBucketCors PutBucketEncryption \
    PutBucketLifecycle PutBucketLogging PutBucketNotification PutBucketObjectLockConfiguration PutBucketPolicy \
    PutBucketPublicAccessBlock PutBucketTagging PutBucketVersioning PutObject PutObjectAcl PutObjectLegalHold \
    PutObjectRetention PutObjectTagging PutObjectVersionTagging PutReplicationConfiguration RestoreObject";

/// What AWS calls actions that RustFS has another name for.
const ALIASES: [(&str, &str); 6] = [
    ("GetBucketCORS", "GetBucketCors"),
    ("PutBucketCORS", "PutBucketCors"),
    ("GetEncryptionConfiguration", "GetBucketEncryption"),
    ("PutEncryptionConfiguration", "PutBucketEncryption"),
    ("GetLifecycleConfiguration", "GetBucketLifecycle"),
    ("PutLifecycleConfiguration", "PutBucketLifecycle"),
];

/// The keys of conditions, in RustFS's letters.
const KEYS: &str = "aws:CurrentTime aws:EpochTime aws:principaltype aws:Referer aws:SecureTransport aws:SourceIp \
    aws:UserAgent aws:userid aws:username s3:authType s3:delimiter s3:max-keys s3:object-lock-legal-hold \
    s3:object-lock-mode s3:object-lock-retain-until-date s3:prefix s3:RequestObjectTagKeys s3:signatureAge \
    s3:signatureversion s3:VersionId s3:x-amz-acl s3:x-amz-content-sha256 s3:x-amz-copy-source \
    s3:x-amz-metadata-directive s3:x-amz-server-side-encryption s3:x-amz-storage-class";

/// Keys that a tag's name follows.
const TAG_KEYS: [&str; 2] = ["s3:ExistingObjectTag/", "s3:RequestObjectTag/"];

/// The same policy, a valid one.
///
/// # Errors
/// What RustFS does not know of it: where, and why.
pub(super) fn translated(document: &Value) -> Result<Value, Vec<(String, String)>> {
    let mut problems = Vec::new();
    let mut whole = document.as_object().cloned().unwrap_or_default();
    let given = whole.get("Statement").cloned().unwrap_or_default();
    let is_list = given.is_array();
    let statements = list(given).into_iter().enumerate().map(|(index, statement)| {
        let at = if is_list { format!("/Statement/{index}") } else { "/Statement".to_owned() };
        translate(&at, statement, &mut problems)
    });
    let statements: Vec<Value> = statements.collect();
    whole.insert("Statement".to_owned(), statements.into());
    if problems.is_empty() { Ok(whole.into()) } else { Err(problems) }
}

fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

fn translate(at: &str, statement: Value, problems: &mut Vec<(String, String)>) -> Value {
    let Value::Object(members) = statement else { return statement };
    let translated = members.into_iter().map(|(name, value)| {
        let at = format!("{at}/{name}");
        let value = match name.as_str() {
            "Action" | "NotAction" => actions(&at, value, problems),
            "Resource" | "NotResource" => list(value).into_iter().map(resource).collect(),
            "Condition" => conditions(&at, value, problems),
            _ => value,
        };
        (name, value)
    });
    Value::Object(translated.collect())
}

fn resource(value: Value) -> Value {
    if value == "*" { json!("arn:aws:s3:::*") } else { value }
}

fn actions(at: &str, value: Value, problems: &mut Vec<(String, String)>) -> Value {
    let mut known = Vec::new();
    for action in list(value) {
        let text = action.as_str().unwrap_or_default();
        let name = text.get(3..).filter(|_| text != "*").unwrap_or("*");
        if name == "*" {
            known.push("s3:*".to_owned());
            continue;
        }
        let name =
            ALIASES.iter().find(|(theirs, _)| theirs.eq_ignore_ascii_case(name)).map_or(name, |(_, own)| own);
        let found: Vec<_> = ACTIONS.split_ascii_whitespace().filter(|action| is_like(action, name)).collect();
        if found.is_empty() {
            problems.push((at.to_owned(), format!("RustFS has no action like `{text}`")));
        }
        known.extend(found.into_iter().map(|action| format!("s3:{action}")));
    }
    json!(known)
}

/// Whether a name is of a pattern with `*` and `?`, whatever the letters' case.
fn is_like(name: &str, pattern: &str) -> bool {
    let (mut name_rest, mut pattern_rest) = (name.chars(), pattern.chars());
    match pattern_rest.next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = pattern_rest.as_str();
            name.char_indices()
                .map(|(index, _)| index)
                .chain([name.len()])
                .any(|index| name.get(index..).is_some_and(|name| is_like(name, rest)))
        }
        Some(wanted) => name_rest.next().is_some_and(|found| {
            (wanted == '?' || wanted.eq_ignore_ascii_case(&found))
                && is_like(name_rest.as_str(), pattern_rest.as_str())
        }),
    }
}

fn conditions(at: &str, value: Value, problems: &mut Vec<(String, String)>) -> Value {
    let Value::Object(operators) = value else { return value };
    let translated = operators.into_iter().map(|(operator, keys)| {
        let Value::Object(keys) = keys else { return (operator, keys) };
        let mut known = Map::new();
        for (key, values) in keys {
            match own_key(&key) {
                Some(own) => drop(known.insert(own, values)),
                None => {
                    let pointer = key.replace('~', "~0").replace('/', "~1");
                    problems
                        .push((format!("{at}/{operator}/{pointer}"), "RustFS does not know it".to_owned()));
                }
            }
        }
        (operator, known.into())
    });
    Value::Object(translated.collect())
}

fn own_key(key: &str) -> Option<String> {
    let mut plain = KEYS.split_ascii_whitespace().filter(|known| known.eq_ignore_ascii_case(key));
    let tagged = || {
        TAG_KEYS.iter().find_map(|prefix| {
            let (start, tag) = key.split_at_checked(prefix.len())?;
            start.eq_ignore_ascii_case(prefix).then(|| format!("{prefix}{tag}"))
        })
    };
    plain.next().map(str::to_owned).or_else(tagged)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::translated;

    #[test]
    fn policies_are_written_as_rustfs_reads_them() {
        let found = translated(&json!({ "Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Action": ["s3:getobject", "s3:ListBucketM*", "s3:GetEncryptionConfiguration"], "Resource": "*",
            "Condition": { "StringLike": { "S3:Prefix": "a/*", "s3:existingobjecttag/Colour": "red" } },
        } }));
        let expected = json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:ListBucketMultipartUploads", "s3:GetBucketEncryption"],
            "Resource": ["arn:aws:s3:::*"],
            "Condition": { "StringLike": { "s3:prefix": "a/*", "s3:ExistingObjectTag/Colour": "red" } },
        }] });
        assert_eq!(found, Ok(expected));
        let all = |action: Value| {
            let statement = json!({ "Effect": "Allow", "Action": action, "Resource": "*" });
            translated(&json!({ "Version": "2012-10-17", "Statement": [statement] }))
                .map(|policy| policy["Statement"][0]["Action"].clone())
        };
        assert_eq!((all(json!("*")), all(json!("s3:*"))), (Ok(json!(["s3:*"])), Ok(json!(["s3:*"]))));
        let pointers = |found: Result<Value, Vec<(String, String)>>| {
            found.unwrap_err().into_iter().map(|(at, _)| at).collect::<Vec<_>>()
        };
        assert_eq!(pointers(all(json!(["s3:GetObject", "s3:GetBucketWebsite"]))), ["/Statement/0/Action"]);
    }
}
