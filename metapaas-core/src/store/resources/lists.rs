//! Pages of lists: which rows the caller may see, after which row, by a statement that is written once per shape.

mod shape;
mod statement;

use uuid::Uuid;

use self::shape::{Scope, Shape};
pub(in crate::store) use self::statement::{condition, first_args, narrow};
use super::Page;
use super::rows::read_resource;
use crate::authz::{Allowed, Projects};
use crate::descriptor::Action;
use crate::error::Error;
use crate::query::{After, Filter, Listing};
use crate::registry::RegisteredType;
use crate::resource::Resource;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::events::RowsOf;
use crate::store::value::Arg;

impl Store {
    /// Reads a page of the rows that the caller may see, oldest first; `parent` is the row above for children.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `Unavailable`.
    pub async fn list(
        &self,
        allowed: &Allowed,
        registered: &RegisteredType,
        parent: Option<&Resource>,
        project: Option<Uuid>,
        after: Option<Uuid>,
        limit: u16,
    ) -> Result<Page, Error> {
        let after = after.map(|id| After { keys: Vec::new(), id });
        let listing = Listing { after, ..Listing::default() };
        self.find(allowed, registered, parent, project, &listing, limit).await
    }

    /// The same with a filter and an order.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `Unavailable`.
    pub async fn find(
        &self,
        allowed: &Allowed,
        registered: &RegisteredType,
        parent: Option<&Resource>,
        project: Option<Uuid>,
        listing: &Listing,
        limit: u16,
    ) -> Result<Page, Error> {
        if let Some(parent) = parent {
            let above = allowed.for_type(parent.ty).also(Action::Read);
            above.on_row(parent.meta.project_id, &parent.key())?;
            allowed.in_project(parent.meta.project_id)?;
        }
        let narrowed = match (project, allowed.sees()) {
            // Children belong to their parent's project, which was looked at.
            _ if parent.is_some() => Projects::All,
            (Some(project), sees) if sees.contains(project) => Projects::Some([project].into()),
            (Some(_), _) => Projects::Some([].into()),
            (None, sees) => sees.clone(),
        };
        let scope = match &narrowed {
            Projects::All => Scope::Everywhere,
            Projects::Some(projects) if projects.is_empty() => {
                return Ok(Page { items: Vec::new(), has_more: false });
            }
            Projects::Some(projects) => Scope::Projects(projects.len()),
        };
        let mut args = vec![
            Arg::Uuid(parent.map(|parent| parent.meta.id)),
            Arg::Uuid(listing.after.as_ref().map(|after| after.id)),
            // One more than asked for tells whether there is a next page.
            Arg::from(i64::from(limit) + 1),
        ];
        if let Projects::Some(projects) = &narrowed {
            args.extend(projects.iter().map(|project| Arg::from(*project)));
        }
        let statements = self.statements(registered);
        let later = usize::from(listing.after.is_some());
        let rows = match scope {
            Scope::Everywhere if listing.is_plain() => {
                self.database.fetch("list", &statements.list_all[later], &args).await?
            }
            Scope::Projects(1) if listing.is_plain() => {
                self.database.fetch("list", &statements.list_one[later], &args).await?
            }
            scope => {
                let dialect = self.database.dialect();
                let shape = Shape::of(dialect, registered, scope, listing, &mut args);
                let statement = self.lists.get_with_by_ref(shape.key(), || {
                    statement::write(dialect, registered.ty, scope, listing)
                });
                self.database.fetch("list", &statement, &args).await?
            }
        };
        let has_more = rows.len() > usize::from(limit);
        let items = rows
            .iter()
            .take(limit.into())
            .map(|row| read_resource(registered.ty, row))
            .collect::<Result<_, StoreError>>()?;
        Ok(Page { items, has_more })
    }

    /// The next rows of a collection that a filter accepts, in the order of their ids: for a watch's beginning.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn rows_after(
        &self,
        of: RowsOf<'_>,
        filter: Option<&Filter>,
        after: Option<Uuid>,
        limit: u16,
    ) -> Result<Vec<Resource>, StoreError> {
        let parent = of.under.map(|(_, parent)| parent);
        let mut args = vec![Arg::Uuid(parent), Arg::Uuid(after), Arg::from(i64::from(limit))];
        let scope = match of.projects {
            // Children belong to their parent's project, which was looked at.
            _ if parent.is_some() => Scope::Everywhere,
            Projects::All => Scope::Everywhere,
            Projects::Some(projects) if projects.is_empty() => return Ok(Vec::new()),
            Projects::Some(projects) => {
                args.extend(projects.iter().map(|project| Arg::from(*project)));
                Scope::Projects(projects.len())
            }
        };
        let listing = Listing {
            filter: filter.cloned().unwrap_or_default(),
            after: after.map(|id| After { keys: Vec::new(), id }),
            ..Listing::default()
        };
        let dialect = self.database.dialect();
        let ty = of.registered.ty;
        let shape = Shape::of(dialect, of.registered, scope, &listing, &mut args);
        let write = || statement::write(dialect, ty, scope, &listing);
        let statement = self.lists.get_with_by_ref(shape.key(), write);
        let rows = self.database.fetch("read rows for a watch", &statement, &args).await?;
        rows.iter().map(|row| read_resource(ty, row)).collect()
    }
}
