//! "May I" and "who am I".

use std::sync::Arc;

use metapaas_core::iam::check;
use metapaas_core::request::{Actor, ActorKind, Grants};
use metapaas_core::role::{PLATFORM_PROJECT, Role};
use serde_json::json;
use uuid::Uuid;

use super::{registry, worlds};

fn actor(grants: &[(Uuid, Role)]) -> Actor {
    let grants = Arc::new(Grants::new(grants.iter().copied()));
    Actor { kind: ActorKind::User, id: Uuid::from_u128(7), name: "ann".into(), grants }
}

#[test]
fn what_each_role_may() {
    let registry = registry();
    let (shop, blog) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let yes = |actor: &Actor, permission: &str, project| {
        check(&registry, actor, permission, project).unwrap().allowed
    };
    for (permission, [viewer, operator, owner]) in [
        ("site.instances.read", [true, true, true]),
        ("site.instances.update", [false, true, true]),
        ("site.instances.restart", [false, true, true]),
        ("site.instances.delete", [false, false, true]),
        ("site.instances.field:greeting", [false, true, true]),
        ("site.instances.field:theme", [false, false, true]),
        ("iam.bindings.list", [true, true, true]),
        ("iam.bindings.create", [false, false, true]),
        ("iam.service-accounts.update", [false, false, true]),
        ("iam.tokens.create", [false, false, true]),
        ("iam.roles.list", [true, true, true]),
        // Rights in a project say nothing about the platform.
        ("iam.projects.create", [false, false, false]),
        ("iam.users.read", [false, false, false]),
        ("iam.users.update", [false, false, false]),
    ] {
        for (role, expected) in Role::ALL.into_iter().zip([viewer, operator, owner]) {
            assert_eq!(
                yes(&actor(&[(shop, role)]), permission, Some(shop)),
                expected,
                "{role:?} {permission}"
            );
            if permission != "iam.roles.list" {
                assert!(
                    !yes(&actor(&[(blog, role)]), permission, Some(shop)),
                    "{role:?} elsewhere {permission}"
                );
            }
        }
        assert!(yes(&actor(&[(PLATFORM_PROJECT, Role::Owner)]), permission, Some(shop)), "{permission}");
        assert!(yes(&actor(&[(PLATFORM_PROJECT, Role::Owner)]), permission, None), "{permission}");
    }
    let answer =
        check(&registry, &actor(&[(shop, Role::Viewer)]), "site.instances.delete", Some(shop)).unwrap();
    assert_eq!(answer.reason, "this takes owner; you are viewer in this project");
}

#[test]
fn a_permission_that_does_not_exist_is_answered_with_those_that_do() {
    let registry = registry();
    for (permission, expected) in [
        ("", "site.instances"),
        ("site.instances", "restart"),
        ("site.instances.fly", "field:theme"),
        ("site.instances.field:colour", "field:theme"),
        ("site.*.read", "iam.users"),
        ("*.*.*", "iam.users"),
        ("iam.users.read.more", "list"),
    ] {
        let error = check(&registry, &actor(&[]), permission, None).unwrap_err();
        assert_eq!(error.problems[0].code, "UNKNOWN_PERMISSION");
        assert!(error.detail.contains(expected), "{permission}: {error}");
    }
}

#[tokio::test]
async fn everybody_knows_who_they_are() {
    for world in worlds().await {
        let shop = world.project("shop").await;
        let ann = world.member("ann", "operator", shop).await;
        let token = world.login("ann").await.access_token;
        let who = world.iam.authenticator().identify(&token).await.unwrap();
        let shown = serde_json::to_value(world.iam.whoami(&who).await.unwrap()).unwrap();
        let bindings = json!([{"project_id": shop, "project": "shop", "role": "operator"}]);
        assert_eq!(
            shown,
            json!({"kind": "user", "id": ann.0.id, "name": "ann", "platform_role": null,
                   "must_change_password": false, "bindings": bindings})
        );
    }
}
