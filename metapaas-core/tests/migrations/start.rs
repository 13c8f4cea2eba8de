//! What a start does with a database: all that waits, or nothing and a reason.

use metapaas_core::__private::instance;
use metapaas_core::descriptor::{FieldDescriptor, FieldKind, TypeDescriptor};
use metapaas_core::migrate::{Applied, MigrateError, PluginMigrations, Problem, apply, status};
use metapaas_core::migration::{Migration, Migrations};
use metapaas_core::plugin::Plugin;
use metapaas_core::store::Database;
use metapaas_core::testing::TestDatabase;
use uuid::Uuid;

use super::{both, evolved, field, site};

const ONE: Migration =
    step("0c4a8d4e-21a9-4b0a-9f0e-000000000001", "0001_one", "CREATE TABLE one (n integer);");
const TWO: Migration =
    step("0c4a8d4e-21a9-4b0a-9f0e-000000000002", "0002_two", "CREATE TABLE two (n integer);");
const THREE: Migration =
    step("0c4a8d4e-21a9-4b0a-9f0e-000000000003", "0003_three", "CREATE TABLE three (n integer);");

const fn step(id: &'static str, name: &'static str, sql: &'static str) -> Migration {
    Migration { id, name, postgres: sql, sqlite: sql }
}

/// A plugin without types: only its list counts.
fn plugin(name: &'static str, list: &[Migration]) -> PluginMigrations {
    PluginMigrations::new(name, "1.0.0", &[], Migrations { list: list.to_vec().leak(), snapshot: "" })
}

fn names(applied: &[Applied]) -> Vec<String> {
    applied.iter().map(|one| format!("{} {}", one.plugin, one.migration)).collect()
}

/// `start` is refused on a database that had `before`, says `expected`, and leaves no trace: not in its own plugin,
/// not in the one that stands before it and has something to apply.
async fn check_refused(before: &[Migration], start: &[Migration], expected: &str) {
    for database in both().await {
        if !before.is_empty() {
            apply(&database, &[plugin("p", before)]).await.unwrap();
        }
        let history = rows(&database).await;
        let blameless =
            plugin("blameless", &[step(THREE.id, "0001_blameless", "CREATE TABLE blameless (n integer);")]);
        let error = apply(&database, &[blameless, plugin("p", start)]).await.unwrap_err();
        assert!(matches!(error, MigrateError::Refused(_)), "{error:?}");
        assert_eq!(error.to_string(), expected);
        assert_eq!(rows(&database).await, history);
        database.run("CREATE TABLE blameless (n integer);").await;
        let found = status(&database, &[plugin("p", start)]).await.unwrap();
        assert_eq!(found[0].problems.iter().map(ToString::to_string).collect::<Vec<_>>().join(""), expected);
    }
}

/// What the history holds.
async fn rows(database: &TestDatabase) -> Vec<(String, bool)> {
    let all = [plugin("p", &[ONE, TWO, THREE]), plugin("blameless", &[THREE])];
    let found = status(database, &all).await.unwrap();
    let migrations = found.iter().flat_map(|plugin| &plugin.migrations);
    migrations.map(|migration| (migration.name.clone(), migration.applied_at.is_some())).collect()
}

/// How many migrations the framework itself has.
fn framework_count() -> usize {
    PluginMigrations::framework().migrations.list.len()
}

#[tokio::test]
async fn what_waits_is_applied_once() {
    for database in both().await {
        let plugins = |list: &[Migration]| [PluginMigrations::framework(), plugin("p", list)];
        let applied = apply(&database, &plugins(&[ONE])).await.unwrap();
        let (last, own) = names(&applied).split_last().map(|(last, own)| (last.clone(), own.len())).unwrap();
        assert_eq!((last.as_str(), own), ("p 0001_one", framework_count()), "the framework's own come first");
        assert_eq!(apply(&database, &plugins(&[ONE])).await.unwrap(), []);
        let found = status(&database, &plugins(&[ONE, TWO])).await.unwrap();
        assert_eq!(found[1].migrations[0].applied_by.as_deref(), Some("1.0.0"));
        assert!(found[1].migrations[1].applied_at.is_none());
        assert_eq!(names(&apply(&database, &plugins(&[ONE, TWO])).await.unwrap()), ["p 0002_two"]);
    }
}

#[tokio::test]
async fn status_of_an_empty_database_changes_nothing() {
    for database in both().await {
        let found = status(&database, &[plugin("p", &[ONE])]).await.unwrap();
        assert!(found[0].migrations[0].applied_at.is_none() && found[0].problems.is_empty());
        database.run("CREATE TABLE metapaas_plugin_migrations (n integer);").await;
    }
}

#[tokio::test]
async fn lists_of_plugins_are_independent() {
    for database in both().await {
        apply(&database, &[plugin("p", &[ONE, TWO])]).await.unwrap();
        let applied = apply(&database, &[plugin("q", &[THREE]), plugin("p", &[ONE, TWO])]).await.unwrap();
        assert_eq!(names(&applied), ["q 0003_three"]);
        // A distribution without `q` leaves its tables alone.
        assert_eq!(apply(&database, &[plugin("p", &[ONE, TWO])]).await.unwrap(), []);
    }
}

#[tokio::test]
async fn an_altered_migration_stops_the_start() {
    let altered = Migration {
        sqlite: "CREATE TABLE other (n integer);",
        postgres: "CREATE TABLE other (n integer);",
        ..ONE
    };
    check_refused(
        &[ONE],
        &[altered, TWO],
        "migration 0001_one of plugin `p` was altered after it was applied; restore its SQL and put the change into a \
         new migration",
    )
    .await;
}

#[tokio::test]
async fn a_missing_migration_stops_the_start() {
    check_refused(
        &[ONE, TWO],
        &[TWO, THREE],
        "migration 0001_one of plugin `p` is applied and missing from migrations/list.rs; restore it",
    )
    .await;
}

#[tokio::test]
async fn a_migration_out_of_order_stops_the_start() {
    check_refused(
        &[ONE, THREE],
        &[ONE, TWO, THREE],
        "migration 0002_two of plugin `p` comes before 0003_three, which is applied already; give it a number after that",
    )
    .await;
}

#[tokio::test]
async fn a_newer_database_stops_the_start() {
    check_refused(
        &[ONE, TWO],
        &[ONE],
        "the database is newer than this program: migration 0002_two of plugin `p` was applied by version 1.0.0, and \
         this is 1.0.0; start version 1.0.0 or a newer one",
    )
    .await;
}

#[tokio::test]
async fn a_wrong_list_stops_the_start() {
    let check = |list: Vec<Migration>, detail: &'static str| async move {
        let name = list[list.len() - 1].name;
        let expected =
            format!("migration {name} of plugin `p`: {detail}; mend its entry in migrations/list.rs");
        check_refused(&[], &list, &expected).await;
    };
    check(vec![Migration { id: "x", ..ONE }], "its id is not a UUID").await;
    check(vec![ONE, Migration { id: ONE.id, ..TWO }], "its id is that of another migration").await;
    check(vec![TWO, ONE], "its number is not greater than that of the one before it").await;
    for name in ["one", "1_one", "0001_", "+001_one"] {
        check(vec![Migration { name, ..ONE }], "its name is not four digits, an underscore and a name").await;
    }
}

#[tokio::test]
async fn types_that_differ_from_the_snapshot_stop_the_start() {
    let committed = evolved(&[vec![site(vec![field::<Option<String>>("a")])]]);
    let types = [site(vec![field::<Option<String>>("a"), field::<Option<String>>("b")])];
    let ahead = PluginMigrations::new("site", "1.0.0", &types, committed.migrations);
    for database in both().await {
        let all = [PluginMigrations::framework(), ahead.clone()];
        let error = apply(&database, &all).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the types of plugin `site` differ from its migrations: `site_instances.b`: the column is new; run \
             `metapaas migrate make site`, review the SQL, commit it and build again"
        );
        let found = status(&database, &all).await.unwrap();
        assert!(found[0].migrations.iter().all(|migration| migration.applied_at.is_none()));
        assert!(matches!(found[1].problems[..], [Problem::SchemaDiffers { .. }]));
        let broken = Migrations { snapshot: "{", ..committed.migrations };
        let error =
            apply(&database, &[PluginMigrations::new("site", "1.0.0", &types, broken)]).await.unwrap_err();
        assert!(
            error.to_string().starts_with("migrations/schema.json of plugin `site` cannot be read"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_plugin_without_migrations_is_told_how_to_get_them() {
    let types = [site(vec![])];
    for database in both().await {
        let plugins = [PluginMigrations::new("site", "1.0.0", &types, Migrations::NONE)];
        let error = apply(&database, &plugins).await.unwrap_err();
        assert!(error.to_string().contains("add `.migrations(migrations!())` to the plugin"), "{error}");
    }
}

#[test]
fn plugins_come_after_those_they_refer_to() {
    static TARGET: TypeDescriptor = instance("Target", "target", "");
    let reference = FieldDescriptor { kind: FieldKind::Ref(|| &TARGET), ..field::<Option<Uuid>>("target") };
    let mut from = Plugin::new("from", "1.0.0");
    from.types = vec![site(vec![reference])];
    let mut to = Plugin::new("to", "1.0.0");
    to.types = vec![&TARGET];
    let order: Vec<_> = PluginMigrations::all(&[from, to]).iter().map(|one| one.name).collect();
    assert_eq!(order, ["metapaas", "to", "from"]);
}

#[tokio::test]
async fn all_problems_are_said_at_once() {
    for database in both().await {
        apply(&database, &[plugin("p", &[ONE]), plugin("q", &[TWO])]).await.unwrap();
        let error = apply(&database, &[plugin("p", &[]), plugin("q", &[THREE])]).await.unwrap_err();
        let MigrateError::Refused(problems) = error else { panic!("{error:?}") };
        assert!(matches!(problems[..], [Problem::Newer { .. }, Problem::Missing { .. }]), "{problems:?}");
    }
}

#[tokio::test]
async fn a_failing_migration_leaves_nothing() {
    let wrong = step(TWO.id, TWO.name, "CREATE TABLE half (n integer); INSERT INTO nowhere VALUES (1);");
    for database in both().await {
        let other = plugin("other", &[THREE]);
        let error = apply(&database, &[other.clone(), plugin("p", &[ONE, wrong])]).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "migration 0002_two of plugin `p` failed and nothing was changed; mend its SQL or the rows it stumbles over"
        );
        let mut source = std::error::Error::source(&error);
        let mut causes = String::new();
        while let Some(cause) = source {
            causes.push_str(&cause.to_string());
            source = cause.source();
        }
        assert!(causes.contains("nowhere"), "{causes}");
        // Each of these would fail if the table were there.
        database.run("CREATE TABLE half (n integer); CREATE TABLE one (n integer); CREATE TABLE three (n integer);").await;
        let found = status(&database, &[other, plugin("p", &[ONE])]).await.unwrap();
        assert!(
            found
                .iter()
                .flat_map(|plugin| &plugin.migrations)
                .all(|migration| migration.applied_at.is_none())
        );
    }
}

#[tokio::test]
async fn a_migration_that_ends_its_transaction_is_found_out() {
    let ending =
        step(ONE.id, ONE.name, "CREATE TABLE one (n integer); COMMIT; CREATE TABLE two (n integer);");
    for database in both().await {
        let error = apply(&database, &[plugin("p", &[ending])]).await.unwrap_err();
        assert!(matches!(error, MigrateError::EndsTransaction { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_migration_that_breaks_references_leaves_nothing() {
    let tables = "CREATE TABLE parent (id integer PRIMARY KEY);
        CREATE TABLE child (parent_id integer REFERENCES parent (id));
        INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1);";
    let first = step(ONE.id, ONE.name, tables);
    let breaking = step(TWO.id, TWO.name, "DELETE FROM parent;");
    for database in both().await {
        apply(&database, &[plugin("p", &[first])]).await.unwrap();
        let error = apply(&database, &[plugin("p", &[first, breaking])]).await.unwrap_err();
        assert!(error.to_string().contains("0002_two of plugin `p`"), "{error}");
        database.run("INSERT INTO child SELECT id FROM parent; INSERT INTO parent VALUES (2);").await;
        assert!(!rows(&database).await.contains(&("0002_two".into(), true)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn control_planes_that_start_together_take_turns() {
    // The second statement makes the first of them slow enough to be overtaken.
    let slow = Migration {
        postgres: "CREATE TABLE one (n bigint); SELECT pg_sleep(0.3);",
        sqlite: "CREATE TABLE one (n bigint);
            INSERT INTO one WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 300000) SELECT n FROM c;",
        ..ONE
    };
    for database in both().await {
        let mut starts = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let another = database.open_again().await;
            starts.spawn(async move {
                let plugins = [PluginMigrations::framework(), plugin("p", &[slow, TWO])];
                let applied = apply(&another, &plugins).await;
                another.close().await;
                applied
            });
        }
        let results = starts.join_all().await;
        let mut counts: Vec<usize> = results.into_iter().map(|applied| applied.unwrap().len()).collect();
        counts.sort_unstable();
        assert_eq!(counts, [0, 0, 0, framework_count() + 2]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn control_planes_may_make_the_sqlite_file_together() {
    let folder = tempfile::tempdir().unwrap();
    let mut starts = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let file = folder.path().join("new.sqlite");
        starts.spawn(async move {
            let database = Database::open_sqlite(&file).await.unwrap();
            apply(&database, &[PluginMigrations::framework()]).await.unwrap().len()
        });
    }
    assert_eq!(starts.join_all().await.into_iter().sum::<usize>(), framework_count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_start_beside_a_writer_loses_no_write() {
    for database in both().await {
        apply(&database, &[plugin("p", &[ONE])]).await.unwrap();
        let migrating = database.open_again().await;
        let started =
            tokio::spawn(async move { apply(&migrating, &[plugin("p", &[ONE, TWO, THREE])]).await });
        for _ in 0..50 {
            database.run("INSERT INTO one VALUES (1);").await;
        }
        assert_eq!(started.await.unwrap().unwrap().len(), 2);
        // The indexes hold only when all fifty rows were counted.
        let sql = "INSERT INTO two SELECT count(*) FROM one; CREATE UNIQUE INDEX counts ON two (n); \
                   INSERT INTO two VALUES (50) ON CONFLICT DO NOTHING; CREATE UNIQUE INDEX one_row ON two ((1));";
        database.run(sql).await;
    }
}
