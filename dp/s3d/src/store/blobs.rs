//! Segments in files: written under `new/`, moved to `data/` once the index knows them.
//!
//! Names are random and never made from keys. A crash leaves files in `new/` that the index knows or not: the sweep
//! at the start asks it and moves or removes them. So nothing else need be searched, however much is stored.
//!
//! While many are written, empty files are made in advance, and their names made to last together: a put then waits for
//! its bytes alone.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use futures::Stream;
use uuid::Uuid;

use super::record::Segment;
use super::seal::{CHUNK, InstanceKey, SegmentKey, TAG};
use super::sums::Hasher;

/// Up to this size contents are kept in the index: they then cost no file and no fsync of their own.
pub(crate) const INLINE: usize = 16 * 1024;
/// Plain bytes that are read or written at once.
pub(crate) const STEP: usize = 8 * CHUNK;
/// What is left free on the disk, so that deletes can still be written to the index.
const RESERVE: u64 = 16 << 20;

/// Files that are made in advance.
const SPARES: usize = 64;

/// The files of a data directory.
#[derive(Debug)]
pub(crate) struct Blobs {
    root: PathBuf,
    new: File,
    /// Empty files in `new/` whose names last.
    spares: Mutex<Vec<Uuid>>,
    /// Asks for more of them.
    thirst: Sender<()>,
    /// First segments of objects that are being read.
    readers: Mutex<HashMap<Uuid, usize>>,
}

impl Blobs {
    pub(crate) fn open(root: &Path) -> io::Result<Arc<Self>> {
        let new = root.join("new");
        fs::create_dir_all(&new)?;
        for shard in 0..=u8::MAX {
            fs::create_dir_all(root.join(format!("data/{shard:02x}")))?;
        }
        for directory in [&new, &root.join("data"), root] {
            File::open(directory)?.sync_all()?;
        }
        let (thirst, asked) = channel();
        let blobs = Arc::new(Self {
            root: root.to_owned(),
            new: File::open(new)?,
            spares: Mutex::default(),
            thirst,
            readers: Mutex::default(),
        });
        let weak = Arc::downgrade(&blobs);
        std::thread::Builder::new().name("spares".into()).spawn(move || make_spares(&weak, &asked))?;
        Ok(blobs)
    }

    /// A file of a new name: one that was made in advance, or else one whose name does not last yet.
    fn create(&self) -> io::Result<(Uuid, Option<File>)> {
        let (spare, left) = {
            let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
            (spares.pop(), spares.len())
        };
        if left < SPARES / 2 {
            // The thread goes when this does.
            let _ = self.thirst.send(());
        }
        match spare {
            Some(id) => Ok((id, Some(OpenOptions::new().write(true).open(self.fresh(id))?))),
            None => Ok((Uuid::now_v7(), None)),
        }
    }

    fn fill_spares(&self) -> io::Result<()> {
        let there = self.spares.lock().unwrap_or_else(PoisonError::into_inner).len();
        let made: Vec<Uuid> = (there..SPARES).map(|_| Uuid::now_v7()).collect();
        let lasting = made
            .iter()
            .try_for_each(|id| File::create_new(self.fresh(*id)).map(drop))
            .and_then(|()| self.sync_new());
        if lasting.is_err() {
            // The next start removes what cannot be removed now.
            made.iter().for_each(|id| drop(fs::remove_file(self.fresh(*id))));
        } else {
            self.spares.lock().unwrap_or_else(PoisonError::into_inner).extend(made);
        }
        lasting
    }

    /// Makes the names of all files in `new/` last, before the index speaks of them.
    pub(crate) fn sync_new(&self) -> io::Result<()> {
        self.new.sync_all()
    }

    /// Moves or removes what an earlier run left in `new/`.
    pub(crate) fn sweep(&self, is_known: impl Fn(Uuid) -> bool) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join("new"))? {
            let path = entry?.path();
            match path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok()) {
                Some(id) if is_known(id) => fs::rename(&path, self.settled(id))?,
                _ => fs::remove_file(&path)?,
            }
        }
        Ok(())
    }

    /// Fails when a write is not to be begun for want of room.
    pub(crate) fn check_room(&self) -> io::Result<()> {
        let disk = rustix::fs::fstatvfs(&self.new)?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < RESERVE {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    /// Removes files; those of objects that are being read are answered, to be tried again.
    pub(crate) fn remove(&self, group: &[Uuid]) -> bool {
        // Held while files are removed: a reader that comes in between finds its first file gone, and looks anew.
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if group.first().is_some_and(|id| readers.contains_key(id)) {
            return false;
        }
        group.iter().all(|id| {
            [self.settled(*id), self.fresh(*id)].iter().all(|path| match fs::remove_file(path) {
                Err(error) => error.kind() == io::ErrorKind::NotFound,
                Ok(()) => true,
            })
        })
    }

    /// Moves a file that the index knows to its place.
    pub(crate) fn settle(&self, id: Uuid) {
        // Where it fails the file is found in `new/` all the same, and moved at the next start.
        let _ = fs::rename(self.fresh(id), self.settled(id));
    }

    fn fresh(&self, id: Uuid) -> PathBuf {
        self.root.join("new").join(id.as_simple().to_string())
    }

    fn settled(&self, id: Uuid) -> PathBuf {
        self.root.join(format!("data/{:02x}/{}", id.as_bytes()[15], id.as_simple()))
    }

    fn file(&self, id: Uuid) -> io::Result<File> {
        // It may be moved between the two.
        let settled = self.settled(id);
        File::open(&settled).or_else(|_| File::open(self.fresh(id))).or_else(|_| File::open(&settled))
    }
}

/// Makes files in advance whenever that is asked for, as long as the directory is in use.
fn make_spares(blobs: &Weak<Blobs>, asked: &Receiver<()>) {
    while asked.recv().is_ok() {
        asked.try_iter().for_each(drop);
        let Some(blobs) = blobs.upgrade() else { return };
        // Without them puts make their own; a full disk is told to those.
        let _ = blobs.fill_spares();
    }
}

/// A file in `new/`. It is removed again unless the index comes to know it.
#[derive(Debug)]
pub(crate) struct Fresh {
    blobs: Arc<Blobs>,
    id: Uuid,
    is_kept: bool,
    /// Whether its name is on the disk.
    is_named: bool,
}

impl Fresh {
    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    pub(crate) fn is_named(&self) -> bool {
        self.is_named
    }

    /// The index knows it now: it stays, and may be moved by [`Blobs::settle`].
    pub(crate) fn keep(mut self) -> Uuid {
        self.is_kept = true;
        self.id
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.is_kept {
            // The sweep removes what cannot be removed now.
            let _ = fs::remove_file(self.blobs.fresh(self.id));
        }
    }
}

/// Takes the bytes of a new segment.
pub(crate) struct Sink {
    blobs: Arc<Blobs>,
    id: Uuid,
    key: Option<(SegmentKey, String)>,
    file: Option<(File, Fresh)>,
    /// Made in advance for it.
    spare: Option<(File, Fresh)>,
    /// Not yet written: less than a chunk, or all of a segment that may become inline.
    held: Vec<u8>,
    chunks: u64,
    size: u64,
    hasher: Hasher,
}

/// A segment whose bytes are on the disk, or to be put into the index.
pub(crate) struct Written {
    pub(crate) segment: Segment,
    pub(crate) inline: Option<Vec<u8>>,
    pub(crate) fresh: Option<Fresh>,
    pub(crate) hasher: Hasher,
}

impl Sink {
    /// Encrypts when there is a key to do it under. What `needs_file` gets one that is there already.
    pub(crate) fn new(
        blobs: Arc<Blobs>,
        key: Option<&InstanceKey>,
        hasher: Hasher,
        needs_file: bool,
    ) -> io::Result<Self> {
        blobs.check_room()?;
        let (id, file) = if needs_file { blobs.create()? } else { (Uuid::now_v7(), None) };
        let fresh = |id| Fresh { blobs: blobs.clone(), id, is_kept: false, is_named: true };
        let spare = file.map(|file| (file, fresh(id)));
        let key = key.map(|key| key.segment_key(id)).transpose()?;
        Ok(Self { blobs, id, key, file: None, spare, held: vec![], chunks: 0, size: 0, hasher })
    }

    pub(crate) fn write(&mut self, batch: &[Bytes]) -> io::Result<()> {
        if batch.iter().map(Bytes::len).sum::<usize>() > INLINE {
            self.hasher.update_many(batch);
        } else {
            batch.iter().for_each(|bytes| self.hasher.update(bytes));
        }
        batch.iter().try_for_each(|bytes| self.append(bytes))
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.size += bytes.len() as u64;
        if self.file.is_none() && self.held.len() + bytes.len() <= INLINE {
            self.held.extend_from_slice(bytes);
            return Ok(());
        }
        if self.file.is_none() {
            self.file = Some(match self.spare.take() {
                Some(spare) => spare,
                None => {
                    let file = File::create_new(self.blobs.fresh(self.id))?;
                    let (blobs, id) = (self.blobs.clone(), self.id);
                    (file, Fresh { blobs, id, is_kept: false, is_named: false })
                }
            });
        }
        let Some((file, _)) = &mut self.file else { return Ok(()) };
        let Some((key, _)) = &self.key else {
            file.write_all(&std::mem::take(&mut self.held))?;
            return file.write_all(bytes);
        };
        self.held.extend_from_slice(bytes);
        let mut sealed = Vec::with_capacity(self.held.len() + self.held.len() / CHUNK * TAG);
        let mut begin = 0;
        // The last chunk is sealed as such, so one is held back until there is a byte behind it.
        while self.held.len() - begin > CHUNK {
            sealed.extend(key.seal(self.chunks, false, &self.held[begin..begin + CHUNK])?);
            (begin, self.chunks) = (begin + CHUNK, self.chunks + 1);
        }
        self.held.drain(..begin);
        file.write_all(&sealed)
    }

    /// Makes the bytes last.
    pub(crate) fn finish(self) -> io::Result<Written> {
        let held = match &self.key {
            Some((key, _)) => key.seal(self.chunks, true, &self.held)?,
            None => self.held,
        };
        let key = self.key.map(|(_, wrapped)| wrapped);
        let (inline, fresh) = match self.file {
            None => (Some(held), None),
            Some((mut file, fresh)) => {
                file.write_all(&held)?;
                file.sync_all()?;
                (None, Some(fresh))
            }
        };
        let segment = Segment { id: self.id, size: self.size, inline: inline.is_some(), key };
        Ok(Written { segment, inline, fresh, hasher: self.hasher })
    }
}

/// Segments that are read: the bytes of those in the index, and keys, are there already.
pub(crate) struct Source {
    pub(crate) size: u64,
    pub(crate) key: Option<SegmentKey>,
    pub(crate) place: Place,
}

/// Where a [`Source`] is read.
pub(crate) enum Place {
    Inline(Bytes),
    File(Uuid),
    Open(Arc<File>),
}

impl Source {
    fn open(&mut self, blobs: &Blobs) -> io::Result<()> {
        if let Place::File(id) = self.place {
            self.place = Place::Open(Arc::new(blobs.file(id)?));
        }
        Ok(())
    }

    /// Plain bytes from `begin` on, at most [`STEP`] and not beyond `end`.
    fn read(&self, begin: u64, end: u64) -> io::Result<Bytes> {
        let Some(key) = &self.key else {
            let end = end.min(begin + STEP as u64);
            return self.raw(begin, end);
        };
        let chunk = CHUNK as u64;
        let first = begin / chunk;
        let behind = end.div_ceil(chunk).min(first + (STEP / CHUNK) as u64);
        let last = self.size.saturating_sub(1) / chunk;
        let sealed_end = (self.size + (last + 1) * TAG as u64).min(behind * (chunk + TAG as u64));
        let sealed = self.raw(first * (chunk + TAG as u64), sealed_end)?;
        let mut plain = Vec::with_capacity(sealed.len());
        for (number, piece) in (first..).zip(sealed.chunks(CHUNK + TAG)) {
            plain.extend(key.unseal(number, number == last, piece)?);
        }
        let from = usize::try_from(begin - first * chunk).unwrap_or_default();
        let to = usize::try_from(end - first * chunk).unwrap_or(usize::MAX).min(plain.len());
        Ok(Bytes::from(plain).slice(from.min(to)..to))
    }

    fn raw(&self, begin: u64, end: u64) -> io::Result<Bytes> {
        let length = usize::try_from(end.saturating_sub(begin)).map_err(io::Error::other)?;
        match &self.place {
            Place::Inline(bytes) => {
                let begin = usize::try_from(begin).map_err(io::Error::other)?;
                let whole = begin.checked_add(length).is_some_and(|end| end <= bytes.len());
                if whole {
                    Ok(bytes.slice(begin..begin + length))
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                }
            }
            Place::Open(file) => {
                let mut buffer = vec![0; length];
                file.read_exact_at(&mut buffer, begin)?;
                Ok(buffer.into())
            }
            Place::File(_) => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Keeps the files of an object in place while it is read.
struct Guard(Arc<Blobs>, Option<Uuid>);

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(id) = self.1 else { return };
        let mut readers = self.0.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = readers.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                readers.remove(&id);
            }
        }
    }
}

/// Reads `range` of segments that follow each other. The first file is opened at once: when that fails with
/// `NotFound`, the object was replaced since the index was asked.
pub(crate) fn read(
    blobs: &Arc<Blobs>,
    mut sources: Vec<Source>,
    range: std::ops::Range<u64>,
) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + Sync + 'static> {
    let first =
        sources.iter().find_map(|source| if let Place::File(id) = source.place { Some(id) } else { None });
    let guard = Guard(blobs.clone(), first.filter(|_| sources.len() > 1));
    if let Some(id) = guard.1 {
        *blobs.readers.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default() += 1;
    }
    if let Some(source) = sources.iter_mut().find(|source| matches!(source.place, Place::File(_))) {
        source.open(blobs)?;
    }
    let mut plan = vec![];
    let mut at = 0;
    for source in sources {
        let (begin, end) =
            (range.start.saturating_sub(at).min(source.size), range.end.saturating_sub(at).min(source.size));
        at += source.size;
        if begin < end {
            plan.push((source, begin, end));
        }
    }
    plan.reverse();
    Ok(futures::stream::try_unfold(
        (plan, guard),
        async |(mut plan, guard): (Vec<(Source, u64, u64)>, Guard)| {
            let Some((mut source, begin, end)) = plan.pop() else { return Ok(None) };
            let (blobs, is_inline) = (guard.0.clone(), matches!(source.place, Place::Inline(_)));
            let step = move || {
                source.open(&blobs)?;
                let bytes = source.read(begin, end)?;
                Ok::<_, io::Error>((bytes, source))
            };
            let (bytes, source) = if is_inline {
                step()?
            } else {
                tokio::task::spawn_blocking(step).await.map_err(io::Error::other)??
            };
            let next = begin + bytes.len() as u64;
            if next < end {
                plan.push((source, next, end));
            }
            Ok(Some((bytes, (plan, guard))))
        },
    ))
}
