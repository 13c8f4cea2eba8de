//! The s3 type as its users know it: instances made through the API, used by clients that nobody here wrote.

mod clients;
mod crashes;
mod examples;
mod rules;
mod rustfs;

use metapaas_tests::harness::{Answer, Installation, On};
use reqwest::Method;
use serde_json::{Value, json};

use crate::PROGRAM;

/// Where S3 instances are.
const INSTANCES: &str = "/v1/types/s3/instances";

/// The RustFS program to run the suites on instead of the engine that comes with the platform.
fn rustfs() -> Option<String> {
    std::env::var("METAPAAS_TEST_RUSTFS").ok()
}

/// Settings that make new instances run RustFS.
fn environment(program: &str) -> [(&'static str, String); 1] {
    [("METAPAAS_PLUGINS", format!("{{s3={{engine=\"rustfs\",rustfs=\"{program}\"}}}}"))]
}

/// An installation whose S3 instances run the engine under test.
async fn installation(on: On) -> Installation {
    let settings = rustfs().map(|program| environment(&program));
    let settings = settings.iter().flatten().map(|(name, value)| (*name, value.as_str()));
    Installation::start_with(PROGRAM, on, &settings.collect::<Vec<_>>()).await
}

/// An installation with an S3 instance.
struct Storage {
    installation: Installation,
    /// The path of the instance.
    path: String,
    /// What the create answered.
    created: Value,
}

impl Storage {
    /// Makes an instance `s3-data` with these fields besides.
    async fn start(on: On, fields: Value) -> Self {
        Self::on(installation(on).await, fields).await
    }

    /// The same with settings of its own.
    async fn start_with(on: On, fields: Value, environment: &[(&str, String)]) -> Self {
        let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Self::on(Installation::start_with(PROGRAM, on, &environment).await, fields).await
    }

    async fn on(installation: Installation, fields: Value) -> Self {
        let created = create(&installation, "s3-data", fields).await.expect(201).body;
        let path = format!("{INSTANCES}/{}", created["id"].as_str().unwrap());
        Self { installation, path, created }
    }

    /// Waits until all that was asked for is in force.
    async fn active(&self) -> Value {
        self.installation.active(&self.path).await
    }

    async fn call(&self, method: Method, below: &str, body: Value) -> Answer {
        self.installation.call(method, &format!("{}{below}", self.path), body).await
    }

    async fn make(&self, below: &str, body: Value) -> Value {
        self.call(Method::POST, below, body).await.expect(201).body
    }

    async fn patch(&self, below: &str, body: Value) -> Value {
        self.call(Method::PATCH, below, body).await.expect(200).body
    }

    /// A user with one pair of keys and these policies: the id of the key and its secret.
    async fn user(&self, name: &str, policies: &[&str]) -> (String, String) {
        self.make("/users", json!({ "name": name })).await;
        for policy in policies {
            self.make(&format!("/users/{name}/policies"), json!({ "name": policy })).await;
        }
        let key = self.make(&format!("/users/{name}/access-keys"), json!({})).await;
        let text = |member: &str| key[member].as_str().unwrap().to_owned();
        (text("access_key_id"), text("secret_access_key"))
    }

    /// What S3 clients are told: where it is, and the instance's own key.
    fn environment(&self, instance: &Value) -> Vec<(&'static str, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let node = &instance["nodes"][0];
        vec![
            ("S3_ENDPOINT", format!("http://{}:{}", text(&node["ip"]), node["port"])),
            ("AWS_ACCESS_KEY_ID", text(&self.created["access_key_id"])),
            ("AWS_SECRET_ACCESS_KEY", text(&self.created["secret_access_key"])),
            ("AWS_DEFAULT_REGION", "us-east-1".to_owned()),
        ]
    }
}

/// Asks for an instance.
async fn create(installation: &Installation, name: &str, mut fields: Value) -> Answer {
    let members = fields.as_object_mut().unwrap();
    members.entry("bucket_name").or_insert_with(|| "data-bucket".into());
    members.insert("name".into(), name.into());
    members.insert("project_id".into(), installation.default_project().await.into());
    installation.call(Method::POST, INSTANCES, fields).await
}
