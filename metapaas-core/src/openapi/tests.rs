//! The documents are whole and stable, and their schemas take what the server takes.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use jsonschema::Validator;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{document, document_of};
use crate::authz::authorize;
use crate::descriptor::{Action, Spec, TypeDescriptor};
use crate::registry::{RegisteredType, Registry};
use crate::request::RequestContext;
use crate::resource::{Datum, Meta, NewResource, Resource};
use crate::store::value::raw_json;
use crate::validate::{self, UpdateMode};
use crate::{DnsName, FieldEnum, Json, Map, PaasType, Plugin, Ref, Secret, paas_type};

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
    let mut demo = Plugin::new("demo", "1.2.3").instance::<DemoInstance>().child::<Page>().child::<DemoNote>();
    demo.actions.push((DemoInstance::DESCRIPTOR, "restart"));
    Registry::new(vec![demo, Plugin::new("zone", "0.1.0").instance::<Zone>()]).unwrap()
}

fn json_of(registry: &Registry) -> Value {
    serde_json::from_str(&document(registry, "9.9.9").to_json().unwrap()).unwrap()
}

/// A validator of the component `name`.
fn validator(document: &Value, name: &str) -> Validator {
    let root = json!({ "$ref": format!("#/components/schemas/{name}"), "components": document["components"] });
    let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).should_validate_formats(true);
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
                assert!(document.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference} is missing");
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
            for (method, operation) in item.as_object().unwrap().iter().filter(|(method, _)| *method != "parameters") {
                assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{method} {path}");
                assert!(tags.contains(operation["tags"][0].as_str().unwrap()), "{method} {path}");
                assert!(operation["responses"].as_object().is_some_and(|map| !map.is_empty()), "{method} {path}");
                for scheme in operation["security"].as_array().into_iter().flatten().flat_map(|item| item.as_object().unwrap().keys()) {
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
            methods.map(|(method, operation)| format!("{method} {} {}", operation["operationId"].as_str().unwrap(), operation["x-required-permission"].as_str().unwrap_or("-"))).collect(),
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
    assert_eq!(found["/v1/iam/users"], ["get iam_users_list iam.users.list", "post iam_users_create iam.users.create"]);
    let update = &document["paths"]["/v1/types/demo/instances/{instance}"]["patch"];
    for status in ["200", "400", "401", "403", "404", "409", "412", "413", "415", "503"] {
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
    let document: Value = serde_json::from_str(&document_of(&registry, "zone").unwrap().to_json().unwrap()).unwrap();
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

fn right_body() -> Value {
    json!({"name": "a", "project_id": Uuid::nil(), "region": "eu", "owner_count": 3})
}

/// Changes of a right body and whether it still is one.
fn changes() -> Vec<(&'static str, Value, bool)> {
    vec![
        ("name", json!("A"), false),
        ("name", json!("a-"), false),
        ("name", json!(null), false),
        ("greeting", json!(""), false),
        ("greeting", json!("x".repeat(81)), false),
        ("greeting", json!(7), false),
        ("greeting", json!(null), true),
        ("replicas", json!(5), true),
        ("replicas", json!(5.0), true),
        ("replicas", json!(5.5), false),
        ("replicas", json!(6), false),
        ("replicas", json!(0), false),
        ("theme", json!("dark"), true),
        ("theme", json!(null), true),
        ("theme", json!("red"), false),
        ("region", json!("-"), false),
        ("region", json!(null), false),
        ("note", json!(null), true),
        ("note", json!(""), true),
        ("settings", json!({"a": 255}), true),
        ("settings", json!({"a": 256}), false),
        ("settings", json!({"a": 1, "b": 2, "c": 3}), false),
        ("settings", json!({"a": null}), false),
        ("settings", json!([]), false),
        ("looks", json!(["dark"]), true),
        ("looks", json!(["red"]), false),
        ("looks", json!(["dark", "dark", "dark"]), false),
        ("looks", json!(null), true),
        ("every", json!("1h 30m"), true),
        ("every", json!("1h30m"), true),
        ("every", json!("soon"), false),
        ("every", json!(90), false),
        ("password", json!("x"), true),
        ("password", json!(1), false),
        ("password", json!(null), true),
        ("url", json!(7), true),
        ("extra", json!([1, {"a": null}]), true),
        ("until", json!("2030-01-01T00:00:00+02:00"), true),
        ("until", json!("tomorrow"), false),
        ("root", json!("/a"), true),
        ("root", json!("a"), false),
        ("owner_count", json!(-5), true),
        ("owner_count", json!(null), false),
        ("owner_count", json!("5"), false),
        ("version", json!("1.2.3"), true),
        ("version", json!(null), true),
        ("version", json!("9"), false),
        ("description", json!("x".repeat(1025)), false),
        ("description", json!(null), true),
        ("labels", json!({"app.example/a": "b", "c": ""}), true),
        ("labels", json!({"a b": "c"}), false),
        ("labels", json!({"a": "-"}), false),
        ("labels", json!({"a": 1}), false),
        ("labels", json!(null), true),
        ("status", json!("ACTIVE"), true),
        ("nodes", json!([]), true),
        ("colour", json!("red"), false),
    ]
}

fn allowed(ty: &'static TypeDescriptor, action: Action) -> crate::authz::Allowed {
    authorize(&RequestContext::system("test"), ty, action)
}

fn create(registered: &RegisteredType, body: &Value) -> Result<NewResource, crate::error::Error> {
    validate::create(registered, &allowed(registered.ty, Action::Create), Uuid::nil(), body)
}

#[test]
fn create_schemas_take_what_the_server_takes() {
    let registry = registry();
    let demo = registry.root("demo").unwrap();
    let schema = validator(&json_of(&registry), "DemoInstanceCreate");
    let check = |body: &Value, expected: bool| {
        let server = create(demo, body);
        assert_eq!(server.is_ok(), expected, "server: {body} {:?}", server.err());
        assert_eq!(schema.is_valid(body), expected, "schema: {body}");
    };
    check(&right_body(), true);
    check(&json!([]), false);
    for (member, value, expected) in changes() {
        let mut body = right_body();
        body[member] = value;
        check(&body, expected);
    }
    for member in ["name", "region", "owner_count"] {
        let mut body = right_body();
        body.as_object_mut().unwrap().remove(member);
        check(&body, false);
    }
    let pages = registry.find("demo", "pages").unwrap();
    let schema = validator(&json_of(&registry), "DemoPageCreate");
    for (body, expected) in [
        (json!({"path": "home", "text": ""}), true),
        (json!({"path": "", "text": ""}), false),
        (json!({"path": "home", "text": "", "version": "1"}), false),
        (json!({"path": "home", "text": "", "name": "x"}), false),
        (json!({"path": "home", "text": "", "other": Uuid::nil()}), true),
        (json!({"path": "home", "text": "", "other": "x"}), false),
    ] {
        assert_eq!(create(pages, &body).is_ok(), expected, "server: {body}");
        assert_eq!(schema.is_valid(&body), expected, "schema: {body}");
    }
}

/// The row that `new` becomes, and its spec.
fn stored(registered: &RegisteredType, new: NewResource) -> (Resource, Spec) {
    let now = Utc::now();
    let ty = registered.ty;
    let spec: Spec = ty.fields.iter().map(|field| field.name.to_owned()).zip(new.fields.clone()).collect();
    let data = ty.fields.iter().zip(new.fields).map(|(field, value)| match value {
        Value::Null => Datum::Null,
        _ if field.is_secret() => Datum::Sealed(String::new()),
        value => Datum::Written(value),
    });
    let meta = Meta {
        id: Uuid::now_v7(),
        project_id: new.project_id,
        instance_id: Uuid::nil(),
        parent_id: Uuid::nil(),
        name: new.name,
        description: new.description,
        version: new.version,
        labels: raw_json(&new.labels),
        status: "CREATING".into(),
        conditions: raw_json(&json!([])),
        nodes: ty.is_instance().then(|| raw_json(&json!([]))),
        generation: 1,
        observed_generation: 0,
        held_generation: 1,
        revision: 7,
        created_at: now,
        updated_at: now,
        deleting_at: None,
    };
    (Resource { ty, meta, fields: data.collect() }, spec)
}

#[test]
fn update_schemas_take_what_the_server_takes() {
    let registry = registry();
    let document = json_of(&registry);
    let demo = registry.root("demo").unwrap();
    let (row, spec) = stored(demo, create(demo, &right_body()).unwrap());
    let check = |mode: UpdateMode, body: &Value, expected: bool| {
        let name = if mode == UpdateMode::Merge { "DemoInstancePatch" } else { "DemoInstanceReplace" };
        let server = validate::update(demo, &allowed(demo.ty, Action::Update), &row, &spec, body, mode);
        assert_eq!(server.is_ok(), expected, "server: {mode:?} {body} {:?}", server.err());
        assert_eq!(validator(&document, name).is_valid(body), expected, "schema: {mode:?} {body}");
    };
    check(UpdateMode::Merge, &json!({}), true);
    check(UpdateMode::Replace, &json!({}), false);
    check(UpdateMode::Replace, &json!({"owner_count": 4}), true);
    // What a read answers can be sent back.
    let answer = serde_json::to_value(&row).unwrap();
    check(UpdateMode::Replace, &answer, true);
    check(UpdateMode::Merge, &answer, true);
    for (member, value, expected) in changes() {
        // A schema cannot know which versions were there before; null takes a member of a map away.
        if member == "version" && !expected || value == json!({"a": null}) || value == json!({"a": 1, "b": 2, "c": 3}) {
            continue;
        }
        let mut body = answer.clone();
        body[member] = value.clone();
        check(UpdateMode::Replace, &body, expected);
        check(UpdateMode::Merge, &json!({ member: value }), expected);
    }
    check(UpdateMode::Merge, &json!({"settings": {"a": null}, "labels": {"a": null}}), true);
}

#[test]
fn answers_are_as_described() {
    let registry = registry();
    let document = json_of(&registry);
    let bodies = [
        ("instances", "DemoInstance", right_body()),
        ("pages", "DemoPage", json!({"path": "home", "text": "hi"})),
        ("access-notes", "DemoNote", json!({"text": "hi"})),
    ];
    for (plural, name, body) in bodies {
        let registered = registry.find("demo", plural).unwrap();
        let (row, _) = stored(registered, create(registered, &body).unwrap());
        let answer = serde_json::to_value(&row).unwrap();
        let schema = validator(&document, name);
        let problems: Vec<String> = schema.iter_errors(&answer).map(|error| error.to_string()).collect();
        assert!(problems.is_empty(), "{problems:?} in {answer}");
        let described = &document["components"]["schemas"][name]["properties"];
        for member in answer.as_object().unwrap().keys().filter(|member| *member != "key") {
            assert!(described.get(member).is_some(), "{name}.{member} is not described");
        }
        let list = json!({"items": [answer], "next_page_token": null});
        assert!(validator(&document, &format!("{name}List")).is_valid(&list));
    }
}

#[test]
fn the_catalogue_is_as_described() {
    let registry = registry();
    let described = crate::describe::types(&registry, &|_| Some(3));
    let list = json!({"items": described, "next_page_token": null});
    let schema = validator(&json_of(&registry), "HostedTypeList");
    let problems: Vec<String> = schema.iter_errors(&list).map(|error| error.to_string()).collect();
    assert!(problems.is_empty(), "{problems:?} in {list}");
}
