//! The element manifest of an instance type: what it brings, who may do what to it, and its versions.

use serde_json::{Map, Value, json};

use super::policy::least_role;
use crate::describe::collection_path;
use crate::registry::{RegisteredType, Registry};
use crate::role::Role;

/// The manifest of `root`, an instance type, and of all below it.
pub fn element(registry: &Registry, root: &RegisteredType) -> Value {
    let plugin = &registry.plugins()[root.plugin];
    let all: Vec<&RegisteredType> = std::iter::once(root).chain(registry.below(root.index)).collect();
    let bindings: Map<String, Value> = [Role::Viewer, Role::Operator, Role::Owner]
        .map(|role| (role.as_str().to_owned(), all.iter().flat_map(|one| given(one, role)).collect()))
        .into_iter()
        .collect();
    json!({
        "kind": "Element",
        "name": root.ty.element,
        "slug": root.ty.slug,
        "description": root.ty.doc,
        "plugin": { "name": plugin.name, "version": plugin.version },
        "versions": root.versions,
        "types": all.iter().map(|one| described(one)).collect::<Vec<_>>(),
        "permissions": all.iter().flat_map(|one| one.permissions()).collect::<Vec<_>>(),
        "role_bindings": bindings,
    })
}

fn described(one: &RegisteredType) -> Value {
    let verbs: Vec<&str> = one.actions.iter().map(|action| action.verb).collect();
    let names = |wanted: bool| -> Vec<&str> {
        one.ty.fields.iter().filter(|field| field.output == wanted).map(|field| field.name).collect()
    };
    json!({
        "plural": one.ty.plural,
        "path": collection_path(one.ty),
        "key": one.ty.key_name().unwrap_or("id"),
        "fields": names(false),
        "outputs": names(true),
        "actions": verbs,
    })
}

/// What a role may do that the role below it may not.
fn given(one: &RegisteredType, role: Role) -> Vec<String> {
    let actions = crate::descriptor::Action::STANDARD.into_iter().chain(one.custom_actions());
    let actions = actions.filter(|action| least_role(one.ty, *action) == role);
    let fields = one.ty.fields.iter().filter(|field| field.iam == Some(role));
    actions
        .map(|action| one.ty.permission(action))
        .chain(fields.map(|field| one.ty.field_permission(field.name)))
        .collect()
}
