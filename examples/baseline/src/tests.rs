//! The whole interface, on both databases: a benchmark against something that does not work means nothing.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use tower::ServiceExt;
use uuid::Uuid;

use crate::auth::Verifier;
use crate::database::Database;
use crate::http::{Service, routes};

const SECRET: &str = "secret-of-these-tests";
const INSTANCES: &str = "/v1/types/demo/instances";
const PROJECT: &str = "0199a000-0000-7000-8000-000000000001";

struct Client {
    routes: Router,
    token: String,
}

impl Client {
    async fn new(url: &str) -> Self {
        let service =
            Service { database: Database::open(url).await.unwrap(), verifier: Verifier::new(SECRET) };
        Self { routes: routes(service), token: token(SECRET, 3600) }
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.header("authorization", format!("Bearer {}", self.token));
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let response = self.routes.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let status = response.status();
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    async fn create(&self, body: Value) -> (StatusCode, Value) {
        self.ask(Method::POST, INSTANCES, body).await
    }
}

fn token(secret: &str, seconds: i64) -> String {
    let expires = chrono::Utc::now().timestamp() + seconds;
    let claims = json!({ "sub": Uuid::now_v7(), "sid": Uuid::now_v7(), "exp": expires });
    encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

#[tokio::test]
async fn serves_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    serves(&format!("sqlite://{}", folder.path().join("test.db").display())).await;
}

#[tokio::test]
async fn serves_on_postgres() {
    let server = std::env::var("METAPAAS_TEST_DATABASE_URL")
        .expect("this test needs PostgreSQL: run `cargo xtask test`, or set METAPAAS_TEST_DATABASE_URL");
    let admin = PgPool::connect(&server).await.unwrap();
    let name = format!("baseline_test_{}", Uuid::new_v4().simple());
    let command = |text: String| sqlx::query(AssertSqlSafe(text)).execute(&admin);
    command(format!("CREATE DATABASE {name}")).await.unwrap();
    let (prefix, _) = server.rsplit_once('/').unwrap();
    serves(&format!("{prefix}/{name}")).await;
    command(format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
}

async fn serves(url: &str) {
    let mut client = Client::new(url).await;

    let (status, made) = client
        .create(json!({ "name": "one", "project_id": PROJECT, "greeting": "hi", "labels": { "a": "b" } }))
        .await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let expected = json!({
        "type": "demo", "name": "one", "project_id": PROJECT, "greeting": "hi", "replicas": 1, "theme": "light",
        "labels": { "a": "b" }, "status": "PENDING", "nodes": [], "conditions": [], "generation": 1,
        "observed_generation": 0, "revision": 1, "description": "", "version": "0.1.0",
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&made[field], value, "{field}");
    }
    assert_eq!(made["created_at"], made["updated_at"]);

    let path = format!("{INSTANCES}/{}", made["id"].as_str().unwrap());
    assert_eq!(client.ask(Method::GET, &path, Value::Null).await, (StatusCode::OK, made.clone()));

    let (status, changed) =
        client.ask(Method::PATCH, &path, json!({ "greeting": "hello", "theme": "dark" })).await;
    assert_eq!(status, StatusCode::OK);
    for (field, value) in [("greeting", json!("hello")), ("theme", json!("dark")), ("generation", json!(2))] {
        assert_eq!(changed[field], value, "{field}");
    }
    assert_eq!(changed["labels"], made["labels"], "what is not named stays");

    for (body, status) in [
        (json!({ "name": "one", "project_id": PROJECT, "greeting": "hi" }), StatusCode::CONFLICT),
        (json!({ "name": "One", "project_id": PROJECT, "greeting": "hi" }), StatusCode::BAD_REQUEST),
        (
            json!({ "name": "two", "project_id": PROJECT, "greeting": "hi", "replicas": 6 }),
            StatusCode::BAD_REQUEST,
        ),
        (
            json!({ "name": "two", "project_id": PROJECT, "greeting": "hi", "colour": 1 }),
            StatusCode::BAD_REQUEST,
        ),
    ] {
        assert_eq!(client.create(body.clone()).await.0, status, "{body}");
    }
    let absent = format!("{INSTANCES}/{}", Uuid::now_v7());
    assert_eq!(client.ask(Method::GET, &absent, Value::Null).await.0, StatusCode::NOT_FOUND);
    assert_eq!(client.ask(Method::PATCH, &absent, json!({})).await.0, StatusCode::NOT_FOUND);

    pages(&client).await;

    for token in [token("another secret", 3600), token(SECRET, -3600), "nonsense".into()] {
        client.token = token;
        assert_eq!(client.ask(Method::GET, &path, Value::Null).await.0, StatusCode::UNAUTHORIZED);
    }
}

/// Pages of two hold each of five instances once, in the order of their creation.
async fn pages(client: &Client) {
    for name in ["two", "three", "four", "five"] {
        client.create(json!({ "name": name, "project_id": PROJECT, "greeting": "hi" })).await;
    }
    let mut names = Vec::new();
    let mut query = "limit=2".to_owned();
    loop {
        let (status, page) = client.ask(Method::GET, &format!("{INSTANCES}?{query}"), Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        names.extend(page["items"].as_array().unwrap().iter().map(|item| item["name"].clone()));
        match page["next_page_token"].as_str() {
            Some(token) => query = format!("limit=2&page_token={token}"),
            None => break,
        }
    }
    assert_eq!(names, ["one", "two", "three", "four", "five"]);
    for query in ["limit=0", "limit=1001", "page_token=!", "sort=name"] {
        let path = format!("{INSTANCES}?{query}");
        assert_eq!(client.ask(Method::GET, &path, Value::Null).await.0, StatusCode::BAD_REQUEST, "{query}");
    }
}
