//! The tokens of `#[derive(FieldEnum)]`, and the inert ones that stand in when there was a mistake.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Ident;

use super::Model;
use crate::errors::Errors;
use crate::paas_type::framework;

/// Both impls.
pub(super) fn emit(model: &Model) -> TokenStream {
    let variants = model.names.iter().map(|variant| {
        let (name, doc) = (&variant.name, &variant.doc);
        quote!(mp::EnumVariant { name: #name, doc: #doc })
    });
    let (idents, names): (Vec<_>, Vec<_>) =
        model.names.iter().map(|variant| (&variant.ident, &variant.name)).unzip();
    let body = quote! {
        const VARIANTS: &'static [mp::EnumVariant] = &[#(#variants),*];
        fn name(self) -> &'static mp::str {
            match self { #(Self::#idents => #names),* }
        }
        fn parse(name: &mp::str) -> mp::Option<Self> {
            match name {
                #(#names => mp::Option::Some(Self::#idents),)*
                _ => mp::Option::None,
            }
        }
    };
    impls(&model.ident, model, body)
}

/// The mistakes, and impls that only keep others compiling.
pub(super) fn fallback(model: &Model, possible: bool, errors: Errors) -> TokenStream {
    let errors = errors.into_tokens();
    let impls = possible.then(|| {
        let body = quote! {
            const VARIANTS: &'static [mp::EnumVariant] = &[];
            fn name(self) -> &'static mp::str {
                ""
            }
            fn parse(_: &mp::str) -> mp::Option<Self> {
                mp::Option::None
            }
        };
        impls(&model.ident, model, body)
    });
    quote!(#errors #impls)
}

fn impls(ident: &Ident, model: &Model, field_enum: TokenStream) -> TokenStream {
    let framework = framework(model.framework.as_ref());
    quote! {
        const _: () = {
            use #framework::__private as mp;
            #[automatically_derived]
            impl mp::FieldEnum for #ident {
                #field_enum
            }
            #[automatically_derived]
            impl mp::FieldType for #ident {
                const KIND: mp::FieldKind = mp::enum_kind::<Self>();
                fn to_json(&self) -> mp::JsonValue {
                    mp::enum_to_json(self)
                }
                fn from_json(value: &mp::JsonValue) -> mp::Result<Self, mp::FieldError> {
                    mp::enum_from_json(value)
                }
            }
        };
    }
}
