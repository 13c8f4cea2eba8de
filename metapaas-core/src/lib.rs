//! The MetaPaaS framework: a type is described once, everything else is functions over the description.

extern crate self as metapaas_core;

pub mod action;
pub mod agents;
pub mod authn;
pub mod authz;
pub mod calls;
pub mod command;
pub mod describe;
pub mod descriptor;
pub mod error;
pub mod field_type;
pub mod hook;
pub mod iam;
pub mod instance_metrics;
pub mod logs;
pub mod migration;
pub mod offer;
pub mod openapi;
pub mod operations;
pub mod paas_type;
pub mod placement;
pub mod plan;
pub mod plugin;
pub mod provider;
pub mod query;
pub mod reconcile;
pub mod registry;
pub mod request;
pub mod resource;
pub mod role;
pub mod route;
pub mod routers;
pub mod runs;
pub mod secret;
pub mod status;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod uploads;
pub mod validate;
pub mod watch;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

/// The node agent: drivers, services, engines.
pub use metapaas_agent as agent;

pub use crate::action::{ActionCall, ActionError};
pub use crate::descriptor::{FieldProblem, Spec, TypeDescriptor};
pub use crate::field_type::{
    BucketName, Cidr, DnsName, Domain, Email, FieldEnum, FieldType, InstancePath, Json, Map, Ref, Secret,
};
pub use crate::hook::{Admission, ChangeKind, Denial, LeaveCall};
pub use crate::offer::{Bound, Link, LinkState};
pub use crate::paas_type::PaasType;
pub use crate::plan::{Child, Desired, NewRow, NodeSpec, PlanError, Planned, Problem};
pub use crate::plugin::Plugin;
pub use crate::role::Role;
pub use crate::route::{ObservedNode, Route};
pub use crate::store::migrate;

/// Makes an enum of plain names a field type; see the [chapter on enums](macro@paas_type#on-an-enum).
pub use metapaas_macros::FieldEnum;

#[doc = include_str!("../../book/src/attributes.md")]
pub use metapaas_macros::paas_type;
