//! Every rule of the type has its answer, with a pointer to what is wrong.

use metapaas_tests::harness::On;
use reqwest::Method;
use serde_json::{Value, json};

use super::{INSTANCES, Storage, create};
use crate::on_both;

on_both!(
    the_body_of_the_contract_works_as_written,
    fields_of_instances_have_their_rules,
    buckets_have_their_rules,
    policies_are_held_to_their_language,
    keys_and_attachments_belong_to_their_instance,
    roles_see_what_they_may,
);

/// Pointers of an answer's problems.
pub(super) fn pointers(body: &Value) -> Vec<&str> {
    body["errors"].as_array().unwrap().iter().map(|problem| problem["pointer"].as_str().unwrap()).collect()
}

impl Storage {
    /// Holds a refused request to its status and the places of its problems.
    pub(super) async fn refused(
        &self,
        method: Method,
        below: &str,
        body: Value,
        status: u16,
        expected: &[&str],
    ) {
        let answer = self.call(method, below, body.clone()).await.expect(status);
        assert_eq!(pointers(&answer.body), expected, "{below} {body} {:#}", answer.body);
    }
}

async fn the_body_of_the_contract_works_as_written(on: On) {
    let installation = super::installation(on).await;
    let versions = installation.get("/v1/types/s3/versions").await.expect(200).body;
    let version =
        versions["items"][0]["version"].as_str().or(versions["items"][0].as_str()).unwrap().to_owned();
    let mut body = json!({ "name": "s3-data", "version": version, "bucket_name": "data-bucket",
                           "encryption": "aes256", "versioning": true });
    body["project_id"] = installation.default_project().await.into();
    let made = installation.call(Method::POST, INSTANCES, body).await.expect(201).body;
    assert_eq!(made["secret_access_key"].as_str().map(str::len), Some(40), "{made:#}");
    for hidden in ["instance_key", "usage_token", "mfa_secret"] {
        assert_eq!(made[hidden], Value::Null, "{hidden}");
    }
    let read = installation.get(&format!("{INSTANCES}/s3-data")).await.expect(200).body;
    assert_eq!(read["secret_access_key"], Value::Null, "shown once");
    assert_eq!(read["access_key_id"], made["access_key_id"]);
    assert_eq!((&read["encryption"], &read["disk_gb"]), (&json!("aes256"), &json!(10)));
}

async fn fields_of_instances_have_their_rules(on: On) {
    let installation = super::installation(on).await;
    for (fields, expected) in [
        (json!({ "bucket_name": "Data" }), vec!["/bucket_name"]),
        (json!({ "bucket_name": "health" }), vec!["/bucket_name"]),
        (json!({ "encryption": "rot13", "versioning": "yes" }), vec!["/encryption", "/versioning"]),
        (json!({ "version": "0.0.0-none" }), vec!["/version"]),
        (json!({ "cpu": 0, "ram_mb": 1, "disk_gb": 0 }), vec!["/cpu", "/ram_mb", "/disk_gb"]),
        (json!({ "mfa_secret": "ABCDEFGHIJKLMNOP" }), vec!["/mfa_secret"]),
        (json!({ "secret_access_key": "short" }), vec!["/secret_access_key"]),
        (json!({ "buckets": [] }), vec!["/buckets"]),
    ] {
        let answer = create(&installation, "s3-data", fields).await.expect(400);
        assert_eq!(pointers(&answer.body), expected, "{:#}", answer.body);
    }
    let _ = create(&installation, "s3-data", json!({ "disk_gb": 20 })).await.expect(201);
    let taken = create(&installation, "s3-data", json!({})).await.expect(409);
    assert_eq!(taken.body["code"], "NAME_TAKEN");
    let path = format!("{INSTANCES}/s3-data");
    for (fields, expected) in
        [(json!({ "bucket_name": "other" }), ["/bucket_name"]), (json!({ "disk_gb": 19 }), ["/disk_gb"])]
    {
        let answer = installation.call(Method::PATCH, &path, fields).await.expect(400);
        assert_eq!(pointers(&answer.body), expected);
    }
    let grown = installation.call(Method::PATCH, &path, json!({ "disk_gb": 21 })).await.expect(200);
    assert_eq!(grown.body["disk_gb"], 21);
    if super::rustfs().is_some() {
        let answer = installation.call(Method::PATCH, &path, json!({ "mfa_delete": true })).await.expect(400);
        assert_eq!(pointers(&answer.body), ["/mfa_delete"]);
        return;
    }
    let on = installation.call(Method::PATCH, &path, json!({ "mfa_delete": true })).await.expect(200).body;
    assert_eq!(on["mfa_secret"].as_str().map(str::len), Some(32), "shown when it is switched on");
    let again = installation.call(Method::PATCH, &path, json!({ "cpu": 2 })).await.expect(200).body;
    assert_eq!(again["mfa_secret"], Value::Null);
    let _ = installation.call(Method::PATCH, &path, json!({ "mfa_delete": false })).await.expect(200);
    let renewed =
        installation.call(Method::PATCH, &path, json!({ "mfa_delete": true })).await.expect(200).body;
    assert_ne!(renewed["mfa_secret"], on["mfa_secret"]);
}

async fn buckets_have_their_rules(on: On) {
    let storage = Storage::start(on, json!({})).await;
    for (fields, expected) in [
        (json!({}), vec!["/name"]),
        (json!({ "name": "10.0.0.1" }), vec!["/name"]),
        (json!({ "name": "usage" }), vec!["/name"]),
        (json!({ "name": "data-bucket" }), vec!["/name"]),
        (json!({ "name": "logs", "quota_bytes": -1 }), vec!["/quota_bytes"]),
        (json!({ "name": "logs", "object_lock": true }), vec!["/versioning"]),
        (json!({ "name": "logs", "retention_days": 3 }), vec!["/retention_mode"]),
        (json!({ "name": "logs", "retention_mode": "governance" }), vec!["/retention_days"]),
        (
            json!({ "name": "logs", "retention_mode": "forever", "retention_days": 0 }),
            vec!["/retention_mode", "/retention_days"],
        ),
        (
            json!({ "name": "logs", "retention_mode": "compliance", "retention_days": 3 }),
            vec!["/object_lock"],
        ),
    ] {
        storage.refused(Method::POST, "/buckets", fields, 400, &expected).await;
    }
    let locked = json!({ "name": "logs", "versioning": true, "object_lock": true, "retention_mode": "governance",
                         "retention_days": 3, "quota_bytes": 1000 });
    let made = storage.make("/buckets", locked).await;
    assert_eq!((&made["retention_mode"], &made["purge"]), (&json!("governance"), &Value::Null));
    let taken = storage.call(Method::POST, "/buckets", json!({ "name": "logs" })).await.expect(409);
    assert_eq!(taken.body["code"], "NAME_TAKEN");
    storage
        .refused(Method::PATCH, "/buckets/logs", json!({ "versioning": false }), 400, &["/versioning"])
        .await;
    storage
        .refused(Method::PATCH, "/buckets/logs", json!({ "object_lock": false }), 400, &["/object_lock"])
        .await;
    let _ = storage.call(Method::GET, "/buckets/none", Value::Null).await.expect(404);
    storage.refused(Method::DELETE, "/buckets/logs?force=perhaps", Value::Null, 400, &["?force"]).await;
    storage.refused(Method::DELETE, "/users/none?force=true", Value::Null, 400, &["?force"]).await;
}

async fn policies_are_held_to_their_language(on: On) {
    let storage = Storage::start(on, json!({})).await;
    let statement = |change: &dyn Fn(&mut Value)| {
        let mut statement =
            json!({ "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::data-bucket/*" });
        change(&mut statement);
        json!({ "name": "read", "document": { "Version": "2012-10-17", "Statement": [statement] } })
    };
    let at = |rest: &str| format!("/document/Statement/0/{rest}");
    for (policy, expected) in [
        (json!({ "name": "read" }), "/document".to_owned()),
        (json!({ "name": "/", "document": {} }), "/name".to_owned()),
        (statement(&|statement| statement["Effect"] = "Permit".into()), at("Effect")),
        (statement(&|statement| statement["Principal"] = "*".into()), at("Principal")),
        (
            statement(&|statement| statement["Condition"] = json!({ "Sometimes": {} })),
            at("Condition/Sometimes"),
        ),
    ] {
        storage.refused(Method::POST, "/policies", policy, 400, &[&expected]).await;
    }
    let right = statement(&|statement| {
        statement["Condition"] = json!({ "IpAddress": { "aws:SourceIp": "10.0.0.0/8" } });
    });
    let made = storage.make("/policies", right.clone()).await;
    assert_eq!(made["document"], right["document"], "nothing is reduced");
    let wrong = json!({ "document": { "Version": "2008-10-17" } });
    storage.refused(Method::PATCH, "/policies/read", wrong, 400, &["/document/Version"]).await;
}

async fn keys_and_attachments_belong_to_their_instance(on: On) {
    let storage = Storage::start(on, json!({})).await;
    let other = create(&storage.installation, "other", json!({})).await.expect(201).body;
    let all = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "s3:*", "Resource": "*" }] });
    let elsewhere = format!("{INSTANCES}/{}/policies", other["id"].as_str().unwrap());
    let body = json!({ "name": "theirs", "document": all });
    let _ = storage.installation.call(Method::POST, &elsewhere, body).await.expect(201);
    storage.make("/policies", json!({ "name": "all", "document": all })).await;
    for user in ["alice", "bob"] {
        storage.make("/users", json!({ "name": user })).await;
    }
    storage
        .refused(Method::POST, "/users/alice/policies", json!({ "name": "theirs" }), 400, &["/name"])
        .await;
    storage.make("/users/alice/policies", json!({ "name": "all" })).await;
    let taken =
        storage.call(Method::POST, "/users/alice/policies", json!({ "name": "all" })).await.expect(409);
    assert_eq!(taken.body["code"], "NAME_TAKEN");
    let used = storage.call(Method::DELETE, "/policies/all", Value::Null).await.expect(409).body;
    assert_eq!(used["code"], "IN_USE");
    assert!(used["detail"].as_str().unwrap().contains("alice"), "{used:#}");

    let key = storage.make("/users/alice/access-keys", json!({})).await;
    let id = key["access_key_id"].as_str().unwrap();
    assert_eq!((id.len(), key["secret_access_key"].as_str().unwrap().len()), (20, 40));
    let read =
        storage.call(Method::GET, &format!("/users/alice/access-keys/{id}"), Value::Null).await.expect(200);
    assert_eq!((&read.body["secret_access_key"], &read.body["enabled"]), (&Value::Null, &json!(true)));
    let body = json!({ "access_key_id": id });
    storage.refused(Method::POST, "/users/bob/access-keys", body, 400, &["/access_key_id"]).await;
    let body = json!({ "access_key_id": storage.created["access_key_id"] });
    storage.refused(Method::POST, "/users/bob/access-keys", body, 400, &["/access_key_id"]).await;
    let disabled =
        storage.patch(&format!("/users/alice/access-keys/{id}"), json!({ "enabled": false })).await;
    assert_eq!(disabled["enabled"], false);
    let _ = storage.call(Method::POST, "/users/carol/access-keys", json!({})).await.expect(404);

    let _ = storage.call(Method::DELETE, "/users/alice/policies/all", Value::Null).await.expect(202);
    let _ = storage.call(Method::DELETE, "/policies/all", Value::Null).await.expect(202);
    storage.refused(Method::POST, "/users/bob/policies", json!({ "name": "all" }), 400, &["/name"]).await;
}

async fn roles_see_what_they_may(on: On) {
    let storage = Storage::start(on, json!({})).await;
    let (installation, path) = (&storage.installation, &storage.path);
    let project = installation.default_project().await;
    let viewer = installation.user("vera", &project, "viewer").await;
    let operator = installation.user("otto", &project, "operator").await;
    let bucket = json!({ "name": "logs" });
    let buckets = format!("{path}/buckets");
    let _ = installation.call_as(&viewer, Method::POST, &buckets, bucket.clone()).await.expect(403);
    let _ = installation.call_as("", Method::POST, &buckets, bucket).await.expect(401);
    let _ = installation.call_as(&viewer, Method::GET, &buckets, Value::Null).await.expect(200);
    let change = json!({ "mfa_delete": true });
    let refused = installation.call_as(&operator, Method::PATCH, path, change).await.expect(403);
    assert_eq!(pointers(&refused.body), ["/mfa_delete"]);
    let change = json!({ "encryption": "aes256" });
    let _ = installation.call_as(&operator, Method::PATCH, path, change).await.expect(200);
    let stranger =
        installation.call(Method::POST, "/v1/iam/projects", json!({ "name": "elsewhere" })).await.expect(201);
    let elsewhere = installation.user("eve", stranger.body["id"].as_str().unwrap(), "owner").await;
    let _ = installation.call_as(&elsewhere, Method::GET, path, Value::Null).await.expect(404);
}
