//! What goes wrong in a round.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metapaas_core::store::{Database, Dialect};
use metapaas_core::testing::query;
use metapaas_tests::harness::{Installation, recorded_pid, signal};
use rustix::process::Signal;

/// Numbers that look random and follow from their seed (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    pub(super) fn between(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.next() % (most - least + 1))
    }

    pub(super) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// All that can be broken.
pub(super) struct Faults {
    pub(super) planes: Vec<Installation>,
    /// Where clients find them.
    pub(super) urls: Arc<Mutex<Vec<String>>>,
    pub(super) sql: Database,
    pub(super) random: Random,
}

impl Faults {
    /// One control plane is killed or stopped; meanwhile, perhaps, connections drop and agents suffer.
    pub(super) async fn round(&mut self, round: u64) {
        tokio::time::sleep(self.random.between(200, 1500)).await;
        let victim = self.random.below(self.planes.len());
        let agents = self.some_agents();
        let stopped: Vec<u32> = if self.random.one_in(2) { agents.clone() } else { Vec::new() };
        for pid in &stopped {
            signal(*pid, Signal::STOP);
        }
        if self.random.one_in(2) {
            println!("round {round}: kill control plane {victim}, stop agents {stopped:?}");
            self.planes[victim].kill();
            tokio::time::sleep(self.random.between(0, 2500)).await;
            self.drop_connections(round).await;
            self.planes[victim].up().await;
            self.urls.lock().unwrap()[victim] = self.planes[victim].url.clone();
        } else {
            // Every other time for longer than its leases last.
            let pause = if self.random.one_in(2) {
                self.random.between(16_000, 18_000)
            } else {
                self.random.between(500, 4000)
            };
            println!("round {round}: stop control plane {victim} for {pause:?}, and agents {stopped:?}");
            let pid = self.planes[victim].pid();
            signal(pid, Signal::STOP);
            tokio::time::sleep(pause / 2).await;
            self.drop_connections(round).await;
            tokio::time::sleep(pause / 2).await;
            signal(pid, Signal::CONT);
        }
        for pid in &stopped {
            signal(*pid, Signal::CONT);
        }
        if self.random.one_in(2) {
            println!("round {round}: kill agents {agents:?}");
            for pid in agents {
                signal(pid, Signal::KILL);
            }
        }
    }

    async fn drop_connections(&mut self, round: u64) {
        if self.sql.dialect() == Dialect::Postgres && self.random.one_in(2) {
            println!("round {round}: drop all database connections");
            let others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                          WHERE datname = current_database() AND pid <> pg_backend_pid()";
            query(&self.sql, others).await.unwrap();
        }
    }

    /// Pids of a third of the agents.
    fn some_agents(&mut self) -> Vec<u32> {
        let mut dirs: Vec<PathBuf> = self.planes.iter().flat_map(Installation::node_dirs).collect();
        dirs.sort();
        let mut pids = Vec::new();
        for dir in dirs {
            let pid = recorded_pid(&dir.join("agent.json"));
            pids.extend(pid.filter(|_| self.random.one_in(3)));
        }
        pids
    }
}
