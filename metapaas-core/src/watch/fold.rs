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
    /// What is left of it.
    Gone { key: String, instance_id: Uuid },
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
    /// Rows by id that are ahead of the steps, each with whether it is new.
    ahead: HashMap<Uuid, (Box<Resource>, bool)>,
    most: usize,
    untold: HashSet<Uuid>,
}

impl Fold {
    pub(super) fn new(most: usize) -> Self {
        Self { ahead: HashMap::new(), most, untold: HashSet::new() }
    }

    /// Rows that were made and have not been told of.
    pub(super) fn into_untold(self) -> HashSet<Uuid> {
        let mut untold = self.untold;
        untold.extend(self.ahead.into_iter().filter(|(_, (_, is_new))| *is_new).map(|(id, _)| id));
        untold
    }

    /// Steps to `upto`, given all changes between the last step and there, and the rows that they name as they were
    /// at some moment after those changes could be seen.
    pub(super) fn step(
        &mut self,
        changes: Vec<Change>,
        mut rows: HashMap<Uuid, Resource>,
        upto: i64,
    ) -> Vec<Told> {
        let mut last: BTreeMap<Uuid, (Change, bool)> = BTreeMap::new();
        for change in changes {
            let is_created = change.action == ChangeAction::Created;
            let is_new = is_created || last.get(&change.id).is_some_and(|(_, is_new)| *is_new);
            last.insert(change.id, (change, is_new));
        }
        let mut told = Vec::with_capacity(last.len());
        for (id, (change, is_new)) in last {
            let ahead = self.ahead.remove(&id);
            let was_untold = self.untold.remove(&id) | ahead.as_ref().is_some_and(|(_, is_new)| *is_new);
            let is_new = is_new || was_untold;
            if change.action == ChangeAction::Deleted {
                // Who never heard of the row need not hear that it is gone.
                if !is_new {
                    told.push(gone(change));
                }
                continue;
            }
            match rows.remove(&id) {
                Some(row) if row.meta.revision <= upto => told.push(kept(&change, row.into(), is_new)),
                Some(row) => match ahead {
                    // A newer form in its place would be overtaken again before a step reaches it.
                    Some((old, _)) if old.meta.revision > upto => self.keep(id, old, is_new),
                    Some((old, _)) => {
                        told.push(kept(&change, old, is_new));
                        self.keep(id, row.into(), false);
                    }
                    None => self.keep(id, row.into(), is_new),
                },
                // It is gone by now; the change that says so comes later.
                None if is_new => self.note_untold(id),
                None => {}
            }
        }
        told.sort_unstable_by_key(|one| one.position);
        told
    }

    fn keep(&mut self, id: Uuid, row: Box<Resource>, is_new: bool) {
        if self.ahead.len() < self.most {
            self.ahead.insert(id, (row, is_new));
        } else if is_new {
            self.note_untold(id);
        }
    }

    fn note_untold(&mut self, id: Uuid) {
        if self.untold.len() < UNTOLD_MAX {
            self.untold.insert(id);
        }
    }
}

fn kept(change: &Change, row: Box<Resource>, is_new: bool) -> Told {
    Told {
        position: row.meta.revision,
        kind: if is_new { Kind::Added } else { Kind::Modified },
        type_index: change.type_index,
        id: change.id,
        project_id: row.meta.project_id,
        parent_id: row.meta.parent_id,
        what: What::Row(row),
    }
}

fn gone(change: Change) -> Told {
    Told {
        position: change.position,
        kind: Kind::Deleted,
        type_index: change.type_index,
        id: change.id,
        project_id: change.project_id,
        parent_id: change.parent_id,
        what: What::Gone { key: change.key, instance_id: change.instance_id },
    }
}

#[cfg(test)]
mod tests;
