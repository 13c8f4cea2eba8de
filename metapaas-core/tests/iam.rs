//! Identity: who comes in, who may give what to whom, how fast a right is gone.

mod audit;
mod bootstrap;
mod brute_force;
mod check;
mod explain;
mod followers;
mod lists;
mod members;
mod owners;
mod roles;
mod service_accounts;
mod sessions;

use std::sync::Arc;

use metapaas_core::__private::{instance, of};
use metapaas_core::action::{ActionDescriptor, ActionRun};
use metapaas_core::authn::{AuthSettings, Authenticator};
use metapaas_core::authz::{Allowed, authorize};
use metapaas_core::descriptor::{Action, FieldDescriptor, TypeDescriptor};
use metapaas_core::error::{Error, ErrorCode};
use metapaas_core::iam::{
    AUDIT, AuditFilter, AuditRecord, BINDINGS, Binding, Bootstrap, CreatedToken, Iam, Origin, PROJECTS,
    PageAt, TokenPair, USERS, User, bootstrap,
};
use metapaas_core::migrate::{PluginMigrations, apply};
use metapaas_core::plugin::Plugin;
use metapaas_core::registry::Registry;
use metapaas_core::request::{Actor, RequestContext};
use metapaas_core::role::{PLATFORM_PROJECT, Role};
use metapaas_core::testing::{TestDatabase, postgres, sqlite};
use serde_json::{Value, json};
use uuid::Uuid;

const KEY: &[u8] = b"a signing key of thirty-two bytes";
const PASSWORD: &str = "a password for tests";

fn all() -> PageAt {
    PageAt::first(100)
}

/// An installation after its first start.
struct World {
    iam: Iam,
    registry: Arc<Registry>,
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
        Self::with(database, AuthSettings::default()).await
    }

    async fn with(database: TestDatabase, settings: AuthSettings) -> Self {
        let database = migrated(database).await;
        let secrets = bootstrap(&database, |_| Ok(())).await.unwrap().unwrap();
        let authenticator = Authenticator::new(database.clone(), KEY).with_settings(settings);
        Self { iam: Iam::new(Arc::new(authenticator)), registry: Arc::new(registry()), secrets, database }
    }

    async fn who(&self, bearer: &str) -> Result<Actor, Error> {
        self.iam.authenticator().authenticate(bearer).await
    }

    /// The administrator's local service account, which needs no password.
    async fn admin(&self) -> Caller {
        Caller(self.who(&self.secrets.token).await.unwrap())
    }

    async fn login(&self, user: &str) -> TokenPair {
        self.try_login(user, PASSWORD).await.unwrap()
    }

    async fn try_login(&self, user: &str, password: &str) -> Result<TokenPair, Error> {
        self.iam.login(user, password, &origin()).await
    }

    async fn token(&self, body: &Value) -> Result<TokenPair, Error> {
        self.iam.token(body, &origin()).await
    }

    async fn refresh(&self, token: &str) -> Result<TokenPair, Error> {
        self.iam.refresh(token, &origin()).await
    }

    async fn logout(&self, bearer: &str) -> Result<(), Error> {
        let who = self.iam.authenticator().identify(bearer).await?;
        self.iam.logout(&who, &"test".into()).await
    }

    async fn update_user(&self, allowed: &Allowed, key: &str, body: &Value) -> Result<User, Error> {
        self.iam.update_user(&self.registry, allowed, None, key, body).await
    }

    async fn create_binding(&self, allowed: &Allowed, body: &Value) -> Result<Binding, Error> {
        self.iam.create_binding(&self.registry, allowed, body).await
    }

    async fn create_token(
        &self,
        allowed: &Allowed,
        account: &str,
        project: Option<Uuid>,
        body: &Value,
    ) -> Result<CreatedToken, Error> {
        self.iam.create_token(&self.registry, allowed, account, project, body).await
    }

    async fn audit(&self) -> Vec<AuditRecord> {
        let allowed = self.admin().await.may(&AUDIT, Action::List);
        self.iam.list_audit(&allowed, &AuditFilter::default(), all()).await.unwrap().items
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
        let body = json!({"name": name, "password": PASSWORD, "must_change_password": false});
        self.iam.create_user(&allowed, &body).await.unwrap().user.id
    }

    async fn bind(&self, user: &str, role: &str, project: Uuid) -> Binding {
        let allowed = self.admin().await.may(&BINDINGS, Action::Create);
        self.create_binding(&allowed, &binding(user, role, project)).await.unwrap()
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
        let bindings = self.iam.list_bindings(&allowed, Some(PLATFORM_PROJECT), all()).await.unwrap();
        bindings.items.into_iter().find(|binding| binding.principal.name == principal).unwrap()
    }

    /// Runs SQL that differs only in how a time of long ago is written.
    async fn run_with_past(&self, sql: &str) {
        let past = if self.database.file().is_some() { "1000000" } else { "'2001-01-01T00:00:00Z'" };
        self.database.run(&sql.replace("PAST", past)).await;
    }
}

fn origin() -> Origin {
    Origin { address: Some(std::net::IpAddr::from([192, 0, 2, 1])), request_id: "test".into() }
}

static FIELDS: [FieldDescriptor; 2] = [
    of::<String>().field("greeting", "").mutable(),
    of::<String>().field("theme", "").mutable().iam(Role::Owner),
];
static SITE: TypeDescriptor = TypeDescriptor { fields: &FIELDS, ..instance("Site", "site", "") };

fn registry() -> Registry {
    let mut plugin = Plugin::new("site", "1.0.0");
    plugin.types.push(&SITE);
    let run = ActionRun::Declared(Arc::new(|spec, _| Ok(spec.clone())));
    let restart = ActionDescriptor { verb: "restart", doc: "", parameters: Vec::new(), run };
    plugin.actions.push((&SITE, restart));
    Registry::new(vec![plugin]).unwrap()
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
