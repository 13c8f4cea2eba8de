//! [`Uploads`]: files that clients send for an instance, and its nodes fetch.
//!
//! A file goes by the SHA-256 of what it holds, so sending it twice is sending it once. It is taken in as it comes, a part
//! at a time; what does not come whole, or is not what it is called, leaves nothing.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::{BoxStream, Stream};
use futures::{StreamExt, stream};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::authz::Allowed;
use crate::error::{Error, ErrorCode};
use crate::resource::Resource;
use crate::store::uploads::Arrived;
use crate::store::{Store, StoreError, Upload};

/// What a part has at the most, in bytes. Some of them are in memory for each file that is on its way.
const PART: usize = 256 << 10;
/// Files that one control plane takes in at a time.
const AT_ONCE: usize = 16;

/// What uploads may be at the most.
#[derive(Clone, Copy, Debug)]
pub struct UploadLimits {
    /// One, in bytes.
    pub bytes: u64,
    /// All of one instance together, in bytes.
    pub instance_bytes: u64,
}

/// Takes in uploads and gives them out.
#[derive(Clone, Debug)]
pub struct Uploads {
    store: Arc<Store>,
    limits: UploadLimits,
    places: Arc<Semaphore>,
}

/// What is called an upload: 64 hexadecimal digits in lower case.
///
/// # Errors
/// `InvalidRequest`.
pub fn check_digest(text: &str) -> Result<&str, Error> {
    if metapaas_protocol::is_digest(text) {
        return Ok(text);
    }
    let detail = "an upload goes by the SHA-256 of what it holds: 64 digits of 0-9 and a-f";
    Err(Error::invalid_at("", "INVALID_VALUE", detail))
}

impl Uploads {
    /// Keeps uploads in `store`.
    pub fn new(store: Arc<Store>, limits: UploadLimits) -> Self {
        Self { store, limits, places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// The upload of that digest, for who may read the instance.
    ///
    /// # Errors
    /// `Forbidden`, `NotFound`, `Unavailable`.
    pub async fn find(&self, allowed: &Allowed, instance: &Resource, digest: &str) -> Result<Upload, Error> {
        allowed.on_row(instance.meta.project_id, &instance.key())?;
        self.of_instance(instance.meta.id, digest).await
    }

    async fn of_instance(&self, instance: Uuid, digest: &str) -> Result<Upload, Error> {
        let found = self.store.find_upload(instance, digest).await?;
        found.ok_or_else(|| Error::not_found(format_args!("the upload {digest}")))
    }

    /// The upload of that digest, for a node of the instance that it was sent for.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub async fn find_for_node(&self, node: Uuid, digest: &str) -> Result<Upload, Error> {
        let found = self.store.node(node).await?;
        let node = found.ok_or_else(|| Error::not_found(format_args!("node {node}")))?;
        self.of_instance(node.instance_id, digest).await
    }

    /// What an upload holds, part by part.
    pub fn read(&self, upload: &Upload) -> BoxStream<'static, Result<Vec<u8>, StoreError>> {
        let (store, id) = (Arc::clone(&self.store), upload.id);
        stream::try_unfold(0, move |seq| {
            let store = Arc::clone(&store);
            async move { Ok(store.chunk(id, seq).await?.map(|part| (part, seq + 1))) }
        })
        .boxed()
    }

    /// Takes in an upload for an instance that the caller may change, and answers it and whether it was not there before.
    /// `announced` is how much the client says that it sends.
    ///
    /// # Errors
    /// `Forbidden`, `InvalidState` when the instance is about to go, `BodyTooLarge`, `QuotaExceeded`, `TooManyRequests`,
    /// `InvalidRequest` when it is not what it is called, `Unavailable`, and whatever `body` ends in.
    ///
    /// # Cancellation
    /// Dropping the future gives the upload up.
    pub async fn receive(
        &self,
        allowed: &Allowed,
        instance: &Resource,
        digest: &str,
        announced: Option<u64>,
        body: impl Stream<Item = Result<Bytes, Error>> + Send + Unpin,
    ) -> Result<(Upload, bool), Error> {
        allowed.on_row(instance.meta.project_id, &instance.key())?;
        if instance.is_deleting() {
            return Err(Error::new(ErrorCode::InvalidState, "it is being deleted"));
        }
        let Ok(_place) = self.places.try_acquire() else {
            let detail = format!("{AT_ONCE} uploads are on their way to this control plane; try again");
            return Err(Error::new(ErrorCode::TooManyRequests, detail));
        };
        let announced = announced.unwrap_or_default();
        self.fits(announced)?;
        let id = instance.meta.id;
        let is_known = self.store.find_upload(id, digest).await?.is_some();
        if !is_known {
            self.make_room(id, announced).await?;
        }
        let begun = match is_known {
            true => None,
            false => Some(Begun::new(&self.store, self.store.begin_upload(id).await?)),
        };
        let upload = begun.as_ref().map(|begun| begun.id);
        let size = self.take(upload, digest, body).await?;
        if !is_known {
            self.make_room(id, size).await?;
        }
        let is_new = match self.store.finish_upload(upload, id, instance.ty.slug, digest, size).await? {
            Arrived::New => true,
            Arrived::Known => false,
            Arrived::Gone => return Err(gone()),
        };
        if let Some(begun) = begun.filter(|_| is_new) {
            begun.keep();
        }
        Ok((self.of_instance(id, digest).await?, is_new))
    }

    /// Reads all of it, keeps it as what `upload` holds, if there is one, and answers its size.
    async fn take(
        &self,
        upload: Option<Uuid>,
        digest: &str,
        mut body: impl Stream<Item = Result<Bytes, Error>> + Send + Unpin,
    ) -> Result<u64, Error> {
        let (mut hash, mut size, mut seq) = (Sha256::new(), 0, 0);
        let mut waiting = BytesMut::new();
        loop {
            let piece = body.next().await.transpose()?;
            let is_last = piece.is_none();
            let piece = piece.unwrap_or_default();
            size += piece.len() as u64;
            self.fits(size)?;
            hash.update(&piece);
            if let Some(upload) = upload {
                waiting.extend_from_slice(&piece);
                while waiting.len() >= PART || (is_last && !waiting.is_empty()) {
                    let part = waiting.split_to(waiting.len().min(PART));
                    self.store.add_chunk(upload, seq, &part).await.map_err(given_up)?;
                    seq += 1;
                }
            }
            if is_last {
                break;
            }
        }
        let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if found != digest {
            let detail = format!("what came has the SHA-256 {found}, not the one in the path; send it again");
            return Err(Error::invalid_at("", "DIGEST_MISMATCH", detail));
        }
        Ok(size)
    }

    fn fits(&self, size: u64) -> Result<(), Error> {
        let limit = self.limits.bytes;
        if size <= limit {
            return Ok(());
        }
        let detail = format!("an upload may have {limit} bytes; the operator's setting is upload_bytes");
        Err(Error::new(ErrorCode::BodyTooLarge, detail).with("limit", limit))
    }

    /// Sees to it that so much more fits: what no plan needs goes first, the oldest of it.
    async fn make_room(&self, instance: Uuid, size: u64) -> Result<(), Error> {
        let limit = self.limits.instance_bytes;
        let uploads = self.store.uploads(instance).await?;
        let mut used: u64 = uploads.iter().map(|upload| upload.size).sum();
        for upload in uploads.iter().filter(|upload| !upload.is_needed) {
            if used + size <= limit {
                break;
            }
            self.store.give_up_upload(upload.id).await?;
            used -= upload.size;
        }
        if used + size <= limit {
            return Ok(());
        }
        let detail = format!(
            "the uploads of this instance may have {limit} bytes together, and those that it needs have {used}; the \
             operator's setting is upload_instance_bytes"
        );
        Err(Error::new(ErrorCode::QuotaExceeded, detail).with("limit", limit).with("used", used))
    }
}

fn given_up(error: StoreError) -> Error {
    match error {
        StoreError::Reference { .. } => gone(),
        error => error.into(),
    }
}

fn gone() -> Error {
    Error::new(ErrorCode::InvalidState, "the upload was given up meanwhile; send it again")
}

/// An upload on its way; dropped before it is kept, it is given up.
struct Begun {
    /// None once it is kept.
    store: Option<Arc<Store>>,
    id: Uuid,
}

impl Begun {
    fn new(store: &Arc<Store>, id: Uuid) -> Self {
        Self { store: Some(Arc::clone(store)), id }
    }

    fn keep(mut self) {
        self.store = None;
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let (Some(store), id) = (self.store.take(), self.id) else { return };
        // Without a runtime there is nobody to do it; old ones are given up anyway.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = store.give_up_upload(id).await {
                    tracing::warn!(%error, "an upload that did not arrive is given up later");
                }
            });
        }
    }
}
