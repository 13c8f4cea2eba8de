//! Changes and the rows as they are now, made into what watchers are told: each row once per step, in its newest form.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use crate::resource::Resource;
use crate::store::events::{Change, ChangeAction};

/// Ids remembered of rows that were made and have not been told of.
const UNTOLD_MAX: usize = 4096;

/// What a watcher is told of one row.
#[derive(Debug)]
pub(super) struct Told {
    /// The revision of the row, or that of its removal.
    pub(super) position: i64,
    pub(super) kind: Kind,
    pub(super) type_index: usize,
    pub(super) id: Uuid,
    pub(super) project_id: Uuid,
    pub(super) parent_id: Uuid,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// The row.
    Row(Box<Resource>),
    /// What is left of it, and where it was made if nothing was told between its making and its removal.
    Gone { key: String, instance_id: Uuid, made: Option<i64> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Added,
    Modified,
    Deleted,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// Goes from position to position.
///
/// # Guarantees
/// What a step answers has positions after the last step's and up to its own, ascending, each row once. A row that is
/// at a later revision than the step goes to is kept, one form of it, and told when a step reaches that revision: a
/// row that always changes is told all the same. When more rows than `most` would be kept, the others are told by the
/// step that has the change which they are at.
#[derive(Debug)]
pub(super) struct Fold {
    /// Rows by id that are ahead of the steps, each with where it was made if it has not been told.
    ahead: HashMap<Uuid, (Box<Resource>, Option<i64>)>,
    most: usize,
    /// Rows that were made and not told, each with where.
    untold: HashMap<Uuid, i64>,
}

impl Fold {
    pub(super) fn new(most: usize) -> Self {
        Self { ahead: HashMap::new(), most, untold: HashMap::new() }
    }

    /// Rows that were made and have not been told of.
    pub(super) fn into_untold(self) -> HashSet<Uuid> {
        let ahead = self.ahead.into_iter().filter(|(_, (_, made))| made.is_some()).map(|(id, _)| id);
        self.untold.into_keys().chain(ahead).collect()
    }

    /// Steps to `upto`, given all changes between the last step and there, and the rows that they name as they were
    /// at some moment after those changes could be seen.
    pub(super) fn step(
        &mut self,
        changes: Vec<Change>,
        mut rows: HashMap<Uuid, Resource>,
        upto: i64,
    ) -> Vec<Told> {
        let mut last: BTreeMap<Uuid, (Change, Option<i64>)> = BTreeMap::new();
        for change in changes {
            let made_here = (change.action == ChangeAction::Created).then_some(change.position);
            let made = last.get(&change.id).and_then(|(_, made)| *made).or(made_here);
            last.insert(change.id, (change, made));
        }
        let mut told = Vec::with_capacity(last.len());
        for (id, (change, made_here)) in last {
            let ahead = self.ahead.remove(&id);
            let untold = self.untold.remove(&id).or(ahead.as_ref().and_then(|(_, made)| *made));
            let made = untold.or(made_here);
            if change.action == ChangeAction::Deleted {
                // Told all the same: a watch whose listing had the row, or that began after its making, knows it.
                told.push(gone(change, made));
                continue;
            }
            match rows.remove(&id) {
                Some(row) if row.meta.revision <= upto => told.push(kept(&change, row.into(), made)),
                Some(row) => match ahead {
                    // A newer form in its place would be overtaken again before a step reaches it.
                    Some((old, _)) if old.meta.revision > upto => self.keep(id, old, made),
                    Some((old, _)) => {
                        told.push(kept(&change, old, made));
                        self.keep(id, row.into(), None);
                    }
                    None => self.keep(id, row.into(), made),
                },
                // It is gone by now; the change that says so comes later.
                None => self.note_untold(id, made),
            }
        }
        told.sort_unstable_by_key(|one| one.position);
        told
    }

    fn keep(&mut self, id: Uuid, row: Box<Resource>, made: Option<i64>) {
        if self.ahead.len() < self.most {
            self.ahead.insert(id, (row, made));
        } else {
            self.note_untold(id, made);
        }
    }

    fn note_untold(&mut self, id: Uuid, made: Option<i64>) {
        if let Some(made) = made
            && self.untold.len() < UNTOLD_MAX
        {
            self.untold.insert(id, made);
        }
    }
}

fn kept(change: &Change, row: Box<Resource>, made: Option<i64>) -> Told {
    Told {
        position: row.meta.revision,
        kind: if made.is_some() { Kind::Added } else { Kind::Modified },
        type_index: change.type_index,
        id: change.id,
        project_id: row.meta.project_id,
        parent_id: row.meta.parent_id,
        what: What::Row(row),
    }
}

fn gone(change: Change, made: Option<i64>) -> Told {
    Told {
        position: change.position,
        kind: Kind::Deleted,
        type_index: change.type_index,
        id: change.id,
        project_id: change.project_id,
        parent_id: change.parent_id,
        what: What::Gone { key: change.key, instance_id: change.instance_id, made },
    }
}

#[cfg(test)]
mod tests;
