//! Actions of a type: what they are called, what they take, and the pure function that says what they change.
//!
//! An action is a change of the desired state like any other: it is stored, raises the generation, and nodes act on
//! it. So it survives a crash, can be tried with a dry run, and succeeds when the nodes have done it. The exception is
//! [`RUN`], which changes nothing: a command is run for who waits for it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::descriptor::{FieldDescriptor, Spec};
use crate::field_type::{FieldError, FieldType};
use crate::paas_type::PaasType;
use crate::plan::{Child, Desired, DesiredMeta, DesiredTree, PlanError};

/// The action that every type with generated secrets has from the framework.
pub const ROTATE: &str = "rotate";

/// The action that every type with nodes has from the framework: reading what they write.
pub const LOGS: &str = "logs";

/// The action of types whose plugin declares [`crate::Plugin::runs`]: a one-off command on one of the nodes.
pub const RUN: &str = "run";

/// Words that a command may have.
const WORDS: u64 = 256;

/// An action of a type.
#[derive(Clone)]
pub struct ActionDescriptor {
    /// What paths and permissions call it, e.g. `restart`.
    pub verb: &'static str,
    /// What it does, for people.
    pub doc: &'static str,
    /// What its body may say. They are checked as fields are.
    pub parameters: Vec<FieldDescriptor>,
    /// What it changes.
    pub run: ActionRun,
}

/// What an action changes.
#[derive(Clone)]
pub enum ActionRun {
    /// What a plugin's function answers.
    Declared(ActionFn),
    /// Secrets get new values from their defaults.
    Rotate,
    /// Nothing: a command is run on the node that the function names.
    Command(ChooseFn),
}

/// Names the place of the node that is to run a command of an instance, or says why there is none.
pub type ChooseFn = Arc<dyn Fn(Arc<DesiredTree>) -> Result<String, ActionError> + Send + Sync>;

/// An action's function with its type taken off: the row's spec in, the spec that it should have out.
pub type ActionFn = Arc<dyn Fn(&Spec, &ActionCall) -> Result<Spec, ActionError> + Send + Sync>;

/// What an action's function sees beside the row's spec.
#[derive(Clone, Debug)]
pub struct ActionCall {
    /// What the framework keeps of the row.
    pub meta: DesiredMeta,
    /// The row's status, e.g. `ACTIVE`.
    pub status: String,
    /// The parameters, each there: a parameter that was not given has its default, or is null.
    pub parameters: Spec,
    /// The time.
    pub now: DateTime<Utc>,
    /// The row's instance and all below it, without nodes.
    pub tree: Arc<DesiredTree>,
}

/// Why an action is not done.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// The row is not in a state that allows it.
    #[error("{0}")]
    Refused(String),
    /// The row is not in a state that allows it, and the answer says more in members of its own.
    #[error("{reason}")]
    RefusedWith {
        /// Why.
        reason: String,
        /// Further members of the answer, such as a count.
        members: serde_json::Map<String, Value>,
    },
    /// A parameter does not fit.
    #[error("{name}: {detail}")]
    Parameter {
        /// Which.
        name: String,
        /// What is wrong and what would be right.
        detail: String,
    },
    /// A stored field or a parameter is not of its kind.
    #[error(transparent)]
    Field(#[from] FieldError),
}

impl From<PlanError> for ActionError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Field(error) => Self::Field(error),
            PlanError::Blocked { message, .. } | PlanError::Unsatisfiable(message) => Self::Refused(message),
        }
    }
}

impl ActionError {
    /// The row is not in a state that allows it, for this reason.
    pub fn refused(reason: impl Into<String>) -> Self {
        Self::Refused(reason.into())
    }

    /// The same, with a member of the answer besides.
    #[must_use]
    pub fn with(self, name: &str, value: impl Into<Value>) -> Self {
        match self {
            Self::Refused(reason) => Self::RefusedWith {
                reason,
                members: serde_json::Map::from_iter([(name.to_owned(), value.into())]),
            },
            Self::RefusedWith { reason, mut members } => {
                members.insert(name.to_owned(), value.into());
                Self::RefusedWith { reason, members }
            }
            other => other,
        }
    }

    /// The parameter `name` does not fit.
    pub fn parameter(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Parameter { name: name.into(), detail: detail.into() }
    }
}

impl ActionCall {
    /// The value of a parameter.
    ///
    /// # Errors
    /// When it is not of type `P`.
    pub fn parameter<P: FieldType>(&self, name: &str) -> Result<P, ActionError> {
        let value = self.parameters.get(name).unwrap_or(&Value::Null);
        P::from_json(value).map_err(|error| error.at(name).into())
    }

    /// All rows of type `C` below the instance, in the order they were made.
    ///
    /// # Errors
    /// When a stored field is not of its kind.
    pub fn children<C: PaasType>(&self) -> Result<Vec<Child<C>>, ActionError> {
        Ok(self.tree.children()?)
    }
}

/// A parameter of an action. It takes the options of fields: `.range(1.0, 60.0)`, `.len(1, 80)`, `.default(...)`.
pub const fn parameter<P: FieldType>(name: &'static str, doc: &'static str) -> FieldDescriptor {
    crate::__private::of::<P>().field(name, doc)
}

impl ActionDescriptor {
    /// An action that a plugin declares.
    pub(crate) fn declared<T: PaasType>(
        verb: &'static str,
        doc: &'static str,
        parameters: Vec<FieldDescriptor>,
        run: fn(T, &ActionCall) -> Result<T, ActionError>,
    ) -> Self {
        let run = move |spec: &Spec, call: &ActionCall| Ok(run(T::from_spec(spec)?, call)?.to_spec());
        Self { verb, doc, parameters, run: ActionRun::Declared(Arc::new(run)) }
    }

    /// The framework's [`RUN`].
    pub(crate) fn command<T: PaasType>(choose: fn(&Desired<T>) -> Result<String, ActionError>) -> Self {
        let command = parameter::<Vec<String>>(
            "command",
            "The program and its arguments, as they are: there is no shell.",
        );
        let seconds = parameter::<Option<u32>>(
            "timeout_seconds",
            "It is ended after so long; the installation's longest time without it.",
        );
        let choose = move |tree| choose(&Desired::new(tree)?);
        Self {
            verb: RUN,
            doc: "Runs a command once, as the services of a node run, and tells what it writes and how it ends.",
            parameters: vec![command.len(1, WORDS), seconds.range(1.0, 86_400.0)],
            run: ActionRun::Command(Arc::new(choose)),
        }
    }

    /// The framework's [`ROTATE`].
    pub(crate) fn rotate() -> Self {
        let fields =
            parameter::<Option<Vec<String>>>("fields", "Names of secrets; all generated ones without it.");
        Self {
            verb: ROTATE,
            doc: "Makes new values of generated secrets. The answer shows them, this once.",
            parameters: vec![fields],
            run: ActionRun::Rotate,
        }
    }
}

/// The secrets that [`ROTATE`] can make anew, as indexes into the type's fields.
pub fn rotatable(fields: &[FieldDescriptor]) -> impl Iterator<Item = usize> {
    let of = |field: &FieldDescriptor| field.is_secret() && field.default.is_some() && !field.output;
    fields.iter().enumerate().filter(move |(_, field)| of(field)).map(|(index, _)| index)
}

impl std::fmt::Debug for ActionDescriptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ActionDescriptor").field("verb", &self.verb).finish_non_exhaustive()
    }
}
