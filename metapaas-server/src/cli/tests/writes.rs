//! Changes that are sent once more, and changes that are held to a revision.

use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Parser;

use super::super::stub::{Cli, Stub};
use super::{PROJECT, demo};

#[tokio::test]
async fn a_create_whose_connection_is_lost_is_sent_again_under_its_key() {
    let first = AtomicUsize::new(0);
    let stub = Stub::start(move |call| {
        if call.line.starts_with("POST") {
            // A handler that panics takes its connection with it.
            assert!(first.fetch_add(1, Ordering::SeqCst) > 0, "the connection is lost");
        }
        (201, "", demo("PENDING"))
    })
    .await;
    let ended = stub.run(&["create", "demo", "web", "greeting=hi", "--project", PROJECT]).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    let calls = stub.calls();
    let keys: Vec<&str> = calls.iter().map(|call| call.idempotency_key.as_str()).collect();
    assert_eq!((keys.len(), keys[0]), (2, keys[1]), "{calls:?}");
    assert!(!keys[0].is_empty());
}

#[tokio::test]
async fn changes_can_be_held_to_a_revision() {
    let stub =
        Stub::start(|call| (if call.line.starts_with("DELETE") { 202 } else { 200 }, "", demo("ACTIVE")))
            .await;
    let _ = stub.run(&["set", "demo/web", "greeting=x", "--if-match", "7"]).await;
    let _ = stub.run(&["delete", "demo/web", "--if-match", "\"8\""]).await;
    let tags: Vec<String> = stub.calls().into_iter().map(|call| call.if_match).collect();
    assert_eq!(tags, ["\"7\"", "\"8\""]);
    assert!(Cli::try_parse_from(["metapaas", "delete", "demo/web", "--if-match", "x"]).is_err());
}
