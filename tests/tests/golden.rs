//! Golden files of the whole distribution; `UPDATE=1` rewrites them on purpose.

use std::process::Command;

use metapaas_tests::workspace_root;

use crate::PROGRAM;

fn check(arguments: &[&str], golden: &str) {
    let output = Command::new(PROGRAM).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found = String::from_utf8(output.stdout).unwrap();
    let path = workspace_root().join(golden);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == found, "{golden} is not current; look at the change, then run the test with UPDATE=1");
}

#[test]
fn the_policy_is_what_was_reviewed() {
    check(&["schema", "iam-matrix"], "tests/golden/iam-matrix.txt");
}

#[test]
fn the_element_manifests_are_current() {
    check(&["schema", "element", "s3aas"], "manifests/s3aas.yaml");
}

#[test]
fn the_openapi_document_is_what_was_reviewed() {
    check(&["schema", "openapi"], "manifests/openapi.json");
    check(&["schema", "openapi", "--version", "3.0"], "manifests/openapi-3.0.json");
}
