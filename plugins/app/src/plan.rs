//! What nodes an app has, which release serves, and what is said of each release.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use metapaas_core::agent::ItemError;
use metapaas_core::{
    ActionError, Desired, FieldEnum, NewRow, NodeSpec, ObservedNode, PlanError, Planned, Problem, Route,
};
use serde_json::{Value, json};

use crate::document::{BUILD_PLACE, BUILD_PORT, Builds, Document, Order, Web};
use crate::environment::Environment;
use crate::release::{Current, due, is_build};
use crate::settings::Settings;
use crate::source;
use crate::types::{App, Release};

/// Where nodes are containers they are made of this image, which has the programs that apps are built with.
const IMAGE: &str = "runtime";

/// One node that builds; for the newest release and the one that serves, `replicas` nodes each. A node of another
/// release goes on until it has drained.
pub(crate) fn plan(app: &Desired<App>) -> Result<Planned, PlanError> {
    let settings: Settings = app.settings()?;
    let releases: Vec<Release> = app.children::<Release>()?.into_iter().map(|release| release.spec).collect();
    let mut planned = Planned::default();
    let standing = Standing::of(&app.spec, &releases, app.nodes());
    let environment = Environment::of(app)?;
    let mut awaited = None;
    // What cannot be said at the moment is not what has changed.
    if !environment.is_unsettled
        && let Some(release) = due(&app.spec, Current::of(&app.spec, &environment.values), &releases)
    {
        awaited = source::upload(&app.spec.repo).filter(|_| is_build(&release));
        awaited = awaited.filter(|digest| !app.has_upload(digest));
        if awaited.is_none() {
            planned.rows.push(NewRow::of(&release));
            // The new one counts as well.
            let most = settings.releases.max(1) - 1;
            planned.gone = surplus(&releases, standing.serving, most);
        }
    }
    planned.uploads = uploads(app, &settings, &releases, &standing);
    planned.nodes.push(builder(app, &settings, &releases, &standing));
    let is_stopped = app.spec.stopped == Some(true);
    if !is_stopped {
        for release in standing.wanted() {
            for index in 0..app.spec.replicas {
                planned.nodes.extend(web(app, &settings, release, index, false));
            }
        }
        let draining = draining(app, &settings, &releases, &standing);
        planned.nodes.extend(draining);
    }
    tell(&mut planned, app, &releases, &standing, is_stopped);
    if let Some(digest) = awaited {
        // What went wrong before is past.
        planned.problem = None;
        let message = format!("it waits for the upload {digest}; `metapaas deploy DIRECTORY` sends it");
        planned.pending = Some(Problem { reason: "WaitsForUpload", message });
    }
    // Of an app that is stopped, or whose newest release does not work, there is nothing to wait for.
    let is_moving = standing.target.is_some_and(|target| !standing.is_serving(target));
    let serving = standing.serving_release.filter(|_| is_moving && !is_stopped && planned.problem.is_none());
    environment.tell(&mut planned, serving.map(|release| release.env.expose()));
    Ok(planned)
}

/// `http://<name>.<base domain>` and the app's own domains lead to the healthy nodes of the release that serves.
pub(crate) fn routes(app: &Desired<App>, nodes: &[ObservedNode]) -> Vec<Route> {
    let releases = app.children::<Release>().unwrap_or_default();
    let releases: Vec<Release> = releases.into_iter().map(|release| release.spec).collect();
    let standing = Standing::of(&app.spec, &releases, nodes);
    let is_serving = |node: &&ObservedNode| {
        place(node).is_some_and(|(release, _)| Some(release) == standing.serving) && node.serves()
    };
    let backends = nodes.iter().filter(is_serving).filter_map(backend);
    let route = Route::new("web").label(app.meta.key.clone()).domains(app.spec.domains.clone());
    vec![route.with_port().port_in("port").url_in("url").backends(backends)]
}

/// Commands run on a node of the release that serves, on a healthy one if there is one.
pub(crate) fn command_node(app: &Desired<App>) -> Result<String, ActionError> {
    if app.spec.stopped == Some(true) {
        let text = "the app is stopped and has no node to run a command on; run the action start first";
        return Err(ActionError::refused(text));
    }
    let releases: Vec<Release> = app.children::<Release>()?.into_iter().map(|release| release.spec).collect();
    let Some(serving) = Standing::of(&app.spec, &releases, app.nodes()).serving else {
        let text = "no release of the app serves yet; deploy it, and wait until it is ACTIVE";
        return Err(ActionError::refused(text));
    };
    let is_of_release =
        |node: &&ObservedNode| !node.is_leaving && place(node).is_some_and(|(release, _)| release == serving);
    let nodes: Vec<&ObservedNode> = app.nodes().iter().filter(is_of_release).collect();
    let chosen = nodes.iter().find(|node| node.is_healthy()).or(nodes.first());
    chosen.map(|node| node.place.clone()).ok_or_else(|| {
        let text = format!("release {serving} has no node at the moment; wait until the app is ACTIVE");
        ActionError::refused(text)
    })
}

/// Where a node's app listens. On an address that is this machine's, each app has a port of its own.
fn backend(node: &ObservedNode) -> Option<SocketAddr> {
    let address = node.main_address()?;
    match node.facts.get("port").and_then(Value::as_u64).map(u16::try_from) {
        Some(Ok(port)) if address.ip().is_loopback() => Some(SocketAddr::from(([127, 0, 0, 1], port))),
        _ => Some(address),
    }
}

/// The oldest releases, so that `most` are left beside the one that serves.
fn surplus(releases: &[Release], serving: Option<u32>, most: usize) -> Vec<String> {
    let others = releases.iter().rev().filter(|release| Some(release.number) != serving);
    others.skip(most).map(|release| format!("releases/{}", release.number)).collect()
}

/// Uploads to keep: of what the app is to be, of what serves, and of as many builds as are kept for rollbacks.
fn uploads(
    app: &Desired<App>,
    settings: &Settings,
    releases: &[Release],
    standing: &Standing<'_>,
) -> Vec<String> {
    let mut builds: Vec<&Release> = releases.iter().rev().filter(|release| is_build(release)).collect();
    builds.truncate(settings.images);
    let serving = standing.serving_release.into_iter();
    let repos = serving.chain(standing.target).chain(builds).map(|release| &release.repo);
    let digests = repos.chain([&app.spec.repo]).filter_map(|repo| source::upload(repo));
    let digests: BTreeSet<String> = digests.map(str::to_owned).collect();
    digests.into_iter().collect()
}

/// Which release is to serve and which does.
struct Standing<'a> {
    /// The newest one.
    target: Option<&'a Release>,
    /// The one that serves, by number.
    serving: Option<u32>,
    serving_release: Option<&'a Release>,
}

impl<'a> Standing<'a> {
    /// Traffic moves to the newest release once all its nodes are healthy.
    fn of(app: &App, releases: &'a [Release], nodes: &[ObservedNode]) -> Self {
        let target = releases.last();
        let is_ready = target.is_some_and(|target| {
            (0..app.replicas).all(|index| {
                nodes.iter().any(|node| node.place == web_place(target.number, index) && node.is_healthy())
            })
        });
        let serving = if is_ready { target.map(|target| target.number) } else { app.release };
        let serving_release = releases.iter().find(|release| Some(release.number) == serving);
        Self { target, serving, serving_release }
    }

    fn is_serving(&self, release: &Release) -> bool {
        Some(release.number) == self.serving
    }

    /// Releases that have nodes.
    fn wanted(&self) -> impl Iterator<Item = &'a Release> {
        let target = self.target.filter(|target| target.image.is_some());
        let serving =
            self.serving_release.filter(|one| target.is_none_or(|target| target.number != one.number));
        target.into_iter().chain(serving)
    }
}

fn web_place(release: u32, index: u32) -> String {
    format!("web-{release}-{index}")
}

/// Release and index of a web node.
fn place(node: &ObservedNode) -> Option<(u32, u32)> {
    let (release, index) = node.place.strip_prefix("web-")?.split_once('-')?;
    Some((release.parse().ok()?, index.parse().ok()?))
}

fn builder(
    app: &Desired<App>,
    settings: &Settings,
    releases: &[Release],
    standing: &Standing<'_>,
) -> NodeSpec {
    let order = |release: &Release| Order {
        build: release.build,
        releases: releases.iter().filter(|one| one.build == release.build).map(|one| one.number).collect(),
        repo: release.repo.clone(),
        git_ref: release.git_ref.clone(),
        subdir: release.subdir.clone(),
        runtime: app.spec.runtime.map(|runtime| runtime.name().to_owned()),
        commit: release.commit.clone(),
        image: release.image.clone(),
        has_command: release.command.is_some(),
    };
    let wanted = standing.target.filter(|target| !target.has_failed()).into_iter();
    let mut orders: Vec<Order> = Vec::new();
    for release in wanted.chain(standing.serving_release) {
        if orders.iter().all(|order| order.build != release.build) {
            orders.push(order(release));
        }
    }
    let mut keep: Vec<String> = Vec::new();
    let serving = standing.serving_release.into_iter();
    for image in serving.chain(releases.iter().rev()).filter_map(|release| release.image.as_ref()) {
        if keep.len() < settings.images && !keep.contains(image) {
            keep.push(image.clone());
        }
    }
    let builds = Builds {
        token: token(app),
        settings: settings.clone(),
        deploy_key: app.spec.deploy_key.as_ref().map(|key| key.expose().clone()),
        orders,
        keep,
        is_shared: false,
        digest: String::new(),
    };
    let mut node = NodeSpec::new(BUILD_PLACE, BUILD_PORT, json!(Document::Build(builds)));
    node.resources = BTreeMap::from([
        ("image".to_owned(), json!(IMAGE)),
        ("ram_mb".to_owned(), json!(settings.build_ram_mb)),
    ]);
    node
}

fn token(app: &Desired<App>) -> String {
    app.spec.build_token.as_ref().map(|token| token.expose().clone()).unwrap_or_default()
}

fn web(
    app: &Desired<App>,
    settings: &Settings,
    release: &Release,
    index: u32,
    is_draining: bool,
) -> Option<NodeSpec> {
    let language = release.language.clone()?;
    let port = metapaas_runtimes::runtime(&language)?.port;
    let builder = app.nodes().iter().find(|node| node.place == BUILD_PLACE);
    let web = Web {
        release: release.number,
        image: release.image.clone()?,
        layers: builder
            .and_then(ObservedNode::main_address)
            .map(|address| format!("http://{address}/layers")),
        token: token(app),
        command: release.command.clone().or_else(|| release.default_command.clone())?,
        language,
        env: release.env.expose().clone(),
        health_path: app.spec.health_path.clone(),
        ram_mb: app.spec.ram_mb,
        restarts: app.spec.restarts.unwrap_or_default(),
        start_seconds: settings.start_seconds,
        drain_seconds: is_draining.then_some(settings.drain_seconds),
    };
    let mut node = NodeSpec::new(web_place(release.number, index), port, json!(Document::Web(web)));
    node.resources = BTreeMap::from([
        ("image".to_owned(), json!(IMAGE)),
        ("ram_mb".to_owned(), json!(app.spec.ram_mb)),
        ("cpu".to_owned(), json!(app.spec.cpu)),
        ("disk_gb".to_owned(), json!(1)),
    ]);
    Some(node)
}

/// Nodes of releases that no longer serve, until they say that they have drained.
fn draining(
    app: &Desired<App>,
    settings: &Settings,
    releases: &[Release],
    standing: &Standing<'_>,
) -> Vec<NodeSpec> {
    let stays = |node: &&ObservedNode| node.is_healthy() && node.facts.get("drained") != Some(&json!(true));
    let nodes = app.nodes().iter().filter(stays).filter_map(place);
    let nodes = nodes.filter(|(release, _)| standing.wanted().all(|wanted| wanted.number != *release));
    let specs = nodes.filter_map(|(number, index)| {
        let release = releases.iter().find(|release| release.number == number)?;
        web(app, settings, release, index, true)
    });
    specs.collect()
}

/// What is said of the app and its releases.
fn tell(
    planned: &mut Planned,
    app: &Desired<App>,
    releases: &[Release],
    standing: &Standing<'_>,
    is_stopped: bool,
) {
    planned.outputs.insert("release".into(), json!(standing.serving));
    let sick = standing.target.filter(|target| !standing.is_serving(target)).and_then(|target| {
        app.nodes().iter().find(|node| {
            place(node).is_some_and(|(release, _)| release == target.number) && node.health == "unhealthy"
        })
    });
    for release in releases {
        let is_target = standing.target.is_some_and(|target| target.number == release.number);
        let state = match () {
            () if release.has_failed() => "FAILED",
            () if standing.is_serving(release) => {
                if is_stopped {
                    "STOPPED"
                } else {
                    "SERVING"
                }
            }
            () if !is_target => "RETIRED",
            () if sick.is_some() => "FAILED",
            () if release.image.is_none() => "BUILDING",
            () if is_stopped => "STOPPED",
            () => "STARTING",
        };
        planned.outputs.insert(format!("releases/{}", release.number), json!({ "state": state }));
    }
    let Some(target) = standing.target else { return };
    let (reason, code, why) = if target.has_failed() {
        ("BuildFailed", "BUILD_FAILED", target.message.clone().unwrap_or_default())
    } else if let Some(node) = sick {
        ("HealthCheckFailed", "HEALTH_CHECK_FAILED", node.message.clone())
    } else {
        if !is_stopped && !standing.is_serving(target) {
            let is_built = target.image.is_some();
            let (reason, what) =
                if is_built { ("ReleaseStarting", "starting") } else { ("ReleaseBuilding", "being built") };
            planned.pending =
                Some(Problem { reason, message: format!("release {} is {what}", target.number) });
        }
        return;
    };
    let (item, code) = (format!("releases/{}", target.number), code.to_owned());
    planned.errors.push(ItemError { item, code, message: why.clone() });
    let goes_on = match standing.serving {
        Some(serving) if !is_stopped => format!("; release {serving} goes on serving"),
        _ => String::new(),
    };
    let message = format!("release {}: {why}{goes_on}", target.number);
    planned.problem = Some(Problem { reason, message });
}
