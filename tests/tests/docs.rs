//! The docs page in a real browser.

use std::process::{Command, Stdio};

use metapaas_tests::harness::{Installation, On};

use crate::PROGRAM;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_docs_page_shows_every_operation() {
    let installation = Installation::start(PROGRAM, On::Sqlite).await;
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--disable-dev-shm-usage", "--virtual-time-budget=10000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("{}/docs", installation.url))
        .stdin(Stdio::null())
        .output()
        .expect("chromium is needed: run `cargo xtask test`, or `apt-get install chromium`");
    let page = String::from_utf8_lossy(&output.stdout);
    for shown in ["/v1/types/demo/instances", "demo_instances_create", "/v1/iam/token"] {
        assert!(
            page.contains(shown),
            "{shown} is not on the page:\n{page}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
