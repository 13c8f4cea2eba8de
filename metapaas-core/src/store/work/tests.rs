//! The queue: one holder at a time, nothing lost, on both databases.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::registry::Registry;
use crate::testing::{self, TestDatabase, postgres, sqlite};

const LEASE: Duration = Duration::from_secs(60);
const DONE: Outcome = Outcome { due_at: None, attempts: 0, waiting_for: None, last_error: None };

async fn stores() -> [(TestDatabase, Arc<Store>); 2] {
    let (one, two) = (sqlite().await, postgres().await);
    let stores = [testing::store(&one, vec![]).await, testing::store(&two, vec![]).await];
    let [first, second] = stores;
    [(one, first), (two, second)]
}

/// Another control plane on the same database.
async fn other(database: &TestDatabase, store: &Store) -> Arc<Store> {
    let registry = Arc::new(Registry::new(Vec::new()).unwrap());
    Arc::new(Store::new(database.open_again().await, registry, store.keys().clone()))
}

async fn claim(store: &Store, owner: &str) -> Vec<Claim> {
    store.claim_work(owner, 10, LEASE).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_claimers_never_get_the_same_work() {
    const WORK: usize = 90;
    for (database, store) in stores().await {
        for _ in 0..WORK {
            store.wake(Uuid::now_v7(), "site").await.unwrap();
        }
        let mut claimers = Vec::new();
        for index in 0..4 {
            let store = other(&database, &store).await;
            claimers.push(tokio::spawn(async move {
                let mut got = Vec::new();
                loop {
                    let claims = store.claim_work(&format!("claimer {index}"), 7, LEASE).await.unwrap();
                    assert!(claims.len() <= 7, "more than asked for: {}", claims.len());
                    if claims.is_empty() {
                        return got;
                    }
                    got.extend(claims);
                }
            }));
        }
        let mut seen = BTreeMap::new();
        for claimer in claimers {
            for claim in claimer.await.unwrap() {
                assert_eq!((claim.epoch, claim.attempts, claim.slug.as_str()), (1, 1, "site"));
                *seen.entry(claim.resource_id).or_insert(0) += 1;
            }
        }
        // A claimer may find all that is due locked by others and leave; nothing is lost by that.
        for claim in claim(&store, "late").await {
            *seen.entry(claim.resource_id).or_insert(0) += 1;
        }
        assert!(seen.values().all(|count| *count == 1));
        assert_eq!(seen.len(), WORK);
    }
}

#[tokio::test]
async fn what_waited_longest_comes_first() {
    for (_database, store) in stores().await {
        let ids: Vec<Uuid> = (0..5).map(|_| Uuid::now_v7()).collect();
        for id in ids.iter().rev() {
            store.wake(*id, "site").await.unwrap();
        }
        let mut got: Vec<Uuid> = Vec::new();
        for _ in 0..5 {
            got.extend(
                store.claim_work("one", 1, LEASE).await.unwrap().iter().map(|claim| claim.resource_id),
            );
        }
        assert!(got.iter().eq(ids.iter().rev()));
    }
}

#[tokio::test]
async fn a_lost_lease_changes_nothing() {
    for (database, store) in stores().await {
        let id = Uuid::now_v7();
        store.wake(id, "site").await.unwrap();
        let lost = store.claim_work("slow", 1, Duration::ZERO).await.unwrap().remove(0);
        tokio::time::sleep(Duration::from_millis(2)).await;
        let held = claim(&store, "quick").await.remove(0);
        assert_eq!((held.epoch, held.attempts), (lost.epoch + 1, lost.attempts + 1));

        let late = Outcome { due_at: Some(now()), last_error: Some("late".into()), ..DONE };
        store.finish_work(&lost, late).await.unwrap();
        assert!(!store.forget_work(&lost).await.unwrap());
        assert!(!store.renew_work(&lost, LEASE).await.unwrap() && !store.holds_work(&lost).await.unwrap());
        let row = |column: &str| format!("SELECT {column} FROM metapaas_work WHERE resource_id = '{id}'");
        assert_eq!(database.text(&row("lease_owner")).await.as_deref(), Some("quick"));
        assert_eq!(database.text(&row("last_error")).await, None);
        assert!(claim(&store, "third").await.is_empty(), "it is still leased");

        store.finish_work(&held, DONE).await.unwrap();
        assert_eq!(database.text(&row("lease_owner")).await, None);
        assert_eq!(database.int(&row("attempts")).await, Some(0));
        assert!(claim(&store, "third").await.is_empty(), "it sleeps until something changes");
    }
}

#[tokio::test]
async fn a_wake_during_a_claim_makes_it_due_again() {
    for (database, store) in stores().await {
        let id = Uuid::now_v7();
        store.wake(id, "site").await.unwrap();
        let first = claim(&store, "one").await.remove(0);
        store.wake(id, "site").await.unwrap();
        assert!(claim(&store, "two").await.is_empty(), "one at a time");
        store.finish_work(&first, DONE).await.unwrap();
        let second = claim(&store, "two").await.remove(0);
        assert_eq!((second.epoch, second.attempts), (2, 1));

        // An instance that is gone and was woken once more is looked at once more.
        store.wake(id, "site").await.unwrap();
        assert!(!store.forget_work(&second).await.unwrap());
        let count = "SELECT count(*) FROM metapaas_work";
        assert_eq!(database.int(count).await, Some(1));
        store.finish_work(&second, DONE).await.unwrap();
        let third = claim(&store, "one").await.remove(0);
        assert!(store.forget_work(&third).await.unwrap());
        assert_eq!(database.int(count).await, Some(0));
    }
}

#[tokio::test]
async fn work_is_due_at_its_time_and_when_what_it_waits_for_changes() {
    for (_database, store) in stores().await {
        let (id, blocker) = (Uuid::now_v7(), Uuid::now_v7());
        store.wake(id, "site").await.unwrap();
        let first = claim(&store, "one").await.remove(0);
        let later = Outcome { due_at: Some(now() + LEASE), attempts: 3, waiting_for: Some(blocker), ..DONE };
        store.finish_work(&first, later.clone()).await.unwrap();
        assert!(claim(&store, "one").await.is_empty());
        store.wake_waiting(Uuid::now_v7()).await.unwrap();
        assert!(claim(&store, "one").await.is_empty());
        store.wake_waiting(blocker).await.unwrap();
        let second = claim(&store, "one").await.remove(0);
        assert_eq!(second.attempts, 4, "attempts go on from what the outcome said");
        store.finish_work(&second, Outcome { due_at: Some(now()), ..later }).await.unwrap();
        assert_eq!(claim(&store, "one").await.len(), 1);
    }
}
