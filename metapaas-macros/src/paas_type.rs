//! The pipeline of `#[paas_type]`: parse to a model, check it, emit it, or emit an inert impl with the mistakes.

mod check;
mod emit;
mod fallback;
mod model;
mod parse;

use proc_macro2::TokenStream;

use crate::errors::Errors;

pub(crate) use self::emit::framework;
pub(crate) use self::parse::doc_of;

/// The struct and its descriptor, or the struct, an inert impl and every mistake.
pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let parsed = parse::parse(attribute, item, &mut errors);
    if let Some(model) = &parsed.model {
        check::check(model, &mut errors);
    }
    match parsed.model {
        Some(model) if errors.is_empty() => emit::emit(parsed.item, &model),
        _ => fallback::emit(parsed.item, parsed.inert.as_ref(), errors),
    }
}
