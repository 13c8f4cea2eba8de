//! Many at once: no lost update, and an instance that counts every write below it.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join_all;
use metapaas_core::descriptor::TypeDescriptor;
use metapaas_core::error::ErrorCode;
use metapaas_core::testing::{postgres, sqlite};
use serde_json::json;

use super::{World, below, field, instance, leak};

const WRITERS: usize = 16;

fn types() -> [&'static TypeDescriptor; 2] {
    let site = leak(TypeDescriptor {
        fields: vec![field::<i64>("count").mutable()].leak(),
        ..instance("Site", "site", "")
    });
    let page = leak(TypeDescriptor {
        fields: vec![field::<i64>("count").mutable()].leak(),
        ..below("Page", "pages", site)
    });
    [site, page]
}

async fn shared() -> [Arc<World>; 2] {
    let types = types();
    [Arc::new(World::new(sqlite().await, &types).await), Arc::new(World::new(postgres().await, &types).await)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_update_is_lost() {
    for world in shared().await {
        let site = world.store.registry().root("site").unwrap().ty;
        let page = world.store.registry().find("site", "pages").unwrap().ty;
        let row = world.make(site, &json!({"name": "a", "count": 0})).await.unwrap();
        let child = world.make_below(&row, page, &json!({"name": "p", "count": 0})).await.unwrap();
        for row in [row, child] {
            let before = world.again(&row).await.meta.generation;
            let writers = (0..WRITERS).map(|_| {
                let (world, row) = (world.clone(), row.clone());
                tokio::spawn(async move {
                    loop {
                        let now = world.again(&row).await;
                        let count = super::json(&now)["count"].as_i64().unwrap();
                        match world.patch(&now, &json!({"count": count + 1})).await {
                            Ok(_) => return,
                            Err(error) => assert_eq!(error.code, ErrorCode::PreconditionFailed, "{error:?}"),
                        }
                    }
                })
            });
            for writer in join_all(writers).await {
                writer.unwrap();
            }
            let after = world.again(&row).await;
            assert_eq!(super::json(&after)["count"], json!(WRITERS));
            assert_eq!(after.meta.generation, before + WRITERS as i64);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_instance_counts_every_write_below_it() {
    for world in shared().await {
        let site = world.store.registry().root("site").unwrap().ty;
        let page = world.store.registry().find("site", "pages").unwrap().ty;
        let instance = world.make(site, &json!({"name": "a", "count": 0})).await.unwrap();
        let writers = (0..WRITERS).map(|index| {
            let (world, instance) = (world.clone(), instance.clone());
            tokio::spawn(async move {
                let mut held = Vec::new();
                let body = json!({"name": format!("p{index}"), "count": 0});
                let mut row = world.make_below(&instance, page, &body).await.unwrap();
                held.push((row.meta.held_generation, row.meta.revision));
                for count in 1..4 {
                    row = world.patch(&row, &json!({"count": count})).await.unwrap();
                    held.push((row.meta.held_generation, row.meta.revision));
                }
                assert_eq!(world.again(&row).await.meta.held_generation, row.meta.held_generation);
                if index % 2 == 0 {
                    row = world.delete(&row).await.unwrap();
                    held.push((row.meta.held_generation, row.meta.revision));
                }
                held
            })
        });
        let mut held = Vec::new();
        for writer in join_all(writers).await {
            held.extend(writer.unwrap());
        }
        let writes = WRITERS * 4 + WRITERS / 2;
        let generations: BTreeSet<i64> = held.iter().map(|(generation, _)| *generation).collect();
        let expected: BTreeSet<i64> = (2..=1 + writes as i64).collect();
        assert_eq!(generations, expected, "each write has a generation of the instance to itself");
        let revisions: BTreeSet<i64> = held.iter().map(|(_, revision)| *revision).collect();
        assert_eq!(revisions.len(), writes);
        let after = world.again(&instance).await;
        assert_eq!(after.meta.generation, 1 + writes as i64);
        let page = world.store.registry().find("site", "pages").unwrap();
        let allowed = super::owner(page.ty, metapaas_core::descriptor::Action::List);
        let listed = world.store.list(&allowed, page, Some(&instance), None, None, 100).await.unwrap();
        assert_eq!(listed.items.len(), WRITERS);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_with_the_same_name_wins() {
    for world in shared().await {
        let site = world.store.registry().root("site").unwrap().ty;
        let makers = (0..WRITERS).map(|_| {
            let world = world.clone();
            tokio::spawn(async move { world.make(site, &json!({"name": "same", "count": 0})).await })
        });
        let mut made = 0;
        for maker in join_all(makers).await {
            match maker.unwrap() {
                Ok(_) => made += 1,
                Err(error) => assert_eq!(error.code, ErrorCode::NameTaken, "{error:?}"),
            }
        }
        assert_eq!(made, 1);
        let events = world.database.int("SELECT count(*) FROM metapaas_events").await;
        assert_eq!(events, Some(1), "what was refused left no event");
    }
}
