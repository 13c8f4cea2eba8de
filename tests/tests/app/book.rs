//! The lines of the book's page about apps, pasted as they stand there.

use metapaas_tests::harness::On;
use reqwest::Method;
use serde_json::json;

use super::commands::installation_with;
use super::repository::Repository;
use super::{App, SETTINGS, samples};
use crate::readme::{Shell, blocks_of};

const PAGE: &str = "app.md";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lines_about_a_directory_can_be_pasted() {
    let installation = installation_with(On::Sqlite, SETTINGS).await;
    let folder = tempfile::tempdir().unwrap();
    let mut shell = Shell::open(folder.path(), &[("METAPAAS_DATA_DIR", &installation.data_dir())]);
    let printed = tokio::task::block_in_place(|| shell.paste(&blocks_of(PAGE, "directory")));
    assert_eq!(printed.matches("http://my-app.localhost:").count(), 2, "{printed}");
    let app = App { installation: &installation, beside: None, path: format!("{}/my-app", super::APPS) };
    app.active().await;
    assert_eq!(app.says("/").await, "Hello again\n");
    let upload = tokio::task::block_in_place(|| shell.paste(&blocks_of(PAGE, "upload")));
    assert!(upload.contains("\"digest\":"), "{upload}");
    app.active().await;
    assert_eq!(app.says("/").await, "Hello by hand\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lines_about_bindings_can_be_pasted() {
    let installation = installation_with(On::Sqlite, SETTINGS).await;
    let project = installation.default_project().await;
    let storage = json!({ "name": "data", "bucket_name": "data", "project_id": project });
    let _ = installation.call(Method::POST, "/v1/types/s3/instances", storage).await.expect(201);
    let media = json!({ "name": "media" });
    let _ = installation.call(Method::POST, "/v1/types/s3/instances/data/buckets", media).await.expect(201);
    let repository = Repository::new();
    repository.commit(&samples::PLAIN);
    let app = App::create(&installation, "shop", json!({ "repo": repository.url() })).await;
    app.active().await;
    installation.active("/v1/types/s3/instances/data").await;

    let folder = tempfile::tempdir().unwrap();
    let mut shell = Shell::open(folder.path(), &[("METAPAAS_DATA_DIR", &installation.data_dir())]);
    let printed = tokio::task::block_in_place(|| shell.paste(&blocks_of(PAGE, "bindings")));
    assert!(printed.contains("app/shop/bindings/store created"), "{printed}");
    assert!(printed.contains("app/shop/bindings/media created"), "{printed}");
    assert!(printed.contains("app/shop/bindings/store is being deleted"), "{printed}");
    app.active().await;
    let bindings = installation.get(&format!("{}/bindings", app.path)).await.body;
    let media = bindings["items"].as_array().unwrap().iter().find(|one| one["name"] == "media").unwrap();
    assert_eq!(media["status"], "ACTIVE");
    let names = media["env_names"].to_string();
    assert!(names.contains("MEDIA_S3_BUCKET") && !names.contains("\"S3_BUCKET"), "{names}");
    assert_eq!(app.says("/").await, "plain");
}
