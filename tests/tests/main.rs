//! One binary for all end-to-end tests: a list of modules.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that cannot do its work fails the test"
)]
#![expect(clippy::print_stdout, reason = "a test that fails shows how it came there")]

mod api;
mod app;
mod audit;
mod book;
mod clients;
mod contract;
mod contract_tour;
mod docker;
mod docs;
mod dry_run;
mod events;
mod faults;
mod golden;
mod iam;
mod iam_changes;
mod iam_lists;
mod iam_watch;
mod idempotency;
mod lifecycle;
mod limits;
mod lists;
mod logins;
mod oidc;
mod openapi;
mod operations;
mod problems;
mod quotas;
mod readme;
mod replicas;
mod resync;
mod roles;
mod router;
mod s3;
mod secrets;
mod start;
mod tls;
mod vault;
mod watch;
mod writes;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_metapaas-under-test");

/// The same with the type `vault` of `metapaas_tests::vault`, which is full of secrets.
const WITH_VAULT: &str = env!("CARGO_BIN_EXE_metapaas-with-vault");

/// The same with `vault` and `zoo`, which has a field of every kind and no nodes.
const WITH_ALL: &str = env!("CARGO_BIN_EXE_metapaas-with-all");

/// Runs a test on each database; the body gets a running `Installation`.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(metapaas_tests::harness::On::Sqlite).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(metapaas_tests::harness::On::Postgres).await;
                }
            )*
        }
    };
}
