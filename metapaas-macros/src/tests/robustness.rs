//! Whatever stands in an attribute, the macros answer with items or errors, never with a panic or broken tokens.

use proc_macro2::{TokenStream, TokenTree};
use syn::parse_quote;

use crate::symbols::{ENUM_KEYS, FIELD_KEYS, TYPE_KEYS, VARIANT_KEYS};
use crate::{field_enum, paas_type};

/// Every list of examples with one token left out, doubled, or replaced by one that fits nowhere.
fn broken() -> Vec<TokenStream> {
    let examples =
        |keys: &[crate::symbols::Key]| keys.iter().map(|key| key.example).collect::<Vec<_>>().join(", ");
    let lists = [TYPE_KEYS, FIELD_KEYS, ENUM_KEYS, VARIANT_KEYS].map(examples);
    let more = [
        "len = 1..=99999999999999999999999999999999999999999",
        "range = 1e999..=2",
        "retention = \"99999999999999999999d\"",
        "retention = \"999999999999999999w\"",
        "range = --5..=5",
        "len = ()",
        "key = \"\"",
        "slug = \"é\"",
        "iam()",
        "iam(,)",
        ",",
        ",,",
    ];
    let mut all = Vec::new();
    for text in lists.iter().map(String::as_str).chain(more) {
        let tokens: Vec<TokenTree> = text.parse::<TokenStream>().unwrap().into_iter().collect();
        all.push(tokens.iter().cloned().collect());
        for at in 0..tokens.len() {
            let (before, after) = (&tokens[..at], &tokens[at + 1..]);
            let wrong: TokenStream = "~".parse().unwrap();
            for middle in
                [TokenStream::new(), [tokens[at].clone(), tokens[at].clone()].into_iter().collect(), wrong]
            {
                all.push(before.iter().cloned().chain(middle).chain(after.iter().cloned()).collect());
            }
        }
    }
    all
}

#[test]
fn broken_attributes_give_whole_items() {
    let broken = broken();
    assert!(broken.len() > 300, "{}", broken.len());
    for tokens in broken {
        let expansions = [
            paas_type::expand(
                tokens.clone(),
                parse_quote!(
                    struct Demo {
                        text: String,
                    }
                ),
            ),
            paas_type::expand(
                parse_quote!(slug = "demo"),
                parse_quote!(
                    struct Demo {
                        #[field(#tokens)]
                        text: String,
                    }
                ),
            ),
            paas_type::expand(
                tokens.clone(),
                parse_quote!(
                    enum Demo {
                        #[field(#tokens)]
                        A {
                            #[field(#tokens)]
                            a: u8,
                        },
                    }
                ),
            ),
            field_enum::expand(parse_quote!(
                #[field_enum(#tokens)]
                enum Demo {
                    #[field_enum(#tokens)]
                    A,
                }
            )),
        ];
        for expansion in expansions {
            let text = expansion.to_string();
            assert!(syn::parse2::<syn::File>(expansion).is_ok(), "`{tokens}` gives {text}");
        }
    }
}
