//! The MetaPaaS framework: a type is described once, everything else is functions over the description.

extern crate self as metapaas_core;

pub mod descriptor;
pub mod field_type;
pub mod migration;
pub mod paas_type;
pub mod plan;
pub mod provider;
pub mod role;
pub mod secret;
pub mod store;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use crate::descriptor::{FieldProblem, Spec, TypeDescriptor};
pub use crate::field_type::{
    BucketName, Cidr, DnsName, Domain, Email, FieldEnum, FieldType, Json, Map, Ref, Secret,
};
pub use crate::paas_type::PaasType;
pub use crate::role::Role;
