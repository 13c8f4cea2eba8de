//! Entry points of the attribute macros. Their documentation is on the re-exports in `metapaas-core`.
//!
//! Each macro is a pipeline of plain functions over tokens: parse, model, check, emit or fall back.

mod errors;
mod field_enum;
mod grammar;
mod paas_type;
mod symbols;

#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

/// Makes a struct a PaaS type. See `metapaas_core::paas_type`.
#[proc_macro_attribute]
pub fn paas_type(attribute: TokenStream, item: TokenStream) -> TokenStream {
    paas_type::expand(attribute.into(), item.into()).into()
}

/// Makes an enum of plain names a field type. See `metapaas_core::FieldEnum`.
#[proc_macro_derive(FieldEnum, attributes(field_enum))]
pub fn field_enum(item: TokenStream) -> TokenStream {
    field_enum::expand(item.into()).into()
}
