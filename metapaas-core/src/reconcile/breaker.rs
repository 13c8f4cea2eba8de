//! The breaker: an instance that is acted on over and over without a change of its spec is slowed down, and the
//! report says what keeps changing.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

/// How often one step may repeat on one generation within [`WINDOW`]. Many nodes take many steps once each.
const LIMIT: usize = 20;
const WINDOW: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Breaker {
    recent: Mutex<HashMap<Uuid, Recent>>,
}

#[derive(Debug)]
struct Recent {
    generation: i64,
    since: Instant,
    steps: BTreeMap<String, usize>,
}

impl Breaker {
    /// Counts steps, named by place and action. Answers what repeats the most once there were too many.
    pub(super) fn count(&self, instance: Uuid, generation: i64, steps: &[String]) -> Option<String> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() > 10_000 {
            recent.retain(|_, one| one.since.elapsed() < WINDOW);
        }
        let entry = recent.entry(instance).or_insert_with(|| Recent::new(generation));
        if entry.generation != generation || entry.since.elapsed() > WINDOW {
            *entry = Recent::new(generation);
        }
        for step in steps {
            *entry.steps.entry(step.clone()).or_default() += 1;
        }
        let most = entry.steps.iter().max_by_key(|(_, count)| **count).filter(|(_, count)| **count > LIMIT);
        most.map(|(step, count)| format!("`{step}` was needed {count} times without a change of the spec"))
    }

    /// The instance is as it should be, or gone.
    pub(super) fn forget(&self, instance: Uuid) {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).remove(&instance);
    }
}

impl Recent {
    fn new(generation: i64) -> Self {
        Self { generation, since: Instant::now(), steps: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_trips_on_one_generation_and_names_what_repeats() {
        let breaker = Breaker::default();
        let instance = Uuid::nil();
        let steps = ["web-0 update".to_owned()];
        let tripped: Vec<bool> = (0..=LIMIT).map(|_| breaker.count(instance, 1, &steps).is_some()).collect();
        assert_eq!(tripped.iter().filter(|tripped| **tripped).count(), 1);
        assert!(breaker.count(instance, 1, &steps).unwrap().contains("web-0 update"));
        assert_eq!(breaker.count(instance, 2, &steps), None);
        let many: Vec<String> = (0..200).map(|index| format!("web-{index} create")).collect();
        assert_eq!(breaker.count(instance, 3, &many), None, "many nodes are not a loop");
    }
}
