//! Rows, children and grandchildren: reading them by path, whoever may, page by page.

use metapaas_core::descriptor::{Action, Key, TypeDescriptor, Unique};
use metapaas_core::error::ErrorCode;
use metapaas_core::role::{PLATFORM_PROJECT, Role};
use metapaas_core::store::{Locator, WriteOptions};
use metapaas_core::validate;
use serde_json::json;
use uuid::Uuid;

use super::{ONE, TWO, World, below, field, instance, leak, locator, member, owner, refusal, worlds};

fn types() -> [&'static TypeDescriptor; 3] {
    let site = leak(TypeDescriptor {
        fields: vec![field::<Option<String>>("greeting").mutable()].leak(),
        ..instance("Site", "site", "")
    });
    let page = leak(TypeDescriptor {
        key: Key::Field("path"),
        fields: vec![field::<String>("path"), field::<Option<String>>("text").mutable()].leak(),
        ..below("Page", "pages", site)
    });
    let note = leak(TypeDescriptor {
        key: Key::Field("number"),
        policy: &[(Action::List, Role::Owner)],
        fields: vec![field::<i64>("number"), field::<Option<String>>("tag").unique(Unique::Siblings)].leak(),
        ..below("Note", "notes", page)
    });
    [site, page, note]
}

#[tokio::test]
async fn children_and_grandchildren_are_found_by_keys_and_ids() {
    let [site, page, note] = types();
    for world in worlds(&[site, page, note]).await {
        let a = world.make(site, &json!({"name": "a"})).await.unwrap();
        let b = world.make(site, &json!({"name": "b"})).await.unwrap();
        let home = world.make_below(&a, page, &json!({"path": "home/x y"})).await.unwrap();
        let other = world.make_below(&b, page, &json!({"path": "home/x y"})).await.unwrap();
        let seven = world.make_below(&home, note, &json!({"number": 7})).await.unwrap();
        assert_eq!((seven.meta.instance_id, seven.meta.parent_id), (a.meta.id, home.meta.id));
        assert_eq!((seven.key(), home.key(), a.key()), ("7".into(), "home/x y".into(), "a".into()));
        assert_eq!(world.again(&a).await.meta.generation, 3, "a write of a child is one of its instance");

        let (a_id, home_id, seven_id) =
            (a.meta.id.to_string(), home.meta.id.to_string(), seven.meta.id.to_string());
        for keys in [
            ["a", "home/x y", "7"],
            [&a_id, &home_id, &seven_id],
            [&a_id, "home/x y", "7"],
            ["a", &home_id, "7"],
        ] {
            assert_eq!(world.read(note, &keys).await.unwrap().meta.id, seven.meta.id, "{keys:?}");
        }
        // Under the wrong row, by a key that cannot be, or by no key there is nothing.
        let other_id = other.meta.id.to_string();
        for keys in [
            vec!["b", "home/x y", "7"],
            vec!["a", &other_id, &seven_id],
            vec![&other_id, &home_id, &seven_id],
            vec!["a", "home/x y", "seven"],
            vec!["a", "home/x y", "8"],
            vec!["a", "home/x y", &home_id],
            vec![],
        ] {
            assert_eq!(refusal(world.read(note, &keys).await).0, ErrorCode::NotFound, "{keys:?}");
        }

        let seven = world.read(note, &["a", "home/x y", "7"]).await.unwrap();
        let gone = world.delete(&seven).await.unwrap();
        assert_eq!((gone.meta.status.as_str(), gone.is_deleting()), ("DELETING", true));
        let again = world.again(&seven).await;
        assert_eq!(
            world.delete(&again).await.unwrap().meta.revision,
            again.meta.revision,
            "a repeat changes nothing"
        );
        assert_eq!(refusal(world.patch(&again, &json!({"tag": "x"})).await).0, ErrorCode::InvalidRequest);
        assert_eq!(world.again(&a).await.meta.generation, 4);

        // What goes away takes nothing in any more, by however old a reading.
        world.delete(&world.again(&a).await).await.unwrap();
        for parent in [world.again(&a).await, a.clone()] {
            let refused = world.make_below(&parent, page, &json!({"path": "late"})).await;
            assert_eq!(refusal(refused).0, ErrorCode::InvalidState);
        }
        let home = world.again(&home).await;
        assert_eq!(
            refusal(world.make_below(&home, note, &json!({"number": 8})).await).0,
            ErrorCode::InvalidState
        );
    }
}

#[tokio::test]
async fn nothing_is_made_below_a_child_that_goes_away() {
    let [site, page, note] = types();
    for world in worlds(&[site, page, note]).await {
        let a = world.make(site, &json!({"name": "a"})).await.unwrap();
        let home = world.make_below(&a, page, &json!({"path": "home"})).await.unwrap();
        world.delete(&home).await.unwrap();
        // `home` as it was read before it was deleted.
        let refused = world.make_below(&home, note, &json!({"number": 1})).await;
        assert_eq!(refusal(refused).0, ErrorCode::InvalidState);
    }
}

#[tokio::test]
async fn a_name_of_several_projects_is_ambiguous_for_those_who_see_them() {
    let [site, page, note] = types();
    for world in worlds(&[site, page, note]).await {
        let one = world.make_in(ONE, site, None, &json!({"name": "a"})).await.unwrap();
        let two = world.make_in(TWO, site, None, &json!({"name": "a"})).await.unwrap();
        let error = world.read(site, &["a"]).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::AmbiguousName);
        let mut ids: Vec<Uuid> = serde_json::from_value(error.extra["ids"].clone()).unwrap();
        ids.sort();
        assert_eq!(ids, [one.meta.id, two.meta.id]);

        let registered = world.of(site);
        let in_two = Locator { project: Some(TWO), ..locator(&["a"]) };
        let found = world.store.get(&owner(site, Action::Read), registered, &in_two).await.unwrap();
        assert_eq!(found.meta.id, two.meta.id);
        // Who sees one of them needs to say no more.
        let viewer = member(&[(ONE, Role::Viewer)], site, Action::Read);
        let found = world.store.get(&viewer, registered, &locator(&["a"])).await.unwrap();
        assert_eq!(found.meta.id, one.meta.id);
        // The name above a child is looked up by the same rule.
        world.make_below(&two, page, &json!({"path": "p"})).await.unwrap();
        assert_eq!(refusal(world.read(page, &["a", "p"]).await).0, ErrorCode::AmbiguousName);
        let deep = Locator { project: Some(TWO), ..locator(&["a", "p"]) };
        world.store.get(&owner(page, Action::Read), world.of(page), &deep).await.unwrap();
    }
}

#[tokio::test]
async fn rows_of_other_projects_do_not_exist() {
    let [site, page, note] = types();
    for world in worlds(&[site, page, note]).await {
        let theirs = world.make_in(TWO, site, None, &json!({"name": "theirs"})).await.unwrap();
        let page_of_theirs = world.make_below(&theirs, page, &json!({"path": "p"})).await.unwrap();
        let id = theirs.meta.id.to_string();
        let roles = [(ONE, Role::Owner)];
        let not_found = ErrorCode::NotFound;
        for keys in [vec!["theirs"], vec![id.as_str()]] {
            let read =
                world.store.get(&member(&roles, site, Action::Read), world.of(site), &locator(&keys)).await;
            assert_eq!(refusal(read).0, not_found);
        }
        for keys in [["theirs", "p"], [id.as_str(), "p"]] {
            let read =
                world.store.get(&member(&roles, page, Action::Read), world.of(page), &locator(&keys)).await;
            assert_eq!(refusal(read).0, not_found);
        }
        // Not even with a row that somebody else has read.
        let plain = WriteOptions::default();
        let delete = member(&roles, site, Action::Delete);
        assert_eq!(refusal(world.store.delete(&delete, world.of(site), &theirs, &plain).await).0, not_found);
        let update = member(&roles, site, Action::Update);
        let stored = world.store.reveal(&theirs).unwrap();
        let body = json!({"greeting": "mine"});
        let change =
            validate::update(world.of(site), &update, &theirs, &stored, &body, validate::UpdateMode::Merge)
                .unwrap();
        assert_eq!(
            refusal(world.store.update(&update, world.of(site), &theirs, change, &plain).await).0,
            not_found
        );
        let list = member(&roles, page, Action::List);
        let listed = world.store.list(&list, world.of(page), Some(&theirs), None, None, 10).await;
        assert_eq!(refusal(listed).0, not_found);

        // Seen and not allowed is another answer.
        let viewer = member(&[(TWO, Role::Viewer)], site, Action::Delete);
        assert_eq!(
            refusal(world.store.delete(&viewer, world.of(site), &theirs, &plain).await).0,
            ErrorCode::Forbidden
        );
        let create = member(&[(TWO, Role::Operator)], site, Action::Create);
        let new = validate::create(world.of(site), &create, TWO, &json!({"name": "new"})).unwrap();
        assert_eq!(
            refusal(world.store.create(&create, world.of(site), None, new, &plain).await).0,
            ErrorCode::Forbidden
        );
        // The notes are for owners to list, though a viewer may read one.
        let list = member(&[(TWO, Role::Viewer)], note, Action::List);
        let listed = world.store.list(&list, world.of(note), Some(&page_of_theirs), None, None, 10).await;
        assert_eq!(refusal(listed).0, ErrorCode::Forbidden);
    }
}

#[tokio::test]
async fn a_child_belongs_to_the_project_of_its_parent() {
    let [site, page, note] = types();
    for world in worlds(&[site, page, note]).await {
        let a = world.make_in(ONE, site, None, &json!({"name": "a"})).await.unwrap();
        let allowed = member(&[(TWO, Role::Owner)], page, Action::Create);
        let new = validate::create(world.of(page), &allowed, TWO, &json!({"path": "p"})).unwrap();
        let refused =
            world.store.create(&allowed, world.of(page), Some(&a), new, &WriteOptions::default()).await;
        assert!(matches!(refusal(refused).0, ErrorCode::Forbidden | ErrorCode::NotFound));
    }
}

#[tokio::test]
async fn lists_hold_what_one_may_see_page_by_page() {
    let [site, page, note] = types();
    for world in worlds(&[site, page, note]).await {
        let mut made = Vec::new();
        for index in 0..7 {
            let project = if index % 3 == 2 { TWO } else { ONE };
            let body = json!({"name": format!("s{index}")});
            made.push(world.make_in(project, site, None, &body).await.unwrap().key());
        }
        let everywhere = owner(site, Action::List);
        let one = member(&[(ONE, Role::Viewer)], site, Action::List);
        let both = member(&[(ONE, Role::Viewer), (TWO, Role::Viewer)], site, Action::List);
        let platform = member(&[(PLATFORM_PROJECT, Role::Viewer)], site, Action::List);
        let nobody = member(&[], site, Action::List);
        let of_one: Vec<String> = ["s0", "s1", "s3", "s4", "s6"].map(str::to_owned).into();
        for (allowed, project, expected) in [
            (&everywhere, None, made.clone()),
            (&platform, None, made.clone()),
            (&both, None, made.clone()),
            (&one, None, of_one.clone()),
            (&both, Some(ONE), of_one.clone()),
            (&platform, Some(ONE), of_one),
            (&one, Some(TWO), vec![]),
            (&nobody, None, vec![]),
            (&nobody, Some(ONE), vec![]),
        ] {
            for limit in [1, 2, 3, 7, 100] {
                assert_eq!(pages(&world, allowed, project, limit).await, expected, "limit {limit}");
            }
        }
    }
}

/// Follows the pages to the end.
async fn pages(
    world: &World,
    allowed: &metapaas_core::authz::Allowed,
    project: Option<Uuid>,
    limit: u16,
) -> Vec<String> {
    let registered = world.of(allowed.ty());
    let (mut keys, mut after) = (Vec::new(), None);
    loop {
        let page = world.store.list(allowed, registered, None, project, after, limit).await.unwrap();
        assert!(page.items.len() <= limit.into());
        after = page.items.last().map(|row| row.meta.id);
        keys.extend(page.items.iter().map(metapaas_core::resource::Resource::key));
        if !page.has_more {
            return keys;
        }
        assert_eq!(page.items.len(), usize::from(limit), "a page before the last is full");
    }
}

#[tokio::test]
async fn pages_hold_every_row_once_while_others_are_made_and_go() {
    let [site, page, note] = types();
    for world in worlds(&[site, page, note]).await {
        let mut first = Vec::new();
        for index in 0..6 {
            first.push(world.make(site, &json!({"name": format!("s{index}")})).await.unwrap());
        }
        let allowed = owner(site, Action::List);
        let (mut seen, mut after, mut extra) = (Vec::<String>::new(), None, 0);
        loop {
            let page = world.store.list(&allowed, world.of(site), None, None, after, 2).await.unwrap();
            seen.extend(page.items.iter().map(metapaas_core::resource::Resource::key));
            after = page.items.last().map(|row| row.meta.id);
            if !page.has_more {
                break;
            }
            // The row that the next page begins after goes; a new one comes.
            if extra < 3 {
                world.make(site, &json!({"name": format!("new{extra}")})).await.unwrap();
                let last = after.unwrap().to_string();
                world.database.run(&format!("DELETE FROM site_instances WHERE id = '{last}'")).await;
                extra += 1;
            }
        }
        let expected: Vec<String> =
            ["s0", "s1", "s2", "s3", "s4", "s5", "new0", "new1", "new2"].map(str::to_owned).into();
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn every_write_leaves_its_event_and_wakes_its_instance() {
    let [site, page, note] = types();
    for world in worlds(&[site, page, note]).await {
        let a = world.make(site, &json!({"name": "a"})).await.unwrap();
        let a = world.patch(&a, &json!({"labels": {"x": "y"}})).await.unwrap();
        let home = world.make_below(&a, page, &json!({"path": "home"})).await.unwrap();
        let refused = world.patch(&a, &json!({"greeting": "stale"})).await;
        assert_eq!(refusal(refused).0, ErrorCode::PreconditionFailed);
        world.delete(&home).await.unwrap();
        let (id, database) = (a.meta.id, &world.database);
        let events = format!("SELECT count(*) FROM metapaas_events WHERE instance_id = '{id}'");
        assert_eq!(database.int(&events).await, Some(6), "the instance above a child has one of its own");
        let actions =
            format!("SELECT action FROM metapaas_events WHERE instance_id = '{id}' ORDER BY seq DESC");
        assert_eq!(database.text(&actions).await.as_deref(), Some("deleting"));
        let wake = format!("SELECT wake FROM metapaas_work WHERE resource_id = '{id}'");
        assert_eq!(database.int(&wake).await, Some(4));
    }
}
