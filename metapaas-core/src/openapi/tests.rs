//! The documents are whole and stable.

mod agreement;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use jsonschema::Validator;
use serde_json::{Value, json};

use super::types::Names;
use super::{document, document_of};
use crate::registry::Registry;
use crate::{DnsName, FieldEnum, Json, Map, Plugin, Ref, Secret, paas_type};

/// Serves a greeting.
#[paas_type(slug = "demo")]
pub(crate) struct DemoInstance {
    /// Shown on every page.
    #[field(mutable, default = "hello".to_owned(), len = 1..=80)]
    greeting: String,
    #[field(mutable, default = 1, range = 1..=5)]
    replicas: u32,
    /// The looks.
    #[field(mutable, iam = "owner", default = Theme::Plain)]
    theme: Theme,
    region: DnsName,
    #[field(mutable)]
    note: Option<String>,
    #[field(mutable, default = Map::new(), len = 0..=2)]
    settings: Map<u8>,
    #[field(mutable, default = Vec::new(), len = 0..=2)]
    looks: Vec<Theme>,
    #[field(mutable)]
    every: Option<Duration>,
    #[field(mutable, default = Secret::generate())]
    password: Secret<String>,
    #[field(mutable)]
    key: Option<Secret<String>>,
    #[field(output)]
    url: Option<String>,
    #[field(output)]
    urls: Option<Vec<String>>,
    #[field(mutable)]
    extra: Option<Json<Value>>,
    #[field(mutable)]
    until: Option<DateTime<Utc>>,
    #[field(mutable, default = Utc::now())]
    since: DateTime<Utc>,
    #[field(mutable, pattern = "^/[a-z]*$")]
    root: Option<String>,
    #[field(mutable, pattern = r"\A/[a-z]*\z")]
    home: Option<String>,
    #[field(mutable)]
    owner_count: i64,
}

#[derive(Clone, Copy, FieldEnum)]
pub(crate) enum Theme {
    /// Black on white.
    Plain,
    Dark,
}

/// A page.
#[paas_type(parent = DemoInstance, plural = "pages", key = "path")]
pub(crate) struct Page {
    #[field(len = 1..=200)]
    path: String,
    #[field(mutable)]
    text: String,
    #[field(mutable)]
    other: Option<Ref<DemoInstance>>,
}

#[paas_type(parent = Page, plural = "access-notes", key = "id")]
pub(crate) struct DemoNote {
    #[field(mutable)]
    text: String,
}

#[paas_type(slug = "zone", scope = "platform")]
pub(crate) struct Zone {
    #[field(mutable, default = 0.5, range = 0.0..=1.0)]
    weight: f64,
}

fn registry() -> Registry {
    let grace = metapaas_core::action::parameter::<u32>("grace_seconds", "How long.").default(|| json!(10));
    let demo = Plugin::new("demo", "1.2.3")
        .instance::<DemoInstance>()
        .action_with::<DemoInstance>("restart", "Restarts it.", [grace], |row, _| Ok(row))
        .child::<Page>()
        .child::<DemoNote>();
    Registry::new(vec![demo, Plugin::new("zone", "0.1.0").instance::<Zone>()]).unwrap()
}

fn json_of(registry: &Registry) -> Value {
    serde_json::from_str(&document(registry, "9.9.9").to_json().unwrap()).unwrap()
}

/// A validator of the component `name`.
fn validator(document: &Value, name: &str) -> Validator {
    let root =
        json!({ "$ref": format!("#/components/schemas/{name}"), "components": document["components"] });
    let options =
        jsonschema::options().with_draft(jsonschema::Draft::Draft202012).should_validate_formats(true);
    options.build(&root).unwrap()
}

/// Calls `look` with every object in `value`.
fn each_object(value: &Value, look: &mut impl FnMut(&serde_json::Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            look(members);
            members.values().for_each(|member| each_object(member, look));
        }
        Value::Array(items) => items.iter().for_each(|item| each_object(item, look)),
        _ => {}
    }
}

#[test]
fn documents_are_whole() {
    let registry = registry();
    let of_demo = document_of(&registry, "demo").unwrap().to_json().unwrap();
    for document in [json_of(&registry), serde_json::from_str(&of_demo).unwrap()] {
        assert_eq!(document["openapi"], "3.1.0");
        each_object(&document, &mut |object| {
            if let Some(Value::String(reference)) = object.get("$ref") {
                assert!(
                    document.pointer(reference.strip_prefix('#').unwrap()).is_some(),
                    "{reference} is missing"
                );
            }
            let extensions = object.keys().filter(|name| name.starts_with("x-")).count();
            assert!(extensions <= 1, "the order of several extensions is not stable: {object:?}");
        });
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            validator(&document, name);
        }
        let tags: BTreeSet<&str> =
            document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
        let mut ids = HashSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            let shared = item.get("parameters").cloned().unwrap_or_else(|| json!([]));
            for (method, operation) in
                item.as_object().unwrap().iter().filter(|(method, _)| *method != "parameters")
            {
                assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{method} {path}");
                assert!(tags.contains(operation["tags"][0].as_str().unwrap()), "{method} {path}");
                assert!(
                    operation["responses"].as_object().is_some_and(|map| !map.is_empty()),
                    "{method} {path}"
                );
                for scheme in operation["security"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .flat_map(|item| item.as_object().unwrap().keys())
                {
                    assert!(document["components"]["securitySchemes"][scheme].is_object(), "{method} {path}");
                }
                let own = operation.get("parameters").cloned().unwrap_or_else(|| json!([]));
                let all = shared.as_array().unwrap().iter().chain(own.as_array().unwrap());
                let declared: BTreeSet<String> = all
                    .filter(|parameter| parameter["in"] == "path")
                    .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
                    .collect();
                let named: BTreeSet<String> =
                    path.split('{').skip(1).map(|part| part.split('}').next().unwrap().to_owned()).collect();
                assert_eq!(declared, named, "{method} {path}");
            }
        }
    }
}

#[test]
fn the_same_registry_gives_the_same_bytes() {
    let text = document(&registry(), "9.9.9").to_json().unwrap();
    for _ in 0..5 {
        assert_eq!(document(&registry(), "9.9.9").to_json().unwrap(), text);
    }
}

#[test]
fn every_type_has_its_operations() {
    let document = json_of(&registry());
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods = item.as_object().unwrap().iter().filter(|(method, _)| *method != "parameters");
        found.insert(
            path,
            methods
                .map(|(method, operation)| {
                    format!(
                        "{method} {} {}",
                        operation["operationId"].as_str().unwrap(),
                        operation["x-required-permission"].as_str().unwrap_or("-")
                    )
                })
                .collect(),
        );
    }
    assert_eq!(
        found["/v1/types/demo/instances/{instance}/pages/{page}/access-notes"],
        [
            "get demo_access_notes_list demo.access-notes.list",
            "post demo_access_notes_create demo.access-notes.create"
        ]
    );
    assert_eq!(
        found["/v1/types/demo/instances/{instance}/pages/{page}/access-notes/{note}"],
        [
            "delete demo_access_notes_delete demo.access-notes.delete",
            "get demo_access_notes_read demo.access-notes.read",
            "patch demo_access_notes_update demo.access-notes.update",
            "put demo_access_notes_replace demo.access-notes.update",
        ]
    );
    assert_eq!(
        found["/v1/types/demo/instances/{instance}/actions/restart"],
        ["post demo_instances_action_restart demo.instances.restart"]
    );
    assert_eq!(
        found["/v1/iam/users"],
        ["get iam_users_list iam.users.list", "post iam_users_create iam.users.create"]
    );
    let update = &document["paths"]["/v1/types/demo/instances/{instance}"]["patch"];
    for status in
        ["200", "400", "401", "403", "404", "408", "409", "412", "413", "414", "415", "429", "431", "503"]
    {
        assert!(update["responses"][status].is_object(), "{status}");
    }
    let theme = &document["components"]["schemas"]["DemoInstancePatch"]["properties"]["theme"];
    assert_eq!(theme["x-required-permission"], "demo.instances.field:theme");
    assert_eq!(theme["enum"], json!(["plain", "dark", null]));
    assert!(theme["description"].as_str().unwrap().contains("Only the role owner"));
}

#[test]
fn a_type_has_a_document_of_its_own() {
    let registry = registry();
    let document: Value =
        serde_json::from_str(&document_of(&registry, "zone").unwrap().to_json().unwrap()).unwrap();
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(paths, ["/v1/types/zone/instances", "/v1/types/zone/instances/{instance}"]);
    assert_eq!(document["info"]["version"], "0.1.0");
    assert!(document_of(&registry, "nope").is_none());
}

#[test]
fn defaults_are_shown_unless_they_are_secret_or_of_the_moment() {
    let document = json_of(&registry());
    let fields = &document["components"]["schemas"]["DemoInstanceCreate"]["properties"];
    assert_eq!(fields["greeting"]["default"], "hello");
    assert_eq!(fields["replicas"]["default"], 1);
    assert!(fields["password"].get("default").is_none() && fields["password"]["writeOnly"] == true);
    assert!(fields["since"].get("default").is_none());
    assert_eq!(fields["root"]["pattern"], "^/[a-z]*$");
    assert!(fields["home"].get("pattern").is_none(), "not a pattern of ECMA-262");
    let answer = &document["components"]["schemas"]["DemoInstance"]["properties"];
    assert!(answer.get("key").is_none(), "a secret that was given is never shown");
    assert_eq!(answer["url"]["readOnly"], true);
    assert_eq!(answer["urls"]["readOnly"], true);
}

/// Something to sell.
#[paas_type(slug = "shop")]
pub(crate) struct Shop {}

#[paas_type(parent = Shop, plural = "items")]
pub(crate) struct Item {}

#[paas_type(parent = Shop, plural = "shop-items")]
pub(crate) struct ShopItem {}

#[paas_type(parent = Shop, plural = "item-lists")]
pub(crate) struct ItemList {}

#[test]
fn no_two_schemas_have_one_name() {
    let shop = Plugin::new("shop", "1.0.0")
        .instance::<Shop>()
        .child::<Item>()
        .child::<ShopItem>()
        .child::<ItemList>();
    let registry = Registry::new(vec![shop]).unwrap();
    let mut seen = HashSet::new();
    for registered in registry.types() {
        let names = Names::of(&registry, registered.ty);
        for name in [names.answer, names.create, names.merge, names.replace, names.list] {
            assert!(seen.insert(name.clone()), "{name} is there twice");
        }
    }
}
