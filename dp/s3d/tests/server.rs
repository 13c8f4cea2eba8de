//! A server in a folder of its own, and the clients that call it.

use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) struct Server {
    pub(crate) folder: TempDir,
    pub(crate) address: String,
    pub(crate) document: Value,
    process: Child,
    digest: u32,
}

/// A document with some buckets and users of all kinds.
pub(crate) fn document() -> Value {
    let user = |name: &str, root: bool, policies: &[&str]| {
        json!({
            "root": root, "policies": policies,
            "access_keys": { format!("{name}-key"): { "secret": format!("{name}-secret"), "enabled": name != "disabled" } }
        })
    };
    let bucket = json!({ "versioning": false, "quota_bytes": 0, "public": false, "object_lock": false });
    let with = |field: &str, value: Value| {
        let mut bucket = bucket.clone();
        bucket[field] = value;
        bucket
    };
    let mut locked = with("object_lock", json!(true));
    locked["retention"] = json!({ "mode": "GOVERNANCE", "days": 3 });
    json!({
        "digest": "0", "encryption": "none", "usage_token": "usage-token", "disk_bytes": 1u64 << 40,
        "instance_key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "buckets": {
            "plain": bucket, "versioned": with("versioning", json!(true)), "public": with("public", json!(true)),
            "small": with("quota_bytes", json!(1_000_000)), "locked": locked, "empty": bucket,
        },
        "users": {
            "root": user("root", true, &[]), "reader": user("reader", false, &["read"]), "nobody": user("nobody", false, &[]),
            "writer": user("writer", false, &["write"]), "tagged": user("tagged", false, &["tags"]),
            "disabled": user("disabled", true, &[]),
        },
        "policies": {
            "read": { "Version": "2012-10-17", "Statement": [
                { "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::plain/*" },
                { "Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::plain/shut/*" },
                { "Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::plain",
                  "Condition": { "StringLike": { "s3:prefix": "open/*" }, "IpAddress": { "aws:SourceIp": "127.0.0.0/8" } } },
            ] },
            "write": { "Version": "2012-10-17", "Statement": [
                { "Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::plain/home/${aws:username}/*" },
                { "Effect": "Allow", "Action": "s3:Delete*", "Resource": "arn:aws:s3:::locked/*" },
            ] },
            "tags": { "Version": "2012-10-17", "Statement": {
                "Effect": "Allow", "Action": "s3:Get*", "Resource": "*",
                "Condition": { "StringNotEquals": { "s3:ExistingObjectTag/level": "secret" } },
            } },
        },
    })
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(document(), &[])
    }

    /// Runs the program behind the words of `before`, e.g. in a namespace of its own.
    pub(crate) fn start_with(document: Value, before: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        write(&folder.path().join("document.json"), &document);
        let process = spawn(&folder, &address, before);
        let server = Self { folder, address, document, process, digest: 0 };
        server.wait_for("0");
        server
    }

    /// Changes the document; returns once it is in force, without a restart.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Value)) {
        self.digest += 1;
        change(&mut self.document);
        self.document["digest"] = self.digest.to_string().into();
        write(&self.folder.path().join("document.json"), &self.document);
        self.wait_for(&self.digest.to_string());
    }

    /// Ends the process as a crash does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) fn start_again(&mut self) {
        self.process = spawn(&self.folder, &self.address, &[]);
        self.wait_for(&self.digest.to_string());
    }

    fn wait_for(&self, digest: &str) {
        let begin = Instant::now();
        while self.get("/health", "").ok().as_deref() != Some(digest) {
            assert!(begin.elapsed() < Duration::from_secs(60), "the document {digest} is not in force");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What a path answers, by curl.
    pub(crate) fn get(&self, path: &str, token: &str) -> Result<String, String> {
        let url = format!("http://{}{path}", self.address);
        let header = format!("Authorization: Bearer {token}");
        let output = Command::new("curl").args(["-sS", "--fail", &url, "-H", &header]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            Ok(text)
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    pub(crate) fn usage(&self) -> Value {
        serde_json::from_str(&self.get("/usage", "usage-token").unwrap()).unwrap()
    }

    /// Runs a case of `clients/s3.py`; answers what it prints.
    pub(crate) fn python(&self, arguments: &[&str]) -> String {
        self.python_with(arguments, "")
    }

    pub(crate) fn python_with(&self, arguments: &[&str], input: &str) -> String {
        let mut child =
            self.python_command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?} failed");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn python_command(&self, arguments: &[&str]) -> Command {
        let python = std::env::var_os("METAPAAS_TEST_PYTHON")
            .expect("METAPAAS_TEST_PYTHON is a Python that has the packages of tests/requirements.txt");
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients/s3.py");
        let mut command = Command::new(python);
        command.arg(script).args(arguments).env("S3_ENDPOINT", format!("http://{}", self.address));
        command
    }

    /// Files with contents of objects, wherever they are; empty ones are there in advance.
    pub(crate) fn files(&self) -> usize {
        let data = self.folder.path().join("data");
        let count = |folder: PathBuf| {
            let sizes = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata());
            // One may go between the two.
            sizes.filter(|found| found.as_ref().is_ok_and(|found| found.len() > 0)).count()
        };
        let shards = std::fs::read_dir(data.join("data")).unwrap();
        count(data.join("new")) + shards.map(|shard| count(shard.unwrap().path())).sum::<usize>()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(folder: &TempDir, address: &str, before: &[&str]) -> Child {
    let program = env!("CARGO_BIN_EXE_metapaas-s3d");
    let words: Vec<&str> = before.iter().copied().chain([program]).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(address);
    command.arg(folder.path().join("document.json")).arg(folder.path().join("data")).spawn().unwrap()
}

/// As the driver does it: no reader ever sees half a document.
fn write(path: &std::path::Path, document: &Value) {
    let new = path.with_extension("new");
    std::fs::write(&new, document.to_string()).unwrap();
    std::fs::rename(new, path).unwrap();
}
