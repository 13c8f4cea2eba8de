//! SQLite's one writer: writes share a commit and nothing else.

use futures::future::join_all;
use metapaas_core::descriptor::TypeDescriptor;
use metapaas_core::error::{Error, ErrorCode};
use metapaas_core::store::StoreError;
use metapaas_core::testing::{TestDatabase, sqlite};
use serde_json::json;

use super::{World, field, instance, leak};

async fn counts() -> TestDatabase {
    let database = sqlite().await;
    database.run("CREATE TABLE counts (name TEXT PRIMARY KEY)").await;
    database
}

#[tokio::test]
async fn a_job_that_fails_harms_no_other_in_its_batch() {
    let database = counts().await;
    // On one thread all of these are queued before the writer takes the first: one batch.
    let jobs = (0..40).map(|index| {
        let database = &database;
        async move {
            match index % 4 {
                0 => database.try_run(&format!("INSERT INTO counts VALUES ('good {index}')")).await,
                // Half of it works, then it fails.
                1 => {
                    let sql =
                        format!("INSERT INTO counts VALUES ('half {index}'); INSERT INTO nowhere VALUES (1)");
                    database.try_run(&sql).await
                }
                2 => database.try_run("INSERT INTO counts VALUES ('good 0')").await,
                _ => {
                    let panicking = database.write("panic", move |tx| {
                        Box::pin(async move {
                            tx.execute_script("panic", "INSERT INTO counts VALUES ('panicked')").await?;
                            assert!(index == usize::MAX, "a job with a bug");
                            Ok::<(), StoreError>(())
                        })
                    });
                    panicking.await
                }
            }
        }
    });
    for (index, done) in join_all(jobs).await.into_iter().enumerate() {
        assert_eq!(done.is_ok(), index % 4 == 0, "job {index}: {done:?}");
        if index % 4 == 2 {
            assert!(matches!(done, Err(StoreError::Taken { .. })), "{done:?}");
        }
    }
    assert_eq!(database.int("SELECT count(*) FROM counts").await, Some(10));
    assert_eq!(database.int("SELECT count(*) FROM counts WHERE name LIKE 'good %'").await, Some(10));
}

#[tokio::test]
async fn a_batch_that_cannot_be_committed_is_told_so_to_all() {
    let database = counts().await;
    database
        .run("CREATE TABLE later (name TEXT REFERENCES counts (name) DEFERRABLE INITIALLY DEFERRED)")
        .await;
    let (one, two) = tokio::join!(
        database.try_run("INSERT INTO counts VALUES ('fine')"),
        database.try_run("INSERT INTO later VALUES ('missing')"),
    );
    let error = two.unwrap_err();
    assert!(error.is_transient() || matches!(error, StoreError::Reference { .. }), "{error:?}");
    // Whether the two shared the commit or not, the answer is what the database holds.
    let there = database.int("SELECT count(*) FROM counts WHERE name = 'fine'").await;
    assert_eq!(there, Some(i64::from(one.is_ok())));
    database.run("INSERT INTO counts VALUES ('afterwards')").await;
}

#[tokio::test]
async fn a_full_disk_changes_nothing_and_passes() {
    let site = leak(TypeDescriptor {
        fields: vec![field::<String>("text").mutable()].leak(),
        ..instance("Site", "site", "")
    });
    let world = World::new(sqlite().await, &[site]).await;
    let row = world.make(site, &json!({"name": "a", "text": "small"})).await.unwrap();
    let pages = world.database.int("PRAGMA page_count").await.unwrap();
    world.database.run(&format!("PRAGMA max_page_count = {}", pages + 4)).await;
    let error = world.make(site, &json!({"name": "b", "text": "x".repeat(60_000)})).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable, "{error:?}");
    world.database.run("PRAGMA max_page_count = 1000000").await;
    assert_eq!(world.again(&row).await.meta.revision, row.meta.revision);
    world.make(site, &json!({"name": "b", "text": "x".repeat(60_000)})).await.unwrap();
}

#[tokio::test]
async fn a_database_that_may_not_be_written_is_unavailable() {
    let database = counts().await;
    // The writer's connection refuses writes, as it does when the file is read-only.
    database.run("PRAGMA query_only = 1").await;
    let error = database.try_run("INSERT INTO counts VALUES ('x')").await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert_eq!(Error::from(error).code, ErrorCode::Unavailable);
    assert_eq!(database.int("SELECT count(*) FROM counts").await, Some(0), "it can still be read");
}
