//! Who may do what: signatures by the document's keys, then policies, then public buckets.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::HeaderMap;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::dto::CopySource;
use s3s::path::S3Path;
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result, s3_error};
use time::PrimitiveDateTime;
use time::macros::format_description;

use crate::fault::Fault;
use crate::live::{App, Live};
use crate::policy::{Decision, Keys, decide, mention};

/// The address of the client, as an extension of its requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Who asks, and what policies may want to know.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) live: Arc<Live>,
    /// Nobody in particular when `None`.
    user: Option<String>,
    keys: Keys,
}

/// Gives `s3s` secrets, and answers whether requests are allowed.
#[derive(Clone)]
pub(crate) struct Access(pub(crate) Arc<App>);

#[async_trait::async_trait]
impl S3Auth for Access {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let live = self.0.live().ok_or_else(|| s3_error!(ServiceUnavailable))?;
        live.secret(access_key)
            .map(SecretKey::from)
            .ok_or_else(|| s3_error!(InvalidAccessKeyId, "The access key does not exist, or is disabled"))
    }
}

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let live = self.0.live().ok_or_else(|| s3_error!(ServiceUnavailable))?;
        let user =
            cx.credentials().and_then(|credentials| live.user_of(&credentials.access_key)).map(str::to_owned);
        if cx.credentials().is_some() && user.is_none() {
            // The key was disabled since its signature was checked.
            return Err(s3_error!(InvalidAccessKeyId));
        }
        if user.is_some() && is_old_signature(cx) {
            return Err(s3_error!(InvalidRequest, "Please use AWS4-HMAC-SHA256"));
        }
        let keys = keys(cx, user.as_deref());
        let caller = Caller { live, user, keys };
        self.authorize(&caller, cx)?;
        cx.extensions_mut().insert(caller);
        Ok(())
    }
}

impl Access {
    fn authorize(&self, caller: &Caller, cx: &S3AccessContext<'_>) -> S3Result<()> {
        let query = Query(cx.uri().query().unwrap_or_default());
        let version = query.get("versionId");
        let operation = cx.s3_op().name();
        match operation {
            // Who has a valid key may see the buckets that he may use, and is told by each object of a list
            // of them; tags that are to be set are only known when the body is read.
            "ListBuckets" | "CreateBucket" | "DeleteObjects" | "PutObjectTagging"
                if caller.user.is_some() =>
            {
                Ok(())
            }
            "PostObject" => Err(s3_error!(NotImplemented, "Forms are not taken; use a presigned URL")),
            _ => {
                let action = action(operation, version.is_some());
                let (bucket, key) = match cx.s3_path() {
                    S3Path::Root => (None, None),
                    S3Path::Bucket { bucket } => (Some(&**bucket), None),
                    S3Path::Object { bucket, key } => (Some(&**bucket), Some(&**key)),
                };
                let bucket = bucket.unwrap_or_default();
                self.allow(caller, &action, bucket, key, version.as_deref())?;
                if matches!(operation, "PutObject" | "CreateMultipartUpload" | "CopyObject") {
                    let mut more = BESIDES.iter().filter(|(header, _)| cx.headers().contains_key(*header));
                    more.try_for_each(|(_, action)| self.allow(caller, action, bucket, key, None))?;
                }
                match cx
                    .headers()
                    .get("x-amz-copy-source")
                    .filter(|_| operation.ends_with("Copy") || operation == "CopyObject")
                {
                    Some(source) => self.allow_source(caller, source.to_str().unwrap_or_default()),
                    None => Ok(()),
                }
            }
        }
    }

    fn allow_source(&self, caller: &Caller, source: &str) -> S3Result<()> {
        let source = CopySource::parse(source)
            .map_err(|_| s3_error!(InvalidArgument, "x-amz-copy-source is malformed"))?;
        let CopySource::Bucket { bucket, key, version_id } = source else {
            return Err(s3_error!(NotImplemented));
        };
        let action = if version_id.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
        self.allow(caller, action, &bucket, Some(&key), version_id.as_deref())
    }

    /// Refuses what the caller may not do.
    pub(crate) fn allow(
        &self,
        caller: &Caller,
        action: &str,
        bucket: &str,
        key: Option<&str>,
        version: Option<&str>,
    ) -> S3Result<()> {
        let denied = || s3_error!(AccessDenied, "Access Denied");
        let is_public = action == "s3:GetObject"
            && caller.live.document.buckets.get(bucket).is_some_and(|bucket| bucket.public);
        let Some(user) =
            caller.user.as_ref().map(|name| caller.live.user(name).ok_or_else(denied)).transpose()?
        else {
            return if is_public { Ok(()) } else { Err(denied()) };
        };
        if user.root {
            return Ok(());
        }
        let policies = caller.live.policies(user)?;
        let resource = match key {
            Some(key) => format!("arn:aws:s3:::{bucket}/{key}"),
            None => format!("arn:aws:s3:::{bucket}"),
        };
        let mut keys = caller.keys.clone();
        if let Some(key) = key.filter(|_| policies.iter().any(|policy| policy.asks_for_tags())) {
            self.set_tags(&mut keys, bucket, key, version)?;
        }
        match decide(policies, action, &resource, &keys) {
            Decision::Allowed => Ok(()),
            Decision::Silent if is_public => Ok(()),
            Decision::Silent | Decision::Denied => Err(denied()),
        }
    }

    fn set_tags(&self, keys: &mut Keys, bucket: &str, key: &str, version: Option<&str>) -> S3Result<()> {
        let record = self.0.store.read(|reading| match reading.bucket(bucket)? {
            Some(row) => reading.record(row.id, key, version),
            None => Ok(None),
        });
        for (tag, value) in
            record.map_err(S3Error::from)?.map(|record| record.traits.tags).unwrap_or_default()
        {
            keys.set(&format!("s3:ExistingObjectTag/{tag}"), value);
        }
        Ok(())
    }

    /// Whether a bucket is shown to the caller.
    pub(crate) fn sees(&self, caller: &Caller, bucket: &str) -> bool {
        let Some(user) = caller.user.as_ref().and_then(|name| caller.live.user(name)) else { return false };
        user.root
            || self.allow(caller, "s3:ListBucket", bucket, None, None).is_ok()
            || caller.live.policies(user).is_ok_and(|policies| mention(policies, bucket, &caller.keys))
    }
}

impl Caller {
    /// Of a request that was checked.
    pub(crate) fn of<T>(request: &S3Request<T>) -> Result<Self, Fault> {
        request.extensions.get::<Self>().cloned().ok_or_else(|| S3ErrorCode::AccessDenied.into())
    }

    /// With the tags that the request sets.
    pub(crate) fn with_tags<'t>(mut self, tags: impl IntoIterator<Item = (&'t String, &'t String)>) -> Self {
        let mut names = vec![];
        for (tag, value) in tags {
            self.keys.set(&format!("s3:RequestObjectTag/{tag}"), value);
            names.push(tag.clone());
        }
        self.keys.set_all("s3:RequestObjectTagKeys", names);
        self
    }

    /// Who it is, for answers.
    pub(crate) fn name(&self) -> &str {
        self.user.as_deref().unwrap_or("anonymous")
    }
}

/// What writing an object asks for besides, by the header that says so.
const BESIDES: [(&str, &str); 4] = [
    ("x-amz-tagging", "s3:PutObjectTagging"),
    ("x-amz-object-lock-mode", "s3:PutObjectRetention"),
    ("x-amz-object-lock-retain-until-date", "s3:PutObjectRetention"),
    ("x-amz-object-lock-legal-hold", "s3:PutObjectLegalHold"),
];

/// `s3s` takes signatures of version 2 too, which do not cover all of a request.
fn is_old_signature(cx: &S3AccessContext<'_>) -> bool {
    let header = cx
        .headers()
        .get(hyper::header::AUTHORIZATION)
        .is_some_and(|value| value.as_bytes().starts_with(b"AWS "));
    header || Query(cx.uri().query().unwrap_or_default()).get("AWSAccessKeyId").is_some()
}

/// The action that policies know an operation by.
fn action(operation: &str, has_version: bool) -> String {
    let name = match (operation, has_version) {
        ("GetObject" | "HeadObject", false) => "GetObject",
        ("GetObject" | "HeadObject", true) => "GetObjectVersion",
        ("GetObjectAcl", true) => "GetObjectVersionAcl",
        ("GetObjectAttributes", true) => "GetObjectVersionAttributes",
        ("GetObjectTagging", true) => "GetObjectVersionTagging",
        ("PutObjectTagging", true) => "PutObjectVersionTagging",
        ("DeleteObjectTagging", true) => "DeleteObjectVersionTagging",
        ("DeleteObject", true) => "DeleteObjectVersion",
        (
            "CompleteMultipartUpload"
            | "CreateMultipartUpload"
            | "UploadPart"
            | "UploadPartCopy"
            | "CopyObject",
            _,
        ) => "PutObject",
        ("ListObjects" | "ListObjectsV2" | "HeadBucket", _) => "ListBucket",
        ("ListObjectVersions", _) => "ListBucketVersions",
        ("ListMultipartUploads", _) => "ListBucketMultipartUploads",
        ("ListParts", _) => "ListMultipartUploadParts",
        ("ListBuckets", _) => "ListAllMyBuckets",
        ("GetObjectLockConfiguration", _) => "GetBucketObjectLockConfiguration",
        ("PutObjectLockConfiguration", _) => "PutBucketObjectLockConfiguration",
        ("GetBucketEncryption", _) => "GetEncryptionConfiguration",
        ("PutBucketEncryption" | "DeleteBucketEncryption", _) => "PutEncryptionConfiguration",
        ("GetBucketLifecycleConfiguration", _) => "GetLifecycleConfiguration",
        ("PutBucketLifecycleConfiguration" | "DeleteBucketLifecycle", _) => "PutLifecycleConfiguration",
        ("GetBucketReplication", _) => "GetReplicationConfiguration",
        ("GetPublicAccessBlock", _) => "GetBucketPublicAccessBlock",
        (other, _) => other,
    };
    format!("s3:{name}")
}

struct Query<'u>(&'u str);

impl Query<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(self.0.as_bytes());
        pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.into_owned())
    }
}

/// Everything about the request itself that conditions can ask for. The connection is never TLS: who needs that puts a
/// proxy in front, whose word about its own clients is not taken.
fn keys(cx: &mut S3AccessContext<'_>, user: Option<&str>) -> Keys {
    let peer = cx.extensions_mut().get::<Peer>().copied();
    let mut keys = Keys::default();
    let query = Query(cx.uri().query().unwrap_or_default());
    let now = SystemTime::now();
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    keys.set("aws:SecureTransport", "false");
    keys.set("aws:EpochTime", seconds.to_string());
    keys.set("aws:CurrentTime", seconds.to_string());
    keys.set("aws:PrincipalType", if user.is_some() { "User" } else { "Anonymous" });
    if let Some(Peer(address)) = peer {
        keys.set("aws:SourceIp", address.to_canonical().to_string());
    }
    if let Some(user) = user {
        let is_presigned = query.get("X-Amz-Signature").is_some();
        keys.set("aws:username", user);
        keys.set("aws:userid", user);
        keys.set("s3:signatureversion", "AWS4-HMAC-SHA256");
        keys.set("s3:authType", if is_presigned { "REST-QUERY-STRING" } else { "REST-HEADER" });
        let date = query.get("X-Amz-Date").and_then(|date| amz_date(&date)).unwrap_or(seconds);
        keys.set("s3:signatureAge", (seconds.saturating_sub(date) * 1000).to_string());
    }
    for (key, parameter) in [
        ("prefix", "prefix"),
        ("delimiter", "delimiter"),
        ("max-keys", "max-keys"),
        ("VersionId", "versionId"),
    ] {
        if let Some(value) = query.get(parameter) {
            keys.set(&format!("s3:{key}"), value);
        }
    }
    from_headers(&mut keys, cx.headers());
    keys
}

fn from_headers(keys: &mut Keys, headers: &HeaderMap) {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let named = [
        ("aws:UserAgent", "user-agent"),
        ("aws:Referer", "referer"),
        ("s3:object-lock-mode", "x-amz-object-lock-mode"),
        ("s3:object-lock-legal-hold", "x-amz-object-lock-legal-hold"),
        ("s3:object-lock-retain-until-date", "x-amz-object-lock-retain-until-date"),
        ("s3:x-amz-acl", "x-amz-acl"),
        ("s3:x-amz-content-sha256", "x-amz-content-sha256"),
        ("s3:x-amz-copy-source", "x-amz-copy-source"),
        ("s3:x-amz-metadata-directive", "x-amz-metadata-directive"),
        ("s3:x-amz-server-side-encryption", "x-amz-server-side-encryption"),
        ("s3:x-amz-storage-class", "x-amz-storage-class"),
    ];
    for (key, name) in named {
        if let Some(value) = header(name) {
            keys.set(key, value);
        }
    }
    let mut names = vec![];
    for (tag, value) in url::form_urlencoded::parse(header("x-amz-tagging").unwrap_or_default().as_bytes()) {
        keys.set(&format!("s3:RequestObjectTag/{tag}"), value);
        names.push(tag.into_owned());
    }
    if !names.is_empty() {
        keys.set_all("s3:RequestObjectTagKeys", names);
    }
}

/// Seconds since 1970 of a date such as `20260101T120000Z`.
fn amz_date(text: &str) -> Option<u64> {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let date = PrimitiveDateTime::parse(text, format).ok()?;
    u64::try_from(date.assume_utc().unix_timestamp()).ok()
}
