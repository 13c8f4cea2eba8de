//! The OpenAPI document is true: programs that nobody here wrote find nothing wrong with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use metapaas_core::migrate::{Made, PluginMigrations, make};
use metapaas_core::testing::check_migrations;
use metapaas_tests::harness::{Installation, On, answer, client};
use metapaas_tests::{workspace_root, zoo};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{PROGRAM, WITH_ALL, on_both};

on_both!(
    strangers_find_nothing_wrong,
    documents_are_the_same_on_both_databases,
    paths_take_the_methods_described
);

/// The Python interpreter that has the packages of tests/requirements.txt.
pub(crate) fn python() -> PathBuf {
    installed("METAPAAS_TEST_PYTHON", "a Python that has the packages of tests/requirements.txt")
}

/// The folder that has the packages of tests/clients/typescript/package.json in `node_modules`.
pub(crate) fn node() -> PathBuf {
    installed(
        "METAPAAS_TEST_NODE",
        "a folder with those of tests/clients/typescript/package.json in node_modules",
    )
}

fn installed(variable: &str, what: &str) -> PathBuf {
    let found = std::env::var_os(variable);
    let found = found.unwrap_or_else(|| panic!("set {variable} to {what}; `cargo xtask tools` makes one"));
    found.into()
}

/// Runs a program to its end and answers its output.
pub(crate) fn run(name: &str, command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{name}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{name} ended with {}\n{stdout}\n{stderr}", output.status);
    stdout
}

/// `METAPAAS_SCHEMATHESIS` adds arguments, e.g. `--seed 7 --max-examples 200`, for a search that takes longer.
async fn strangers_find_nothing_wrong(on: On) {
    let python = python();
    let installation = Installation::start(WITH_ALL, on).await;
    let more = std::env::var("METAPAAS_SCHEMATHESIS").unwrap_or_default();
    let mut schemathesis = Command::new(python);
    schemathesis.args(["-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run", "--no-color"]);
    schemathesis.args(more.split_whitespace()).arg(format!("{}/v1/openapi.json", installation.url));
    schemathesis.current_dir(workspace_root().join("tests/openapi"));
    schemathesis.env("METAPAAS_URL", &installation.url).env("METAPAAS_TOKEN", &installation.token);
    let said = tokio::task::spawn_blocking(move || run("schemathesis", &mut schemathesis)).await.unwrap();
    if !more.is_empty() {
        println!("{said}");
    }
}

async fn documents_are_the_same_on_both_databases(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let served = answer(client().get(format!("{}/v1/openapi.json", installation.url))).await.expect(200);
    let kept = std::fs::read_to_string(workspace_root().join("manifests/openapi.json")).unwrap();
    assert_eq!(served.body, serde_json::from_str::<Value>(&kept).unwrap());
}

/// Documents in a folder: of all types in both versions of OpenAPI, and of this distribution.
fn documents(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for (program, version, name) in
        [(WITH_ALL, "3.1", "all.json"), (WITH_ALL, "3.0", "all-3.0.json"), (PROGRAM, "3.1", "openapi.json")]
    {
        let text = run(program, Command::new(program).args(["schema", "openapi", "--version", version]));
        all.push(folder.join(name));
        std::fs::write(folder.join(name), text).unwrap();
    }
    all
}

#[test]
fn documents_are_valid() {
    let folder = tempfile::tempdir().unwrap();
    let mut validator = Command::new(python());
    run(
        "openapi-spec-validator",
        validator.args(["-m", "openapi_spec_validator"]).args(documents(folder.path())),
    );
}

#[test]
fn documents_lint_clean() {
    let folder = tempfile::tempdir().unwrap();
    let mut spectral = Command::new(node().join("node_modules/.bin/spectral"));
    spectral.args(["lint", "--fail-severity", "hint", "--ruleset"]);
    run(
        "spectral",
        spectral.arg(workspace_root().join("tests/openapi/spectral.yaml")).args(documents(folder.path())),
    );
}

/// Every path of the document is served with exactly the methods that it names.
async fn paths_take_the_methods_described(on: On) {
    let installation = Installation::start(WITH_ALL, on).await;
    let document = installation.get("/v1/openapi.json").await.expect(200).body;
    let mut wrong = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        // Nothing has this id, so that nothing is changed.
        let concrete = path.split('/').map(|part| match part {
            "{slug}" => "zoo",
            "{file}" => "docs.css",
            part if part.starts_with('{') => "0190a0a0-0000-7000-8000-000000000000",
            part => part,
        });
        let concrete = concrete.collect::<Vec<_>>().join("/");
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let described = item.get(method.as_str().to_lowercase()).is_some();
            // No body that any operation takes.
            let body = if method == Method::GET { Value::Null } else { json!([]) };
            let found = installation.call(method.clone(), &concrete, body).await;
            let is_there = found.status != 405
                && !(found.status == 404
                    && found.body["detail"].as_str().unwrap_or_default().contains("nothing at"));
            if is_there != described {
                wrong.push(format!("{method} {path}: {} {}", found.status, found.body));
            }
            if found.status == 405 {
                let allow = found.header("allow").unwrap_or_default();
                let all = allow.split(", ").filter(|method| !["HEAD", "OPTIONS"].contains(method));
                for named in all {
                    assert!(item.get(named.to_lowercase()).is_some(), "{path} allows {allow}");
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A route that no document names would be one that no client knows of.
#[test]
fn routes_are_in_the_document() {
    let document = run("metapaas", Command::new(PROGRAM).args(["schema", "openapi"]));
    let document: Value = serde_json::from_str(&document).unwrap();
    let source = std::fs::read_to_string(workspace_root().join("metapaas-server/src/http.rs")).unwrap();
    let routes: Vec<&str> =
        source.split(".route(\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(routes.len() > 5, "the routes are written in another way now: {routes:?}");
    for route in routes {
        let is_described = match route.strip_suffix("/{*path}") {
            Some(above) => document["paths"].as_object().unwrap().keys().any(|path| path.starts_with(above)),
            None => document["paths"].get(route).is_some(),
        };
        assert!(is_described, "{route} is not in the OpenAPI document");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_zoo_has_the_tables_of_its_types() {
    let committed = workspace_root().join("tests/zoo/migrations");
    let wanted = PluginMigrations::from(&zoo::plugin());
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        make(&wanted, &committed, None).unwrap();
    }
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(committed.join("schema.json"), copy.path().join("schema.json")).unwrap();
    let made = make(&wanted, copy.path(), None).unwrap();
    assert_eq!(made, Made::NothingToDo, "run it with UPDATE=1 and review the SQL");
    check_migrations(&[zoo::plugin()]).await;
}
