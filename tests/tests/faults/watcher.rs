//! A watch that goes on at another control plane whenever its own one goes away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metapaas_tests::sse::{Fold, Stream};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::DEMO;
use super::rounds::Random;

/// Folds all that it is told; the rules of a watch are held at each event.
pub(super) struct Watcher {
    fold: Arc<Mutex<Fold>>,
    running: JoinHandle<()>,
}

impl Watcher {
    pub(super) fn start(urls: Arc<Mutex<Vec<String>>>, token: String, mut random: Random) -> Self {
        let fold = Arc::new(Mutex::new(Fold::default()));
        let running = tokio::spawn({
            let fold = fold.clone();
            async move {
                let mut position: Option<i64> = None;
                loop {
                    let url = {
                        let urls = urls.lock().unwrap();
                        urls[random.below(urls.len())].clone()
                    };
                    let Some(mut stream) = Stream::connect(&format!("{url}{DEMO}"), &token, position).await
                    else {
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        continue;
                    };
                    if position.is_none() {
                        // Nothing was synced yet, so the first items come anew.
                        *fold.lock().unwrap() = Fold::default();
                    }
                    while let Some(event) = stream.next().await {
                        fold.lock().unwrap().take(&event);
                        position = stream.position.or(position);
                    }
                }
            }
        });
        Self { fold, running }
    }

    /// The rows as they were told, unless something was told wrong.
    pub(super) fn rows(&self) -> BTreeMap<String, Value> {
        assert!(!self.running.is_finished(), "the watch was told something that cannot be; see above");
        self.fold.lock().unwrap().rows.clone()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.running.abort();
    }
}
