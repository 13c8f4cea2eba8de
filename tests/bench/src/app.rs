//! `metapaas-bench app`: what the router costs beside nginx, and what builds and redeploys of apps take.
//!
//! Control plane, agents, router and apps are the real ones, on the process provider.

mod proxies;
mod redeploys;
mod samples;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use metapaas_tests::harness::{Installation, On};
use metapaas_tests::repository::Repository;
use reqwest::Method;
use serde_json::{Value, json};

use crate::error::BenchError;
use crate::report::{Finding, Report};

/// The first argument that leads here.
pub(crate) const COMMAND: &str = "app";

const APPS: &str = "/v1/types/app/instances";
const SETTINGS: [(&str, &str); 2] =
    [("METAPAAS_PLUGINS", r#"{app={transports=["file"]}}"#), ("METAPAAS_ROUTER_LISTEN", "127.0.0.1:0")];
/// Longer than any build should take.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(20);

/// Measures apps.
#[derive(Parser)]
pub(crate) struct Arguments {
    /// The `metapaas` program.
    #[arg(long)]
    metapaas: PathBuf,
    /// Debian's nginx.
    #[arg(long)]
    nginx: PathBuf,
    /// How long each load lasts, after a second of warm-up.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// How often router, nginx and the bare app take turns; the medians are compared.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How often an app is deployed anew under load.
    #[arg(long, default_value_t = 20)]
    redeploys: usize,
    /// Measure this alone; may be repeated.
    #[arg(long, value_parser = ["proxies", "builds", "redeploys"])]
    only: Vec<String>,
    /// Write the numbers here too.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Measures what is asked for and prints it.
pub(crate) async fn run(arguments: &Arguments) -> Result<(), BenchError> {
    let program = arguments.metapaas.display().to_string();
    let installation = Installation::start_with(&program, On::Sqlite, &SETTINGS).await;
    let mut report = Report::default();
    let is_wanted = |what: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == what);
    if is_wanted("proxies") {
        proxies::measure(&installation, arguments, &mut report).await?;
    }
    if is_wanted("builds") {
        for (name, files, source) in [
            ("flask", &samples::FLASK[..], samples::FLASK[0]),
            ("express", &samples::EXPRESS[..], samples::EXPRESS[0]),
        ] {
            build_twice(&installation, name, files, source, &mut report).await?;
        }
    }
    if is_wanted("redeploys") {
        redeploys::measure(&installation, arguments.redeploys, &mut report).await?;
    }
    println!("\n{report}");
    match &arguments.json {
        Some(path) => report.write_json(path),
        None => Ok(()),
    }
}

/// From the order to the image: the first build of an app, then one of another commit with the same dependencies.
async fn build_twice(
    installation: &Installation,
    name: &'static str,
    files: &[(&str, &str)],
    (file, source): (&str, &str),
    report: &mut Report,
) -> Result<(), BenchError> {
    let repository = Repository::new();
    repository.commit(files);
    let begun = Instant::now();
    let app = App::create(installation, name, &repository, 1).await;
    app.built(1).await?;
    let first = begun.elapsed().as_secs_f64();
    app.active().await?;
    repository.commit(&[(file, &source.replace("one", "two"))]);
    let begun = Instant::now();
    app.act("deploy").await;
    app.built(2).await?;
    let second = begun.elapsed().as_secs_f64();
    app.delete().await?;
    let note = |what: &str, value, unit| {
        eprintln!("builds {name} {what}: {value:.2} {unit}");
        Finding::new("builds", format!("{name}: {what}"), value, unit)
    };
    let findings = [
        note("first build", first, "s"),
        note("same dependencies", second, "s"),
        note("second build to the first", second / first, "of the first").at_most(1.0 / 3.0),
    ];
    report.findings.extend(findings);
    Ok(())
}

/// An app of the installation.
struct App<'a> {
    at: &'a Installation,
    name: String,
    path: String,
}

impl<'a> App<'a> {
    async fn create(at: &'a Installation, name: &str, repository: &Repository, replicas: u32) -> Self {
        let project = at.default_project().await;
        let body =
            json!({ "name": name, "project_id": project, "repo": repository.url(), "replicas": replicas });
        let _ = at.call(Method::POST, APPS, body).await.expect(201);
        Self { at, name: name.to_owned(), path: format!("{APPS}/{name}") }
    }

    /// What the router knows it by.
    fn host(&self) -> String {
        format!("{}.localhost", self.name)
    }

    async fn act(&self, verb: &str) {
        let path = format!("{}/actions/{verb}", self.path);
        let _ = self.at.call(Method::POST, &path, json!({})).await.expect(202);
    }

    async fn set_env(&self, key: &str, value: &str) {
        let path = format!("{}/env-vars/{key}", self.path);
        let changed = self.at.call(Method::PATCH, &path, json!({ "value": value })).await;
        if changed.status == 404 {
            let (path, body) = (format!("{}/env-vars", self.path), json!({ "key": key, "value": value }));
            let _ = self.at.call(Method::POST, &path, body).await.expect(201);
        }
    }

    /// Waits until a release has an image.
    async fn built(&self, release: u32) -> Result<Value, BenchError> {
        let path = format!("{}/releases/{release}", self.path);
        self.until(&path, |row| !row["image"].is_null()).await
    }

    async fn active(&self) -> Result<Value, BenchError> {
        let is_active =
            |row: &Value| row["status"] == "ACTIVE" && row["generation"] == row["observed_generation"];
        self.until(&self.path, is_active).await
    }

    async fn delete(&self) -> Result<(), BenchError> {
        let _ = self.at.call(Method::DELETE, &self.path, Value::Null).await.expect(202);
        self.until(&self.path, Value::is_null).await.map(drop)
    }

    /// The row at `path` once it is as it should be; null when there is none.
    async fn until(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Result<Value, BenchError> {
        let begun = Instant::now();
        loop {
            let answer = self.at.get(path).await;
            let row = if answer.status == 404 { Value::Null } else { answer.body };
            if holds(&row) {
                return Ok(row);
            }
            if begun.elapsed() > PATIENCE || row["status"] == "ERROR" || row["state"] == "FAILED" {
                return Err(BenchError::App { path: path.to_owned(), row: format!("{row:#}") });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The port that a node of the release that serves listens on.
    async fn port(&self) -> Result<u16, BenchError> {
        let row = self.active().await?;
        let place = format!("web-{}-0", row["release"]);
        let nodes = row["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let node = nodes.iter().find(|node| node["place"] == place.as_str());
        let id = node.and_then(|node| node["id"].as_str()).unwrap_or_default();
        let path = self.at.data_dir().join("nodes").join(id).join("work/port");
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(|source| BenchError::File { action: "read", path: path.clone(), source })?;
        let no_number = |error| std::io::Error::new(std::io::ErrorKind::InvalidData, error);
        text.trim().parse().map_err(|error: std::num::ParseIntError| BenchError::File {
            action: "read a port in",
            path,
            source: no_number(error),
        })
    }
}
