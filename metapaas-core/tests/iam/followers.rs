//! Several control planes on one database, and a database that is away.

use std::sync::Arc;
use std::time::Duration;

use metapaas_core::authn::Authenticator;
use metapaas_core::error::ErrorCode;

use super::{KEY, code, reason, worlds};

#[tokio::test]
async fn another_control_plane_sees_a_revocation() {
    for world in worlds().await {
        world.user("ann").await;
        let other = Arc::new(Authenticator::new(world.database.open_again().await, KEY));
        let following = tokio::spawn({
            let other = Arc::clone(&other);
            async move { other.follow().await }
        });
        let pair = world.login("ann").await;
        assert!(other.authenticate(&pair.access_token).await.is_ok());
        world.logout(&pair.access_token).await.unwrap();
        let mut answer = other.authenticate(&pair.access_token).await;
        // Far longer than the promised second: this test is about whether, not about when.
        for _ in 0..500 {
            if answer.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            answer = other.authenticate(&pair.access_token).await;
        }
        assert_eq!(reason(answer), "revoked");
        following.abort();
    }
}

#[tokio::test]
async fn a_known_token_costs_no_database_and_a_lost_database_lets_nobody_in() {
    for world in worlds().await {
        world.user("ann").await;
        let (known, unknown) = (world.login("ann").await, world.login("ann").await);
        let other = Arc::new(Authenticator::new(world.database.open_again().await, KEY));
        let lost = world.database.open_again().await;
        let cut_off = Arc::new(Authenticator::new(lost.clone(), KEY));
        assert!(cut_off.authenticate(&known.access_token).await.is_ok());
        lost.close().await;
        for _ in 0..3 {
            assert!(cut_off.authenticate(&known.access_token).await.is_ok());
        }
        assert_eq!(code(cut_off.authenticate(&unknown.access_token).await), Some(ErrorCode::Unavailable));
        assert!(other.authenticate(&unknown.access_token).await.is_ok());

        let following = tokio::spawn({
            let cut_off = Arc::clone(&cut_off);
            async move { cut_off.follow().await }
        });
        let mut answer = cut_off.authenticate(&known.access_token).await;
        for _ in 0..500 {
            if answer.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            answer = cut_off.authenticate(&known.access_token).await;
        }
        assert_eq!(code(answer), Some(ErrorCode::Unavailable));
        following.abort();
    }
}
