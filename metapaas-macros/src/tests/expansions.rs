//! Expansions of `tests/expand/*.rs`, compared with `*.expanded` beside them, and the budget of their size.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Attribute, Item, Meta, parse_quote};

use crate::errors::Errors;
use crate::grammar::{self, Entry};
use crate::symbols::{PAAS_TYPE, Place, TYPE_KEYS};
use crate::{field_enum, paas_type};

/// What an expansion may add: so many lines, so many per field, so many per optional key of the type.
///
/// Counted on the formatted expansion without documentation, whose length says nothing of the macro. A method chain
/// counts as one line however wide it is: where it is broken depends on the author's names, not on the macro.
const BUDGET: (usize, usize, usize) = (15, 4, 2);

#[test]
fn expansions_are_as_checked_in() {
    let mut different = Vec::new();
    for input in inputs() {
        let file = parse(&input);
        let expanded = format(file.items.into_iter().flat_map(expand).collect());
        let golden = input.with_extension("expanded");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&golden, &expanded).unwrap();
        }
        if fs::read_to_string(&golden).unwrap_or_default() != expanded {
            different.push(format!("{}:\n{expanded}", golden.display()));
        }
    }
    assert!(different.is_empty(), "run with UPDATE=1 if this is meant:\n{}", different.join("\n"));
}

#[test]
fn expansions_fit_the_budget() {
    let mut checked = 0;
    for input in inputs() {
        for item in parse(&input).items {
            let Item::Struct(mut item) = item else { continue };
            let undocumented = |attribute: &Attribute| !attribute.path().is_ident("doc");
            item.attrs.retain(undocumented);
            item.fields.iter_mut().for_each(|field| field.attrs.retain(undocumented));
            let fields = item.fields.len();
            let options = optional_keys(&item.attrs);
            let tokens = expand(Item::Struct(item.clone()));
            let added = syn::parse2::<syn::File>(tokens).unwrap().items.split_off(1);
            let text = format(added.iter().map(ToTokens::to_token_stream).collect());
            let lines =
                text.lines().filter(|line| !line.trim_start().starts_with('.') || line.contains(".."));
            let (lines, budget) = (lines.count(), BUDGET.0 + BUDGET.1 * fields + BUDGET.2 * options);
            assert!(
                lines <= budget,
                "{}: {lines} lines for {fields} fields and {options} keys, {budget} allowed\n{text}",
                item.ident
            );
            checked += 1;
        }
    }
    assert!(checked >= 6, "only {checked} structs were measured");
}

#[test]
fn a_framework_of_another_name_is_all_that_an_expansion_names() {
    let structure = paas_type::expand(
        parse_quote!(slug = "demo", crate = framework),
        parse_quote!(
            struct Demo {
                #[field(output)]
                at: Option<u8>,
            }
        ),
    );
    let enumeration = field_enum::expand(parse_quote! {
        #[field_enum(crate = framework)]
        enum Theme { Light }
    });
    for tokens in [structure, enumeration] {
        let text = tokens.to_string();
        assert!(text.contains("framework :: __private") && !text.contains("metapaas_core"), "{text}");
    }
}

/// How many keys stand on the type besides those that every type has.
fn optional_keys(attributes: &[Attribute]) -> usize {
    let tokens = take(&mut attributes.to_vec(), "paas_type").unwrap_or_default();
    let (mut entries, mut errors) = (Vec::new(), Errors::default());
    grammar::read(tokens, PAAS_TYPE, TYPE_KEYS, &mut entries, &mut errors);
    let optional =
        |entry: &&Entry| !matches!(entry.key.place, Place::InstanceRequired | Place::ChildRequired);
    entries.iter().filter(optional).count()
}

fn inputs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expand");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut inputs: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect();
    inputs.sort();
    assert!(inputs.len() >= 8, "{inputs:?}");
    inputs
}

fn parse(path: &Path) -> syn::File {
    syn::parse_file(&fs::read_to_string(path).unwrap()).unwrap()
}

fn format(tokens: TokenStream) -> String {
    prettyplease::unparse(&syn::parse2(tokens).unwrap())
}

/// The item with our attribute expanded, as rustc would.
fn expand(mut item: Item) -> TokenStream {
    match &mut item {
        Item::Struct(structure) => match take(&mut structure.attrs, "paas_type") {
            Some(arguments) => paas_type::expand(arguments, structure.to_token_stream()),
            None => item.into_token_stream(),
        },
        Item::Enum(enumeration) => {
            let mut tokens = enumeration.to_token_stream();
            tokens.extend(field_enum::expand(tokens.clone()));
            tokens
        }
        _ => TokenStream::new(),
    }
}

fn take(attributes: &mut Vec<Attribute>, name: &str) -> Option<TokenStream> {
    let position = attributes.iter().position(|attribute| attribute.path().is_ident(name))?;
    match attributes.remove(position).meta {
        Meta::List(list) => Some(list.tokens),
        _ => Some(TokenStream::new()),
    }
}
