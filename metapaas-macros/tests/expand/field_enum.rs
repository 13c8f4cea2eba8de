//! An enum with docs and a name of its own.

/// How much may be done.
#[derive(Clone, Copy, Debug, PartialEq, FieldEnum)]
pub enum Access {
    /// Nothing may change.
    ReadOnly,
    ReadWrite,
    #[field_enum(name = "admin")]
    Everything,
}
