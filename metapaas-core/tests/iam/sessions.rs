//! Logins, refreshes, and how a session ends.

use chrono::TimeDelta;
use metapaas_core::authn::{AuthSettings, bearer};
use metapaas_core::descriptor::Action;
use metapaas_core::error::ErrorCode;
use metapaas_core::iam::{BINDINGS, USERS};
use metapaas_core::role::{PLATFORM_PROJECT, Role};
use metapaas_core::testing::sqlite;
use serde_json::json;

use super::{PASSWORD, World, code, reason, worlds};

#[tokio::test]
async fn a_login_gives_an_actor_with_its_roles() {
    for world in worlds().await {
        let project = world.project("shop").await;
        let ann = world.user("ann").await;
        world.bind("ann", "operator", project).await;
        let pair = world
            .token(&json!({"grant_type": "password", "username": "ann", "password": PASSWORD}))
            .await
            .unwrap();
        assert_eq!((pair.token_type, pair.expires_in, pair.must_change_password), ("Bearer", 900, false));
        let actor = world.who(&pair.access_token).await.unwrap();
        assert_eq!((actor.id, &*actor.name), (ann, "ann"));
        assert_eq!(actor.grants.role_in(project), Some(Role::Operator));
        assert_eq!(actor.grants.platform_role(), None);
        assert_eq!(reason(world.who(&pair.refresh_token).await), "malformed");
    }
}

#[tokio::test]
async fn every_failed_login_looks_the_same() {
    for world in worlds().await {
        world.user("ann").await;
        world.user("ben").await;
        let allowed = world.admin().await.may(&USERS, Action::Update);
        world.update_user(&allowed, "ben", &json!({"disabled": true})).await.unwrap();
        for (user, password) in [
            ("ann", "not this one at all"),
            ("nobody", PASSWORD),
            ("ben", PASSWORD),
            ("No\0body", PASSWORD),
            ("", ""),
        ] {
            let error = world.try_login(user, password).await.unwrap_err();
            assert_eq!(error.detail, "user or password is wrong", "{user}");
            assert_eq!(reason(Err::<(), _>(error)), "credentials", "{user}");
        }
    }
}

#[tokio::test]
async fn a_logout_ends_that_session_at_once_and_no_other() {
    for world in worlds().await {
        world.user("ann").await;
        let (first, second) = (world.login("ann").await, world.login("ann").await);
        for pair in [&first, &second] {
            assert!(world.who(&pair.access_token).await.is_ok());
        }
        world.logout(&first.access_token).await.unwrap();
        assert_eq!(reason(world.who(&first.access_token).await), "revoked");
        assert_eq!(reason(world.refresh(&first.refresh_token).await), "revoked");
        assert!(world.who(&second.access_token).await.is_ok());
        assert_eq!(code(world.logout(&world.secrets.token).await), Some(ErrorCode::InvalidRequest));

        let allowed = world.admin().await.may(&USERS, Action::Update);
        world.iam.revoke_sessions(&allowed, "ann").await.unwrap();
        assert_eq!(reason(world.who(&second.access_token).await), "revoked");
    }
}

#[tokio::test]
async fn what_is_taken_from_a_user_is_gone_at_once() {
    for world in worlds().await {
        let project = world.project("shop").await;
        world.user("ann").await;
        let binding = world.bind("ann", "viewer", project).await;
        let token = world.login("ann").await.access_token;
        assert_eq!(world.who(&token).await.unwrap().grants.role_in(project), Some(Role::Viewer));
        world.bind("ann", "owner", project).await;
        assert_eq!(world.who(&token).await.unwrap().grants.role_in(project), Some(Role::Owner));

        let admin = world.admin().await;
        let allowed = admin.may(&BINDINGS, Action::List);
        let page = world.iam.list_bindings(&allowed, Some(project), super::all()).await.unwrap();
        for one in page.items {
            world.iam.delete_binding(&admin.may(&BINDINGS, Action::Delete), one.id).await.unwrap();
        }
        assert_eq!(world.who(&token).await.unwrap().grants.role_in(project), None);
        assert_eq!(
            code(world.iam.delete_binding(&admin.may(&BINDINGS, Action::Delete), binding.id).await),
            Some(ErrorCode::NotFound)
        );

        let update = admin.may(&USERS, Action::Update);
        world.update_user(&update, "ann", &json!({"disabled": true})).await.unwrap();
        assert_eq!(reason(world.who(&token).await), "revoked");
        world.update_user(&update, "ann", &json!({"disabled": false})).await.unwrap();
        assert_eq!(reason(world.who(&token).await), "revoked", "an old session does not come back");

        let token = world.login("ann").await.access_token;
        assert!(world.who(&token).await.is_ok());
        world.iam.delete_user(&admin.may(&USERS, Action::Delete), "ann").await.unwrap();
        assert_eq!(reason(world.who(&token).await), "revoked");
    }
}

#[tokio::test]
async fn a_refresh_token_works_once_and_a_second_use_ends_the_session() {
    for world in worlds().await {
        world.user("ann").await;
        let first = world.login("ann").await;
        let second = world
            .token(&json!({"grant_type": "refresh_token", "refresh_token": first.refresh_token}))
            .await
            .unwrap();
        let third = world.refresh(&second.refresh_token).await.unwrap();
        assert!(world.who(&third.access_token).await.is_ok());
        assert_eq!(reason(world.refresh(&third.access_token).await), "malformed");
        assert!(world.who(&third.access_token).await.is_ok());

        assert_eq!(reason(world.refresh(&first.refresh_token).await), "revoked");
        assert_eq!(reason(world.who(&third.access_token).await), "revoked");
        assert_eq!(reason(world.refresh(&third.refresh_token).await), "revoked");
    }
}

#[tokio::test]
async fn of_two_refreshes_at_once_one_is_the_thief() {
    for world in worlds().await {
        world.user("ann").await;
        let pair = world.login("ann").await;
        let (one, two) = tokio::join!(world.refresh(&pair.refresh_token), world.refresh(&pair.refresh_token));
        assert_eq!([one.is_ok(), two.is_ok()].iter().filter(|good| **good).count(), 1);
        let winner = one.or(two).unwrap();
        assert_eq!(reason(world.who(&winner.access_token).await), "revoked");
    }
}

#[tokio::test]
async fn a_session_that_nobody_used_for_long_is_over() {
    for world in worlds().await {
        world.user("ann").await;
        let pair = world.login("ann").await;
        world.run_with_past("UPDATE metapaas_sessions SET expires_at = PAST").await;
        assert_eq!(reason(world.who(&pair.access_token).await), "expired");
        assert_eq!(reason(world.refresh(&pair.refresh_token).await), "revoked");
    }
}

#[tokio::test]
async fn a_new_password_ends_the_sessions_and_the_own_one_takes_the_old() {
    for world in worlds().await {
        world.user("ann").await;
        let pair = world.login("ann").await;
        let ann = world.caller("ann").await;
        let update = ann.may(&USERS, Action::Update);
        let new = "quite another password";
        for (body, pointer) in [
            (json!({"password": new}), "/old_password"),
            (json!({"password": new, "old_password": "a wrong old password"}), "/old_password"),
            (json!({"password": "short", "old_password": PASSWORD}), "/password"),
        ] {
            let error = world.update_user(&update, "ann", &body).await.unwrap_err();
            assert_eq!(error.problems[0].pointer, pointer, "{error:?}");
        }
        let both = json!({"password": new, "old_password": PASSWORD, "disabled": true});
        assert_eq!(code(world.update_user(&update, "ann", &both).await), Some(ErrorCode::Forbidden));
        assert!(world.who(&pair.access_token).await.is_ok());

        let other = world.login("ann").await;
        let who = world.iam.authenticator().identify(&other.access_token).await.unwrap();
        let body = json!({"name": "ann", "password": new, "old_password": PASSWORD});
        world.iam.update_user(&world.registry, &update, who.session, "ann", &body).await.unwrap();
        assert_eq!(reason(world.who(&pair.access_token).await), "revoked", "the others end");
        assert!(world.who(&other.access_token).await.is_ok(), "the one that changed it goes on");
        assert!(world.refresh(&other.refresh_token).await.is_ok());
        assert_eq!(reason(world.try_login("ann", PASSWORD).await), "credentials");
        assert!(!world.try_login("ann", new).await.unwrap().must_change_password);

        world.user("ben").await;
        let body = json!({"password": PASSWORD});
        assert_eq!(code(world.update_user(&update, "ben", &body).await), Some(ErrorCode::NotFound));
        let operator = world.member("opa", "operator", PLATFORM_PROJECT).await;
        let update = operator.may(&USERS, Action::Update);
        assert_eq!(code(world.update_user(&update, "ben", &body).await), Some(ErrorCode::Forbidden));
    }
}

#[tokio::test]
async fn a_password_that_somebody_else_chose_must_be_changed_before_anything_else() {
    for world in worlds().await {
        let admin = world.admin().await;
        let body = json!({"name": "ann", "password": PASSWORD});
        assert!(
            world
                .iam
                .create_user(&admin.may(&USERS, Action::Create), &body)
                .await
                .unwrap()
                .user
                .must_change_password
        );
        let pair = world.login("ann").await;
        assert!(pair.must_change_password);
        assert_eq!(code(world.who(&pair.access_token).await), Some(ErrorCode::PasswordChangeRequired));
        let who = world.iam.authenticator().identify(&pair.access_token).await.unwrap();
        assert!(who.must_change_password);
        let ann = super::Caller(who.actor);
        let new = json!({"password": "quite another password", "old_password": PASSWORD});
        world
            .iam
            .update_user(&world.registry, &ann.may(&USERS, Action::Update), who.session, "ann", &new)
            .await
            .unwrap();
        assert!(world.who(&pair.access_token).await.is_ok(), "with the same token");

        world
            .update_user(&admin.may(&USERS, Action::Update), "ann", &json!({"password": PASSWORD}))
            .await
            .unwrap();
        let pair = world.login("ann").await;
        assert_eq!(code(world.who(&pair.access_token).await), Some(ErrorCode::PasswordChangeRequired));
    }
}

#[tokio::test]
async fn lifetimes_are_those_of_the_settings() {
    let settings = AuthSettings {
        access_lifetime: TimeDelta::minutes(3),
        session_lifetime: TimeDelta::hours(2),
        ..AuthSettings::default()
    };
    let world = World::with(sqlite().await, settings).await;
    world.user("ann").await;
    let pair = world.login("ann").await;
    assert_eq!(pair.expires_in, 180);
    let left = world.database.int("SELECT expires_at - created_at FROM metapaas_sessions").await;
    assert_eq!(left, Some(2 * 3600 * 1_000_000));
}

#[test]
fn the_header() {
    assert_eq!(bearer(Some("Bearer abc")).unwrap(), "abc");
    assert_eq!(bearer(Some("bearer  abc ")).unwrap(), "abc");
    for (header, expected) in [
        (None, "missing"),
        (Some(""), "malformed"),
        (Some("Bearer"), "malformed"),
        (Some("Bearer "), "malformed"),
        (Some("Basic YTpi"), "malformed"),
    ] {
        assert_eq!(reason(bearer(header)), expected, "{header:?}");
    }
}
