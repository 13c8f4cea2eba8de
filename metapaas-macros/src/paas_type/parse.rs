//! Attribute and item to [`Model`]. Every mistake within one key is found here.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{Attribute, Expr, Fields, Generics, Ident, Item, ItemStruct, Lit, LitStr, Meta, Path};

use super::model::{Field, Model};
use crate::errors::{Errors, hint, list};
use crate::grammar::{self, Entry, Given, Interval, Value};
use crate::symbols::{self, ACTIONS, FIELD, FIELD_KEYS, METRICS, PAAS_TYPE, ROLES, SCOPES, TYPE_KEYS};

/// What came of the tokens.
pub(crate) struct Parsed {
    /// The item without our attributes.
    pub(crate) item: TokenStream,
    /// What it says, when it is a struct that can be a type.
    pub(crate) model: Option<Model>,
    /// What an inert impl needs, when one is possible.
    pub(crate) inert: Option<Inert>,
}

/// Enough for an impl that keeps the rest of the crate compiling.
pub(crate) struct Inert {
    /// The type's name.
    pub(crate) ident: Ident,
    /// `crate`
    pub(crate) framework: Option<Path>,
}

/// Reads the attribute's arguments and the item under it.
pub(crate) fn parse(attribute: TokenStream, item: TokenStream, errors: &mut Errors) -> Parsed {
    let mut entries = Vec::new();
    grammar::read(attribute, PAAS_TYPE, TYPE_KEYS, &mut entries, errors);
    let complete = errors.is_empty();
    let framework = entries.iter().find_map(|entry| match (entry.key.name, &entry.value) {
        (symbols::CRATE, Some(Value::Path(path))) => Some(path.clone()),
        _ => None,
    });
    let inert = |ident: &Ident, generics: &Generics| {
        let plain = generics.params.is_empty();
        plain.then(|| Inert { ident: ident.clone(), framework: framework.clone() })
    };
    let refuse = "`#[paas_type]` goes on a struct with named fields";
    match syn::parse2::<Item>(item.clone()) {
        Ok(Item::Struct(mut found)) => {
            let model = model(&mut found, entries, complete, errors);
            let inert = inert(&found.ident, &found.generics);
            Parsed { item: found.into_token_stream(), model, inert }
        }
        Ok(Item::Enum(mut found)) => {
            errors.at(
                found.enum_token.span,
                format!("{refuse}, not on an enum; for a field's values derive `FieldEnum`"),
            );
            for variant in &mut found.variants {
                variant.attrs.retain(|attribute| !attribute.path().is_ident(FIELD));
                strip(&mut variant.fields);
            }
            Parsed {
                inert: inert(&found.ident, &found.generics),
                item: found.into_token_stream(),
                model: None,
            }
        }
        Ok(Item::Union(found)) => {
            errors.at(found.union_token.span, format!("{refuse}, not on a union"));
            Parsed { inert: inert(&found.ident, &found.generics), item, model: None }
        }
        Ok(_) => {
            errors.at(Span::call_site(), refuse);
            Parsed { item, model: None, inert: None }
        }
        Err(error) => {
            errors.push(error);
            Parsed { item, model: None, inert: None }
        }
    }
}

fn strip(fields: &mut Fields) {
    for field in fields {
        field.attrs.retain(|attribute| !attribute.path().is_ident(FIELD));
    }
}

fn model(item: &mut ItemStruct, entries: Vec<Entry>, complete: bool, errors: &mut Errors) -> Option<Model> {
    let again =
        |attribute: &Attribute| attribute.path().segments.last().is_some_and(|last| last.ident == PAAS_TYPE);
    for second in item.attrs.iter().filter(|attribute| again(attribute)) {
        errors.over(second, "`#[paas_type]` is given twice; put all keys into one");
    }
    item.attrs.retain(|attribute| !again(attribute));
    let before = errors.len();
    if !item.generics.params.is_empty() {
        errors.over(
            &item.generics,
            "a PaaS type cannot be generic: each type has one table; remove the parameters",
        );
    } else if let Some(clause) = &item.generics.where_clause {
        errors.over(clause, "a PaaS type cannot be generic: remove the `where` clause");
    }
    let fields = match &item.fields {
        Fields::Named(named) => named.named.iter().filter_map(|field| parse_field(field, errors)).collect(),
        Fields::Unnamed(unnamed) => {
            errors.over(unnamed, "a PaaS type needs named fields, since each is a column: `{ name: Type }`");
            Vec::new()
        }
        Fields::Unit => {
            errors.at(
                item.ident.span(),
                format!("a PaaS type needs braces, even without fields: `struct {} {{}}`", item.ident),
            );
            Vec::new()
        }
    };
    let shape_is_right = errors.len() == before || matches!(item.fields, Fields::Named(_));
    strip(&mut item.fields);
    let mut model = Model {
        ident: item.ident.clone(),
        doc: doc_of(&item.attrs),
        slug: None,
        parent: None,
        plural: None,
        segment: None,
        key: None,
        element: None,
        scope: None,
        policy: Vec::new(),
        retention: None,
        check: None,
        framework: None,
        has_parent: entries.iter().any(|entry| entry.key.name == symbols::PARENT),
        complete,
        fields,
    };
    for Entry { key, at, value } in entries {
        let Some(value) = value else { continue };
        match (key.name, value) {
            (symbols::SLUG, Value::Text(value)) => model.slug = Some(Given { key: at, value }),
            (symbols::PARENT, Value::Type(value)) => model.parent = Some(Given { key: at, value: *value }),
            (symbols::PLURAL, Value::Text(value)) => model.plural = Some(Given { key: at, value }),
            (symbols::SEGMENT, Value::Text(value)) => model.segment = Some(Given { key: at, value }),
            (symbols::KEY, Value::Text(value)) => model.key = Some(Given { key: at, value }),
            (symbols::ELEMENT, Value::Text(value)) => model.element = Some(Given { key: at, value }),
            (symbols::SCOPE, Value::Text(text)) => {
                // The place is kept even if the text is wrong: a child may have no scope of any text.
                let value = one_of(&text, "scope", &SCOPES, errors);
                model.scope = value.map(|value| Given { key: at, value });
            }
            (symbols::IAM, Value::Pairs(pairs)) => model.policy = policy(&pairs, errors),
            (symbols::RETENTION, Value::Text(text)) => model.retention = seconds(&text, errors),
            (symbols::CHECK, Value::Path(path)) => model.check = Some(path),
            (symbols::CRATE, Value::Path(path)) => model.framework = Some(path),
            _ => {}
        }
    }
    shape_is_right.then_some(model)
}

fn parse_field(field: &syn::Field, errors: &mut Errors) -> Option<Field> {
    let mut entries = Vec::new();
    for attribute in &field.attrs {
        if attribute.path().is_ident("cfg") {
            errors.over(
                attribute,
                "a field cannot be conditional: the table would depend on how the program is built",
            );
        }
        if attribute.path().is_ident(FIELD) {
            match &attribute.meta {
                Meta::List(meta) => {
                    grammar::read(meta.tokens.clone(), FIELD, FIELD_KEYS, &mut entries, errors);
                }
                Meta::Path(_) => {}
                Meta::NameValue(meta) => {
                    errors.over(meta, "expected `#[field(...)]`, such as `#[field(mutable)]`")
                }
            }
        }
    }
    let mut found = Field {
        ident: field.ident.clone()?,
        ty: field.ty.clone(),
        doc: doc_of(&field.attrs),
        mutable: None,
        output: None,
        metric: None,
        iam: None,
        default: None,
        unique: None,
        len: None,
        range: None,
        pattern: None,
        renamed_from: None,
        check: None,
    };
    for Entry { key, at, value } in entries {
        let Some(value) = value else { continue };
        match (key.name, value) {
            (symbols::MUTABLE, Value::Flag) => found.mutable = Some(at),
            (symbols::OUTPUT, Value::Flag) => found.output = Some(at),
            (symbols::METRIC, Value::Text(text)) => {
                let value = one_of(&text, "kind of metric", &METRICS, errors);
                found.metric = value.map(|value| Given { key: at, value });
            }
            (symbols::IAM, Value::Text(text)) => {
                found.iam = one_of(&text, "role", &ROLES, errors).map(|value| Given { key: at, value });
            }
            (symbols::DEFAULT, Value::Expr(value)) => found.default = Some(Given { key: at, value: *value }),
            (symbols::UNIQUE, Value::Flag) => {
                found.unique = Some(Given { key: at, value: Ident::new("Siblings", at) });
            }
            (symbols::UNIQUE, Value::Text(text)) => {
                let scopes = [("everywhere", "Everywhere")];
                let value = one_of(&text, "reach of `unique`", &scopes, errors);
                found.unique = value.map(|value| Given { key: at, value });
            }
            (symbols::LEN, Value::Interval(interval)) => found.len = length(interval, errors),
            (symbols::RANGE, Value::Interval(interval)) => found.range = range(interval, errors),
            (symbols::PATTERN, Value::Text(text)) => found.pattern = pattern(text, errors),
            (symbols::RENAMED_FROM, Value::Text(value)) => {
                found.renamed_from = Some(Given { key: at, value })
            }
            (symbols::CHECK, Value::Path(value)) => found.check = Some(Given { key: at, value }),
            _ => {}
        }
    }
    Some(found)
}

/// The doc comment without its indentation, lines as written.
pub(crate) fn doc_of(attributes: &[Attribute]) -> String {
    let line = |attribute: &Attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    let lines: Vec<String> = attributes.iter().filter_map(line).collect();
    let lines: Vec<&str> = lines
        .iter()
        .flat_map(|text| text.split('\n'))
        .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end())
        .collect();
    lines.join("\n").trim().to_owned()
}

/// The Rust name that goes with a text, spanned at the text.
fn one_of(text: &LitStr, what: &str, names: &[(&str, &str)], errors: &mut Errors) -> Option<Ident> {
    let given = text.value();
    let known = || names.iter().map(|(name, _)| *name);
    match names.iter().find(|(name, _)| *name == given) {
        Some((_, rust)) => Some(Ident::new(rust, text.span())),
        None => {
            let choices = match names {
                [(only, _)] => format!("the only one is `{only}`"),
                _ => format!("choose one of {}", list(known())),
            };
            errors.at(text.span(), format!("unknown {what} `{given}`; {}", hint(&given, known(), &choices)));
            None
        }
    }
}

fn policy(pairs: &[(Ident, LitStr)], errors: &mut Errors) -> Vec<(Ident, Ident)> {
    let mut policy: Vec<(Ident, Ident)> = Vec::new();
    let known = || ACTIONS.iter().map(|(name, _)| *name);
    for (action, role) in pairs {
        let name = action.unraw().to_string();
        let role = one_of(role, "role", &ROLES, errors);
        let Some((_, rust)) = ACTIONS.iter().find(|(known, _)| *known == name) else {
            let next = hint(&name, known(), &format!("the actions are {}", list(known())));
            errors.at(action.span(), format!("unknown action `{name}`; {next}"));
            continue;
        };
        if policy.iter().any(|(earlier, _)| earlier == rust) {
            errors.at(action.span(), format!("`{name}` is given twice; keep one of the two"));
        } else if let Some(role) = role {
            policy.push((Ident::new(rust, action.span()), role));
        }
    }
    policy
}

fn seconds(text: &LitStr, errors: &mut Errors) -> Option<u64> {
    let given = text.value();
    let number: String = given.chars().take_while(char::is_ascii_digit).collect();
    let unit: Option<u64> = match given.get(number.len()..).unwrap_or_default() {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(60 * 60),
        "d" => Some(24 * 60 * 60),
        "w" => Some(7 * 24 * 60 * 60),
        _ => None,
    };
    let product = unit.zip(number.parse::<u64>().ok()).and_then(|(unit, number)| unit.checked_mul(number));
    let seconds = product.filter(|seconds| (1..=i64::MAX.unsigned_abs()).contains(seconds));
    if seconds.is_none() {
        let next = "write a whole number above zero and `s`, `m`, `h`, `d` or `w`, as in `\"90d\"`";
        errors.at(text.span(), format!("`{given}` is not a length of time; {next}"));
    }
    seconds
}

fn length(interval: Interval, errors: &mut Errors) -> Option<Interval> {
    for limit in [&interval.least, &interval.greatest].into_iter().flatten() {
        let message = match limit.integer {
            None => "a length is a whole number",
            Some(number) if number < 0 => "a length cannot be negative",
            Some(number) if number > i128::from(u32::MAX) => {
                "a length ends at 4294967295; leave the upper end out"
            }
            Some(_) => continue,
        };
        errors.over(&limit.tokens, message);
        return None;
    }
    if interval.greatest.as_ref().is_some_and(|limit| limit.integer == Some(0)) {
        errors.over(&interval.tokens, "only an empty value would fit; give a greatest length above zero");
        return None;
    }
    not_empty(interval, errors)
}

fn range(interval: Interval, errors: &mut Errors) -> Option<Interval> {
    // Limits are kept as f64, which holds every whole number up to 2^53.
    const EXACT: i128 = 1 << 53;
    if interval.least.is_none() || interval.greatest.is_none() {
        errors.over(&interval.tokens, "a range needs both ends, as in `1..=5`");
        return None;
    }
    for limit in [&interval.least, &interval.greatest].into_iter().flatten() {
        if limit.integer.is_some_and(|integer| !(-EXACT..=EXACT).contains(&integer)) {
            errors.over(&limit.tokens, "an end of a range lies within 2^53 of zero; use `check` for more");
            return None;
        }
    }
    not_empty(interval, errors)
}

fn not_empty(interval: Interval, errors: &mut Errors) -> Option<Interval> {
    if let (Some(least), Some(greatest)) = (&interval.least, &interval.greatest)
        && least.number > greatest.number
    {
        let swapped = format!("{}..={}", greatest.tokens, least.tokens).replace("- ", "-");
        errors.over(&interval.tokens, format!("nothing lies in this interval; did you mean `{swapped}`?"));
        return None;
    }
    Some(interval)
}

fn pattern(text: LitStr, errors: &mut Errors) -> Option<LitStr> {
    match regex_syntax::parse(&text.value()) {
        Ok(_) => Some(text),
        Err(error) => {
            let (offset, reason) = match &error {
                regex_syntax::Error::Parse(error) => (error.span().start.offset, error.kind().to_string()),
                regex_syntax::Error::Translate(error) => {
                    (error.span().start.offset, error.kind().to_string())
                }
                _ => (0, error.to_string()),
            };
            errors.at(
                text.span(),
                format!("not a regular expression: {reason} (at byte {offset} of the pattern)"),
            );
            None
        }
    }
}
