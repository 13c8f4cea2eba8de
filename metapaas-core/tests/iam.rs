//! Identity: who comes in, who may give what to whom, how fast a right is gone.

mod bootstrap;
mod check;
mod followers;
mod members;
mod owners;
mod service_accounts;
mod sessions;

use std::sync::Arc;

use metapaas_core::authn::Authenticator;
use metapaas_core::authz::{Allowed, authorize};
use metapaas_core::descriptor::{Action, TypeDescriptor};
use metapaas_core::error::{Error, ErrorCode};
use metapaas_core::iam::{BINDINGS, Binding, Bootstrap, Iam, PROJECTS, PageAt, TokenPair, USERS, bootstrap};
use metapaas_core::migrate::{PluginMigrations, apply};
use metapaas_core::request::{Actor, RequestContext};
use metapaas_core::role::PLATFORM_PROJECT;
use metapaas_core::testing::{TestDatabase, postgres, sqlite};
use serde_json::{Value, json};
use uuid::Uuid;

const KEY: &[u8] = b"a signing key of thirty-two bytes";
const PASSWORD: &str = "a password for tests";
const ALL: PageAt = PageAt { after: None, limit: 100 };

/// An installation after its first start.
struct World {
    iam: Iam,
    secrets: Bootstrap,
    database: TestDatabase,
}

async fn worlds() -> [World; 2] {
    [World::new(sqlite().await).await, World::new(postgres().await).await]
}

async fn migrated(database: TestDatabase) -> TestDatabase {
    apply(&database, &[PluginMigrations::framework()]).await.unwrap();
    database
}

impl World {
    async fn new(database: TestDatabase) -> Self {
        let database = migrated(database).await;
        let secrets = bootstrap(&database, |_| Ok(())).await.unwrap().unwrap();
        let iam = Iam::new(Arc::new(Authenticator::new(database.clone(), KEY)));
        Self { iam, secrets, database }
    }

    async fn who(&self, bearer: &str) -> Result<Actor, Error> {
        self.iam.authenticator().authenticate(bearer).await
    }

    /// The administrator's local service account, which needs no password.
    async fn admin(&self) -> Caller {
        Caller(self.who(&self.secrets.token).await.unwrap())
    }

    async fn login(&self, user: &str) -> TokenPair {
        self.iam.login(user, PASSWORD).await.unwrap()
    }

    /// A user as it is now.
    async fn caller(&self, user: &str) -> Caller {
        Caller(self.who(&self.login(user).await.access_token).await.unwrap())
    }

    async fn project(&self, name: &str) -> Uuid {
        let allowed = self.admin().await.may(&PROJECTS, Action::Create);
        self.iam.create_project(&allowed, &json!({"name": name})).await.unwrap().id
    }

    async fn user(&self, name: &str) -> Uuid {
        let allowed = self.admin().await.may(&USERS, Action::Create);
        let body = json!({"name": name, "password": PASSWORD});
        self.iam.create_user(&allowed, &body).await.unwrap().user.id
    }

    async fn bind(&self, user: &str, role: &str, project: Uuid) -> Binding {
        let allowed = self.admin().await.may(&BINDINGS, Action::Create);
        self.iam.create_binding(&allowed, &binding(user, role, project)).await.unwrap()
    }

    /// A new user with a role.
    async fn member(&self, name: &str, role: &str, project: Uuid) -> Caller {
        self.user(name).await;
        self.bind(name, role, project).await;
        self.caller(name).await
    }

    /// The binding by which a user or service account owns the platform.
    async fn platform_binding(&self, principal: &str) -> Binding {
        let allowed = self.admin().await.may(&BINDINGS, Action::List);
        let bindings = self.iam.list_bindings(&allowed, Some(PLATFORM_PROJECT), ALL).await.unwrap();
        bindings.items.into_iter().find(|binding| binding.principal.name == principal).unwrap()
    }

    /// Runs SQL that differs only in how a time of long ago is written.
    async fn run_with_past(&self, sql: &str) {
        let past = if self.database.file().is_some() { "1000000" } else { "'2001-01-01T00:00:00Z'" };
        self.database.run(&sql.replace("PAST", past)).await;
    }
}

/// Somebody who makes requests.
struct Caller(Actor);

impl Caller {
    fn may(&self, ty: &'static TypeDescriptor, action: Action) -> Allowed {
        authorize(&RequestContext { actor: self.0.clone(), request_id: "test".into() }, ty, action)
    }
}

fn binding(user: &str, role: &str, project: Uuid) -> Value {
    json!({"project_id": project, "principal": {"kind": "user", "name": user}, "role": role})
}

fn code<T>(result: Result<T, Error>) -> Option<ErrorCode> {
    result.err().map(|error| error.code)
}

/// The reason of an `Unauthenticated`.
fn reason<T>(result: Result<T, Error>) -> String {
    let error = result.err().expect("it should have been refused");
    assert_eq!(error.code, ErrorCode::Unauthenticated, "{error:?}");
    error.extra["reason"].as_str().unwrap().to_owned()
}
