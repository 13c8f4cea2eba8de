//! Requests without end through the router, and what became of them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metapaas_tests::harness::eventually;
use reqwest::{Client, StatusCode};
use tokio::task::JoinHandle;

/// Clients that ask all the time, so at most so many requests are on their way to a process when it dies.
pub(crate) const CLIENTS: usize = 4;
/// A load that has answered so many requests since has met what there was to meet.
const ENOUGH: u64 = 200;

/// Requests without end through the router.
pub(crate) struct Load {
    tasks: Vec<JoinHandle<()>>,
    is_over: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    seen: Arc<Mutex<Seen>>,
}

/// What clients were told.
#[derive(Default)]
struct Seen {
    last: String,
    failures: Vec<String>,
}

impl Seen {
    fn hear(&mut self, answered: Result<(StatusCode, String), reqwest::Error>) {
        match answered {
            Ok((StatusCode::OK, text)) => self.last = text,
            Ok((status, text)) => self.failures.push(format!("{} {text}", status.as_u16())),
            Err(error) => self.failures.push(format!("no answer: {error:?}")),
        }
    }
}

impl Load {
    pub(crate) fn start(address: &str, host: &str) -> Self {
        let (is_over, count) = <(Arc<AtomicBool>, Arc<AtomicU64>)>::default();
        let seen = Arc::<Mutex<Seen>>::default();
        let tasks = (0..CLIENTS).map(|_| {
            let (is_over, count, seen) = (is_over.clone(), count.clone(), seen.clone());
            let (url, host) = (format!("http://{address}/"), host.to_owned());
            tokio::spawn(async move {
                let client = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
                while !is_over.load(Ordering::Relaxed) {
                    let answered = ask(&client, &url, &host).await;
                    seen.lock().unwrap().hear(answered);
                    count.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            })
        });
        Self { tasks: tasks.collect(), is_over, count, seen }
    }

    /// Waits until enough more is answered, and takes the failures since the last time.
    pub(crate) async fn failures(&self) -> Vec<String> {
        let before = self.count.load(Ordering::Relaxed);
        eventually("the load goes on", || async { self.count.load(Ordering::Relaxed) > before + ENOUGH })
            .await;
        std::mem::take(&mut self.seen.lock().unwrap().failures)
    }

    pub(crate) async fn hears(&self, text: &str) {
        eventually(&format!("clients hear {text}"), || async { self.seen.lock().unwrap().last == text })
            .await;
    }

    pub(crate) async fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

async fn ask(client: &Client, url: &str, host: &str) -> Result<(StatusCode, String), reqwest::Error> {
    let answer = client.get(url).header("host", host).send().await?;
    Ok((answer.status(), answer.text().await?))
}
