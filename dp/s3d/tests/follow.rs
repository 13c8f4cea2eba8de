//! Changes of the document are in force without a restart.

use serde_json::json;

use crate::server::Server;

#[test]
fn buckets_keys_and_policies_follow_the_document() {
    let mut server = Server::start();
    server.python(&["keep", "5"]);
    server.change(|document| {
        document["buckets"]["later"] = document["buckets"]["plain"].clone();
        let buckets = document["buckets"].as_object_mut().unwrap();
        buckets.remove("plain");
        buckets.remove("empty");
    });
    let usage = server.usage();
    assert!(usage["buckets"]["plain"]["error"].as_str().unwrap().contains("5 objects"));
    assert_eq!(usage["buckets"]["later"]["objects"], 0);
    assert!(usage["buckets"].get("empty").is_none());
    server.change(|document| document["buckets"]["plain"] = document["buckets"]["later"].clone());
    server.python(&["kept", "5"]);
    assert!(server.usage()["buckets"]["plain"].get("error").is_none());
    let key = |enabled: bool| json!({ "secret": "root-secret", "enabled": enabled });
    server.change(|document| document["users"]["root"]["access_keys"]["root-key"] = key(false));
    assert!(!server.python_command(&["kept", "1"]).output().unwrap().status.success());
    server.change(|document| document["users"]["root"]["access_keys"]["root-key"] = key(true));
    server.python(&["kept", "5"]);
    server.change(|document| document["encryption"] = json!("aes256"));
    server.python(&["encrypted"]);
    server.change(|document| document["encryption"] = json!("none"));
    server.python(&["kept", "5"]);
}

#[test]
fn a_broken_document_leaves_the_last_one_in_force() {
    let server = Server::start();
    std::fs::write(server.folder.path().join("document.json"), "{").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(400));
    assert_eq!(server.get("/health", "").unwrap(), "0");
    server.python(&["keep", "2"]);
}

#[test]
fn usage_is_for_those_who_know_its_token_and_metrics_are_counted() {
    let server = Server::start();
    server.python(&["keep", "3"]);
    assert!(server.get("/usage", "wrong").is_err());
    assert!(server.get("/usage", "").is_err());
    let usage = server.usage();
    assert_eq!((&usage["objects"], &usage["requests"]), (&json!(3), &json!(3)));
    let metrics = server.get("/metrics", "").unwrap();
    assert!(metrics.contains("metapaas_s3_objects{bucket=\"plain\"} 3"), "{metrics}");
    assert!(metrics.contains("metapaas_s3_requests_total{code=\"2xx\"} 3"), "{metrics}");
}
