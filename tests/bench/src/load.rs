//! [`measure`]: the same request over and over on some connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::ValueEnum;
use hyper::Method;
use hyper::header::HeaderValue;
use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::client::Call;
use crate::error::BenchError;
use crate::report::Sample;
use crate::target::Target;

const WARM_UP: Duration = Duration::from_secs(1);
const FILL_CONNECTIONS: usize = 16;
const INSTANCES: &str = "/v1/types/demo/instances";

/// No two instances of a run have the same name.
static NEXT_NAME: AtomicU64 = AtomicU64::new(0);

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Operation {
    /// One instance by its id.
    Read,
    /// The first hundred instances.
    List,
    /// A new instance.
    Create,
    /// A new greeting for an instance.
    Update,
}

impl Operation {
    /// Reads first: creating makes the tables grow.
    pub(crate) const ALL: &[Self] = &[Self::Read, Self::List, Self::Update, Self::Create];
}

/// One measurement.
pub(crate) struct Load {
    pub(crate) operation: Operation,
    pub(crate) connections: usize,
    pub(crate) duration: Duration,
}

/// Makes instances until there are `rows`.
pub(crate) async fn fill(target: &mut Target, rows: usize) -> Result<(), BenchError> {
    #[derive(Deserialize)]
    struct Made {
        id: String,
    }
    let token = target.token().await?;
    let mut tasks = JoinSet::new();
    for share in 0..FILL_CONNECTIONS {
        let mut connection = target.connect().await?;
        let requests = Requests::new(target, Operation::Create, token.clone(), share, FILL_CONNECTIONS);
        let count = (rows + FILL_CONNECTIONS - 1 - share) / FILL_CONNECTIONS;
        tasks.spawn(async move {
            let mut ids = Vec::with_capacity(count);
            for turn in 0..count {
                ids.push(connection.json::<Made>(&requests.call(turn)).await?.id);
            }
            Ok(ids)
        });
    }
    while let Some(ended) = tasks.join_next().await {
        target.ids.extend(ended.map_err(BenchError::Task)??);
    }
    Ok(())
}

/// Puts the load on the target and answers how it did.
pub(crate) async fn measure(target: &mut Target, load: &Load) -> Result<Sample, BenchError> {
    let token = target.token().await?;
    let mut connections = Vec::new();
    for _ in 0..load.connections {
        connections.push(target.connect().await?);
    }
    let from = Instant::now() + WARM_UP;
    let until = from + load.duration;
    let mut tasks = JoinSet::new();
    for (share, mut connection) in connections.into_iter().enumerate() {
        let requests = Requests::new(target, load.operation, token.clone(), share, load.connections);
        tasks.spawn(async move {
            let mut times = Vec::new();
            for turn in 0.. {
                let call = requests.call(turn);
                let start = Instant::now();
                connection.succeed(&call).await?;
                let end = Instant::now();
                if end >= until {
                    break;
                }
                if end >= from {
                    times.push(end - start);
                }
            }
            Ok::<_, BenchError>(times)
        });
    }
    let mut times = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        times.extend(ended.map_err(BenchError::Task)??);
    }
    Sample::of(times, load.duration).ok_or(BenchError::NoAnswer)
}

/// The requests of one connection.
struct Requests {
    operation: Operation,
    token: HeaderValue,
    project: Uuid,
    /// The ids of this connection; no other connection changes them.
    ids: Arc<[String]>,
}

impl Requests {
    fn new(target: &Target, operation: Operation, token: HeaderValue, share: usize, of: usize) -> Self {
        let ids = target.ids.iter().skip(share).step_by(of).cloned().collect();
        Self { operation, token, project: target.project(), ids }
    }

    fn call(&self, turn: usize) -> Call {
        let one = || format!("{INSTANCES}/{}", self.ids[turn % self.ids.len()]);
        let (method, path, body) = match self.operation {
            Operation::Read => (Method::GET, one(), Bytes::new()),
            Operation::List => (Method::GET, format!("{INSTANCES}?limit=100"), Bytes::new()),
            Operation::Create => {
                let name = format!("n{}", NEXT_NAME.fetch_add(1, Ordering::Relaxed));
                let body = json!({ "name": name, "project_id": self.project, "greeting": "hello" });
                (Method::POST, INSTANCES.into(), Bytes::from(body.to_string()))
            }
            Operation::Update => {
                let body = json!({ "greeting": format!("hello {turn}") });
                (Method::PATCH, one(), Bytes::from(body.to_string()))
            }
        };
        Call { method, path, token: Some(self.token.clone()), body }
    }
}
