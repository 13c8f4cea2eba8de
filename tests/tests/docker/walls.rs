//! The walls of containers of every type: what the engine was asked for, and what the kernel holds their processes to.

use metapaas_tests::docker::Docker;
use metapaas_tests::harness::Installation;
use reqwest::Method;
use serde_json::{Value, json};

use super::{apps, nodes};
use crate::app::repository::{Repository, Server};
use crate::app::{App, bound, samples};

/// What a node of a type may use.
struct Limits {
    ram_mb: u64,
    cpu: f64,
}

/// What a node has when its type asks for nothing.
const PLAIN: Limits = Limits { ram_mb: 512, cpu: 1.0 };

async fn has_walls(docker: &Docker, installation: &Installation, node: &Value, limits: &Limits) {
    let container = docker.container(node).await.unwrap();
    let host = &container["HostConfig"];
    let memory = limits.ram_mb << 20;
    for (name, expected) in [
        ("ReadonlyRootfs", json!(true)),
        ("Privileged", json!(false)),
        ("PublishAllPorts", json!(false)),
        ("CapAdd", Value::Null),
        ("CapDrop", json!(["ALL"])),
        ("SecurityOpt", json!(["no-new-privileges:true"])),
        ("NetworkMode", json!(docker.network)),
        ("PidMode", json!("")),
        ("UTSMode", json!("")),
        ("IpcMode", json!("private")),
        ("Devices", Value::Null),
        ("Binds", Value::Null),
        ("VolumesFrom", Value::Null),
        ("Memory", json!(memory)),
        ("MemorySwap", json!(memory)),
        ("NanoCpus", json!((limits.cpu * 1e9) as u64)),
        ("PidsLimit", json!(512)),
        ("OomKillDisable", json!(false)),
    ] {
        let (found, is_none) = (&host[name], expected.is_null());
        let is_empty = found.is_null() || found.as_array().is_some_and(Vec::is_empty);
        assert!(found == &expected || (is_none && is_empty), "{name} is {found}, not {expected}");
    }
    assert!(host["PortBindings"].as_object().is_none_or(|ports| ports.is_empty()), "{host:#}");
    assert!(container["NetworkSettings"]["Ports"].as_object().is_none_or(|ports| ports.is_empty()));
    let networks = container["NetworkSettings"]["Networks"].as_object().unwrap();
    assert_eq!(networks.keys().collect::<Vec<_>>(), [&docker.network]);
    assert_eq!(networks[&docker.network]["IPAddress"], node["ip"]);

    let data = installation.data_dir().join("docker");
    let (own, control) = (data.join("nodes").join(node["id"].as_str().unwrap()), data.join("control"));
    let mut mounts: Vec<Value> = container["Mounts"].as_array().unwrap().clone();
    mounts.sort_by_key(|mount| mount["RW"].as_bool());
    let mounts: Vec<Value> = mounts
        .iter()
        .map(|mount| json!([mount["Type"], mount["Source"], mount["Destination"], mount["RW"]]))
        .collect();
    assert_eq!(
        mounts,
        [
            json!(["bind", control, "/run/metapaas", false]),
            json!(["bind", own, "/var/lib/metapaas/node", true]),
        ]
    );

    // What came of it: the kernel's word for each process, of the agent and of what it runs.
    let pids = docker.pids(node, "").await;
    assert!(pids.len() > 2, "init, the agent and a service: {pids:?}");
    for pid in pids {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_default().split_whitespace().next().unwrap_or_default().to_owned()
        };
        if status.is_empty() {
            // It has ended meanwhile.
            continue;
        }
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(field(set), "0".repeat(16), "{set} of {status}");
        }
        assert_eq!((field("NoNewPrivs"), field("Seccomp")), ("1".to_owned(), "2".to_owned()), "{status}");
        assert!(field("Uid").parse::<u32>().unwrap() >= 1_900_000_000, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_of_every_type_have_the_same_walls() {
    let docker = Docker::new();
    let installation = apps::start(&docker, apps::SETTINGS).await;
    let project = installation.default_project().await;
    let demo = json!({ "name": "site", "project_id": project, "greeting": "hello" });
    let _ = installation.call(Method::POST, "/v1/types/demo/instances", demo).await.expect(201);
    let storage = json!({ "name": "data", "bucket_name": "data-bucket", "project_id": project });
    let _ = installation.call(Method::POST, bound::S3, storage).await.expect(201);
    let repository = Repository::new();
    repository.commit(&samples::PLAIN);
    let server = Server::start_on(repository.folder(), "0.0.0.0", &docker.host());
    let body = json!({ "repo": server.url(), "cpu": 0.5, "ram_mb": 300 });
    let app = App::create(&installation, "shop", body).await;

    for path in ["/v1/types/demo/instances/site".to_owned(), format!("{}/data", bound::S3)] {
        let instance = installation.active(&path).await;
        for node in nodes(&instance) {
            has_walls(&docker, &installation, &node, &PLAIN).await;
        }
    }
    let found = nodes(&app.active().await);
    assert_eq!(found.len(), 2, "one builds, one serves: {found:?}");
    for node in found {
        let is_web = node["place"] == "web-1-0";
        let limits =
            if is_web { Limits { ram_mb: 300, cpu: 0.5 } } else { Limits { ram_mb: 1024, cpu: 1.0 } };
        has_walls(&docker, &installation, &node, &limits).await;
    }
    assert_eq!(apps::get(&installation, "shop", "/").await.unwrap(), "plain");
    assert!(apps::get(&installation, "site-demo", "/").await.unwrap().contains("hello"));
}
