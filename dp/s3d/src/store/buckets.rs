//! Buckets come and go as the document says.

use std::collections::BTreeMap;

use redb::ReadableTable;
use uuid::Uuid;

use super::index::{BUCKETS, DOOMED, Reading, Tables, encode};
use super::record::{BucketRow, Part, Record, now};
use crate::fault::Fault;

/// The number of the next bucket, in the counts.
const NEXT: &str = "next_bucket";
/// Rows that a removal takes away at once, so that others are not kept waiting.
const STEP: usize = 500;

/// Buckets by name, and whether they keep versions.
pub(crate) type Wanted = BTreeMap<String, bool>;

impl Reading {
    pub(crate) fn buckets(&self) -> Result<BTreeMap<String, BucketRow>, Fault> {
        let mut buckets = BTreeMap::new();
        for row in self.table(BUCKETS)?.iter()? {
            let (name, row) = row?;
            buckets.insert(name.value().to_owned(), serde_json::from_slice(row.value())?);
        }
        Ok(buckets)
    }

    /// A removed bucket that still has rows.
    pub(crate) fn doomed(&self) -> Result<Option<u64>, Fault> {
        Ok(self.table(DOOMED)?.first()?.map(|(id, _)| id.value()))
    }
}

impl Tables<'_> {
    /// Makes buckets that are wanted and removes others that are empty or to be purged.
    pub(crate) fn set_buckets(&mut self, wanted: &Wanted, purge: &[String]) -> Result<(), Fault> {
        let mut there: BTreeMap<String, BucketRow> = BTreeMap::new();
        for row in self.buckets.iter()? {
            let (name, row) = row?;
            there.insert(name.value().to_owned(), serde_json::from_slice(row.value())?);
        }
        for (name, keeps_versions) in wanted {
            let mut row = match there.remove(name) {
                Some(row) => row,
                None => {
                    let id = self.count(NEXT)?;
                    self.counts.insert(NEXT, id + 1)?;
                    let created = now();
                    BucketRow { id, created, versioned: false, objects: 0, versions: 0, bytes: 0, pending: 0 }
                }
            };
            row.versioned |= keeps_versions;
            self.buckets.insert(&**name, &*encode(&row)?)?;
        }
        for (name, row) in there {
            if row.versions == 0 || purge.contains(&name) {
                self.buckets.remove(&*name)?;
                self.doomed.insert(row.id, ())?;
                self.count_bytes(0, row.bytes + row.pending)?;
            }
        }
        Ok(())
    }

    /// Takes away some rows of a removed bucket; answers whether there may be more.
    pub(crate) fn purge_step(&mut self, bucket: u64) -> Result<bool, Fault> {
        let (mut keys, mut older, mut uploads, mut contents) = (vec![], vec![], vec![], vec![]);
        for row in self.current.range((bucket, "")..(bucket + 1, ""))?.take(STEP) {
            let (at, row) = row?;
            keys.push(at.value().1.to_owned());
            contents.push(serde_json::from_slice::<Record>(row.value())?.contents);
        }
        for row in self.older.range((bucket, "", 0)..(bucket + 1, "", 0))?.take(STEP) {
            let (at, row) = row?;
            older.push((at.value().1.to_owned(), at.value().2));
            contents.push(serde_json::from_slice::<Record>(row.value())?.contents);
        }
        for row in self.uploads.range((bucket, "", 0)..(bucket + 1, "", 0))?.take(STEP) {
            let (at, _) = row?;
            let (_, key, id) = at.value();
            uploads.push((key.to_owned(), Uuid::from_u128(id)));
        }
        let is_empty = keys.is_empty() && older.is_empty() && uploads.is_empty();
        for key in keys {
            self.current.remove((bucket, &*key))?;
        }
        for (key, order) in older {
            self.older.remove((bucket, &*key, order))?;
        }
        for contents in contents {
            self.release_contents(&contents)?;
        }
        for (key, id) in uploads {
            self.uploads.remove((bucket, &*key, id.as_u128()))?;
            let mut parts = vec![];
            for row in self.parts.range((id.as_u128(), 0)..=(id.as_u128(), u32::MAX))? {
                let (at, row) = row?;
                parts.push((at.value().1, serde_json::from_slice::<Part>(row.value())?.segment));
            }
            for (number, segment) in parts {
                self.parts.remove((id.as_u128(), number))?;
                self.release(&[segment])?;
            }
        }
        if is_empty {
            self.doomed.remove(bucket)?;
        }
        Ok(!is_empty)
    }
}
