//! The book's tour of the contract, run as it stands there: two terminals, two control planes.

use metapaas_tests::harness::{Installation, On};
use metapaas_tests::workspace_root;

use crate::PROGRAM;
use crate::readme::{Shell, fenced_blocks};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tour_of_the_contract_can_be_pasted() {
    let page = std::fs::read_to_string(workspace_root().join("book/src/contract-tour.md")).unwrap();
    let (folder, other_folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut first = Installation::start(PROGRAM, On::Postgres).await;
    let second = first.second().await;
    let (one, two) = (first.data_dir(), second.data_dir());
    // As the README says.
    std::fs::copy(one.join("admin.json"), two.join("admin.json")).unwrap();
    let environment = [("METAPAAS_DATA_DIR", one.as_path()), ("METAPAAS_OTHER_DATA_DIR", two.as_path())];
    let mut terminal = Shell::open(folder.path(), &environment);
    let mut watching = Shell::open(other_folder.path(), &environment);
    let mut printed = String::new();
    for (kind, block) in fenced_blocks(&page) {
        match kind.as_str() {
            "tour" => printed.push_str(&tokio::task::block_in_place(|| terminal.paste(&block))),
            "watch" => watching.begin(&block),
            // Other control planes may run on this machine, so the harness kills its own.
            "kill" => first.kill(),
            "start" => first.up().await,
            other => panic!("no test knows what to do with a block `sh {other}`"),
        }
    }
    let count = |text: &str| printed.matches(text).count();
    let lines = |start: &str| printed.lines().filter(|line| line.starts_with(start)).collect::<Vec<_>>();
    // The same request twice: the same answer, the second time told to be a replay.
    assert_eq!((count("HTTP/1.1 201 Created"), count("dempotency-replayed: true")), (2, 1), "{printed}");
    let ids = lines("\"id\":");
    assert!(ids.len() == 2 && ids[0] == ids[1], "{printed}");
    // The lost update.
    assert_eq!((count("\"greeting\":\"Anna was here\""), count("\"Bert was here\"")), (1, 0), "{printed}");
    assert_eq!((count("\"code\":\"PRECONDITION_FAILED\""), count("\"status\":412")), (1, 1), "{printed}");
    // The trial tells of a second node, there is none, then there is, and then nothing is left to do.
    let would: Vec<&str> = lines("would");
    let told = ["update web-0", "create web-1", "ensure web-1", "no node has to act"];
    assert_eq!(would.len(), told.len(), "{printed}");
    for (would, told) in would.iter().zip(told) {
        assert!(would.contains(told), "{told}: {printed}");
    }
    let counted: Vec<&str> = printed.lines().filter(|line| line.parse::<u32>().is_ok()).collect();
    assert_eq!(counted, ["1", "2"], "{printed}");
    // The denial.
    assert_eq!(count("\"code\":\"FORBIDDEN\""), 1, "{printed}");
    assert_eq!(count("denied because vera has only viewer"), 1, "{printed}");
    assert_eq!(count("\"missing\":[\"demo.instances.update\"]"), 1, "{printed}");
    // The crash: one instance, whoever made it.
    assert_eq!(count("\"name\":\"late\""), 1, "{printed}");
    assert_eq!(lines("late ").len(), 1, "{printed}");
    assert_eq!((count("demo/tour deleted"), count("demo/late deleted")), (1, 1), "{printed}");

    // In the other terminal all of it.
    let is_last = |line: &str| line.starts_with("DELETED") && line.contains("demo/late");
    let watched = tokio::task::block_in_place(|| watching.until(is_last));
    for name in ["demo/tour", "demo/late"] {
        let mut kinds: Vec<&str> = watched
            .lines()
            .filter(|line| line.contains(name))
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        kinds.dedup();
        assert_eq!(kinds, ["ADDED", "MODIFIED", "DELETED"], "{watched}");
    }
    assert_eq!(first.node_dirs_of_nodes() + second.node_dirs_of_nodes(), 0, "nothing is left");
}
