//! Whole commands against a small server: what they send, print and end with.

use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::Utc;
use clap::{CommandFactory, Parser};
use serde_json::{Value, json};

use super::stub::{Cli, Stub};

mod logins;
mod watches;
mod writes;

const ID: &str = "01990000-0000-7000-8000-000000000001";
const PROJECT: &str = "01990000-0000-7000-8000-00000000000a";

fn demo(status: &str) -> Value {
    json!({"id": ID, "name": "web", "type": "demo", "project_id": PROJECT, "version": "0.1.0", "greeting": "hi",
           "replicas": 1, "status": status, "nodes": [], "conditions": [], "generation": 1,
           "observed_generation": i64::from(status == "ACTIVE"), "labels": {},
           "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"})
}

fn not_found() -> (u16, &'static str, Value) {
    (404, "", json!({"title": "Not found", "detail": "demo `web` does not exist, or you may not see it"}))
}

#[test]
fn the_grammar_has_no_contradictions() {
    Cli::command().debug_assert();
    let help = Cli::command().render_long_help().to_string();
    assert!(help.starts_with("The top level"), "{help}");
    assert!(Cli::try_parse_from(["metapaas", "list", "demo", "--limit", "0"]).is_err());
    assert!(Cli::try_parse_from(["metapaas", "iam", "bindings", "create", "--role", "owner"]).is_err());
}

#[test]
fn a_token_is_not_in_debug_output() {
    let cli = Cli::try_parse_from(["metapaas", "--token", "hush", "whoami"]).unwrap();
    assert!(!format!("{:?}", cli.options).contains("hush"));
}

#[tokio::test]
async fn create_sends_typed_fields_and_names_what_it_made() {
    let stub = Stub::start(|_| (201, "", demo("PENDING"))).await;
    let ended = stub
        .run(&[
            "create",
            "demo",
            "web",
            "greeting=hi",
            "replicas=2",
            "labels.tier=a",
            "--label",
            "team=@b",
            "--project",
            PROJECT,
        ])
        .await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out.starts_with("demo/web created\nname        web\n"), "{}", ended.out);
    let calls = stub.calls();
    assert_eq!(calls[0].line, "POST /v1/types/demo/instances");
    assert_eq!(calls[0].token, "given-token");
    let expected = json!({"name": "web", "greeting": "hi", "replicas": 2, "project_id": PROJECT,
                          "labels": {"tier": "a", "team": "@b"}});
    assert_eq!(calls[0].body, expected);
}

#[tokio::test]
async fn a_child_gets_its_name_in_the_key_field() {
    let page = json!({"id": ID, "path": "@home/x", "text": "t", "status": "PENDING"});
    let stub = Stub::start(move |_| (201, "", page.clone())).await;
    let ended = stub.run(&["create", "demo/web/pages", "@home/x", "text=t", "-o", "json"]).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(serde_json::from_str::<Value>(&ended.out).unwrap()["path"], "@home/x");
    let call = &stub.calls()[0];
    assert_eq!(call.line, "POST /v1/types/demo/instances/web/pages");
    assert_eq!(call.body, json!({"path": "@home/x", "text": "t"}));
}

#[tokio::test]
async fn wrong_fields_are_told_before_anything_is_sent() {
    let stub = Stub::start(|_| (500, "", Value::Null)).await;
    for (arguments, code, part) in [
        (
            vec!["create", "demo", "web", "greting=x", "replicas=y"],
            6,
            "greting: there is no such field; did you mean",
        ),
        (vec!["create", "demo", "web"], 6, "greeting: is required"),
        (vec!["create", "demo", "greeting=x"], 2, "write `metapaas create demo NAME field=value"),
        (vec!["create", "demo/web", "x"], 2, "names one `demo`, not a collection"),
        (vec!["create", "dmo", "x"], 3, "did you mean `demo`?"),
        (vec!["set", "demo/web", "replicas"], 2, "write field=value"),
        (vec!["get", "demo"], 2, "names a collection"),
    ] {
        let ended = stub.run(&arguments).await;
        assert_eq!(ended.code, code, "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains(part), "{arguments:?}: {}", ended.err);
        assert_eq!(ended.out, "");
    }
    assert_eq!(stub.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn refusals_end_with_their_own_code() {
    for (status, code) in [(400, 6), (403, 4), (404, 3), (409, 5), (412, 5), (500, 1), (503, 7)] {
        let stub = Stub::start(move |_| (status, "", json!({"detail": "no", "request_id": "r-7"}))).await;
        let ended = stub.run(&["get", "demo/web"]).await;
        assert_eq!((ended.code, ended.err.as_str()), (code, "error: no\n  request id: r-7\n"));
    }
}

#[tokio::test]
async fn wait_reads_conditionally_until_active_and_keeps_a_generated_secret() {
    let reads = AtomicUsize::new(0);
    let stub = Stub::start(move |call| {
        if call.line.starts_with("POST") {
            let mut made = demo("PENDING");
            made["password"] = json!("generated");
            return (201, "\"1\"", made);
        }
        if call.line.starts_with("GET /v1/iam/projects") {
            return (403, "", Value::Null);
        }
        match (reads.fetch_add(1, Ordering::SeqCst), call.if_none_match.as_str()) {
            (0, "") => (200, "\"1\"", demo("CREATING")),
            (1, "\"1\"") => (304, "\"1\"", Value::Null),
            (2, "\"1\"") => (503, "", json!({"detail": "the database is away"})),
            (3, "\"1\"") => {
                let mut early = demo("ACTIVE");
                early["observed_generation"] = json!(0);
                (200, "\"2\"", early)
            }
            (4, "\"2\"") => (200, "\"3\"", demo("ACTIVE")),
            unexpected => (500, "", json!({"detail": format!("{unexpected:?}")})),
        }
    })
    .await;
    let ended = stub.run(&["create", "demo", "web", "greeting=hi", "--wait", "-o", "json"]).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    let shown: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((&shown["status"], &shown["password"]), (&json!("ACTIVE"), &json!("generated")));
    assert_eq!(
        ended.err,
        "demo/web: CREATING\ndemo/web: the server does not answer, trying again\ndemo/web: CREATING\ndemo/web: ACTIVE\n"
    );
    assert_eq!(stub.lines()[2], format!("GET /v1/types/demo/instances/{ID}"));
}

#[tokio::test]
async fn a_wait_that_takes_too_long_says_what_it_waited_for() {
    let stub = Stub::start(|_| {
        let mut resource = demo("CREATING");
        resource["conditions"] =
            json!([{"type": "Ready", "status": "False", "reason": "NodesStarting", "message": "0 of 1 nodes"}]);
        (200, "", resource)
    })
    .await;
    let ended = stub.run(&["wait", "demo/web", "--timeout", "250ms"]).await;
    assert_eq!(ended.code, 8);
    let expected = "error: demo/web is CREATING (NodesStarting: 0 of 1 nodes) after 250ms; it goes on";
    assert!(ended.err.contains(expected), "{}", ended.err);
    assert!(ended.out.contains("status      CREATING"), "{}", ended.out);
}

#[tokio::test]
async fn a_wait_for_active_ends_at_an_error_that_lasts_and_at_a_deletion() {
    let stub = Stub::start(|call| {
        let mut resource = demo(if call.line.contains("/doomed") { "DELETING" } else { "ERROR" });
        resource["id"] = if call.line.contains("/doomed") { json!("doomed") } else { json!(ID) };
        resource["conditions"] =
            json!([{"type": "Ready", "status": "False", "reason": "Refused", "message": "no room"}]);
        (200, "", resource)
    })
    .await;
    let ended = stub.run(&["wait", "demo/web"]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.err.ends_with("error: demo/web is in ERROR: Refused: no room\n"), "{}", ended.err);
    let ended = stub.run(&["wait", "demo/doomed"]).await;
    assert_eq!(ended.code, 5);
    assert!(ended.err.contains("is being deleted"), "{}", ended.err);
}

#[tokio::test]
async fn delete_waits_until_the_row_is_gone() {
    let reads = AtomicUsize::new(0);
    let stub = Stub::start(move |call| {
        if call.line.starts_with("DELETE") {
            return (202, "", demo("DELETING"));
        }
        if reads.fetch_add(1, Ordering::SeqCst) < 2 { (200, "", demo("DELETING")) } else { not_found() }
    })
    .await;
    let ended = stub.run(&["delete", "demo/web", "--wait"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (0, "demo/web deleted\n"), "{}", ended.err);
    assert_eq!(stub.lines()[0], "DELETE /v1/types/demo/instances/web");
    let ended = stub.run(&["wait", "demo/web", "--for", "DELETED"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (0, "demo/web is not there\n"), "{}", ended.err);
}

#[tokio::test]
async fn set_sends_a_merge_patch() {
    let stub = Stub::start(|_| (200, "", demo("ACTIVE"))).await;
    let arguments =
        ["set", "demo/web", "greeting=", "labels.old:=null", "extra:={\"a\":1}", "--dry-run", "-o", "yaml"];
    let ended = stub.run(&arguments).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out.contains("greeting: hi\n"), "{}", ended.out);
    let call = &stub.calls()[0];
    assert_eq!(call.line, "PATCH /v1/types/demo/instances/web?dry_run=true");
    assert_eq!(call.body, json!({"greeting": "", "labels": {"old": null}, "extra": {"a": 1}}));
}

#[tokio::test]
async fn lists_follow_pages_up_to_the_limit() {
    let stub = Stub::start(|call| {
        let more = !call.line.contains("page_token");
        let items: Vec<Value> = (0..2).map(|_| demo("ACTIVE")).collect();
        (200, "", json!({"items": items, "next_page_token": more.then_some("t 1")}))
    })
    .await;
    let ended = stub
        .run(&["list", "demo", "--all", "--status", "active,error", "-l", "tier=web", "-o", "json"])
        .await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(serde_json::from_str::<Value>(&ended.out).unwrap()["items"].as_array().unwrap().len(), 4);
    let lines = stub.lines();
    let query = "?status=ACTIVE&status=ERROR&label_selector=tier%3Dweb&limit=1000";
    assert!(lines[0].ends_with(query), "{lines:?}");
    assert!(lines[1].ends_with("limit=1000&page_token=t+1"), "{lines:?}");

    let chosen = ["list", "demo", "--limit", "2", "--fields", "name, status", "--order-by", "name desc"];
    let filters = ["--filter", "name:a OR name:b", "--filter", "status != ERROR"];
    let ended = stub.run(&[&chosen[..], &filters].concat()).await;
    assert!(ended.out.starts_with("NAME  STATUS\nweb   ACTIVE\n"), "{}", ended.out);
    let query = "?filter=%28name%3Aa+OR+name%3Ab%29+AND+%28status+%21%3D+ERROR%29&fields=name%2Cstatus\
                 &order_by=name+desc&limit=2";
    assert!(stub.lines()[2].ends_with(query), "{:?}", stub.lines());

    let ended = stub.run(&["list", "--limit", "2"]).await;
    assert!(
        ended.out.starts_with("NAME      STATUS  NODES  VERSION  AGE\ndemo/web  ACTIVE  0/0"),
        "{}",
        ended.out
    );
    assert_eq!(ended.err, "only the first 2 are shown; see more with --limit N or --all\n");
}

#[tokio::test]
async fn a_project_is_found_by_its_name() {
    let stub = Stub::start(|call| match call.line.as_str() {
        line if line.starts_with("GET /v1/iam/projects") => {
            (200, "", json!({"items": [{"id": PROJECT, "name": "shop"}], "next_page_token": null}))
        }
        _ => (200, "", demo("ACTIVE")),
    })
    .await;
    let ended = stub.run(&["get", "demo/web", "--project", "shop"]).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(stub.lines()[1], format!("GET /v1/types/demo/instances/web?project_id={PROJECT}"));
    let ended = stub.run(&["get", "demo/web", "--project", "shopp"]).await;
    assert_eq!(ended.code, 3);
    assert!(
        ended.err.contains("no project `shopp`; did you mean `shop`?; you may see: shop"),
        "{}",
        ended.err
    );
}

#[tokio::test]
async fn without_a_project_the_only_one_is_taken() {
    let platform = json!({"id": "4d657461-0000-0000-0000-000000000002", "name": "platform"});
    let shop = json!({"id": PROJECT, "name": "shop"});
    let bank = json!({"id": ID, "name": "bank"});
    for (projects, code, sent, said) in [
        (
            vec![&platform, &shop],
            0,
            Some(json!({"name": "web", "greeting": "hi", "project_id": PROJECT})),
            "",
        ),
        (vec![&platform], 0, Some(json!({"name": "web", "greeting": "hi"})), ""),
        (vec![&platform, &shop, &bank], 2, None, "say in which project: --project NAME, one of shop, bank"),
    ] {
        let listed = json!({"items": projects, "next_page_token": null});
        let stub = Stub::start(move |call| match call.line.as_str() {
            line if line.starts_with("GET /v1/iam/projects") => (200, "", listed.clone()),
            _ => (201, "", demo("PENDING")),
        })
        .await;
        let ended = stub.run(&["create", "demo", "web", "greeting=hi"]).await;
        assert_eq!(ended.code, code, "{ended:?}");
        assert!(ended.err.contains(said), "{ended:?}");
        let post = stub.calls().into_iter().find(|call| call.line.starts_with("POST"));
        assert_eq!(post.map(|call| call.body), sent);
    }
}

#[tokio::test]
async fn types_and_actions_read_well() {
    let stub = Stub::start(|_| (202, "", json!({"id": "op", "status": "RUNNING"}))).await;
    let ended = stub.run(&["types"]).await;
    assert_eq!(
        ended.out,
        "TYPE  PLUGIN      INSTANCES  CHILDREN      DESCRIPTION\ndemo  demo 0.1.0  3          pages, notes  A greeting on every node.\n"
    );
    let ended = stub.run(&["types", "demo"]).await;
    assert!(ended.out.contains("path      demo/NAME/pages/PATH/notes/ID\n"), "{}", ended.out);
    assert!(
        ended.out.contains("theme     enum            any time (owner)  light       one of light, dark"),
        "{}",
        ended.out
    );
    assert!(ended.out.contains("action    restart (force): Restarts it.\n"), "{}", ended.out);
    let ended = stub.run(&["action", "demo/web", "restrat"]).await;
    assert!(
        ended.err.contains("has no action `restrat`; did you mean `restart`?; it has: restart"),
        "{}",
        ended.err
    );
    let ended = stub.run(&["action", "demo/web", "restart", "force=true", "why=test"]).await;
    assert_eq!(ended.out, "restart of demo/web started\nid      op\nstatus  RUNNING\n", "{}", ended.err);
    let call = &stub.calls()[0];
    assert_eq!(call.line, "POST /v1/types/demo/instances/web/actions/restart");
    assert_eq!(call.body, json!({"force": true, "why": "test"}));
}

#[tokio::test]
async fn operations_are_awaited_and_quotas_set() {
    let stub = Stub::start(|call| match call.line.as_str() {
        line if line.starts_with("POST") => (202, "", json!({"id": "op", "status": "PENDING", "secrets": {"password": "new"}})),
        line if line.starts_with("GET /v1/operations/op") => {
            (200, "", json!({"id": "op", "status": "FAILED", "finished_at": "now", "error": {"detail": "no room"}}))
        }
        line if line.starts_with("GET /v1/operations?") || line == "GET /v1/operations" => {
            (200, "", json!({"items": [{"id": "op", "action": "restart", "status": "FAILED"}], "next_page_token": null}))
        }
        _ => (200, "", json!({"items": [
            {"resource": "instances", "limit": 3, "used": 1}, {"resource": "nodes", "limit": null, "used": 2},
            {"resource": "disk_gb", "limit": 9, "used": 0}]})),
    })
    .await;
    let ended = stub.run(&["action", "demo/web", "restart", "--wait"]).await;
    assert!(ended.out.contains("password  new"), "{ended:?}");
    assert!(ended.err.contains("operation op failed: no room"), "{ended:?}");
    assert!(ended.code != 0);
    let ended = stub.run(&["operations"]).await;
    assert!(ended.out.contains("op  restart"), "{ended:?}");
    let ended = stub.run(&["quota", "shop", "set", "instances:demo=5", "disk_gb="]).await;
    assert!(ended.out.contains("nodes      2"), "{ended:?}");
    let put = stub.calls().into_iter().find(|call| call.line.starts_with("PUT")).unwrap();
    assert_eq!(put.line, "PUT /v1/projects/shop/quota");
    assert_eq!(put.body, json!({"limits": {"instances": 3, "instances:demo": 5}}));
    let ended = stub.run(&["quota", "shop", "set", "nodes=many"]).await;
    assert!(ended.err.contains("`many` is no limit of nodes"), "{ended:?}");
}

#[tokio::test]
async fn iam_commands_follow_the_contract() {
    let stub = Stub::start(|call| match call.line.as_str() {
        "POST /v1/iam/users" => (201, "", json!({"id": ID, "name": "bob", "password": "made-once"})),
        "GET /v1/iam/users/bob" => (200, "", json!({"id": ID, "name": "bob"})),
        line if line.starts_with("GET /v1/iam/service-accounts/ci") => (200, "", json!({"id": "acc", "name": "ci"})),
        line if line.starts_with("GET /v1/iam/service-accounts/acc/tokens") => {
            (200, "", json!({"items": [{"id": "t", "expires_at": "never"}], "next_page_token": null}))
        }
        "POST /v1/iam/service-accounts/acc/tokens" => (201, "", json!({"id": "t", "token": "mst_1", "expires_at": "later"})),
        "POST /v1/iam/explain" => (200, "", json!({"allowed": false, "reason": "denied because", "missing": ["demo.instances.create"],
            "roles": ["owner"], "who_can_grant": [{"name": "olga"}], "granted_by": []})),
        "POST /v1/iam/roles" => (201, "", json!({"id": "r", "name": "reader", "permissions": ["demo.*.read", "demo.*.list"]})),
        line if line.starts_with("GET /v1/iam/audit?") => {
            (200, "", json!({"items": [{"at": "now", "actor": {"name": "bob"}, "action": "iam.users.create"}], "next_page_token": null}))
        }
        "POST /v1/iam/check" => (200, "", json!({"allowed": false, "reason": "viewer may only read"})),
        "POST /v1/iam/bindings" => (201, "", json!({"id": "b", "project_id": PROJECT, "role": "owner", "principal": {"kind": "user", "id": ID}})),
        line if line.starts_with("DELETE") => (204, "", Value::Null),
        _ => not_found(),
    })
    .await;
    let ended = stub.run(&["iam", "users", "create", "bob", "--email", "b@x.org"]).await;
    assert!(ended.out.contains("password  made-once"), "{ended:?}");
    let ended = stub
        .run(&["iam", "bindings", "create", "--project", PROJECT, "--user", "bob", "--role", "owner"])
        .await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let ended = stub.run(&["iam", "service-accounts", "token", "ci", "--expires", "90d", "-o", "json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&ended.out).unwrap()["token"], "mst_1");
    let ended = stub.run(&["iam", "service-accounts", "revoke-token", "ci", "t"]).await;
    assert_eq!(ended.out, "token t revoked\n");
    let ended = stub.run(&["iam", "check", "demo.instances.create"]).await;
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (4, "no: viewer may only read\n", ""));
    let ended = stub.run(&["iam", "check", "demo.instances.create", "--explain", "--user", "bob"]).await;
    assert_eq!(ended.code, 4, "{ended:?}");
    for expected in ["no: denied because\n", "missing", "demo.instances.create", "who can give it", "olga"] {
        assert!(ended.out.contains(expected), "{ended:?}");
    }
    let role = ["--permission", "demo.*.read", "--permission", "demo.*.list", "--project", PROJECT];
    let ended = stub.run(&[["iam", "roles", "create", "reader"].as_slice(), &role].concat()).await;
    assert!(ended.out.contains("demo.*.read, demo.*.list"), "{ended:?}");
    let ended = stub.run(&["iam", "roles", "delete", "reader"]).await;
    assert_eq!(ended.out, "role reader deleted\n");
    let ended = stub.run(&["iam", "audit", "--actor", "bob", "--limit", "3"]).await;
    assert!(ended.out.contains("bob") && ended.out.contains("iam.users.create"), "{ended:?}");
    let ended = stub.run(&["iam", "service-accounts", "tokens", "ci"]).await;
    assert_eq!(ended.out, "ID  EXPIRES\nt   never\n", "{ended:?}");
    let ended = stub.run(&["iam", "users", "delete", "bob"]).await;
    assert_eq!(ended.out, "user bob deleted\n");

    let calls = stub.calls();
    let body_of = |line: &str| calls.iter().find(|call| call.line == line).map(|call| call.body.clone());
    assert_eq!(body_of("POST /v1/iam/users"), Some(json!({"name": "bob", "email": "b@x.org"})));
    let asked = json!({"permission": "demo.instances.create", "project_id": null, "principal": {"kind": "user", "name": "bob"}});
    assert_eq!(body_of("POST /v1/iam/explain"), Some(asked));
    assert!(calls.iter().any(|call| call.line == "GET /v1/iam/audit?actor=bob&limit=3"));
    let binding = json!({"project_id": PROJECT, "principal": {"kind": "user", "id": ID}, "role": "owner"});
    assert_eq!(body_of("POST /v1/iam/bindings"), Some(binding));
    let token = body_of("POST /v1/iam/service-accounts/acc/tokens").unwrap();
    let end = chrono::DateTime::parse_from_rfc3339(token["expires_at"].as_str().unwrap()).unwrap();
    let hours = (end.to_utc() - Utc::now()).num_hours();
    assert!((90 * 24 - 1..=90 * 24).contains(&hours), "{token}");
    assert!(body_of("DELETE /v1/iam/service-accounts/acc/tokens/t").is_some());
}
