//! What is emitted when there was a mistake: the item, the mistakes, and an impl that only keeps others compiling.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;

use super::emit::framework;
use super::parse::Inert;
use crate::errors::Errors;

/// The item with its mistakes, and, where the item can have one, an inert impl.
pub(crate) fn emit(item: TokenStream, inert: Option<&Inert>, errors: Errors) -> TokenStream {
    let errors = errors.into_tokens();
    let implementation = inert.map(|Inert { ident, framework: given }| {
        let (framework, name) = (framework(given.as_ref()), ident.unraw().to_string());
        quote! {
            const _: () = {
                use #framework::__private as mp;
                #[automatically_derived]
                impl mp::PaasType for #ident {
                    const DESCRIPTOR: &'static mp::TypeDescriptor = &mp::instance(#name, "", "");
                    fn to_spec(&self) -> mp::Spec {
                        mp::Spec::new()
                    }
                    fn from_spec(_: &mp::Spec) -> mp::Result<Self, mp::FieldError> {
                        mp::Result::Err(mp::inert())
                    }
                }
            };
        }
    });
    quote!(#item #errors #implementation)
}
