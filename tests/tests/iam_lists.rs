//! Lists below `/v1/iam/` and of operations are as api.md has all lists: order, filters, selected fields, page tokens.

use metapaas_tests::harness::{Installation, On};
use metapaas_tests::sse::Stream;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{PROGRAM, on_both};

on_both!(
    lists_of_iam_are_sorted_filtered_and_cut_as_all_lists,
    what_a_list_of_iam_cannot_do_gets_400_with_what_it_can,
    streams_of_iam_take_filters_and_fields,
    lists_of_operations_are_sorted_filtered_and_cut_as_all_lists,
);

async fn people(on: On) -> Installation {
    let installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    for (name, disabled) in [("vera", false), ("otto", true), ("olga", false)] {
        let body = json!({ "name": name, "disabled": disabled, "email": format!("{name}@example.org") });
        let _ = installation.call(Method::POST, "/v1/iam/users", body).await.expect(201);
        let principal = json!({ "kind": "user", "name": name });
        let body = json!({ "project_id": project, "principal": principal, "role": "viewer" });
        let _ = installation.call(Method::POST, "/v1/iam/bindings", body).await.expect(201);
    }
    installation
}

async fn names(installation: &Installation, path: &str) -> Vec<String> {
    let list = installation.get(path).await.expect(200).body;
    let items = list["items"].as_array().unwrap().iter();
    items.map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

async fn lists_of_iam_are_sorted_filtered_and_cut_as_all_lists(on: On) {
    let installation = people(on).await;
    for (query, expected) in [
        ("order_by=name", &["admin", "olga", "otto", "vera"][..]),
        ("order_by=created_at%20desc&filter=name%20!=%20admin", &["olga", "otto", "vera"]),
        ("disabled=true", &["otto"]),
        ("name=olga&name=vera&order_by=name%20desc", &["vera", "olga"]),
        ("filter=email:example%20AND%20NOT%20disabled%20=%20true&order_by=name", &["olga", "vera"]),
    ] {
        assert_eq!(names(&installation, &format!("/v1/iam/users?{query}")).await, expected, "{query}");
    }
    let few = installation.get("/v1/iam/users?fields=name,disabled&name=otto").await.expect(200).body;
    assert_eq!(few["items"], json!([{ "name": "otto", "disabled": true }]));
    // Those that are built in have their places among the others.
    let project = installation.default_project().await;
    let role = json!({ "name": "painter", "project_id": project, "permissions": ["demo.*.read"] });
    let _ = installation.call(Method::POST, "/v1/iam/roles", role).await.expect(201);
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/iam/roles?order_by=name&limit=1&page_token={token}");
        let page = installation.get(&path).await.expect(200).body;
        seen.push(page["items"][0]["name"].as_str().unwrap().to_owned());
        match page["next_page_token"].as_str() {
            Some(next) => next.clone_into(&mut token),
            None => break,
        }
    }
    assert_eq!(seen, ["operator", "owner", "painter", "viewer"]);
    let vera = installation.get("/v1/iam/users/vera").await.expect(200).body["id"].clone();
    let path = format!("/v1/iam/bindings?principal_id={}&role=viewer", vera.as_str().unwrap());
    let bindings = installation.get(&path).await.expect(200).body;
    assert_eq!(bindings["items"].as_array().unwrap().len(), 1);
    assert_eq!(bindings["items"][0]["principal"]["name"], "vera");
    let audit = installation.get("/v1/iam/audit?order_by=at&fields=action&limit=1000").await.expect(200).body;
    let newest = installation.get("/v1/iam/audit?fields=action&limit=1000").await.expect(200).body;
    let mut reversed = newest["items"].as_array().unwrap().clone();
    reversed.reverse();
    assert_eq!(audit["items"].as_array().unwrap().first(), reversed.first());
}

async fn what_a_list_of_iam_cannot_do_gets_400_with_what_it_can(on: On) {
    let installation = people(on).await;
    let problem = async |path: &str| {
        let refused = installation.get(path).await.expect(400).body;
        let problem = &refused["errors"][0];
        (problem["code"].as_str().unwrap().to_owned(), problem["detail"].as_str().unwrap().to_owned())
    };
    for (path, code, listed) in [
        ("users?must_change_password=true", "NOT_FILTERABLE", "id, name, email, disabled, created_at"),
        ("users?filter=updated_at%20=%201", "NOT_FILTERABLE", "id, name, email, disabled, created_at"),
        ("users?order_by=email", "NOT_SORTABLE", "id, name, created_at"),
        ("projects?order_by=description", "NOT_SORTABLE", "id, name, created_at"),
        ("bindings?order_by=principal_id", "NOT_SORTABLE", "id, role, created_at"),
        ("users?fields=password", "UNKNOWN_FIELD", "id, name, email, disabled"),
        ("users?project_id=x", "UNKNOWN_PARAMETER", "limit, page_token, filter, order_by, fields"),
        ("audit?order_by=action", "NOT_SORTABLE", "id, at"),
    ] {
        let (found, detail) = problem(&format!("/v1/iam/{path}")).await;
        assert_eq!(found, code, "{path}: {detail}");
        assert!(detail.contains(listed), "{path}: {detail}");
    }
    let page = installation.get("/v1/iam/users?limit=1&order_by=name").await.expect(200).body;
    let token = page["next_page_token"].as_str().unwrap();
    let next = format!("/v1/iam/users?limit=1&order_by=name&page_token={token}");
    assert_eq!(names(&installation, &next).await, ["olga"]);
    for other in ["users?order_by=id", "users?order_by=name&disabled=true", "projects?order_by=name"] {
        let (code, detail) = problem(&format!("/v1/iam/{other}&page_token={token}")).await;
        assert!(code == "INVALID_VALUE" && detail.contains("another path"), "{other}: {detail}");
    }
    // As versions before 0.1 wrote them.
    let old = "MQAAAAAAAAAAAAAAAAAAAAA";
    let refused = installation.get(&format!("/v1/iam/users?page_token={old}")).await.expect(410).body;
    assert_eq!(refused["code"], "EXPIRED");
}

async fn streams_of_iam_take_filters_and_fields(on: On) {
    let installation = people(on).await;
    let mut stream =
        Stream::open(&installation, "/v1/iam/users?disabled=true&fields=id,name,disabled", None).await;
    let first = stream.until(|event| event.kind == "SYNCED").await;
    let rows: Vec<(&str, &Value)> = first.iter().map(|event| (event.kind.as_str(), &event.object)).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (rows[0].0, &rows[0].1["name"], rows[0].1.as_object().unwrap().len()),
        ("ADDED", &json!("otto"), 3)
    );
    let change = async |name: &str, disabled: bool| {
        let path = format!("/v1/iam/users/{name}");
        let _ = installation.call(Method::PATCH, &path, json!({ "disabled": disabled })).await.expect(200);
    };
    change("olga", true).await;
    let told = stream.until(|event| event.kind == "ADDED").await;
    assert_eq!(told.last().unwrap().object["name"], "olga");
    change("otto", false).await;
    let told = stream.until(|event| event.kind == "DELETED").await;
    assert_eq!(told.last().unwrap().object["id"], rows[0].1["id"], "it fits no more");
}

async fn lists_of_operations_are_sorted_filtered_and_cut_as_all_lists(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    let mut ids = Vec::new();
    for name in ["one", "two"] {
        let body = json!({ "name": name, "project_id": project, "greeting": "hi" });
        let path = "/v1/types/demo/instances";
        let made = installation.call(Method::POST, path, body).await.expect(201).body;
        let path = format!("{path}/{name}/actions/restart");
        let _ = installation.call(Method::POST, &path, json!({})).await.expect(202);
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    let resources = async |query: &str| {
        let list = installation.get(&format!("/v1/operations?{query}")).await.expect(200).body;
        let items = list["items"].as_array().unwrap().iter();
        items.map(|one| one["resource"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(resources("").await, ["two", "one"], "the newest first");
    assert_eq!(resources("order_by=created_at").await, ["one", "two"]);
    assert_eq!(resources(&format!("resource_id={}", ids[0])).await, ["one"]);
    assert_eq!(resources(&format!("filter=instance_id%20!=%20{}", ids[0])).await, ["two"]);
    assert_eq!(resources("status=CANCELLED").await, [""; 0]);
    let few = installation.get("/v1/operations?fields=action&limit=1").await.expect(200).body;
    assert_eq!(few["items"], json!([{ "action": "restart" }]));
    let refused = installation.get("/v1/operations?order_by=status").await.expect(400).body;
    assert_eq!(refused["errors"][0]["code"], "NOT_SORTABLE");
    let refused = installation.get("/v1/operations?action=restart").await.expect(400).body;
    assert_eq!(refused["errors"][0]["code"], "NOT_FILTERABLE");
}
