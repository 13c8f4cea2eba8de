//! The framework's own migrations are current, and give its schema on both databases.

use std::path::Path;

use metapaas_core::migrate::{Made, PluginMigrations, make};
use metapaas_core::testing::check_framework_migrations;

#[test]
fn committed_migrations_are_current() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let framework = PluginMigrations::framework();
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(committed.join("schema.json"), copy.path().join("schema.json")).unwrap();
    let made = make(&framework, copy.path(), None).unwrap();
    assert_eq!(
        made,
        Made::NothingToDo,
        "run `cargo run -- migrate make metapaas --dir metapaas-core/migrations`, and read what it writes"
    );
}

#[tokio::test]
async fn every_earlier_database_reaches_the_schema() {
    check_framework_migrations().await;
}
