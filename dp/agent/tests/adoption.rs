//! What happens when a service or an agent dies.

use std::process::Command;

use libtest_mimic::Trial;

use crate::control::Control;
use crate::node::{Node, eventually, greeting, kill, terminate};
use crate::program::REFUSED;
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a killed service is started again", service_killed),
        trial("a killed agent's services go on and are adopted", agent_killed),
        trial("an agent that is asked to end leaves its services running", agent_ended),
        trial("a second agent on a directory is refused", second_agent),
        trial("a node serves while its control plane is away", control_away),
        trial("a service that ended while no agent ran is started again", service_lost),
        trial("an agent whose directory has gone ends with its services", directory_gone),
    ]
}

async fn service_killed() {
    let node = Node::new().await;
    let agent = node.agent();
    node.healthy(&node.document(1, greeting("hello"))).await;
    let (first, _) = node.answered().await;
    node.kill_service();
    restarted(&node, first).await;
    kill(agent);
}

async fn agent_killed() {
    let node = Node::new().await;
    let document = node.document(1, greeting("hello"));
    let agent = node.agent();
    node.healthy(&document).await;
    let (first, _) = node.answered().await;
    kill(agent);
    assert_eq!(node.answered().await.0, first, "it serves without an agent");

    let before = node.control.reports().len();
    let agent = node.agent();
    eventually("the new agent reports", || {
        node.control.reports()[before..].first().map(|report| assert_eq!(report.applied_generation, 1))
    })
    .await;
    assert_eq!(node.answered().await.0, first, "it was adopted");
    assert_eq!(node.processes(Some("web")), [first]);

    // The new agent is not its parent and notices its end all the same.
    node.kill_service();
    restarted(&node, first).await;
    kill(agent);
}

async fn agent_ended() {
    let node = Node::new().await;
    let agent = node.agent();
    node.healthy(&node.document(1, greeting("hello"))).await;
    let (first, _) = node.answered().await;
    terminate(agent);
    assert_eq!(node.answered().await.0, first);
}

async fn second_agent() {
    let node = Node::new().await;
    let agent = node.agent();
    node.healthy(&node.document(1, greeting("hello"))).await;
    let second =
        Command::new(std::env::current_exe().unwrap()).args(["agent", "--dir"]).arg(node.dir()).output();
    let second = second.unwrap();
    assert_eq!(second.status.code(), Some(REFUSED.into()));
    assert!(String::from_utf8_lossy(&second.stderr).contains("an agent already runs for"));
    kill(agent);
}

async fn control_away() {
    let (control, _) = Control::start().await;
    // Nothing listens on the discard port.
    let node = Node::with_endpoints(control, vec!["http://127.0.0.1:9".to_owned()]);
    let document = serde_json::to_vec(&node.document(1, greeting("kept"))).unwrap();
    std::fs::write(node.dir().join("document.json"), document).unwrap();
    let agent = node.agent();
    assert_eq!(node.answered().await.1, "kept");
    kill(agent);
}

async fn service_lost() {
    let node = Node::new().await;
    let agent = node.agent();
    node.healthy(&node.document(1, greeting("hello"))).await;
    let (first, _) = node.answered().await;
    kill(agent);
    node.kill_service();
    let agent = node.agent();
    restarted(&node, first).await;
    kill(agent);
}

async fn restarted(node: &Node, first: i32) {
    let second =
        eventually("it is started again", || Some(node.answer()?.0).filter(|pid| *pid != first)).await;
    assert_eq!(node.processes(Some("web")), [second]);
}

async fn directory_gone() {
    let node = Node::new().await;
    let mut agent = node.agent();
    node.healthy(&node.document(1, greeting("hello"))).await;
    // It may be writing into it just then.
    eventually("it is removed", || std::fs::remove_dir_all(node.dir()).ok()).await;
    let status = eventually("the agent ends", || agent.try_wait().unwrap()).await;
    assert!(status.success(), "{status}");
    let left = node.processes(None);
    assert!(left.is_empty(), "its services end with it, but {left:?} run");
}
