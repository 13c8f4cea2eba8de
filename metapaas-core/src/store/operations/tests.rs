//! Operations and the lease: who has lost it decides nothing any more.

use std::time::Duration;

use super::*;
use crate::testing::{self, postgres, sqlite};

const PROJECT: Uuid = Uuid::from_u128(1);

fn record(instance: Uuid) -> OperationRecord {
    let now = now();
    OperationRecord {
        id: Uuid::now_v7(),
        project_id: PROJECT,
        slug: "site".into(),
        plural: "instances".into(),
        resource_id: instance,
        instance_id: instance,
        name: "one".into(),
        action: "restart".into(),
        status: OperationStatus::Pending,
        generation: 1,
        parameters: None,
        error: None,
        actor_kind: "system".into(),
        actor_id: None,
        actor_name: "test".into(),
        request_id: "test".into(),
        created_at: now,
        updated_at: now,
        finished_at: None,
    }
}

#[tokio::test]
async fn who_has_lost_the_lease_ends_no_operation() {
    for database in [sqlite().await, postgres().await] {
        let store = testing::store(&database, vec![]).await;
        testing::project(&database, PROJECT, "one").await;
        let instance = Uuid::now_v7();
        store.wake(instance, "site").await.unwrap();
        let lost = store.claim_work("first", 1, Duration::from_secs(60)).await.unwrap().remove(0);
        let (operation, kept) = (store.operation.clone(), record(instance));
        let (id, inserted) = (kept.id, kept.clone());
        let made: Result<(), StoreError> = store
            .database
            .write("keep", move |tx| Box::pin(async move { operation.insert(tx, &inserted).await }))
            .await;
        made.unwrap();
        let status = async || store.operation(id).await.unwrap().unwrap().status;

        database.run("UPDATE metapaas_work SET epoch = epoch + 1").await;
        let held = Claim { epoch: lost.epoch + 1, ..lost.clone() };
        store.run_operations(&lost, 1).await.unwrap();
        assert_eq!(status().await, OperationStatus::Pending);
        store.run_operations(&held, 1).await.unwrap();
        assert_eq!(status().await, OperationStatus::Running);
        let end =
            async |claim| store.finish_operation(claim, &kept, OperationStatus::Failed, None).await.unwrap();
        assert!(!end(&lost).await);
        assert_eq!(status().await, OperationStatus::Running);
        assert!(end(&held).await);
        assert!(!end(&held).await, "it has ended");
        assert_eq!(status().await, OperationStatus::Failed);
    }
}

#[tokio::test]
async fn somebody_who_cancels_needs_no_lease() {
    for database in [sqlite().await, postgres().await] {
        let store = testing::store(&database, vec![]).await;
        testing::project(&database, PROJECT, "one").await;
        let (operation, kept) = (store.operation.clone(), record(Uuid::now_v7()));
        let (id, inserted) = (kept.id, kept.clone());
        let made: Result<(), StoreError> = store
            .database
            .write("keep", move |tx| Box::pin(async move { operation.insert(tx, &inserted).await }))
            .await;
        made.unwrap();
        store.cancel_operation(&kept).await.unwrap();
        assert_eq!(store.operation(id).await.unwrap().unwrap().status, OperationStatus::Cancelled);
    }
}
