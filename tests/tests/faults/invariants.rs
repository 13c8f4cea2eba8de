//! What must be true once everything is healed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use metapaas_core::store::Database;
use metapaas_core::testing::query;
use metapaas_tests::harness::{answer, client, is_running, recorded_pid};
use reqwest::Method;
use serde_json::Value;

use super::clients::Ledger;
use super::watcher::Watcher;
use super::{DEMO, LIMIT};

/// Longest wait until everything has settled.
const PATIENCE: Duration = Duration::from_secs(150);
/// Longer than the heartbeat of agents.
const QUIET: Duration = Duration::from_secs(12);

pub(super) struct Checks {
    /// Data folders of all control planes.
    pub(super) dirs: Vec<PathBuf>,
    pub(super) url: String,
    pub(super) token: String,
    pub(super) sql: Database,
    pub(super) ledgers: Vec<Ledger>,
    pub(super) watcher: Watcher,
}

impl Checks {
    pub(super) async fn run(self) {
        let unexpected: Vec<&String> = self.ledgers.iter().flat_map(|ledger| &ledger.unexpected).collect();
        assert!(unexpected.is_empty(), "{unexpected:#?}");
        let acknowledged: usize = self.ledgers.iter().map(|ledger| ledger.acknowledged).sum();
        assert!(acknowledged > 0, "nothing was tried");
        self.unfinished_work_is_known().await;
        let since = Instant::now();
        self.settled().await;
        println!("{acknowledged} acknowledged changes; settled {:?} after the last fault", since.elapsed());
        self.promises_are_kept().await;
        self.actions_are_carried_out_once().await;
        self.the_quota_equals_the_sum().await;
        self.the_watch_tells_the_list().await;
        self.nodes_are_what_rows_say().await;
        self.nothing_is_written().await;
        self.deleted_means_nothing_left().await;
        self.the_quota_equals_the_sum().await;
    }

    async fn int(&self, sql: &str) -> i64 {
        let rows = query(&self.sql, sql).await;
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        rows[0].int(0).unwrap().unwrap_or_default()
    }

    async fn texts(&self, sql: &str) -> BTreeSet<String> {
        let rows = query(&self.sql, sql).await;
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        rows.iter().map(|row| row.text(0).unwrap().unwrap()).collect()
    }

    /// Every instance that is not as it should be has a work row that is due some time, or is being worked on.
    async fn unfinished_work_is_known(&self) {
        let forgotten = self
            .int(
                "SELECT count(*) FROM demo_instances i WHERE \
                 (i.generation <> i.observed_generation OR i.status <> 'ACTIVE' OR i.deleting_at IS NOT NULL) \
                 AND NOT EXISTS (SELECT 1 FROM metapaas_work w WHERE w.resource_id = i.id \
                 AND (w.due_at IS NOT NULL OR w.lease_until IS NOT NULL))",
            )
            .await;
        assert_eq!(forgotten, 0, "unfinished instances without work");
        let forgotten = self
            .int(
                "SELECT count(*) FROM metapaas_operations o WHERE o.finished_at IS NULL AND NOT EXISTS \
                 (SELECT 1 FROM metapaas_work w WHERE w.resource_id = o.instance_id \
                 AND (w.due_at IS NOT NULL OR w.lease_until IS NOT NULL))",
            )
            .await;
        assert_eq!(forgotten, 0, "unfinished operations without work");
    }

    /// Waits until nothing is left to do.
    async fn settled(&self) {
        let since = Instant::now();
        loop {
            let unsettled = self
                .int(
                    "SELECT (SELECT count(*) FROM demo_instances WHERE generation <> observed_generation \
                     OR status <> 'ACTIVE' OR deleting_at IS NOT NULL) \
                     + (SELECT count(*) FROM demo_pages WHERE generation <> observed_generation OR status <> 'ACTIVE') \
                     + (SELECT count(*) FROM metapaas_work WHERE due_at IS NOT NULL OR lease_until IS NOT NULL) \
                     + (SELECT count(*) FROM metapaas_operations WHERE finished_at IS NULL) \
                     + (SELECT count(*) FROM metapaas_nodes WHERE deleting_at IS NOT NULL)",
                )
                .await;
            if unsettled == 0 {
                return;
            }
            if since.elapsed() > PATIENCE {
                let list = self.get(&format!("{DEMO}?limit=1000")).await;
                let work = self
                    .texts("SELECT concat_ws(' ', resource_id, due_at, lease_until, last_error) FROM metapaas_work")
                    .await;
                panic!("{unsettled} things are still not settled: {list:#}\n{work:#?}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn get(&self, path: &str) -> Value {
        let request = client().request(Method::GET, format!("{}{path}", self.url)).bearer_auth(&self.token);
        answer(request).await.expect(200).body
    }

    /// No acknowledged change is lost, none is made twice, nothing is there that nobody asked for.
    async fn promises_are_kept(&self) {
        let list = self.get(&format!("{DEMO}?limit=1000")).await;
        let mut found: BTreeMap<String, Value> = BTreeMap::new();
        for instance in list["items"].as_array().unwrap() {
            let name = instance["name"].as_str().unwrap().to_owned();
            assert!(found.insert(name, instance.clone()).is_none(), "twice: {instance:#}");
        }
        for (name, known) in self.ledgers.iter().flat_map(|ledger| &ledger.instances) {
            let instance = found.remove(name);
            match &instance {
                None => assert!(
                    known.is_deleted || known.is_doubtful || known.id.is_none(),
                    "{name} is lost: {known:?}"
                ),
                Some(instance) => {
                    assert!(!known.is_deleted || known.is_doubtful, "{name} is back: {known:?}");
                    if let (Some(id), false) = (&known.id, known.is_doubtful) {
                        assert_eq!(instance["id"], **id, "{name} is another one");
                    }
                    let is_spec = |spec: &Value| {
                        instance["greeting"] == spec["greeting"] && instance["replicas"] == spec["replicas"]
                    };
                    assert!(
                        known.specs.iter().any(is_spec),
                        "{name} was promised {:?}: {instance:#}",
                        known.specs
                    );
                    self.pages_are_kept(instance, &known.pages).await;
                }
            }
        }
        assert!(found.is_empty(), "nobody made these: {found:#?}");
    }

    /// Each acknowledged action has come to its end, and has changed its instance once.
    async fn actions_are_carried_out_once(&self) {
        for (name, known) in self.ledgers.iter().flat_map(|ledger| &ledger.instances) {
            for id in &known.operations {
                let operation = self.get(&format!("/v1/operations/{id}")).await;
                let was_deleted =
                    operation["status"] == "FAILED" && operation["error"]["reason"] == "Deleted";
                let may_be_gone = known.is_deleted || known.is_doubtful;
                assert!(
                    operation["status"] == "SUCCEEDED" || (was_deleted && may_be_gone),
                    "{name}: {operation:#}"
                );
            }
            let Some(id) = known.id.as_ref().filter(|_| !known.is_deleted && !known.is_doubtful) else {
                continue;
            };
            let instance = self.get(&format!("{DEMO}/{id}")).await;
            let restarts = usize::try_from(instance["restarts"].as_u64().unwrap_or_default()).unwrap();
            let least = known.operations.len();
            assert!(
                (least..=least + known.doubtful_restarts).contains(&restarts),
                "{name} was restarted {restarts} times: {known:?}"
            );
        }
    }

    /// What is reserved is what there is: nothing is counted twice, and what is gone was given back.
    async fn the_quota_equals_the_sum(&self) {
        let quota = self.get("/v1/projects/default/quota").await;
        let instances = self.int("SELECT count(*) FROM demo_instances").await;
        let nodes = self.int("SELECT CAST(coalesce(sum(replicas), 0) AS bigint) FROM demo_instances").await;
        for (resource, sum) in [("instances", instances), ("instances:demo", instances), ("nodes", nodes)] {
            let items = quota["items"].as_array().unwrap();
            let item = items.iter().find(|item| item["resource"] == resource).unwrap();
            assert_eq!((&item["limit"], item["used"].as_i64()), (&LIMIT.into(), Some(sum)), "{resource}");
        }
        assert_eq!(self.int("SELECT count(*) FROM metapaas_reservations").await, instances, "reservations");
    }

    /// What a watch has told, whoever told it, adds up to the list.
    async fn the_watch_tells_the_list(&self) {
        let since = Instant::now();
        loop {
            let list = self.get(&format!("{DEMO}?limit=1000")).await;
            let listed: BTreeMap<String, Value> = list["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| (row["id"].as_str().unwrap().to_owned(), row.clone()))
                .collect();
            let told = self.watcher.rows();
            if told == listed {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "told {told:#?}\nlisted {listed:#?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn pages_are_kept(&self, instance: &Value, known: &BTreeMap<String, Vec<Value>>) {
        let path = format!("{DEMO}/{}/pages?limit=1000", instance["id"].as_str().unwrap());
        let list = self.get(&path).await;
        let mut found = BTreeMap::new();
        for page in list["items"].as_array().unwrap() {
            let key = page["path"].as_str().unwrap().to_owned();
            assert!(found.insert(key, page["text"].clone()).is_none(), "twice: {page:#}");
        }
        for (key, texts) in known {
            match found.remove(key) {
                Some(text) => {
                    assert!(texts.contains(&text), "page {key} was promised {texts:?}, and is {text}")
                }
                None => {
                    assert!(texts.is_empty() || texts.contains(&Value::Null), "page {key} is lost: {texts:?}")
                }
            }
        }
        assert!(found.is_empty(), "nobody made these pages: {found:?}");
    }

    /// Rows, directories, addresses and processes agree: one node for each place, one of everything for each node.
    async fn nodes_are_what_rows_say(&self) {
        let rows = self.texts("SELECT CAST(id AS text) FROM metapaas_nodes").await;
        let wanted = self.int("SELECT CAST(coalesce(sum(replicas), 0) AS bigint) FROM demo_instances").await;
        assert_eq!(i64::try_from(rows.len()).unwrap(), wanted, "as many nodes as wanted");
        let places = self
            .int("SELECT count(*) FROM (SELECT DISTINCT instance_id, place FROM metapaas_nodes) places")
            .await;
        assert_eq!(places, wanted, "no two nodes for one place");
        let dirs: Vec<PathBuf> = self.nodes_folders().iter().flat_map(|folder| entries(folder)).collect();
        let names: Vec<String> = dirs.iter().filter(|dir| dir.is_dir()).map(|dir| name(dir)).collect();
        let set: BTreeSet<String> = names.iter().filter(|name| *name != "addresses").cloned().collect();
        assert_eq!(set, rows, "directories of nodes, and rows");
        let folders = self.nodes_folders().iter().filter(|folder| folder.join("addresses").is_dir()).count();
        assert_eq!(names.len(), rows.len() + folders, "no node has two directories: {names:?}");
        let addresses: usize =
            self.nodes_folders().iter().map(|folder| entries(&folder.join("addresses")).len()).sum();
        assert_eq!(addresses, rows.len(), "an address for each node");
        for dir in dirs.iter().filter(|dir| rows.contains(&name(dir))) {
            for record in ["agent.json", "run/web.json"] {
                let pid = recorded_pid(&dir.join(record));
                assert!(pid.is_some_and(is_running), "{record} of {} does not run", dir.display());
            }
        }
        let mut agents: BTreeMap<String, usize> = BTreeMap::new();
        for (node, command) in self.processes() {
            assert!(rows.contains(&node), "a process of a node that is gone: {command}");
            if command.contains(" agent --dir ") {
                *agents.entry(node).or_default() += 1;
            }
        }
        assert!(agents.values().all(|count| *count == 1) && agents.len() == rows.len(), "{agents:?}");
    }

    fn nodes_folders(&self) -> Vec<PathBuf> {
        self.dirs.iter().map(|dir| dir.join("nodes")).collect()
    }

    /// Processes that run in a node's directory: the node and the command line.
    fn processes(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for process in entries(Path::new("/proc")) {
            let Ok(cwd) = std::fs::read_link(process.join("cwd")) else { continue };
            for folder in self.nodes_folders() {
                let Ok(rest) = cwd.strip_prefix(&folder) else { continue };
                let node = rest.iter().next().unwrap_or_default().to_string_lossy().into_owned();
                let command = std::fs::read_to_string(process.join("cmdline")).unwrap_or_default();
                found.push((node.trim_end_matches(" (deleted)").to_owned(), command.replace('\0', " ")));
            }
        }
        found
    }

    /// Converged: no event, no change of a row, nothing woken.
    async fn nothing_is_written(&self) {
        const WRITES: [&str; 5] = [
            "SELECT count(*) FROM metapaas_events",
            "SELECT max(seq) FROM metapaas_events",
            "SELECT CAST(coalesce(sum(revision), 0) AS bigint) FROM demo_instances",
            "SELECT CAST(coalesce(sum(revision), 0) AS bigint) FROM demo_pages",
            "SELECT CAST(coalesce(sum(wake + epoch), 0) AS bigint) FROM metapaas_work",
        ];
        let mut before = Vec::new();
        for sql in WRITES {
            before.push(self.int(sql).await);
        }
        tokio::time::sleep(QUIET).await;
        for (sql, before) in WRITES.into_iter().zip(before) {
            assert_eq!(self.int(sql).await, before, "{sql}: something was written though nothing changed");
        }
    }

    async fn deleted_means_nothing_left(&self) {
        for id in self.texts("SELECT CAST(id AS text) FROM demo_instances").await {
            let request =
                client().request(Method::DELETE, format!("{}{DEMO}/{id}", self.url)).bearer_auth(&self.token);
            let _ = answer(request).await.expect(202);
        }
        let since = Instant::now();
        while self
            .int("SELECT (SELECT count(*) FROM demo_instances) + (SELECT count(*) FROM metapaas_work)")
            .await
            != 0
        {
            assert!(since.elapsed() < PATIENCE, "what was deleted does not go");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for table in ["demo_pages", "metapaas_nodes"] {
            assert_eq!(self.int(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
        }
        for folder in self.nodes_folders() {
            let left: Vec<PathBuf> =
                entries(&folder).into_iter().filter(|entry| name(entry) != "addresses").collect();
            assert!(left.is_empty(), "{left:?}");
            assert_eq!(entries(&folder.join("addresses")), Vec::<PathBuf>::new());
        }
        assert_eq!(self.processes(), Vec::new(), "no process is left");
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
