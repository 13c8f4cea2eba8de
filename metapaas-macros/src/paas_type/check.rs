//! Rules that need more than one key: what belongs together, what excludes what, names.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::{LitStr, Type};

use super::model::{Field, Model};
use crate::errors::{Errors, hint, list};
use crate::symbols::{NAME, RESERVED_FIELDS, RESERVED_PLURALS};

/// Holds the model to every rule.
pub(crate) fn check(model: &Model, errors: &mut Errors) {
    if model.is_instance() {
        check_instance(model, errors);
    } else if model.has_parent {
        check_child(model, errors);
    }
    for field in &model.fields {
        check_name(model, field, errors);
        check_output(field, errors);
        check_metric(model, field, errors);
        check_renamed(model, field, errors);
    }
    check_key(model, errors);
}

fn check_instance(model: &Model, errors: &mut Errors) {
    match &model.slug {
        None if model.plural.is_some() => {
            errors.at(
                Span::call_site(),
                "missing `slug = \"...\"` for an instance type, or `parent = Type` for a child",
            );
            return;
        }
        None => {
            errors.at(
                Span::call_site(),
                "missing `slug = \"...\"`; a child type has `parent = Type` and `plural = \"...\"` instead",
            );
        }
        Some(slug) if is_slug(&slug.value.value()) => {}
        Some(slug) => {
            let rule = "it is a lower-case letter, then up to 30 lower-case letters and digits";
            refuse_text(&slug.value, "slug", rule, is_slug, errors);
        }
    }
    if let Some(plural) = &model.plural {
        errors.at(plural.key, "the plural of an instance type is always `instances`; remove `plural`");
    }
    if let Some(segment) = &model.segment {
        errors.at(segment.key, "the path of an instance type always ends in `instances`; remove `segment`");
    }
    if let Some(element) = &model.element
        && !is_hyphenated(&element.value.value())
    {
        refuse_text(&element.value, "element", HYPHENATED, is_hyphenated, errors);
    }
    if let Some(key) = &model.key
        && key.value.value() != NAME
    {
        errors.at(key.key, "an instance is always named by `name`; remove `key`");
    }
}

fn check_child(model: &Model, errors: &mut Errors) {
    let inherited = [
        ("slug", model.slug.as_ref().map(|slug| slug.key)),
        ("element", model.element.as_ref().map(|element| element.key)),
        ("scope", model.scope.as_ref().map(|scope| scope.key)),
    ];
    for (name, at) in inherited {
        if let Some(at) = at {
            errors.at(at, format!("a child type has the `{name}` of its parent; remove `{name}`"));
        }
    }
    if let Some(parent) = &model.parent
        && let Type::Path(path) = &parent.value
        && (path.path.is_ident(&model.ident) || path.path.is_ident("Self"))
    {
        errors.over(&parent.value, "a type cannot be its own parent");
    }
    if let Some(segment) = &model.segment {
        let name = segment.value.value();
        if RESERVED_PLURALS.contains(&name.as_str()) {
            errors.at(
                segment.value.span(),
                format!("`{name}` is a path of the framework; choose another segment"),
            );
        } else if !is_hyphenated(&name) {
            refuse_text(&segment.value, "segment", HYPHENATED, is_hyphenated, errors);
        }
    }
    match &model.plural {
        None if model.complete => {
            let at = model.parent.as_ref().map_or_else(Span::call_site, |parent| parent.key);
            errors.at(at, "a child type also needs `plural = \"...\"`, the last part of its path");
        }
        None => {}
        Some(plural) if RESERVED_PLURALS.contains(&plural.value.value().as_str()) => {
            let name = plural.value.value();
            errors.at(
                plural.value.span(),
                format!("`{name}` is a path of the framework; choose another plural"),
            );
        }
        Some(plural) if is_hyphenated(&plural.value.value()) => {}
        Some(plural) => refuse_text(&plural.value, "plural", HYPHENATED, is_hyphenated, errors),
    }
}

fn check_name(model: &Model, field: &Field, errors: &mut Errors) {
    let name = field.ident.to_string();
    let at = field.ident.span();
    if name.starts_with("r#") {
        let plain = field.ident.unraw();
        errors.at(at, format!("`{name}` cannot be a column; choose another name, such as `{plain}_name`"));
    } else if RESERVED_FIELDS.contains(&name.as_str()) {
        errors.at(at, format!("every row has `{name}` from the framework; choose another name"));
    } else if name == NAME && model.is_instance() {
        errors
            .at(at, "every instance has `name` from the framework; remove the field or choose another name");
    } else if name == NAME && model.complete && model.key.as_ref().is_none_or(|key| key.value.value() != NAME)
    {
        errors.at(
            at,
            "`name` comes from the framework; with `key = \"name\"` this field stands in place of it",
        );
    } else if !is_snake(&name) {
        let rule = "a field is lower-case words joined by underscores, at most 63 characters";
        let snake = to_snake(&name);
        let next = if is_snake(&snake) { format!("; did you mean `{snake}`?") } else { String::new() };
        errors.at(at, format!("`{name}` cannot be a column: {rule}{next}"));
    }
}

fn check_output(field: &Field, errors: &mut Errors) {
    if field.output.is_none() {
        return;
    }
    let conflicts = [
        ("mutable", field.mutable),
        ("iam", field.iam.as_ref().map(|given| given.key)),
        ("default", field.default.as_ref().map(|given| given.key)),
        ("unique", field.unique.as_ref().map(|given| given.key)),
        ("renamed_from", field.renamed_from.as_ref().map(|given| given.key)),
        ("check", field.check.as_ref().map(|given| given.key)),
    ];
    for (name, at) in conflicts {
        if let Some(at) = at {
            errors.at(
                at,
                format!("the platform sets an `output` field, not requests; remove `{name}` or `output`"),
            );
        }
    }
}

fn check_metric(model: &Model, field: &Field, errors: &mut Errors) {
    let Some(metric) = &field.metric else { return };
    if model.has_parent {
        errors.at(
            metric.key,
            "only instances have metrics, as nobody knows how many children there will be; remove `metric`",
        );
    } else if field.output.is_none() {
        errors.at(metric.key, "a metric is what the platform finds; add `output`");
    }
}

fn check_renamed(model: &Model, field: &Field, errors: &mut Errors) {
    let Some(old) = &field.renamed_from else { return };
    let name = old.value.value();
    let at = old.value.span();
    if field.ident == name {
        errors.at(at, format!("`{name}` is the field's present name; give the name that it had"));
    } else if model.field(&name).is_some() {
        errors.at(at, format!("`{name}` is still a field of this type; a column cannot become two"));
    } else if !is_snake(&name) {
        refuse_text(
            &old.value,
            "field name",
            "it is lower-case words joined by underscores",
            is_snake,
            errors,
        );
    }
}

fn check_key(model: &Model, errors: &mut Errors) {
    let Some(key) = &model.key else { return };
    if model.is_instance() {
        return;
    }
    let name = key.value.value();
    match model.field(&name) {
        Some(field) => {
            if let Some(at) = field.mutable {
                errors.at(
                    at,
                    format!(
                        "`{name}` is the key: paths name rows by it, so it cannot change; remove `mutable`"
                    ),
                );
            }
            if let Some(at) = field.output {
                errors.at(at, format!("`{name}` is the key: a row has it from the start; remove `output`"));
            }
        }
        None if name == NAME || name == "id" => {}
        None => {
            let fields: Vec<String> = model.fields.iter().map(|field| field.ident.to_string()).collect();
            let names = || fields.iter().map(String::as_str).chain([NAME, "id"]);
            let next = hint(&name, names(), &format!("choose one of {}", list(names())));
            errors.at(key.value.span(), format!("there is no field `{name}` to be the key; {next}"));
        }
    }
}

const HYPHENATED: &str = "it is lower-case words joined by hyphens, at most 31 characters";

fn refuse_text(text: &LitStr, what: &str, rule: &str, fits: fn(&str) -> bool, errors: &mut Errors) {
    let given = text.value();
    let repaired = match what {
        "field name" => to_snake(&given),
        "slug" => to_snake(&given).replace('_', ""),
        _ => to_snake(&given).replace('_', "-"),
    };
    let next = if fits(&repaired) { format!("; did you mean `{repaired}`?") } else { String::new() };
    errors.at(text.span(), format!("`{given}` is not a valid {what}: {rule}{next}"));
}

fn is_slug(text: &str) -> bool {
    text.len() <= 31
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn is_words(text: &str, separator: char, most: usize) -> bool {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    text.len() <= most
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.split(separator).all(word)
}

fn is_hyphenated(text: &str) -> bool {
    is_words(text, '-', 31)
}

fn is_snake(text: &str) -> bool {
    is_words(text, '_', 63)
}

/// The nearest lower snake case name: `AccessKey-Id` becomes `access_key_id`.
fn to_snake(text: &str) -> String {
    crate::field_enum::kebab(text).replace('-', "_").trim_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Case = (fn(&str) -> bool, &'static [&'static str], &'static [&'static str]);

    #[test]
    fn names_have_their_forms() {
        let cases: [Case; 3] = [
            (
                is_slug,
                &["a", "s3", "postgres16"],
                &["", "S3", "3s", "a-b", "a_b", "abcdefghijklmnopqrstuvwxyz012345"],
            ),
            (is_hyphenated, &["pages", "access-keys", "a1"], &["", "-a", "a-", "a--b", "A", "a_b", "1a"]),
            (is_snake, &["a", "bucket_name", "a_1"], &["", "_a", "a_", "a__b", "bucketName", "a-b", "1a"]),
        ];
        for (fits, right, wrong) in cases {
            assert!(right.iter().all(|text| fits(text)), "{right:?}");
            assert!(!wrong.iter().any(|text| fits(text)), "{wrong:?}");
        }
    }
}
