//! Plans that make rows, look at nodes, set outputs and have problems.

use metapaas_core::{Desired, NewRow, PaasType, PlanError, Planned, Problem, paas_type};

use super::*;
use crate::action::ActionCall;

/// A newspaper.
#[paas_type(slug = "press")]
struct Press {
    #[field(mutable)]
    text: String,
    /// The newest edition that is printed.
    #[field(output)]
    current: Option<u32>,
}

/// What the text was at one time.
#[paas_type(parent = Press, plural = "editions", key = "number")]
struct Edition {
    number: u32,
    text: String,
    #[field(output)]
    pages: Option<u32>,
    #[field(output)]
    state: Option<String>,
}

fn plan(press: &Desired<Press>) -> Result<Planned, PlanError> {
    let editions = press.children::<Edition>()?;
    let newest = editions.last().map(|edition| &edition.spec);
    let mut planned = Planned::default();
    if newest.is_none_or(|edition| edition.text != press.spec.text) {
        let number = newest.map_or(0, |edition| edition.number) + 1;
        let (text, pages, state) = (press.spec.text.clone(), None, Some("new".to_owned()));
        planned.rows.push(NewRow::of(&Edition { number, text, pages, state }));
        let old = editions.iter().rev().skip(1);
        planned.gone = old.map(|edition| format!("editions/{}", edition.spec.number)).collect();
    }
    let texts: Vec<&str> = editions.iter().map(|edition| edition.spec.text.as_str()).collect();
    planned.nodes.push(NodeSpec::new("printer", 80, json!(texts)));
    let is_printed = press.nodes().iter().any(|node| node.is_healthy() && node.is_current);
    if let Some(edition) = newest.filter(|edition| is_printed && edition.pages.is_some()) {
        planned.outputs.insert("current".into(), json!(edition.number));
        planned.outputs.insert(format!("editions/{}", edition.number), json!({ "state": "printed" }));
    }
    if let Some(edition) = newest.filter(|edition| edition.pages.is_none()) {
        let message = format!("edition {} is not printed", edition.number);
        planned.pending = Some(Problem { reason: "Unprinted", message });
    }
    if let Some(edition) = newest.filter(|edition| edition.text == "nonsense") {
        let message = "nobody reads that".to_owned();
        planned.problem = Some(Problem { reason: "Nonsense", message: message.clone() });
        let (item, code) = (format!("editions/{}", edition.number), "NONSENSE".to_owned());
        planned.errors.push(ItemError { item, code, message });
    }
    Ok(planned)
}

fn press() -> Plugin {
    Plugin::new("press", "1.0.0")
        .instance::<Press>()
        .managed_child::<Edition>()
        .action::<Press>("reprint", "Prints the oldest edition again.", |press, call: &ActionCall| {
            let editions = call.children::<Edition>()?;
            let oldest = editions.first().map(|edition| edition.spec.text.clone());
            Ok(Press { text: oldest.unwrap_or_default(), ..press })
        })
        .plan_all(plan)
        .driver::<Press>(|| unreachable!("no agent runs here"))
}

impl World {
    async fn press(&self) -> Resource {
        self.find(Press::DESCRIPTOR, &["daily"]).await.unwrap()
    }

    async fn edition(&self, number: &str) -> Resource {
        self.find(Edition::DESCRIPTOR, &["daily", number]).await.unwrap()
    }

    /// The printer applies its document and counts the pages of all editions.
    async fn print(&self, pages: &[(&str, u32)]) {
        let node = self.store.nodes(self.press().await.meta.id).await.unwrap().remove(0);
        let document = self.agents.document(node.id, "", Duration::ZERO).await.unwrap().unwrap();
        let facts = pages.iter().map(|(edition, pages)| {
            (format!("editions/{edition}"), json!({ "pages": pages, "number": 7, "unknown": true }))
        });
        let report = NodeReport {
            protocol: PROTOCOL_VERSION,
            applied_generation: document.generation,
            applied_digest: document.digest,
            health: Health::Healthy,
            message: String::new(),
            facts: facts.collect(),
            errors: Vec::new(),
            removed: false,
            agent_version: "test".into(),
            last_lines: Vec::new(),
        };
        self.agents.report(node.id, node.id, report).await.unwrap();
        assert!(self.work(&self.reconciler()).await);
    }

    async fn say(&self, text: &str) {
        let (row, registered) = (self.press().await, self.store.registry().of(Press::DESCRIPTOR).unwrap());
        let allowed = authorize(&RequestContext::system("test"), row.ty, Action::Update);
        let stored = self.store.reveal(&row).unwrap();
        let body = json!({ "text": text });
        let change = validate::update(registered, &allowed, &row, &stored, &body, UpdateMode::Merge).unwrap();
        self.store.update(&allowed, registered, &row, change, &WriteOptions::default()).await.unwrap();
        assert!(self.work(&self.reconciler()).await);
    }
}

fn values(row: &Resource, names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| row.field(name).unwrap().to_json()).collect()
}

#[tokio::test]
async fn a_plan_makes_rows_and_nodes_tell_of_them() {
    for database in [sqlite().await, postgres().await] {
        let world = World::of(database, press()).await;
        world.make(Press::DESCRIPTOR, None, json!({ "name": "daily", "text": "one" })).await;
        assert!(world.work(&world.reconciler()).await);
        let first = world.edition("1").await;
        assert_eq!(values(&first, &["text", "pages", "state"]), [json!("one"), json!(null), json!("new")]);
        assert_eq!(first.meta.status, "CREATING");

        world.print(&[("1", 4)]).await;
        let first = world.edition("1").await;
        let expected = [json!(1), json!("one"), json!(4), json!("printed")];
        assert_eq!(values(&first, &["number", "text", "pages", "state"]), expected);
        assert_eq!(first.meta.status, "ACTIVE");
        let press = world.press().await;
        assert_eq!((values(&press, &["current"]), press.meta.status.as_str()), (vec![json!(1)], "ACTIVE"));

        world.say("two").await;
        assert_eq!(values(&world.press().await, &["current"]), [json!(1)], "the second is not printed yet");
        world.print(&[("1", 4)]).await;
        let press = world.press().await;
        assert_eq!(ready(&press)["reason"], "Unprinted", "its node is as planned, and still");
        assert_eq!(press.meta.status, "UPDATING");
        assert!(press.meta.observed_generation < press.meta.generation);
        world.print(&[("1", 4), ("2", 5)]).await;
        assert_eq!(values(&world.press().await, &["current"]), [json!(2)]);
        let count = world.database.int("SELECT count(*) FROM press_editions").await;
        assert_eq!(count, Some(2), "each change makes one");

        world.say("three").await;
        world.print(&[("2", 5), ("3", 6)]).await;
        let press = world.press().await;
        assert_eq!((values(&press, &["current"]), press.meta.status.as_str()), (vec![json!(3)], "ACTIVE"));
        let numbers = world.database.int("SELECT min(number) * 10 + max(number) FROM press_editions").await;
        assert_eq!(numbers, Some(23), "the plan has given the first up");
    }
}

#[tokio::test]
async fn a_problem_is_an_error_and_nodes_are_kept_as_planned() {
    for database in [sqlite().await, postgres().await] {
        let world = World::of(database, press()).await;
        world.make(Press::DESCRIPTOR, None, json!({ "name": "daily", "text": "one" })).await;
        assert!(world.work(&world.reconciler()).await);
        world.print(&[("1", 4)]).await;
        world.say("nonsense").await;
        world.print(&[("1", 4)]).await;
        let press = world.press().await;
        assert_eq!(
            (press.meta.status.as_str(), ready(&press)["reason"].as_str()),
            ("ERROR", Some("Nonsense"))
        );
        assert_eq!(world.store.nodes(press.meta.id).await.unwrap().len(), 1);
        let edition = world.edition("2").await;
        assert_eq!(values(&edition, &["text"]), [json!("nonsense")]);
        world.say("three").await;
        world.print(&[("3", 1)]).await;
        let press = world.press().await;
        assert_eq!((press.meta.status.as_str(), values(&press, &["current"])), ("ACTIVE", vec![json!(3)]));
    }
}

#[tokio::test]
async fn an_action_sees_the_rows_below() {
    let world = World::of(sqlite().await, press()).await;
    world.make(Press::DESCRIPTOR, None, json!({ "name": "daily", "text": "one" })).await;
    assert!(world.work(&world.reconciler()).await);
    world.say("two").await;
    let (row, registered) = (world.press().await, world.store.registry().of(Press::DESCRIPTOR).unwrap());
    let allowed = authorize(&RequestContext::system("test"), row.ty, Action::Custom("reprint"));
    let (stored, action) = (world.store.reveal(&row).unwrap(), registered.action("reprint").unwrap());
    let tree = Arc::new(world.store.desired_tree(&row).await.unwrap());
    let given = validate::parameters(action, &json!({})).unwrap();
    let input = validate::ActionInput { parameters: given, tree, now: now() };
    let acted = validate::action(registered, &allowed, &row, &stored, action, input).unwrap();
    assert_eq!(acted.change.fields, [(0, json!("one"))]);
}

#[test]
fn settings_are_of_the_form_that_a_plugin_declares() {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Ink {
        #[serde(rename = "colour")]
        _colour: String,
    }
    let given = |plugin: &str, value: Value| {
        let plugins = vec![press().settings::<Ink>(), Plugin::new("plain", "1.0.0")];
        let registry = crate::registry::Registry::new(plugins).unwrap();
        registry.with_settings(&BTreeMap::from([(plugin.to_owned(), value)])).map(drop)
    };
    given("press", json!({ "colour": "red" })).unwrap();
    for (plugin, value, expected) in [
        ("press", json!({ "color": "red" }), "color"),
        ("plain", json!({}), "no settings"),
        ("pres", json!({}), "no such plugin"),
    ] {
        let mistakes = given(plugin, value).unwrap_err().concat();
        assert!(mistakes.contains(expected), "{mistakes}");
    }
}
