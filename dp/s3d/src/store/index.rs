//! The index: a `redb` file with one writing thread that commits the changes of many requests at once.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition,
    WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::blobs::{Blobs, Fresh, Written};
use super::record::{BucketRow, Contents, Segment};
use crate::fault::Fault;
use crate::log;

/// Pages that are kept in memory.
const CACHE: usize = 24 << 20;
/// Changes that are committed at once.
const BATCH: usize = 256;

pub(super) const BUCKETS: TableDefinition<&str, &[u8]> = TableDefinition::new("buckets");
/// The newest version of each key, by bucket and key.
pub(super) const CURRENT: TableDefinition<(u64, &str), &[u8]> = TableDefinition::new("current");
/// All others, newest first: by bucket, key and the complement of their order.
pub(super) const OLDER: TableDefinition<(u64, &str, u64), &[u8]> = TableDefinition::new("older");
/// Lists of segments.
pub(super) const LISTS: TableDefinition<u128, &[u8]> = TableDefinition::new("lists");
/// Contents that are short.
pub(super) const INLINE: TableDefinition<u128, &[u8]> = TableDefinition::new("inline");
/// Segments in files that some object or upload has.
pub(super) const FILES: TableDefinition<u128, ()> = TableDefinition::new("files");
/// Files that nothing has any longer and that are still to be removed, in groups.
pub(super) const GARBAGE: TableDefinition<u128, &[u8]> = TableDefinition::new("garbage");
pub(super) const UPLOADS: TableDefinition<(u64, &str, u128), &[u8]> = TableDefinition::new("uploads");
pub(super) const PARTS: TableDefinition<(u128, u32), &[u8]> = TableDefinition::new("parts");
/// Buckets that are being removed with all they hold.
pub(super) const DOOMED: TableDefinition<u64, ()> = TableDefinition::new("doomed");
pub(super) const COUNTS: TableDefinition<&str, u64> = TableDefinition::new("counts");

/// Requests answered so far, in [`COUNTS`].
pub(super) const REQUESTS: &str = "requests";

/// Tells who asked what became of a change: `None` that it is committed as it was made.
type Answer = Box<dyn FnOnce(Option<Fault>) + Send>;
type Change = Box<dyn FnOnce(&mut Tables<'_>) -> Outcome + Send>;

struct Outcome {
    answer: Answer,
    /// Whether it was made; one that was refused has changed nothing.
    is_made: bool,
    /// Why nothing of the whole batch can be committed.
    fault: Option<Fault>,
}

struct Job {
    segments: Vec<Written>,
    change: Change,
}

/// The file and its writing thread, which ends with it.
pub(crate) struct Index {
    database: Arc<RwLock<Option<Database>>>,
    jobs: Sender<Job>,
    requests: Arc<AtomicU64>,
}

/// The tables as one reader sees them.
pub(crate) struct Reading {
    pub(super) transaction: ReadTransaction,
}

/// The tables while they are changed.
pub(crate) struct Tables<'t> {
    pub(super) buckets: Table<'t, &'static str, &'static [u8]>,
    pub(super) current: Table<'t, (u64, &'static str), &'static [u8]>,
    pub(super) older: Table<'t, (u64, &'static str, u64), &'static [u8]>,
    pub(super) lists: Table<'t, u128, &'static [u8]>,
    pub(super) inline: Table<'t, u128, &'static [u8]>,
    pub(super) files: Table<'t, u128, ()>,
    pub(super) garbage: Table<'t, u128, &'static [u8]>,
    pub(super) uploads: Table<'t, (u64, &'static str, u128), &'static [u8]>,
    pub(super) parts: Table<'t, (u128, u32), &'static [u8]>,
    pub(super) doomed: Table<'t, u64, ()>,
    pub(super) counts: Table<'t, &'static str, u64>,
    /// Groups of files that are garbage once this is committed.
    pub(super) dropped: Vec<Vec<Uuid>>,
}

impl Index {
    pub(super) fn open(root: &Path, blobs: Arc<Blobs>) -> Result<Self, Fault> {
        let path = root.join("index.redb");
        let database = create(&path)?;
        let transaction = database.begin_write()?;
        drop(Tables::open(&transaction)?);
        transaction.commit()?;
        File::open(root)?.sync_all()?;
        let database = Arc::new(RwLock::new(Some(database)));
        let (jobs, queue) = channel();
        let (chores, waiting) = channel::<Chore>();
        let removed = Arc::new(Mutex::new(vec![]));
        let requests = Arc::new(AtomicU64::new(0));
        let index = Self { database: database.clone(), jobs, requests: requests.clone() };
        index.read(|reading| {
            for row in reading.table(GARBAGE)?.iter()? {
                // The thread that receives is not yet running, so it is there.
                let _ = chores.send(Chore::Remove(serde_json::from_slice(row?.1.value())?));
            }
            Ok(())
        })?;
        requests.store(index.read(|reading| reading.count(REQUESTS))?, Ordering::Relaxed);
        let writer =
            Writer { path, database, blobs: blobs.clone(), chores, removed: removed.clone(), requests };
        std::thread::Builder::new().name("index".into()).spawn(move || writer.run(&queue))?;
        std::thread::Builder::new()
            .name("files".into())
            .spawn(move || tidy_up(&blobs, &waiting, &removed))?;
        Ok(index)
    }

    pub(super) fn read<T>(&self, f: impl FnOnce(&Reading) -> Result<T, Fault>) -> Result<T, Fault> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(closed)?;
        f(&Reading { transaction: database.begin_read()? })
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        segments: Vec<Written>,
        f: impl FnOnce(&mut Tables<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (sender, receiver) = oneshot::channel();
        let change: Change = Box::new(move |tables| {
            let (result, is_made, fault) = match f(tables) {
                Ok(value) => (Ok(value), true, None),
                Err(Fault::S3(refusal)) => (Err(Fault::S3(refusal)), false, None),
                Err(fault) => (Err(closed()), false, Some(fault)),
            };
            // Whoever asked may be gone; the change is made nevertheless.
            let answer: Answer = Box::new(move |fault| drop(sender.send(fault.map_or(result, Err))));
            Outcome { answer, is_made, fault }
        });
        self.jobs.send(Job { segments, change }).map_err(|_| closed())?;
        receiver.await.map_err(|_| closed())?
    }

    pub(super) fn count_requests(&self, total: u64) {
        self.requests.store(total, Ordering::Relaxed);
    }
}

fn create(path: &Path) -> Result<Database, Fault> {
    Ok(Database::builder().set_cache_size(CACHE).create(path)?)
}

fn closed() -> Fault {
    Fault::Io(std::io::Error::other("the index is closed"))
}

/// What is to be done with files once the index has changed.
enum Chore {
    Settle(Uuid),
    Remove(Vec<Uuid>),
}

struct Writer {
    path: PathBuf,
    database: Arc<RwLock<Option<Database>>>,
    blobs: Arc<Blobs>,
    chores: Sender<Chore>,
    /// Garbage that is removed and whose rows are to go.
    removed: Arc<Mutex<Vec<Uuid>>>,
    requests: Arc<AtomicU64>,
}

impl Writer {
    fn run(&self, queue: &Receiver<Job>) {
        while let Ok(first) = queue.recv() {
            let jobs = std::iter::once(first).chain(queue.try_iter().take(BATCH - 1)).collect();
            let (mut answers, mut fresh) = (vec![], vec![]);
            let fault = match self.commit(jobs, &mut answers, &mut fresh) {
                Ok(dropped) => {
                    // Nobody waits for files to be moved and removed; without the receiver the next start does it.
                    // They come in this order because a file may be garbage by the next batch.
                    let kept = fresh.into_iter().map(Fresh::keep);
                    kept.for_each(|id| drop(self.chores.send(Chore::Settle(id))));
                    dropped.into_iter().for_each(|group| drop(self.chores.send(Chore::Remove(group))));
                    None
                }
                Err(fault) => {
                    self.reopen();
                    // A commit that failed may have reached the disk all the same.
                    let known = fresh.into_iter().filter(|fresh| self.knows(fresh.id()));
                    known.for_each(|fresh| self.blobs.settle(fresh.keep()));
                    Some(fault)
                }
            };
            answers.into_iter().for_each(|answer| answer(fault.as_ref().map(again)));
        }
    }

    /// Makes all changes in one transaction; answers the files that are garbage.
    fn commit(
        &self,
        jobs: Vec<Job>,
        answers: &mut Vec<Answer>,
        fresh: &mut Vec<Fresh>,
    ) -> Result<Vec<Vec<Uuid>>, Fault> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let transaction = database.as_ref().ok_or_else(closed)?.begin_write()?;
        let mut tables = Tables::open(&transaction)?;
        let mut fault = None;
        for job in jobs {
            let mut outcome = (job.change)(&mut tables);
            if outcome.is_made {
                let added = job
                    .segments
                    .iter()
                    .try_for_each(|written| tables.add(&written.segment, written.inline.as_deref()));
                outcome.fault = added.err();
                fresh.extend(job.segments.into_iter().filter_map(|written| written.fresh));
            }
            fault = fault.or(outcome.fault);
            answers.push(outcome.answer);
        }
        let dropped = self.piggyback(&mut tables).map(|()| std::mem::take(&mut tables.dropped));
        drop(tables);
        match (fault, dropped) {
            (Some(fault), _) | (None, Err(fault)) => {
                transaction.abort()?;
                Err(fault)
            }
            (None, Ok(dropped)) => {
                if fresh.iter().any(|fresh| !fresh.is_named()) {
                    self.blobs.sync_new()?;
                }
                transaction.commit()?;
                Ok(dropped)
            }
        }
    }

    /// What is written down whenever something else is.
    fn piggyback(&self, tables: &mut Tables<'_>) -> Result<(), Fault> {
        for id in std::mem::take(&mut *self.removed.lock().unwrap_or_else(PoisonError::into_inner)) {
            tables.garbage.remove(id.as_u128())?;
        }
        tables.counts.insert(REQUESTS, self.requests.load(Ordering::Relaxed))?;
        Ok(())
    }

    /// Whether the index has a file; when it cannot be asked, the file had better stay.
    fn knows(&self, id: Uuid) -> bool {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = database.as_ref() else { return true };
        let known = database.begin_read().map_err(Fault::from);
        known.and_then(|transaction| Reading { transaction }.knows_file(id)).unwrap_or(true)
    }

    /// After a write has failed, `redb` refuses all work until the file is opened anew.
    fn reopen(&self) {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        drop(database.take());
        match create(&self.path) {
            Ok(opened) => *database = Some(opened),
            Err(fault) => {
                log(&format_args!("the index cannot be opened again: {}", s3s::S3Error::from(fault)))
            }
        }
    }
}

fn again(fault: &Fault) -> Fault {
    match fault {
        Fault::S3(_) => closed(),
        Fault::Io(error) => Fault::Io(error.kind().into()),
        Fault::Index(error) => match &**error {
            redb::Error::Io(error) => Fault::Io(error.kind().into()),
            other => Fault::Io(std::io::Error::other(other.to_string())),
        },
    }
}

/// Moves files that are new to their place, and removes those that nothing has any longer.
fn tidy_up(blobs: &Blobs, chores: &Receiver<Chore>, removed: &Mutex<Vec<Uuid>>) {
    use std::sync::mpsc::RecvTimeoutError;
    let mut waiting: Vec<Vec<Uuid>> = vec![];
    loop {
        match chores.recv_timeout(std::time::Duration::from_secs(if waiting.is_empty() { 3600 } else { 1 })) {
            Ok(Chore::Settle(id)) => {
                blobs.settle(id);
                continue;
            }
            Ok(Chore::Remove(group)) => waiting.push(group),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        waiting.retain(|group| {
            let is_removed = blobs.remove(group);
            if is_removed {
                removed.lock().unwrap_or_else(PoisonError::into_inner).extend(group.first());
            }
            !is_removed
        });
    }
}

impl Reading {
    pub(super) fn table<K: redb::Key + 'static, V: redb::Value + 'static>(
        &self,
        definition: TableDefinition<'_, K, V>,
    ) -> Result<ReadOnlyTable<K, V>, Fault> {
        Ok(self.transaction.open_table(definition)?)
    }

    pub(crate) fn bucket(&self, name: &str) -> Result<Option<BucketRow>, Fault> {
        decode(self.table(BUCKETS)?.get(name)?)
    }

    pub(crate) fn count(&self, name: &str) -> Result<u64, Fault> {
        Ok(self.table(COUNTS)?.get(name)?.map_or(0, |count| count.value()))
    }

    pub(crate) fn requests(&self) -> Result<u64, Fault> {
        self.count(REQUESTS)
    }

    pub(super) fn knows_file(&self, id: Uuid) -> Result<bool, Fault> {
        Ok(self.table(FILES)?.get(id.as_u128())?.is_some())
    }

    pub(super) fn inline(&self, id: Uuid) -> Result<Vec<u8>, Fault> {
        let bytes = self.table(INLINE)?.get(id.as_u128())?.map(|bytes| bytes.value().to_vec());
        bytes.ok_or_else(|| Fault::Io(std::io::ErrorKind::NotFound.into()))
    }

    /// The segments of an object, in their order.
    pub(crate) fn segments(&self, contents: &Contents) -> Result<Vec<Segment>, Fault> {
        match contents {
            Contents::Empty => Ok(vec![]),
            Contents::One(segment) => Ok(vec![segment.clone()]),
            Contents::Many(list) => Ok(decode(self.table(LISTS)?.get(list.as_u128())?)?.unwrap_or_default()),
        }
    }
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, Fault> {
        Ok(Self {
            buckets: transaction.open_table(BUCKETS)?,
            current: transaction.open_table(CURRENT)?,
            older: transaction.open_table(OLDER)?,
            lists: transaction.open_table(LISTS)?,
            inline: transaction.open_table(INLINE)?,
            files: transaction.open_table(FILES)?,
            garbage: transaction.open_table(GARBAGE)?,
            uploads: transaction.open_table(UPLOADS)?,
            parts: transaction.open_table(PARTS)?,
            doomed: transaction.open_table(DOOMED)?,
            counts: transaction.open_table(COUNTS)?,
            dropped: vec![],
        })
    }

    /// Adds a segment's file or short contents.
    fn add(&mut self, segment: &Segment, inline: Option<&[u8]>) -> Result<(), Fault> {
        match inline {
            Some(bytes) => drop(self.inline.insert(segment.id.as_u128(), bytes)?),
            None => drop(self.files.insert(segment.id.as_u128(), ())?),
        }
        Ok(())
    }

    /// Forgets segments; their files are removed after the commit.
    pub(super) fn release(&mut self, segments: &[Segment]) -> Result<(), Fault> {
        let mut group = vec![];
        for segment in segments {
            if segment.inline {
                self.inline.remove(segment.id.as_u128())?;
            } else if self.files.remove(segment.id.as_u128())?.is_some() {
                group.push(segment.id);
            }
        }
        if let Some(first) = group.first() {
            self.garbage.insert(first.as_u128(), &*encode(&group)?)?;
            self.dropped.push(group);
        }
        Ok(())
    }

    /// Forgets the contents of an object.
    pub(super) fn release_contents(&mut self, contents: &Contents) -> Result<(), Fault> {
        match contents {
            Contents::Empty => Ok(()),
            Contents::One(segment) => self.release(std::slice::from_ref(segment)),
            Contents::Many(list) => {
                let segments: Option<Vec<Segment>> = decode(self.lists.remove(list.as_u128())?)?;
                self.release(&segments.unwrap_or_default())
            }
        }
    }
}

pub(super) fn encode(value: &impl Serialize) -> Result<Vec<u8>, Fault> {
    Ok(serde_json::to_vec(value)?)
}

pub(super) fn decode<T: DeserializeOwned>(
    row: Option<redb::AccessGuard<'_, &'static [u8]>>,
) -> Result<Option<T>, Fault> {
    row.map(|row| Ok(serde_json::from_slice(row.value())?)).transpose()
}
