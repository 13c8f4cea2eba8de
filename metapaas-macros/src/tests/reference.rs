//! The book's page on attributes, made from the table that the parser reads by.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use proc_macro2::TokenStream;
use syn::parse_quote;

use crate::errors::list;
use crate::symbols::{
    ACTIONS, ENUM_KEYS, FIELD_KEYS, Key, Place, RESERVED_FIELDS, RESERVED_KEYS, RESERVED_PLURALS, ROLES,
    TYPE_KEYS, VARIANT_KEYS,
};
use crate::{field_enum, paas_type};

const INTRODUCTION: &str = r##"`#[paas_type(...)]` on a struct makes it a type that MetaPaaS hosts: tables, routes, permissions, command
line and forms follow from it. The struct stays as written; the macro adds a constant that describes it and the
conversions from and to stored rows.

```rust
use metapaas_core::{FieldEnum, paas_type};

/// Object storage.
#[paas_type(slug = "store", retention = "90d")]
pub struct Store {
    /// Cannot change after create.
    pub region: String,
    /// Only owners may set it.
    #[field(mutable, iam = "owner", default = Encryption::None)]
    pub encryption: Encryption,
    /// Set by the platform.
    #[field(output)]
    pub used_bytes: Option<u64>,
}

/// A folder in the store.
#[paas_type(parent = Store, plural = "folders", key = "path")]
pub struct Folder {
    #[field(len = 1..=200)]
    pub path: String,
}

#[derive(Clone, Copy, FieldEnum)]
pub enum Encryption {
    None,
    Aes256,
}
```

Doc comments become the descriptions in OpenAPI, forms and on the command line. A field's type is any type that
implements `FieldType`. All mistakes are reported at once, each at the token that is wrong.

A type that no plugin registers is a warning of the compiler ("struct is never constructed"), as long as the module it
stands in is not public. Keep `mod types;` private and let the crate show no more than `pub fn plugin()`.
"##;

#[test]
fn the_page_of_the_book_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../book/src/attributes.md");
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page, "book/src/attributes.md is not what the parser reads; run with UPDATE=1");
}

fn page() -> String {
    let mut page = format!("# Attributes\n\n{INTRODUCTION}\n");
    section(&mut page, "On a type", "paas_type", TYPE_KEYS);
    section(&mut page, "On a field", "field", FIELD_KEYS);
    let _ = writeln!(
        page,
        "## On an enum\n\n`#[derive(FieldEnum)]` makes an enum of plain names a field type. The enum must be `Copy`. \
         Each variant has a name, its JSON form; doc comments describe the choices.\n"
    );
    keys(&mut page, "field_enum", ENUM_KEYS);
    keys(&mut page, "field_enum", VARIANT_KEYS);
    let _ = write!(
        page,
        "## Names that are taken\n\n\
         Roles are {}. Actions are {}.\n\n\
         Fields that every row has from the framework, and that a struct cannot have: {}, and `name`, but for a child \
         with `key = \"name\"`. Fields are lower-case words joined by underscores.\n\n\
         Plurals of the framework's own: {}.\n\n\
         Keys kept for API versions and refused until these exist: {}.\n\n\
         In the attribute of a struct, a module of yours that is called `mp` is reached as `self::mp`, since generated \
         code uses that name.\n",
        list(ROLES.map(|(name, _)| name)),
        list(ACTIONS.map(|(name, _)| name)),
        list(RESERVED_FIELDS),
        list(RESERVED_PLURALS),
        list(RESERVED_KEYS),
    );
    page
}

fn section(page: &mut String, title: &str, attribute: &str, table: &[Key]) {
    let _ = writeln!(page, "## {title}\n\n| key | value | for |\n|---|---|---|");
    for key in table {
        let _ = writeln!(page, "| `{}` | {} | {} |", key.name, key.form.describe(), key.place.describe());
    }
    page.push('\n');
    keys(page, attribute, table);
}

fn keys(page: &mut String, attribute: &str, table: &[Key]) {
    for Key { name, meaning, example, place, .. } in table {
        let _ = writeln!(
            page,
            "### `{name}` ({})\n\n{meaning}\n\n```text\n#[{attribute}({example})]\n```\n",
            place.describe()
        );
    }
}

/// Each example is taken, and does something.
#[test]
fn every_example_is_right_and_has_an_effect() {
    for key in TYPE_KEYS.iter().chain(FIELD_KEYS).chain(ENUM_KEYS).chain(VARIANT_KEYS) {
        let example: TokenStream = key.example.parse().unwrap();
        let structure = |arguments: TokenStream| {
            paas_type::expand(
                arguments,
                parse_quote!(
                    struct Page {
                        text: String,
                    }
                ),
            )
        };
        let field = |keys: TokenStream| {
            paas_type::expand(
                parse_quote!(slug = "demo"),
                parse_quote!(
                    struct Demo {
                        #[field(#keys)]
                        text: Option<String>,
                    }
                ),
            )
        };
        let (without, with) = match key.place {
            Place::InstanceRequired => (structure(parse_quote!(slug = "a")), structure(example)),
            Place::Instance | Place::Type => {
                (structure(parse_quote!(slug = "demo")), structure(parse_quote!(slug = "demo", #example)))
            }
            Place::ChildRequired | Place::Child => {
                let base: TokenStream = match key.name {
                    "parent" => parse_quote!(plural = "pages"),
                    "plural" => parse_quote!(parent = Demo),
                    _ => parse_quote!(parent = Demo, plural = "pages"),
                };
                let without = match key.place {
                    Place::Child => structure(base.clone()),
                    _ => TokenStream::new(),
                };
                (without, structure(parse_quote!(#base, #example)))
            }
            Place::Field => (field(TokenStream::new()), field(example)),
            Place::Enum => (
                field_enum::expand(parse_quote!(
                    enum Theme {
                        Light,
                    }
                )),
                field_enum::expand(parse_quote!(
                    #[field_enum(#example)]
                    enum Theme {
                        Light,
                    }
                )),
            ),
            Place::Variant => (
                field_enum::expand(parse_quote!(
                    enum Theme {
                        Light,
                    }
                )),
                field_enum::expand(parse_quote!(
                    enum Theme {
                        #[field_enum(#example)]
                        Light,
                    }
                )),
            ),
        };
        assert!(!with.to_string().contains("compile_error"), "`{}` is refused: {with}", key.example);
        assert_ne!(without.to_string(), with.to_string(), "`{}` has no effect", key.example);
    }
}
