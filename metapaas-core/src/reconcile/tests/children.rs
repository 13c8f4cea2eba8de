//! Rows below an instance: they go before it, and with the nodes that hold them.

use super::*;

#[tokio::test]
async fn children_go_before_nodes_and_nodes_before_the_row() {
    for world in worlds().await {
        let site = world.make(&SITE, None, json!({"name": "a", "replicas": 1})).await;
        let one = world.make(&PAGE, Some(&site), json!({"name": "one"})).await;
        // Rows that refer to each other go in whatever order that allows.
        let two = world.make(&PAGE, Some(&site), json!({"name": "two", "next": one.meta.id})).await;
        let _three = world.make(&PAGE, Some(&site), json!({"name": "three", "next": two.meta.id})).await;
        world.make(&NOTE, Some(&two), json!({"name": "n"})).await;
        world.settle().await;
        let four = world.make(&PAGE, Some(&site), json!({"name": "four"})).await;
        let note = world.make(&NOTE, Some(&four), json!({"name": "n"})).await;
        world.delete(&four).await;
        let reconciler = world.reconciler();
        assert!(world.work(&reconciler).await);
        let going = world.find(&PAGE, &["a", "four"]).await.unwrap();
        assert_eq!(going.meta.status, "DELETING", "its node still has it");
        world.settle().await;
        assert!(world.find(&PAGE, &["a", "four"]).await.is_none());
        assert!(world.find(&NOTE, &["a", "four", &note.key()]).await.is_none());
        assert_eq!(world.site().await.meta.status, "ACTIVE");

        world.delete(&world.site().await).await;
        assert!(world.work(&reconciler).await);
        let site = world.site().await;
        assert_eq!(
            (site.meta.status.as_str(), ready(&site)["message"].as_str()),
            ("DELETING", Some("1 nodes left"))
        );
        assert!(world.find(&PAGE, &["a", "one"]).await.is_some());
        world.settle().await;
        assert!(world.find(&SITE, &["a"]).await.is_none());
        let order = "SELECT plural FROM metapaas_events WHERE action = 'deleted' ORDER BY seq DESC";
        assert_eq!(world.database.text(order).await.as_deref(), Some("instances"), "the instance goes last");
        let deleted = "SELECT count(*) FROM metapaas_events WHERE action = 'deleted'";
        assert_eq!(world.database.int(deleted).await, Some(7));
    }
}
