//! What a plugin's plan function gets and answers: [`Desired`] in, [`NodeSpec`]s or a whole [`Planned`] out.
//!
//! A plan function is pure and synchronous: same input, same answer. That gives dry runs and audits for free.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use metapaas_protocol::ItemError;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use crate::descriptor::{Spec, TypeDescriptor};
use crate::field_type::FieldError;
use crate::offer::{Bound, Link, Ties};
use crate::paas_type::PaasType;
use crate::resource::Resource;
use crate::route::ObservedNode;

/// An instance as its tenant wants it, with all its children.
#[derive(Clone, Debug)]
pub struct Desired<T> {
    /// What the framework keeps of it.
    pub meta: DesiredMeta,
    /// The struct.
    pub spec: T,
    tree: Arc<DesiredTree>,
}

/// A child or grandchild as its tenant wants it.
#[derive(Clone, Debug)]
pub struct Child<C> {
    /// What the framework keeps of it.
    pub meta: DesiredMeta,
    /// The struct.
    pub spec: C,
}

/// What the framework keeps of every row, as far as plans may depend on it.
#[derive(Clone, Debug)]
pub struct DesiredMeta {
    /// The row's id.
    pub id: Uuid,
    /// The row above it; for an instance, the instance itself.
    pub parent_id: Uuid,
    /// The project it belongs to.
    pub project_id: Uuid,
    /// What paths name it by.
    pub key: String,
    /// The version chosen for the instance; empty for children.
    pub version: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl From<&Resource> for DesiredMeta {
    fn from(row: &Resource) -> Self {
        let meta = &row.meta;
        Self {
            id: meta.id,
            parent_id: meta.parent_id,
            project_id: meta.project_id,
            key: row.key(),
            version: meta.version.clone(),
            created_at: meta.created_at,
        }
    }
}

/// An instance and all rows below it, untyped.
#[derive(Clone, Debug)]
pub struct DesiredTree {
    /// The instance.
    pub instance: DesiredRow,
    /// Its children and grandchildren by type, each in the order they were made.
    pub children: Vec<(&'static TypeDescriptor, Vec<DesiredRow>)>,
    /// Those on their way out, in the same order.
    pub leaving: Vec<(&'static TypeDescriptor, Vec<DesiredRow>)>,
    /// The nodes that it has, oldest first. Quotas are counted without them.
    pub nodes: Vec<ObservedNode>,
    /// Bindings, to others and of others. Quotas are counted without them.
    pub ties: Ties,
    /// Digests of the uploads that are there. Quotas are counted without them.
    pub uploads: Vec<String>,
    /// What the operator has set for the plugin, an object.
    pub settings: Arc<Value>,
}

/// One row, untyped. The spec holds secrets in the open.
#[derive(Clone, Debug)]
pub struct DesiredRow {
    /// What the framework keeps of it.
    pub meta: DesiredMeta,
    /// Its fields.
    pub spec: Spec,
}

impl DesiredTree {
    /// An instance with rows below it, without nodes and settings.
    pub fn new(instance: DesiredRow, children: Vec<(&'static TypeDescriptor, Vec<DesiredRow>)>) -> Self {
        let settings = Arc::new(Value::Object(serde_json::Map::new()));
        let (leaving, nodes, ties, uploads) = (Vec::new(), Vec::new(), Ties::default(), Vec::new());
        Self { instance, children, leaving, nodes, ties, uploads, settings }
    }

    /// All rows of type `C` below the instance, in the order they were made.
    ///
    /// # Errors
    /// When a stored field is not of its kind.
    pub fn children<C: PaasType>(&self) -> Result<Vec<Child<C>>, FieldError> {
        typed(&self.children)
    }
}

impl<T: PaasType> Desired<T> {
    /// Reads the instance of a tree.
    ///
    /// # Errors
    /// When a stored field is not of its kind.
    pub fn new(tree: Arc<DesiredTree>) -> Result<Self, PlanError> {
        let spec = T::from_spec(&tree.instance.spec).map_err(PlanError::Field)?;
        Ok(Self { meta: tree.instance.meta.clone(), spec, tree })
    }

    /// All rows of type `C` below the instance, in the order they were made.
    ///
    /// # Errors
    /// When a stored field is not of its kind.
    pub fn children<C: PaasType>(&self) -> Result<Vec<Child<C>>, PlanError> {
        self.tree.children().map_err(PlanError::Field)
    }

    /// The rows of type `C` that are on their way out, or below one that is: nodes should let go of them.
    ///
    /// # Errors
    /// When a stored field is not of its kind.
    pub fn leaving<C: PaasType>(&self) -> Result<Vec<Child<C>>, PlanError> {
        typed(&self.tree.leaving).map_err(PlanError::Field)
    }

    /// The nodes that the instance has, oldest first. A plan that looks at them still is a function of what it sees: it is
    /// asked again after each report that says something new.
    pub fn nodes(&self) -> &[ObservedNode] {
        &self.tree.nodes
    }

    /// The bindings to other instances that it has, in the order they were made; see [`crate::Plugin::binding`].
    pub fn links(&self) -> &[Link] {
        &self.tree.ties.links
    }

    /// The bindings of other instances that lead to it: what each is given by [`crate::Plugin::offer`] must be accepted.
    pub fn bound(&self) -> &[Bound] {
        &self.tree.ties.bound
    }

    /// Whether the upload of that digest is there, see [`crate::Plugin::uploads`]. The plan is asked again when one comes.
    pub fn has_upload(&self, digest: &str) -> bool {
        self.tree.uploads.iter().any(|one| one == digest)
    }

    /// What the operator has set for the plugin, see [`crate::Plugin::settings`].
    ///
    /// # Errors
    /// When it is not of the form that the plugin declared, which a server finds when it starts.
    pub fn settings<S: DeserializeOwned>(&self) -> Result<S, PlanError> {
        S::deserialize(&*self.tree.settings)
            .map_err(|error| PlanError::Unsatisfiable(format!("the operator's settings: {error}")))
    }
}

/// What a plan answers that does more than to say which nodes there should be.
#[derive(Clone, Debug, Default)]
pub struct Planned {
    /// Nodes to have.
    pub nodes: Vec<NodeSpec>,
    /// Rows to make, of types that the plugin registered with [`crate::Plugin::managed_child`]. One whose key is there
    /// already is left as it is. When rows are made, the plan is asked again with them.
    pub rows: Vec<NewRow>,
    /// Rows to remove, of such types, as `<plural>/<key>`.
    pub gone: Vec<String>,
    /// Values of output fields: by name for the instance; `<plural>/<key>` has an object with those of a child. They
    /// win over what nodes report. Null empties a field.
    pub outputs: BTreeMap<String, Value>,
    /// Children that cannot be served; each has the status ERROR with this reason.
    pub errors: Vec<ItemError>,
    /// Children, by `<plural>/<key>`, that are not in force yet, or not gone yet, and why, for people.
    pub waiting: BTreeMap<String, String>,
    /// Why the instance cannot be as it should before somebody changes something. Nodes are kept as planned; the
    /// status is ERROR with this reason.
    pub problem: Option<Problem>,
    /// What the instance waits for by itself, while its nodes may be as planned already, e.g. a build. It is not ACTIVE
    /// before; the plan is asked again when a node reports something new.
    pub pending: Option<Problem>,
    /// Digests of the uploads that are needed from now on. The others go an hour after they came, or when there is no room
    /// for a new one.
    pub uploads: Vec<String>,
}

/// What keeps an instance from being as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// One word for programs, e.g. `BuildFailed`.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl From<Vec<NodeSpec>> for Planned {
    fn from(nodes: Vec<NodeSpec>) -> Self {
        Self { nodes, ..Self::default() }
    }
}

/// A row right below an instance that its plan wants to be made.
#[derive(Clone, Debug)]
pub struct NewRow {
    /// Its type.
    pub ty: &'static TypeDescriptor,
    /// Its fields, in canonical form.
    pub spec: Spec,
}

impl NewRow {
    /// A row that is `row`, outputs included.
    pub fn of<C: PaasType>(row: &C) -> Self {
        Self { ty: C::DESCRIPTOR, spec: row.to_spec() }
    }
}

fn typed<C: PaasType>(
    rows: &[(&'static TypeDescriptor, Vec<DesiredRow>)],
) -> Result<Vec<Child<C>>, FieldError> {
    let of_type = |ty: &TypeDescriptor| ty.plural == C::DESCRIPTOR.plural && ty.slug == C::DESCRIPTOR.slug;
    let rows = rows.iter().find(|(ty, _)| of_type(ty)).map(|(_, rows)| rows.as_slice());
    rows.unwrap_or_default()
        .iter()
        .map(|row| Ok(Child { meta: row.meta.clone(), spec: C::from_spec(&row.spec)? }))
        .collect()
}

/// A node that an instance should have.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeSpec {
    /// Its place in the instance, e.g. `web-0`: a node in the same place takes the old one's.
    pub place: String,
    /// The port of its main service.
    pub port: u16,
    /// What the driver gets; its form is the plugin's own.
    pub config: Value,
    /// What the provider gets, e.g. limits.
    pub resources: BTreeMap<String, Value>,
}

impl NodeSpec {
    /// `count` like nodes in the places `<group>-0`, `<group>-1` ...
    pub fn replicas(count: u32, group: &str, port: u16, config: &Value) -> Vec<Self> {
        (0..count).map(|index| Self::new(format!("{group}-{index}"), port, config.clone())).collect()
    }

    /// One node.
    pub fn new(place: impl Into<String>, port: u16, config: Value) -> Self {
        Self { place: place.into(), port, config, resources: BTreeMap::new() }
    }
}

/// Why no plan could be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A stored field is not of its kind.
    #[error("read the desired state")]
    Field(#[source] FieldError),
    /// It waits for another resource; it is planned again when that one changes.
    #[error("{message}")]
    Blocked {
        /// Id of the resource that it waits for.
        on: Uuid,
        /// What it waits for, for people.
        message: String,
    },
    /// The plugin cannot serve this spec, for a reason that only a new spec can mend.
    #[error("{0}")]
    Unsatisfiable(String),
}
