//! What an app's plan answers, step by step from the first release to a rollback.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::DateTime;
use metapaas_core::action::{ActionCall, ActionRun};
use metapaas_core::plan::{DesiredMeta, DesiredRow, DesiredTree};
use metapaas_core::registry::Registry;
use metapaas_core::{
    DnsName, InstancePath, Link, LinkState, Map, ObservedNode, PaasType, Planned, Secret, Spec, validate,
};
use metapaas_plugin_app::{App, Binding, EnvVar, Release, plugin};
use serde_json::{Value, json};
use uuid::Uuid;

/// An app with what is known of it. Each step plans, and takes what was planned for done.
struct World {
    registry: Registry,
    app: App,
    env: Vec<EnvVar>,
    releases: Vec<Release>,
    nodes: Vec<ObservedNode>,
    bindings: Vec<Binding>,
    links: Vec<Link>,
    uploads: Vec<String>,
}

impl World {
    fn new() -> Self {
        let app = App {
            repo: "https://git.example.com/a".into(),
            git_ref: "main".into(),
            subdir: String::new(),
            runtime: None,
            deploy_key: None,
            command: None,
            replicas: 2,
            cpu: 1.0,
            ram_mb: 256,
            health_path: None,
            domains: Vec::new(),
            build_token: Some(Secret::new("token".into())),
            url: None,
            port: None,
            release: None,
            deploys: None,
            restarts: None,
            rollbacks: None,
            rollback_to: None,
            stopped: None,
        };
        let registry = Registry::new(vec![plugin()]).unwrap();
        let (env, releases, nodes) = (Vec::new(), Vec::new(), Vec::new());
        let (bindings, links, uploads) = (Vec::new(), Vec::new(), Vec::new());
        Self { registry, app, env, releases, nodes, bindings, links, uploads }
    }

    fn tree(&self) -> Arc<DesiredTree> {
        let env = self.env.iter().map(|one| row(one, &one.key)).collect();
        let releases = self.releases.iter().map(|one| row(one, &one.number.to_string())).collect();
        let ids = self.links.iter().map(|link| link.id);
        let bindings = self.bindings.iter().zip(ids).map(|(one, id)| {
            let mut row = row(one, one.name.as_str());
            row.meta.id = id;
            row
        });
        let bindings = bindings.collect();
        let rows =
            vec![(EnvVar::DESCRIPTOR, env), (Binding::DESCRIPTOR, bindings), (Release::DESCRIPTOR, releases)];
        let mut tree = DesiredTree::new(row(&self.app, "shop"), rows);
        tree.nodes.clone_from(&self.nodes);
        tree.ties.links.clone_from(&self.links);
        tree.uploads.clone_from(&self.uploads);
        Arc::new(tree)
    }

    /// Plans until no more rows are wanted.
    fn plan(&mut self) -> Planned {
        loop {
            let planned = self.registry.plan("app").unwrap()(self.tree()).unwrap();
            assert!(planned.rows.len() <= 1);
            let Some(row) = planned.rows.first() else {
                self.app.release =
                    planned.outputs["release"].as_u64().map(|number| number.try_into().unwrap());
                return planned;
            };
            self.releases.retain(|one| !planned.gone.contains(&format!("releases/{}", one.number)));
            self.releases.push(Release::from_spec(&row.spec).unwrap());
        }
    }

    /// The build of the newest release came to this.
    fn built(&mut self, image: Option<&str>) {
        let release = self.releases.last_mut().unwrap();
        release.image = image.map(str::to_owned);
        release.commit = Some("c".into());
        release.language = Some("python".into());
        release.default_command = Some(vec!["python3".into(), "app.py".into()]);
        release.message = image.is_none().then(|| "app.py is missing".to_owned());
    }

    /// All nodes that are planned are there; those of `sick` are unhealthy, the rest healthy.
    fn nodes(&mut self, planned: &Planned, sick: &str) {
        let node = |place: &str| ObservedNode {
            id: Uuid::nil(),
            place: place.to_owned(),
            address: Some([127, 64, 0, 1].into()),
            port: 8000,
            health: if place.starts_with(sick) && !sick.is_empty() { "unhealthy" } else { "healthy" }.into(),
            message: "it crashed".into(),
            is_leaving: false,
            is_current: true,
            applied_generation: 1,
            facts: BTreeMap::new(),
        };
        self.nodes = planned.nodes.iter().map(|spec| node(&spec.place)).collect();
    }

    fn bind(&mut self, name: &str, prefix: &str, state: LinkState) {
        self.links.push(Link { id: Uuid::now_v7(), key: name.into(), state });
        self.bindings.push(Binding {
            name: DnsName::new(name).unwrap(),
            to: InstancePath::new("s3/data").unwrap(),
            parameters: Map::new(),
            prefix: prefix.into(),
            env_names: None,
        });
    }

    fn act(&mut self, verb: &str, parameters: Value) -> bool {
        let action = self.registry.root("app").unwrap().action(verb).unwrap();
        let parameters = validate::parameters(action, &parameters).unwrap();
        let ActionRun::Declared(run) = &action.run else { panic!("it is declared") };
        let tree = self.tree();
        let (meta, status, now) = (tree.instance.meta.clone(), "ACTIVE".into(), DateTime::UNIX_EPOCH);
        let answer = run(&self.app.to_spec(), &ActionCall { meta, status, parameters, now, tree });
        answer.map(|spec: Spec| self.app = App::from_spec(&spec).unwrap()).is_ok()
    }
}

fn row<T: PaasType>(value: &T, key: &str) -> DesiredRow {
    let meta = DesiredMeta {
        id: Uuid::nil(),
        parent_id: Uuid::nil(),
        project_id: Uuid::nil(),
        key: key.to_owned(),
        version: String::new(),
        created_at: DateTime::UNIX_EPOCH,
    };
    DesiredRow { meta, spec: value.to_spec() }
}

fn places(planned: &Planned) -> Vec<&str> {
    planned.nodes.iter().map(|node| node.place.as_str()).collect()
}

fn state(planned: &Planned, release: u32) -> &str {
    planned.outputs[&format!("releases/{release}")]["state"].as_str().unwrap()
}

/// An app whose first release serves.
fn serving() -> World {
    let mut world = World::new();
    let planned = world.plan();
    assert_eq!((places(&planned), state(&planned, 1)), (vec!["build-0"], "BUILDING"));
    assert_eq!(planned.pending.as_ref().unwrap().reason, "ReleaseBuilding");
    world.nodes(&planned, "");
    world.built(Some("s1.d1"));
    let planned = world.plan();
    assert_eq!((places(&planned), state(&planned, 1)), (vec!["build-0", "web-1-0", "web-1-1"], "STARTING"));
    assert_eq!(planned.pending.as_ref().unwrap().reason, "ReleaseStarting");
    assert_eq!(world.app.release, None);
    world.nodes(&planned, "");
    let planned = world.plan();
    assert_eq!((world.app.release, state(&planned, 1)), (Some(1), "SERVING"));
    assert_eq!(planned.pending, None);
    world
}

#[test]
fn traffic_moves_when_all_new_nodes_are_healthy_and_the_old_drain() {
    let mut world = serving();
    world.env.push(EnvVar { key: "A".into(), value: Some("1".into()), secret: None });
    let planned = world.plan();
    assert_eq!(world.releases[1].image.as_deref(), Some("s1.d1"), "nothing is built");
    assert_eq!(places(&planned), ["build-0", "web-2-0", "web-2-1", "web-1-0", "web-1-1"]);
    assert_eq!(world.app.release, Some(1), "the new nodes are not there");
    world.nodes(&planned, "web-2-1");
    let planned = world.plan();
    assert_eq!((world.app.release, state(&planned, 2)), (Some(1), "FAILED"));
    assert_eq!(planned.problem.unwrap().reason, "HealthCheckFailed");
    assert_eq!(planned.errors[0].item, "releases/2");

    let planned = world.plan();
    world.nodes(&planned, "");
    let planned = world.plan();
    assert_eq!((world.app.release, state(&planned, 1)), (Some(2), "RETIRED"));
    assert!(planned.problem.is_none());
    assert_eq!(
        places(&planned),
        ["build-0", "web-2-0", "web-2-1", "web-1-0", "web-1-1"],
        "the old ones drain"
    );
    for node in world.nodes.iter_mut().filter(|node| node.place.starts_with("web-1")) {
        node.facts.insert("drained".into(), json!(true));
    }
    assert_eq!(places(&world.plan()), ["build-0", "web-2-0", "web-2-1"]);
}

#[test]
fn a_failed_build_and_a_rollback_change_nothing_that_serves() {
    let mut world = serving();
    assert!(world.act("deploy", json!({})));
    let planned = world.plan();
    assert_eq!((world.releases[1].build, state(&planned, 2)), (2, "BUILDING"));
    world.built(None);
    let planned = world.plan();
    assert_eq!((world.app.release, state(&planned, 2)), (Some(1), "FAILED"));
    let problem = planned.problem.unwrap();
    assert_eq!(problem.reason, "BuildFailed");
    assert_eq!(problem.message, "release 2: app.py is missing; release 1 goes on serving");
    assert_eq!(places(&world.plan()), ["build-0", "web-1-0", "web-1-1"]);

    assert!(!world.act("rollback", json!({ "release": 2 })), "it was never built");
    assert!(!world.act("rollback", json!({ "release": 9 })));
    assert!(world.act("rollback", json!({})));
    world.plan();
    let rolled = world.releases[2].clone();
    assert_eq!((rolled.number, rolled.build, rolled.image.as_deref()), (3, 1, Some("s1.d1")));
    assert_eq!(world.plan().rows.len(), 0, "a rollback is made once");
    world.env.push(EnvVar { key: "A".into(), value: None, secret: Some(Secret::new("s".into())) });
    world.plan();
    assert_eq!((world.releases[3].build, &world.releases[3].env_names), (1, &vec!["A".to_owned()]));
}

#[test]
fn old_releases_go_but_the_one_that_serves_stays() {
    let mut world = serving();
    for count in 0..60 {
        world.env = vec![EnvVar { key: "A".into(), value: Some(count.to_string()), secret: None }];
        world.plan();
    }
    let numbers: Vec<u32> = world.releases.iter().map(|release| release.number).collect();
    assert_eq!(numbers, [1].into_iter().chain(12..=61).collect::<Vec<u32>>());
    assert_eq!(world.app.release, Some(1));
}

#[test]
fn another_repository_is_built_and_a_stopped_app_has_no_web_nodes() {
    let mut world = serving();
    world.app.repo = "https://git.example.com/b".into();
    world.plan();
    assert_eq!(
        (world.releases[1].repo.as_str(), world.releases[1].image.as_deref()),
        ("https://git.example.com/b", None)
    );
    assert!(world.act("stop", json!({})));
    let planned = world.plan();
    assert_eq!((places(&planned), state(&planned, 1)), (vec!["build-0"], "STOPPED"));
    assert!(world.act("start", json!({})));
    assert_eq!(places(&world.plan()), ["build-0", "web-1-0", "web-1-1"]);
}

fn ready(value: &str) -> LinkState {
    LinkState::Ready(Secret::new(Map::from([("S3_BUCKET".into(), value.into())])))
}

fn env(release: &Release) -> Vec<(&str, &str)> {
    release.env.expose().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[test]
fn what_a_binding_gives_makes_a_release_once_it_is_ready() {
    let mut world = serving();
    world.bind("store", "", LinkState::Waiting("not yet".into()));
    world.plan();
    assert_eq!(world.releases.len(), 1, "there is nothing to give yet");
    world.links[0].state = ready("one");
    let planned = world.plan();
    assert_eq!(
        (world.releases.len(), world.releases[1].image.as_deref()),
        (2, Some("s1.d1")),
        "nothing is built"
    );
    assert_eq!(env(&world.releases[1]), [("S3_BUCKET", "one")]);
    assert_eq!(planned.outputs["bindings/store"], json!({ "env_names": ["S3_BUCKET"] }));
    assert!(planned.waiting.contains_key("bindings/store"), "release 1 serves, which does not have it");
    world.nodes(&planned, "");
    assert!(world.plan().waiting.is_empty());

    world.links[0].state = LinkState::Away("no node".into());
    world.plan();
    assert_eq!(world.releases.len(), 2, "what cannot be said has not changed");
    world.links[0].state = ready("two");
    world.plan();
    assert_eq!(env(&world.releases[2]), [("S3_BUCKET", "two")]);
    world.bindings.clear();
    world.links.clear();
    world.plan();
    assert_eq!(env(&world.releases[3]), []);
}

#[test]
fn two_bindings_of_a_kind_need_a_prefix_and_own_variables_win() {
    let mut world = serving();
    world.bind("one", "", ready("1"));
    world.bind("two", "", ready("2"));
    world.bind("three", "OLD_", ready("3"));
    let planned = world.plan();
    assert_eq!((planned.errors[0].item.as_str(), planned.errors.len()), ("bindings/two", 1));
    assert_eq!(env(world.releases.last().unwrap()), [("OLD_S3_BUCKET", "3"), ("S3_BUCKET", "1")]);
    world.env.push(EnvVar { key: "S3_BUCKET".into(), value: Some("mine".into()), secret: None });
    world.plan();
    assert_eq!(env(world.releases.last().unwrap()), [("OLD_S3_BUCKET", "3"), ("S3_BUCKET", "mine")]);
}

/// The digest of an upload.
fn digest(one: char) -> String {
    std::iter::repeat_n(one, 64).collect()
}

fn upload(one: char) -> String {
    format!("upload:{}", digest(one))
}

#[test]
fn what_is_not_there_yet_is_waited_for() {
    let mut world = World::new();
    world.app.repo = upload('a');
    let planned = world.plan();
    assert_eq!((places(&planned), world.releases.len()), (vec!["build-0"], 0));
    let pending = planned.pending.unwrap();
    assert_eq!(pending.reason, "WaitsForUpload");
    assert!(pending.message.contains(&digest('a')), "{}", pending.message);
    assert_eq!(planned.uploads, [digest('a')]);

    world.uploads = vec![digest('b')];
    world.plan();
    assert_eq!(world.releases.len(), 0, "another one is not it");
    world.uploads.push(digest('a'));
    let planned = world.plan();
    assert_eq!((world.releases.len(), world.releases[0].repo.as_str()), (1, upload('a').as_str()));
    assert_eq!(planned.pending.unwrap().reason, "ReleaseBuilding");
    assert_eq!(planned.uploads, [digest('a')], "what nothing refers to is not needed");
}

#[test]
fn what_serves_goes_on_while_another_upload_is_waited_for() {
    let mut world = serving();
    world.app.repo = upload('a');
    let planned = world.plan();
    assert_eq!((places(&planned), world.app.release), (vec!["build-0", "web-1-0", "web-1-1"], Some(1)));
    assert_eq!((world.releases.len(), planned.pending.unwrap().reason), (1, "WaitsForUpload"));
    assert!(world.act("rollback", json!({ "release": 1 })));
    let planned = world.plan();
    assert_eq!((world.releases.len(), planned.pending.map(|one| one.reason)), (2, Some("ReleaseStarting")));

    // A failed build is past once something else is to be built.
    assert!(world.act("deploy", json!({})));
    world.uploads = vec![digest('a')];
    world.plan();
    world.built(None);
    assert_eq!(world.plan().problem.unwrap().reason, "BuildFailed");
    world.app.repo = upload('b');
    let planned = world.plan();
    assert_eq!((planned.problem, planned.pending.unwrap().reason), (None, "WaitsForUpload"));
}

#[test]
fn uploads_are_needed_as_long_as_their_builds_are_kept() {
    let mut world = serving();
    let names: Vec<char> = ('a'..='p').collect();
    world.uploads = names.iter().map(|name| digest(*name)).collect();
    for name in &names {
        world.app.repo = upload(*name);
        world.plan();
        world.built(Some(&format!("s{name}.d1")));
        // Releases without a build are no builds.
        world.env = vec![EnvVar { key: "A".into(), value: Some(name.to_string()), secret: None }];
        world.plan();
    }
    let needed: Vec<String> = ('g'..='p').map(digest).collect();
    assert_eq!(world.plan().uploads, needed, "ten builds are kept");
    assert!(world.act("rollback", json!({ "release": 2 })));
    world.plan();
    let needed: Vec<String> = ['a'].into_iter().chain('g'..='p').map(digest).collect();
    assert_eq!(world.plan().uploads, needed, "and what is to serve");
}
