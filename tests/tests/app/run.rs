//! One-off commands of apps: what they see, how they are told, and how they end.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use metapaas_tests::harness::{Installation, On, PATIENCE, client, eventually, signal};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{App, SETTINGS, samples};
use crate::PROGRAM;
use metapaas_tests::repository::Repository;

/// A stream of a command's events.
pub(crate) struct Stream {
    answer: reqwest::Response,
    text: String,
}

impl Stream {
    pub(crate) async fn open(app: &App<'_>, body: Value) -> Self {
        let url = format!("{}{}/actions/run", app.installation.url, app.path);
        let request = client().post(url).bearer_auth(&app.installation.token);
        let answer = request.header("accept", "text/event-stream").json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        Self { answer, text: String::new() }
    }

    /// The next event: its name and its data.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
                if let Some(kind) = field("event: ") {
                    return Some((kind.to_owned(), serde_json::from_str(field("data: ")?).unwrap()));
                }
                continue;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.answer.chunk()).await.expect("it goes on");
            self.text.push_str(std::str::from_utf8(&chunk.ok()??).unwrap());
        }
    }

    /// Standard output up to the end of its first line, and no end of the command.
    pub(crate) async fn line(&mut self) -> String {
        let mut line = String::new();
        while !line.ends_with('\n') {
            let (kind, data) = self.next().await.unwrap();
            assert_eq!(kind, "stdout", "{data}");
            line.push_str(data["text"].as_str().unwrap());
        }
        line
    }

    /// Everything up to the end: standard output, standard error, the last event.
    pub(crate) async fn rest(&mut self) -> (String, String, (String, Value)) {
        let (mut out, mut err) = (String::new(), String::new());
        while let Some((kind, data)) = self.next().await {
            match kind.as_str() {
                "stdout" => out.push_str(data["text"].as_str().unwrap()),
                "stderr" => err.push_str(data["text"].as_str().unwrap()),
                _ => return (out, err, (kind, data)),
            }
        }
        panic!("no end: {out} {err}");
    }
}

fn python(code: &str) -> Value {
    json!({ "command": ["python3", "-u", "-c", code] })
}

/// Processes whose command line has this in it.
fn running(mark: &str) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(mark)).count()
}

async fn has_ended(mark: &str) {
    eventually("all that the command started has ended", || async { running(mark) == 0 }).await;
}

/// Sleeps in a child that hides: a session of its own, an empty environment, no parent.
fn hiding(mark: &str) -> String {
    let sleeper = format!("import os, time; os.setsid(); time.sleep(300) # {mark}");
    format!(
        "import os, subprocess, sys, time\n\
         if os.fork() == 0:\n    os.execve(sys.executable, ['python3', '-c', {sleeper:?}], {{}})\n\
         os.write(1, b'started\\n'); time.sleep(300) # {mark}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_runs_as_the_app_does_and_ends_with_who_asked() {
    let environment = [("METAPAAS_PLUGINS", SETTINGS), ("METAPAAS_RUN_TIMEOUT", "120")];
    let installation = Installation::start_with(PROGRAM, On::Sqlite, &environment).await;
    let repository = Repository::new();
    repository.commit(&samples::GREETER);
    let app = App::create(&installation, "shop", json!({ "repo": repository.url() })).await;
    let run = format!("{}/actions/run", app.path);
    let early = installation.call(Method::POST, &run, python("")).await.expect(409);
    assert!(early.body["detail"].as_str().unwrap().contains("no release"), "{early:?}");
    app.active().await;
    app.set_env("GREETING", "hello").await;
    let secret = json!({ "key": "HUSH", "secret": "no-one-else" });
    let _ = installation.call(Method::POST, &format!("{}/env-vars", app.path), secret).await.expect(201);
    let app_now = app.active().await;

    // Output comes while the command runs, each on its own.
    let code = "import os, sys, time\nprint(os.environ['GREETING'], os.environ['HUSH'], sys.stdin.read() == '')\n\
                print(os.path.exists('app.py'), file=sys.stderr)\nwhile not os.path.exists('/tmp/go'): time.sleep(0.05)";
    let mut stream = Stream::open(&app, python(code)).await;
    let (mut out, mut err) = (String::new(), String::new());
    while !out.ends_with('\n') || !err.ends_with('\n') {
        let (kind, data) = stream.next().await.unwrap();
        let to = if kind == "stdout" { &mut out } else { &mut err };
        to.push_str(data["text"].as_str().expect("it has not ended"));
    }
    assert_eq!((out.as_str(), err.as_str()), ("hello no-one-else True\n", "True\n"));
    // Two at once; the second is told as a result.
    let result = installation.call(Method::POST, &run, python("print('ä'); raise SystemExit(3)")).await;
    let result = result.expect(200).body;
    assert_eq!((&result["code"], &result["stdout"]), (&json!(3), &json!("ä\n")), "{result}");
    drop(stream);

    let (out, err, end) =
        Stream::open(&app, json!({ "command": ["no-such-program", "a"] })).await.rest().await;
    assert_eq!((out.as_str(), end.0.as_str(), &end.1["code"]), ("", "exit", &json!(127)));
    assert!(err.contains("no-such-program cannot be started"), "{err}");
    let killed = Stream::open(&app, python("import os; os.kill(os.getpid(), 9)")).await.rest().await.2;
    assert_eq!(killed.1["code"], 137);
    // More than any queue on the way holds.
    let code = "import sys; sys.stdout.write('0123456789' * 400_000)";
    let (out, ..) = Stream::open(&app, python(code)).await.rest().await;
    assert_eq!(out.len(), 4_000_000);

    let mark = format!("mark-{}", installation.pid());
    let mut late = python(&hiding(&mark));
    late["timeout_seconds"] = json!(2);
    let (out, _, end) = Stream::open(&app, late).await.rest().await;
    assert_eq!((out.as_str(), &end.1["code"]), ("started\n", &json!(124)), "{end:?}");
    has_ended(&mark).await;
    let mut left = Stream::open(&app, python(&hiding(&mark))).await;
    assert_eq!(left.line().await, "started\n");
    eventually("both run", || async { running(&mark) >= 2 }).await;
    drop(left);
    has_ended(&mark).await;

    for (body, pointer) in [
        (json!({}), "/command"),
        (json!({ "command": [] }), "/command"),
        (json!({ "command": ["", "a"] }), "/command/0"),
        (json!({ "command": ["a", 1] }), "/command/1"),
        (json!({ "command": ["a", "\0"] }), "/command/1"),
        (json!({ "command": ["a"], "timeout_seconds": 121 }), "/timeout_seconds"),
        (json!({ "command": ["a"], "shell": true }), "/shell"),
    ] {
        let refused = installation.call(Method::POST, &run, body).await.expect(400);
        assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{refused:?}");
    }
    let project = app_now["project_id"].as_str().unwrap();
    let viewer = installation.user("vera", project, "viewer").await;
    let refused = installation.call_as(&viewer, Method::POST, &run, python("print(1)")).await;
    let _ = refused.expect(403);
    let audit = installation.get("/v1/iam/audit?action=app.instances.run&outcome=OK").await.expect(200).body;
    let lines = audit["items"].as_array().unwrap();
    assert!(lines.iter().any(|line| line["detail"]["command"] == json!(["no-such-program", "a"])), "{audit}");
    assert!(!audit.to_string().contains("no-one-else"), "{audit}");

    from_the_command_line(&installation, &mark).await;
    the_agent_dies(&app, &mark).await;
    app.act("stop", json!({})).await;
    let stopped = installation.call(Method::POST, &run, python("")).await.expect(409);
    assert!(stopped.body["detail"].as_str().unwrap().contains("start"), "{stopped:?}");
}

async fn from_the_command_line(installation: &Installation, mark: &str) {
    let words =
        ["run", "shop", "--", "python3", "-c", "import sys; print(1); print(2, file=sys.stderr); exit(7)"];
    let ended = tokio::task::block_in_place(|| installation.cli(&words));
    assert_eq!((ended.status.code(), &ended.stdout[..]), (Some(7), &b"1\n"[..]), "{ended:?}");
    assert_eq!(ended.stderr, b"2\n");
    let mut asked = Command::new(PROGRAM)
        .args(["run", "shop", "--", "python3", "-u", "-c", &hiding(mark)])
        .env_clear()
        .env("METAPAAS_DATA_DIR", installation.data_dir())
        .env("HOME", installation.dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 8];
    asked.stdout.take().unwrap().read_exact(&mut said).unwrap();
    assert_eq!(&said, b"started\n");
    signal(asked.id(), Signal::INT);
    assert_eq!(asked.wait().unwrap().code(), Some(130));
    has_ended(mark).await;
}

async fn the_agent_dies(app: &App<'_>, mark: &str) {
    let mut stream = Stream::open(app, python(&hiding(mark))).await;
    assert_eq!(stream.line().await, "started\n");
    let since = Instant::now();
    for folder in app.installation.node_dirs() {
        if let Some(pid) = metapaas_tests::harness::recorded_pid(&folder.join("agent.json")) {
            signal(pid, Signal::KILL);
        }
    }
    has_ended(mark).await;
    let (kind, data) = stream.rest().await.2;
    assert_eq!(kind, "error", "{data}");
    // The next agent says so; without one, its silence would.
    assert!(data["detail"].as_str().unwrap().contains("has ended, and the command with it"), "{data}");
    assert!(since.elapsed() < PATIENCE + Duration::from_secs(1));
}

/// Waits for its end, which it does not come to by itself.
fn waiting(mark: &str) -> Value {
    python(&format!("import time; print('started'); time.sleep(300) # {mark}"))
}

/// What a process has written so far, by the kernel's count.
fn written_by(mark: &str) -> u64 {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let own = all.filter(|entry| {
        std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| {
            String::from_utf8_lossy(&line).starts_with("python3")
                && String::from_utf8_lossy(&line).contains(mark)
        })
    });
    let counts = own.filter_map(|entry| {
        let counts = std::fs::read_to_string(entry.path().join("io")).ok()?;
        counts.lines().find_map(|line| line.strip_prefix("wchar: "))?.parse::<u64>().ok()
    });
    counts.sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_hold_up_nobody_and_end_with_their_control_plane() {
    let mut installation = super::installation(On::Sqlite).await;
    let repository = Repository::new();
    repository.commit(&samples::PLAIN);
    let path = {
        let app = App::create(&installation, "shop", json!({ "repo": repository.url() })).await;
        app.active().await;
        let run = format!("{}/actions/run", app.path);
        let mark = format!("crowd-{}", installation.pid());

        // As many as a node takes, and one more.
        let mut crowd = Vec::new();
        for _ in 0..8 {
            let mut stream = Stream::open(&app, waiting(&mark)).await;
            assert_eq!(stream.line().await, "started\n");
            crowd.push(stream);
        }
        let refused = installation.call(Method::POST, &run, python("")).await.expect(409);
        assert!(refused.body["detail"].as_str().unwrap().contains("8 commands already"), "{refused:?}");
        drop(crowd);
        has_ended(&mark).await;

        // One whose reader takes nothing is held up, and no other.
        let flood = format!("flood-{}", installation.pid());
        let endless = format!("import sys\nwhile True: sys.stdout.write('x' * 8191 + '\\n') # {flood}");
        let unread = Stream::open(&app, python(&endless)).await;
        eventually("it is held up", || async {
            let before = written_by(&flood);
            tokio::time::sleep(Duration::from_secs(1)).await;
            before > 0 && written_by(&flood) == before
        })
        .await;
        assert!(written_by(&flood) < 32 << 20, "{}", written_by(&flood));
        let result = installation.call(Method::POST, &run, python("print(1)")).await.expect(200).body;
        assert_eq!(result["stdout"], "1\n");
        assert_eq!(app.says("/").await, "plain");
        drop(unread);
        has_ended(&flood).await;

        // Only as long as the app is as the caller knows it.
        let wrong = client().post(format!("{}{run}", installation.url)).bearer_auth(&installation.token);
        let wrong = wrong.header("if-match", "\"1\"").json(&python("")).send().await.unwrap();
        assert_eq!(wrong.status(), 412);
        let _ = installation
            .call(Method::POST, &format!("{run}?if_generation_match=99"), python(""))
            .await
            .expect(412);
        app.path.clone()
    };
    let mark = format!("orphan-{}", installation.pid());
    let app = App { installation: &installation, beside: None, path: path.clone() };
    let mut stream = Stream::open(&app, waiting(&mark)).await;
    assert_eq!(stream.line().await, "started\n");
    installation.kill();
    assert_eq!(stream.next().await, None, "it does not look like an end");
    has_ended(&mark).await;
    installation.up().await;
    let app = App { installation: &installation, beside: None, path };
    assert_eq!(app.says("/").await, "plain");
    let out = Stream::open(&app, python("print(2)")).await.rest().await.0;
    assert_eq!(out, "2\n");
}
