//! `metapaas resync`: everything is looked at again, and what is as it should be is left alone.

use metapaas_core::store::Database;
use metapaas_core::testing::query;
use metapaas_tests::harness::{Installation, On, eventually};
use reqwest::Method;
use serde_json::json;

use crate::{PROGRAM, on_both};

const DEMO: &str = "/v1/types/demo/instances";

async fn int(sql: &Database, text: &str) -> i64 {
    query(sql, text).await.unwrap()[0].int(0).unwrap().unwrap()
}

on_both!(a_resync_looks_at_all_and_writes_nothing, a_resync_names_the_types_when_one_is_not_hosted);

async fn a_resync_looks_at_all_and_writes_nothing(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    for index in 0..3 {
        let body = json!({ "name": format!("demo-{index}"), "project_id": project, "greeting": "hi" });
        let _ = installation.call(Method::POST, DEMO, body).await.expect(201);
    }
    for index in 0..3 {
        installation.active(&format!("{DEMO}/demo-{index}")).await;
    }
    let sql = installation.sql().await;
    let busy = "SELECT count(*) FROM metapaas_work WHERE due_at IS NOT NULL OR lease_until IS NOT NULL";
    eventually("nothing is left to do", || async { int(&sql, busy).await == 0 }).await;
    let seen = "SELECT CAST(sum(epoch) AS bigint) FROM metapaas_work";
    let events = "SELECT max(seq) FROM metapaas_events";
    let (seen_before, events_before) = (int(&sql, seen).await, int(&sql, events).await);

    let url = installation.database_url();
    let mut arguments = vec!["resync", "--batch", "2"];
    arguments.extend(url.iter().flat_map(|url| ["--database", url]));
    let output = installation.cli(&arguments);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("demo") && said.contains("3 instances"), "{said}");
    eventually("all are looked at", || async { int(&sql, seen).await >= seen_before + 3 }).await;
    eventually("nothing is left to do", || async { int(&sql, busy).await == 0 }).await;
    assert_eq!(int(&sql, events).await, events_before, "nothing is written");
}

async fn a_resync_names_the_types_when_one_is_not_hosted(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let output = installation.cli(&["resync", "--type", "dmeo"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("`dmeo`") && said.contains("demo"), "{said}");
}
