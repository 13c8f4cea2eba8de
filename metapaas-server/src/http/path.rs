//! Paths below `/v1/types`, resolved against the registry.

use metapaas_core::action::ActionDescriptor;
use metapaas_core::error::Error;
use metapaas_core::registry::{RegisteredType, Registry};
use metapaas_core::store::Locator;
use percent_encoding::percent_decode_str;

/// What a path names.
#[derive(Debug)]
pub(super) enum Target<'a> {
    /// `/v1/types/{slug}`
    Type(&'a RegisteredType),
    /// `/v1/types/{slug}/versions`
    Versions(&'a RegisteredType),
    /// `/v1/types/{slug}/openapi.json`
    OpenApi(&'a RegisteredType),
    /// A collection, and the keys of the rows above it.
    Collection(&'a RegisteredType, Locator),
    /// A row.
    Item(&'a RegisteredType, Locator),
    /// The logs of an instance.
    Logs(&'a RegisteredType, Locator),
    /// An upload of an instance, by what it is called.
    Upload(&'a RegisteredType, Locator, String),
    /// An action of a row.
    Action(&'a RegisteredType, Locator, &'a ActionDescriptor),
}

/// Resolves `path`, the URL's path as sent.
///
/// # Errors
/// `NotFound`.
pub(super) fn resolve<'a>(registry: &'a Registry, path: &str) -> Result<Target<'a>, Error> {
    let missing = || super::no_such_path(path);
    let segments = path.trim_matches('/').split('/').skip(2).map(|segment| {
        let decoded = percent_decode_str(segment).decode_utf8().map_err(|_| missing())?;
        // An empty segment is a typing error that a lookup by an empty key would hide.
        if decoded.is_empty() { Err(missing()) } else { Ok(decoded.into_owned()) }
    });
    let segments = segments.collect::<Result<Vec<String>, Error>>()?;
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (slug, rest) = words.split_first().ok_or_else(missing)?;
    let root = registry.root(slug).ok_or_else(|| Error::not_found(format_args!("the type {slug:?}")))?;
    match rest {
        [] => Ok(Target::Type(root)),
        ["versions"] => Ok(Target::Versions(root)),
        ["openapi.json"] => Ok(Target::OpenApi(root)),
        ["instances", rest @ ..] => below(registry, root, rest).ok_or_else(missing),
        _ => Err(missing()),
    }
}

/// Goes from a collection down the path: a key, then perhaps another collection.
fn below<'a>(registry: &'a Registry, root: &'a RegisteredType, words: &[&str]) -> Option<Target<'a>> {
    let mut registered = root;
    let mut locator = Locator::default();
    let mut words = words.iter();
    loop {
        let Some(key) = words.next() else { return Some(Target::Collection(registered, locator)) };
        locator.keys.push((*key).to_owned());
        match words.next() {
            None => return Some(Target::Item(registered, locator)),
            Some(&"logs") if registered.has_nodes => {
                return words.next().is_none().then_some(Target::Logs(registered, locator));
            }
            Some(&"uploads") if registered.takes_uploads => {
                let digest = (*words.next()?).to_owned();
                return words.next().is_none().then_some(Target::Upload(registered, locator, digest));
            }
            Some(&"actions") => {
                let action = registered.action(words.next()?)?;
                return words.next().is_none().then_some(Target::Action(registered, locator, action));
            }
            Some(plural) => registered = registry.child(registered, plural)?,
        }
    }
}
