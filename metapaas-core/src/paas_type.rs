//! [`PaasType`]: a Rust struct that the framework hosts. `#[paas_type]` implements it; so may a person.

use crate::descriptor::{Spec, TypeDescriptor};
use crate::field_type::FieldError;

/// A struct whose rows the framework keeps, serves and reconciles.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a PaaS type",
    note = "put `#[paas_type(...)]` on the struct, or implement `metapaas_core::PaasType` by hand"
)]
pub trait PaasType: Sized + Send + Sync + 'static {
    /// What the type is.
    const DESCRIPTOR: &'static TypeDescriptor;

    /// The spec fields as canonical JSON, one entry for each field of the descriptor.
    fn to_spec(&self) -> Spec;

    /// The struct from spec fields; a field that is not there reads as null.
    ///
    /// # Errors
    /// The first field that is not of its kind.
    fn from_spec(spec: &Spec) -> Result<Self, FieldError>;
}
