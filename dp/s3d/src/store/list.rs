//! Listings: a page costs what it shows, wherever in the bucket it begins.

use super::index::{CURRENT, OLDER, Reading};
use super::objects::order_of;
use super::record::Record;
use crate::fault::Fault;

/// What is listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    pub(crate) prefix: String,
    pub(crate) delimiter: Option<String>,
    /// The first key that may be listed.
    pub(crate) from: String,
    pub(crate) limit: usize,
}

/// A line of a listing.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "most lines are objects")]
pub(crate) enum Entry {
    Object { key: String, record: Record, is_newest: bool },
    Prefix(String),
}

/// A page of a listing.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Entry>,
    /// Whether there is more.
    pub(crate) is_truncated: bool,
    /// The first key of the next page.
    pub(crate) next: Option<String>,
}

/// Adds the lines of a key, given its newest version.
type Visit<'v> = dyn FnMut(&str, Record, &mut Vec<Entry>) -> Result<(), Fault> + 'v;

impl List {
    /// Begins behind a key. A key that is a common prefix stands for all keys below it.
    pub(crate) fn after(mut self, marker: &str) -> Self {
        if !marker.is_empty() {
            let below = self.common(marker).filter(|common| common == marker);
            self.from = below.map_or_else(
                || format!("{marker}\0"),
                |common| successor(&common).unwrap_or_else(|| format!("{marker}\u{10ffff}")),
            );
        }
        self
    }

    /// The common prefix that a key is hidden behind.
    fn common(&self, key: &str) -> Option<String> {
        let delimiter = self.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty())?;
        let rest = key.strip_prefix(&*self.prefix)?;
        let end = self.prefix.len() + rest.find(delimiter)? + delimiter.len();
        Some(key[..end].to_owned())
    }

    fn start(&self) -> &str {
        self.from.as_str().max(&self.prefix)
    }
}

impl Reading {
    /// Current objects.
    pub(crate) fn list(&self, bucket: u64, list: &List) -> Result<Page, Fault> {
        self.walk(bucket, list, &mut |key, record, entries| {
            if !record.is_marker {
                entries.push(Entry::Object { key: key.to_owned(), record, is_newest: true });
            }
            Ok(())
        })
    }

    /// All versions, those of a key from the newest to the oldest; within the first key, those behind a version.
    pub(crate) fn list_versions(
        &self,
        bucket: u64,
        list: &List,
        behind: Option<(&str, &str)>,
    ) -> Result<Page, Fault> {
        let older = self.table(OLDER)?;
        let behind = match behind {
            Some((key, "null")) => self.record(bucket, key, Some("null"))?.map(|record| (key, record.order)),
            Some((key, version)) => order_of(version).map(|order| (key, order)),
            None => None,
        };
        self.walk(bucket, list, &mut |key, record, entries| {
            let is_behind = |order: u64| behind.is_none_or(|(first, limit)| first != key || order < limit);
            if is_behind(record.order) {
                entries.push(Entry::Object { key: key.to_owned(), record, is_newest: true });
            }
            for row in older.range((bucket, key, 0)..=(bucket, key, u64::MAX))? {
                let record: Record = serde_json::from_slice(row?.1.value())?;
                if entries.len() > list.limit {
                    break;
                }
                if is_behind(record.order) {
                    entries.push(Entry::Object { key: key.to_owned(), record, is_newest: false });
                }
            }
            Ok(())
        })
    }

    /// Goes through the keys of a bucket until there is more than a page.
    fn walk(&self, bucket: u64, list: &List, visit: &mut Visit<'_>) -> Result<Page, Fault> {
        let current = self.table(CURRENT)?;
        let (mut entries, mut from) = (vec![], list.start().to_owned());
        'seek: while entries.len() <= list.limit {
            for row in current.range((bucket, &*from)..)? {
                let (at, row) = row?;
                let (owner, key) = at.value();
                if owner != bucket || !key.starts_with(&list.prefix) {
                    break 'seek;
                }
                let record: Record = serde_json::from_slice(row.value())?;
                let Some(common) = list.common(key) else {
                    visit(key, record, &mut entries)?;
                    if entries.len() > list.limit {
                        break 'seek;
                    }
                    continue;
                };
                // A prefix is shown for what the listing shows below it, so the first key need not be enough.
                let before = entries.len();
                visit(key, record, &mut entries)?;
                if entries.len() > before {
                    entries.truncate(before);
                    let behind = successor(&common);
                    entries.push(Entry::Prefix(common));
                    let Some(behind) = behind else { break 'seek };
                    from = behind;
                    continue 'seek;
                }
            }
            break;
        }
        let is_truncated = entries.len() > list.limit;
        let first_left = entries.drain(list.limit.min(entries.len())..).next();
        let next = first_left.map(|entry| match entry {
            Entry::Object { key, .. } | Entry::Prefix(key) => key,
        });
        Ok(Page { is_truncated, next, entries })
    }
}

/// The least text that is greater than all that begin with this one.
fn successor(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_successor_ends_a_prefix(prefix in "\\PC{1,4}", rest in "\\PC{0,4}", other in "\\PC{0,6}") {
            if let Some(behind) = successor(&prefix) {
                let below = [prefix.as_str(), rest.as_str()].concat();
                prop_assert!(below < behind);
                prop_assert!(other.starts_with(&prefix) || other < prefix || other >= behind);
            }
        }
    }
}
