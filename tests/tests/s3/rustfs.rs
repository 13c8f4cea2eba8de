//! The engine `rustfs`: what it tells the server, as a server takes it down that is RustFS in its paths only. The client
//! suites run on RustFS itself by `cargo xtask test --engine rustfs`.

use metapaas_tests::harness::{Installation, On, eventually};
use metapaas_tests::workspace_root;
use reqwest::Method;
use serde_json::{Value, json};

use super::rules::pointers;
use super::{Storage, create, environment};
use crate::PROGRAM;

impl Storage {
    /// An instance on the server of `rustfs.py`.
    async fn recorded(fields: Value) -> Self {
        let program = workspace_root().join("tests/tests/s3/rustfs.py");
        Self::start_with(On::Sqlite, fields, &environment(program.to_str().unwrap())).await
    }

    /// What the server was told.
    fn told(&self) -> Value {
        let file = self.installation.node_dirs().remove(0).join("work/data/state.json");
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rustfs_is_told_what_is_wanted() {
    let storage = Storage::recorded(json!({ "encryption": "aes256", "versioning": true })).await;
    storage
        .make(
            "/buckets",
            json!({ "name": "ledger", "versioning": true, "object_lock": true, "retention_mode": "compliance",
                    "retention_days": 3, "quota_bytes": 1000 }),
        )
        .await;
    storage.make("/buckets", json!({ "name": "full", "public": true })).await;
    let statement = json!({ "Effect": "Allow", "Action": "s3:ListBucketM*", "Resource": "*",
                            "Condition": { "StringLike": { "S3:prefix": "a/*" } } });
    let document = json!({ "Version": "2012-10-17", "Statement": statement });
    storage.make("/policies", json!({ "name": "lists", "document": document })).await;
    let (key, secret) = storage.user("alice", &["lists"]).await;
    storage.active().await;

    let told = storage.told();
    let buckets = &told["buckets"];
    assert_eq!(buckets["data-bucket"]["lock"], false);
    assert!(buckets["data-bucket"]["versioning"].as_str().unwrap().contains("Enabled"), "{told:#}");
    assert!(buckets["data-bucket"]["encryption"].as_str().unwrap().contains("AES256"), "{told:#}");
    assert_eq!((&buckets["ledger"]["lock"], &buckets["ledger"]["quota"]), (&json!(true), &json!(1000)));
    let lock = buckets["ledger"]["object-lock"].as_str().unwrap();
    assert!(lock.contains("COMPLIANCE") && lock.contains("<Days>3</Days>"), "{lock}");
    assert!(buckets["full"]["policy"].as_str().unwrap().contains("arn:aws:s3:::full/*"), "{told:#}");
    let policy = json!([{ "Effect": "Allow", "Action": ["s3:ListBucketMultipartUploads"], "Resource": ["arn:aws:s3:::*"],
                          "Condition": { "StringLike": { "s3:prefix": "a/*" } } }]);
    assert_eq!(told["policies"]["t-lists"]["Statement"], policy);
    assert_eq!(told["users"]["alice"]["policyName"], "platform-guard,t-lists");
    assert_eq!(told["users"]["(root)"]["policyName"], "platform-guard,platform-root");
    assert_eq!(told["accounts"][&key], json!({ "user": "alice", "secret": secret, "status": "on" }));

    storage.patch(&format!("/users/alice/access-keys/{key}"), json!({ "enabled": false })).await;
    storage.patch("/buckets/full", json!({ "public": false, "quota_bytes": 5 })).await;
    storage.patch("", json!({ "encryption": "none", "versioning": false })).await;
    storage.active().await;
    let changed = storage.told();
    assert_eq!(changed["accounts"][&key]["status"], "off");
    assert_eq!(
        (&changed["buckets"]["full"]["policy"], &changed["buckets"]["full"]["quota"]),
        (&Value::Null, &json!(5))
    );
    assert_eq!(changed["buckets"]["data-bucket"]["encryption"], Value::Null);
    assert!(changed["buckets"]["data-bucket"]["versioning"].as_str().unwrap().contains("Suspended"));

    let _ = storage.call(Method::DELETE, "/users/alice", Value::Null).await.expect(202);
    let _ = storage.call(Method::DELETE, "/policies/lists", Value::Null).await.expect(202);
    let _ = storage.call(Method::DELETE, "/buckets/ledger", Value::Null).await.expect(202);
    let _ = storage.call(Method::DELETE, "/buckets/full", Value::Null).await.expect(202);
    let kept = || async {
        storage.call(Method::GET, "/buckets/full", Value::Null).await.body["conditions"][0]["reason"]
            == "BUCKET_NOT_EMPTY"
    };
    eventually("the bucket that is full is kept", kept).await;
    let _ = storage.call(Method::DELETE, "/buckets/full?force=true", Value::Null).await.expect(202);
    let gone = || async { storage.call(Method::GET, "/buckets/full", Value::Null).await.status == 404 };
    eventually("it goes by force", gone).await;
    let left = storage.told();
    assert_eq!(left["buckets"].as_object().unwrap().keys().collect::<Vec<_>>(), ["data-bucket"]);
    assert_eq!(left["users"].as_object().unwrap().keys().collect::<Vec<_>>(), ["(root)"]);
    assert_eq!((&left["policies"]["t-lists"], &left["accounts"][&key]), (&Value::Null, &Value::Null));

    let counted = || async {
        let instance = storage.active().await;
        (&instance["objects"], &instance["bytes"], &instance["requests"])
            == (&json!(1), &json!(7), &Value::Null)
    };
    eventually("what it counts is told, and no more", counted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rustfs_is_not_asked_for_what_it_has_not() {
    let installation = {
        let settings = environment("/nowhere/rustfs").map(|(name, value)| (name, value));
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Installation::start_with(PROGRAM, On::Sqlite, &settings).await
    };
    let versions = installation.get("/v1/types/s3/versions").await.expect(200).body;
    assert_eq!(versions["items"].as_array().map(Vec::len), Some(1), "{versions:#}");
    for (fields, expected) in [
        (json!({ "mfa_delete": true }), "/mfa_delete"),
        (json!({ "bucket_name": "minio" }), "/bucket_name"),
        (json!({ "version": env!("CARGO_PKG_VERSION") }), "/version"),
    ] {
        let answer = create(&installation, "s3-data", fields).await.expect(400);
        assert_eq!(pointers(&answer.body), [expected], "{:#}", answer.body);
    }
    let made = create(&installation, "s3-data", json!({})).await.expect(201).body;
    assert_eq!(made["version"], "rustfs-1.0");
    let path = format!("{}/{}", super::INSTANCES, made["id"].as_str().unwrap());
    let storage = Storage { installation, path, created: made };
    let statement =
        json!({ "Effect": "Allow", "Action": ["s3:GetObject", "s3:GetBucketWebsite"], "Resource": "*" });
    let policy = json!({ "name": "site", "document": { "Version": "2012-10-17", "Statement": [statement] } });
    storage.refused(Method::POST, "/policies", policy, 400, &["/document/Statement/0/Action"]).await;
    storage.refused(Method::POST, "/users", json!({ "name": "al" }), 400, &["/name"]).await;
    storage.refused(Method::POST, "/buckets", json!({ "name": "rustfs" }), 400, &["/name"]).await;
    storage.refused(Method::PATCH, "", json!({ "mfa_delete": true }), 400, &["/mfa_delete"]).await;
}
