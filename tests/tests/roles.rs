//! Custom roles, `check` and `explain` by HTTP and by command line.

use metapaas_tests::harness::{Installation, On};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{PROGRAM, on_both};

on_both!(
    a_custom_role_gives_what_it_names_and_no_more,
    a_denial_points_to_its_explanation,
    roles_by_command_line,
);

const DEMO: &str = "/v1/types/demo/instances";
const ONE: &str = "/v1/types/demo/instances/my-demo";
const ROLES: &str = "/v1/iam/roles";

async fn a_custom_role_gives_what_it_names_and_no_more(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    let permissions = ["demo.*.read", "demo.*.list", "demo.instances.update", "demo.instances.field:theme"];
    let role = json!({ "name": "painter", "project_id": project, "description": "colours", "permissions": permissions });
    let made = installation.call(Method::POST, ROLES, role).await.expect(201);
    let id = made.body["id"].as_str().unwrap();
    assert_eq!(made.header("location"), Some(format!("{ROLES}/{id}").as_str()));
    let shown = installation.get(&format!("{ROLES}/painter")).await.expect(200).body;
    assert_eq!(
        (&shown["id"], &shown["permissions"], &shown["built_in"]),
        (&made.body["id"], &json!(permissions), &json!(false))
    );
    let painter = installation.user("paul", &project, "painter").await;
    let create = json!({ "name": "my-demo", "project_id": project, "greeting": "hi" });
    let denied = installation.call_as(&painter, Method::POST, DEMO, create.clone()).await.expect(403);
    assert_eq!(denied.body["permission"], "demo.instances.create");
    let _ = installation.call(Method::POST, DEMO, create).await.expect(201);
    // `theme` is reserved for owners, and the role names it.
    let theme = json!({ "theme": "dark", "greeting": "hello" });
    let _ = installation.call_as(&painter, Method::PATCH, ONE, theme).await.expect(200);
    let _ = installation.call_as(&painter, Method::DELETE, ONE, Value::Null).await.expect(403);

    let body = json!({ "permissions": ["demo.*.read", "demo.*.list"] });
    let _ = installation.call(Method::PATCH, &format!("{ROLES}/painter"), body).await.expect(200);
    let greeting = json!({ "greeting": "again" });
    let _ = installation.call_as(&painter, Method::PATCH, ONE, greeting).await.expect(403);
    let used = installation.call(Method::DELETE, &format!("{ROLES}/{id}"), Value::Null).await.expect(409);
    assert_eq!((&used.body["code"], &used.body["bindings"]), (&json!("IN_USE"), &json!(1)));
    let _ = installation.call(Method::DELETE, "/v1/iam/users/paul", Value::Null).await.expect(204);
    let _ = installation.call(Method::DELETE, &format!("{ROLES}/{id}"), Value::Null).await.expect(204);
    let _ = installation.get(&format!("{ROLES}/{id}")).await.expect(404);

    let wrong = json!({ "name": "wrong", "project_id": project, "permissions": ["demo.instances.raed"] });
    let wrong = installation.call(Method::POST, ROLES, wrong).await.expect(400);
    assert_eq!(wrong.body["errors"][0]["code"], "UNKNOWN_PERMISSION");
    assert!(wrong.body["errors"][0]["detail"].as_str().unwrap().contains("demo.instances.read"));
    let owner =
        installation.call(Method::PATCH, &format!("{ROLES}/owner"), json!({ "description": "" })).await;
    assert_eq!(owner.expect(409).body["code"], "INVALID_STATE");
    // The only built-in roles, beside none of the project's own.
    let listed = installation.get(ROLES).await.expect(200).body;
    let names: Vec<&str> =
        listed["items"].as_array().unwrap().iter().filter_map(|role| role["name"].as_str()).collect();
    assert_eq!(names, ["viewer", "operator", "owner"]);
}

async fn a_denial_points_to_its_explanation(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    let _owner = installation.user("olga", &project, "owner").await;
    let operator = installation.user("otto", &project, "operator").await;
    let body = json!({ "name": "my-demo", "project_id": project, "greeting": "hi" });
    let denied = installation.call_as(&operator, Method::POST, DEMO, body).await.expect(403).body;
    assert!(denied["detail"].as_str().unwrap().contains("/v1/iam/explain"), "{denied}");
    let question = json!({ "permission": denied["permission"], "project_id": denied["project_id"] });
    let why = installation.call_as(&operator, Method::POST, "/v1/iam/explain", question.clone()).await;
    let why = why.expect(200).body;
    assert_eq!((&why["allowed"], &why["missing"]), (&json!(false), &json!(["demo.instances.create"])));
    assert_eq!(why["roles"], json!(["owner"]));
    assert!(why["reason"].as_str().unwrap().starts_with("denied because otto has only operator"), "{why}");
    let names: Vec<&str> =
        why["who_can_grant"].as_array().unwrap().iter().filter_map(|who| who["name"].as_str()).collect();
    assert!(names.contains(&"olga") && names.contains(&"admin"), "{why}");

    let mut of_olga = question.clone();
    of_olga["principal"] = json!({ "kind": "user", "name": "olga" });
    let why =
        installation.call_as(&operator, Method::POST, "/v1/iam/explain", of_olga.clone()).await.expect(200);
    assert_eq!((&why.body["allowed"], &why.body["granted_by"][0]["role"]), (&json!(true), &json!("owner")));
    let stranger =
        installation.call(Method::POST, "/v1/iam/projects", json!({ "name": "other" })).await.expect(201);
    let stranger = installation.user("sten", stranger.body["id"].as_str().unwrap(), "owner").await;
    let _ = installation.call_as(&stranger, Method::POST, "/v1/iam/explain", of_olga).await.expect(404);

    let mut question = question;
    question["explain"] = json!(true);
    let check = installation.call_as(&operator, Method::POST, "/v1/iam/check", question).await.expect(200);
    assert_eq!(check.body["missing"], json!(["demo.instances.create"]));
}

async fn roles_by_command_line(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let run = |arguments: &[&str]| {
        let ended = installation.cli(arguments);
        let out = String::from_utf8_lossy(&ended.stdout).into_owned();
        (ended.status.code(), format!("{out}{}", String::from_utf8_lossy(&ended.stderr)))
    };
    let create = ["iam", "roles", "create", "reader", "--project", "default", "--permission", "demo.*.read"];
    let (code, said) = run(&create);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&["iam", "roles", "list"]);
    assert!(code == Some(0) && said.contains("reader") && said.contains("owner"), "{said}");
    let (code, said) = run(&["iam", "roles", "get", "reader"]);
    assert!(code == Some(0) && said.contains("demo.*.read"), "{said}");
    let project = installation.default_project().await;
    installation.user("rita", &project, "reader").await;
    let check =
        ["iam", "check", "demo.instances.delete", "--project", "default", "--explain", "--user", "rita"];
    let (code, said) = run(&check);
    assert!(code == Some(4) && said.contains("denied because rita") && said.contains("admin"), "{said}");
    let (code, said) = run(&["iam", "roles", "delete", "reader"]);
    assert!(code != Some(0) && said.contains("bindings give the role"), "{said}");
    let (code, said) = run(&["iam", "audit", "--action", "iam.roles.create"]);
    assert!(code == Some(0) && said.contains("roles/reader") && said.contains("local-cli"), "{said}");
}
