//! [`measure`]: the statements of the baseline, run by `pgbench` on the baseline's table: what the database itself does.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use url::Url;

use crate::error::BenchError;
use crate::load::{Load, Operation};
use crate::report::Sample;

/// As the baseline names them.
const COLUMNS: &str = "id, project_id, name, description, version, labels, status, conditions, nodes, generation, \
                       observed_generation, revision, created_at, updated_at, deleting_at, greeting, replicas, theme";
/// `pgbench` takes no more scripts; each has an id of its own.
const SCRIPTS: usize = 100;

/// Where it is and what it asks.
pub(crate) struct Pgbench<'a> {
    pub(crate) program: &'a Path,
    /// The baseline's database.
    pub(crate) database: &'a str,
    /// Ids of rows in the table.
    pub(crate) ids: &'a [String],
}

/// Puts the load on PostgreSQL and answers how it did. It has one thread, as the other loads have.
pub(crate) async fn measure(pgbench: &Pgbench<'_>, load: &Load) -> Result<Sample, BenchError> {
    let folder = tempfile::Builder::new().prefix("metapaas-pgbench-").tempdir().map_err(|source| {
        BenchError::File { action: "make a directory in", path: std::env::temp_dir(), source }
    })?;
    let database = Url::parse(pgbench.database).map_err(|source| BenchError::Url { source })?;
    let mut command = Command::new(pgbench.program);
    command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.args(["--no-vacuum", "--protocol=prepared", "--jobs=1", "--log", "--log-prefix=times"]);
    command.arg(format!("--client={}", load.connections));
    // It counts whole seconds.
    command.arg(format!("--time={}", load.duration.as_secs().max(1)));
    let wanted = if matches!(load.operation, Operation::Read | Operation::Update) { SCRIPTS } else { 1 };
    for number in 0..wanted.min(pgbench.ids.len().max(1)) {
        let id = pgbench.ids.get(number * pgbench.ids.len() / wanted).map_or("", String::as_str);
        let path = folder.path().join(format!("{number}.sql"));
        std::fs::write(&path, script(load.operation, id)).map_err(|source| BenchError::File {
            action: "write",
            path: path.clone(),
            source,
        })?;
        command.arg("--file").arg(path);
    }
    // In the environment: other users of the machine can read arguments.
    command.env("PGHOST", database.host_str().unwrap_or_default());
    command.env("PGPORT", database.port().unwrap_or(5432).to_string());
    command.env("PGUSER", database.username());
    command.env("PGPASSWORD", database.password().unwrap_or_default());
    command.env("PGDATABASE", database.path().trim_start_matches('/'));
    let spawning = |source| BenchError::Spawn { program: pgbench.program.to_owned(), source };
    let output = command.output().await.map_err(spawning)?;
    if !output.status.success() {
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(BenchError::Silent { program: pgbench.program.to_owned(), log });
    }
    let times = times(folder.path())?;
    Sample::of(times, Duration::from_secs(load.duration.as_secs().max(1))).ok_or(BenchError::NoAnswer)
}

/// The third column of its log is the time of a transaction in microseconds.
fn times(folder: &Path) -> Result<Vec<Duration>, BenchError> {
    let reading =
        |path: PathBuf| move |source| BenchError::File { action: "read", path: path.clone(), source };
    let mut times = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(reading(folder.to_owned()))? {
        let path = entry.map_err(reading(folder.to_owned()))?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("times")) {
            let text = std::fs::read_to_string(&path).map_err(reading(path.clone()))?;
            let columns = text.lines().filter_map(|line| line.split(' ').nth(2)?.parse().ok());
            times.extend(columns.map(Duration::from_micros));
        }
    }
    Ok(times)
}

fn script(operation: Operation, id: &str) -> String {
    match operation {
        Operation::Read => format!("SELECT {COLUMNS} FROM demo_instances WHERE id = '{id}';\n"),
        Operation::List => format!(
            "SELECT {COLUMNS} FROM demo_instances WHERE id > '00000000-0000-0000-0000-000000000000' \
             ORDER BY id LIMIT 101;\n"
        ),
        Operation::Create => format!(
            "\\set number random(1, 1000000000000000)\n\
             INSERT INTO demo_instances ({COLUMNS}) VALUES (gen_random_uuid(), \
             '0199aaaa-0000-7000-8000-000000000000', 'p' || :number, '', '0.1.0', '{{}}', 'PENDING', '[]', '[]', \
             1, 0, 1, now(), now(), NULL, 'hello', 1, 'light') RETURNING {COLUMNS};\n"
        ),
        Operation::Update => format!(
            "\\set number random(1, 1000000)\n\
             UPDATE demo_instances SET greeting = 'hello ' || :number, updated_at = now(), \
             generation = generation + 1, revision = revision + 1 WHERE id = '{id}' RETURNING {COLUMNS};\n"
        ),
    }
}
