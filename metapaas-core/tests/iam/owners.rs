//! The platform never loses its last owner.

use metapaas_core::descriptor::Action;
use metapaas_core::error::ErrorCode;
use metapaas_core::iam::{BINDINGS, USERS};
use metapaas_core::role::PLATFORM_PROJECT;
use serde_json::json;

use super::{code, worlds};

#[tokio::test]
async fn the_last_owner_cannot_be_removed_in_any_way() {
    for world in worlds().await {
        let admin = world.admin().await;
        let (update, delete) = (admin.may(&USERS, Action::Update), admin.may(&USERS, Action::Delete));
        let unbind = admin.may(&BINDINGS, Action::Delete);
        let binding = world.platform_binding("admin").await.id;
        let off = json!({"disabled": true});
        for answer in [
            world.iam.delete_user(&delete, "admin").await,
            world.update_user(&update, "admin", &off).await.map(drop),
            world.iam.delete_binding(&unbind, binding).await,
        ] {
            assert_eq!(code(answer), Some(ErrorCode::InvalidState));
        }
        assert_eq!(world.platform_binding("admin").await.id, binding, "nothing was changed");

        // Neither an operator nor a disabled owner can take the place.
        world.member("opa", "operator", PLATFORM_PROJECT).await;
        world.member("olga", "owner", PLATFORM_PROJECT).await;
        world.update_user(&update, "olga", &off).await.unwrap();
        assert_eq!(code(world.iam.delete_user(&delete, "admin").await), Some(ErrorCode::InvalidState));

        world.update_user(&update, "olga", &json!({"disabled": false})).await.unwrap();
        world.iam.delete_binding(&unbind, binding).await.unwrap();
        world.iam.delete_user(&delete, "admin").await.unwrap();
        assert_eq!(code(world.iam.delete_user(&delete, "olga").await), Some(ErrorCode::InvalidState));
        // A service account is not a person: its right may go.
        let local = world.platform_binding("local-cli").await.id;
        world.iam.delete_binding(&unbind, local).await.unwrap();
    }
}

#[tokio::test]
async fn two_owners_cannot_remove_each_other_at_once() {
    for world in worlds().await {
        world.user("olga").await;
        world.bind("olga", "owner", PLATFORM_PROJECT).await;
        let unbind = world.admin().await.may(&BINDINGS, Action::Delete);
        // Several times: whether the two meet is up to the scheduler.
        for _ in 0..20 {
            let admin = world.platform_binding("admin").await.id;
            let olga = world.platform_binding("olga").await.id;
            let (one, two) = tokio::join!(
                world.iam.delete_binding(&unbind, admin),
                world.iam.delete_binding(&unbind, olga)
            );
            let gone = if one.is_ok() { "admin" } else { "olga" };
            assert_eq!([one.is_ok(), two.is_ok()].iter().filter(|gone| **gone).count(), 1);
            assert_eq!(code(one.and(two)), Some(ErrorCode::InvalidState));
            world.bind(gone, "owner", PLATFORM_PROJECT).await;
        }
    }
}
