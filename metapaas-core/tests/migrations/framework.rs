//! The framework's own migrations are current, and give its schema on both databases.

use std::path::Path;

use metapaas_core::migrate::{Made, PluginMigrations, make};
use metapaas_core::testing::check_framework_migrations;

/// What the framework needs beside tables, written by hand.
const BESIDE_TABLES: [(&str, &str); 2] = [
    (
        "postgres",
        "\n-- Every change takes the next revision.\nCREATE SEQUENCE \"metapaas_revision\" AS bigint;\n",
    ),
    (
        "sqlite",
        "\n-- Every change takes the next revision.\nINSERT INTO \"metapaas_counters\" (\"name\", \"value\") VALUES ('revision', 0);\n",
    ),
];

/// `UPDATE=1` writes what is wanting. Until the first release it writes 0001_init anew; set `RELEASED` with it.
const RELEASED: bool = false;

#[test]
fn committed_migrations_are_current() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let framework = PluginMigrations::framework();
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        update(&framework, &committed);
    }
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(committed.join("schema.json"), copy.path().join("schema.json")).unwrap();
    let made = make(&framework, copy.path(), None).unwrap();
    assert_eq!(
        made,
        Made::NothingToDo,
        "run `UPDATE=1 cargo test -p metapaas-core --test main migrations` twice"
    );
}

fn update(framework: &PluginMigrations, committed: &Path) {
    if !RELEASED {
        for entry in std::fs::read_dir(committed).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
    let made = make(framework, committed, None).unwrap();
    assert!(!matches!(made, Made::Refused(_)), "{made:#?}");
    for (dialect, text) in BESIDE_TABLES.into_iter().filter(|_| !RELEASED) {
        let path = committed.join(format!("0001_init.{dialect}.sql"));
        let tables = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, tables + text).unwrap();
    }
}

#[tokio::test]
async fn every_earlier_database_reaches_the_schema() {
    check_framework_migrations().await;
}
