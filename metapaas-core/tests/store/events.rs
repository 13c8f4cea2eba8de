//! What the events of a change say, and from when on their order is decided.

use metapaas_core::descriptor::TypeDescriptor;
use metapaas_core::store::events::{ChangeAction, ChangesOf, Decided};
use metapaas_core::testing::postgres;
use serde_json::{Value, json};

use super::{World, below, field, instance, leak, worlds};

fn types() -> [&'static TypeDescriptor; 3] {
    let site = leak(TypeDescriptor {
        fields: vec![field::<Option<String>>("greeting").mutable()].leak(),
        ..instance("Site", "site", "")
    });
    let page = leak(TypeDescriptor {
        fields: vec![field::<Option<String>>("text").mutable()].leak(),
        ..below("Page", "pages", site)
    });
    let note = leak(TypeDescriptor { fields: &[], ..below("Note", "notes", page) });
    [site, page, note]
}

async fn decided(world: &World) -> i64 {
    let mut decided = Decided::default();
    while decided.upto().is_none() || decided.is_waiting() {
        world.store.decide(&mut decided).await.unwrap();
    }
    decided.upto().unwrap()
}

#[tokio::test]
async fn a_change_of_a_child_is_an_event_of_its_instance_too() {
    let [site, page, note] = types();
    for world in worlds(&[site, page, note]).await {
        let a = world.make(site, &json!({"name": "a"})).await.unwrap();
        let home = world.make_below(&a, page, &json!({"name": "home"})).await.unwrap();
        let memo = world.make_below(&home, note, &json!({"name": "memo"})).await.unwrap();
        let changed = world.patch(&home, &json!({"text": "x"})).await.unwrap();
        let now = world.again(&a).await;
        let upto = decided(&world).await;
        let page = world.store.changes_between(ChangesOf::Everything, 0, upto, 100).await.unwrap();
        assert_eq!(page.upto, upto);
        let of = |id| -> Vec<_> {
            let own = page.changes.iter().filter(|change| change.id == id);
            own.map(|change| (change.position, change.action, change.parent_id, change.instance_id)).collect()
        };
        use ChangeAction::{Changed, Created};
        let (a_id, home_id) = (a.meta.id, home.meta.id);
        assert_eq!(
            of(a_id),
            [
                (a.meta.revision, Created, a_id, a_id),
                (home.meta.revision - 1, Changed, a_id, a_id),
                (memo.meta.revision - 1, Changed, a_id, a_id),
                (now.meta.revision, Changed, a_id, a_id),
            ]
        );
        let expected =
            [(home.meta.revision, Created, a_id, a_id), (changed.meta.revision, Changed, a_id, a_id)];
        assert_eq!(of(home_id), expected);
        assert_eq!(of(memo.meta.id), [(memo.meta.revision, Created, home_id, a_id)]);
        let last = format!("SELECT generation FROM metapaas_events WHERE seq = {}", now.meta.revision);
        assert_eq!(world.database.int(&last).await, Some(now.meta.generation));
        let last = format!("SELECT generation FROM metapaas_events WHERE seq = {}", changed.meta.revision);
        assert_eq!(world.database.int(&last).await, Some(changed.meta.generation));
        let detail =
            format!("SELECT CAST(detail AS text) FROM metapaas_events WHERE seq = {}", now.meta.revision);
        let detail: Value = serde_json::from_str(&world.database.text(&detail).await.unwrap()).unwrap();
        let child = json!({"plural": "pages", "id": home_id, "name": "home", "action": "updated"});
        assert_eq!(detail, json!({ "child": child }));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_is_taken_and_not_committed_holds_back_what_comes_after_it() {
    let [site, page, note] = types();
    let world = World::new(postgres().await, &[site, page, note]).await;
    world.make(site, &json!({"name": "a"})).await.unwrap();
    let before = decided(&world).await;
    let (commit, committed) = tokio::sync::oneshot::channel::<()>();
    let (taken, is_taken) = tokio::sync::oneshot::channel::<()>();
    let database = (*world.database).clone();
    let slow = tokio::spawn(async move {
        let work = database.write("hold a number", move |tx| {
            Box::pin(async move {
                let sql =
                    "DO $$ BEGIN PERFORM pg_current_xact_id(); PERFORM nextval('metapaas_revision'); END $$";
                tx.execute_script("take a number", sql).await?;
                taken.send(()).unwrap();
                committed.await.unwrap();
                Ok::<_, metapaas_core::store::StoreError>(())
            })
        });
        work.await.unwrap();
    });
    is_taken.await.unwrap();
    let b = world.make(site, &json!({"name": "b"})).await.unwrap();
    assert_eq!(b.meta.revision, before + 2);
    let mut waiting = Decided::known(before);
    for _ in 0..20 {
        world.store.decide(&mut waiting).await.unwrap();
        assert_eq!((waiting.upto(), waiting.is_waiting()), (Some(before), true));
        world.make(site, &json!({"name": format!("c-{}", uuid::Uuid::new_v4().simple())})).await.unwrap();
    }
    commit.send(()).unwrap();
    slow.await.unwrap();
    // The number was never used; what came after it is there all the same.
    let last = world.store.last_position().await.unwrap();
    while waiting.upto() < Some(last) {
        world.store.decide(&mut waiting).await.unwrap();
    }
    assert_eq!(waiting.upto(), Some(last));
}
