//! [`Live`]: the document in force, ready for use; it is followed without a restart.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use s3s::{S3Error, S3ErrorCode};
use tokio::sync::Notify;

use crate::document::{Bucket, BucketUsage, Document, Encryption, Usage, User};
use crate::fault::{Fault, refuse};
use crate::log;
use crate::mfa::LastStep;
use crate::policy::Policy;
use crate::server::Metrics;
use crate::store::{BucketRow, InstanceKey, Room, Store, Versioning, Wanted, now};

/// How often the file is looked at. A change is in force within this and the time of one commit.
const LOOK: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(3600);

/// What the whole server shares.
pub(crate) struct App {
    pub(crate) store: Store,
    live: RwLock<Option<Arc<Live>>>,
    /// Wakes the removal of buckets' contents.
    purge: Notify,
    pub(crate) metrics: Metrics,
    /// Requests answered by earlier runs.
    earlier: u64,
    pub(crate) last_step: LastStep,
}

/// A document in force.
pub(crate) struct Live {
    pub(crate) document: Document,
    policies: HashMap<String, Policy>,
    /// Users by access key id.
    keys: HashMap<String, String>,
    pub(crate) key: InstanceKey,
}

impl App {
    pub(crate) fn new(store: Store) -> Result<Self, Fault> {
        let earlier = store.read(|reading| reading.requests())?;
        let (metrics, last_step) = (Metrics::default(), LastStep::default());
        Ok(Self { store, live: RwLock::default(), purge: Notify::new(), metrics, earlier, last_step })
    }

    /// The document in force, once there is one.
    pub(crate) fn live(&self) -> Option<Arc<Live>> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Requests answered since the service was made.
    pub(crate) fn requests(&self) -> u64 {
        self.earlier + self.metrics.requests.load(Ordering::Relaxed)
    }

    /// What is stored, and what is not as the document asks.
    pub(crate) fn usage(&self) -> Result<Usage, Fault> {
        let live = self.live();
        let rows = self.store.read(|reading| reading.buckets())?;
        let mut usage = Usage { requests: self.requests(), ..Usage::default() };
        for (name, row) in rows {
            usage.objects += row.objects;
            usage.bytes += row.bytes;
            let is_wanted = live.as_ref().is_some_and(|live| live.document.buckets.contains_key(&name));
            let error = (!is_wanted)
                .then(|| format!("the bucket is to be removed, but holds {} objects", row.versions));
            usage.buckets.insert(name, BucketUsage { objects: row.versions, bytes: row.bytes, error });
        }
        Ok(usage)
    }

    /// Follows the file for ever.
    pub(crate) async fn follow(&self, file: &Path) {
        let mut seen = None;
        // So that a mistake is told once.
        let mut told = String::new();
        loop {
            let stamp = stamp(file);
            if stamp.is_none() || seen != stamp {
                match self.apply(file).await {
                    Ok(()) => (seen, told) = (stamp, String::new()),
                    Err(error) => {
                        let error = format!("the document is not in force: {error}");
                        if error != told {
                            log(&error);
                        }
                        told = error;
                    }
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn apply(&self, file: &Path) -> io::Result<()> {
        let text = tokio::fs::read(file).await?;
        // The message of a JSON error names a place and a kind of mistake, never a value that is secret.
        let document: Document = serde_json::from_slice(&text).map_err(|error| {
            io::Error::other(format!(
                "line {} column {} is not as it should be",
                error.line(),
                error.column()
            ))
        })?;
        let wanted: Wanted =
            document.buckets.iter().map(|(name, bucket)| (name.clone(), bucket.keeps_versions())).collect();
        let purge = document.purge.clone();
        let live = Live::new(document)?;
        let made = self.store.write(vec![], move |tables| tables.set_buckets(&wanted, &purge)).await;
        made.map_err(|fault| io::Error::other(S3Error::from(fault).to_string()))?;
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(live));
        self.purge.notify_one();
        Ok(())
    }

    /// Removes what removed buckets held, for ever.
    pub(crate) async fn purge(&self) {
        loop {
            while let Ok(Some(bucket)) = self.store.read(|reading| reading.doomed()) {
                if let Err(fault) = self.store.write(vec![], move |tables| tables.purge_step(bucket)).await {
                    log(&format_args!("a removed bucket is not yet empty: {}", S3Error::from(fault)));
                    tokio::time::sleep(Duration::from_secs(5)).await;
                }
            }
            self.purge.notified().await;
        }
    }

    /// Aborts uploads that are too old, for ever.
    pub(crate) async fn expire(&self) {
        let mut asked = Duration::ZERO;
        loop {
            if let Some(live) = self.live() {
                let age = Duration::from_secs(live.document.upload_expiry_seconds);
                asked = (age / 10).clamp(Duration::from_secs(1), HOUR);
                if let Err(fault) = self.abort_older_than(&live, age).await {
                    log(&format_args!("old uploads are not aborted: {}", S3Error::from(fault)));
                }
            }
            tokio::time::sleep(asked.max(LOOK)).await;
        }
    }

    async fn abort_older_than(&self, live: &Live, age: Duration) -> Result<(), Fault> {
        let before = now().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        for name in live.document.buckets.keys() {
            let stale = self.store.read(|reading| match reading.bucket(name)? {
                Some(row) => reading.stale_uploads(row.id, before),
                None => Ok(vec![]),
            })?;
            for (key, id) in stale {
                let name = name.clone();
                match self.store.write(vec![], move |tables| tables.abort_upload(&name, &key, id)).await {
                    // Somebody else was quicker.
                    Ok(()) | Err(Fault::S3(_)) => {}
                    Err(fault) => return Err(fault),
                }
            }
        }
        Ok(())
    }

    /// Writes down what was counted, from time to time; `true` also when nothing else is written.
    pub(crate) async fn keep_count(&self, now: bool) {
        self.store.count_requests(self.requests());
        if now {
            // It is a count of requests; the next change writes it down too.
            let _ = self.store.write(vec![], |_| Ok(())).await;
        }
    }
}

/// Changes whenever the file is replaced.
fn stamp(file: &Path) -> Option<(u64, u64, i64, i64)> {
    let data = std::fs::metadata(file).ok()?;
    Some((data.ino(), data.len(), data.mtime(), data.mtime_nsec()))
}

impl Live {
    fn new(document: Document) -> io::Result<Self> {
        let key = InstanceKey::parse(&document.instance_key)
            .ok_or_else(|| io::Error::other("instance_key is not 32 bytes in base64"))?;
        let policies = document.policies.iter().map(|(name, text)| {
            let policy = Policy::parse(text).unwrap_or_else(|problems| {
                log(&format_args!("policy {name} denies all, because {problems:?}"));
                Policy::deny_all()
            });
            (name.clone(), policy)
        });
        let policies = policies.collect();
        let keys = document.users.iter().flat_map(|(name, user)| {
            let enabled = user.access_keys.iter().filter(|(_, key)| key.enabled);
            enabled.map(move |(id, _)| (id.clone(), name.clone()))
        });
        let keys = keys.collect();
        Ok(Self { policies, keys, key, document })
    }

    /// The secret of an enabled key.
    pub(crate) fn secret(&self, access_key: &str) -> Option<&str> {
        let user = self.user_of(access_key)?;
        Some(&self.document.users.get(user)?.access_keys.get(access_key)?.secret)
    }

    pub(crate) fn user_of(&self, access_key: &str) -> Option<&str> {
        self.keys.get(access_key).map(String::as_str)
    }

    pub(crate) fn user(&self, name: &str) -> Option<&User> {
        self.document.users.get(name)
    }

    /// A user's policies; one that is attached but not there denies all.
    pub(crate) fn policies(&self, user: &User) -> Result<Vec<&Policy>, Fault> {
        let missing = || refuse(S3ErrorCode::AccessDenied, "A policy of this user is missing");
        user.policies.iter().map(|name| self.policies.get(name).ok_or_else(missing)).collect()
    }

    pub(crate) fn bucket(&self, name: &str) -> Result<&Bucket, Fault> {
        self.document.buckets.get(name).ok_or_else(|| S3ErrorCode::NoSuchBucket.into())
    }

    /// How much may be stored in a bucket.
    pub(crate) fn room(&self, bucket: &Bucket) -> Room {
        Room { bucket: bucket.quota_bytes, disk: self.document.disk_bytes }
    }

    pub(crate) fn encrypts(&self) -> bool {
        self.document.encryption == Encryption::Aes256
    }
}

impl Bucket {
    fn keeps_versions(&self) -> bool {
        self.versioning || self.object_lock
    }

    /// How versions are kept, which also depends on whether they ever were.
    pub(crate) fn versions(&self, row: &BucketRow) -> Versioning {
        match (self.keeps_versions(), row.versioned) {
            (true, _) => Versioning::Enabled,
            (false, true) => Versioning::Suspended,
            (false, false) => Versioning::Off,
        }
    }
}

/// Requests and bytes, for counting.
pub(crate) fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
