//! Starts that must fail with one line that says what and what to do, and leave nothing half made.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use metapaas_tests::harness::{Installation, On};

use crate::PROGRAM;

fn up(arguments: &[&str], data: &Path) -> Output {
    Command::new(PROGRAM)
        .arg("up")
        .args(arguments)
        .arg("--data-dir")
        .arg(data)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Starts and expects one line with all of `words`.
fn refused(arguments: &[&str], data: &Path, words: &[&str]) {
    let output = up(arguments, data);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "it started");
    assert_eq!(said.trim().lines().count(), 1, "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

#[test]
fn wrong_settings() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    refused(&["--listen", "nowhere"], &data, &["listen", "nowhere"]);
    refused(&["--database", "mysql://x"], &data, &["postgres://"]);
    let file = dir.path().join("metapaas.toml");
    std::fs::write(&file, "listen = 5\nnonsense = 1\n").unwrap();
    refused(&["--config", file.to_str().unwrap()], &data, &["settings", "metapaas.toml"]);
    refused(&["--config", "/does/not/exist.toml"], &data, &["/does/not/exist.toml"]);
    assert!(!data.exists(), "nothing was made");
}

#[test]
fn a_port_that_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = dir.path().join("data");
    refused(&["--listen", &address], &data, &[&address, "--listen"]);
    assert!(!data.exists(), "nothing was made");
}

#[test]
fn a_database_that_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let url = "postgres://metapaas:secret@127.0.0.1:1/metapaas";
    let output = up(&["--listen", "127.0.0.1:0", "--database", url], &dir.path().join("data"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("PostgreSQL"), "{said}");
    assert!(!said.contains("secret"), "the password is not shown: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_database_password() {
    let database = metapaas_core::testing::postgres().await;
    let url = database.url();
    let (login, rest) = url.split_once('@').unwrap();
    let (user, _) = login.rsplit_once(':').unwrap();
    let wrong = format!("{user}:not-the-password@{rest}");
    let dir = tempfile::tempdir().unwrap();
    refused(
        &["--listen", "127.0.0.1:0", "--database", &wrong],
        &dir.path().join("data"),
        &["PostgreSQL", "password"],
    );
}

#[test]
fn a_data_folder_that_cannot_be_used() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    refused(&["--listen", "127.0.0.1:0"], &file, &["data folder", "--data-dir"]);
    refused(&["--listen", "127.0.0.1:0"], Path::new("/proc/metapaas"), &["data folder", "--data-dir"]);
    // Root may write anywhere, so a read-only folder is one only for other users.
    if !rustix::process::geteuid().is_root() {
        let read_only = dir.path().join("read-only");
        std::fs::create_dir(&read_only).unwrap();
        std::fs::set_permissions(&read_only, std::fs::Permissions::from_mode(0o500)).unwrap();
        refused(&["--listen", "127.0.0.1:0"], &read_only, &["data folder", "--data-dir"]);
    }
}

#[test]
fn a_file_that_is_no_database() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("metapaas.db"), "this is not a database at all, but some text").unwrap();
    refused(&["--listen", "127.0.0.1:0"], &data, &["metapaas.db"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_one_on_the_same_folder() {
    let installation = Installation::start(PROGRAM, On::Sqlite).await;
    refused(&["--listen", "127.0.0.1:0"], &installation.data_dir(), &["another metapaas", "--data-dir"]);
    let _ = installation.get("/readyz").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_kept_from_others() {
    let installation = Installation::start(PROGRAM, On::Sqlite).await;
    let data = installation.data_dir();
    assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    for file in ["admin.json", "master.key", "metapaas.db", "endpoint"] {
        let mode = std::fs::metadata(data.join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}");
    }
    let log = installation.read_log();
    assert!(!log.contains(&installation.token), "the token is in no log");
    assert!(log.contains("made the user `admin`"), "the password is shown once:\n{log}");
}
