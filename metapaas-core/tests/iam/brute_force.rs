//! Wrong passwords make the next try wait: for users on all control planes, for names and addresses on each.

use std::net::IpAddr;
use std::sync::Arc;

use metapaas_core::authn::{AuthSettings, Authenticator};
use metapaas_core::descriptor::Action;
use metapaas_core::error::{Error, ErrorCode};
use metapaas_core::iam::{Iam, Origin, TokenPair, USERS};
use metapaas_core::testing::{postgres, sqlite};
use serde_json::json;

use super::{KEY, PASSWORD, World, code};

const TOO_MANY: Option<ErrorCode> = Some(ErrorCode::TooManyRequests);

async fn strict() -> [World; 2] {
    let settings =
        || AuthSettings { failures_per_user: 2, failures_per_address: 4, ..AuthSettings::default() };
    [World::with(sqlite().await, settings()).await, World::with(postgres().await, settings()).await]
}

async fn from(iam: &Iam, last: u8, user: &str, password: &str) -> Result<TokenPair, Error> {
    let address = Some(IpAddr::from([192, 0, 2, last]));
    iam.login(user, password, &Origin { address, request_id: "test".into() }).await
}

impl World {
    /// A failed login is counted after its answer.
    async fn counted(&self, expected: i64) {
        for _ in 0..500 {
            let sql = "SELECT failed_logins FROM metapaas_users WHERE name = 'ann'";
            if self.database.int(sql).await == Some(expected) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("{expected} failed logins were never counted");
    }
}

#[tokio::test]
async fn a_user_waits_on_every_control_plane_and_a_name_that_is_none_waits_too() {
    for world in strict().await {
        world.user("ann").await;
        let settings = AuthSettings { failures_per_user: 2, ..AuthSettings::default() };
        let other = Authenticator::new(world.database.open_again().await, KEY).with_settings(settings);
        let other = Iam::new(Arc::new(other));
        for (number, name) in [(1, "ann"), (2, "ann"), (1, "nobody"), (2, "nobody")] {
            // Each from another address, as an attacker would.
            let address = if name == "ann" { number } else { number + 10 };
            let error = from(&world.iam, address, name, "a wrong password").await.unwrap_err();
            assert_eq!(error.code, ErrorCode::Unauthenticated, "{name} {number}");
            if name == "ann" {
                world.counted(number.into()).await;
            }
        }
        // The lock of a second is made long, so that the test does not depend on its speed.
        world.run_with_future("UPDATE metapaas_users SET locked_until = FUTURE WHERE name = 'ann'").await;
        for iam in [&world.iam, &other] {
            let error = from(iam, 30, "ann", PASSWORD).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::TooManyRequests, "even with the right password");
            assert!(error.extra["retry_after"].as_i64().unwrap() > 0);
        }
        world.run_with_past("UPDATE metapaas_users SET locked_until = PAST WHERE name = 'ann'").await;
        from(&other, 30, "ann", PASSWORD).await.unwrap();
        let left = world
            .database
            .int("SELECT coalesce(failed_logins, 0) FROM metapaas_users WHERE name = 'ann'")
            .await;
        assert_eq!(left, Some(0), "a right password forgives");
    }
}

#[tokio::test]
async fn an_address_waits_whatever_names_it_tries() {
    for world in strict().await {
        world.user("ann").await;
        for number in 0..4 {
            let name = format!("nobody{number}");
            assert_eq!(code(from(&world.iam, 1, &name, PASSWORD).await), Some(ErrorCode::Unauthenticated));
        }
        let home = Origin { address: Some(IpAddr::from([192, 0, 2, 1])), request_id: "test".into() };
        // On a slow machine a wait may be over before the next try; each is twice as long as the one before.
        let mut refused = false;
        for _ in 0..20 {
            refused |= code(world.iam.refresh("no token", &home).await) == TOO_MANY;
        }
        assert!(refused, "a refresh from there waits too");
        assert!(from(&world.iam, 2, "ann", PASSWORD).await.is_ok(), "others do not wait");
    }
}

#[tokio::test]
async fn guessing_the_old_password_of_a_stolen_session_waits_as_well() {
    for world in strict().await {
        world.user("ann").await;
        let update = world.caller("ann").await.may(&USERS, Action::Update);
        let body = json!({"password": "quite another password", "old_password": "a wrong password"});
        for number in 1..=2 {
            let error = world.update_user(&update, "ann", &body).await.unwrap_err();
            assert_eq!(error.problems[0].pointer, "/old_password");
            world.counted(number).await;
        }
        world.run_with_future("UPDATE metapaas_users SET locked_until = FUTURE WHERE name = 'ann'").await;
        assert_eq!(code(world.update_user(&update, "ann", &body).await), TOO_MANY);
        assert_eq!(code(from(&world.iam, 9, "ann", PASSWORD).await), TOO_MANY);
    }
}

impl World {
    async fn run_with_future(&self, sql: &str) {
        let future =
            if self.database.file().is_some() { "4102444800000000" } else { "'2100-01-01T00:00:00Z'" };
        self.database.run(&sql.replace("FUTURE", future)).await;
    }
}
