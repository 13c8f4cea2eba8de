//! TLS: who is served, what is refused, and a certificate that changes under running connections.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use metapaas_tests::harness::{Installation, On, PATIENCE, eventually};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::PROGRAM;

const DEMO: &str = "/v1/types/demo/instances";

/// Signs certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority of tests");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Writes a certificate for this machine, and answers it as it goes over the wire.
    fn issue(&self, dir: &Path) -> Vec<u8> {
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        replace(&dir.join("tls.key"), &key.serialize_pem());
        replace(&dir.join("tls.crt"), &certificate.pem());
        certificate.der().to_vec()
    }
}

fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

async fn start(authority: &Authority) -> (Installation, Vec<u8>) {
    let mut installation = Installation::new(PROGRAM, On::Sqlite, &[]).await;
    let dir = installation.dir().to_owned();
    let first = authority.issue(&dir);
    std::fs::write(dir.join("ca.crt"), &authority.pem).unwrap();
    for (name, file) in [
        ("METAPAAS_TLS_CERTIFICATE", "tls.crt"),
        ("METAPAAS_TLS_KEY", "tls.key"),
        // The control plane hands it to agents, the command line trusts it.
        ("METAPAAS_CA_FILE", "ca.crt"),
    ] {
        installation.set(name, dir.join(file).to_str().unwrap());
    }
    installation.trust(&authority.pem);
    installation.up().await;
    assert!(installation.url.starts_with("https://127.0.0.1:"), "{}", installation.url);
    (installation, first)
}

fn curl(arguments: &[&str], url: &str) -> Output {
    Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--max-time", "30", "--noproxy", "*"])
        .args(arguments)
        .arg(url)
        .stdin(Stdio::null())
        .output()
        .expect("curl; install it")
}

/// The certificate that a new connection is shown.
async fn shown(installation: &Installation, authority: &Authority) -> Vec<u8> {
    let roots = metapaas_agent::http::roots(authority.pem.as_bytes()).unwrap();
    let config = ClientConfig::builder_with_provider(metapaas_agent::http::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let address = installation.url.strip_prefix("https://").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_served_with_tls_1_2_and_1_3_and_nothing_else() {
    let authority = Authority::new();
    let (installation, _) = start(&authority).await;
    let url = format!("{}/healthz", installation.url);
    let ca = installation.dir().join("ca.crt");
    let trust = ["--cacert", ca.to_str().unwrap()];
    for version in [&["--tlsv1.2", "--tls-max", "1.2"][..], &["--tlsv1.3"][..]] {
        let answered = curl(&[&trust, version].concat(), &url);
        assert!(answered.status.success(), "{version:?}: {}", String::from_utf8_lossy(&answered.stderr));
        assert_eq!(answered.stdout, b"{\"status\":\"ok\"}");
    }
    // HTTP/1.1 is what is spoken, also to those who offer more, with TLS and without.
    let version = [&trust[..], &["--http2", "--write-out", " %{http_version}"]].concat();
    let plain = Installation::start(PROGRAM, On::Sqlite).await;
    for url in [&url, &format!("{}/healthz", plain.url)] {
        let answered = curl(&version, url);
        assert_eq!(answered.stdout, b"{\"status\":\"ok\"} 1.1", "{answered:?}");
    }
    let old = curl(&[&trust[..], &["--tls-max", "1.1", "--tlsv1.0"]].concat(), &url);
    assert!(!old.status.success(), "TLS 1.1 is refused");
    let strange = curl(&[], &url);
    assert_eq!(strange.status.code(), Some(60), "a certificate that nobody vouches for");
    let plain = curl(&[], &url.replace("https://", "http://"));
    assert!(!plain.status.success(), "plain HTTP is not answered on the port of TLS");
    let listed = installation.cli(&["types", "--output", "json"]);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let wrong = installation.cli(&["--ca-file", "/does/not/exist", "types"]);
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(!wrong.status.success() && said.contains("/does/not/exist"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_work_over_tls_and_a_new_certificate_breaks_no_connection() {
    let authority = Authority::new();
    let (installation, first) = start(&authority).await;
    let project = installation.default_project().await;
    let body = json!({ "name": "my-demo", "project_id": project, "greeting": "over TLS" });
    let _ = installation.call(Method::POST, DEMO, body).await.expect(201);
    let one = format!("{DEMO}/my-demo");
    installation.active(&one).await;
    assert_eq!(shown(&installation, &authority).await, first);

    // A call of the node's waits while the certificate changes.
    let node = installation.node_dirs().into_iter().find(|dir| dir.join("document.json").is_file()).unwrap();
    let read = |file: &str| std::fs::read_to_string(node.join(file)).unwrap();
    let document: serde_json::Value = serde_json::from_str(&read("document.json")).unwrap();
    let digest = document["digest"].as_str().unwrap();
    let url = format!("{}/v1/agents/document?after={digest}&wait=30", installation.url);
    let waiting = tokio::spawn(installation.client().get(url).bearer_auth(read("token").trim()).send());
    tokio::time::sleep(Duration::from_millis(500)).await;

    let second = authority.issue(installation.dir());
    eventually("new connections get the new certificate", || async {
        shown(&installation, &authority).await == second
    })
    .await;
    assert!(!waiting.is_finished(), "the call still waits");
    let _ = installation.call(Method::PATCH, &one, json!({ "greeting": "still there" })).await.expect(200);
    assert_eq!(waiting.await.unwrap().unwrap().status(), 200, "it is answered on its old connection");
    assert_eq!(installation.active(&one).await["generation"], 2);

    // One that is no good changes nothing.
    replace(&installation.dir().join("tls.crt"), "not a certificate");
    eventually("the mistake is logged", || async {
        installation.read_log().contains("the certificate stays as it is")
    })
    .await;
    assert_eq!(shown(&installation, &authority).await, second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_get_on_with_tls_is_cut_off() {
    let authority = Authority::new();
    let (mut installation, _) = start(&authority).await;
    assert!(installation.stop());
    installation.set("METAPAAS_HEADER_TIMEOUT", "1");
    installation.up().await;
    let address = installation.url.strip_prefix("https://").unwrap();
    let mut slow = Vec::new();
    for _ in 0..20 {
        slow.push(TcpStream::connect(address).await.unwrap());
    }
    let _ = installation.get("/v1/types").await.expect(200);
    for mut stream in slow {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok() && rest.is_empty());
    }
}

#[test]
fn a_certificate_that_cannot_be_used_ends_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.issue(dir.path());
    let key = KeyPair::generate().unwrap();
    std::fs::write(dir.path().join("other.key"), key.serialize_pem()).unwrap();
    for (certificate, key, word) in [
        ("tls.crt", Some("other.key"), "other.key"),
        ("tls.key", Some("tls.key"), "no certificate"),
        ("missing.crt", Some("tls.key"), "missing.crt"),
        ("tls.crt", None, "go together"),
    ] {
        let mut command = Command::new(PROGRAM);
        command.args(["up", "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.path().join("data"));
        command.env_clear().env("METAPAAS_TLS_CERTIFICATE", dir.path().join(certificate));
        if let Some(key) = key {
            command.env("METAPAAS_TLS_KEY", dir.path().join(key));
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(word), "{word:?} is not in: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_do_not_travel_in_the_open_beyond_the_machine_unless_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["up", "--listen", "0.0.0.0:0", "--data-dir"]).arg(dir.path().join("data")).env_clear();
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("insecure_plaintext"), "{said}");
    let mut asked_for =
        Installation::start_with(PROGRAM, On::Sqlite, &[("METAPAAS_INSECURE_PLAINTEXT", "true")]).await;
    assert!(asked_for.stop());
}
