//! Documents and reports: what an agent is told and what it says, also when a lease is lost in between.

use super::*;

#[tokio::test]
async fn only_the_newest_document_counts_as_applied() {
    for world in worlds().await {
        world.make(&SITE, None, json!({"name": "a", "replicas": 1})).await;
        assert!(world.work(&world.reconciler()).await);
        let node = world.store.nodes(world.site().await.meta.id).await.unwrap().remove(0);
        let document = world.agents.document(node.id, "", Duration::ZERO).await.unwrap().unwrap();
        assert_eq!(document.generation, 1);
        assert!(document.digest.starts_with(&node.document_digest), "{document:?}");
        let nothing_new = world.agents.document(node.id, &document.digest, Duration::ZERO).await.unwrap();
        assert!(nothing_new.is_none());
        // A report on another document than the newest does not count as applied.
        let report = |generation, digest: &str| NodeReport {
            protocol: PROTOCOL_VERSION,
            applied_generation: generation,
            applied_digest: digest.into(),
            health: Health::Healthy,
            message: String::new(),
            facts: BTreeMap::new(),
            errors: Vec::new(),
            removed: false,
            agent_version: "test".into(),
            last_lines: Vec::new(),
        };
        world.agents.report(node.id, node.id, report(1, "another")).await.unwrap();
        assert!(world.work(&world.reconciler()).await);
        assert_eq!(world.site().await.meta.status, "CREATING");
        let beyond = world.agents.report(node.id, node.id, report(2, &document.digest)).await.unwrap_err();
        assert_eq!(beyond.problems[0].pointer, "/applied_generation");
        assert!(world.agents.report(Uuid::nil(), node.id, report(1, &document.digest)).await.is_err());
    }
}

#[tokio::test]
async fn whatever_an_agent_says_is_kept_once() {
    for world in worlds().await {
        world.make(&SITE, None, json!({"name": "a", "replicas": 1})).await;
        assert!(world.work(&world.reconciler()).await);
        let id = world.store.nodes(world.site().await.meta.id).await.unwrap().remove(0).id;
        let report = NodeReport {
            protocol: PROTOCOL_VERSION,
            applied_generation: i64::MIN,
            applied_digest: "..\0".into(),
            health: Health::Unhealthy,
            message: "nul \0 \u{1f980}".repeat(500),
            facts: BTreeMap::from([(
                "nul \0".into(),
                json!([1e17, -0.0, u64::MAX, 1e300, {"nul \0": "\0"}]),
            )]),
            errors: vec![ItemError { item: "\0".into(), code: "\0".into(), message: "\0".into() }],
            removed: false,
            agent_version: "\0".into(),
            last_lines: Vec::new(),
        };
        let wake = "SELECT wake FROM metapaas_work";
        world.agents.report(id, id, report.clone()).await.unwrap();
        let woken = world.database.int(wake).await;
        world.agents.report(id, id, report).await.unwrap();
        assert_eq!(world.database.int(wake).await, woken, "the same again is no news");
        assert!(world.work(&world.reconciler()).await);
        assert_eq!(ready(&world.site().await)["reason"], "NodeUnhealthy");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_document_never_goes_out_under_the_name_of_another() {
    for world in worlds().await {
        world.make(&SITE, None, json!({"name": "a", "replicas": 1})).await;
        assert!(world.work(&world.reconciler()).await);
        let mut node = world.store.nodes(world.site().await.meta.id).await.unwrap().remove(0);
        let id = node.id;
        world.store.wake(node.instance_id, "site").await.unwrap();
        let lease = world.claim().await;
        let store = world.store.clone();
        let writer = tokio::spawn(async move {
            for generation in 2..200 {
                node.document_generation = generation;
                node.document_digest = format!("d{generation}");
                let text = json!({"removing": false, "config": generation}).to_string();
                assert!(store.set_node_document(&lease, &node, &text).await.unwrap());
            }
        });
        while !writer.is_finished() {
            let Some(document) = world.agents.document(id, "", Duration::ZERO).await.unwrap() else {
                continue;
            };
            if document.generation > 1 {
                assert_eq!(document.config, json!(document.generation), "{}", document.digest);
            }
        }
        writer.await.unwrap();
    }
}

/// A control plane stops at an effect for longer than its lease and then goes on.
#[tokio::test]
async fn who_has_lost_the_lease_changes_nothing() {
    for world in worlds().await {
        let site = world.make(&SITE, None, json!({"name": "a", "replicas": 1})).await;
        let (lost, reconciler) = (world.claim().await, world.reconciler());
        world.lose().await;
        let passed = reconciler.pass(&lost).await.unwrap();
        assert!(matches!(passed, Passed::LeaseLost), "{passed:?}");
        assert!(world.store.nodes(site.meta.id).await.unwrap().is_empty(), "no node is decided on");
        assert!(lock(&world.outside.effects).is_empty());

        // The status that it would write is not written either.
        let row = world.site().await;
        let mut stale = row.clone();
        stale.meta.status = "ERROR".into();
        assert!(!world.store.write_observed(&lost, &row, &stale).await.unwrap());
        assert_eq!(world.site().await.meta.revision, row.meta.revision);
    }
}

/// The lease is lost while a node is being made, and whoever has it then lets the node go.
#[tokio::test]
async fn a_node_that_is_made_too_late_is_removed_again() {
    for world in worlds().await {
        let site = world.make(&SITE, None, json!({"name": "a", "replicas": 1})).await;
        // The first control plane stops after the row and its own first effect.
        *lock(&world.outside.dies_after) = Some(1);
        let (lost, reconciler) = (world.claim().await, world.reconciler());
        let late = tokio::select! {
            biased;
            passed = reconciler.pass(&lost) => panic!("{passed:?}"),
            () = world.outside.died.notified() => world.store.nodes(site.meta.id).await.unwrap().remove(0),
        };
        *lock(&world.outside.dies_after) = None;
        assert!(late.location.is_none() && !late.made, "its answer is not kept");
        world.lose().await;
        world.store.delete_node(late.id).await.unwrap();
        let wanted = NodeSpec::replicas(1, "web", 80, &json!([]));
        let failed = reconciler.ensure(&lost, &late, &wanted[0]).await;
        assert!(failed.is_err());
        assert!(lock(&world.outside.nodes).is_empty(), "{:?}", lock(&world.outside.effects));
    }
}

/// What a report says and the work that it makes are one: a control plane that dies in between loses neither.
#[tokio::test]
async fn a_report_on_a_document_that_has_changed_counts_for_nothing() {
    for world in worlds().await {
        world.make(&SITE, None, json!({"name": "a", "replicas": 1})).await;
        assert!(world.work(&world.reconciler()).await);
        let node = world.store.nodes(world.site().await.meta.id).await.unwrap().remove(0);
        let report = Node { applied_generation: 1, health: "healthy".into(), ..node.clone() };
        let other = Node { document_digest: "of another document".into(), ..report.clone() };
        let wake = "SELECT wake FROM metapaas_work";
        let before = world.database.int(wake).await;
        assert!(!world.store.report_node(&other, true).await.unwrap());
        assert_eq!(world.database.int(wake).await, before, "neither is the instance woken");
        assert!(world.store.report_node(&report, true).await.unwrap());
        assert_eq!(world.database.int(wake).await, before.map(|wake| wake + 1));
    }
}
