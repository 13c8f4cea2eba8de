//! Logins: wrong passwords make one wait, passwords that others chose must be changed, lifetimes are settings, and what
//! is taken away is gone on every control plane.

use metapaas_tests::harness::{Answer, Installation, On, answer, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{PROGRAM, on_both};

on_both!(
    wrong_passwords_make_the_next_wait_longer,
    a_trusted_proxy_says_whose_address_it_is,
    a_password_that_somebody_else_chose_comes_first,
    lifetimes_are_settings,
);

const DEMO: &str = "/v1/types/demo/instances";
const PASSWORD: &str = "correct horse battery";

async fn login(installation: &Installation, user: &str, password: &str, from: Option<&str>) -> Answer {
    let body = json!({ "grant_type": "password", "username": user, "password": password });
    let mut request = installation.client().post(format!("{}/v1/iam/token", installation.url)).json(&body);
    if let Some(from) = from {
        request = request.header("x-forwarded-for", from);
    }
    answer(request).await
}

/// Tries until it has to wait: on a slow machine a short wait may be over before the next try.
async fn until_refused(installation: &Installation, user: &str, from: impl Fn(usize) -> String) -> Answer {
    for number in 0..30 {
        let tried = login(installation, user, "a wrong password", Some(&from(number))).await;
        if tried.status == 429 {
            return tried;
        }
        assert_eq!(tried.expect(401).body["reason"], "credentials");
    }
    panic!("{user} never had to wait");
}

async fn wrong_passwords_make_the_next_wait_longer(on: On) {
    let settings =
        [("METAPAAS_LOGIN_FAILURES_PER_USER", "3"), ("METAPAAS_TRUSTED_PROXIES", "[\"127.0.0.1\"]")];
    let installation = Installation::start_with(PROGRAM, on, &settings).await;
    let project = installation.default_project().await;
    installation.user("vera", &project, "viewer").await;
    // Each try from another address: it is the user that waits.
    let other = |number: usize| format!("198.51.100.{number}");
    let refused = until_refused(&installation, "vera", other).await;
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    let nobody = until_refused(&installation, "nobody", other).await;
    let shape = |answer: &Answer| {
        let mut members: Vec<String> = answer.body.as_object().unwrap().keys().cloned().collect();
        members.sort();
        (members, answer.body["code"].clone())
    };
    assert_eq!(shape(&refused), shape(&nobody), "the answer does not tell which of the two exists");
    let token = installation.user("otto", &project, "operator").await;
    let _ = installation.call_as(&token, Method::GET, DEMO, Value::Null).await.expect(200);
}

async fn a_trusted_proxy_says_whose_address_it_is(on: On) {
    let mut installation =
        Installation::start_with(PROGRAM, on, &[("METAPAAS_LOGIN_FAILURES_PER_ADDRESS", "3")]).await;
    installation.set("METAPAAS_TRUSTED_PROXIES", "[\"127.0.0.0/8\"]");
    installation.stop();
    installation.up().await;
    let mut number = 0;
    let mut refused = false;
    while number < 30 && !refused {
        number += 1;
        let user = format!("nobody{number}");
        refused = login(&installation, &user, PASSWORD, Some("198.51.100.7")).await.status == 429;
    }
    assert!(refused, "the address waits, whatever names it tries");
    let _ = login(&installation, "nobody", PASSWORD, Some("198.51.100.8")).await.expect(401);

    installation.unset("METAPAAS_TRUSTED_PROXIES");
    installation.stop();
    installation.up().await;
    let mut refused = false;
    for number in 0..30 {
        let user = format!("nobody{number}");
        let from = format!("198.51.100.{number}");
        refused |= login(&installation, &user, PASSWORD, Some(&from)).await.status == 429;
    }
    assert!(refused, "who is not trusted cannot choose its address");
}

async fn a_password_that_somebody_else_chose_comes_first(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let user = json!({ "name": "vera", "password": PASSWORD });
    let user = installation.call(Method::POST, "/v1/iam/users", user).await.expect(201);
    let pair = login(&installation, "vera", PASSWORD, None).await.expect(200).body;
    assert_eq!(pair["must_change_password"], true);
    let token = pair["access_token"].as_str().unwrap();
    for (method, path) in [
        (Method::GET, DEMO),
        (Method::GET, "/v1/types"),
        (Method::GET, "/v1/iam/users/vera"),
        (Method::GET, "/v1/iam/projects"),
        (Method::POST, "/v1/iam/check"),
    ] {
        let body = if method == Method::POST { json!({}) } else { Value::Null };
        let refused = installation.call_as(token, method, path, body).await.expect(403);
        assert_eq!(refused.body["code"], "PASSWORD_CHANGE_REQUIRED", "{path}");
    }
    let who = installation.call_as(token, Method::GET, "/v1/iam/whoami", Value::Null).await.expect(200);
    assert_eq!(who.body["must_change_password"], true);
    let own = format!("/v1/iam/users/{}", user.body["id"].as_str().unwrap());
    let email = json!({ "email": "v@example.org" });
    let _ = installation.call_as(token, Method::PATCH, &own, email).await.expect(403);
    let change = json!({ "password": "quite another password", "old_password": PASSWORD });
    let _ = installation.call_as(token, Method::PATCH, &own, change).await.expect(200);
    let _ = installation.call_as(token, Method::GET, DEMO, Value::Null).await.expect(200);
}

async fn lifetimes_are_settings(on: On) {
    let settings = [
        ("METAPAAS_ACCESS_TOKEN_LIFETIME", "2m"),
        ("METAPAAS_SESSION_LIFETIME", "1h"),
        ("METAPAAS_SERVICE_TOKEN_MAX_LIFETIME", "2h"),
    ];
    let installation = Installation::start_with(PROGRAM, on, &settings).await;
    let project = installation.default_project().await;
    installation.user("vera", &project, "viewer").await;
    let pair = login(&installation, "vera", PASSWORD, None).await.expect(200).body;
    assert_eq!(pair["expires_in"], 120);
    let account = json!({ "name": "ci", "project_id": project });
    let _ = installation.call(Method::POST, "/v1/iam/service-accounts", account).await.expect(201);
    let tokens = "/v1/iam/service-accounts/ci/tokens";
    let made = installation.call(Method::POST, tokens, json!({})).await.expect(201).body;
    assert!(made["expires_at"].is_string(), "no token is good for ever: {made}");
    let late = json!({ "expires_at": "2199-01-01T00:00:00Z" });
    let late = installation.call(Method::POST, tokens, late).await.expect(400);
    assert_eq!(late.body["errors"][0]["code"], "OUT_OF_RANGE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_away_is_gone_on_every_control_plane() {
    let settings =
        [("METAPAAS_LOGIN_FAILURES_PER_USER", "3"), ("METAPAAS_TRUSTED_PROXIES", "[\"127.0.0.1\"]")];
    let first = Installation::start_with(PROGRAM, On::Postgres, &settings).await;
    let second = first.second().await;
    let project = first.default_project().await;
    let works = |token: String, path: String, expected: u16| {
        let second = &second;
        async move { second.call_as(&token, Method::GET, &path, Value::Null).await.status == expected }
    };
    let is = |what: &'static str, token: &str, path: &str, expected: u16| {
        let (token, path) = (token.to_owned(), path.to_owned());
        eventually(what, move || works(token.clone(), path.clone(), expected))
    };
    let mine = format!("/v1/iam/projects/{project}");

    let token = first.user("a", &project, "viewer").await;
    is("a token of the first is good at the second", &token, &mine, 200).await;
    let disabled = json!({ "disabled": true });
    let _ = first.call(Method::PATCH, "/v1/iam/users/a", disabled).await.expect(200);
    is("a disabled user is out", &token, &mine, 401).await;

    let token = first.user("b", &project, "viewer").await;
    is("it is good", &token, &mine, 200).await;
    let bindings = first.get(&format!("/v1/iam/bindings?project_id={project}")).await.expect(200).body;
    for binding in bindings["items"].as_array().unwrap() {
        let path = format!("/v1/iam/bindings/{}", binding["id"].as_str().unwrap());
        let _ = first.call(Method::DELETE, &path, Value::Null).await.expect(204);
    }
    is("without its binding the project is not seen", &token, &mine, 404).await;

    let token = first.user("c", &project, "viewer").await;
    let other = login(&first, "c", PASSWORD, None).await.expect(200).body["access_token"].clone();
    is("it is good", other.as_str().unwrap(), &mine, 200).await;
    let change = json!({ "password": "quite another password", "old_password": PASSWORD });
    let _ = first.call_as(&token, Method::PATCH, "/v1/iam/users/c", change).await.expect(200);
    is("a new password ends the other sessions", other.as_str().unwrap(), &mine, 401).await;
    is("and not the one that changed it", &token, &mine, 200).await;

    let account = json!({ "name": "ci", "project_id": project });
    let _ = first.call(Method::POST, "/v1/iam/service-accounts", account).await.expect(201);
    let made = first.call(Method::POST, "/v1/iam/service-accounts/ci/tokens", json!({})).await.expect(201);
    let token = made.body["token"].as_str().unwrap();
    is("a service token is good", token, "/v1/iam/whoami", 200).await;
    let path = format!("/v1/iam/service-accounts/ci/tokens/{}", made.body["id"].as_str().unwrap());
    let _ = first.call(Method::DELETE, &path, Value::Null).await.expect(204);
    is("a deleted token is not", token, "/v1/iam/whoami", 401).await;

    // Wrong passwords at the first count at the second.
    first.user("d", &project, "viewer").await;
    until_refused(&first, "d", |number| format!("198.51.100.{number}")).await;
    let mut refused = false;
    for number in 0..30 {
        refused |=
            login(&second, "d", "a wrong password", Some(&format!("203.0.113.{number}"))).await.status == 429;
    }
    assert!(refused, "the count holds for all control planes");
}
