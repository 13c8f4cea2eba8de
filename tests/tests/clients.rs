//! Clients that generators make of the OpenAPI document are compiled and used: Rust, Python, TypeScript.

#[cfg(feature = "generated-clients")]
mod rust;

use std::path::{Path, PathBuf};
use std::process::Command;

use metapaas_tests::harness::{Installation, On};
use metapaas_tests::workspace_root;

use crate::PROGRAM;
use crate::openapi::{node, python, run};

/// The document as `metapaas schema openapi` prints it, in a file.
fn document(folder: &Path) -> PathBuf {
    let path = folder.join("openapi.json");
    let text = run("metapaas", Command::new(PROGRAM).args(["schema", "openapi"]));
    std::fs::write(&path, text).unwrap();
    path
}

async fn using(installation: &Installation, command: &mut Command) {
    command.env("METAPAAS_URL", &installation.url).env("METAPAAS_TOKEN", &installation.token);
    command.env("METAPAAS_PROJECT", installation.default_project().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_client_is_typed_and_works() {
    let python = python();
    let folder = tempfile::tempdir().unwrap();
    let mut generate = Command::new(python.with_file_name("openapi-python-client"));
    // The generator formats what it makes with a program beside it.
    let beside = std::env::join_paths(
        python
            .parent()
            .map(Path::to_owned)
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    generate.args(["generate", "--meta", "none", "--fail-on-warning", "--path"]).arg(document(folder.path()));
    generate.arg("--output-path").arg(folder.path().join("metapaas_client")).env("PATH", beside.unwrap());
    run("openapi-python-client", &mut generate);

    let program = folder.path().join("main.py");
    std::fs::copy(workspace_root().join("tests/clients/python/main.py"), &program).unwrap();
    let mut check = Command::new(&python);
    run(
        "mypy",
        check
            .args(["-m", "mypy", "--strict", "--follow-imports=silent", "main.py"])
            .current_dir(folder.path()),
    );

    let installation = Installation::start(PROGRAM, On::Sqlite).await;
    let mut client = Command::new(&python);
    using(&installation, client.arg("main.py").current_dir(folder.path())).await;
    assert_eq!(run("the Python client", &mut client), "done\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_typescript_client_is_typed_and_works() {
    let node = node();
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(node.join("node_modules"), folder.path().join("node_modules")).unwrap();
    for file in ["package.json", "tsconfig.json", "main.ts"] {
        let from = workspace_root().join("tests/clients/typescript").join(file);
        std::fs::copy(from, folder.path().join(file)).unwrap();
    }
    let tool = |name: &str| {
        let mut command = Command::new(node.join("node_modules/.bin").join(name));
        command.current_dir(folder.path());
        command
    };
    let mut generate = tool("openapi-typescript");
    run(
        "openapi-typescript",
        generate.arg(document(folder.path())).args([
            "--output",
            "metapaas.d.ts",
            "--default-non-nullable=false",
        ]),
    );
    run("tsc", &mut tool("tsc"));

    let installation = Installation::start(PROGRAM, On::Sqlite).await;
    let mut client = Command::new("node");
    using(&installation, client.arg("out/main.js").current_dir(folder.path())).await;
    assert_eq!(run("the TypeScript client", &mut client), "done\n");
}
