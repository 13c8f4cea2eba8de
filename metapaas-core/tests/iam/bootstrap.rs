//! The first start.

use metapaas_core::authn::load_or_create_signing_key;
use metapaas_core::descriptor::Action;
use metapaas_core::error::{Error, ErrorCode};
use metapaas_core::iam::{PROJECTS, bootstrap};
use metapaas_core::role::Role;
use metapaas_core::secret::KeyRing;
use metapaas_core::testing::{postgres, sqlite};

use super::{World, all, code, migrated};

#[tokio::test]
async fn the_first_start_makes_an_administrator_and_later_ones_nothing() {
    for database in [sqlite().await, postgres().await] {
        let world = World::new(database).await;
        assert!(bootstrap(&world.database, |_| Ok(())).await.unwrap().is_none());
        let pair = world.try_login("admin", &world.secrets.password).await.unwrap();
        for token in [&pair.access_token, &world.secrets.token] {
            assert_eq!(world.who(token).await.unwrap().grants.platform_role(), Some(Role::Owner));
        }
        let list = world.admin().await.may(&PROJECTS, Action::List);
        let mut names: Vec<String> = world
            .iam
            .list_projects(&list, all())
            .await
            .unwrap()
            .items
            .into_iter()
            .map(|one| one.name)
            .collect();
        names.sort();
        assert_eq!(names, ["default", "platform"]);
        assert!(!format!("{:?}", world.secrets).contains(&world.secrets.token));
    }
}

#[tokio::test]
async fn of_two_first_starts_one_makes_the_administrator() {
    for database in [sqlite().await, postgres().await] {
        let database = migrated(database).await;
        let (one, two) = (database.open_again().await, database.open_again().await);
        let (one, two) = tokio::join!(bootstrap(&one, |_| Ok(())), bootstrap(&two, |_| Ok(())));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert!(one.is_some() != two.is_some(), "{one:?} {two:?}");
    }
}

#[tokio::test]
async fn secrets_that_cannot_be_kept_make_nothing() {
    for database in [sqlite().await, postgres().await] {
        let database = migrated(database).await;
        let full =
            bootstrap(&database, |_| Err(Error::new(ErrorCode::Unavailable, "the disk is full"))).await;
        assert_eq!(code(full), Some(ErrorCode::Unavailable));
        assert!(bootstrap(&database, |_| Ok(())).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn all_control_planes_have_one_signing_key() {
    for database in [sqlite().await, postgres().await] {
        let database = migrated(database).await;
        let text = KeyRing::generate();
        let keys = KeyRing::parse(&text).unwrap();
        let (one, two) = (database.open_again().await, database.open_again().await);
        let (one, two) =
            tokio::join!(load_or_create_signing_key(&one, &keys), load_or_create_signing_key(&two, &keys));
        let one = one.unwrap();
        assert_eq!(one.len(), 32);
        assert_eq!(*one, *two.unwrap());
        assert_eq!(*one, *load_or_create_signing_key(&database, &keys).await.unwrap());
        let other = KeyRing::parse(&KeyRing::generate()).unwrap();
        let error = load_or_create_signing_key(&database, &other).await.unwrap_err();
        assert!(error.detail.contains("another master key"), "{error:?}");
    }
}
