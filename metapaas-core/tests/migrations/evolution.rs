//! Proposed SQL run on real databases that hold rows.

use std::time::Duration;

use chrono::{DateTime, Utc};
use metapaas_core::__private::instance;
use metapaas_core::descriptor::{EnumVariant, FieldDescriptor, FieldKind, TypeDescriptor, Unique};
use metapaas_core::migrate::{Made, MakeError, PluginMigrations, apply, make};
use metapaas_core::migration::{Migration, Migrations};
use metapaas_core::plugin::Plugin;
use metapaas_core::store::{Dialect, StoreError};
use metapaas_core::testing::{TestDatabase, check_migrations};
use uuid::Uuid;

use super::{Types, both, committed, evolved, field, json, output_field, pages, site};

const PROJECT: &str =
    "INSERT INTO metapaas_projects (id, name, description, created_at, updated_at, revision)
    VALUES ('00000000-0000-0000-0000-000000000001', 'p', '', {now}, {now}, 1);";

const ROWS: &str = "INSERT INTO site_instances (id, project_id, name, description, version, labels, status,
        conditions, nodes, generation, observed_generation, revision, created_at, updated_at, title, note)
    VALUES ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001', 'one', '', '1', '{}',
        'ACTIVE', '[]', '[]', 1, 1, 1, {now}, {now}, 'It''s', 'kept');
    INSERT INTO site_pages (id, project_id, instance_id, parent_id, description, labels, status, conditions,
        generation, observed_generation, held_generation, revision, created_at, updated_at, path)
    VALUES ('00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-000000000001',
        '00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000002', '', '{}', 'ACTIVE', '[]',
        1, 1, 1, 1, {now}, {now}, 'home');";

fn for_dialect(sql: &str, dialect: Dialect) -> String {
    sql.replace("{now}", if dialect == Dialect::Sqlite { "0" } else { "now()" })
}

fn text(name: &'static str) -> FieldDescriptor {
    field::<String>(name)
}

fn first_release() -> Types {
    let root = site(vec![text("title"), text("note")]);
    vec![root, pages(root, vec![text("path")])]
}

static OTHER: TypeDescriptor = TypeDescriptor {
    fields: &[FieldDescriptor { kind: FieldKind::Ref(|| &LAST), ..field::<Option<Uuid>>("last") }],
    ..instance("Other", "other", "")
};
static LAST: TypeDescriptor = TypeDescriptor {
    fields: &[FieldDescriptor { kind: FieldKind::Ref(|| &OTHER), ..field::<Option<Uuid>>("other") }],
    ..instance("Last", "last", "")
};

/// Every kind of change at once: a rename, a NULL, a new column of each kind, a circle of references.
fn second_release() -> Types {
    let color = FieldKind::Enum(&[EnumVariant { name: "red", doc: "" }]);
    let root = site(vec![
        text("headline").renamed_from("title").unique(Unique::No),
        field::<Option<String>>("note"),
        field::<bool>("flag").default(|| json(true)),
        field::<u16>("size").default(|| json(5_u16)),
        field::<f64>("ratio").default(|| json(0.5)),
        text("motto").default(|| json(r"a'b\c".to_owned())),
        FieldDescriptor { kind: color, ..text("color") }.default(|| "red".into()),
        field::<Uuid>("token").default(|| json(Uuid::max())),
        field::<DateTime<Utc>>("since").default(|| json(DateTime::from_timestamp_micros(1_500_000).unwrap())),
        field::<Duration>("ttl").default(|| json(Duration::from_millis(1500))),
        field::<Vec<String>>("tags").default(|| json(vec![r#"x"'\"#.to_owned()])),
        output_field::<Option<String>>("url").unique(Unique::Everywhere),
        FieldDescriptor { kind: FieldKind::Ref(|| &OTHER), ..field::<Option<Uuid>>("other") },
    ]);
    vec![root, pages(root, vec![text("path"), field::<Option<i64>>("order")]), &OTHER, &LAST]
}

fn plugin(migrations: &PluginMigrations, types: Types) -> Plugin {
    let mut plugin = Plugin::new("site", "1.0.0").migrations(migrations.migrations);
    plugin.types = types;
    plugin
}

#[tokio::test]
async fn every_earlier_database_reaches_the_schema() {
    let last = second_release();
    let evolved = evolved(&[first_release(), last.clone()]);
    check_migrations(&[plugin(&evolved, last)]).await;
}

#[tokio::test]
async fn rows_and_references_survive() {
    let evolved = evolved(&[first_release(), second_release()]);
    let first = PluginMigrations::new(
        "site",
        "1.0.0",
        &first_release(),
        Migrations { list: &evolved.migrations.list[..1], snapshot: snapshot_of(&first_release()) },
    );
    for database in both().await {
        let dialect = database.dialect();
        apply(&database, &[PluginMigrations::framework(), first.clone()]).await.unwrap();
        database.run(&for_dialect(&format!("{PROJECT}{ROWS}"), dialect)).await;
        apply(&database, &[PluginMigrations::framework(), evolved.clone()]).await.unwrap();
        holds(&database, "site_instances", "headline = 'It''s' AND note = 'kept' AND flag AND size = 5")
            .await;
        holds(
            &database,
            "site_instances",
            r"ratio = 0.5 AND motto = 'a''b\c' AND color = 'red' AND ttl = 1500",
        )
        .await;
        holds(&database, "site_instances", "CAST(token AS text) = 'ffffffff-ffff-ffff-ffff-ffffffffffff'")
            .await;
        holds(&database, "site_instances", "url IS NULL AND other IS NULL").await;
        match dialect {
            Dialect::Sqlite => {
                holds(&database, "site_instances", r#"since = 1500000 AND tags = '["x\"''\\"]'"#).await
            }
            Dialect::Postgres => {
                let condition = r#"since = '1970-01-01T00:00:01.5Z' AND tags = '["x\"''\\"]'::jsonb"#;
                holds(&database, "site_instances", condition).await;
            }
        }
        holds(&database, "site_pages", "path = 'home' AND \"order\" IS NULL").await;
        refused(&database, "DELETE FROM site_instances").await;
        refused(&database, "DELETE FROM metapaas_projects").await;
        refused(&database, "UPDATE site_pages SET parent_id = '00000000-0000-0000-0000-00000000000f'").await;
        database.run("UPDATE site_instances SET note = NULL").await;
    }
}

fn snapshot_of(types: &Types) -> &'static str {
    metapaas_core::migrate::write_snapshot(&metapaas_core::migrate::Schema::of(types)).leak()
}

/// The only row of `table` meets `condition`: a guard that divides by zero otherwise would differ by database, a
/// unique violation does not.
async fn holds(database: &TestDatabase, table: &str, condition: &str) {
    let sql = format!(
        "CREATE TABLE probe (n integer PRIMARY KEY);
         INSERT INTO probe SELECT 1 FROM {table} WHERE NOT coalesce({condition}, false);
         INSERT INTO probe SELECT 1 WHERE (SELECT count(*) FROM {table}) <> 1;
         INSERT INTO probe VALUES (1);
         DROP TABLE probe;"
    );
    database.run(&sql).await;
}

async fn refused(database: &TestDatabase, sql: &str) {
    let done = database.try_run(sql).await;
    assert!(matches!(done, Err(StoreError::Reference { .. })), "{sql}: {done:?}");
}

#[tokio::test]
async fn what_make_refuses_can_be_written_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    let with = vec![site(vec![text("title"), text("note")])];
    let without = vec![site(vec![text("title")])];
    let of = |types: &Types| PluginMigrations::new("site", "1.0.0", types, Migrations::NONE);
    make(&of(&with), dir.path(), None).unwrap();
    assert!(matches!(make(&of(&without), dir.path(), None).unwrap(), Made::Refused(_)));

    let drop = "ALTER TABLE site_instances DROP COLUMN note;\n";
    for dialect in ["postgres", "sqlite"] {
        std::fs::write(dir.path().join(format!("0002_drop_note.{dialect}.sql")), drop).unwrap();
    }
    let list = std::fs::read_to_string(dir.path().join("list.rs")).unwrap();
    let entry = format!("id: \"{}\",\nname: \"0002_drop_note\",\n    ],\n", Uuid::new_v4());
    std::fs::write(dir.path().join("list.rs"), list.replace("    ],\n", &entry)).unwrap();
    std::fs::write(dir.path().join("schema.json"), snapshot_of(&without)).unwrap();
    let by_hand = PluginMigrations::new("site", "1.0.0", &without, committed(dir.path()));
    check_migrations(&[plugin(&by_hand, without)]).await;
}

/// `check_migrations` on a plugin whose second migration is `sql` and drops the field `note`.
async fn check_second(sql: &'static str) -> Result<(), String> {
    let with = vec![site(vec![text("title"), text("note")])];
    let without = vec![site(vec![text("title")])];
    let mut list = evolved(&[with]).migrations.list.to_vec();
    list.push(Migration {
        id: "0c4a8d4e-21a9-4b0a-9f0e-000000000009",
        name: "0002_x",
        postgres: sql,
        sqlite: sql,
    });
    let migrations = Migrations { list: list.leak(), snapshot: snapshot_of(&without) };
    let of_site = PluginMigrations::new("site", "1.0.0", &without, migrations);
    let checked = tokio::spawn(async move { check_migrations(&[plugin(&of_site, without)]).await }).await;
    checked.map_err(|panicked| *panicked.into_panic().downcast::<String>().unwrap())
}

#[tokio::test]
async fn the_check_finds_what_differs() {
    assert_eq!(check_second("ALTER TABLE site_instances DROP COLUMN note;").await, Ok(()));
    let check = |sql, expected: &'static str| async move {
        let found = check_second(sql).await.unwrap_err();
        assert!(found.contains(expected), "{expected} is not in: {found}");
    };
    check("SELECT 1;", "site_instances: column note text NOT NULL").await;
    check(
        "ALTER TABLE site_instances DROP COLUMN note; DROP INDEX site_instances_project_id_id_idx;",
        "missing: [\n    \"site_instances: INDEX site_instances_project_id_id_idx (project_id, id)\"",
    )
    .await;
    check(
        "ALTER TABLE site_instances DROP COLUMN note; CREATE TABLE stray (n integer);",
        "too many: [\n    \"stray: column n integer\"",
    )
    .await;
    check(
        "ALTER TABLE site_instances DROP COLUMN note; DELETE FROM site_instances;",
        "table site_instances had 1 rows and has Some(0)",
    )
    .await;
}

#[test]
fn make_appends_and_touches_nothing_older() {
    let dir = tempfile::tempdir().unwrap();
    let run = |types: &Types, name| {
        make(&PluginMigrations::new("site", "1", types, Migrations::NONE), dir.path(), name)
    };
    let names = |made: Made| -> Vec<String> {
        let Made::Files(files) = made else { panic!("{made:?}") };
        files.iter().map(|file| file.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    };
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(
        names(run(&first_release(), None).unwrap()),
        ["0001_init.postgres.sql", "0001_init.sqlite.sql", "list.rs", "schema.json"]
    );
    let (first, first_list) = (read("0001_init.sqlite.sql"), read("list.rs"));
    assert_eq!(run(&first_release(), None).unwrap(), Made::NothingToDo);
    assert!(matches!(run(&second_release(), Some("Über")), Err(MakeError::Name(_))));
    assert_eq!(
        names(run(&second_release(), Some("second")).unwrap())[..2],
        ["0002_second.postgres.sql", "0002_second.sqlite.sql"]
    );
    assert_eq!(read("0001_init.sqlite.sql"), first);
    assert!(read("list.rs").starts_with(first_list.trim_end().split("    ],").next().unwrap()));
    assert!(read("schema.json").ends_with("}\n"));
    let ids: Vec<&str> = committed(dir.path()).list.iter().map(|migration| migration.id).collect();
    assert!(ids.len() == 2 && ids[0] != ids[1], "{ids:?}");
}

#[test]
fn a_change_that_concerns_no_database_changes_only_the_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let run =
        |types: &Types| make(&PluginMigrations::new("site", "1", types, Migrations::NONE), dir.path(), None);
    run(&vec![site(vec![field::<u8>("size")])]).unwrap();
    let made = run(&vec![site(vec![field::<u16>("size")])]).unwrap();
    assert_eq!(made, Made::Files(vec![dir.path().join("schema.json")]));
}

#[test]
fn make_says_which_file_it_cannot_use() {
    let dir = tempfile::tempdir().unwrap();
    let run =
        |types: &Types| make(&PluginMigrations::new("site", "1", types, Migrations::NONE), dir.path(), None);
    std::fs::write(dir.path().join("schema.json"), "{").unwrap();
    assert!(matches!(run(&first_release()), Err(MakeError::Snapshot { .. })));
    std::fs::remove_file(dir.path().join("schema.json")).unwrap();
    std::fs::write(dir.path().join("list.rs"), "something else").unwrap();
    assert!(matches!(run(&first_release()), Err(MakeError::List(_))));
    assert!(!dir.path().join("0001_init.sqlite.sql").exists());
}
