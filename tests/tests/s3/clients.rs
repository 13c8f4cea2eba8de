//! boto3, the client of MinIO, rclone and curl, against instances made through the API.

use std::process::Command;

use metapaas_tests::harness::{On, eventually};
use metapaas_tests::workspace_root;
use reqwest::Method;
use serde_json::{Value, json};

use super::Storage;
use crate::on_both;
use crate::openapi::{python, run};

on_both!(objects_come_and_go, a_user_may_what_its_policies_say);

impl Storage {
    /// Runs a scenario of `clients.py` as the holder of a key, or of the instance's own.
    pub(super) async fn scenario(&self, key: Option<&(String, String)>, arguments: &[&str]) -> String {
        self.scenario_of(&self.active().await, key, arguments).await
    }

    /// The same without a look at the control plane.
    pub(super) async fn scenario_of(
        &self,
        instance: &Value,
        key: Option<&(String, String)>,
        arguments: &[&str],
    ) -> String {
        let mut command = Command::new(python());
        command.arg(workspace_root().join("tests/tests/s3/clients.py")).args(arguments);
        command.envs(self.environment(instance));
        if let Some((id, secret)) = key {
            command.env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", secret);
        }
        let name = arguments.join(" ");
        tokio::task::spawn_blocking(move || run(&name, &mut command)).await.unwrap()
    }
}

fn allow(actions: &[&str], resources: &[&str]) -> Value {
    json!({ "Effect": "Allow", "Action": actions, "Resource": resources })
}

fn policy(name: &str, statements: &[Value]) -> Value {
    json!({ "name": name, "document": { "Version": "2012-10-17", "Statement": statements } })
}

async fn objects_come_and_go(on: On) {
    let storage = Storage::start(on, json!({ "encryption": "aes256", "versioning": true })).await;
    storage.scenario(None, &["objects", "data-bucket"]).await;
    storage.scenario(None, &["impostors", "data-bucket"]).await;
    storage.scenario(None, &["with_minio", "data-bucket"]).await;

    let link = storage.scenario(None, &["presign", "data-bucket", "a b/ü"]).await;
    let got = run("curl", Command::new("curl").args(["-fsS", link.trim()]));
    assert_eq!(got, "for whoever has the link");

    let seen = |field: &'static str, at_least: u64| {
        let storage = &storage;
        eventually("the usage is told", move || async move {
            storage.active().await[field].as_u64().is_some_and(|found| found >= at_least)
        })
    };
    seen("bytes", 64 << 20).await;
    seen("objects", 4).await;
    if super::rustfs().is_none() {
        seen("requests", 20).await;
    }
    let id = storage.created["id"].as_str().unwrap();
    let metrics = || async {
        let found = storage.installation.get("/metrics").await.expect(200).body;
        let line = format!("metapaas_instance_bytes{{type=\"s3\",instance_id=\"{id}\",");
        let value = found.as_str().unwrap().lines().find(|one| one.starts_with(&line))?;
        value.rsplit_once(' ')?.1.parse::<u64>().ok()
    };
    eventually("they are metrics", || async { metrics().await.is_some_and(|bytes| bytes >= 64 << 20) }).await;
}

async fn a_user_may_what_its_policies_say(on: On) {
    let storage = Storage::start(on, json!({})).await;
    storage.make("/buckets", json!({ "name": "mine" })).await;
    let own = ["arn:aws:s3:::mine", "arn:aws:s3:::mine/*"];
    storage
        .make("/policies", policy("mine", &[allow(&["s3:*"], &own), allow(&["s3:ListAllMyBuckets"], &["*"])]))
        .await;
    let alice = storage.user("alice", &["mine"]).await;
    storage.scenario(Some(&alice), &["one_bucket", "mine", "data-bucket"]).await;

    let mut list = allow(&["s3:ListBucket"], &["arn:aws:s3:::data-bucket"]);
    list["Condition"] =
        json!({ "StringLike": { "s3:prefix": "reports/*" }, "IpAddress": { "aws:SourceIp": "127.0.0.0/8" } });
    let write = allow(&["s3:PutObject"], &["arn:aws:s3:::data-bucket/reports/*"]);
    storage.make("/policies", policy("reports", &[list, write])).await;
    let bob = storage.user("bob", &["reports"]).await;
    storage.scenario(Some(&bob), &["condition", "data-bucket"]).await;

    let key = format!("/users/alice/access-keys/{}", alice.0);
    storage.patch(&key, json!({ "enabled": false })).await;
    storage.scenario(Some(&alice), &["denied", "InvalidAccessKeyId", "mine"]).await;
    storage.patch(&key, json!({ "enabled": true })).await;
    storage.scenario(Some(&alice), &["works", "mine"]).await;
    let _ = storage.call(Method::DELETE, "/users/alice/policies/mine", Value::Null).await.expect(202);
    storage.scenario(Some(&alice), &["denied", "AccessDenied", "mine"]).await;
    let _ = storage.call(Method::DELETE, &key, Value::Null).await.expect(202);
    storage.scenario(Some(&alice), &["denied", "InvalidAccessKeyId", "mine"]).await;

    let rotated = storage.call(Method::POST, "/actions/rotate-keys", json!({})).await.expect(202).body;
    let secret = rotated["secrets"]["secret_access_key"].as_str().unwrap().to_owned();
    let id = storage.active().await["access_key_id"].as_str().unwrap().to_owned();
    assert_ne!(id, storage.created["access_key_id"]);
    storage.scenario(None, &["denied", "InvalidAccessKeyId", "mine"]).await;
    storage.scenario(Some(&(id, secret)), &["works", "mine"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_bucket_promises_it_keeps() {
    let storage = Storage::start(On::Sqlite, json!({ "versioning": true })).await;
    storage.make("/buckets", json!({ "name": "small", "quota_bytes": 1000 })).await;
    let locked = json!({ "name": "ledger", "versioning": true, "object_lock": true,
                         "retention_mode": "compliance", "retention_days": 1 });
    storage.make("/buckets", locked).await;
    storage.make("/buckets", json!({ "name": "site", "public": true })).await;
    // RustFS has no code of its own for it.
    let refusal = if super::rustfs().is_some() { "InvalidRequest" } else { "QuotaExceeded" };
    storage.scenario(None, &["quota", "small", refusal]).await;
    storage.scenario(None, &["locked", "ledger"]).await;

    storage.scenario(None, &["presign", "site", "index.html"]).await;
    let endpoint = storage.environment(&storage.active().await)[0].1.clone();
    let got = run("curl", Command::new("curl").args(["-fsS", &format!("{endpoint}/site/index.html")]));
    assert_eq!(got, "for whoever has the link");
    storage.patch("/buckets/site", json!({ "public": false })).await;
    storage.active().await;
    let refused =
        Command::new("curl").args(["-fsS", &format!("{endpoint}/site/index.html")]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("403"), "{refused:?}");

    if super::rustfs().is_some() {
        let _ = storage.call(Method::PATCH, "", json!({ "mfa_delete": true })).await.expect(400);
        return;
    }
    let on = storage.patch("", json!({ "mfa_delete": true })).await;
    storage.scenario(None, &["mfa", "data-bucket", on["mfa_secret"].as_str().unwrap()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_holds_something_goes_only_by_force() {
    let storage = Storage::start(On::Sqlite, json!({})).await;
    storage.make("/buckets", json!({ "name": "full" })).await;
    storage.scenario(None, &["presign", "full", "a"]).await;
    let objects =
        || async { storage.call(Method::GET, "/buckets/full", Value::Null).await.body["objects"] == 1 };
    eventually("the object is counted", objects).await;
    let refused = storage.call(Method::DELETE, "/buckets/full", Value::Null).await.expect(409).body;
    assert_eq!((&refused["code"], &refused["objects"]), (&json!("INVALID_STATE"), &json!(1)));
    storage.scenario(None, &["count", "full", "1"]).await;
    let _ = storage.call(Method::DELETE, "/buckets/full?force=true", Value::Null).await.expect(202);
    let gone = || async { storage.call(Method::GET, "/buckets/full", Value::Null).await.status == 404 };
    eventually("the bucket is gone", gone).await;
    storage.scenario(None, &["denied", "NoSuchBucket", "full"]).await;

    // Nothing is known of what was written since the last count, so the server itself has the last word.
    storage.make("/buckets", json!({ "name": "fresh" })).await;
    storage.scenario(None, &["presign", "fresh", "a"]).await;
    let answer = storage.call(Method::DELETE, "/buckets/fresh", Value::Null).await;
    if answer.status == 202 {
        let kept = || async {
            let row = storage.call(Method::GET, "/buckets/fresh", Value::Null).await.body;
            row["conditions"][0]["reason"] == "BUCKET_NOT_EMPTY"
        };
        eventually("the bucket is kept", kept).await;
    }
    let _ = storage.call(Method::DELETE, "/buckets/fresh?force=true", Value::Null).await.expect(202);
    let gone = || async { storage.call(Method::GET, "/buckets/fresh", Value::Null).await.status == 404 };
    eventually("it goes by force", gone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rclone_copies_a_folder_there_and_back() {
    let storage = Storage::start(On::Sqlite, json!({})).await;
    let instance = storage.active().await;
    let environment = storage.environment(&instance);
    let folder = tempfile::tempdir().unwrap();
    let (from, back) = (folder.path().join("from"), folder.path().join("back"));
    std::fs::create_dir_all(from.join("deep/er")).unwrap();
    std::fs::write(from.join("deep/er/large"), vec![7; 9 << 20]).unwrap();
    std::fs::write(from.join("ü and blanks"), "text").unwrap();
    let rclone = |arguments: &[&str]| {
        let mut command = Command::new("rclone");
        command.args(arguments).args(["--config", "/dev/null", "--s3-upload-cutoff", "5Mi"]);
        command.env("RCLONE_CONFIG_MP_TYPE", "s3").env("RCLONE_CONFIG_MP_PROVIDER", "Other");
        command.env("RCLONE_CONFIG_MP_ENV_AUTH", "true").env("RCLONE_CONFIG_MP_ENDPOINT", &environment[0].1);
        // What this machine trusts is nothing to a server on http.
        command.env_remove("AWS_CA_BUNDLE");
        command.envs(environment.iter().map(|(name, value)| (*name, value)));
        tokio::task::block_in_place(|| run("rclone", &mut command))
    };
    let (from, back) = (from.to_str().unwrap(), back.to_str().unwrap());
    rclone(&["copy", from, "mp:data-bucket/backup"]);
    rclone(&["check", from, "mp:data-bucket/backup"]);
    rclone(&["copy", "mp:data-bucket/backup", back]);
    run("diff", Command::new("diff").args(["-r", from, back]));
    rclone(&["purge", "mp:data-bucket/backup"]);
    assert_eq!(rclone(&["lsf", "mp:data-bucket"]), "");
}
