//! What every operation says beside its own: who may call it, what can always go wrong, and where its answer leads.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::openapi::link::{Link, LinkBuilder};
use utoipa::openapi::path::Operation;
use utoipa::openapi::{PathItem, Paths, Ref, RefOr, Response};

use super::build::{BEARER, NODE_TOKEN};

/// Completes all operations.
pub(super) fn complete(paths: &mut Paths) {
    let links: Vec<_> = paths.paths.keys().map(|path| links(paths, path)).collect();
    for (item, links) in paths.paths.values_mut().zip(links) {
        for operation in operations_mut(item) {
            describe(operation);
            // Said in so many words: a document without it leaves open what holds.
            operation.security.get_or_insert_default();
            let internal = Ref::from_response_name(super::shared::error_name(500));
            operation.responses.responses.entry("500".into()).or_insert(internal.into());
        }
        if let Some(made) = item.post.as_mut().and_then(created) {
            made.links = links;
        }
    }
}

/// Adds who may call it.
fn describe(operation: &mut Operation) {
    let schemes = serde_json::to_value(&operation.security).unwrap_or_default();
    let asks_for = |scheme: &str| {
        schemes.as_array().is_some_and(|schemes| schemes.iter().any(|one| one.get(scheme).is_some()))
    };
    let permission = operation.extensions.as_ref().and_then(|all| all.get("x-required-permission"));
    let who = match permission.and_then(Value::as_str) {
        Some(permission) => format!("Needs the permission `{permission}`."),
        None if asks_for(BEARER) => "Needs a login and no permission.".to_owned(),
        None if asks_for(NODE_TOKEN) => "Takes the token of a node and nothing else.".to_owned(),
        None => "Needs no credentials.".to_owned(),
    };
    let own = operation.description.take().into_iter();
    operation.description = Some(own.chain([who]).collect::<Vec<_>>().join("\n\n"));
}

/// The answer that tells what was made.
fn created(operation: &mut Operation) -> Option<&mut Response> {
    match operation.responses.responses.get_mut("201")? {
        RefOr::T(response) => Some(response),
        RefOr::Ref(_) => None,
    }
}

/// What can be done with that which a POST to `path` makes: the operations of paths that take its id and no other.
fn links(paths: &Paths, path: &str) -> BTreeMap<String, RefOr<Link>> {
    let above = parameters(path);
    let leads_to = paths.paths.iter().filter_map(|(other, item)| {
        other.strip_prefix(path)?.strip_prefix("/{")?;
        let mut rest = parameters(other).split_off(above.len());
        (rest.len() == 1).then(|| (rest.remove(0), item))
    });
    let mut links = BTreeMap::new();
    for (key, item) in leads_to {
        for id in operations(item).filter_map(|(_, operation)| operation.operation_id.clone()) {
            let same = above.iter().map(|name| (name.clone(), format!("$request.path.{name}")));
            let all = same.chain([(key.clone(), "$response.body#/id".to_owned())]);
            let link = all.fold(LinkBuilder::new().operation_id(&id), |link, (name, value)| {
                link.parameter(name, Value::from(value))
            });
            links.insert(id, link.build().into());
        }
    }
    links
}

/// The names in braces.
fn parameters(path: &str) -> Vec<String> {
    path.split('{').skip(1).filter_map(|part| Some(part.split_once('}')?.0.to_owned())).collect()
}

/// The operations of a path by method.
pub(super) fn operations(item: &PathItem) -> impl Iterator<Item = (&'static str, &Operation)> {
    let all = [
        ("GET", &item.get),
        ("POST", &item.post),
        ("PUT", &item.put),
        ("PATCH", &item.patch),
        ("DELETE", &item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

fn operations_mut(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten()
}
