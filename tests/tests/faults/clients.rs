//! Clients that create, change, scale and delete while things go wrong, and remember what they were promised.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::DEMO;
use super::rounds::Random;

const CLIENTS: usize = 3;
/// Instances that one client has at a time.
const INSTANCES: usize = 2;
const DEADLINE: Duration = Duration::from_secs(4);
/// After so many tries a client does not know what came of its request and leaves it at that.
const TRIES: usize = 12;

/// What a client knows of an instance.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Acknowledged.
    pub(super) id: Option<String>,
    /// The last acknowledged spec, and those that were sent after it and got no answer.
    pub(super) specs: Vec<Value>,
    /// Pages by path: the texts that are possible; none for a page that was deleted. One that may or may not be there has a null.
    pub(super) pages: BTreeMap<String, Vec<Value>>,
    /// Operations that were acknowledged, each a restart.
    pub(super) operations: Vec<String>,
    /// Restarts that got no answer.
    pub(super) doubtful_restarts: usize,
    /// Its delete was acknowledged.
    pub(super) is_deleted: bool,
    /// Some create or delete of it got no answer.
    pub(super) is_doubtful: bool,
}

/// What all clients know, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub(super) instances: BTreeMap<String, Known>,
    /// Answers that nobody may get, whatever happens.
    pub(super) unexpected: Vec<String>,
    pub(super) acknowledged: usize,
}

pub(super) struct Clients {
    stop: watch::Sender<bool>,
    running: Vec<JoinHandle<Ledger>>,
}

impl Clients {
    pub(super) fn start(
        urls: Arc<Mutex<Vec<String>>>,
        token: String,
        project: String,
        mut random: Random,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let http = metapaas_tests::harness::client();
        let running = (0..CLIENTS).map(|number| {
            let client = Client {
                number,
                http: http.clone(),
                urls: urls.clone(),
                token: token.clone(),
                project: project.clone(),
                random: Random::new(u64::try_from(random.below(usize::MAX)).unwrap()),
                ledger: Ledger::default(),
                made: 0,
            };
            tokio::spawn(client.run(stopped.clone()))
        });
        Self { running: running.collect(), stop }
    }

    pub(super) async fn stop(self) -> Vec<Ledger> {
        self.stop.send(true).unwrap();
        let mut ledgers = Vec::new();
        for client in self.running {
            ledgers.push(client.await.unwrap());
        }
        ledgers
    }
}

struct Client {
    number: usize,
    http: reqwest::Client,
    urls: Arc<Mutex<Vec<String>>>,
    token: String,
    project: String,
    random: Random,
    ledger: Ledger,
    made: usize,
}

/// What came of a request.
enum Told {
    /// An answer, and whether an earlier try got none.
    Answer {
        status: u16,
        body: Value,
        is_repeat: bool,
    },
    Nothing,
}

impl Client {
    async fn run(mut self, stopped: watch::Receiver<bool>) -> Ledger {
        while !*stopped.borrow() {
            tokio::time::sleep(self.random.between(50, 400)).await;
            let mine: Vec<String> = self
                .ledger
                .instances
                .iter()
                .filter(|(_, known)| known.id.is_some() && !known.is_deleted && !known.is_doubtful)
                .map(|(name, _)| name.clone())
                .collect();
            if mine.len() < INSTANCES {
                self.create().await;
                continue;
            }
            let name = mine[self.random.below(mine.len())].clone();
            match self.random.below(10) {
                0 | 1 => self.delete(&name).await,
                2..=4 => self.page(&name).await,
                5 => self.unpage(&name).await,
                6 | 7 => self.change(&name, "replicas").await,
                8 => self.restart(&name).await,
                _ => self.change(&name, "greeting").await,
            }
        }
        self.ledger
    }

    async fn create(&mut self) {
        self.made += 1;
        let name = format!("c{}-{}", self.number, self.made);
        let spec = json!({ "greeting": format!("hello {}", self.made), "replicas": 1 });
        let mut body = spec.clone();
        body["name"] = name.clone().into();
        body["project_id"] = self.project.clone().into();
        let told = self.send(Method::POST, DEMO, body, None).await;
        let mut known = Known { specs: vec![spec], ..Known::default() };
        match told {
            // A try that got no answer may still come through, after a delete even; the key makes it this one.
            Told::Answer { status: 201, body, .. } => {
                known.id = body["id"].as_str().map(str::to_owned);
                self.ledger.acknowledged += 1;
            }
            told => {
                known.is_doubtful = true;
                self.doubt(&name, told);
            }
        }
        self.ledger.instances.insert(name, known);
    }

    async fn delete(&mut self, name: &str) {
        let path = self.path(name);
        let told = self.send(Method::DELETE, &path, Value::Null, None).await;
        let known = self.ledger.instances.get_mut(name).unwrap();
        match told {
            Told::Answer { status: 202, .. } => {
                known.is_deleted = true;
                self.ledger.acknowledged += 1;
            }
            Told::Answer { status: 404, is_repeat: true, .. } => known.is_deleted = true,
            told => {
                known.is_doubtful = true;
                self.doubt(name, told);
            }
        }
    }

    /// A change holds on to the generation that it was made for, so a try that comes late changes nothing.
    async fn change(&mut self, name: &str, field: &str) {
        let path = self.path(name);
        let value = match field {
            "replicas" => json!(1 + self.random.below(2)),
            _ => json!(format!("hello {}", self.random.below(1_000_000))),
        };
        for _ in 0..TRIES {
            let Told::Answer { status: 200, body, .. } =
                self.send(Method::GET, &path, Value::Null, None).await
            else {
                return;
            };
            let known = self.ledger.instances.get_mut(name).unwrap();
            let mut spec = json!({ "greeting": body["greeting"], "replicas": body["replicas"] });
            assert!(
                known.specs.contains(&spec),
                "{name} was promised one of {:?}, and is {spec}",
                known.specs
            );
            if spec[field] == value {
                known.specs = vec![spec];
                return;
            }
            known.specs = vec![spec.clone()];
            spec[field] = value.clone();
            let tag = format!("\"{}\"", body["revision"]);
            let told = self.send(Method::PATCH, &path, json!({ field: value }), Some(&tag)).await;
            let known = self.ledger.instances.get_mut(name).unwrap();
            match told {
                Told::Answer { status: 200, .. } => {
                    known.specs = vec![spec];
                    self.ledger.acknowledged += 1;
                    return;
                }
                Told::Answer { status: 412, is_repeat, .. } => {
                    known.specs.extend(is_repeat.then_some(spec));
                }
                told => {
                    known.specs.push(spec);
                    self.doubt(name, told);
                    return;
                }
            }
        }
    }

    /// An action, which the key keeps from being carried out twice.
    async fn restart(&mut self, name: &str) {
        let path = format!("{}/actions/restart", self.path(name));
        let told = self.send(Method::POST, &path, json!({}), None).await;
        let known = self.ledger.instances.get_mut(name).unwrap();
        match told {
            Told::Answer { status: 202, body, .. } => {
                known.operations.push(body["id"].as_str().unwrap().to_owned());
                self.ledger.acknowledged += 1;
            }
            told => {
                known.doubtful_restarts += 1;
                self.doubt(name, told);
            }
        }
    }

    async fn page(&mut self, name: &str) {
        let path = format!("{}/pages", self.path(name));
        let key = format!("p{}", Uuid::new_v4().simple());
        let body = json!({ "path": key, "text": format!("text {}", self.random.below(1000)) });
        let text = body["text"].clone();
        let told = self.send(Method::POST, &path, body, None).await;
        let known = self.ledger.instances.get_mut(name).unwrap();
        match told {
            Told::Answer { status: 201, .. } => {
                known.pages.insert(key, vec![text]);
                self.ledger.acknowledged += 1;
            }
            told => {
                known.pages.insert(key, vec![text, Value::Null]);
                self.doubt(name, told);
            }
        }
    }

    async fn unpage(&mut self, name: &str) {
        let known = &self.ledger.instances[name];
        let certain = known.pages.iter().find(|(_, texts)| texts.len() == 1).map(|(key, _)| key.clone());
        let Some(key) = certain else { return };
        let path = format!("{}/pages/{key}", self.path(name));
        let told = self.send(Method::DELETE, &path, Value::Null, None).await;
        let known = self.ledger.instances.get_mut(name).unwrap();
        match told {
            Told::Answer { status: 202, .. } => {
                known.pages.insert(key, Vec::new());
                self.ledger.acknowledged += 1;
            }
            Told::Answer { status: 404, is_repeat: true, .. } => {
                known.pages.insert(key, Vec::new());
            }
            told => {
                known.pages.get_mut(&key).unwrap().push(Value::Null);
                self.doubt(name, told);
            }
        }
    }

    fn path(&self, name: &str) -> String {
        format!("{DEMO}/{}", self.ledger.instances[name].id.as_deref().unwrap())
    }

    fn doubt(&mut self, name: &str, told: Told) {
        if let Told::Answer { status, body, .. } = told {
            self.ledger.unexpected.push(format!("{name}: {status} {body}"));
        }
    }

    /// Sends it to one control plane after the other until one answers, always under the same key.
    async fn send(&mut self, method: Method, path: &str, body: Value, if_match: Option<&str>) -> Told {
        let key = Uuid::new_v4().to_string();
        let mut is_repeat = false;
        for _ in 0..TRIES {
            let url = {
                let urls = self.urls.lock().unwrap();
                urls[self.random.below(urls.len())].clone()
            };
            let mut request = self
                .http
                .request(method.clone(), format!("{url}{path}"))
                .bearer_auth(&self.token)
                .timeout(DEADLINE);
            if method == Method::POST || method == Method::PATCH {
                request = request.header("idempotency-key", &key).json(&body);
            }
            if let Some(tag) = if_match {
                request = request.header("if-match", tag);
            }
            let answer = match request.send().await {
                Ok(answer) => answer,
                Err(error) => {
                    // Nobody listens there: the request has reached nobody.
                    is_repeat |= !error.is_connect();
                    tokio::time::sleep(self.random.between(50, 300)).await;
                    continue;
                }
            };
            let status = answer.status();
            let Ok(body) = answer.bytes().await else {
                is_repeat = true;
                continue;
            };
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            let is_running = status == StatusCode::CONFLICT && body["code"] == "IDEMPOTENCY_IN_PROGRESS";
            if status == StatusCode::SERVICE_UNAVAILABLE || is_running {
                is_repeat = true;
                tokio::time::sleep(self.random.between(50, 300)).await;
                continue;
            }
            return Told::Answer { status: status.as_u16(), body, is_repeat };
        }
        Told::Nothing
    }
}
