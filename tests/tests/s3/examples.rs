//! The tenant's page of the book, run as it stands there.

use std::process::Command;

use metapaas_tests::harness::On;
use metapaas_tests::workspace_root;

use crate::PROGRAM;
use crate::openapi::{python, run};

/// The blocks that are examples, in one shell script: those in Python go to Python.
fn script(page: &str) -> String {
    let mut script = String::from("set -e\n");
    let mut fenced = page.split("```");
    while let (Some(_), Some(block)) = (fenced.next(), fenced.next()) {
        match block.split_once('\n').expect("a line after the fence") {
            ("sh example", text) => script.push_str(text),
            ("python example", text) => script.push_str(&format!("python - <<'PYTHON'\n{text}PYTHON\n")),
            (other, _) => panic!("no test runs a block `{other}`"),
        }
    }
    script
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_works_as_it_is_written() {
    let page = std::fs::read_to_string(workspace_root().join("book/src/s3.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let installation = super::installation(On::Sqlite).await;
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(PROGRAM, bin.join("metapaas")).unwrap();
    let tools = python().parent().unwrap().to_owned();
    let path = format!("{}:{}:/usr/local/bin:/usr/bin:/bin", bin.display(), tools.display());
    let mut bash = Command::new("bash");
    bash.args(["-c", &script(&page)]).current_dir(folder.path()).env_clear();
    bash.env("PATH", path).env("HOME", folder.path()).env("METAPAAS_DATA_DIR", installation.data_dir());
    let printed = tokio::task::block_in_place(|| run("the page", &mut bash));
    for expected in [
        "hello.txt",
        "from-python 5",
        "X-Amz-Signature",
        "alice may only read",
        "alice is out",
        "buckets/logs deleted",
    ] {
        assert!(printed.contains(expected), "{expected:?} is not in\n{printed}");
    }
}
