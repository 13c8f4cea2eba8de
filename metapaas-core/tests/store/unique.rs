//! A taken name or unique value is refused, with the place and the row that has it.

use metapaas_core::descriptor::{FieldDescriptor, FieldKind, Key, TypeDescriptor, Unique};
use metapaas_core::error::ErrorCode;
use serde_json::json;

use super::{ONE, TWO, below, field, instance, leak, refusal, worlds};

/// Field names that are parts of the names of indexes, tables and of each other.
fn types() -> [&'static TypeDescriptor; 2] {
    let site: &'static TypeDescriptor = leak(TypeDescriptor {
        fields: vec![
            field::<Option<String>>("e").mutable(),
            field::<Option<String>>("id_e").mutable().unique(Unique::Siblings),
            field::<Option<String>>("host").mutable().unique(Unique::Everywhere),
            FieldDescriptor {
                kind: FieldKind::Integer { min: 0, max: 99 },
                nullable: true,
                ..field::<bool>("project")
            }
            .unique(Unique::Siblings),
        ]
        .leak(),
        ..instance("Site", "site", "")
    });
    let page = leak(TypeDescriptor {
        key: Key::Field("path"),
        fields: vec![
            field::<String>("path"),
            field::<Option<i64>>("rank").mutable().unique(Unique::Siblings),
        ]
        .leak(),
        ..below("Page", "pages", site)
    });
    [site, page]
}

#[tokio::test]
async fn a_taken_value_is_named_by_its_field() {
    let [site, page] = types();
    for world in worlds(&[site, page]).await {
        let first = json!({"name": "a", "e": "x", "id_e": "x", "host": "x", "project": 1});
        let first = world.make(site, &first).await.unwrap();
        for (body, pointer) in [
            (json!({"name": "a"}), "/name"),
            (json!({"name": "b", "e": "x", "id_e": "x"}), "/id_e"),
            (json!({"name": "b", "host": "x"}), "/host"),
            (json!({"name": "b", "project": 1}), "/project"),
        ] {
            let error = world.make(site, &body).await.unwrap_err();
            assert_eq!(error.extra.get("id"), Some(&json!(first.meta.id)), "{body}: {error:?}");
            assert_eq!(error.problems[0].code, "TAKEN");
            let dialect = world.database.dialect();
            assert_eq!(
                refusal::<()>(Err(error)),
                (ErrorCode::NameTaken, vec![pointer.into()]),
                "{body} {dialect:?}"
            );
        }

        // Siblings are those of one project; everywhere is everywhere, and says nothing of rows elsewhere.
        let twin = json!({"name": "a", "id_e": "x", "project": 1});
        let twin = world.make_in(TWO, site, None, &twin).await.unwrap();
        let error = world.make_in(TWO, site, None, &json!({"name": "b", "host": "x"})).await.unwrap_err();
        assert_eq!(error.problems[0].pointer, "/host");

        // Null is not a value: any number of rows may have none.
        let other = world.make(site, &json!({"name": "c"})).await.unwrap();
        world.make(site, &json!({"name": "d"})).await.unwrap();
        let refused = world.patch(&other, &json!({"host": "x"})).await;
        assert_eq!(refusal(refused), (ErrorCode::NameTaken, vec!["/host".into()]));
        let refused = world.patch(&other, &json!({"id_e": "x", "e": "y"})).await;
        assert_eq!(refusal(refused), (ErrorCode::NameTaken, vec!["/id_e".into()]));
        assert_eq!(world.again(&other).await.meta.revision, other.meta.revision, "nothing was changed");

        let below = json!({"path": "home", "rank": 1});
        world.make_below(&first, page, &below).await.unwrap();
        world.make_below(&twin, page, &below).await.unwrap();
        let taken = world.make_below(&first, page, &json!({"path": "home"})).await;
        assert_eq!(refusal(taken), (ErrorCode::NameTaken, vec!["/path".into()]));
        let taken = world.make_below(&first, page, &json!({"path": "other", "rank": 1})).await;
        assert_eq!(refusal(taken), (ErrorCode::NameTaken, vec!["/rank".into()]));
        assert_eq!(
            world.again(&first).await.meta.generation,
            2,
            "what was refused did not move the instance"
        );
    }
}

#[tokio::test]
async fn what_an_index_cannot_hold_is_refused_before() {
    let [site, page] = types();
    for world in worlds(&[site, page]).await {
        // Text that does not compress: PostgreSQL refuses index entries of more than a third of a page.
        let long: String = (0..4_000_u32).map(|at| char::from_u32(0x4e00 + at * 5).unwrap()).collect();
        let refused = world.make(site, &json!({"name": "a", "host": long})).await;
        assert_eq!(refusal(refused), (ErrorCode::InvalidRequest, vec!["/host".into()]));
        let site = world.make(site, &json!({"name": "a", "e": long})).await.unwrap();
        assert_eq!(site.meta.project_id, ONE);
        let refused = world.make_below(&site, page, &json!({"path": long})).await;
        assert_eq!(refusal(refused), (ErrorCode::InvalidRequest, vec!["/path".into()]));
        let fits: String = long.chars().take(500).collect();
        world.make_below(&site, page, &json!({"path": fits})).await.unwrap();
    }
}
