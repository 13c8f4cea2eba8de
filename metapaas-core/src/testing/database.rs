//! A database per test: SQLite in a folder of its own, PostgreSQL in a database of its own.

use std::ops::Deref;
use std::path::PathBuf;

use tempfile::TempDir;
use url::Url;
use uuid::Uuid;

use crate::store::{Database, Row, Statement, StoreError};

/// The variable that holds the URL of a PostgreSQL server for tests. Its user must be allowed to create databases.
pub const POSTGRES_URL: &str = "METAPAAS_TEST_DATABASE_URL";

/// An empty database that goes away with this value.
#[derive(Debug)]
pub struct TestDatabase {
    database: Database,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Sqlite { folder: TempDir },
    Postgres { server: Url, name: String },
}

/// An empty SQLite database.
pub async fn sqlite() -> TestDatabase {
    let folder =
        TempDir::new().unwrap_or_else(|error| panic!("make a folder for a SQLite database: {error}"));
    let place = Place::Sqlite { folder };
    let database = place.open().await.unwrap_or_else(|error| panic!("{error}: {error:?}"));
    TestDatabase { database, place }
}

/// An empty database on the PostgreSQL server of [`POSTGRES_URL`].
pub async fn postgres() -> TestDatabase {
    let server = std::env::var(POSTGRES_URL).unwrap_or_else(|_| {
        panic!(
            "this test needs PostgreSQL, and {POSTGRES_URL} is not set; run `cargo xtask test`, which starts one, \
             or set it to postgres://user:password@host:port/postgres"
        )
    });
    let server = Url::parse(&server).unwrap_or_else(|error| panic!("{POSTGRES_URL}: {error}"));
    let name = format!("metapaas_test_{}", Uuid::new_v4().simple());
    on_server(&server, &format!("CREATE DATABASE {name}")).await;
    let place = Place::Postgres { server, name };
    let database = place.open().await.unwrap_or_else(|error| panic!("{error}: {error:?}"));
    TestDatabase { database, place }
}

/// Runs a query without values on any database.
///
/// # Errors
/// What the database answers.
pub async fn query(database: &Database, sql: &str) -> Result<Vec<Row>, StoreError> {
    database.fetch("run SQL of a test", &Statement::raw(sql), &[]).await
}

async fn on_server(server: &Url, sql: &str) {
    let database = Database::open_postgres(server.as_str(), 1).await;
    let database = database.unwrap_or_else(|error| panic!("{POSTGRES_URL}: {error}: {error:?}"));
    let done = database.fetch("prepare a test database", &Statement::raw(sql), &[]).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    database.close().await;
}

impl Place {
    async fn open(&self) -> Result<Database, StoreError> {
        match self {
            Self::Sqlite { folder } => Database::open_sqlite(&folder.path().join("test.sqlite")).await,
            Self::Postgres { .. } => Database::open_postgres(&self.url(), 4).await,
        }
    }

    /// What a program would be told to connect to.
    fn url(&self) -> String {
        match self {
            Self::Sqlite { folder } => format!("sqlite:{}", folder.path().join("test.sqlite").display()),
            Self::Postgres { server, name } => {
                let mut url = server.clone();
                url.set_path(name);
                url.into()
            }
        }
    }
}

impl TestDatabase {
    /// Opens it once more, as another control plane would.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn open_again(&self) -> Database {
        self.place.open().await.unwrap_or_else(|error| panic!("{error}: {error:?}"))
    }

    /// `sqlite:<path>` or `postgres://...`.
    pub fn url(&self) -> String {
        self.place.url()
    }

    /// The file of a SQLite database.
    pub fn file(&self) -> Option<PathBuf> {
        match &self.place {
            Place::Sqlite { folder } => Some(folder.path().join("test.sqlite")),
            Place::Postgres { .. } => None,
        }
    }

    /// Runs SQL text, one or more statements.
    ///
    /// # Panics
    /// When it fails.
    pub async fn run(&self, sql: &str) {
        self.try_run(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The first column of the first row that a query answers, which must be text.
    ///
    /// # Panics
    /// When it fails or the column is of another type.
    pub async fn text(&self, sql: &str) -> Option<String> {
        let rows = self.fetch("read a text", &Statement::raw(sql), &[]).await;
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        rows.first().and_then(|row| row.text(0).unwrap_or_else(|error| panic!("{sql}: {error:?}")))
    }

    /// The same for a whole number.
    ///
    /// # Panics
    /// When it fails or the column is of another type.
    pub async fn int(&self, sql: &str) -> Option<i64> {
        let rows = self.fetch("read a number", &Statement::raw(sql), &[]).await;
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        rows.first().and_then(|row| row.int(0).unwrap_or_else(|error| panic!("{sql}: {error:?}")))
    }

    /// [`Self::run`] where it may fail.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn try_run(&self, sql: &str) -> Result<(), StoreError> {
        const ACTION: &str = "run SQL of a test";
        let sql = sql.to_owned();
        self.database
            .write(ACTION, move |tx| Box::pin(async move { tx.execute_script(ACTION, &sql).await }))
            .await
    }
}

impl Deref for TestDatabase {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Place::Postgres { server, name } = &self.place else { return };
        let (server, sql) = (server.clone(), format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        // The test's own runtime may be single-threaded and busy dropping this.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                runtime.block_on(on_server(&server, &sql));
            }
        });
        // A database that stays behind harms nobody, and a second panic would hide the first.
        let _ = dropping.join();
    }
}
