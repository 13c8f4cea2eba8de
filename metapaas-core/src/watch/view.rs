//! What of a collection one watch is shown: which rows, and what of each.

use std::collections::HashSet;

use uuid::Uuid;

use super::fold::{Kind, Told, What};
use super::frame::Render;
use crate::query::Filter;
use crate::resource::Resource;

/// Rows that are remembered because the watch was shown them, or was told that it is not shown them any more.
const REMEMBERED_MAX: usize = 16_384;

/// Which rows a watch is shown and how they are written.
#[derive(Default)]
pub struct View {
    /// Which rows are shown; all are when absent.
    pub filter: Option<Filter>,
    /// How a row is written; whole when absent.
    pub render: Option<Box<Render>>,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

/// A view, and what of it the watch has been shown.
#[derive(Debug)]
pub(super) struct Viewer {
    view: View,
    shown: HashSet<Uuid>,
    hidden: HashSet<Uuid>,
    /// Whether `shown` is all that the client has.
    is_whole: bool,
}

impl Viewer {
    /// `is_whole`: the watch begins with all rows, so that it is known what the client has.
    pub(super) fn new(view: View, is_whole: bool) -> Self {
        Self { view, shown: HashSet::new(), hidden: HashSet::new(), is_whole }
    }

    /// Whether all rows are shown in whole, so that one text serves all watches.
    pub(super) const fn is_plain(&self) -> bool {
        self.view.filter.is_none() && self.view.render.is_none()
    }

    pub(super) fn render(&self) -> Option<&Render> {
        self.view.render.as_deref()
    }

    /// Which rows are shown; all are when absent.
    pub(super) const fn filter(&self) -> Option<&Filter> {
        self.view.filter.as_ref()
    }

    /// Whether a row of the beginning is shown.
    pub(super) fn begins_with(&mut self, row: &Resource) -> bool {
        let Some(filter) = &self.view.filter else { return true };
        let shows = filter.accepts(row);
        if shows {
            self.remember(row.meta.id);
        }
        shows
    }

    /// What this watch is told of what there is to tell. A row that no longer matches is deleted for it, one that
    /// begins to match is added. A client that came back may hear of a deletion of a row that it does not have.
    pub(super) fn kind(&mut self, told: &Told, kind: Kind) -> Option<Kind> {
        let Some(filter) = &self.view.filter else { return Some(kind) };
        let shows = kind != Kind::Deleted && matches!(&told.what, What::Row(row) if filter.accepts(&**row));
        if shows {
            self.hidden.remove(&told.id);
            let was_shown = self.shown.contains(&told.id);
            let was_whole = self.is_whole;
            self.remember(told.id);
            return Some(match kind {
                _ if was_shown => Kind::Modified,
                _ if was_whole => Kind::Added,
                kind => kind,
            });
        }
        if self.shown.remove(&told.id) {
            return Some(Kind::Deleted);
        }
        let may_have_it = !self.is_whole && kind != Kind::Added;
        match kind {
            _ if !may_have_it => None,
            Kind::Deleted => (!self.hidden.remove(&told.id)).then_some(Kind::Deleted),
            _ if self.hidden.contains(&told.id) => None,
            _ => {
                if self.hidden.len() < REMEMBERED_MAX {
                    self.hidden.insert(told.id);
                }
                Some(Kind::Deleted)
            }
        }
    }

    fn remember(&mut self, id: Uuid) {
        if self.shown.len() < REMEMBERED_MAX || self.shown.contains(&id) {
            self.shown.insert(id);
        } else {
            self.is_whole = false;
        }
    }
}
