//! `Idempotency-Key`: what is sent twice happens once, on both databases.

use futures::future::join_all;
use metapaas_tests::harness::{Installation, On};
use reqwest::Method;
use serde_json::{Value, json};

use crate::writes::{Sent, send};
use crate::{PROGRAM, WITH_VAULT, on_both};

on_both!(
    a_replay_gives_the_first_answer_and_idempotency_replayed,
    the_same_key_from_twenty_at_once_has_one_effect,
    a_key_reused_with_another_request_is_refused,
    a_key_that_is_none_is_refused,
    a_failure_is_not_remembered,
    a_patch_is_made_once_even_when_it_changes_nothing,
    a_crash_leaves_effect_and_answer_or_neither,
    a_secret_shown_once_is_shown_again_to_a_replay_and_sealed_at_rest,
);

const DEMO: &str = "/v1/types/demo/instances";

async fn post(installation: &Installation, key: &str, path: &str, body: &Value) -> Sent {
    send(installation, &installation.token, Method::POST, path, &[("idempotency-key", key)], body).await
}

async fn names(installation: &Installation) -> Vec<String> {
    let list = installation.get(&format!("{DEMO}?limit=1000")).await.expect(200);
    let items = list.body["items"].as_array().unwrap();
    items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

async fn a_replay_gives_the_first_answer_and_idempotency_replayed(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    let body = json!({ "name": "a", "project_id": project, "greeting": "hi" });
    let first = post(&installation, "key 1", DEMO, &body).await.expect(201);
    assert_eq!(first.header("idempotency-replayed"), None);
    // The row moves on; the answer does not.
    let _ = installation.active(&format!("{DEMO}/a")).await;
    let again = post(&installation, "key 1", DEMO, &body).await.expect(201);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.text, first.text);
    for header in ["location", "etag", "content-type"] {
        assert_eq!(again.header(header), first.header(header), "{header}");
        assert!(again.header(header).is_some(), "{header}");
    }
    // Children are created once, too.
    let page = json!({ "path": "p", "text": "x" });
    let pages = format!("{DEMO}/a/pages");
    let made = post(&installation, "key 2", &pages, &page).await.expect(201);
    assert_eq!(post(&installation, "key 2", &pages, &page).await.expect(201).text, made.text);
    // And with a slash at the end, which is the same path.
    let slashed = post(&installation, "key 2", &format!("{pages}/"), &page).await.expect(201);
    assert_eq!(slashed.header("idempotency-replayed"), Some("true"));
}

async fn the_same_key_from_twenty_at_once_has_one_effect(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let second = if on == On::Postgres { Some(installation.second().await) } else { None };
    let project = installation.default_project().await;
    // Pages have a key of their own; a note of the same text could be made twenty times.
    let body = json!({ "name": "one", "project_id": project, "greeting": "hi" });
    let sent = join_all((0..20).map(|index| {
        let installation = second.as_ref().filter(|_| index % 2 == 1).unwrap_or(&installation);
        post(installation, "twenty", DEMO, &body)
    }))
    .await;
    let made: Vec<&Sent> = sent.iter().filter(|one| one.status() == 201).collect();
    let fresh = made.iter().filter(|one| one.header("idempotency-replayed").is_none()).count();
    assert_eq!(fresh, 1, "one of them was carried out");
    assert!(made.iter().all(|one| one.text == made[0].text));
    // A database without a free connection is no answer of ours; nothing was done then either.
    for one in sent.iter().filter(|one| !matches!(one.status(), 201 | 503)) {
        assert_eq!((one.status(), &one.answer.body["code"]), (409, &json!("IDEMPOTENCY_IN_PROGRESS")));
        assert_eq!(one.header("retry-after"), Some("1"));
    }
    assert_eq!(names(&installation).await, ["one"]);
    let replayed = post(&installation, "twenty", DEMO, &body).await.expect(201);
    assert_eq!(replayed.text, made[0].text);
}

async fn a_key_reused_with_another_request_is_refused(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    let body = |name: &str| json!({ "name": name, "project_id": project, "greeting": "hi" });
    let _ = post(&installation, "k", DEMO, &body("a")).await.expect(201);
    let refused = post(&installation, "k", DEMO, &body("b")).await.expect(422);
    assert_eq!(refused.answer.body["code"], "IDEMPOTENCY_KEY_REUSED");
    let elsewhere = format!("{DEMO}/a/pages");
    let _ = post(&installation, "k", &elsewhere, &body("a")).await.expect(422);
    let parameter = format!("{DEMO}?project_id={project}");
    let _ = post(&installation, "k", &parameter, &body("a")).await.expect(422);
    assert_eq!(names(&installation).await, ["a"]);
    // Another caller's key is another key.
    let other = installation.user("somebody", &project, "owner").await;
    let key = [("idempotency-key", "k")];
    let _ = send(&installation, &other, Method::POST, DEMO, &key, &body("b")).await.expect(201);
    // A dry run uses no key.
    let dry = format!("{DEMO}?dry_run=true");
    let tried = post(&installation, "k", &dry, &body("c")).await.expect(201);
    assert_eq!(tried.header("idempotency-replayed"), None);
}

async fn a_key_that_is_none_is_refused(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    let body = json!({ "name": "a", "project_id": project, "greeting": "hi" });
    for key in ["", &"k".repeat(256), "k\u{e9}"] {
        let refused = post(&installation, key, DEMO, &body).await.expect(400);
        assert_eq!(refused.answer.body["errors"][0]["pointer"], "Idempotency-Key:", "{key}");
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    let _ = send(&installation, &installation.token, Method::POST, DEMO, &twice, &body).await.expect(400);
    assert!(names(&installation).await.is_empty());
    let _ = post(&installation, &"k".repeat(255), DEMO, &body).await.expect(201);
}

async fn a_failure_is_not_remembered(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    let body = json!({ "name": "a", "project_id": project, "greeting": "hi" });
    let _ = installation.call(Method::POST, DEMO, body.clone()).await.expect(201);
    let _ = post(&installation, "k", DEMO, &body).await.expect(409);
    let _ = installation.call(Method::DELETE, &format!("{DEMO}/a"), Value::Null).await.expect(202);
    metapaas_tests::harness::eventually("a is gone", || async {
        installation.get(&format!("{DEMO}/a")).await.status == 404
    })
    .await;
    let made = post(&installation, "k", DEMO, &body).await.expect(201);
    assert_eq!(made.header("idempotency-replayed"), None);
}

async fn a_patch_is_made_once_even_when_it_changes_nothing(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    let body = json!({ "name": "a", "project_id": project, "greeting": "hi" });
    let _ = installation.call(Method::POST, DEMO, body).await.expect(201);
    let one = format!("{DEMO}/a");
    let patch = async |key: &str, body: Value| {
        send(&installation, &installation.token, Method::PATCH, &one, &[("idempotency-key", key)], &body)
            .await
    };
    let first = patch("p", json!({ "greeting": "hi" })).await.expect(200);
    let _ = installation.call(Method::PATCH, &one, json!({ "greeting": "later" })).await.expect(200);
    let again = patch("p", json!({ "greeting": "hi" })).await.expect(200);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.text, first.text);
    assert_eq!(installation.get(&one).await.body["greeting"], "later", "an old patch does not come back");
    let _ = patch("q", json!({ "greeting": "q" })).await.expect(200);
    let generation = installation.get(&one).await.body["generation"].clone();
    let _ = patch("q", json!({ "greeting": "q" })).await.expect(200);
    assert_eq!(installation.get(&one).await.body["generation"], generation);
}

async fn a_crash_leaves_effect_and_answer_or_neither(on: On) {
    let mut installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    let body = |index: usize| json!({ "name": format!("n{index}"), "project_id": project, "greeting": "hi", "replicas": 1 });
    let url = format!("{}{DEMO}", installation.url);
    let sent: Vec<_> = (0..24)
        .map(|index| {
            let request = metapaas_tests::harness::client()
                .post(&url)
                .bearer_auth(&installation.token)
                .header("idempotency-key", format!("crash-{index}"))
                .json(&body(index));
            tokio::spawn(async move { request.send().await.is_ok_and(|answer| answer.status() == 201) })
        })
        .collect();
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    installation.kill();
    let answered: Vec<bool> = join_all(sent).await.into_iter().map(|one| one.unwrap()).collect();
    installation.up().await;
    for (index, answered) in answered.into_iter().enumerate() {
        let was_there = installation.get(&format!("{DEMO}/n{index}")).await.status == 200;
        assert!(was_there || !answered, "n{index} was acknowledged and is lost");
        let again = post(&installation, &format!("crash-{index}"), DEMO, &body(index)).await.expect(201);
        let replayed = again.header("idempotency-replayed").is_some();
        assert_eq!(replayed, was_there, "n{index}: there is a row if and only if there is an answer");
    }
    assert_eq!(names(&installation).await.len(), 24);
}

async fn a_secret_shown_once_is_shown_again_to_a_replay_and_sealed_at_rest(on: On) {
    let installation = Installation::start(WITH_VAULT, on).await;
    let project = installation.default_project().await;
    let vaults = "/v1/types/vault/instances";
    let body = json!({ "name": "v", "project_id": project, "password": "planted-password", "replicas": 0 });
    let first = post(&installation, "v", vaults, &body).await.expect(201);
    let token = first.answer.body["token"].as_str().unwrap().to_owned();
    assert_eq!(first.answer.body.get("password"), None);
    let again = post(&installation, "v", vaults, &body).await.expect(201);
    assert_eq!(again.answer.body["token"], token.as_str());
    if on == On::Sqlite {
        for entry in std::fs::read_dir(installation.data_dir()).unwrap() {
            let path = entry.unwrap().path();
            let bytes = if path.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
            let holds = bytes.windows(token.len()).any(|window| window == token.as_bytes());
            assert!(!holds, "{} holds the token", path.display());
        }
    }
    // Who lost the right to see it sees no old answer either.
    let other = installation.user("somebody", &project, "owner").await;
    let key = [("idempotency-key", "w")];
    let body = json!({ "name": "w", "project_id": project, "password": "x", "replicas": 0 });
    let _ = send(&installation, &other, Method::POST, vaults, &key, &body).await.expect(201);
    let bindings = installation.get(&format!("/v1/iam/bindings?project_id={project}")).await.expect(200);
    for binding in bindings.body["items"].as_array().unwrap() {
        if binding["principal"]["name"] == "somebody" {
            let path = format!("/v1/iam/bindings/{}", binding["id"].as_str().unwrap());
            let _ = installation.call(Method::DELETE, &path, Value::Null).await.expect(204);
        }
    }
    let refused = send(&installation, &other, Method::POST, vaults, &key, &body).await;
    assert!(matches!(refused.status(), 403 | 404), "{}", refused.text);
}
