//! Watches: taken up again where they broke, and ended when the right to them is lost.

use serde_json::{Value, json};

use super::super::stub::Stub;
use super::demo;

#[tokio::test]
async fn a_watch_goes_on_where_its_connection_broke_and_begins_anew_when_that_is_gone() {
    let stub = Stub::start(|call| {
        let event = |id: &str, kind: &str, object: Value| {
            format!("{id}event: {kind}\ndata: {}\n\n", json!({ "type": kind, "object": object }))
        };
        let text = match call.last_event_id.as_str() {
            "" => event("", "ADDED", demo("ACTIVE")) + &event("id: 7\n", "SYNCED", json!({ "revision": 7 })),
            "7" => event("id: 9\n", "MODIFIED", demo("UPDATING")),
            "9" => return (410, "", json!({ "code": "EXPIRED", "detail": "gone" })),
            other => panic!("{other}"),
        };
        (200, "", text.into())
    })
    .await;
    let watched = tokio::time::timeout(std::time::Duration::from_secs(60), async {
        let watching = stub.run(&["watch", "demo", "--filter", "status=ACTIVE"]);
        tokio::pin!(watching);
        // It never ends by itself.
        while stub.calls().len() < 4 {
            tokio::select! {
                ended = &mut watching => panic!("{ended:?}"),
                () = tokio::time::sleep(std::time::Duration::from_millis(20)) => {}
            }
        }
    });
    watched.await.unwrap();
    let calls = stub.calls();
    let resumed: Vec<&str> = calls.iter().take(4).map(|call| call.last_event_id.as_str()).collect();
    assert_eq!(resumed, ["", "7", "9", ""]);
    assert!(calls.iter().all(|call| call.line == "GET /v1/types/demo/instances?status=ACTIVE"), "{calls:?}");
}

#[tokio::test]
async fn a_watch_ends_when_the_right_to_it_is_lost() {
    let stub = Stub::start(|_| {
        let object = json!({ "code": "FORBIDDEN", "detail": "you lack the permission demo.instances.watch" });
        (200, "", format!("event: ERROR\ndata: {}\n\n", json!({ "type": "ERROR", "object": object })).into())
    })
    .await;
    let ended = stub.run(&["watch", "demo"]).await;
    assert_eq!((ended.code, ended.err.contains("demo.instances.watch")), (4, true), "{}", ended.err);
}
