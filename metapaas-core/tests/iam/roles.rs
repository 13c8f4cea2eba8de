//! Roles of the installation's own: what they give, and that nobody gains by them what they do not have.

use metapaas_core::authz::authorize;
use metapaas_core::descriptor::Action;
use metapaas_core::error::ErrorCode;
use metapaas_core::iam::{BINDINGS, PROJECTS, PageAt, ROLES, SERVICE_ACCOUNTS, TOKENS, USERS};
use metapaas_core::request::RequestContext;
use metapaas_core::role::PLATFORM_PROJECT;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Caller, FIELDS, SITE, World, all, binding, code, worlds};

const FORBIDDEN: Option<ErrorCode> = Some(ErrorCode::Forbidden);

impl World {
    pub(super) async fn role(&self, project: Uuid, name: &str, permissions: &[&str]) -> Uuid {
        let allowed = self.admin().await.may(&ROLES, Action::Create);
        let body = json!({"project_id": project, "name": name, "permissions": permissions});
        self.iam.create_role(&self.registry, &allowed, &body).await.unwrap().id
    }
}

fn may(caller: &Caller, action: Action, project: Uuid) -> bool {
    let context = RequestContext { actor: caller.0.clone(), request_id: "test".into() };
    authorize(&context, &SITE, action).in_project(project).is_ok()
}

#[tokio::test]
async fn a_role_gives_what_it_says_where_it_is_bound() {
    for world in worlds().await {
        let (shop, blog) = (world.project("shop").await, world.project("blog").await);
        world
            .role(shop, "publisher", &["site.instances.update", "site.*.read", "site.instances.field:theme"])
            .await;
        let ann = world.member("ann", "publisher", shop).await;
        for (action, expected) in [
            (Action::Update, true),
            (Action::Read, true),
            (Action::List, false),
            (Action::Create, false),
            (Action::Custom("restart"), false),
        ] {
            assert_eq!(may(&ann, action, shop), expected, "{action:?}");
            assert!(!may(&ann, action, blog), "{action:?} elsewhere");
        }
        let update = ann.may(&SITE, Action::Update);
        assert!(update.sees().contains(shop) && !update.sees().contains(blog));
        assert!(update.may_set(&FIELDS[1], shop), "guarded, and named by the role");
        assert!(ann.may(&SITE, Action::List).sees() != update.sees(), "reading is not listing");

        world.role(PLATFORM_PROJECT, "watcher", &["*.*.list", "*.*.read"]).await;
        let ben = world.member("ben", "watcher", blog).await;
        assert!(may(&ben, Action::List, blog) && !may(&ben, Action::List, shop));
        assert!(!ben.may(&SITE, Action::Read).may_set(&FIELDS[1], blog));
        let cleo = world.member("cleo", "watcher", PLATFORM_PROJECT).await;
        assert!(may(&cleo, Action::List, blog) && may(&cleo, Action::List, shop));
    }
}

#[tokio::test]
async fn a_change_of_a_role_holds_for_those_who_have_it() {
    for world in worlds().await {
        let shop = world.project("shop").await;
        let id = world.role(shop, "publisher", &["site.instances.read"]).await;
        let ann = world.member("ann", "publisher", shop).await;
        assert!(!may(&ann, Action::Update, shop));
        let allowed = world.admin().await.may(&ROLES, Action::Update);
        let body =
            json!({"permissions": ["site.instances.read", "site.instances.update"], "description": "writes"});
        let role =
            world.iam.update_role(&world.registry, &allowed, "publisher", Some(shop), &body).await.unwrap();
        assert_eq!((role.id, role.revision, role.description.as_str()), (id, 2, "writes"));
        assert!(may(&world.caller("ann").await, Action::Update, shop));
        let renamed = json!({"name": "editor"});
        let error = world.iam.update_role(&world.registry, &allowed, &id.to_string(), None, &renamed).await;
        assert_eq!(error.unwrap_err().problems[0].code, "IMMUTABLE");
    }
}

#[tokio::test]
async fn a_permission_that_does_not_exist_is_refused_with_the_nearest() {
    for world in worlds().await {
        let shop = world.project("shop").await;
        let create = world.admin().await.may(&ROLES, Action::Create);
        let with =
            |permissions: Value| json!({"project_id": shop, "name": "publisher", "permissions": permissions});
        for (permissions, pointers, word) in [
            (json!(["site.instances.raed"]), vec!["/permissions/0"], "site.instances.read"),
            (
                json!(["site.instances.read", "sites.*.read", "site.instances"]),
                vec!["/permissions/1", "/permissions/2"],
                "site.instances",
            ),
            (json!(["site.instances.field:colour"]), vec!["/permissions/0"], "site.instances.field:"),
            (json!(["site.inst*.read"]), vec!["/permissions/0"], "site.instances.read"),
            (json!([]), vec!["/permissions"], "1 to"),
            (json!("site.instances.read"), vec!["/permissions"], "list"),
            (Value::Null, vec!["/permissions"], "give"),
        ] {
            let error =
                world.iam.create_role(&world.registry, &create, &with(permissions)).await.unwrap_err();
            let found: Vec<&str> = error.problems.iter().map(|problem| problem.pointer.as_str()).collect();
            assert_eq!(found, pointers, "{error:?}");
            assert!(error.problems[0].detail.contains(word), "{error:?}");
        }
    }
}

#[tokio::test]
async fn built_in_roles_are_there_for_all_and_stay_as_they_are() {
    for world in worlds().await {
        let shop = world.project("shop").await;
        world.role(shop, "publisher", &["site.instances.read"]).await;
        world.user("ann").await;
        let ann = world.caller("ann").await;
        let (read, list) = (ann.may(&ROLES, Action::Read), ann.may(&ROLES, Action::List));
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let page = PageAt::first(2).after(after);
            let page = world.iam.list_roles(&world.registry, &list, None, page).await.unwrap();
            after = page.items.last().map(|role| role.id);
            names.extend(page.items.into_iter().map(|role| role.name));
            if !page.has_more {
                break;
            }
        }
        assert_eq!(
            names,
            ["viewer", "operator", "owner"],
            "of projects that ann does not see nothing is shown"
        );
        let viewer = world.iam.get_role(&world.registry, &read, "viewer", None).await.unwrap();
        assert!(viewer.built_in && viewer.permissions.contains(&"site.instances.read".to_owned()));
        assert!(!viewer.permissions.contains(&"site.instances.update".to_owned()));
        assert_eq!(
            code(world.iam.get_role(&world.registry, &read, "publisher", None).await),
            Some(ErrorCode::NotFound)
        );
        let admin = world.admin().await;
        let body = json!({"description": "mine"});
        let changed = world
            .iam
            .update_role(&world.registry, &admin.may(&ROLES, Action::Update), "owner", None, &body)
            .await;
        assert_eq!(code(changed), Some(ErrorCode::InvalidState));
        let gone = world.iam.delete_role(&admin.may(&ROLES, Action::Delete), "viewer", None).await;
        assert_eq!(code(gone), Some(ErrorCode::InvalidState));
        let body = json!({"project_id": shop, "name": "owner", "permissions": ["site.instances.read"]});
        let made = world.iam.create_role(&world.registry, &admin.may(&ROLES, Action::Create), &body).await;
        assert_eq!(made.unwrap_err().problems[0].pointer, "/name");
    }
}

#[tokio::test]
async fn a_role_that_somebody_has_is_in_use() {
    for world in worlds().await {
        let shop = world.project("shop").await;
        world.role(shop, "publisher", &["site.instances.read"]).await;
        world.user("ann").await;
        let bound = world.bind("ann", "publisher", shop).await;
        let admin = world.admin().await;
        let delete = admin.may(&ROLES, Action::Delete);
        let error = world.iam.delete_role(&delete, "publisher", None).await.unwrap_err();
        assert_eq!((error.code, &error.extra["bindings"]), (ErrorCode::InUse, &json!(1)));
        world.iam.delete_binding(&admin.may(&BINDINGS, Action::Delete), bound.id).await.unwrap();
        world.iam.delete_role(&delete, "publisher", None).await.unwrap();
        world.role(shop, "publisher", &["site.instances.read"]).await;
        world.iam.delete_project(&admin.may(&PROJECTS, Action::Delete), "shop").await.unwrap();
    }
}

#[tokio::test]
async fn nobody_gives_what_they_do_not_have() {
    for world in worlds().await {
        let shop = world.project("shop").await;
        world
            .role(shop, "keeper", &["iam.roles.*", "iam.bindings.*", "iam.projects.read", "site.*.read"])
            .await;
        world.role(shop, "wide", &["site.instances.read", "site.instances.update"]).await;
        world.user("guest").await;
        let keeper = world.member("kim", "keeper", shop).await;
        let create = keeper.may(&ROLES, Action::Create);
        let role = |name: &str, permission: &str| json!({"project_id": shop, "name": name, "permissions": ["site.instances.read", permission]});
        for (name, permission, expected) in [
            ("one", "site.*.read", None),
            ("two", "iam.roles.create", None),
            ("three", "site.instances.update", FORBIDDEN),
            ("four", "site.*.*", FORBIDDEN),
            ("five", "*.*.read", FORBIDDEN),
            ("six", "site.instances.field:theme", FORBIDDEN),
        ] {
            let made = world.iam.create_role(&world.registry, &create, &role(name, permission)).await;
            assert_eq!(code(made), expected, "{permission}");
        }
        let more = json!({"permissions": ["site.instances.read", "site.instances.delete"]});
        let update = keeper.may(&ROLES, Action::Update);
        assert_eq!(
            code(world.iam.update_role(&world.registry, &update, "wide", None, &more).await),
            FORBIDDEN
        );
        let less = json!({"permissions": ["site.instances.update"]});
        assert_eq!(code(world.iam.update_role(&world.registry, &update, "wide", None, &less).await), None);

        let bind = keeper.may(&BINDINGS, Action::Create);
        for (role, expected) in
            [("one", None), ("wide", FORBIDDEN), ("viewer", FORBIDDEN), ("owner", FORBIDDEN)]
        {
            let made = world.create_binding(&bind, &binding("guest", role, shop)).await;
            assert_eq!(code(made), expected, "{role}");
            let own = world.create_binding(&bind, &binding("kim", role, shop)).await;
            assert_eq!(code(own), expected, "{role} to oneself");
        }
    }
}

#[tokio::test]
async fn who_makes_tokens_or_sets_passwords_gains_nothing_by_it() {
    for world in worlds().await {
        let shop = world.project("shop").await;
        let admin = world.admin().await;
        for name in ["small", "great"] {
            let body = json!({"project_id": shop, "name": name});
            let create = admin.may(&SERVICE_ACCOUNTS, Action::Create);
            world.iam.create_service_account(&create, &body).await.unwrap();
        }
        world
            .role(shop, "minter", &["iam.service-accounts.read", "iam.tokens.*", "site.instances.read"])
            .await;
        world.role(shop, "reader", &["site.instances.read"]).await;
        let bind = admin.may(&BINDINGS, Action::Create);
        for (name, role) in [("small", "reader"), ("great", "owner")] {
            let principal = json!({"kind": "service_account", "name": name});
            let body = json!({"project_id": shop, "principal": principal, "role": role});
            world.create_binding(&bind, &body).await.unwrap();
        }
        let mint = world.member("mia", "minter", shop).await.may(&TOKENS, Action::Create);
        assert_eq!(code(world.create_token(&mint, "small", None, &json!({})).await), None);
        assert_eq!(code(world.create_token(&mint, "great", None, &json!({})).await), FORBIDDEN);

        world.role(PLATFORM_PROJECT, "helpdesk", &["iam.users.read", "iam.users.update"]).await;
        world.member("ann", "owner", PLATFORM_PROJECT).await;
        world.user("ben").await;
        let update = world.member("hel", "helpdesk", PLATFORM_PROJECT).await.may(&USERS, Action::Update);
        let new = json!({"password": "quite another password"});
        assert_eq!(code(world.update_user(&update, "ben", &new).await), None);
        assert_eq!(code(world.update_user(&update, "ann", &new).await), FORBIDDEN);
        assert_eq!(code(world.update_user(&update, "ann", &json!({"email": null})).await), None);
    }
}

#[tokio::test]
async fn the_name_means_the_projects_own_role_before_the_platforms() {
    for world in worlds().await {
        let (shop, blog) = (world.project("shop").await, world.project("blog").await);
        world.role(PLATFORM_PROJECT, "publisher", &["site.instances.read"]).await;
        world.role(shop, "publisher", &["site.instances.update"]).await;
        let ann = world.member("ann", "publisher", shop).await;
        assert!(may(&ann, Action::Update, shop) && !may(&ann, Action::Read, shop));
        let ben = world.member("ben", "publisher", blog).await;
        assert!(!may(&ben, Action::Update, blog) && may(&ben, Action::Read, blog));
        let admin = world.admin().await;
        let read = admin.may(&ROLES, Action::Read);
        let found = world.iam.get_role(&world.registry, &read, "publisher", None).await;
        assert_eq!(code(found), Some(ErrorCode::AmbiguousName));
        let list = admin.may(&ROLES, Action::List);
        let here = world.iam.list_roles(&world.registry, &list, Some(blog), all()).await.unwrap();
        assert_eq!(here.items.iter().filter(|role| role.name == "publisher").count(), 1);
    }
}
