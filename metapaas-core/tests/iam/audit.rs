//! Every change, every denial and every login leaves a line in the audit.

use metapaas_core::descriptor::Action;
use metapaas_core::error::{Error, ErrorCode};
use metapaas_core::iam::{
    AUDIT, AuditFilter, BINDINGS, Denial, PROJECTS, PageAt, ROLES, SERVICE_ACCOUNTS, TOKENS, USERS,
};
use metapaas_core::request::RequestContext;
use metapaas_core::role::PLATFORM_PROJECT;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{PASSWORD, World, all, code, worlds};

impl World {
    /// Runs the writer to its end.
    async fn flushed(&self) {
        let (_stop, stopped) = watch::channel(true);
        self.iam.write_audit(stopped).await;
    }
}

#[tokio::test]
async fn every_change_has_a_line_with_before_and_after_and_no_secret() {
    for world in worlds().await {
        let shop = world.project("shop").await;
        let admin = world.admin().await;
        let ann = world.user("ann").await;
        let new = "quite another password";
        world
            .update_user(
                &admin.may(&USERS, Action::Update),
                "ann",
                &json!({"password": new, "email": "a@example.org"}),
            )
            .await
            .unwrap();
        let bound = world.bind("ann", "viewer", shop).await;
        world.iam.delete_binding(&admin.may(&BINDINGS, Action::Delete), bound.id).await.unwrap();
        let body = json!({"project_id": shop, "name": "reader", "permissions": ["site.*.read"]});
        world.iam.create_role(&world.registry, &admin.may(&ROLES, Action::Create), &body).await.unwrap();
        let body = json!({"description": "reads"});
        world
            .iam
            .update_role(&world.registry, &admin.may(&ROLES, Action::Update), "reader", None, &body)
            .await
            .unwrap();
        world.iam.delete_role(&admin.may(&ROLES, Action::Delete), "reader", None).await.unwrap();
        let body = json!({"project_id": shop, "name": "deploy"});
        world.iam.create_service_account(&admin.may(&SERVICE_ACCOUNTS, Action::Create), &body).await.unwrap();
        let token = world
            .create_token(&admin.may(&TOKENS, Action::Create), "deploy", None, &json!({}))
            .await
            .unwrap();
        world
            .iam
            .delete_token(&admin.may(&TOKENS, Action::Delete), "deploy", None, token.info.id)
            .await
            .unwrap();
        world
            .iam
            .update_project(&admin.may(&PROJECTS, Action::Update), "shop", &json!({"description": "sells"}))
            .await
            .unwrap();
        world.iam.delete_user(&admin.may(&USERS, Action::Delete), "ann").await.unwrap();

        let lines = world.audit().await;
        let actions: Vec<&str> = lines.iter().map(|line| line.action.as_str()).collect();
        assert_eq!(
            actions,
            [
                "iam.projects.create",
                "iam.users.create",
                "iam.users.update",
                "iam.bindings.create",
                "iam.bindings.delete",
                "iam.roles.create",
                "iam.roles.update",
                "iam.roles.delete",
                "iam.service-accounts.create",
                "iam.tokens.create",
                "iam.tokens.delete",
                "iam.projects.update",
                "iam.users.delete",
            ]
        );
        for line in &lines {
            assert_eq!(
                (line.actor.name.as_str(), line.request_id.as_str(), line.outcome.as_str()),
                ("local-cli", "test", "OK")
            );
        }
        let detail = |index: usize| -> Value {
            serde_json::from_str(lines[index].detail.as_ref().unwrap().get()).unwrap()
        };
        assert_eq!(detail(2)["before"]["id"], json!(ann));
        assert_eq!(detail(2)["after"]["email"], "a@example.org");
        assert_eq!(detail(2)["after"]["password"], json!({"redacted": true}));
        assert_eq!(detail(6)["before"]["description"], "");
        assert_eq!(detail(6)["after"]["description"], "reads");
        assert_eq!((lines[3].project_id, lines[1].project_id), (Some(shop), Some(PLATFORM_PROJECT)));
        let all = serde_json::to_string(&lines).unwrap();
        for secret in [PASSWORD, new, token.token.as_str(), "argon2"] {
            assert!(!all.contains(secret), "{secret}");
        }
    }
}

#[tokio::test]
async fn a_change_that_fails_leaves_no_line() {
    for world in worlds().await {
        let delete = world.admin().await.may(&USERS, Action::Delete);
        assert_eq!(code(world.iam.delete_user(&delete, "admin").await), Some(ErrorCode::InvalidState));
        assert!(world.audit().await.is_empty());
    }
}

#[tokio::test]
async fn logins_that_fail_and_denials_are_written_when_the_control_plane_stops() {
    for world in worlds().await {
        world.user("ann").await;
        world.login("ann").await;
        let _ = world.try_login("ann", "a wrong password").await;
        let _ = world.try_login("nobody", PASSWORD).await;
        let ann = world.caller("ann").await;
        let error = Error::forbidden("site.instances.create");
        let context = RequestContext { actor: ann.0.clone(), request_id: "r1".into() };
        for _ in 0..3 {
            world.iam.denied(&context, "POST /v1/types/site/instances", &Denial::of(&error).unwrap());
        }
        world.flushed().await;
        let lines = world.audit().await;
        let told: Vec<(&str, &str, &str, &str)> = lines
            .iter()
            .skip(1)
            .map(|line| {
                (
                    line.actor.kind.as_str(),
                    line.actor.name.as_str(),
                    line.action.as_str(),
                    line.outcome.as_str(),
                )
            })
            .collect();
        for expected in [
            ("user", "ann", "iam.sessions.login", "OK"),
            ("user", "ann", "iam.sessions.login", "FAILED"),
            ("unknown", "nobody", "iam.sessions.login", "FAILED"),
            ("user", "ann", "site.instances.create", "DENIED"),
        ] {
            assert!(told.contains(&expected), "{expected:?} in {told:?}");
        }
        let denied = lines.iter().find(|line| line.outcome == "DENIED").unwrap();
        let detail: Value = serde_json::from_str(denied.detail.as_ref().unwrap().get()).unwrap();
        assert_eq!(detail, json!({"code": "FORBIDDEN", "count": 3}));
    }
}

#[tokio::test]
async fn owners_see_the_audit_of_their_projects_in_pages() {
    for world in worlds().await {
        let shop = world.project("shop").await;
        world.project("blog").await;
        for name in ["a", "b", "c"] {
            world.member(name, "viewer", shop).await;
        }
        let olga = world.member("olga", "owner", shop).await;
        let list = olga.may(&AUDIT, Action::List);
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = PageAt::newest(2).after(after);
            let page = world.iam.list_audit(&list, &AuditFilter::default(), page).await.unwrap();
            after = page.items.last().map(|line| line.id);
            found.extend(page.items);
            if !page.has_more {
                break;
            }
        }
        assert_eq!(found.len(), 5, "the project and four bindings: {found:?}");
        assert!(found.iter().all(|line| line.project_id == Some(shop)));
        assert!(found.is_sorted_by(|one, other| one.id > other.id), "newest first");
        let vera = world.caller("a").await;
        let denied =
            world.iam.list_audit(&vera.may(&AUDIT, Action::List), &AuditFilter::default(), all()).await;
        assert_eq!(code(denied), Some(ErrorCode::Forbidden));

        let list = world.admin().await.may(&AUDIT, Action::List);
        for (filter, expected) in [
            (AuditFilter { action: Some("iam.bindings.create".into()), ..AuditFilter::default() }, 4),
            (AuditFilter { project_id: Some(shop), ..AuditFilter::default() }, 5),
            (AuditFilter { actor_name: Some("olga".into()), ..AuditFilter::default() }, 1),
            (AuditFilter { actor_id: Some(olga.0.id), ..AuditFilter::default() }, 1),
            (AuditFilter { outcome: Some("DENIED".into()), ..AuditFilter::default() }, 0),
            (
                AuditFilter {
                    since: Some(chrono::Utc::now() + chrono::TimeDelta::hours(1)),
                    ..AuditFilter::default()
                },
                0,
            ),
            (
                AuditFilter {
                    until: Some(chrono::Utc::now() - chrono::TimeDelta::hours(1)),
                    ..AuditFilter::default()
                },
                0,
            ),
        ] {
            let page = world.iam.list_audit(&list, &filter, all()).await.unwrap();
            assert_eq!(page.items.len(), expected, "{filter:?}");
        }
    }
}
