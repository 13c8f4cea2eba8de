//! Paths on the command line: `demo`, `demo/NAME`, `demo/NAME/pages`, `demo/NAME/pages/KEY` and so on.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::error::CliError;
use super::text::did_you_mean;
use super::types::{HostedType, TypeInfo, Types};

/// All but the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A path that names a collection, e.g. `demo` or `demo/NAME/pages`.
#[derive(Debug)]
pub(crate) struct Collection<'a> {
    /// The type of its rows.
    pub(crate) ty: &'a TypeInfo,
    /// Path of the API.
    pub(crate) url: String,
    /// As the user wrote it.
    pub(crate) label: String,
}

/// A path that names one row, e.g. `demo/NAME`.
#[derive(Debug)]
pub(crate) struct Item<'a> {
    /// Where it is.
    pub(crate) collection: Collection<'a>,
    /// Path of the API.
    pub(crate) url: String,
    /// As the user wrote it.
    pub(crate) label: String,
}

impl Collection<'_> {
    /// The path of the row with that key or id.
    pub(crate) fn row(&self, key: &str) -> String {
        format!("{}/{}", self.url, encode(key))
    }

    /// How the user may name the row with that key.
    pub(crate) fn row_label(&self, key: &str) -> String {
        format!("{}/{}", self.label, label_part(key))
    }
}

/// The parts as the user may write them.
fn label(parts: &[String]) -> String {
    parts.iter().map(|part| label_part(part)).collect::<Vec<_>>().join("/")
}

fn label_part(part: &str) -> String {
    part.replace('%', "%25").replace('/', "%2F")
}

/// One part of a URL's path.
pub(crate) fn encode(part: &str) -> String {
    utf8_percent_encode(part, ENCODED).to_string()
}

/// The collection that `text` names.
pub(crate) fn collection<'a>(types: &'a Types, text: &str) -> Result<Collection<'a>, CliError> {
    let parts = parts(text)?;
    let (hosted, ty) = walk(types, &parts)?;
    if parts.len().is_multiple_of(2) {
        let mut choices: Vec<String> =
            hosted.below(ty).map(|child| format!("{text}/{}", child.segment())).collect();
        choices.sort();
        let below = if choices.is_empty() {
            String::new()
        } else {
            format!(", or name one of {}", choices.join(", "))
        };
        return Err(CliError::Usage(format!(
            "`{text}` names one {}, not a collection; see it with `metapaas get {text}`{below}",
            singular(hosted, ty)
        )));
    }
    collection_of(ty, &parts)
}

/// The row that `text` names.
pub(crate) fn item<'a>(types: &'a Types, text: &str) -> Result<Item<'a>, CliError> {
    let parts = parts(text)?;
    let (_, ty) = walk(types, &parts)?;
    let Some((key, above)) = parts.split_last().filter(|_| parts.len().is_multiple_of(2)) else {
        return Err(CliError::Usage(format!(
            "`{text}` names a collection; say which one, as in `{text}/NAME`, or see all with `metapaas list {text}`"
        )));
    };
    let collection = collection_of(ty, above)?;
    Ok(Item { url: collection.row(key), label: label(&parts), collection })
}

/// What `text` names where one instance is meant: a word that is no type's is the name of an app.
pub(crate) fn of_instance(types: &Types, text: &str) -> String {
    let is_app = !text.contains('/') && types.find(text).is_err() && types.find("app").is_ok();
    if is_app { format!("app/{text}") } else { text.to_owned() }
}

fn collection_of<'a>(ty: &'a TypeInfo, parts: &[String]) -> Result<Collection<'a>, CliError> {
    let mut url = String::new();
    // The keys of the rows above stand at the odd places.
    let mut keys = parts.iter().skip(1).step_by(2);
    let mut rest = ty.path.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        let (Some((_, after)), Some(key)) = (after.split_once('}'), keys.next()) else {
            return Err(unexpected(ty));
        };
        url.push_str(before);
        url.push_str(&encode(key));
        rest = after;
    }
    url.push_str(rest);
    if keys.next().is_some() || !url.starts_with('/') {
        return Err(unexpected(ty));
    }
    Ok(Collection { ty, url, label: label(parts) })
}

fn unexpected(ty: &TypeInfo) -> CliError {
    CliError::Unexpected {
        what: format!("the server gives `{}` a path that does not fit: {}", ty.plural, ty.path),
        source: None,
    }
}

/// Parts may be percent-encoded, so that a key can hold a slash.
fn parts(text: &str) -> Result<Vec<String>, CliError> {
    let wrong = |why: &str| {
        CliError::Usage(format!(
            "`{text}` is no path: {why}; write TYPE, TYPE/NAME or TYPE/NAME/CHILDREN/KEY"
        ))
    };
    let mut parts = Vec::new();
    for part in text.strip_suffix('/').unwrap_or(text).split('/') {
        let decoded = percent_decode_str(part).decode_utf8().map_err(|_| wrong("it is not UTF-8"))?;
        match decoded.as_ref() {
            "" => return Err(wrong("a part is empty")),
            // URLs give these a meaning, percent-encoded or not.
            "." | ".." => return Err(wrong("a part may not be `.` or `..`")),
            part => parts.push(part.to_owned()),
        }
    }
    Ok(parts)
}

/// The type that the path ends in.
fn walk<'a>(types: &'a Types, parts: &[String]) -> Result<(&'a HostedType, &'a TypeInfo), CliError> {
    let mut parts = parts.iter();
    let slug = parts.next().map_or("", String::as_str);
    let hosted = types.find(slug)?;
    let mut ty = hosted.root()?;
    for plural in parts.skip(1).step_by(2) {
        ty = hosted.below(ty).find(|child| child.segment() == plural).ok_or_else(|| {
            let known: Vec<&str> = hosted.below(ty).map(TypeInfo::segment).collect();
            let of = singular(hosted, ty);
            CliError::NotFound(match known.as_slice() {
                [] => format!("a {of} has nothing below it, so no `{plural}`"),
                _ => format!(
                    "a {of} has no `{plural}`{}; it has: {}",
                    did_you_mean(plural, known.iter().copied()),
                    known.join(", ")
                ),
            })
        })?;
    }
    Ok((hosted, ty))
}

/// What a row of the type is called in messages.
fn singular(hosted: &HostedType, ty: &TypeInfo) -> String {
    match &ty.parent {
        None => format!("`{}`", hosted.slug),
        Some(_) => format!("row of `{}`", ty.plural),
    }
}

#[cfg(test)]
mod tests {
    use super::super::stub::demo_types;
    use super::*;

    fn check_item(text: &str, expected: Result<&str, &str>) {
        let types = demo_types();
        match (item(&types, text), expected) {
            (Ok(item), Ok(url)) => assert_eq!(item.url, url),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{text}: {error}"),
            (found, _) => panic!("{text}: {found:?}"),
        }
    }

    #[test]
    fn rows_are_found_by_path() {
        check_item("demo/my-demo", Ok("/v1/types/demo/instances/my-demo"));
        check_item("demo/my-demo/", Ok("/v1/types/demo/instances/my-demo"));
        check_item("demo/my-demo/pages/a%2Fb c", Ok("/v1/types/demo/instances/my-demo/pages/a%2Fb%20c"));
        check_item("demo/x/pages/home/notes/n?1", Ok("/v1/types/demo/instances/x/pages/home/notes/n%3F1"));
        check_item("demo", Err("names a collection"));
        check_item("demo/x/pages", Err("names a collection"));
        check_item("dmo/x", Err("did you mean `demo`?"));
        check_item("demo/x/page/home", Err("has no `page`; did you mean `pages`?; it has: pages"));
        check_item("demo/x/pages/h/notes/n/deep/y", Err("has nothing below it"));
        check_item("", Err("a part is empty"));
        check_item("demo//pages/x", Err("a part is empty"));
        check_item("demo/..", Err("may not be `.` or `..`"));
        check_item("demo/%2e%2e/pages/x", Err("may not be `.` or `..`"));
        check_item("demo/%ff", Err("not UTF-8"));
    }

    #[test]
    fn a_word_that_is_no_type_is_an_app_where_there_are_apps() {
        let with = |apps: bool| {
            let mut answer = super::super::stub::demo_answer();
            if apps {
                let mut app = answer["items"][0].clone();
                app["slug"] = serde_json::json!("app");
                answer["items"].as_array_mut().unwrap().push(app);
            }
            serde_json::from_value::<Types>(answer).unwrap()
        };
        let (types, without) = (with(true), with(false));
        for (text, expected) in [
            ("shop", "app/shop"),
            ("app/shop", "app/shop"),
            ("demo", "demo"),
            ("app", "app"),
            ("dmo/x", "dmo/x"),
        ] {
            assert_eq!(of_instance(&types, text), expected);
        }
        assert_eq!(of_instance(&without, "shop"), "shop");
    }

    #[test]
    fn collections_are_found_by_path() {
        let types = demo_types();
        let pages = collection(&types, "demo/a b/pages").unwrap();
        assert_eq!(pages.url, "/v1/types/demo/instances/a%20b/pages");
        assert_eq!(pages.row("x/y"), "/v1/types/demo/instances/a%20b/pages/x%2Fy");
        assert_eq!(pages.row_label("x/y"), "demo/a b/pages/x%2Fy");
        let error = collection(&types, "demo/x").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("or name one of demo/x/pages"), "{error}");
    }
}
