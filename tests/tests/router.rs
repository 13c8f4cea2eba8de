//! The router: names lead to nodes, whoever dies and whatever changes meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use metapaas_tests::harness::{Installation, On, client, eventually, is_running, recorded_pid, signal};
use reqwest::{Client, Method, StatusCode};
use rustix::process::Signal;
use serde_json::json;

use crate::PROGRAM;

async fn start(on: On) -> Installation {
    let installation =
        Installation::start_with(PROGRAM, on, &[("METAPAAS_ROUTER_LISTEN", "127.0.0.1:0")]).await;
    eventually("the router listens", || async { installation.router().is_some() }).await;
    installation
}

async fn site(installation: &Installation, name: &str, replicas: u32) {
    let project = installation.default_project().await;
    let body = json!({"project_id": project, "name": name, "greeting": "hello", "replicas": replicas});
    let _ = installation.call(Method::POST, "/v1/types/demo/instances", body).await.expect(201);
    let _ = installation.active(&format!("/v1/types/demo/instances/{name}")).await;
}

async fn get(client: &Client, address: &str, host: &str) -> Result<(StatusCode, String), reqwest::Error> {
    let answer = client.get(format!("http://{address}/")).header("host", host).send().await?;
    let status = answer.status();
    Ok((status, answer.text().await?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_leads_to_its_nodes_whoever_dies() {
    let mut installation = start(On::Sqlite).await;
    site(&installation, "shop", 1).await;
    let address = installation.router_address();
    let serves = || async {
        let (status, text) = get(&client(), &address, "SHOP-demo.localhost:80").await.ok()?;
        (status == 200 && text.contains("hello")).then_some(())
    };
    eventually("the site is there", || async { serves().await.is_some() }).await;
    let (status, text) = get(&client(), &address, "nobody.localhost").await.unwrap();
    assert_eq!(status, 404);
    assert!(text.contains("No app has this name"), "{text}");

    // The control plane dies: the router goes on, and the next control plane finds it.
    let record = installation.data_dir().join("router/run/router.json");
    let router = recorded_pid(&record).unwrap();
    installation.kill();
    assert!(serves().await.is_some(), "without a control plane");
    installation.up().await;
    assert!(serves().await.is_some());
    assert_eq!(recorded_pid(&record), Some(router), "the same router");

    // The router dies: it is started again on the same port and has its table at once.
    signal(router, Signal::KILL);
    eventually("another router serves", || async {
        recorded_pid(&record).is_some_and(|pid| pid != router && is_running(pid)) && serves().await.is_some()
    })
    .await;

    // The metrics and the access log know of it all.
    let admin = installation.router().unwrap()["admin"].as_str().unwrap().to_owned();
    let metrics = client().get(format!("http://{admin}/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("metapaas_router_requests_total{class=\"2xx\"}"), "{metrics}");
    let (status, _) = get(&client(), &address, "nobody.localhost").await.unwrap();
    assert_eq!(status, 404);
    let log = installation.data_dir().join("router/log/access.log");
    eventually("the access log is written", || async {
        std::fs::read_to_string(&log).is_ok_and(|text| text.contains("\"host\":\"nobody.localhost\""))
    })
    .await;

    // A site that goes takes its name along.
    let _ = installation.call(Method::DELETE, "/v1/types/demo/instances/shop", json!(null)).await;
    eventually("the name is free", || async {
        get(&client(), &address, "shop-demo.localhost").await.is_ok_and(|(status, _)| status == 404)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_nodes_come_and_go() {
    let installation = start(On::Postgres).await;
    site(&installation, "busy", 2).await;
    let address = installation.router_address();
    let host = "busy-demo.localhost";
    eventually("the site is there", || async {
        get(&client(), &address, host).await.is_ok_and(|(status, _)| status == 200)
    })
    .await;
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let loads: Vec<_> = (0..3)
        .map(|_| {
            let (stop, asked, address) = (stop.clone(), asked.clone(), address.clone());
            tokio::spawn(async move {
                let client = Client::builder().no_proxy().build().unwrap();
                let mut failures = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match get(&client, &address, host).await {
                        Ok((StatusCode::OK, _)) => {}
                        other => failures.push(format!("{other:?}")),
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                failures
            })
        })
        .collect();
    let path = "/v1/types/demo/instances/busy";
    for replicas in [1, 3, 1, 2] {
        let _ = installation.call(Method::PATCH, path, json!({"replicas": replicas})).await.expect(200);
        let _ = installation.active(path).await;
    }
    let _ = installation.call(Method::PATCH, path, json!({"greeting": "bye"})).await.expect(200);
    let _ = installation.active(path).await;
    stop.store(true, Ordering::Relaxed);
    for load in loads {
        let failures = load.await.unwrap();
        assert!(failures.is_empty(), "{} failed, e.g. {:?}", failures.len(), failures.first());
    }
    assert!(asked.load(Ordering::Relaxed) > 20, "there was a load");
}
