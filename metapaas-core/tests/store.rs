//! The store: what goes in comes out again, on both databases, whoever else is at it.

mod arbitrary;
mod concurrency;
mod events;
mod hooks;
mod hostile;
mod lists;
mod operations;
mod quotas;
mod references;
mod roundtrip;
mod rows;
mod sqlite;
mod unique;
mod watches;

use std::sync::Arc;

use metapaas_core::__private::{instance, of};
use metapaas_core::FieldType;
use metapaas_core::authz::{Allowed, authorize};
use metapaas_core::descriptor::{Action, FieldDescriptor, TypeDescriptor};
use metapaas_core::error::{Error, ErrorCode};
use metapaas_core::plugin::Plugin;
use metapaas_core::registry::RegisteredType;
use metapaas_core::request::{Actor, ActorKind, Grants, RequestContext};
use metapaas_core::resource::Resource;
use metapaas_core::role::Role;
use metapaas_core::store::{Locator, Store, WriteOptions, Written};
use metapaas_core::testing::{self, TestDatabase, postgres, sqlite};
use metapaas_core::validate::{self, UpdateMode};
use serde_json::Value;
use uuid::Uuid;

const ONE: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001);
const TWO: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0002);

/// A database with two projects and a store over some types.
struct World {
    database: TestDatabase,
    store: Arc<Store>,
}

async fn worlds(types: &[&'static TypeDescriptor]) -> [World; 2] {
    [World::new(sqlite().await, types).await, World::new(postgres().await, types).await]
}

fn plugin(types: &[&'static TypeDescriptor]) -> Plugin {
    let mut plugin = Plugin::new("test", "1.0.0");
    plugin.types.extend(types);
    plugin
}

/// A field without options.
const fn field<T: FieldType>(name: &'static str) -> FieldDescriptor {
    of::<T>().field(name, "")
}

/// A type below `parent` without fields.
fn below(name: &'static str, plural: &'static str, parent: &'static TypeDescriptor) -> TypeDescriptor {
    TypeDescriptor { plural, parent: Some(parent), ..instance(name, parent.slug, "") }
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

impl World {
    async fn new(database: TestDatabase, types: &[&'static TypeDescriptor]) -> Self {
        let store = testing::store(&database, vec![plugin(types)]).await;
        testing::project(&database, ONE, "one").await;
        testing::project(&database, TWO, "two").await;
        Self { database, store }
    }

    fn of(&self, ty: &'static TypeDescriptor) -> &RegisteredType {
        self.store.registry().of(ty).unwrap()
    }

    async fn make(&self, ty: &'static TypeDescriptor, body: &Value) -> Result<Resource, Error> {
        self.make_in(ONE, ty, None, body).await
    }

    async fn make_below(
        &self,
        parent: &Resource,
        ty: &'static TypeDescriptor,
        body: &Value,
    ) -> Result<Resource, Error> {
        self.make_in(parent.meta.project_id, ty, Some(parent), body).await
    }

    async fn make_in(
        &self,
        project: Uuid,
        ty: &'static TypeDescriptor,
        parent: Option<&Resource>,
        body: &Value,
    ) -> Result<Resource, Error> {
        let allowed = owner(ty, Action::Create);
        let new = validate::create(self.of(ty), &allowed, project, body)?;
        self.store.create(&allowed, self.of(ty), parent, new, &WriteOptions::default()).await.map(row)
    }

    async fn read(&self, ty: &'static TypeDescriptor, keys: &[&str]) -> Result<Resource, Error> {
        self.store.get(&owner(ty, Action::Read), self.of(ty), &locator(keys)).await
    }

    /// The row as it is now.
    async fn again(&self, row: &Resource) -> Resource {
        let mut keys = vec![row.meta.id.to_string()];
        match row.ty.depth() {
            0 => {}
            1 => keys.insert(0, row.meta.instance_id.to_string()),
            _ => {
                keys.insert(0, row.meta.parent_id.to_string());
                keys.insert(0, row.meta.instance_id.to_string());
            }
        }
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        self.read(row.ty, &keys).await.unwrap()
    }

    async fn change(&self, row: &Resource, body: &Value, mode: UpdateMode) -> Result<Resource, Error> {
        let allowed = owner(row.ty, Action::Update);
        let stored = self.store.reveal(row).unwrap();
        let change = validate::update(self.of(row.ty), &allowed, row, &stored, body, mode)?;
        let options = WriteOptions::default();
        self.store.update(&allowed, self.of(row.ty), row, change, &options).await.map(self::row)
    }

    async fn patch(&self, row: &Resource, body: &Value) -> Result<Resource, Error> {
        self.change(row, body, UpdateMode::Merge).await
    }

    /// All rows of an instance type.
    async fn all(&self, ty: &'static TypeDescriptor) -> Vec<Resource> {
        let page = self.store.list(&owner(ty, Action::List), self.of(ty), None, None, None, 1000).await;
        page.unwrap().items
    }

    /// The row on its way out, or as it was when nothing is left of it.
    async fn delete(&self, row: &Resource) -> Result<Resource, Error> {
        let allowed = owner(row.ty, Action::Delete);
        let written = self.store.delete(&allowed, self.of(row.ty), row, &WriteOptions::default()).await?;
        Ok(written.into_row().unwrap_or_else(|| row.clone()))
    }
}

/// The row that a change has left.
fn row(written: Written) -> Resource {
    written.into_row().expect("a change that was made now")
}

fn locator(keys: &[&str]) -> Locator {
    Locator { keys: keys.iter().map(|key| (*key).to_owned()).collect(), project: None }
}

/// What the control plane itself may do.
fn owner(ty: &'static TypeDescriptor, action: Action) -> Allowed {
    authorize(&RequestContext::system("test"), ty, action)
}

/// What somebody with these roles may do.
fn member(roles: &[(Uuid, Role)], ty: &'static TypeDescriptor, action: Action) -> Allowed {
    let grants = Arc::new(Grants::new(roles.iter().copied()));
    let actor = Actor { kind: ActorKind::User, id: Uuid::from_u128(7), name: "somebody".into(), grants };
    authorize(&RequestContext { actor, request_id: "test".into() }, ty, action)
}

/// Code, pointers of the problems.
fn refusal<T>(result: Result<T, Error>) -> (ErrorCode, Vec<String>) {
    let error = result.err().expect("it should have been refused");
    (error.code, error.problems.into_iter().map(|problem| problem.pointer).collect())
}

fn json(row: &Resource) -> Value {
    serde_json::to_value(row).unwrap()
}
