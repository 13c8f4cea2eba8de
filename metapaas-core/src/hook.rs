//! Hooks of a type: what a plugin says of a change beyond the rules of its fields. All are pure: same input, same
//! answer. They run after the fields are found right, and before anything is kept.
//!
//! | hook | sees | may |
//! |---|---|---|
//! | complete | the row as it is to be, and as it was | fill in what follows from the rest |
//! | leave | a row that is to go | refuse, or note what its nodes need to know |
//! | admit | the whole instance as the change would leave it | refuse |

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::action::ActionError;
use crate::descriptor::{FieldProblem, Spec};
use crate::error::{Error, ErrorCode, Problem};
use crate::field_type::FieldError;
use crate::paas_type::PaasType;
use crate::plan::{Child, Desired, DesiredMeta, DesiredRow, DesiredTree, PlanError};

/// The hooks of one type.
#[derive(Clone, Default)]
pub struct Hooks {
    /// Fills in what follows from the rest.
    pub complete: Option<CompleteFn>,
    /// Looks at the whole instance.
    pub admit: Option<AdmitFn>,
    /// Lets a row go.
    pub leave: Option<LeaveFn>,
}

/// [`crate::Plugin::complete`] with its type taken off.
pub type CompleteFn = Arc<dyn Fn(&Spec, Option<&Spec>) -> Result<Spec, FieldError> + Send + Sync>;
/// [`crate::Plugin::admit`] with its types taken off.
pub type AdmitFn = Arc<dyn Fn(Arc<DesiredTree>, &AdmissionRows) -> Result<(), Denial> + Send + Sync>;
/// [`crate::Plugin::leave`] with its type taken off.
pub type LeaveFn = Arc<dyn Fn(&Spec, &LeaveCall) -> Result<Spec, ActionError> + Send + Sync>;

/// What is done to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is made.
    Create,
    /// It changes, also by an action.
    Update,
    /// It goes.
    Delete,
}

/// A change that is about to be kept, untyped.
#[derive(Clone, Debug)]
pub struct AdmissionRows {
    /// What is done.
    pub kind: ChangeKind,
    /// The row as the change would leave it; as it was, when it goes.
    pub row: DesiredRow,
    /// The row as it was; none when it is made.
    pub old: Option<DesiredRow>,
}

/// A change of a row of type `T` that is about to be kept.
#[derive(Clone, Debug)]
pub struct Admission<T> {
    /// What is done.
    pub kind: ChangeKind,
    /// The row as the change would leave it; as it was, when it goes.
    pub row: Child<T>,
    /// The row as it was; none when it is made.
    pub old: Option<Child<T>>,
}

/// What a hook that lets a row go sees beside the row.
#[derive(Clone, Debug)]
pub struct LeaveCall {
    /// What the framework keeps of the row.
    pub meta: DesiredMeta,
    /// Whether the caller said `?force=true`.
    pub force: bool,
    /// The time.
    pub now: DateTime<Utc>,
}

/// Why a change is not made.
#[derive(Debug, thiserror::Error)]
pub enum Denial {
    /// The request is wrong, here.
    #[error("{} problems", .0.len())]
    Invalid(Vec<FieldProblem>),
    /// Something else needs the row.
    #[error("{0}")]
    InUse(String),
    /// The instance is not in a state that allows it.
    #[error("{0}")]
    Refused(String),
    /// What is stored cannot be read.
    #[error("read the desired state")]
    Unreadable(#[from] PlanError),
}

impl Denial {
    /// `field` is wrong.
    pub fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldProblem::new(field, detail)])
    }
}

impl From<Denial> for Error {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::Invalid(problems) => Self::invalid(problems.into_iter().map(problem).collect()),
            Denial::InUse(detail) => Self::new(ErrorCode::InUse, detail),
            Denial::Refused(detail) => Self::new(ErrorCode::InvalidState, detail),
            Denial::Unreadable(error) => Self::internal(error),
        }
    }
}

/// A rule's finding as a part of an answer.
pub(crate) fn problem(found: FieldProblem) -> Problem {
    let pointer = if found.field.is_empty() { String::new() } else { format!("/{}", found.field) };
    Problem::new(pointer, "INVALID_VALUE", found.detail)
}

/// Takes the type off [`crate::Plugin::complete`].
pub(crate) fn complete<T: PaasType>(hook: fn(T, Option<&T>) -> T) -> CompleteFn {
    Arc::new(move |new, old| {
        let old = old.map(T::from_spec).transpose()?;
        Ok(hook(T::from_spec(new)?, old.as_ref()).to_spec())
    })
}

/// Takes the types off [`crate::Plugin::admit`].
pub(crate) fn admit<I: PaasType, T: PaasType>(
    hook: fn(&Desired<I>, &Admission<T>) -> Result<(), Denial>,
) -> AdmitFn {
    fn typed<T: PaasType>(row: &DesiredRow) -> Result<Child<T>, PlanError> {
        let spec = T::from_spec(&row.spec).map_err(PlanError::Field)?;
        Ok(Child { meta: row.meta.clone(), spec })
    }
    Arc::new(move |tree, rows| {
        let row = typed(&rows.row)?;
        let old = rows.old.as_ref().map(typed).transpose()?;
        hook(&Desired::new(tree)?, &Admission { kind: rows.kind, row, old })
    })
}

/// Takes the type off [`crate::Plugin::leave`].
pub(crate) fn leave<T: PaasType>(hook: fn(T, &LeaveCall) -> Result<T, ActionError>) -> LeaveFn {
    Arc::new(move |spec, call| Ok(hook(T::from_spec(spec)?, call)?.to_spec()))
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hooks")
            .field("complete", &self.complete.is_some())
            .field("admit", &self.admit.is_some())
            .field("leave", &self.leave.is_some())
            .finish()
    }
}
