//! Who may see and change users, projects and bindings.

use metapaas_core::descriptor::Action;
use metapaas_core::error::ErrorCode;
use metapaas_core::iam::{BINDINGS, PROJECTS, PageAt, SERVICE_ACCOUNTS, USERS};
use metapaas_core::role::PLATFORM_PROJECT;
use serde_json::json;
use uuid::Uuid;

use super::{PASSWORD, all, binding, code, worlds};

const FORBIDDEN: Option<ErrorCode> = Some(ErrorCode::Forbidden);
const NOT_FOUND: Option<ErrorCode> = Some(ErrorCode::NotFound);

#[tokio::test]
async fn owners_of_a_project_give_roles_in_it() {
    for world in worlds().await {
        let (shop, blog) = (world.project("shop").await, world.project("blog").await);
        world.user("guest").await;
        for (who, role, at, in_shop, in_platform, sees) in [
            ("vera", "viewer", shop, FORBIDDEN, NOT_FOUND, None),
            ("opa", "operator", shop, FORBIDDEN, NOT_FOUND, None),
            ("olga", "owner", shop, None, NOT_FOUND, None),
            ("sten", "owner", blog, NOT_FOUND, NOT_FOUND, NOT_FOUND),
            ("pia", "operator", PLATFORM_PROJECT, FORBIDDEN, FORBIDDEN, None),
            ("paul", "owner", PLATFORM_PROJECT, None, None, None),
        ] {
            let caller = world.member(who, role, at).await;
            let (create, delete) =
                (caller.may(&BINDINGS, Action::Create), caller.may(&BINDINGS, Action::Delete));
            for (project, expected) in [(shop, in_shop), (PLATFORM_PROJECT, in_platform)] {
                let made = world.create_binding(&create, &binding("guest", "viewer", project)).await;
                assert_eq!(made.as_ref().err().map(|error| error.code), expected, "{who} in {project}");
                let id = match made {
                    Ok(made) => made.id,
                    Err(_) => world.bind("guest", "viewer", project).await.id,
                };
                let gone = world.iam.delete_binding(&delete, id).await;
                assert_eq!(code(gone), expected, "{who} in {project}");
                if expected.is_some() {
                    let delete = world.admin().await.may(&BINDINGS, Action::Delete);
                    world.iam.delete_binding(&delete, id).await.unwrap();
                }
            }
            let read = world.bind("guest", "operator", shop).await.id;
            let seen = world.iam.get_binding(&caller.may(&BINDINGS, Action::Read), read).await;
            assert_eq!(code(seen), sees, "{who}");
            let listed =
                world.iam.list_bindings(&caller.may(&BINDINGS, Action::List), None, all()).await.unwrap();
            assert_eq!(listed.items.iter().any(|one| one.id == read), sees.is_none(), "{who}");
            let delete = world.admin().await.may(&BINDINGS, Action::Delete);
            world.iam.delete_binding(&delete, read).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_binding_that_cannot_be_is_refused_with_every_reason() {
    for world in worlds().await {
        let shop = world.project("shop").await;
        let create = world.admin().await.may(&BINDINGS, Action::Create);
        let body = json!({"project_id": "shop", "principal": {"kind": "group", "colour": 1}, "role": "king", "x": 1});
        let error = world.create_binding(&create, &body).await.unwrap_err();
        let mut pointers: Vec<&str> = error.problems.iter().map(|problem| problem.pointer.as_str()).collect();
        pointers.sort_unstable();
        assert_eq!(pointers, ["/principal/colour", "/principal/id", "/principal/kind", "/project_id", "/x"]);
        let king = world.create_binding(&create, &binding("admin", "king", shop)).await.unwrap_err();
        assert_eq!(
            (king.problems[0].pointer.as_str(), king.problems[0].code),
            ("/role", "INVALID_REFERENCE")
        );
        let nobody = world.create_binding(&create, &binding("nobody", "viewer", shop)).await.unwrap_err();
        assert_eq!(nobody.problems[0].pointer, "/principal");
        let nowhere = world.create_binding(&create, &binding("admin", "viewer", Uuid::nil())).await;
        assert_eq!(code(nowhere), NOT_FOUND);
        let first = world.bind("admin", "viewer", shop).await;
        let again = world.create_binding(&create, &binding("admin", "viewer", shop)).await.unwrap_err();
        assert_eq!((again.code, &again.extra["id"]), (ErrorCode::NameTaken, &json!(first.id.to_string())));
    }
}

#[tokio::test]
async fn projects_are_made_by_the_platform_and_seen_by_their_members() {
    for world in worlds().await {
        let (shop, blog) = (world.project("shop").await, world.project("blog").await);
        let olga = world.member("olga", "owner", shop).await;
        let body = json!({"name": "mine"});
        assert_eq!(
            code(world.iam.create_project(&olga.may(&PROJECTS, Action::Create), &body).await),
            FORBIDDEN
        );
        let seen = world.iam.list_projects(&olga.may(&PROJECTS, Action::List), all()).await.unwrap();
        assert_eq!(seen.items.iter().map(|project| project.id).collect::<Vec<_>>(), [shop]);
        let read = olga.may(&PROJECTS, Action::Read);
        assert_eq!(code(world.iam.get_project(&read, "blog").await), NOT_FOUND);
        assert_eq!(code(world.iam.get_project(&read, &blog.to_string()).await), NOT_FOUND);
        assert_eq!(code(world.iam.get_project(&read, "no\0 name").await), NOT_FOUND);
        assert_eq!(world.iam.get_project(&read, "shop").await.unwrap().id, shop);
        let update = olga.may(&PROJECTS, Action::Update);
        let changed =
            world.iam.update_project(&update, "shop", &json!({"description": "sells"})).await.unwrap();
        assert_eq!((changed.description.as_str(), changed.revision), ("sells", 2));
        let renamed = world.iam.update_project(&update, "shop", &json!({"name": "store"})).await.unwrap_err();
        assert_eq!((renamed.problems[0].pointer.as_str(), renamed.problems[0].code), ("/name", "IMMUTABLE"));
        let opa = world.member("opa", "operator", shop).await;
        let update = opa.may(&PROJECTS, Action::Update);
        assert_eq!(
            code(world.iam.update_project(&update, "shop", &json!({"description": ""})).await),
            FORBIDDEN
        );

        let admin = world.admin().await;
        let create = admin.may(&PROJECTS, Action::Create);
        let taken = world.iam.create_project(&create, &json!({"name": "shop"})).await.unwrap_err();
        assert_eq!((taken.code, &taken.extra["id"]), (ErrorCode::NameTaken, &json!(shop.to_string())));
        let delete = admin.may(&PROJECTS, Action::Delete);
        assert_eq!(code(world.iam.delete_project(&delete, "platform").await), Some(ErrorCode::InvalidState));
        let account = json!({"project_id": shop, "name": "deploy"});
        let made =
            world.iam.create_service_account(&admin.may(&SERVICE_ACCOUNTS, Action::Create), &account).await;
        made.unwrap();
        assert_eq!(code(world.iam.delete_project(&delete, "shop").await), Some(ErrorCode::InUse));
        assert_eq!(world.iam.get_project(&olga.may(&PROJECTS, Action::Read), "shop").await.unwrap().id, shop);
        let unmake = admin.may(&SERVICE_ACCOUNTS, Action::Delete);
        world.iam.delete_service_account(&unmake, "deploy", None).await.unwrap();
        world.iam.delete_project(&delete, "shop").await.unwrap();
        assert_eq!(code(world.iam.delete_project(&delete, "shop").await), NOT_FOUND);
    }
}

#[tokio::test]
async fn users_are_the_platforms_business() {
    for world in worlds().await {
        let shop = world.project("shop").await;
        let admin = world.admin().await;
        let create = admin.may(&USERS, Action::Create);
        let made = world
            .iam
            .create_user(&create, &json!({"name": "ann", "email": "ann@example.org"}))
            .await
            .unwrap();
        let password = made.password.clone().unwrap();
        assert!(world.try_login("ann", &password).await.is_ok());
        let shown = serde_json::to_value(&made).unwrap();
        let mut members: Vec<&String> = shown.as_object().unwrap().keys().collect();
        members.sort();
        assert_eq!(
            members,
            [
                "created_at",
                "disabled",
                "email",
                "id",
                "must_change_password",
                "name",
                "password",
                "updated_at"
            ]
        );
        let taken = world.iam.create_user(&create, &json!({"name": "ann"})).await.unwrap_err();
        assert_eq!((taken.code, &taken.extra["id"]), (ErrorCode::NameTaken, &shown["id"]));
        let wrong =
            json!({"name": "Ann!", "password": "short", "email": "here", "disabled": 1, "role": "owner"});
        assert_eq!(world.iam.create_user(&create, &wrong).await.unwrap_err().problems.len(), 5);

        let olga = world.member("olga", "owner", shop).await;
        let body = json!({"name": "ben", "password": PASSWORD});
        assert_eq!(code(world.iam.create_user(&olga.may(&USERS, Action::Create), &body).await), FORBIDDEN);
        assert_eq!(code(world.iam.list_users(&olga.may(&USERS, Action::List), all()).await), FORBIDDEN);
        let read = olga.may(&USERS, Action::Read);
        assert_eq!(code(world.iam.get_user(&read, "ann").await), NOT_FOUND);
        assert_eq!(world.iam.get_user(&read, "olga").await.unwrap().id, olga.0.id);
        assert_eq!(code(world.iam.delete_user(&olga.may(&USERS, Action::Delete), "olga").await), FORBIDDEN);
        let vera = world.member("vera", "viewer", PLATFORM_PROJECT).await;
        assert!(world.iam.get_user(&vera.may(&USERS, Action::Read), "ann").await.is_ok());

        let update = admin.may(&USERS, Action::Update);
        let gone = world.update_user(&update, "ann", &json!({"email": null})).await.unwrap();
        assert_eq!((gone.email, gone.revision), (None, 2));
    }
}

#[tokio::test]
async fn pages_follow_each_other_without_gap() {
    for world in worlds().await {
        for name in ["a", "b", "c", "d", "e"] {
            world.project(name).await;
        }
        let list = world.admin().await.may(&PROJECTS, Action::List);
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let page = world.iam.list_projects(&list, PageAt::first(3).after(after)).await.unwrap();
            after = page.items.last().map(|project| project.id);
            names.extend(page.items.into_iter().map(|project| project.name));
            if !page.has_more {
                break;
            }
        }
        names.sort();
        assert_eq!(names, ["a", "b", "c", "d", "default", "e", "platform"]);
    }
}

#[tokio::test]
async fn a_permission_for_something_else_is_of_no_use() {
    for world in worlds().await {
        let shop = world.project("shop").await;
        let vera = world.member("vera", "viewer", shop).await;
        let list = vera.may(&BINDINGS, Action::List);
        for answer in [
            world.iam.delete_project(&list, "shop").await,
            world.iam.delete_binding(&list, Uuid::nil()).await,
            world.iam.delete_user(&vera.may(&PROJECTS, Action::Delete), "vera").await,
        ] {
            assert_eq!(code(answer), Some(ErrorCode::Internal));
        }
    }
}
