//! What a page of a list costs with 1,000,000 rows beside what it costs with 1,000: the ratio should be near 1,
//! whatever the order, the filter and the place of the page.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::Method;
use hyper::header::HeaderValue;
use metapaas_core::store::{Database, StoreError};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Call, Connection};
use crate::error::BenchError;
use crate::process::Process;

/// Rows of the two installations.
const ROWS: [u64; 2] = [1_000, 1_000_000];
/// Rows that one transaction adds.
const CHUNK: u64 = 100_000;
/// A page; both installations have it in full for every question.
const LIMIT: u64 = 50;
/// Requests of each question to each installation, in turns.
const REQUESTS: usize = 300;
const LIST: &str = "/v1/types/demo/instances";

/// The questions: name, parameters, and whether it is a page in the middle of the list.
const QUESTIONS: &[(&str, &str, bool)] = &[
    ("plain", "", false),
    ("plain, middle", "", true),
    ("status=ERROR", "status=ERROR", false),
    ("status=ERROR, middle", "status=ERROR", true),
    ("status=ACTIVE&status=ERROR", "status=ACTIVE&status=ERROR", false),
    ("order_by=name", "order_by=name", false),
    ("order_by=name, middle", "order_by=name", true),
    ("order_by=created_at desc", "order_by=created_at+desc", false),
    ("status=ERROR, created_at desc", "status=ERROR&order_by=created_at+desc", false),
    ("status=ACTIVE, name", "status=ACTIVE&order_by=name", false),
    ("filter: not ACTIVE", "filter=status+%21%3D+ACTIVE", false),
    ("one project", "project_id=PROJECT", false),
    ("one project, order_by=name", "project_id=PROJECT&order_by=name", true),
    ("one project, status=ERROR", "project_id=PROJECT&status=ERROR", true),
];

/// Measures one database: SQLite, or the PostgreSQL server of `server`, on which two databases are made and dropped.
pub(crate) async fn run(program: &Path, server: Option<&str>) -> Result<(), BenchError> {
    let mut filled = Vec::new();
    for rows in ROWS {
        eprintln!("filling {rows} rows");
        filled.push(Filled::start(program, server, rows).await?);
    }
    let on = if server.is_some() { "PostgreSQL" } else { "SQLite" };
    println!("| {on}: a page of {LIMIT} rows | of {} rows, us | of {} rows, us | ratio |", ROWS[0], ROWS[1]);
    println!("|---|---|---|---|");
    for (name, query, is_middle) in QUESTIONS {
        let mut paths = Vec::new();
        for one in &mut filled {
            paths.push(one.path(query, *is_middle).await?);
        }
        // A server closes a connection that rests for as long as another is filled or read to its middle.
        for one in &mut filled {
            one.connection = Connection::open(one.process.address()).await?;
        }
        let mut times: Vec<Vec<Duration>> = vec![Vec::new(); filled.len()];
        for round in 0..REQUESTS + REQUESTS / 10 {
            for (index, one) in filled.iter_mut().enumerate() {
                let took = one.time(&paths[index]).await?;
                // The first tenth warms up.
                if round >= REQUESTS / 10 {
                    times[index].push(took);
                }
            }
        }
        let medians: Vec<u128> = times.iter_mut().map(|times| median(times).as_micros()).collect();
        if let [small, large] = medians.as_slice() {
            #[expect(clippy::cast_precision_loss, reason = "microseconds of a request")]
            let ratio = *large as f64 / (*small).max(1) as f64;
            println!("| {name} | {small} | {large} | {ratio:.2} |");
        }
    }
    for one in filled {
        one.end(server).await?;
    }
    Ok(())
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// An installation with so many instances.
struct Filled {
    process: Process,
    connection: Connection,
    token: HeaderValue,
    project: String,
    rows: u64,
    database: Option<String>,
    _directory: TempDir,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Value>,
    next_page_token: Option<String>,
}

impl Filled {
    async fn start(program: &Path, server: Option<&str>, rows: u64) -> Result<Self, BenchError> {
        let directory = tempfile::Builder::new().prefix("metapaas-pages-").tempdir().map_err(|source| {
            BenchError::File { action: "make a directory in", path: std::env::temp_dir(), source }
        })?;
        let data = directory.path().join("data");
        let log = directory.path().join("log");
        let name = format!("metapaas_pages_{rows}_{}", std::process::id());
        let url = match server {
            Some(server) => {
                on_server(server, &format!("CREATE DATABASE {name}")).await?;
                Some(format!("{}/{name}", server.rsplit_once('/').map_or(server, |(before, _)| before)))
            }
            None => None,
        };
        let arguments = |command: &str| {
            let mut arguments = vec![command.to_owned(), "--data-dir".into(), data.display().to_string()];
            arguments.extend(url.iter().flat_map(|url| ["--database".to_owned(), url.clone()]));
            arguments
        };
        // It makes the tables, the administrator and a project, and reconciles nothing yet.
        let process = Process::start(program, &arguments("up"), &log).await?;
        let token = token(&data.join("admin.json"))?;
        let mut connection = Connection::open(process.address()).await?;
        let project: Value = connection.json(&get("/v1/iam/projects/default".into(), &token)).await?;
        let project = project["id"].as_str().unwrap_or_default().to_owned();
        process.end().await?;
        let database = match &url {
            Some(url) => Database::open_postgres(url, 2).await,
            None => Database::open_sqlite(&data.join("metapaas.db")).await,
        };
        fill(&database.map_err(BenchError::Fill)?, &project, rows, url.is_some()).await?;
        let process = Process::start(program, &arguments("serve"), &log).await?;
        let connection = Connection::open(process.address()).await?;
        Ok(Self {
            process,
            connection,
            token,
            project,
            rows,
            database: server.map(|_| name),
            _directory: directory,
        })
    }

    /// The path of a page. For one in the middle, pages are followed up to there.
    async fn path(&mut self, query: &str, is_middle: bool) -> Result<String, BenchError> {
        self.connection = Connection::open(self.process.address()).await?;
        let query = query.replace("PROJECT", &self.project);
        let path = format!("{LIST}?{query}&limit={LIMIT}");
        if !is_middle {
            return Ok(path);
        }
        // A tenth of the rows has the rarest status that is asked for.
        let mut left = if query.contains("ERROR") { self.rows / 20 } else { self.rows / 2 };
        let mut token = String::new();
        while left > 0 {
            let limit = left.min(1000);
            let path = format!("{LIST}?{query}&limit={limit}&page_token={token}");
            let page: Page = self.connection.json(&get(path, &self.token)).await?;
            token = page.next_page_token.ok_or(BenchError::NoAnswer)?;
            left -= limit;
        }
        Ok(format!("{path}&page_token={token}"))
    }

    async fn time(&mut self, path: &str) -> Result<Duration, BenchError> {
        let call = get(path.into(), &self.token);
        let start = Instant::now();
        let body = self.connection.succeed(&call).await?;
        let took = start.elapsed();
        let page: Page = serde_json::from_slice(&body)
            .map_err(|source| BenchError::Shape { request: path.to_owned(), source })?;
        if page.items.len() as u64 == LIMIT { Ok(took) } else { Err(BenchError::NoAnswer) }
    }

    async fn end(self, server: Option<&str>) -> Result<(), BenchError> {
        self.process.end().await?;
        match (server, &self.database) {
            (Some(server), Some(name)) => {
                on_server(server, &format!("DROP DATABASE {name} WITH (FORCE)")).await
            }
            _ => Ok(()),
        }
    }
}

fn get(path: String, token: &HeaderValue) -> Call {
    Call { method: Method::GET, path, token: Some(token.clone()), body: Bytes::new() }
}

fn token(admin: &Path) -> Result<HeaderValue, BenchError> {
    let text = std::fs::read(admin).map_err(|source| BenchError::File {
        action: "read",
        path: admin.to_owned(),
        source,
    })?;
    let admin: Value = serde_json::from_slice(&text)
        .map_err(|source| BenchError::Shape { request: admin.display().to_string(), source })?;
    let token = admin["token"].as_str().unwrap_or_default();
    HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|error| BenchError::Invalid { request: "with a bearer token".into(), source: error.into() })
}

/// `CREATE DATABASE` and the like, which no transaction may hold.
async fn on_server(server: &str, sql: &str) -> Result<(), BenchError> {
    let database = Database::open_postgres(server, 1).await.map_err(BenchError::Fill)?;
    let statement = metapaas_core::store::Statement::raw(sql);
    database.fetch("prepare a database", &statement, &[]).await.map_err(BenchError::Fill)?;
    database.close().await;
    Ok(())
}

/// Instances as the API would have made them, one in a millisecond: a tenth of them in ERROR, names without an order.
async fn fill(database: &Database, project: &str, rows: u64, on_postgres: bool) -> Result<(), BenchError> {
    // Nothing of it needs quotes.
    let json = |value: Value| format!("'{value}'");
    let conditions = json(json!([{ "type": "Ready", "status": "True", "reason": "Converged", "message": "",
        "since": "2026-11-21T09:22:36.762902Z" }]));
    let nodes = json(json!([{ "id": "01a1fd6a-2aef-742d-823e-b1047790f8c8", "place": "web-0",
        "ip": "127.80.248.201", "port": 8080, "status": "ACTIVE", "message": "" }]));
    let (series, millis, id, time, name, cast) = if on_postgres {
        (
            "generate_series",
            "lpad(to_hex(1790000000000 + n), 12, '0')",
            "(MILLIS || '70008000' || lpad(to_hex(n), 12, '0'))::uuid",
            "'epoch'::timestamptz + (1790000000000 + n) * interval '1 millisecond'",
            "'n' || lpad(to_hex((n * 2654435761) % 4294967296), 8, '0')",
            "::jsonb",
        )
    } else {
        (
            "RECURSIVE",
            "printf('%012x', 1790000000000 + n)",
            "substr(MILLIS, 1, 8) || '-' || substr(MILLIS, 9) || '-7000-8000-' || printf('%012x', n)",
            "(1790000000000 + n) * 1000",
            "printf('n%08x', (n * 2654435761) % 4294967296)",
            "",
        )
    };
    let id = id.replace("MILLIS", millis);
    for from in (0..rows).step_by(usize::try_from(CHUNK).unwrap_or(usize::MAX)) {
        let to = (from + CHUNK).min(rows) - 1;
        let numbers = if on_postgres {
            format!("numbers AS (SELECT n FROM {series}({from}::bigint, {to}::bigint) n)")
        } else {
            format!(
                "{series} numbers(n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM numbers WHERE n < {to})"
            )
        };
        let sql = format!(
            "WITH {numbers} INSERT INTO demo_instances (id, project_id, name, description, version, labels, status, \
             conditions, nodes, deletion_protection, generation, observed_generation, revision, created_at, \
             updated_at, deleting_at, greeting, replicas, theme) SELECT {id}, '{project}', {name}, '', '0.1.0', \
             '{{}}'{cast}, CASE n % 10 WHEN 3 THEN 'ERROR' WHEN 7 THEN 'UPDATING' ELSE 'ACTIVE' END, \
             {conditions}{cast}, {nodes}{cast}, false, 1, 1, n + 1000, {time}, {time}, NULL, 'hello', 1, 'light' \
             FROM numbers"
        );
        run_sql(database, sql).await?;
    }
    if on_postgres {
        run_sql(database, "ANALYZE demo_instances".into()).await?;
    }
    database.close().await;
    Ok(())
}

async fn run_sql(database: &Database, sql: String) -> Result<(), BenchError> {
    let ran: Result<(), StoreError> = database
        .write("fill the table", move |tx| {
            Box::pin(async move { tx.execute_script("fill the table", &sql).await })
        })
        .await;
    ran.map_err(BenchError::Fill)
}
