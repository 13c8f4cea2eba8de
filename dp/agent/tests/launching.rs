//! A program is never started twice, whoever is killed at whatever moment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use libtest_mimic::Trial;
use metapaas_agent::launch::{Launch, NOTHING_TO_DO, digest};
use metapaas_agent::process::{NODE_VARIABLE, SERVICE_VARIABLE};

use crate::node::{Node, eventually, greeting, kill};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("of many launches at once one starts the program", many_launches),
        trial("a launch whose program is no longer wanted starts nothing", unwanted),
        trial("agents that are killed all the time never double a service", killed_all_the_time),
    ]
}

fn launch(node: &Node) -> Launch {
    std::fs::create_dir_all(node.dir().join("run")).unwrap();
    Launch {
        launcher: std::env::current_exe().unwrap(),
        record: node.record(),
        wanted: None,
        digest: "d".to_owned(),
        program: "sleep".into(),
        arguments: vec!["600".into()],
        environment: BTreeMap::from([
            ("PATH".into(), "/usr/bin:/bin".into()),
            (NODE_VARIABLE.into(), node.id.to_string().into()),
            (SERVICE_VARIABLE.into(), "web".into()),
        ]),
        directory: node.dir().to_owned(),
        log: node.dir().join("web.log"),
    }
}

async fn many_launches() {
    let node = Node::new().await;
    let launch = launch(&node);
    let mut children: Vec<_> = (0..12).map(|_| launch.spawn().unwrap()).collect();
    let mut running = 0;
    for child in &mut children {
        match tokio::time::timeout(Duration::from_secs(2), child.wait()).await {
            Ok(status) => assert_eq!(status.unwrap().code(), Some(NOTHING_TO_DO.into())),
            Err(_) => running += 1,
        }
    }
    assert_eq!(running, 1);
    assert_eq!(node.processes(None).len(), 1);
}

async fn unwanted() {
    let node = Node::new().await;
    let wanted: PathBuf = node.dir().join("wanted");
    std::fs::write(&wanted, "one").unwrap();
    let changed = Launch { wanted: Some(wanted.clone()), digest: digest(b"another"), ..launch(&node) };
    let gone = Launch { wanted: Some(node.dir().join("gone")), digest: digest(b"one"), ..launch(&node) };
    for launch in [changed, gone] {
        let status = launch.spawn().unwrap().wait().await.unwrap();
        assert_eq!(status.code(), Some(NOTHING_TO_DO.into()));
    }
    assert!(!node.record().exists());
    assert!(node.processes(None).is_empty());
    let still = Launch { wanted: Some(wanted), digest: digest(b"one"), ..launch(&node) };
    let mut child = still.spawn().unwrap();
    eventually("it runs", || node.record().exists().then_some(())).await;
    child.kill().await.unwrap();
}

async fn killed_all_the_time() {
    let node = Node::new().await;
    let document = node.document(1, greeting("hello"));
    std::fs::write(node.dir().join("document.json"), serde_json::to_vec(&document).unwrap()).unwrap();
    for round in 0..30 {
        let agent = node.agent();
        tokio::time::sleep(Duration::from_millis(round * 2)).await;
        kill(agent);
        if round % 3 == 0 && node.record().exists() {
            // With the service gone too, the next agent has to start it, and is killed while it does.
            for pid in node.processes(Some("web")) {
                let pid = rustix::process::Pid::from_raw(pid).unwrap();
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
    let agent = node.agent();
    node.healthy(&document).await;
    let (pid, _) = node.answered().await;
    assert_eq!(node.processes(Some("web")), [pid]);
    kill(agent);
}
