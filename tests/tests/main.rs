//! One binary for all end-to-end tests: a list of modules.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that cannot do its work fails the test"
)]

mod api;
mod book;
mod docs;
mod golden;
mod iam;
mod lifecycle;
mod readme;
mod replicas;
mod start;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_metapaas-under-test");

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
