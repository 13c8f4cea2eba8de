//! Images from a registry: pulled when it has them, made when it does not.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use metapaas_tests::docker::Docker;
use metapaas_tests::harness::On;
use reqwest::Method;
use serde_json::Value;

use super::{create, start};

/// Debian's `docker-registry` on a free port.
struct Registry {
    process: Child,
    address: String,
}

impl Registry {
    fn start(folder: &Path) -> Self {
        let settings = folder.join("settings.yml");
        let text = format!(
            "version: 0.1\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp: {{ addr: '127.0.0.1:0' }}\n",
            folder.join("data").display()
        );
        std::fs::write(&settings, text).unwrap();
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(settings)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start docker-registry, which `cargo xtask test` installs");
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let said = lines.find_map(|line| Some(line.unwrap().split_once("listening on ")?.1.to_owned()));
        let address = said.unwrap().split(['"', ' ']).next().unwrap().to_owned();
        // It must not stand still for want of a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The image that the container of a new instance runs, and its id.
async fn image(docker: &Docker, registry: Option<&str>) -> (String, String) {
    let mut settings = docker.settings("docker");
    settings.extend(registry.map(|name| ("METAPAAS_DOCKER_REGISTRY".to_owned(), name.to_owned())));
    let installation = start(On::Sqlite, &settings).await;
    let node = create(&installation, 1).await.remove(0);
    let container = docker.container(&node).await.unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&container["Config"]["Image"]), text(&container["Image"]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_come_from_the_registry_that_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start(folder.path());
    let (paas, empty) = (format!("{}/paas", registry.address), format!("{}/empty", registry.address));
    let (name, made) = image(&Docker::new(), None).await;
    let (repository, tag) = name.split_once(':').unwrap();
    assert_eq!(repository, "metapaas-small");

    let docker = Docker::new();
    let ask = async |method: Method, path: String| {
        let (status, answer) = docker.call(method, &path, &Value::Null).await;
        assert!(status.is_success() && !answer.to_string().contains("errorDetail"), "{path}: {answer}");
    };
    let pushed = format!("{paas}/{repository}");
    ask(Method::POST, format!("/images/{name}/tag?repo={pushed}&tag={tag}")).await;
    ask(Method::POST, format!("/images/{pushed}/push?tag={tag}")).await;
    ask(Method::DELETE, format!("/images/{pushed}:{tag}")).await;
    // An image that is made has an id of its own, as it was made at a time of its own.
    assert_eq!(image(&docker, Some(&paas)).await, (format!("{pushed}:{tag}"), made.clone()), "it was pulled");

    let docker = Docker::new();
    let (other, id) = image(&docker, Some(&empty)).await;
    assert_eq!(other, format!("{empty}/{repository}:{tag}"));
    assert_ne!(id, made, "it was made here");
}
