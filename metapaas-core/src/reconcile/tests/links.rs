//! Bindings between instances: made, in force, revoked, through the death of control planes.

use metapaas_core::{
    Bound, Denial, Desired, FieldProblem, InstancePath, LinkState, Map, PaasType, PlanError, Planned,
    paas_type,
};

use super::*;
use crate::error::{Error, ErrorCode};
use crate::request::{Actor, ActorKind, Given, Grants};
use crate::role::Pattern;

/// What others keep things in.
#[paas_type(slug = "depot")]
struct Depot {
    #[field(mutable, default = false)]
    is_closed: bool,
}

/// What needs things.
#[paas_type(slug = "shop")]
struct Shop {}

/// A shop's way to a depot.
#[paas_type(parent = Shop, plural = "ways", key = "name")]
struct Way {
    name: String,
    to: InstancePath,
    #[field(default = Map::new())]
    parameters: Map<String>,
    #[field(output)]
    names: Option<Vec<String>>,
}

fn key(bound: &Bound) -> String {
    bound.derive("key").iter().map(|byte| format!("{byte:02x}")).collect()
}

fn offer(depot: &Desired<Depot>, bound: &Bound) -> Result<Map<String>, Denial> {
    if let Some(name) = bound.parameters.keys().find(|name| *name != "hall") {
        return Err(Denial::Invalid(vec![FieldProblem::new(name, "there is `hall`")]));
    }
    if depot.spec.is_closed {
        return Err(Denial::field("hall", "the depot is closed"));
    }
    let address = depot.nodes().iter().find_map(|node| node.main_address());
    let address = address.ok_or_else(|| Denial::Refused("it has no node yet".into()))?;
    Ok(Map::from([("KEY".into(), key(bound)), ("AT".into(), address.to_string())]))
}

fn plugin() -> Plugin {
    Plugin::new("trade", "1.0.0")
        .instance::<Depot>()
        .instance::<Shop>()
        .binding::<Way>()
        .offer(offer)
        .plan(|depot: &Desired<Depot>| {
            let keys: Vec<String> = depot.bound().iter().map(key).collect();
            Ok(vec![NodeSpec::new("hall", 80, json!(keys))])
        })
        .plan_all(|shop: &Desired<Shop>| -> Result<Planned, PlanError> {
            let ready = shop.links().iter().filter_map(|link| match &link.state {
                LinkState::Ready(environment) => Some((link.key.clone(), environment.expose().clone())),
                _ => None,
            });
            let ready: BTreeMap<String, Map<String>> = ready.collect();
            let mut planned = Planned::from(vec![NodeSpec::new("till", 80, json!(ready))]);
            for (key, environment) in &ready {
                let names: Vec<&String> = environment.keys().collect();
                planned.outputs.insert(format!("ways/{key}"), json!({ "names": names }));
            }
            Ok(planned)
        })
        .driver::<Depot>(|| unreachable!("no agent runs here"))
        .driver::<Shop>(|| unreachable!("no agent runs here"))
}

impl World {
    async fn trade(database: TestDatabase) -> Self {
        let world = Self::of(database, plugin()).await;
        world.make(Depot::DESCRIPTOR, None, json!({ "name": "north" })).await;
        world.make(Shop::DESCRIPTOR, None, json!({ "name": "corner" })).await;
        world.pass_and_report(&[]).await;
        world
    }

    /// Work and reports in turn until nothing is left; agents of the types in `silent` do not report.
    async fn pass_and_report(&self, silent: &[&TypeDescriptor]) {
        let mut reconciler = self.reconciler();
        for _ in 0..6 {
            if !self.work(&reconciler).await {
                reconciler = self.reconciler();
            }
            for (ty, name) in [(Depot::DESCRIPTOR, "north"), (Shop::DESCRIPTOR, "corner")] {
                if let Some(row) = self.find(ty, &[name]).await
                    && !silent.iter().any(|one| one.slug == ty.slug)
                {
                    self.report_of(&row).await;
                }
            }
        }
    }

    async fn bind(&self, context: &RequestContext, body: Value) -> Result<Resource, Error> {
        let allowed = authorize(context, Way::DESCRIPTOR, Action::Create);
        let registered = self.store.registry().of(Way::DESCRIPTOR).unwrap();
        let new = validate::create(registered, &allowed, PLATFORM_PROJECT, &body).unwrap();
        let shop = self.find(Shop::DESCRIPTOR, &["corner"]).await.unwrap();
        let options = WriteOptions::default();
        let made = self.store.create(&allowed, registered, Some(&shop), new, &options).await;
        made.map(|made| made.into_row().unwrap())
    }

    async fn try_delete(&self, row: &Resource) -> Result<(), Error> {
        let allowed = authorize(&RequestContext::system("test"), row.ty, Action::Delete);
        let registered = self.store.registry().of(row.ty).unwrap();
        self.store.delete(&allowed, registered, row, &WriteOptions::default()).await.map(drop)
    }

    async fn way(&self, name: &str) -> Option<Resource> {
        self.find(Way::DESCRIPTOR, &["corner", name]).await
    }

    async fn config(&self, ty: &'static TypeDescriptor, name: &str) -> Value {
        let row = self.find(ty, &[name]).await.unwrap();
        let node = self.store.nodes(row.meta.id).await.unwrap().remove(0);
        self.agents.document(node.id, "", Duration::ZERO).await.unwrap().unwrap().config
    }

    async fn accepted(&self) -> Value {
        self.config(Depot::DESCRIPTOR, "north").await
    }

    async fn given(&self) -> Value {
        self.config(Shop::DESCRIPTOR, "corner").await
    }
}

fn system() -> RequestContext {
    RequestContext::system("test")
}

fn to_north(name: &str) -> Value {
    json!({ "name": name, "to": "depot/north" })
}

async fn trades() -> [World; 2] {
    [World::trade(sqlite().await).await, World::trade(postgres().await).await]
}

#[tokio::test]
async fn a_binding_is_active_once_its_credentials_are_accepted_and_gone_once_they_are_not() {
    for world in trades().await {
        let made = world.bind(&system(), to_north("stock")).await.unwrap();
        assert_eq!(made.meta.status, "PENDING");
        world.pass_and_report(&[Depot::DESCRIPTOR]).await;
        let waiting = world.way("stock").await.unwrap();
        assert_eq!(
            (waiting.meta.status.as_str(), &ready(&waiting)["reason"]),
            ("CREATING", &json!("Waiting"))
        );
        assert_eq!(world.given().await, json!({}), "nothing is given that is not accepted");
        let [key] = serde_json::from_value::<[String; 1]>(world.accepted().await).unwrap();

        world.pass_and_report(&[]).await;
        let active = world.way("stock").await.unwrap();
        assert_eq!(active.meta.status, "ACTIVE");
        assert_eq!(active.field("names").unwrap().to_json(), json!(["AT", "KEY"]));
        let given = world.given().await;
        assert_eq!(given["stock"]["KEY"], json!(key));
        assert!(given["stock"]["AT"].as_str().unwrap().ends_with(":80"), "{given}");
        for text in ["SELECT secret FROM metapaas_links", "SELECT document FROM metapaas_nodes"] {
            assert!(world.database.text(text).await.unwrap().starts_with("v1:"), "{text}");
        }
        let depot = world.find(Depot::DESCRIPTOR, &["north"]).await.unwrap();
        let refused = world.try_delete(&depot).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::InUse);
        assert!(refused.detail.contains("shop/corner/ways/stock"), "{}", refused.detail);

        world.delete(&active).await;
        world.pass_and_report(&[Depot::DESCRIPTOR]).await;
        let going = world.way("stock").await.unwrap();
        assert_eq!(going.meta.status, "DELETING");
        assert!(ready(&going)["message"].as_str().unwrap().contains("revoke"), "{}", ready(&going));
        assert_eq!((world.given().await, world.accepted().await), (json!({}), json!([])));
        world.pass_and_report(&[]).await;
        assert!(world.way("stock").await.is_none());
        assert_eq!(world.database.int("SELECT count(*) FROM metapaas_links").await, Some(0));
        let depot = world.find(Depot::DESCRIPTOR, &["north"]).await.unwrap();
        world.try_delete(&depot).await.unwrap();
    }
}

#[tokio::test]
async fn what_goes_takes_its_bindings_along() {
    for world in trades().await {
        world.bind(&system(), to_north("stock")).await.unwrap();
        world.pass_and_report(&[]).await;
        assert_ne!(world.accepted().await, json!([]));
        world.delete(&world.find(Shop::DESCRIPTOR, &["corner"]).await.unwrap()).await;
        world.pass_and_report(&[]).await;
        assert!(world.find(Shop::DESCRIPTOR, &["corner"]).await.is_none());
        assert_eq!(world.accepted().await, json!([]));
        assert_eq!(world.database.int("SELECT count(*) FROM metapaas_links").await, Some(0));
        world.delete(&world.find(Depot::DESCRIPTOR, &["north"]).await.unwrap()).await;
        world.pass_and_report(&[]).await;
        assert!(world.find(Depot::DESCRIPTOR, &["north"]).await.is_none());
    }
}

#[tokio::test]
async fn a_binding_leads_to_what_is_there_offers_something_and_may_be_changed() {
    let actor = |patterns: [&str; 2]| {
        let patterns = patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        let grants = Grants::new([(PLATFORM_PROJECT, Given { role: None, patterns })]);
        let (kind, id, name) = (ActorKind::User, Uuid::now_v7(), "kim".into());
        RequestContext { actor: Actor { kind, id, name, grants: Arc::new(grants) }, request_id: "r".into() }
    };
    for world in trades().await {
        for (body, pointer) in [
            (json!({ "to": "depot/south" }), "/to"),
            (json!({ "to": "barn/north" }), "/to"),
            (json!({ "to": "shop/corner" }), "/to"),
            (json!({ "to": "depot/north", "parameters": { "floor": "2" } }), "/parameters/floor"),
        ] {
            let mut named = json!({ "name": "stock" });
            named.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
            let refused = world.bind(&system(), named).await.unwrap_err();
            let pointers: Vec<&str> = refused.problems.iter().map(|one| one.pointer.as_str()).collect();
            assert_eq!((refused.code, pointers), (ErrorCode::InvalidRequest, vec![pointer]), "{body}");
        }
        // Not seen is as if it were not there; seen and not to be changed is forbidden.
        let refused = world.bind(&actor(["shop.*.*", "shop.*.*"]), to_north("stock")).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::InvalidRequest, "{refused:?}");
        let refused = world.bind(&actor(["shop.*.*", "depot.*.read"]), to_north("stock")).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Forbidden, "{refused:?}");
        assert_eq!(world.database.int("SELECT count(*) FROM metapaas_links").await, Some(0));
        world.bind(&actor(["shop.*.*", "depot.*.*"]), to_north("stock")).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_no_longer_offered_is_an_error_of_the_binding_alone() {
    for world in trades().await {
        world.bind(&system(), to_north("stock")).await.unwrap();
        world.pass_and_report(&[]).await;
        world.database.run("UPDATE depot_instances SET is_closed = true").await;
        let depot = world.find(Depot::DESCRIPTOR, &["north"]).await.unwrap();
        world.store.wake(depot.meta.id, "depot").await.unwrap();
        let shop = world.find(Shop::DESCRIPTOR, &["corner"]).await.unwrap();
        world.store.wake(shop.meta.id, "shop").await.unwrap();
        world.pass_and_report(&[]).await;
        let way = world.way("stock").await.unwrap();
        assert_eq!((way.meta.status.as_str(), &ready(&way)["reason"]), ("ERROR", &json!("OFFER_REFUSED")));
        assert_eq!(world.find(Shop::DESCRIPTOR, &["corner"]).await.unwrap().meta.status, "ACTIVE");
    }
}

#[tokio::test]
async fn a_binding_and_a_delete_of_what_it_leads_to_never_both_win() {
    for world in trades().await {
        for round in 0..10 {
            let name = format!("d{round}");
            let depot = world.make(Depot::DESCRIPTOR, None, json!({ "name": name })).await;
            let body = json!({ "name": name, "to": format!("depot/{name}") });
            let by = system();
            let (deleted, bound) = tokio::join!(world.try_delete(&depot), world.bind(&by, body));
            match (deleted, bound) {
                (Ok(()), bound) => assert_eq!(bound.unwrap_err().code, ErrorCode::InvalidRequest),
                (Err(refused), bound) => {
                    // The new generation may have come between the reading and the delete.
                    let expected = [ErrorCode::InUse, ErrorCode::PreconditionFailed];
                    assert!(expected.contains(&refused.code), "{refused:?}");
                    bound.unwrap();
                }
            }
        }
    }
}
