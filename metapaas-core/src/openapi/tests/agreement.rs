//! The schemas take what the server takes, and describe what it answers.

use chrono::Utc;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{json_of, registry, validator};
use crate::authz::authorize;
use crate::descriptor::{Action, Spec, TypeDescriptor};
use crate::registry::RegisteredType;
use crate::request::RequestContext;
use crate::resource::{Datum, Meta, NewResource, Resource};
use crate::store::value::raw_json;
use crate::validate::{self, UpdateMode};

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
        deletion_protection: false,
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
        if member == "version" && !expected
            || value == json!({"a": null})
            || value == json!({"a": 1, "b": 2, "c": 3})
        {
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
    let described = crate::describe::types(&registry, &|_| crate::describe::Standing::default());
    let list = json!({"items": described, "next_page_token": null});
    let schema = validator(&json_of(&registry), "HostedTypeList");
    let problems: Vec<String> = schema.iter_errors(&list).map(|error| error.to_string()).collect();
    assert!(problems.is_empty(), "{problems:?} in {list}");
}

#[test]
fn answers_of_the_issuer_are_as_described() {
    use crate::iam::{
        AuditActor, AuditRecord, Binding, CheckAnswer, CreatedToken, CreatedUser, Explanation, GrantedBy,
        Membership, Principal, Project, RoleEntry, ServiceAccount, ServiceToken, TokenPair, User, Whoami,
    };
    let (id, now, text) = (Uuid::now_v7(), Utc::now(), || "x".to_owned());
    let user = User {
        id,
        name: text(),
        email: None,
        disabled: false,
        must_change_password: true,
        created_at: now,
        updated_at: now,
        revision: 1,
    };
    let project =
        Project { id, name: text(), description: text(), created_at: now, updated_at: now, revision: 1 };
    let principal = Principal { kind: "service_account", id, name: text() };
    let account = ServiceAccount {
        id,
        project_id: id,
        name: text(),
        description: text(),
        disabled: true,
        created_at: now,
        updated_at: now,
        revision: 1,
    };
    let token = ServiceToken {
        id,
        service_account_id: id,
        description: text(),
        created_at: now,
        expires_at: Some(now),
        last_used_at: None,
    };
    let whoami = Whoami {
        kind: "user",
        id,
        name: text(),
        platform_role: None,
        must_change_password: false,
        bindings: vec![Membership { project_id: id, project: text(), role: "owner".into() }],
    };
    let pair = TokenPair {
        access_token: text(),
        refresh_token: text(),
        token_type: "Bearer",
        expires_in: 900,
        must_change_password: true,
    };
    let role = RoleEntry {
        id,
        name: text(),
        project_id: id,
        description: text(),
        permissions: vec!["demo.*.read".into()],
        built_in: false,
        created_at: Some(crate::resource::rfc3339(now)),
        updated_at: None,
        revision: 1,
    };
    let granted = GrantedBy {
        permission: text(),
        binding_id: Some(id),
        project_id: None,
        role: Some(text()),
        pattern: None,
    };
    let explanation = Explanation {
        allowed: false,
        reason: text(),
        permission: text(),
        project_id: id,
        principal: principal.clone(),
        granted_by: vec![granted.clone()],
        missing: vec![text()],
        roles: vec![text()],
        who_can_grant: vec![principal.clone()],
    };
    let line = AuditRecord {
        id,
        at: now,
        actor: AuditActor { kind: "user".into(), id: Some(id), name: text() },
        request_id: text(),
        action: text(),
        resource: text(),
        project_id: None,
        outcome: "OK".into(),
        detail: None,
    };
    let answers = [
        ("IamUser", json!(user)),
        ("IamUserCreated", json!(CreatedUser { user, password: Some(text()) })),
        ("IamProject", json!(project)),
        (
            "IamBinding",
            json!(Binding {
                id,
                project_id: id,
                principal: principal.clone(),
                role: "viewer".into(),
                role_id: None,
                created_at: now
            }),
        ),
        ("IamServiceAccount", json!(account)),
        ("IamToken", json!(token)),
        ("IamTokenCreated", json!(CreatedToken { info: token, token: text() })),
        ("IamWhoami", json!(whoami)),
        ("IamTokens", json!(pair)),
        ("IamCheck", json!(CheckAnswer { allowed: true, reason: text() })),
        ("IamRole", json!(role)),
        ("IamExplanation", json!(explanation)),
        ("IamGrantedBy", json!(granted)),
        ("IamAuditRecord", json!(line)),
    ];
    let document = json_of(&registry());
    for (name, answer) in answers {
        let problems: Vec<String> =
            validator(&document, name).iter_errors(&answer).map(|error| error.to_string()).collect();
        assert!(problems.is_empty(), "{name}: {problems:?} in {answer}");
        for member in answer.as_object().unwrap().keys() {
            let described = &document["components"]["schemas"][name]["properties"][member];
            assert!(described.is_object(), "{name}.{member} is not described");
        }
    }
}
