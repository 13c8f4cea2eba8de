//! [`authorize`] and the [`Allowed`] token, which only it can make and without which the store does nothing.

pub mod manifest;
pub mod matrix;
pub mod policy;

use std::sync::Arc;

use uuid::Uuid;

use crate::descriptor::{Action, FieldDescriptor, TypeDescriptor};
use crate::error::Error;
use crate::request::{Actor, RequestContext};
use crate::role::PLATFORM_PROJECT;

/// Proof that the caller's permissions were looked up, and what they are for one action on one type.
#[derive(Clone, Debug)]
pub struct Allowed {
    context: RequestContext,
    ty: &'static TypeDescriptor,
    action: Action,
    sees: Projects,
}

/// A set of projects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Projects {
    /// All that exist.
    All,
    /// These, sorted.
    Some(Arc<[Uuid]>),
}

impl Projects {
    /// Whether `project` is in it.
    pub fn contains(&self, project: Uuid) -> bool {
        match self {
            Self::All => true,
            Self::Some(projects) => projects.binary_search(&project).is_ok(),
        }
    }
}

impl Projects {
    /// Those that are in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::All, some) | (some, Self::All) => some.clone(),
            (Self::Some(some), other) => {
                Self::Some(some.iter().copied().filter(|project| other.contains(*project)).collect())
            }
        }
    }

    /// Whether all of `other` are in it.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Some(_), Self::All) => false,
            (_, Self::Some(others)) => others.iter().all(|project| self.contains(*project)),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Some(projects) if projects.is_empty())
    }
}

/// Looks up what `context`'s actor may do with rows of `ty`. Which rows, the token decides row by row.
pub fn authorize(context: &RequestContext, ty: &'static TypeDescriptor, action: Action) -> Allowed {
    let seeing = if action == Action::List { Action::List } else { Action::Read };
    let sees = projects_with(&context.actor, ty, seeing);
    Allowed { context: context.clone(), ty, action, sees }
}

/// The projects where `actor` may do `action` to rows of `ty`.
pub fn projects_with(actor: &Actor, ty: &TypeDescriptor, action: Action) -> Projects {
    let may = |project: Uuid| policy::allows(&actor.grants, project, ty, action);
    if may(PLATFORM_PROJECT) {
        return Projects::All;
    }
    let own = actor.grants.projects();
    // Nearly always all of them, whose list is made already.
    if own.iter().all(|project| may(*project)) {
        return Projects::Some(Arc::clone(own));
    }
    Projects::Some(own.iter().copied().filter(|project| may(*project)).collect())
}

impl Allowed {
    /// The request it was made for.
    pub const fn context(&self) -> &RequestContext {
        &self.context
    }

    /// The type it is for.
    pub const fn ty(&self) -> &'static TypeDescriptor {
        self.ty
    }

    /// The action it is for.
    pub const fn action(&self) -> Action {
        self.action
    }

    /// The projects whose rows the caller may see.
    pub const fn sees(&self) -> &Projects {
        &self.sees
    }

    /// The projects whose rows the caller may see and do it to.
    pub fn reach(&self) -> Projects {
        self.sees.and(&projects_with(&self.context.actor, self.ty, self.action))
    }

    /// Whether the caller may do it to a row of `project`.
    ///
    /// # Errors
    /// `NotFound` when the caller may not even see the row, `Forbidden` when it may.
    pub fn on_row(&self, project: Uuid, row: &dyn std::fmt::Display) -> Result<(), Error> {
        if !self.sees.contains(project) {
            return Err(Error { hidden: true, ..Error::not_found(format_args!("{} {row}", self.ty.name)) });
        }
        self.in_project(project)
    }

    /// Whether the caller may do it in `project`, e.g. make a row there.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn in_project(&self, project: Uuid) -> Result<(), Error> {
        if policy::allows(&self.context.actor.grants, project, self.ty, self.action) {
            return Ok(());
        }
        Err(Error::forbidden(&self.ty.permission(self.action)).with("project_id", project.to_string()))
    }

    /// Whether the caller may set `field` on rows of `project`.
    pub fn may_set(&self, field: &FieldDescriptor, project: Uuid) -> bool {
        policy::allows_field(&self.context.actor.grants, project, self.ty, field)
    }

    /// The same caller and type, another action: a change is planned on what was read.
    #[must_use]
    pub fn also(&self, action: Action) -> Self {
        authorize(&self.context, self.ty, action)
    }

    /// The same caller and action on another type, for rows below or above.
    #[must_use]
    pub fn for_type(&self, ty: &'static TypeDescriptor) -> Self {
        authorize(&self.context, ty, self.action)
    }
}
