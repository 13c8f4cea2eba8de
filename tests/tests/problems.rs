//! The catalogue of codes in the book: every code of a failure and of a problem is provoked here, or in the test that
//! is named here, and no code comes that the book does not have.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use metapaas_core::error::ErrorCode;
use metapaas_tests::harness::{Installation, On};
use metapaas_tests::workspace_root;
use reqwest::Method;
use serde_json::{Value, json};

use crate::writes::{Sent, send};
use crate::{PROGRAM, WITH_VAULT, on_both};

on_both!(
    each_code_of_a_failure_is_provoked,
    each_code_of_a_problem_is_provoked,
    a_statement_that_fails_is_internal_and_says_no_more,
);

/// Codes whose provocation takes more than a request: the file and the test that does it.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("PASSWORD_CHANGE_REQUIRED", "logins.rs", "a_password_that_somebody_else_chose_comes_first"),
    ("QUOTA_EXCEEDED", "quotas.rs", "a_quota_is_set_kept_and_given_back"),
    ("URI_TOO_LONG", "limits.rs", "limits_can_be_set"),
    ("HEADERS_TOO_LARGE", "limits.rs", "limits_can_be_set"),
    ("TOO_DEEP", "limits.rs", "limits_can_be_set"),
    ("REQUEST_TIMEOUT", "limits.rs", "slow_headers_hold_up_nobody_and_are_cut_off"),
    ("TOO_MANY_REQUESTS", "limits.rs", "requests_by_one_principal_are_limited"),
    ("UNAVAILABLE", "limits.rs", "one_connection_too_many_is_told_so"),
    ("DIGEST_MISMATCH", "app/uploads.rs", "uploads_are_held_to_their_digest_and_their_instance"),
];

const DEMO: &str = "/v1/types/demo/instances";
const ONE: &str = "/v1/types/demo/instances/one";

/// The codes in the first column of a table of api.md, with the second column.
fn catalogued(heading: &str) -> BTreeMap<String, String> {
    let page = std::fs::read_to_string(workspace_root().join("book/src/api.md")).unwrap();
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).expect(heading);
    let rows = section.split("\n## ").next().unwrap().lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        let code = cells.next()?.trim_end_matches('`').to_owned();
        let second = cells.next()?.to_owned();
        let remedy = cells.next_back().is_some() && line.trim_end().matches('|').count() > 3;
        assert!(remedy, "{code} has no remedy");
        Some((code, second))
    });
    rows.collect()
}

fn elsewhere() -> BTreeSet<String> {
    ELSEWHERE.iter().map(|(code, ..)| (*code).to_owned()).collect()
}

#[test]
fn tests_that_are_named_here_exist_and_speak_of_their_code() {
    for (code, file, test) in ELSEWHERE {
        let text = std::fs::read_to_string(workspace_root().join("tests/tests").join(file)).unwrap();
        assert!(text.contains(&format!("fn {test}(")), "{file} has no {test}");
        assert!(
            text.contains(&format!("\"{code}")) || text.contains(&format!("{code}\\\"")),
            "{file} does not speak of {code}"
        );
    }
    for (code, ..) in ELSEWHERE.iter().filter(|(code, ..)| !["TOO_DEEP", "DIGEST_MISMATCH"].contains(code)) {
        assert!(ErrorCode::ALL.iter().any(|known| known.as_str() == *code), "{code} is none");
    }
}

/// What was provoked, against what the book has.
struct Found {
    codes: BTreeSet<String>,
    catalogue: BTreeMap<String, String>,
}

impl Found {
    /// The code of a failure; its status is the one that the book says.
    #[track_caller]
    fn failure(&mut self, code: &str, sent: &Sent) {
        assert_eq!(sent.answer.body["code"], code, "{}", sent.text);
        assert_eq!(
            self.catalogue.get(code).map(String::as_str),
            Some(sent.status().to_string().as_str()),
            "{code}"
        );
        assert_eq!(sent.header("content-type"), Some("application/problem+json"), "{code}");
        assert_eq!(sent.answer.body["type"], format!("urn:metapaas:error:{code}"));
        assert_eq!(sent.answer.body["status"], sent.status());
        assert!(sent.answer.body["detail"].as_str().is_some_and(|text| !text.is_empty()), "{code}");
        assert_eq!(sent.answer.body["request_id"].as_str(), sent.header("x-request-id"), "{code}");
        self.codes.insert(code.to_owned());
    }

    /// The code of a problem, at that place.
    #[track_caller]
    fn problem(&mut self, code: &str, pointer: &str, sent: &Sent) {
        let problems = sent.answer.body["errors"].as_array().unwrap_or_else(|| panic!("{}", sent.text));
        let fits = |one: &Value| one["code"] == code && one["pointer"] == pointer;
        assert!(problems.iter().any(fits), "{code} at {pointer}: {}", sent.text);
        assert!(self.catalogue.contains_key(code), "{code} is not in the book");
        self.codes.insert(code.to_owned());
    }

    fn finish(self) {
        let mut missing: BTreeSet<String> = self.catalogue.into_keys().collect();
        missing.retain(|code| !self.codes.contains(code) && !elsewhere().contains(code));
        assert!(
            missing.is_empty(),
            "provoke {missing:?} in tests/tests/problems.rs, or name the test that does"
        );
    }
}

async fn with_demo(on: On) -> (Installation, String) {
    let installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    let body = json!({ "name": "one", "project_id": project, "greeting": "hi" });
    let _ = installation.call(Method::POST, DEMO, body).await.expect(201);
    (installation, project)
}

async fn each_code_of_a_failure_is_provoked(on: On) {
    let (installation, project) = with_demo(on).await;
    let mut found = Found { codes: BTreeSet::new(), catalogue: catalogued("Error codes") };
    let admin = installation.token.clone();
    let call = async |token: &str, method: Method, path: &str, headers: &[(&str, &str)], body: Value| {
        send(&installation, token, method, path, headers, &body).await
    };
    let demo = |name: &str| json!({ "name": name, "project_id": project, "greeting": "hi" });

    found.failure("INVALID_REQUEST", &call(&admin, Method::POST, DEMO, &[], json!({})).await);
    found.failure("UNAUTHENTICATED", &call("nonsense", Method::GET, DEMO, &[], Value::Null).await);
    let viewer = installation.user("viewer", &project, "viewer").await;
    found.failure("FORBIDDEN", &call(&viewer, Method::DELETE, ONE, &[], Value::Null).await);
    found.failure("NOT_FOUND", &call(&admin, Method::GET, &format!("{DEMO}/none"), &[], Value::Null).await);
    found.failure("METHOD_NOT_ALLOWED", &call(&admin, Method::POST, ONE, &[], json!({})).await);
    found.failure("NAME_TAKEN", &call(&admin, Method::POST, DEMO, &[], demo("one")).await);
    let other =
        installation.call(Method::POST, "/v1/iam/projects", json!({ "name": "other" })).await.expect(201);
    let there = json!({ "name": "one", "project_id": other.body["id"], "greeting": "hi" });
    let _ = installation.call(Method::POST, DEMO, there).await.expect(201);
    let ambiguous = call(&admin, Method::GET, ONE, &[], Value::Null).await;
    assert_eq!(ambiguous.answer.body["ids"].as_array().map(Vec::len), Some(2));
    found.failure("AMBIGUOUS_NAME", &ambiguous);
    let of_project = format!("{ONE}?project_id={project}");
    let protect = json!({ "deletion_protection": true });
    let _ = installation.call(Method::PATCH, &of_project, protect).await.expect(200);
    found.failure("INVALID_STATE", &call(&admin, Method::DELETE, &of_project, &[], Value::Null).await);
    found.failure("IN_USE", &call(&admin, Method::DELETE, "/v1/iam/projects/other", &[], Value::Null).await);
    let late = [("if-match", "\"1\"")];
    found.failure("PRECONDITION_FAILED", &call(&admin, Method::PATCH, &of_project, &late, json!({})).await);
    let key = [("idempotency-key", "k")];
    let _ = call(&admin, Method::POST, DEMO, &key, demo("two")).await.expect(201);
    found.failure("IDEMPOTENCY_KEY_REUSED", &call(&admin, Method::POST, DEMO, &key, demo("three")).await);
    // Of many at the same time some find the first under way; when all come one after the other, it is tried again.
    for round in 0..50 {
        let (key, body) = (format!("round-{round}"), demo(&format!("round-{round}")));
        let key = [("idempotency-key", key.as_str())];
        let sent = join_all((0..16).map(|_| call(&admin, Method::POST, DEMO, &key, body.clone()))).await;
        if let Some(refused) = sent.iter().find(|one| one.status() == 409) {
            found.failure("IDEMPOTENCY_IN_PROGRESS", refused);
            break;
        }
    }
    // A page token as the first release wrote it.
    let old = format!("{DEMO}?page_token=MQGfL8zacnKJqxFVqO3tTQA");
    found.failure("EXPIRED", &call(&admin, Method::GET, &old, &[], Value::Null).await);
    let large = json!({ "name": "large", "greeting": "x".repeat(2 << 20) });
    found.failure("BODY_TOO_LARGE", &call(&admin, Method::POST, DEMO, &[], large).await);
    let text = [("content-type", "text/plain")];
    found.failure("UNSUPPORTED_MEDIA_TYPE", &call(&admin, Method::POST, DEMO, &text, demo("x")).await);
    // The test below provokes it, since nothing works afterwards.
    found.codes.insert("INTERNAL".into());
    found.finish();
}

async fn a_statement_that_fails_is_internal_and_says_no_more(on: On) {
    let (installation, _) = with_demo(on).await;
    let database = installation.sql().await;
    database
        .write("take a table away", |tx| {
            Box::pin(
                async move { tx.execute_script("rename", "ALTER TABLE demo_pages RENAME TO gone").await },
            )
        })
        .await
        .map_err(|error: metapaas_core::store::StoreError| error.to_string())
        .unwrap();
    let pages = format!("{ONE}/pages");
    let failed = send(&installation, &installation.token, Method::GET, &pages, &[], &Value::Null).await;
    let mut found = Found { codes: BTreeSet::new(), catalogue: catalogued("Error codes") };
    found.failure("INTERNAL", &failed);
    assert!(!failed.text.contains("demo_pages"), "{}", failed.text);
    let id = failed.answer.body["request_id"].as_str().unwrap();
    assert!(installation.read_log().lines().any(|line| line.contains(id) && line.contains("demo_pages")));
    database.close().await;
}

async fn each_code_of_a_problem_is_provoked(on: On) {
    let installation = Installation::start(WITH_VAULT, on).await;
    let project = installation.default_project().await;
    let mut found = Found { codes: BTreeSet::new(), catalogue: catalogued("Problem codes") };
    let admin = installation.token.clone();
    let call = async |method: Method, path: &str, body: Value| {
        send(&installation, &admin, method, path, &[], &body).await
    };
    let demo = |more: Value| {
        let mut body = json!({ "name": "one", "project_id": project, "greeting": "hi" });
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        body
    };
    let _ = call(Method::POST, DEMO, demo(json!({}))).await.expect(201);
    found.problem("REQUIRED", "/name", &call(Method::POST, DEMO, json!({ "project_id": project })).await);
    found.problem("UNKNOWN_FIELD", "/nonsense", &call(Method::PATCH, ONE, json!({ "nonsense": 1 })).await);
    found.problem(
        "UNKNOWN_PARAMETER",
        "?nonsense",
        &call(Method::GET, &format!("{DEMO}?nonsense=1"), Value::Null).await,
    );
    found.problem(
        "REPEATED_PARAMETER",
        "?limit",
        &call(Method::GET, &format!("{DEMO}?limit=1&limit=2"), Value::Null).await,
    );
    for (code, parameter, query) in [
        ("NOT_FILTERABLE", "?greeting", "greeting=hi"),
        ("NOT_SORTABLE", "?order_by", "order_by=greeting"),
        ("INVALID_SYNTAX", "?filter", "filter=name"),
    ] {
        let refused = call(Method::GET, &format!("{DEMO}?{query}"), Value::Null).await;
        found.problem(code, parameter, &refused);
    }
    let check = json!({ "permission": "demo.instances.nonsense", "project_id": project });
    found.problem("UNKNOWN_PERMISSION", "/permission", &call(Method::POST, "/v1/iam/check", check).await);
    let broken = installation.client().post(format!("{}{DEMO}", installation.url)).bearer_auth(&admin);
    let broken = broken.header("content-type", "application/json").body("{").send().await.unwrap();
    let text = broken.text().await.unwrap();
    assert!(text.contains("INVALID_JSON"), "{text}");
    found.codes.insert("INVALID_JSON".into());
    found.problem("INVALID_TYPE", "/replicas", &call(Method::PATCH, ONE, json!({ "replicas": "x" })).await);
    found.problem("INVALID_VALUE", "/theme", &call(Method::PATCH, ONE, json!({ "theme": "pink" })).await);
    found.problem(
        "INVALID_NAME",
        "/name",
        &call(Method::POST, DEMO, demo(json!({ "name": "No Name" }))).await,
    );
    let principal = json!({ "kind": "user", "id": "00000000-0000-0000-0000-000000000009" });
    let binding = json!({ "project_id": project, "principal": principal, "role": "viewer" });
    found.problem("INVALID_REFERENCE", "/principal", &call(Method::POST, "/v1/iam/bindings", binding).await);
    let nowhere = json!({ "project_id": "00000000-0000-0000-0000-000000000009", "name": "x" });
    found.problem("MISSING_REFERENCE", "/project_id", &call(Method::POST, DEMO, demo(nowhere)).await);
    found.problem("OUT_OF_RANGE", "/replicas", &call(Method::PATCH, ONE, json!({ "replicas": 9 })).await);
    found.problem("TOO_SHORT", "/greeting", &call(Method::PATCH, ONE, json!({ "greeting": "" })).await);
    found.problem(
        "TOO_LONG",
        "/greeting",
        &call(Method::PATCH, ONE, json!({ "greeting": "x".repeat(201) })).await,
    );
    found.problem("IMMUTABLE", "/name", &call(Method::PATCH, ONE, json!({ "name": "other" })).await);
    found.problem("TAKEN", "/name", &call(Method::POST, DEMO, demo(json!({}))).await);
    let operator = installation.user("operator", &project, "operator").await;
    let dark = json!({ "theme": "dark" });
    found.problem(
        "FORBIDDEN",
        "/theme",
        &send(&installation, &operator, Method::PATCH, ONE, &[], &dark).await,
    );
    assert!(half_a_body(&installation).await.contains("INCOMPLETE_BODY"));
    found.codes.insert("INCOMPLETE_BODY".into());
    found.finish();
}

/// The answer to a body that ends before its announced length.
async fn half_a_body(installation: &Installation) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = installation.url.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {DEMO} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 100\r\nconnection: close\r\n\r\n{{\"name\"",
        installation.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
