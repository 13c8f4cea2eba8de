//! A private repository by ssh, with Debian's sshd: the right key, a wrong one, none, and a host that is not who it was.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use metapaas_tests::harness::{On, eventually};
use metapaas_tests::repository::Repository;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{App, samples};
use crate::PROGRAM;

const SETTINGS: &str = r#"{app={transports=["ssh"],drain_seconds=1}}"#;
const SSHD: &str = "/usr/sbin/sshd";

/// An ssh server of the test's own: it lets in who has the key, to git alone.
struct Sshd {
    folder: TempDir,
    port: u16,
    process: Option<Child>,
}

impl Sshd {
    async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut sshd = Self { folder: tempfile::tempdir().unwrap(), port, process: None };
        let public = sshd.keygen("deploy");
        let git = r#"restrict,command="git-shell -c \"$SSH_ORIGINAL_COMMAND\"""#;
        std::fs::write(sshd.file("authorized_keys"), format!("{git} {public}")).unwrap();
        sshd.up().await;
        sshd
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a key; answers its public half.
    fn keygen(&self, name: &str) -> String {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"]).arg(self.file(name));
        let made = command.stdin(Stdio::null()).status().expect("start ssh-keygen of openssh-client");
        assert!(made.success());
        std::fs::read_to_string(self.file(&format!("{name}.pub"))).unwrap()
    }

    fn private(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap()
    }

    /// Serves with a host key that nobody has seen.
    async fn up(&mut self) {
        self.down();
        for name in ["host", "host.pub"] {
            let _ = std::fs::remove_file(self.file(name));
        }
        let _ = self.keygen("host");
        let file = |name: &str| self.file(name).display().to_string();
        let configuration = format!(
            "Port {}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
             StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\nAllowTcpForwarding no\n",
            self.port,
            file("host"),
            file("authorized_keys")
        );
        let path = self.file("sshd_config");
        let mut options = std::fs::OpenOptions::new();
        let mut written = options.write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
        written.write_all(configuration.as_bytes()).unwrap();
        // As root, sshd does not start without it, and only a service of the system would make it.
        let _ = std::fs::create_dir_all("/run/sshd");
        let process = Command::new(SSHD)
            .args(["-D", "-e", "-f"])
            .arg(&path)
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(self.file("log")).unwrap())
            .spawn()
            .expect("start sshd of openssh-server");
        self.process = Some(process);
        let address = ("127.0.0.1", self.port);
        eventually("sshd listens", || async { TcpStream::connect(address).await.is_ok() }).await;
    }

    fn down(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    fn url(&self, repository: &Path) -> String {
        // The user that the tests run as, whoever that is.
        let name = Command::new("id").arg("-un").output().unwrap().stdout;
        let name = String::from_utf8(name).unwrap();
        format!("ssh://{}@127.0.0.1:{}{}", name.trim(), self.port, repository.display())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.file("log")).unwrap()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.down();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_repository_opens_to_its_deploy_key() {
    let installation = metapaas_tests::harness::Installation::start_with(
        PROGRAM,
        On::Sqlite,
        &[("METAPAAS_PLUGINS", SETTINGS)],
    )
    .await;
    let mut sshd = Sshd::start().await;
    let repository = Repository::new();
    repository.commit(&samples::PLAIN);
    let url = sshd.url(&repository.folder());
    let _ = sshd.keygen("stranger");

    for (name, key, expected) in [
        ("keyless", Value::Null, "lets nobody in without credentials"),
        ("wrong", json!(sshd.private("stranger")), "does not accept deploy_key"),
        ("broken", json!("no key at all"), "does not accept deploy_key"),
    ] {
        let app = App::create(&installation, name, json!({ "repo": url, "deploy_key": key })).await;
        let broken = app.broken("BuildFailed").await;
        let message = broken["conditions"][0]["message"].as_str().unwrap();
        assert!(message.contains(expected), "{name}: {message}\n{}", sshd.log());
    }

    let key = sshd.private("deploy");
    let app = App::create(&installation, "private", json!({ "repo": url, "deploy_key": key })).await;
    let first = app.active().await;
    assert_eq!(first["release"], 1);
    assert_eq!(app.says("/").await, "plain");
    // A key that is put right later is used from then on.
    let change = json!({ "deploy_key": key });
    let wrong = "/v1/types/app/instances/wrong";
    let _ = installation.call(Method::PATCH, wrong, change).await.expect(200);
    let _ = installation.call(Method::POST, &format!("{wrong}/actions/deploy"), json!({})).await.expect(202);
    assert!(installation.active(wrong).await["release"].as_u64() > Some(1));

    // The key is nowhere but where it is used.
    let secret = key.lines().nth(1).unwrap();
    for seen in [&app.path, &format!("{}/releases", app.path), "/v1/events?limit=1000"] {
        let answer = installation.get(seen).await.expect(200).body.to_string();
        assert!(!answer.contains(secret), "{seen} shows the key");
    }

    // Another host answers in the place of the one that was seen.
    sshd.up().await;
    repository.commit(&[("app.py", &samples::PLAIN[0].1.replace("plain", "changed"))]);
    app.act("deploy", json!({})).await;
    let broken = app.broken("BuildFailed").await;
    let message = broken["conditions"][0]["message"].as_str().unwrap();
    assert!(message.contains("another key than when it was first seen"), "{message}");
    assert!(message.contains("release 1 goes on serving"), "{message}");
    assert_eq!(app.says("/").await, "plain");

    // Who says so by a new deploy key trusts it.
    let public = sshd.keygen("second");
    std::fs::write(sshd.file("authorized_keys"), public).unwrap();
    let change = json!({ "deploy_key": sshd.private("second") });
    let _ = installation.call(Method::PATCH, &app.path, change).await.expect(200);
    app.act("deploy", json!({})).await;
    app.active().await;
    assert_eq!(app.says("/").await, "changed");
}
