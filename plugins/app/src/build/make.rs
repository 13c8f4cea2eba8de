//! From an order to an image: fetch or unpack, check the contract, install the dependencies unless they are there, keep the layers.

use std::path::{Path, PathBuf};

use metapaas_core::agent::launch::DEFAULT_PATH;
use metapaas_core::agent::process::NODE_VARIABLE;
use metapaas_runtimes::Runtime;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::git::Repository;
use super::log::Log;
use super::{layer_path, step, unpack, upload_path};
use crate::document::{Builds, Order, Outcome};
use crate::sandbox::{APP, Sandbox, is_root, user_of};
use crate::source;

/// Processor time of a step of a build, whatever the clock says.
const CPU_SECONDS: u64 = 3600;
const PROCESSES: u64 = 1024;
/// How files are packed that become a layer.
const PACK: [&str; 5] = ["--create", "--mode=u+rwX,go+rX,u-s,g-s", "--owner=0", "--group=0", "--file"];

/// Makes the image of an order.
///
/// # Errors
/// Why it cannot be made, for the tenant.
pub(super) async fn make(
    directory: &Path,
    order: &Order,
    builds: &Builds,
    log: &Log,
) -> Result<Outcome, String> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| format!("{what}: {error}")
    };
    let workspace = directory.join("workspace");
    clear(&workspace, &failed)?;
    let app = workspace.join("app");
    std::fs::create_dir(&app).map_err(failed("make the workspace"))?;
    let archive = workspace.join("source.tar");
    let commit = match source::upload(&order.repo) {
        Some(digest) => from_upload(directory, digest, order, builds, log, &app, &archive).await?,
        None => from_repository(directory, order, builds, log, &app, &archive).await?,
    };
    let source = hash(&json!([commit, order.subdir]).to_string());
    let name = match &order.runtime {
        Some(name) => name.clone(),
        None => metapaas_runtimes::recognise(&app)?.to_owned(),
    };
    let runtime = metapaas_runtimes::runtime(&name).ok_or_else(|| format!("no runtime is called {name}"))?;
    let from_procfile = procfile(&app);
    if let Some(problem) = runtime.problem(&app, order.has_command || from_procfile.is_some()) {
        return Err(format!("{problem}; the runtime {name} needs it"));
    }
    let dependencies = dependencies(directory, &app, &runtime, &commit, builds, log).await?;
    std::fs::rename(&archive, layer_path(directory, &source)).map_err(failed("keep the sources"))?;
    let _ = std::fs::remove_dir_all(&workspace);
    log.step("built");
    Ok(Outcome {
        commit: Some(commit),
        image: Some(format!("{source}.{dependencies}")),
        language: Some(name),
        default_command: Some(from_procfile.unwrap_or_else(|| runtime.command.clone())),
        message: None,
        build_log: None,
    })
}

/// Has the files of a commit in `app` and in `archive`, and answers the commit.
async fn from_repository(
    directory: &Path,
    order: &Order,
    builds: &Builds,
    log: &Log,
    app: &Path,
    archive: &Path,
) -> Result<String, String> {
    log.step(&format!("fetching {} of {}", order.git_ref, order.repo));
    let repository = Repository::open(directory, order, builds).await?;
    let commit = repository.fetch(order, log, builds.settings.build_disk_mb).await?;
    log.set_commit(&commit);
    log.line(&format!("commit {commit}"));
    repository.inspect(&commit, &order.subdir).await?;
    repository.archive(&commit, &order.subdir, archive).await?;
    let mut unpack = tar(&["--extract", "--no-same-owner", "--file"]);
    unpack.arg(archive).arg("--directory").arg(app);
    step::output(unpack).await?;
    Ok(commit)
}

/// The same with the files of an upload, whose digest stands for the commit.
async fn from_upload(
    directory: &Path,
    digest: &str,
    order: &Order,
    builds: &Builds,
    log: &Log,
    app: &Path,
    archive: &Path,
) -> Result<String, String> {
    log.step(&format!("unpacking the upload {digest}"));
    log.set_commit(digest);
    let uploaded = upload_path(directory, digest);
    if !uploaded.is_file() {
        return Err("the upload is no longer there; deploy the directory again".into());
    }
    let mut unpack = engine(unpack::ENGINE)?;
    unpack.arg(uploaded).arg(app).arg(&order.subdir);
    unpack.args([builds.settings.build_disk_mb, builds.settings.build_ram_mb].map(|limit| limit.to_string()));
    step::output(unpack).await?;
    let mut pack = tar(&PACK);
    pack.arg(archive).arg("--directory").arg(app).arg(".");
    step::output(pack).await?;
    Ok(digest.to_owned())
}

/// The layer of the dependencies; made unless one of the same files is there.
async fn dependencies(
    directory: &Path,
    app: &Path,
    runtime: &Runtime,
    commit: &str,
    builds: &Builds,
    log: &Log,
) -> Result<String, String> {
    let mut version = Command::new(runtime.version.first().map(String::as_str).unwrap_or_default());
    version.args(runtime.version.iter().skip(1)).env_clear().env("PATH", DEFAULT_PATH);
    let version = step::output(version).await?;
    let mut key = Sha256::new();
    key.update(&version);
    key.update(json!([runtime.installing(app), builds.settings.build_environment]).to_string());
    let mut is_plain = true;
    for file in &runtime.keyed_by {
        let bytes = std::fs::read(app.join(file)).unwrap_or_default();
        is_plain &= !reaches_out(&bytes);
        key.update(json!([file, bytes.len()]).to_string());
        key.update(bytes);
    }
    // What names other files of the app is as new as they are.
    if !is_plain {
        key.update(commit);
    }
    let layer: String = key.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let kept = layer_path(directory, &layer);
    if kept.is_file() {
        log.line("dependencies have not changed");
        return Ok(layer);
    }
    let installing = runtime.installing(app).to_vec();
    let user = user_of(std::env::var(NODE_VARIABLE).ok().and_then(|id| id.parse().ok()).unwrap_or_default());
    let packages = directory.join("packages");
    if is_root() {
        for folder in [app, packages.as_path()] {
            let mut own = Command::new("chown");
            own.args(["--recursive", "--no-dereference", &format!("{user}:{user}"), "--"]).arg(folder);
            own.env_clear().env("PATH", DEFAULT_PATH);
            step::output(own).await?;
        }
    }
    for command in installing {
        log.step(&command.join(" "));
        // What it does, without all its options.
        let name = command.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(" ");
        let run = inside(directory, app, runtime, command, builds, user)?;
        step::run(run, &name, log, app, builds.settings.build_disk_mb).await?;
    }
    log.step("keeping the dependencies");
    let folder = app.join(&runtime.installs);
    if !folder.is_dir() {
        // An app without dependencies.
        std::fs::create_dir(&folder).map_err(|error| format!("make {}: {error}", runtime.installs))?;
    }
    point_to_env(&folder.join("bin"));
    let made = kept.with_extension("tmp");
    let mut pack = tar(&PACK);
    pack.arg(&made).arg("--directory").arg(app).arg("--").arg(&runtime.installs);
    step::output(pack).await?;
    std::fs::rename(&made, &kept).map_err(|error| format!("keep the dependencies: {error}"))?;
    Ok(layer)
}

/// A step of the build in its sandbox: it sees the app's files and what package managers keep, and no more.
fn inside(
    directory: &Path,
    app: &Path,
    runtime: &Runtime,
    command: Vec<String>,
    builds: &Builds,
    user: u32,
) -> Result<Command, String> {
    let scratch = directory.join("workspace/root");
    std::fs::create_dir_all(&scratch).map_err(|error| format!("make the workspace: {error}"))?;
    let mut environment = runtime.environment.clone();
    let caches = [("PIP_CACHE_DIR", "/packages/pip"), ("npm_config_cache", "/packages/npm"), ("CI", "1")];
    environment.extend(caches.map(|(name, value)| (name.to_owned(), value.to_owned())));
    environment.extend(builds.settings.build_environment.clone());
    let sandbox = Sandbox {
        app: app.to_owned(),
        is_writable: true,
        binds: vec![(directory.join("packages"), PathBuf::from("/packages"))],
        scratch,
        command,
        environment,
        user,
        ram_mb: builds.settings.build_ram_mb,
        processes: PROCESSES,
        cpu_seconds: Some(CPU_SECONDS),
        file_mb: builds.settings.build_disk_mb,
        is_build: true,
        is_shared: builds.is_shared,
    };
    let file = directory.join("workspace/step.json");
    std::fs::write(&file, json!(sandbox).to_string())
        .map_err(|error| format!("make the workspace: {error}"))?;
    let mut run = engine("app-run")?;
    run.arg(file);
    Ok(run)
}

/// An engine of the platform's own program, marked as the node's.
fn engine(name: &str) -> Result<Command, String> {
    let program = std::env::current_exe().map_err(|error| format!("find the platform's program: {error}"))?;
    let mut command = Command::new(program);
    command.args(["engine", name]).env_clear().env("PATH", DEFAULT_PATH);
    for name in [NODE_VARIABLE, metapaas_core::agent::process::SERVICE_VARIABLE] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    Ok(command)
}

/// The command of the process `web` in the Procfile, a word each.
fn procfile(app: &Path) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(app.join("Procfile")).ok()?;
    let command = text.lines().find_map(|line| line.trim().strip_prefix("web:"))?;
    let words = words(command);
    (!words.is_empty()).then_some(words)
}

/// Words as a shell would tell them apart, without all else that a shell does.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut word, mut quote) = (None::<String>, None);
    for letter in text.chars() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, _) if letter.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// Whether a list of dependencies names other files, whose content decides as well.
fn reaches_out(list: &[u8]) -> bool {
    let text = String::from_utf8_lossy(list);
    text.contains("file:")
        || text.lines().map(str::trim).any(|line| {
            ["-r", "-c", "-e", "--requirement", "--constraint", "--editable", ".", "/"]
                .iter()
                .any(|start| line.starts_with(start))
        })
}

/// Programs of a virtual environment find its Python by name, so that it may be elsewhere than where it was made.
fn point_to_env(programs: &Path) {
    for entry in std::fs::read_dir(programs).into_iter().flatten().flatten() {
        let path = entry.path();
        if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let Some((first, rest)) = text.split_once('\n') else { continue };
        if first.starts_with(&format!("#!{APP}/")) && first.contains("python") {
            // A program that cannot be rewritten works where it was made.
            let _ = std::fs::write(&path, format!("#!/usr/bin/env python3\n{rest}"));
        }
    }
}

fn tar(arguments: &[&str]) -> Command {
    let mut command = Command::new("tar");
    command.args(arguments).env_clear().env("PATH", DEFAULT_PATH);
    command
}

/// Makes an empty folder in place of whatever is there.
fn clear<F: Fn(std::io::Error) -> String>(folder: &Path, failed: &impl Fn(&str) -> F) -> Result<(), String> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(failed("empty the workspace")(error));
        }
        _ => {}
    }
    std::fs::create_dir(folder).map_err(failed("make the workspace"))
}

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_procfile_is_told_apart_as_a_shell_would() {
        for (text, expected) in [
            ("gunicorn app:app --bind 0.0.0.0:$PORT", vec!["gunicorn", "app:app", "--bind", "0.0.0.0:$PORT"]),
            (" node  'a b.js' \"c\"d '' ", vec!["node", "a b.js", "cd", ""]),
            ("", vec![]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn lists_that_name_other_files_are_known() {
        for (list, expected) in
            [("flask==3\n", false), ("-r base.txt\n", true), ("flask\n./lib\n", true), ("-e .\n", true)]
        {
            assert_eq!(reaches_out(list.as_bytes()), expected, "{list}");
        }
        assert!(reaches_out(br#"{"dependencies": {"a": "file:../a"}}"#));
    }
}
