//! The README's tour, run as it stands there.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::PROGRAM;
use crate::docker::apps;
use metapaas_tests::docker::Docker;
use metapaas_tests::harness::{Installation, On};
use metapaas_tests::workspace_root;

/// Comes after a block's own output.
const END: &str = "--- end of block ---";
/// A block that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Debian's `docker` at the engine of the tests. There it sees the containers of other tests too, which must stay.
fn only_own_containers(docker: &Docker, program: &Path) {
    let (socket, network) = (docker.socket.display(), &docker.network);
    let text = format!(
        "#!/bin/sh\nexport DOCKER_HOST=unix://{socket}\n[ \"$1\" = ps ] && set -- \"$@\" --filter network={network}\n\
         exec /usr/bin/docker \"$@\"\n"
    );
    std::fs::write(program, text).unwrap();
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Fenced blocks of the section `Tour`: the word after `sh`, and the text.
fn blocks(readme: &str) -> Vec<(String, String)> {
    let (_, tour) = readme.split_once("\n## Tour\n").expect("a section Tour");
    fenced_blocks(tour.split_once("\n## ").map_or(tour, |(tour, _)| tour))
}

/// The blocks of one kind on a page of the book, one after the other.
pub(crate) fn blocks_of(page: &str, kind: &str) -> String {
    let text = std::fs::read_to_string(workspace_root().join("book/src").join(page)).unwrap();
    let begin = format!("```sh {kind}\n");
    let blocks = text.split(&begin).skip(1).filter_map(|rest| rest.split_once("```"));
    let found: String = blocks.map(|(block, _)| block).collect();
    assert!(!found.is_empty(), "{page} has no block `sh {kind}`");
    found
}

/// Fenced blocks of a text.
pub(crate) fn fenced_blocks(tour: &str) -> Vec<(String, String)> {
    let mut fenced = tour.split("```");
    let mut found = Vec::new();
    while let (Some(_), Some(block)) = (fenced.next(), fenced.next()) {
        let (info, text) = block.split_once('\n').expect("a line after the fence");
        let kind = info.strip_prefix("sh ").expect("each block of the tour says what it is: `sh tour`");
        found.push((kind.to_owned(), text.to_owned()));
    }
    found
}

/// A reader's shell. It ends at the first line that fails.
pub(crate) struct Shell {
    bash: Child,
    input: ChildStdin,
    output: Receiver<String>,
}

impl Shell {
    pub(crate) fn open(folder: &Path, environment: &[(&str, &Path)]) -> Self {
        let bin = folder.join("bin");
        std::fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(PROGRAM, bin.join("metapaas")).unwrap();
        let system = "/usr/local/bin:/usr/bin:/bin";
        let mut bash = Command::new("bash")
            .arg("-e")
            .current_dir(folder)
            .env_clear()
            .env("PATH", format!("{}:{system}", bin.display()))
            .env("HOME", folder)
            .envs(environment.iter().copied())
            // What it started ends with it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("run bash");
        let input = bash.stdin.take().unwrap();
        let lines = BufReader::new(bash.stdout.take().unwrap()).lines();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { bash, input, output }
    }

    /// Pastes a block that does not end by itself.
    pub(crate) fn begin(&mut self, block: &str) {
        self.input.write_all(block.as_bytes()).expect("a shell that reads");
    }

    /// What it prints up to and with the first line that `is_last`.
    pub(crate) fn until(&self, is_last: impl Fn(&str) -> bool) -> String {
        let mut printed = String::new();
        loop {
            let line = self.output.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|why| panic!("{why}: it printed:\n{printed}"));
            printed.push_str(&(line.clone() + "\n"));
            if is_last(&line) {
                return printed;
            }
        }
    }

    /// Pastes a block and answers what it printed.
    pub(crate) fn paste(&mut self, block: &str) -> String {
        // A shell that has ended already is told by its output.
        let _ = write!(self.input, "{block}\nprintf '\\n%s\\n' '{END}'\n");
        let mut printed = String::new();
        loop {
            match self.output.recv_timeout(PATIENCE) {
                Ok(line) if line == END => return printed,
                Ok(line) => printed.push_str(&(line + "\n")),
                Err(why) => panic!("{why}: this block failed or hangs:\n{block}\nit printed:\n{printed}"),
            }
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // It may have ended.
        let group = i32::try_from(self.bash.id()).ok().and_then(rustix::process::Pid::from_raw);
        let _ = group.map(|group| rustix::process::kill_process_group(group, rustix::process::Signal::KILL));
        let _ = self.bash.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tour_can_be_pasted() {
    let readme = std::fs::read_to_string(workspace_root().join("README.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut installation =
        Installation::start_with(PROGRAM, On::Sqlite, &[("METAPAAS_ROUTER_LISTEN", "127.0.0.1:0")]).await;
    let mut shell = Shell::open(folder.path(), &[("METAPAAS_DATA_DIR", &installation.data_dir())]);
    let mut printed = String::new();
    for (kind, block) in blocks(&readme) {
        match kind.as_str() {
            "tour" => printed.push_str(&tokio::task::block_in_place(|| shell.paste(&block))),
            // Other control planes may run on this machine, so the harness kills its own.
            "kill" => installation.kill(),
            "start" => installation.up().await,
            other => panic!("no test knows what to do with a block `sh {other}`"),
        }
    }
    let count = |text: &str| printed.matches(text).count();
    assert_eq!(count("<h1>Hello world</h1>"), 1, "{printed}");
    assert!(printed.contains("\"name\":\"by-curl\""), "{printed}");
    assert_eq!(count("demo/by-curl deleted"), 1, "{printed}");
    // On three nodes, and after the service and the agent were killed.
    assert_eq!(count("<h1>Good morning</h1>"), 5, "{printed}");
    // On three nodes, and while the control plane is away.
    assert_eq!(count("Three nodes tell this\n"), 3 + 1 + 1, "{printed}");
    assert_eq!(count("the same node as before"), 1, "{printed}");
    assert_eq!(count("Hello from S3\n"), 1, "{printed}");
    assert_eq!(count("<Key>hello</Key>"), 1, "{printed}");
    assert_eq!(count("nobody else: 403"), 1, "{printed}");
    assert_eq!(count("s3/my-store deleted"), 1, "{printed}");
    assert_eq!(count("Hello you, this is version 1\n"), 1, "{printed}");
    assert_eq!(count("Hello from Node\n"), 1, "{printed}");
    assert_eq!(count("Hello from a directory\n"), 1, "{printed}");
    assert_eq!(count("app/notes deleted"), 1, "{printed}");
    // After the deploy, the rollback and the failed build.
    assert_eq!(count("Hello you, this is version 2\n"), 3, "{printed}");
    assert_eq!(count("Hello everybody, this is version 2\n"), 1, "{printed}");
    assert_eq!(count("the deploy failed, exit code 1"), 1, "{printed}");
    assert_eq!(count("app/api deleted"), 1, "{printed}");
    assert_eq!(count("vera is refused, exit code 4"), 1, "{printed}");
    assert_eq!(count("otto is refused, exit code 4"), 1, "{printed}");
    assert!(printed.trim_end().ends_with("demo/my-demo deleted\n0"), "{printed}");
    assert_eq!(installation.node_dirs_of_nodes(), 0, "nothing is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tour_of_containers_can_be_pasted() {
    let docker = Docker::new();
    let installation = apps::start(&docker, "{}").await;
    let readme = std::fs::read_to_string(workspace_root().join("README.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data = installation.data_dir();
    let environment =
        [("METAPAAS_DATA_DIR", data.as_path()), ("METAPAAS_DOCKER_SOCKET", docker.socket.as_path())];
    let mut shell = Shell::open(folder.path(), &environment);
    only_own_containers(&docker, &folder.path().join("bin/docker"));
    let mut printed = String::new();
    for rest in readme.split("\n```sh containers\n").skip(1) {
        let (block, _) = rest.split_once("```").unwrap();
        printed.push_str(&tokio::task::block_in_place(|| shell.paste(block)));
    }
    let count = |text: &str| printed.matches(text).count();
    assert!(printed.starts_with("metapaas-runtime:"), "{printed}");
    assert_eq!(count("Hello you, this is version 1 with no bucket\n"), 1, "{printed}");
    assert_eq!(count("Hello from Node\n"), 1, "{printed}");
    // After the deploy, the change and the rollback.
    assert_eq!(count("Hello you, this is version 2 with no bucket\n"), 2, "{printed}");
    assert_eq!(count("Hello everybody, this is version 2 with no bucket\n"), 1, "{printed}");
    // Once it is bound, and once its containers were made again.
    assert_eq!(count("version 2 with photos\n"), 2, "{printed}");
    // Of each app a builder and a node at least, and the storage.
    let listed = printed.lines().filter(|line| line.contains("   metapaas-") && line.contains("   Up "));
    assert!(listed.count() >= 5, "{printed}");
    assert_eq!(count("s3/my-store deleted"), 1, "{printed}");
    assert!(docker.containers().await.is_empty(), "nothing is left");
}

#[test]
fn blocks_are_found() {
    let readme = "# A\n```sh\nno\n```\n## Tour\ntext\n```sh tour\na\nb\n```\n```sh kill\nc\n```\n## B\n```sh\nno\n```\n";
    let expected = [("tour", "a\nb\n"), ("kill", "c\n")];
    assert_eq!(blocks(readme), expected.map(|(kind, text)| (kind.to_owned(), text.to_owned())));
}
