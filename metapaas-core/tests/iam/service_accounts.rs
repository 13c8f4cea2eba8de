//! Service accounts and their tokens.

use std::time::Duration;

use metapaas_core::descriptor::Action;
use metapaas_core::error::ErrorCode;
use metapaas_core::iam::{BINDINGS, SERVICE_ACCOUNTS, TOKENS};
use metapaas_core::request::ActorKind;
use metapaas_core::role::{PLATFORM_PROJECT, Role};
use serde_json::json;
use uuid::Uuid;

use super::{World, all, code, reason, worlds};

async fn account(world: &World, project: Uuid, name: &str) -> Uuid {
    let allowed = world.admin().await.may(&SERVICE_ACCOUNTS, Action::Create);
    let body = json!({"project_id": project, "name": name});
    world.iam.create_service_account(&allowed, &body).await.unwrap().id
}

#[tokio::test]
async fn a_token_is_shown_once_and_good_until_it_is_deleted() {
    for world in worlds().await {
        let project = world.project("shop").await;
        let id = account(&world, project, "deploy").await;
        let admin = world.admin().await;
        let binding = json!({
            "project_id": project, "role": "operator", "principal": {"kind": "service_account", "name": "deploy"}
        });
        let bound = world.create_binding(&admin.may(&BINDINGS, Action::Create), &binding).await.unwrap();
        assert_eq!((bound.principal.id, bound.principal.name.as_str()), (id, "deploy"));

        let create = admin.may(&TOKENS, Action::Create);
        let body = json!({"description": "for the pipeline"});
        let made = world.create_token(&create, "deploy", None, &body).await.unwrap();
        assert!(made.token.starts_with("mpst_") && made.token.len() == 45);
        let actor = world.who(&made.token).await.unwrap();
        assert_eq!((actor.kind, actor.id), (ActorKind::ServiceAccount, id));
        assert_eq!(actor.grants.role_in(project), Some(Role::Operator));
        assert_eq!(reason(world.who(&format!("mpst_{}", "x".repeat(40))).await), "revoked");

        let list = admin.may(&TOKENS, Action::List);
        let mut shown = Vec::new();
        for _ in 0..100 {
            shown = world.iam.list_tokens(&list, "deploy", Some(project), all()).await.unwrap().items;
            if shown[0].last_used_at.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(shown[0].last_used_at.is_some(), "its use is noted");
        let text = serde_json::to_string(&shown).unwrap();
        assert!(!text.contains("mpst_") && text.contains("\"expires_at\":null"), "{text}");

        let delete = admin.may(&TOKENS, Action::Delete);
        world.iam.delete_token(&delete, "deploy", None, made.info.id).await.unwrap();
        assert_eq!(reason(world.who(&made.token).await), "revoked");
        assert_eq!(
            code(world.iam.delete_token(&delete, "deploy", None, made.info.id).await),
            Some(ErrorCode::NotFound)
        );
    }
}

#[tokio::test]
async fn a_token_ends_with_its_time_and_with_its_account() {
    for world in worlds().await {
        let project = world.project("shop").await;
        account(&world, project, "deploy").await;
        let admin = world.admin().await;
        let create = admin.may(&TOKENS, Action::Create);
        let past = json!({"expires_at": "2001-01-01T00:00:00Z"});
        assert_eq!(
            code(world.create_token(&create, "deploy", None, &past).await),
            Some(ErrorCode::InvalidRequest)
        );
        let body = json!({"expires_at": "2999-01-01T00:00:00Z"});
        let token = world.create_token(&create, "deploy", None, &body).await.unwrap().token;
        assert!(world.who(&token).await.is_ok());
        let update = admin.may(&SERVICE_ACCOUNTS, Action::Update);
        for (disabled, is_good) in [(true, false), (false, true)] {
            let body = json!({"disabled": disabled});
            world.iam.update_service_account(&update, "deploy", None, &body).await.unwrap();
            assert_eq!(world.who(&token).await.is_ok(), is_good);
        }
        // Another change has what is remembered looked up anew.
        world
            .run_with_past(
                "UPDATE metapaas_service_tokens SET expires_at = PAST WHERE expires_at IS NOT NULL",
            )
            .await;
        account(&world, project, "other").await;
        assert_eq!(reason(world.who(&token).await), "expired");

        let token = world.create_token(&create, "deploy", None, &json!({})).await.unwrap().token;
        assert!(world.who(&token).await.is_ok());
        let delete = admin.may(&SERVICE_ACCOUNTS, Action::Delete);
        world.iam.delete_service_account(&delete, "deploy", None).await.unwrap();
        assert_eq!(reason(world.who(&token).await), "revoked");
    }
}

#[tokio::test]
async fn only_owners_of_its_project_may_become_a_service_account() {
    for world in worlds().await {
        let (shop, blog) = (world.project("shop").await, world.project("blog").await);
        account(&world, shop, "deploy").await;
        for (who, role, project, expected) in [
            ("vera", "viewer", shop, Some(ErrorCode::Forbidden)),
            ("opa", "operator", shop, Some(ErrorCode::Forbidden)),
            ("olga", "owner", shop, None),
            ("sten", "owner", blog, Some(ErrorCode::NotFound)),
        ] {
            let caller = world.member(who, role, project).await;
            let create = caller.may(&TOKENS, Action::Create);
            assert_eq!(
                code(world.create_token(&create, "deploy", None, &json!({})).await),
                expected,
                "{who}"
            );
        }
    }
}

#[tokio::test]
async fn a_project_cannot_reach_the_platform_through_its_service_account() {
    for world in worlds().await {
        let (shop, blog) = (world.project("shop").await, world.project("blog").await);
        let id = account(&world, shop, "deploy").await;
        let create = world.admin().await.may(&BINDINGS, Action::Create);
        let body = |project: Uuid| json!({"project_id": project, "role": "viewer", "principal": {"kind": "service_account", "id": id}});
        let refused = world.create_binding(&create, &body(PLATFORM_PROJECT)).await;
        assert_eq!(code(refused), Some(ErrorCode::InvalidRequest));
        assert!(world.create_binding(&create, &body(blog)).await.is_ok());
    }
}

#[tokio::test]
async fn a_name_that_several_projects_have_needs_the_project() {
    for world in worlds().await {
        let (shop, blog) = (world.project("shop").await, world.project("blog").await);
        let (in_shop, in_blog) = (account(&world, shop, "bot").await, account(&world, blog, "bot").await);
        let read = world.admin().await.may(&SERVICE_ACCOUNTS, Action::Read);
        let get = |key: String, project| {
            let read = &read;
            let iam = &world.iam;
            async move { iam.get_service_account(read, &key, project).await.map(|account| account.id) }
        };
        assert_eq!(code(get("bot".into(), None).await), Some(ErrorCode::AmbiguousName));
        assert_eq!(get("bot".into(), Some(blog)).await.unwrap(), in_blog);
        assert_eq!(get(in_shop.to_string(), None).await.unwrap(), in_shop);
        let create = world.admin().await.may(&SERVICE_ACCOUNTS, Action::Create);
        let again =
            world.iam.create_service_account(&create, &json!({"project_id": shop, "name": "bot"})).await;
        assert_eq!(again.unwrap_err().extra["id"], json!(in_shop.to_string()));
    }
}
