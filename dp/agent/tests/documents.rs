//! What an agent does with documents.

use libtest_mimic::Trial;
use metapaas_agent::{Health, NodeDocument};
use serde_json::json;

use crate::control::Control;
use crate::node::{Node, eventually, greeting, kill};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a change is served, and restarts only what it changes", change),
        trial("an older generation and another node's document are refused", refused),
        trial("a document whose driver refuses, panics or escapes is reported", driver_faults),
        trial("a service that cannot run is started again and again, and reported", broken_service),
        trial("reports go on when nothing changes", heartbeat),
        trial("a removed node has no service left and says so", removing),
        trial("the next control plane is asked when one is away, and remembered", next_endpoint),
    ]
}

async fn change() {
    let node = Node::new().await;
    let agent = node.agent();
    node.healthy(&node.document(1, greeting("hello"))).await;
    let (first, text) = node.answered().await;
    assert_eq!(text, "hello");

    node.healthy(&node.document(2, greeting("good day"))).await;
    assert_eq!(node.answered().await, (first, "good day".to_owned()), "served by the same process");

    let same = NodeDocument { digest: "another digest".to_owned(), ..node.document(2, greeting("good day")) };
    node.healthy(&same).await;
    assert_eq!(node.answered().await.0, first);

    node.healthy(&node.document(3, json!({ "greeting": "bye", "restart_on": "new" }))).await;
    let (second, text) = node.answered().await;
    assert_ne!(second, first);
    assert_eq!(text, "bye");
    assert_eq!(node.processes(Some("web")), [second]);

    let report = node.control.last_report().unwrap();
    assert_eq!((report.applied_generation, report.message.as_str()), (3, ""));
    let environment = std::fs::read_to_string(format!("/proc/{second}/environ")).unwrap();
    let mut names: Vec<&str> =
        environment.split('\0').filter_map(|entry| Some(entry.split_once('=')?.0)).collect();
    names.sort_unstable();
    assert_eq!(names, ["HOME", "METAPAAS_NODE", "METAPAAS_SERVICE", "PATH"]);
    kill(agent);
}

async fn refused() {
    let node = Node::new().await;
    let agent = node.agent();
    node.healthy(&node.document(5, greeting("five"))).await;
    let stranger = NodeDocument { node_id: uuid::Uuid::new_v4(), ..node.document(6, greeting("not mine")) };
    for (document, code) in
        [(node.document(4, greeting("four")), "STALE_GENERATION"), (stranger, "WRONG_NODE")]
    {
        node.control.say(document);
        eventually("the document is refused", || {
            let report = node.control.last_report()?;
            (report.errors.first()?.code == code).then(|| assert_eq!(report.applied_generation, 5))
        })
        .await;
        assert_eq!(node.answered().await.1, "five");
    }
    node.healthy(&node.document(6, greeting("six"))).await;
    assert_eq!(node.control.last_report().unwrap().errors, []);
    kill(agent);
}

async fn driver_faults() {
    let node = Node::new().await;
    let mut agent = node.agent();
    let faults =
        [("refuse", "the document says so"), ("panic", "the driver was told to"), ("escape", "../token")];
    for (generation, (fault, message)) in (1..).zip(faults) {
        node.control.say(node.document(generation, json!({ "fault": fault })));
        eventually(fault, || {
            let report = node.control.last_report()?;
            (report.health == Health::Unhealthy && report.message.contains(message))
                .then(|| assert_eq!(report.applied_generation, 0))
        })
        .await;
    }
    assert_eq!(std::fs::read_to_string(node.dir().join("token")).unwrap(), crate::control::TOKEN);
    assert!(agent.try_wait().unwrap().is_none(), "the agent lives on");
    node.healthy(&node.document(9, greeting("fine"))).await;
    kill(agent);
}

async fn broken_service() {
    let node = Node::new().await;
    let agent = node.agent();
    node.control.say(node.document(1, json!({ "fault": "broken service" })));
    eventually("the trouble is reported", || {
        let report = node.control.last_report()?;
        report.message.contains("service web ended with exit status: 127").then(|| {
            assert_eq!((report.health, report.applied_generation), (Health::Starting, 1));
        })
    })
    .await;
    let log = node.dir().join("log/web.log");
    eventually("it is tried again", || {
        let text = std::fs::read_to_string(&log).ok()?;
        (text.matches("start /no/such/program: No such file").count() > 2).then_some(())
    })
    .await;
    node.healthy(&node.document(2, greeting("fine"))).await;
    kill(agent);
}

async fn heartbeat() {
    let node = Node::new().await;
    let agent = node.agent();
    node.healthy(&node.document(1, greeting("hello"))).await;
    let before = node.control.reports().len();
    eventually("two more reports", || (node.control.reports().len() >= before + 2).then_some(())).await;
    let reports = node.control.reports();
    assert_eq!(reports[before], reports[before + 1]);
    kill(agent);
}

async fn removing() {
    let node = Node::new().await;
    let agent = node.agent();
    node.healthy(&node.document(1, greeting("hello"))).await;
    let removing =
        NodeDocument { removing: true, digest: "removing".to_owned(), ..node.document(2, greeting("hello")) };
    node.control.say(removing);
    eventually("the node is removed", || node.control.last_report()?.removed.then_some(())).await;
    assert_eq!(node.processes(Some("web")), [0_i32; 0]);
    kill(agent);
    // A new agent takes nothing up again.
    let before = node.control.reports().len();
    let agent = node.agent();
    eventually("the new agent says so", || {
        node.control.reports()[before..].last().filter(|report| report.removed).map(|_| ())
    })
    .await;
    assert_eq!(node.processes(Some("web")), [0_i32; 0]);
    kill(agent);
}

async fn next_endpoint() {
    let (control, base) = Control::start().await;
    // Nothing listens on the discard port.
    let node = Node::with_endpoints(control, vec!["http://127.0.0.1:9".to_owned(), base.clone()]);
    let agent = node.agent();
    let document = NodeDocument { endpoints: vec![base.clone()], ..node.document(1, greeting("hello")) };
    node.healthy(&document).await;
    let file = metapaas_agent::NodeFile::read(node.dir()).unwrap();
    assert_eq!(file.endpoints, [base]);
    kill(agent);
}
