//! `#[derive(FieldEnum)]`: an enum of plain names becomes a field type. Parse, check, emit or fall back.

mod emit;

use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::{Attribute, Data, DeriveInput, Fields, Ident, Meta, Path, Variant};

use crate::errors::Errors;
use crate::grammar::{self, Entry, Value};
use crate::paas_type::doc_of;
use crate::symbols::{CRATE, ENUM_KEYS, FIELD_ENUM, Key, NAME, VARIANT_KEYS};

/// An enum whose variants are names.
struct Model {
    ident: Ident,
    framework: Option<Path>,
    names: Vec<Name>,
}

/// A variant.
struct Name {
    ident: Ident,
    /// Its JSON form.
    name: String,
    doc: String,
}

/// The two impls, or inert ones with every mistake.
pub(crate) fn expand(item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let input = match syn::parse2::<DeriveInput>(item) {
        Ok(input) => input,
        Err(error) => return error.into_compile_error(),
    };
    let framework = keys(&input.attrs, ENUM_KEYS, &mut errors).into_iter().find_map(|entry| {
        match (entry.key.name, entry.value) {
            (CRATE, Some(Value::Path(path))) => Some(path),
            _ => None,
        }
    });
    let mut model = Model { ident: input.ident.clone(), framework, names: Vec::new() };
    let plain = input.generics.params.is_empty();
    if !plain {
        errors.over(&input.generics, "a field enum cannot be generic; remove the parameters");
    }
    match &input.data {
        Data::Enum(data) => {
            for variant in &data.variants {
                let name = parse_variant(variant, &mut errors);
                if let Some(name) = name {
                    model.names.push(name);
                }
            }
            if data.variants.is_empty() {
                errors.at(input.ident.span(), "a field enum needs at least one variant");
            }
            check_twice(&model, &mut errors);
        }
        Data::Struct(data) => {
            errors.at(data.struct_token.span, "`FieldEnum` is for enums of plain names; implement `FieldType` for a struct, or use `Json<T>`");
        }
        Data::Union(data) => {
            errors.at(data.union_token.span, "`FieldEnum` is for enums of plain names, not for unions")
        }
    }
    match errors.is_empty() {
        true => emit::emit(&model),
        false => emit::fallback(&model, plain, errors),
    }
}

fn keys(attributes: &[Attribute], table: &'static [Key], errors: &mut Errors) -> Vec<Entry> {
    let mut entries = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(FIELD_ENUM)) {
        match &attribute.meta {
            Meta::List(meta) => grammar::read(meta.tokens.clone(), FIELD_ENUM, table, &mut entries, errors),
            other => {
                errors.over(other, "expected `#[field_enum(...)]`, such as `#[field_enum(name = \"x\")]`")
            }
        }
    }
    entries
}

fn parse_variant(variant: &Variant, errors: &mut Errors) -> Option<Name> {
    let entries = keys(&variant.attrs, VARIANT_KEYS, errors);
    if !matches!(variant.fields, Fields::Unit) {
        errors.over(
            &variant.fields,
            "a field enum has plain names, without data; use `Json<T>` for values with data",
        );
        return None;
    }
    let mut name = kebab(&variant.ident.unraw().to_string());
    for entry in entries {
        match (entry.key.name, entry.value) {
            (NAME, Some(Value::Text(text))) if is_name(&text.value()) => name = text.value(),
            (NAME, Some(Value::Text(text))) => {
                let given = text.value();
                errors.at(
                    text.span(),
                    format!("`{given}` cannot be a name: it is 1 to 63 letters, digits, `.`, `_` and `-`"),
                );
                return None;
            }
            _ => return None,
        }
    }
    if !is_name(&name) {
        let next = "give one of letters, digits, `.`, `_` and `-` with `#[field_enum(name = \"...\")]`";
        errors.at(variant.ident.span(), format!("`{name}` cannot be a name; {next}"));
        return None;
    }
    Some(Name { ident: variant.ident.clone(), name, doc: doc_of(&variant.attrs) })
}

fn check_twice(model: &Model, errors: &mut Errors) {
    for (index, variant) in model.names.iter().enumerate() {
        let earlier = model.names.iter().take(index).find(|earlier| earlier.name == variant.name);
        if let Some(earlier) = earlier.filter(|earlier| earlier.ident != variant.ident) {
            let (name, first) = (&variant.name, &earlier.ident);
            errors.at(variant.ident.span(), format!("`{first}` has the name `{name}` already; give another with `#[field_enum(name = \"...\")]`"));
        }
    }
}

fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Lower-case words joined by hyphens: `ReadOnly` is `read-only`, `HTTPServer` is `http-server`.
pub(crate) fn kebab(rust: &str) -> String {
    let letters: Vec<char> = rust.chars().collect();
    let mut name = String::new();
    for (index, letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| letters.get(before));
        let after = letters.get(index + 1);
        let starts_word = letter.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_numeric()
                    || after.is_some_and(|after| after.is_lowercase())
            });
        if (starts_word || !letter.is_alphanumeric()) && !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
        if letter.is_alphanumeric() {
            name.extend(letter.to_lowercase());
        }
    }
    name.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::kebab;

    #[test]
    fn names_are_words_joined_by_hyphens() {
        let cases = [
            ("None", "none"),
            ("Aes256", "aes256"),
            ("ReadOnly", "read-only"),
            ("HTTPServer", "http-server"),
            ("S3Bucket", "s3-bucket"),
            ("Tls1_2", "tls1-2"),
            ("A", "a"),
            ("_Hidden_", "hidden"),
        ];
        for (rust, name) in cases {
            assert_eq!(kebab(rust), name);
        }
    }
}
