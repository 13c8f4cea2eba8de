//! Rules of the HTTP contract that no other test is about; `book/src/contract-tests.md` says which test shows which rule.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use metapaas_core::store::Database;
use metapaas_core::testing::{POSTGRES_URL, query};
use metapaas_tests::harness::{Installation, On, PATIENCE, answer, client, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::run;
use crate::{PROGRAM, on_both};

on_both!(a_resource_has_the_members_of_the_contract, an_answer_is_kept_a_day_and_then_removed);

const DEMO: &str = "/v1/types/demo/instances";
const ONE: &str = "/v1/types/demo/instances/my-demo";

async fn body(installation: &Installation, name: &str) -> Value {
    json!({ "name": name, "project_id": installation.default_project().await, "greeting": "grüß dich" })
}

#[track_caller]
fn has_members(object: &Value, expected: &[&str]) {
    let found: BTreeSet<&str> = object.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(found, expected.iter().copied().collect(), "{object:#}");
}

/// A time in RFC 3339, in UTC.
#[track_caller]
fn is_time(value: &Value) {
    let text = value.as_str().expect("a time");
    assert!(text.ends_with('Z') && text.parse::<DateTime<Utc>>().is_ok(), "{text}");
}

/// Shape, media type and times; what a create and an update answer; which writes raise which number.
async fn a_resource_has_the_members_of_the_contract(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let made = installation.call(Method::POST, DEMO, body(&installation, "my-demo").await).await.expect(201);
    assert_eq!(made.header("content-type"), Some("application/json"));
    let id = made.body["id"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), Some(format!("{DEMO}/{id}").as_str()));
    assert_eq!(made.header("etag"), Some(format!("\"{}\"", made.body["revision"]).as_str()));
    assert!(["PENDING", "CREATING"].contains(&made.body["status"].as_str().unwrap()));
    assert_eq!((&made.body["generation"], &made.body["observed_generation"]), (&json!(1), &json!(0)));

    let settled = installation.active(ONE).await;
    has_members(
        &settled,
        &[
            // The framework's, then the type's own: flat, side by side.
            "id",
            "name",
            "project_id",
            "type",
            "version",
            "description",
            "status",
            "nodes",
            "generation",
            "observed_generation",
            "revision",
            "conditions",
            "labels",
            "deletion_protection",
            "created_at",
            "updated_at",
            "greeting",
            "replicas",
            "theme",
            "restarts",
        ],
    );
    has_members(&settled["nodes"][0], &["id", "place", "ip", "port", "provider", "status", "message"]);
    has_members(&settled["conditions"][0], &["type", "status", "reason", "message", "since"]);
    assert_eq!((&settled["type"], &settled["greeting"]), (&json!("demo"), &json!("grüß dich")));
    for time in [&settled["created_at"], &settled["updated_at"], &settled["conditions"][0]["since"]] {
        is_time(time);
    }
    let of_status = settled["revision"].as_i64() > made.body["revision"].as_i64();
    assert!(
        of_status && settled["generation"] == 1,
        "status writes raise the revision and not the generation"
    );

    let changed = installation.call(Method::PATCH, ONE, json!({ "greeting": "new" })).await.expect(200);
    assert_eq!(changed.header("etag"), Some(format!("\"{}\"", changed.body["revision"]).as_str()));
    assert_eq!((&changed.body["generation"], &changed.body["observed_generation"]), (&json!(2), &json!(1)));
    assert_eq!(changed.body["status"], "UPDATING", "the answer does not wait for nodes");
    let mut whole = installation.active(ONE).await;
    whole["greeting"] = "edited".into();
    (whole["status"], whole["revision"], whole["nodes"]) = (json!("ERROR"), json!(1), json!([]));
    let put = installation.call(Method::PUT, ONE, whole).await.expect(200);
    assert_eq!((&put.body["greeting"], &put.body["generation"]), (&json!("edited"), &json!(3)));
    assert_eq!(put.body["nodes"].as_array().map(Vec::len), Some(1), "output in a request is ignored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_of_one_form_and_never_look_like_ids() {
    let installation = Installation::start(PROGRAM, On::Sqlite).await;
    let long = "a".repeat(63);
    let tried = format!("{DEMO}?dry_run=true");
    for name in ["a", "a-b", "a--b", "z9", long.as_str()] {
        let _ = installation.call(Method::POST, &tried, body(&installation, name).await).await.expect(201);
    }
    let longer = "a".repeat(64);
    let id = "a1fd58d9-066a-7706-b139-d081c749308c";
    for name in ["", "A", "aB", "1a", "-a", "a-", "a_b", "a.b", "ä", "a b", "a\n", longer.as_str(), id] {
        let refused =
            installation.call(Method::POST, &tried, body(&installation, name).await).await.expect(400);
        let problem = &refused.body["errors"][0];
        assert_eq!(
            (&problem["pointer"], &problem["code"]),
            (&json!("/name"), &json!("INVALID_NAME")),
            "{name:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_tell_what_is_hosted_and_how_it_does() {
    let installation = Installation::start(PROGRAM, On::Sqlite).await;
    let all = installation.get("/v1/types").await.expect(200).body;
    let demo = installation.get("/v1/types/demo").await.expect(200).body;
    for ty in all["items"].as_array().unwrap().iter().chain([&demo]) {
        has_members(
            ty,
            &["slug", "element", "plugin", "plugin_version", "description", "counts", "health", "types"],
        );
        for below in ty["types"].as_array().unwrap() {
            assert!(below["fields"].is_array() && below["permissions"].is_array(), "{below:#}");
        }
    }
    let instances = &demo["types"][0];
    let names: Vec<&str> =
        instances["fields"].as_array().unwrap().iter().map(|field| field["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"greeting") && names.contains(&"replicas"), "{names:?}");
    assert!(instances["permissions"].to_string().contains("demo.instances.create"), "{instances:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_of_agents_take_the_token_of_their_node_and_no_other() {
    let installation = Installation::start(PROGRAM, On::Sqlite).await;
    for name in ["my-demo", "other"] {
        let _ = installation.call(Method::POST, DEMO, body(&installation, name).await).await.expect(201);
    }
    let own = installation.active(ONE).await["nodes"][0]["id"].as_str().unwrap().to_owned();
    let other =
        installation.active(&format!("{DEMO}/other")).await["nodes"][0]["id"].as_str().unwrap().to_owned();
    let token =
        std::fs::read_to_string(installation.data_dir().join("nodes").join(&own).join("token")).unwrap();
    let token = token.trim();
    let document = "/v1/agents/document";
    let found = installation.call_as(token, Method::GET, document, Value::Null).await.expect(200);
    assert_eq!(found.body["node_id"], own.as_str());
    let status = |node: &str| format!("/v1/nodes/{node}/status");
    // The administrator may do everything that people may.
    for path in [document.to_owned(), status(&own)] {
        let method = if path == document { Method::GET } else { Method::PUT };
        let body = if path == document { Value::Null } else { json!({}) };
        for token in [installation.token.as_str(), "mpnt_x"] {
            let _ = installation.call_as(token, method.clone(), &path, body.clone()).await.expect(401);
        }
    }
    let report = json!({ "protocol": found.body["protocol"], "applied_generation": 0, "applied_digest": "",
                         "health": "healthy", "message": "", "facts": {}, "errors": [], "removed": false, "agent_version": "0" });
    let _ = installation.call_as(token, Method::PUT, &status(&other), report).await.expect(403);
    for path in [DEMO, "/v1/types", "/v1/events", "/v1/iam/whoami", "/v1/operations"] {
        let _ = installation.call_as(token, Method::GET, path, Value::Null).await.expect(401);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_docs_page_needs_no_outside_host() {
    let installation = Installation::start(PROGRAM, On::Sqlite).await;
    let page = answer(client().get(format!("{}/docs", installation.url))).await.expect(200);
    // Browsers hold the page to it, whatever is written in it.
    let policy = page.header("content-security-policy").unwrap();
    for source in policy.split(';').skip(1).flat_map(|rule| rule.split_whitespace().skip(1)) {
        assert!(["'self'", "'none'", "data:"].contains(&source), "{policy}");
    }
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    for path in ["/docs", "/docs/docs.css", "/docs/docs.js"] {
        let file = answer(client().get(format!("{}{path}", installation.url))).await.expect(200);
        let text = file.body.as_str().unwrap();
        for outside in
            ["src=\"http", "src=\"//", "href=\"http", "href=\"//", "url(http", "@import", "import("]
        {
            assert!(!text.contains(outside), "{path} has {outside}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_answers_on_port_9000_of_each_node_and_tells_its_health() {
    let installation = Installation::start(PROGRAM, On::Sqlite).await;
    let project = installation.default_project().await;
    let body = json!({ "name": "store", "project_id": project, "bucket_name": "photos" });
    let _ = installation.call(Method::POST, "/v1/types/s3/instances", body).await.expect(201);
    let instance = installation.active("/v1/types/s3/instances/store").await;
    let nodes = instance["nodes"].as_array().unwrap();
    assert!(!nodes.is_empty());
    for node in nodes {
        assert_eq!(node["port"], 9000);
        let url = format!("http://{}:9000", node["ip"].as_str().unwrap());
        let _ = answer(client().get(format!("{url}/health"))).await.expect(200);
        // A stranger is told so in the language of S3.
        let refused = answer(client().get(format!("{url}/photos"))).await.expect(403);
        assert!(refused.body.as_str().unwrap().contains("<Code>AccessDenied</Code>"), "{}", refused.body);
    }
}

/// The database goes away under a control plane, and comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_is_503_and_nothing_is_half_done() {
    let installation = Installation::start(PROGRAM, On::Postgres).await;
    let made = installation.call(Method::POST, DEMO, body(&installation, "my-demo").await).await.expect(201);
    let (new, name) = (body(&installation, "new").await, installation.database_url().unwrap());
    let name = name.rsplit('/').next().unwrap();
    let server = Database::open_postgres(&std::env::var(POSTGRES_URL).unwrap(), 1).await.unwrap();
    let let_in = async |allowed: bool| {
        query(&server, &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}")).await.unwrap();
        let all = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
        query(&server, &all).await.unwrap();
    };
    let_in(false).await;
    let refused = [
        (Method::GET, DEMO, Value::Null),
        (Method::POST, DEMO, new.clone()),
        (Method::PATCH, ONE, json!({ "greeting": "lost" })),
        (Method::DELETE, ONE, Value::Null),
        (Method::GET, "/readyz", Value::Null),
    ];
    for (method, path, body) in refused {
        let answer = installation.call(method.clone(), path, body).await.expect(503);
        assert_eq!(answer.body["code"], "UNAVAILABLE", "{method} {path}");
        assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
    }
    let _ = installation.get("/healthz").await.expect(200);
    let_in(true).await;
    eventually("the database is back", || async { installation.get("/readyz").await.status == 200 }).await;
    let _ = installation.get(&format!("{DEMO}/new")).await.expect(404);
    let kept = installation.active(ONE).await;
    assert_eq!(
        (&kept["id"], &kept["greeting"], &kept["generation"]),
        (&made.body["id"], &json!("grüß dich"), &json!(1))
    );
    // The same request succeeds now: no name, no number was taken by the one that failed.
    let _ = installation.call(Method::POST, DEMO, new).await.expect(201);
    server.close().await;
}

/// The hours are counted from the first answer on; the sweep is a worker's, now and then.
async fn an_answer_is_kept_a_day_and_then_removed(on: On) {
    let mut installation = Installation::start(PROGRAM, on).await;
    let first = body(&installation, "my-demo").await;
    let post = async |installation: &Installation, body: &Value| {
        let request = client().post(format!("{}{DEMO}", installation.url)).bearer_auth(&installation.token);
        answer(request.header("idempotency-key", "the key").json(body)).await
    };
    let made = post(&installation, &first).await.expect(201);
    for hours in [23, 2] {
        assert!(installation.stop());
        let age = match on {
            On::Postgres => format!("interval '{hours} hours'"),
            On::Sqlite => format!("{hours} * 3600000000"),
        };
        run(&installation, &format!("UPDATE metapaas_idempotency SET created_at = created_at - {age}")).await;
        installation.up().await;
        if hours == 23 {
            let again = post(&installation, &first).await.expect(201);
            assert_eq!(again.header("idempotency-replayed"), Some("true"), "23 hours are less than a day");
            assert_eq!(again.body, made.body);
        }
    }
    let database = installation.sql().await;
    let since = Instant::now();
    while !query(&database, "SELECT 1 FROM metapaas_idempotency").await.unwrap().is_empty() {
        assert!(since.elapsed() < 3 * PATIENCE, "an answer of 25 hours ago stays");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    database.close().await;
    // Nobody knows the key any more, so it may name another request.
    let other = post(&installation, &body(&installation, "other").await).await.expect(201);
    assert_eq!(other.header("idempotency-replayed"), None);
}
