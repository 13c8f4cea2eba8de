//! The loop without processes: convergence of new instances, and a resync of instances that need nothing, on nodes in
//! memory, by one and more control planes on one PostgreSQL.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use metapaas_core::authz::authorize;
use metapaas_core::descriptor::Action;
use metapaas_core::provider::Provider;
use metapaas_core::reconcile::{NodeTokens, Policy, Reconciler, Settings};
use metapaas_core::request::RequestContext;
use metapaas_core::role::PLATFORM_PROJECT;
use metapaas_core::store::{Database, Resync, Store, StoreError, WriteOptions};
use metapaas_core::testing::{self, MemoryProvider, TestDatabase};
use metapaas_core::validate;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::error::BenchError;
use crate::process::memory_of;
use crate::report::{Finding, Report};

/// The first argument of a process that only reconciles.
pub(crate) const WORKER: &str = "reconciler";
/// Where a worker finds its database.
const DATABASE: &str = "BENCH_RECONCILER_DATABASE";
const CONNECTIONS: u32 = 16;
const LOOK: Duration = Duration::from_millis(20);
/// How many instances a resync has waiting at a time.
const BATCH: u16 = 500;
/// PostgreSQL's counters of changed rows are this old at the most, with some to spare.
const COUNTERS: Duration = Duration::from_secs(3);

/// What is measured here may not take for ever.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Instances per second until all are ACTIVE, for one, two and three control planes.
pub(crate) async fn convergence(count: usize, report: &mut Report) -> Result<(), BenchError> {
    for replicas in 1..=3 {
        let database = testing::postgres().await;
        let store = testing::store(&database, vec![metapaas_plugin_demo::plugin()]).await;
        for number in 0..count {
            make(&store, number).await?;
        }
        let mut workers = Vec::new();
        for _ in 0..replicas {
            workers.push(Worker::start(&database).await?);
        }
        let started = Instant::now();
        for worker in &mut workers {
            worker.go().await?;
        }
        until_none(&database, "SELECT count(*) FROM demo_instances WHERE status <> 'ACTIVE'").await?;
        let took = started.elapsed().as_secs_f64();
        eprintln!("{count} instances converged on {replicas} control planes in {took:.2} s");
        let rate = f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / took;
        report.findings.push(Finding::new(
            "convergence",
            format!("{count} instances, {replicas} control planes"),
            rate,
            "instances/s",
        ));
        for worker in workers {
            worker.end().await?;
        }
    }
    Ok(())
}

/// Looks at `count` instances again that are as they should be. Fails when anything of them was written.
pub(crate) async fn resync(count: usize, report: &mut Report) -> Result<(), BenchError> {
    let database = testing::postgres().await;
    let store = testing::store(&database, vec![metapaas_plugin_demo::plugin()]).await;
    make(&store, 0).await?;
    let mut first = Worker::start(&database).await?;
    first.go().await?;
    until_none(&database, "SELECT count(*) FROM demo_instances WHERE status <> 'ACTIVE'").await?;
    until_none(&database, BUSY).await?;
    first.end().await?;
    multiply(&database, count).await;
    let mut worker = Worker::start(&database).await?;
    worker.go().await?;
    tokio::time::sleep(COUNTERS).await;
    let before = changes(&database).await?;
    let started = Instant::now();
    let Some(root) = store.registry().root("demo") else { return Err(BenchError::NoAnswer) };
    let mut resync = Resync::new(&database, root.ty);
    loop {
        let woken = resync.wake(BATCH).await.map_err(failed)?;
        while resync.backlog(BATCH).await.map_err(failed)? > usize::from(BATCH / 2) {
            tokio::time::sleep(LOOK).await;
        }
        if woken < usize::from(BATCH) {
            break;
        }
    }
    until_none(&database, BUSY).await?;
    let took = started.elapsed().as_secs_f64();
    let peak = memory_of(worker.child.id().unwrap_or_default(), "VmHWM:")?;
    worker.end().await?;
    tokio::time::sleep(COUNTERS).await;
    let after = changes(&database).await?;
    eprintln!(
        "{count} instances resynced in {took:.2} s, peak {} MiB, {} rows written",
        peak >> 20,
        after - before
    );
    let label = || format!("{count} instances as they should be");
    report.findings.push(Finding::new("resync", label(), took, "s"));
    report.findings.push(Finding::new("resync", label(), (peak >> 20) as f64, "MiB at the peak"));
    report.findings.push(Finding::new("resync", label(), (after - before) as f64, "rows written"));
    if after == before { Ok(()) } else { Err(BenchError::Wrote { rows: after - before }) }
}

const BUSY: &str = "SELECT count(*) FROM metapaas_work WHERE due_at <= now() OR lease_until IS NOT NULL";

async fn make(store: &Arc<Store>, number: usize) -> Result<(), BenchError> {
    let Some(root) = store.registry().root("demo") else { return Err(BenchError::NoAnswer) };
    let allowed = authorize(&RequestContext::system("bench"), root.ty, Action::Create);
    let body = json!({ "name": format!("i{number}"), "greeting": "hello", "project_id": PLATFORM_PROJECT });
    let new = validate::create(root, &allowed, PLATFORM_PROJECT, &body);
    let new = new.map_err(|error| BenchError::Store(error.to_string()))?;
    let made = store.create(&allowed, root, None, new, &WriteOptions::PLAIN).await;
    made.map(|_| ()).map_err(|error| BenchError::Store(error.to_string()))
}

/// Copies the one converged instance and its node until there are `count`.
async fn multiply(database: &TestDatabase, count: usize) {
    let copies = count.saturating_sub(1);
    database
        .run(&format!(
            "CREATE TEMPORARY TABLE copies AS SELECT gen_random_uuid() AS instance, gen_random_uuid() AS node, n \
             FROM generate_series(1, {copies}) n; \
             CREATE TEMPORARY TABLE addressed AS SELECT instance, node, n, host(('fd' || substr(text, 3, 2) || ':' || \
             substr(text, 5, 4) || ':' || substr(text, 9, 4) || ':' || substr(text, 13, 4) || ':' || substr(text, 17, 4) \
             || ':' || substr(text, 21, 4) || ':' || substr(text, 25, 4) || ':' || substr(text, 29, 4))::inet) AS address \
             FROM (SELECT *, replace(node::text, '-', '') AS text FROM copies) texts; \
             INSERT INTO demo_instances SELECT (jsonb_populate_record(i, jsonb_build_object('id', c.instance, \
             'name', 'copy-' || c.n, 'nodes', jsonb_set(jsonb_set(i.nodes, '{{0,id}}', to_jsonb(c.node)), '{{0,ip}}', \
             to_jsonb(c.address))))).* FROM demo_instances i, addressed c; \
             INSERT INTO metapaas_nodes SELECT (jsonb_populate_record(m, jsonb_build_object('id', c.node, \
             'instance_id', c.instance, 'address', c.address))).* FROM metapaas_nodes m, addressed c; \
             DROP TABLE copies; DROP TABLE addressed; ANALYZE;"
        ))
        .await;
}

/// Rows that were written of the tables that a resync of what needs nothing leaves alone.
async fn changes(database: &Database) -> Result<i64, BenchError> {
    let sql = "SELECT CAST(coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) AS bigint) FROM pg_stat_user_tables \
               WHERE relname IN ('demo_instances', 'demo_pages', 'metapaas_nodes', 'metapaas_events')";
    int(database, sql).await
}

async fn until_none(database: &Database, sql: &str) -> Result<(), BenchError> {
    let since = Instant::now();
    while int(database, sql).await? > 0 {
        if since.elapsed() > PATIENCE {
            return Err(BenchError::NoAnswer);
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

async fn int(database: &Database, sql: &str) -> Result<i64, BenchError> {
    let rows = testing::query(database, sql).await.map_err(failed)?;
    let value = rows.first().map(|row| row.int(0)).transpose().map_err(failed)?;
    Ok(value.flatten().unwrap_or_default())
}

fn failed(error: StoreError) -> BenchError {
    BenchError::Store(crate::error::with_sources(&error))
}

/// A process of its own that only reconciles; it is killed when dropped before [`Worker::end`].
struct Worker {
    child: Child,
    program: PathBuf,
}

impl Worker {
    /// Starts it and waits until it has opened the database.
    async fn start(database: &TestDatabase) -> Result<Self, BenchError> {
        let program = std::env::current_exe().unwrap_or_default();
        let spawning = |source| BenchError::Spawn { program: program.clone(), source };
        let mut child = Command::new(&program)
            .arg(WORKER)
            .env(DATABASE, database.url())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(spawning)?;
        let silent = || BenchError::Silent { program: program.clone(), log: String::new() };
        let mut lines = BufReader::new(child.stdout.take().ok_or_else(silent)?).lines();
        if !matches!(lines.next_line().await, Ok(Some(_))) {
            return Err(silent());
        }
        Ok(Self { child, program })
    }

    /// Lets it begin.
    async fn go(&mut self) -> Result<(), BenchError> {
        let Some(input) = &mut self.child.stdin else { return Ok(()) };
        let program = self.program.clone();
        input.write_all(b"go\n").await.map_err(|source| BenchError::Spawn { program, source })
    }

    /// Closes its input, which ends it.
    async fn end(mut self) -> Result<(), BenchError> {
        drop(self.child.stdin.take());
        let ended = self.child.wait().await;
        ended.map(|_| ()).map_err(|source| BenchError::End { program: self.program.clone(), source })
    }
}

/// The process itself: reconciles from the first line of its input to the end of it.
pub(crate) async fn work() -> Result<(), BenchError> {
    let url = std::env::var(DATABASE).unwrap_or_default();
    let database = Database::open_postgres(&url, CONNECTIONS).await.map_err(failed)?;
    let store = testing::store_on(database, vec![metapaas_plugin_demo::plugin()]);
    let tokens = NodeTokens::new(b"benchmark");
    let provider: Arc<dyn Provider> = MemoryProvider::new(&store, tokens.clone());
    let policy = Policy { silence: Duration::from_secs(86_400), ..Policy::default() };
    let settings = Settings {
        owner: std::process::id().to_string(),
        tag: "benchmark".into(),
        ca: None,
        endpoints: Arc::new(RwLock::default()),
        policy,
        tokens,
        routing: None,
    };
    let reconciler = Arc::new(Reconciler::new(store, vec![provider], settings));
    println!("ready");
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    let _ = input.next_line().await;
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(reconciler.run(stopped));
    while let Ok(Some(_)) = input.next_line().await {}
    let _ = stop.send(true);
    running.await.map_err(BenchError::Task)
}
