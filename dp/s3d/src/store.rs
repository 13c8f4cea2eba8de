//! [`Store`]: objects on the disk. The index (one file) knows keys, versions and where contents are; contents are
//! in files of their own, or in the index when they are short.

mod blobs;
mod buckets;
mod index;
mod list;
mod objects;
mod record;
mod seal;
mod sums;
mod uploads;

use std::io;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use crate::fault::Fault;
use blobs::Blobs;
use index::Index;

pub(crate) use blobs::{INLINE, STEP, Sink, Source, Written, read};
pub(crate) use buckets::Wanted;
pub(crate) use index::{Reading, Tables};
pub(crate) use list::{Entry, List, Page};
pub(crate) use objects::{Put, Removal, Room, check_tags};
pub(crate) use record::Sums;
pub(crate) use record::{
    BucketRow, Contents, Hold, Part, Record, Segment, Traits, Upload, Versioning, millis, now, timestamp,
};
pub(crate) use seal::InstanceKey;
pub(crate) use sums::{ALGORITHMS, Claims, Hasher, fields, of_parts, set_fields};

/// Everything below a data directory.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) blobs: Arc<Blobs>,
    index: Arc<Index>,
}

impl Store {
    /// Opens a data directory and removes what a crash left in it.
    pub(crate) fn open(root: &Path) -> Result<Self, Fault> {
        let blobs = Blobs::open(root)?;
        let index = Arc::new(Index::open(root, blobs.clone())?);
        blobs.sweep(|id| index.read(|tables| tables.knows_file(id)).unwrap_or(true))?;
        Ok(Self { blobs, index })
    }

    /// Reads the index.
    pub(crate) fn read<T>(&self, f: impl FnOnce(&Reading) -> Result<T, Fault>) -> Result<T, Fault> {
        self.index.read(f)
    }

    /// Changes the index; the change is on the disk when this returns. The segments that it tells of are kept only
    /// when it succeeds. Dropping the future does not stop the change.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        segments: Vec<Written>,
        f: impl FnOnce(&mut Tables<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        self.index.write(segments, f).await
    }

    /// Writes down the number of requests that were answered, with the next change or at once.
    pub(crate) fn count_requests(&self, total: u64) {
        self.index.count_requests(total);
    }

    /// The segments of an object, ready to be read.
    pub(crate) fn sources(
        &self,
        reading: &Reading,
        contents: &Contents,
        key: &InstanceKey,
    ) -> Result<Vec<Source>, Fault> {
        let source = |segment: Segment| {
            let opened = segment.key.as_ref().map(|wrapped| key.open(segment.id, wrapped)).transpose()?;
            let place = match segment.inline {
                true => blobs::Place::Inline(reading.inline(segment.id)?.into()),
                false => blobs::Place::File(segment.id),
            };
            Ok(Source { size: segment.size, key: opened, place })
        };
        reading.segments(contents)?.into_iter().map(source).collect()
    }

    /// Reads a range of an object's contents, or nothing when the object was replaced meanwhile.
    pub(crate) fn stream(
        &self,
        sources: Vec<Source>,
        range: std::ops::Range<u64>,
    ) -> io::Result<Option<impl futures::Stream<Item = io::Result<bytes::Bytes>> + Send + Sync + 'static>>
    {
        match read(&self.blobs, sources, range) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }
}

/// A new name for something.
pub(crate) fn new_id() -> Uuid {
    Uuid::now_v7()
}
