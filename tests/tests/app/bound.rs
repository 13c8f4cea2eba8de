//! An app that keeps files in the bucket that it is bound to, until it no longer is.

use std::process::Command;

use metapaas_tests::harness::{On, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use super::repository::Repository;
use super::{App, installation, samples};
use crate::openapi::{python, run};

pub(crate) const S3: &str = "/v1/types/s3/instances";

/// What S3 says to the holder of a key who lists a bucket.
pub(crate) async fn lists(keys: &Value, bucket: &str) -> String {
    const SCRIPT: &str = "
import boto3, botocore, sys
try:
    boto3.client('s3').list_objects_v2(Bucket=sys.argv[1])
    print('listed')
except botocore.exceptions.ClientError as error:
    print(error.response['Error']['Code'])
";
    let mut command = Command::new(python());
    command.args(["-c", SCRIPT, bucket]);
    for (name, value) in keys.as_object().unwrap() {
        command.env(name, value.as_str().unwrap());
    }
    let said = tokio::task::spawn_blocking(move || run("list a bucket", &mut command)).await.unwrap();
    said.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_stores_a_file_in_the_bucket_that_it_is_bound_to() {
    let installation = installation(On::Sqlite).await;
    let project = installation.default_project().await;
    let storage = json!({ "name": "data", "bucket_name": "data-bucket", "project_id": project });
    let _ = installation.call(Method::POST, S3, storage).await.expect(201);
    let other = json!({ "name": "other-bucket" });
    let _ = installation.call(Method::POST, &format!("{S3}/data/buckets"), other).await.expect(201);
    let repository = Repository::new();
    repository.commit(&samples::KEEPER);
    let app = App::create(&installation, "shop", json!({ "repo": repository.url() })).await;
    app.active().await;
    assert_eq!(app.says("/").await, "unbound");

    let bindings = format!("{}/bindings", app.path);
    let wrong = json!({ "name": "wrong", "to": "s3/data", "parameters": { "bucket": "no-bucket" } });
    let refused = installation.call(Method::POST, &bindings, wrong).await.expect(400);
    assert_eq!(refused.body["errors"][0]["pointer"], "/parameters/bucket");
    let binding = json!({ "name": "store", "to": "s3/data" });
    let _ = installation.call(Method::POST, &bindings, binding).await.expect(201);
    let path = format!("{bindings}/store");
    let bound = installation.active(&path).await;
    assert!(bound["env_names"].as_array().unwrap().contains(&json!("S3_BUCKET")), "{bound:#}");
    assert_eq!(app.says("/").await, "data-bucket");
    assert_eq!(app.says("/store").await, "kept");
    let code = "import os; print(os.environ['S3_BUCKET'], 'AWS_SECRET_ACCESS_KEY' in os.environ)";
    let command = json!({ "command": ["python3", "-c", code] });
    let ran =
        installation.call(Method::POST, &format!("{}/actions/run", app.path), command).await.expect(200);
    assert_eq!(ran.body["stdout"], "data-bucket True\n", "{}", ran.body);
    let (one, two) = (app.release(1).await, app.release(2).await);
    assert_eq!((&two["image"], &two["build"]), (&one["image"], &json!(1)), "nothing was built");
    let keys: Value = serde_json::from_str(&app.says("/keys").await).unwrap();
    assert_eq!(lists(&keys, "data-bucket").await, "listed");
    assert_eq!(lists(&keys, "other-bucket").await, "AccessDenied", "it is for one bucket");

    let secret = keys["AWS_SECRET_ACCESS_KEY"].as_str().unwrap();
    for seen in [&path, &app.path, &format!("{}/releases", app.path), "/v1/events?limit=1000"] {
        let answer = installation.get(seen).await.expect(200).body.to_string();
        assert!(!answer.contains(secret), "{seen} shows the secret");
    }
    for entry in std::fs::read_dir(installation.data_dir()).unwrap().flatten() {
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        let is_there = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!is_there, "{} holds the secret", entry.path().display());
    }

    let storage = format!("{S3}/data");
    let refused = installation.call(Method::DELETE, &storage, Value::Null).await.expect(409);
    assert_eq!(refused.body["code"], "IN_USE");
    let _ = installation.call(Method::DELETE, &path, Value::Null).await.expect(202);
    eventually("the binding is gone", || async { installation.get(&path).await.status == 404 }).await;
    assert_eq!(lists(&keys, "data-bucket").await, "InvalidAccessKeyId", "the key is revoked");
    app.release_is(3, "SERVING").await;
    app.active().await;
    assert_eq!(app.says("/").await, "unbound");
    let _ = installation.call(Method::DELETE, &storage, Value::Null).await.expect(202);
}
