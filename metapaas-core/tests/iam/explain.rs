//! "Why may I, or why not".

use metapaas_core::descriptor::Action;
use metapaas_core::error::{Error, ErrorCode};
use metapaas_core::iam::{BINDINGS, Explanation, ROLES, Whom};
use metapaas_core::request::ActorKind;
use serde_json::json;
use uuid::Uuid;

use super::{Caller, World, code, worlds};

impl World {
    async fn explain(
        &self,
        caller: &Caller,
        permission: &str,
        project: Uuid,
        user: Option<&str>,
    ) -> Result<Explanation, Error> {
        let allowed = caller.may(&BINDINGS, Action::List);
        let whom = user.map(|name| Whom { kind: ActorKind::User, key: name.into() });
        self.iam.explain(&self.registry, &allowed, permission, Some(project), whom).await
    }
}

#[tokio::test]
async fn a_denial_says_what_is_missing_and_who_can_give_it() {
    for world in worlds().await {
        let shop = world.project("shop").await;
        let create = world.admin().await.may(&ROLES, Action::Create);
        let body = json!({"project_id": shop, "name": "cleaner", "permissions": ["site.instances.delete"]});
        world.iam.create_role(&world.registry, &create, &body).await.unwrap();
        world.member("olga", "owner", shop).await;
        let otto = world.member("otto", "operator", shop).await;
        let why = world.explain(&otto, "site.instances.delete", shop, None).await.unwrap();
        assert!(!why.allowed && why.granted_by.is_empty());
        assert_eq!(why.missing, ["site.instances.delete"]);
        assert_eq!(why.roles, ["owner", "cleaner"]);
        let names: Vec<&str> = why.who_can_grant.iter().map(|one| one.name.as_str()).collect();
        assert!(names.contains(&"olga") && !names.contains(&"otto"), "{names:?}");
        assert!(
            why.reason.starts_with("denied because otto has only operator in this project and lacks"),
            "{}",
            why.reason
        );

        let why = world.explain(&otto, "site.instances.field:theme", shop, None).await.unwrap();
        assert_eq!(why.missing, ["site.instances.field:theme"]);
        assert_eq!(why.granted_by.len(), 1, "the action itself is allowed");
        assert_eq!(why.granted_by[0].permission, "site.instances.update");
    }
}

#[tokio::test]
async fn what_is_allowed_names_the_binding_and_the_pattern() {
    for world in worlds().await {
        let shop = world.project("shop").await;
        let create = world.admin().await.may(&ROLES, Action::Create);
        let body = json!({"project_id": shop, "name": "reader", "permissions": ["site.*.read"]});
        world.iam.create_role(&world.registry, &create, &body).await.unwrap();
        world.user("ann").await;
        let bound = world.bind("ann", "reader", shop).await;
        let ann = world.caller("ann").await;
        let why = world.explain(&ann, "site.instances.read", shop, None).await.unwrap();
        assert!(why.allowed && why.missing.is_empty() && why.who_can_grant.is_empty());
        let by = &why.granted_by[0];
        assert_eq!(
            (by.binding_id, by.role.as_deref(), by.pattern.as_deref()),
            (Some(bound.id), Some("reader"), Some("site.*.read"))
        );
        // Who may not list bindings is not told whom to ask by name.
        let why = world.explain(&ann, "site.instances.update", shop, None).await.unwrap();
        assert!(!why.allowed && why.who_can_grant.is_empty());
        assert!(why.reason.ends_with("ask an owner of the project"), "{}", why.reason);
    }
}

#[tokio::test]
async fn about_others_only_where_one_may_list_bindings() {
    for world in worlds().await {
        let (shop, blog) = (world.project("shop").await, world.project("blog").await);
        world.member("ann", "viewer", blog).await;
        let vera = world.member("vera", "viewer", shop).await;
        let why = world.explain(&vera, "site.instances.read", shop, Some("ann")).await.unwrap();
        assert_eq!((why.allowed, why.principal.name.as_str()), (false, "ann"));
        let elsewhere = world.explain(&vera, "site.instances.read", blog, Some("ann")).await;
        assert_eq!(code(elsewhere), Some(ErrorCode::NotFound));
        let nobody = world.explain(&vera, "site.instances.read", shop, Some("nobody")).await.unwrap_err();
        assert_eq!(nobody.problems[0].code, "INVALID_REFERENCE");
        let unknown = world.explain(&vera, "site.instances.raed", shop, None).await.unwrap_err();
        assert!(unknown.detail.contains("site.instances.read"), "{unknown}");
    }
}
