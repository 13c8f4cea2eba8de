//! [`Model`] to tokens: the struct as written, its descriptor, and the two conversions.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt;

use super::model::{Field, Model, RowKey};
use crate::grammar::Interval;

/// The whole expansion.
pub(crate) fn emit(item: TokenStream, model: &Model) -> TokenStream {
    let ident = &model.ident;
    let framework = framework(model.framework.as_ref());
    let (base, options) = (base(model), options(model));
    let put = model.fields.iter().map(|field| {
        let (ident, name, of) = (&field.ident, field.ident.to_string(), of(field));
        quote!(.put(#name, &#of, &self.#ident))
    });
    let get = model.fields.iter().map(|field| {
        let (ident, name, of) = (&field.ident, field.ident.to_string(), of(field));
        quote!(#ident: #of.get(spec, #name)?)
    });
    quote! {
        #item
        const _: () = {
            use #framework::__private as mp;
            #[automatically_derived]
            impl mp::PaasType for #ident {
                const DESCRIPTOR: &'static mp::TypeDescriptor = &mp::TypeDescriptor {
                    #(#options,)*
                    ..#base
                };
                fn to_spec(&self) -> mp::Spec {
                    mp::entries() #(#put)* .spec()
                }
                fn from_spec(spec: &mp::Spec) -> mp::Result<Self, mp::FieldError> {
                    mp::Result::Ok(Self { #(#get),* })
                }
            }
        };
    }
}

/// The path of the framework's crate.
pub(crate) fn framework(given: Option<&syn::Path>) -> TokenStream {
    given.map_or_else(|| quote!(::metapaas_core), |path| quote!(#path))
}

fn base(model: &Model) -> TokenStream {
    let name = model.ident.unraw().to_string();
    let doc = &model.doc;
    match (&model.parent, &model.plural) {
        (Some(parent), Some(plural)) => {
            let (parent, plural) = (&parent.value, &plural.value);
            quote!(mp::child::<#parent>(#name, #plural, #doc))
        }
        _ => {
            let slug = model.slug.as_ref().map(|slug| &slug.value);
            quote!(mp::instance(#name, #slug, #doc))
        }
    }
}

fn options(model: &Model) -> Vec<TokenStream> {
    let mut options = Vec::new();
    if !model.fields.is_empty() {
        let fields = model.fields.iter().map(field);
        options.push(quote!(fields: &[#(#fields),*]));
    }
    if let Some(segment) = &model.segment {
        let segment = &segment.value;
        options.push(quote!(segment: mp::Some(#segment)));
    }
    match model.row_key() {
        RowKey::Name => {}
        RowKey::Field(field) => options.push(quote!(key: mp::Key::Field(#field))),
        RowKey::Id => options.push(quote!(key: mp::Key::Id)),
    }
    if let Some(scope) = &model.scope {
        let scope = &scope.value;
        options.push(quote!(scope: mp::Scope::#scope));
    }
    if let Some(element) = &model.element {
        let element = &element.value;
        options.push(quote!(element: #element));
    }
    if !model.policy.is_empty() {
        let (actions, roles): (Vec<_>, Vec<_>) = model.policy.iter().cloned().unzip();
        options.push(quote!(policy: &[#((mp::Action::#actions, mp::Role::#roles)),*]));
    }
    if let Some(seconds) = model.retention {
        let seconds = Literal::u64_unsuffixed(seconds);
        options.push(quote!(retention_seconds: mp::Some(#seconds)));
    }
    if let Some(check) = &model.check {
        let (new, old) = parameters();
        options.push(quote! {
            check: mp::Some(|#new, #old| mp::check_type::<Self>(#check, #new, #old))
        });
    }
    options
}

fn field(field: &Field) -> TokenStream {
    let (name, doc, of) = (field.ident.to_string(), &field.doc, of(field));
    let mut calls = TokenStream::new();
    if field.mutable.is_some() {
        calls.extend(quote!(.mutable()));
    }
    if let Some(metric) = &field.metric {
        let metric = &metric.value;
        calls.extend(quote!(.metric(mp::Metric::#metric)));
    }
    if let Some(role) = &field.iam {
        let role = &role.value;
        calls.extend(quote!(.iam(mp::Role::#role)));
    }
    if let Some(default) = &field.default {
        let default = &default.value;
        calls.extend(quote!(.default(|| #of.json(#default))));
    }
    if let Some(unique) = &field.unique {
        let unique = &unique.value;
        calls.extend(quote!(.unique(mp::Unique::#unique)));
    }
    if let Some(len) = &field.len {
        let (least, greatest) = lengths(len);
        calls.extend(quote!(.len(#least, #greatest)));
    }
    if let Some(Interval { least: Some(least), greatest: Some(greatest), .. }) = &field.range {
        let (least, greatest) = (number(least.number), number(greatest.number));
        calls.extend(quote!(.range(#least, #greatest)));
    }
    if let Some(pattern) = &field.pattern {
        calls.extend(quote!(.pattern(#pattern)));
    }
    if let Some(old) = &field.renamed_from {
        let old = &old.value;
        calls.extend(quote!(.renamed_from(#old)));
    }
    if let Some(check) = &field.check {
        let (check, (new, old)) = (&check.value, parameters());
        calls.extend(quote!(.check(|#new, #old| #of.check(#check, #new, #old))));
    }
    quote!(#of.field(#name, #doc) #calls)
}

/// The gate that a field's type is asked through.
///
/// Every use of a type goes through the same function with the same bound, so that rustc, which drops errors that
/// are equal, reports a wrong type once.
fn of(field: &Field) -> TokenStream {
    let ty = &field.ty;
    if field.output.is_some() { quote!(mp::output_of::<#ty>()) } else { quote!(mp::of::<#ty>()) }
}

fn lengths(len: &Interval) -> (Literal, Literal) {
    let length = |limit: Option<&crate::grammar::Limit>, open: u64| {
        let integer = limit.and_then(|limit| limit.integer).and_then(|integer| u64::try_from(integer).ok());
        Literal::u64_unsuffixed(integer.unwrap_or(open))
    };
    (length(len.least.as_ref(), 0), length(len.greatest.as_ref(), u64::from(u32::MAX)))
}

fn number(number: f64) -> TokenStream {
    let literal = Literal::f64_unsuffixed(number.abs());
    if number < 0.0 { quote!(-#literal) } else { quote!(#literal) }
}

/// Parameters that no name of the author's can meet: a check may be a function called `new`.
fn parameters() -> (Ident, Ident) {
    (Ident::new("new", Span::mixed_site()), Ident::new("old", Span::mixed_site()))
}
