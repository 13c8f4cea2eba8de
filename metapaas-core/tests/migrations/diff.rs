//! What `make` proposes and refuses, by pairs of an old and a new type.

use metapaas_core::__private::instance;
use metapaas_core::descriptor::{EnumVariant, FieldDescriptor, FieldKind, TypeDescriptor, Unique};
use metapaas_core::migrate::{Schema, Target, diff, index_name};
use metapaas_core::{Map, Secret};
use uuid::Uuid;

use super::{Types, child, field, json, leak, output_field, pages, site};

/// The changes, or `refused` and what each refusal says.
fn between(old: &Types, new: &Types) -> Vec<String> {
    match diff(&Schema::of(old), &Target::of(new)) {
        Ok(changes) => changes.iter().map(ToString::to_string).collect(),
        Err(refusals) => refusals.iter().map(|refusal| format!("refused {}", refusal.what())).collect(),
    }
}

fn check(old: Vec<FieldDescriptor>, new: Vec<FieldDescriptor>, expected: &[&str]) {
    assert_eq!(between(&vec![site(old)], &vec![site(new)]), expected);
}

fn text(name: &'static str) -> FieldDescriptor {
    field::<String>(name)
}

fn color(names: &[&'static str]) -> FieldDescriptor {
    let variants: Vec<EnumVariant> = names.iter().map(|name| EnumVariant { name, doc: "" }).collect();
    FieldDescriptor { kind: FieldKind::Enum(variants.leak()), ..text("color") }
}

#[test]
fn adding_is_proposed() {
    check(vec![text("a")], vec![text("a")], &[]);
    check(vec![text("a"), text("b")], vec![text("b"), text("a")], &[]);
    check(vec![], vec![field::<Option<String>>("a")], &["`site_instances.a`: the column is new"]);
    check(vec![], vec![output_field::<Option<String>>("a")], &["`site_instances.a`: the column is new"]);
    check(vec![], vec![field::<u8>("a").default(|| json(7_u8))], &["`site_instances.a`: the column is new"]);
    check(
        vec![],
        vec![field::<Option<String>>("a").unique(Unique::Everywhere)],
        &[
            "`site_instances.a`: the column is new",
            "`site_instances`: the index `site_instances_a_key` is new",
        ],
    );
    check(vec![text("a")], vec![field::<Option<String>>("a")], &["`site_instances.a`: it may be null now"]);
    check(
        vec![text("a")],
        vec![output_field::<Option<String>>("a")],
        &["`site_instances.a`: it may be null now"],
    );
    check(
        vec![text("a").unique(Unique::Siblings)],
        vec![text("a")],
        &[
            "the index `site_instances_project_id_a_key` is gone",
            "`site_instances.a`: its text has another order now",
        ],
    );
    check(
        vec![text("a").unique(Unique::Everywhere)],
        vec![text("a").unique(Unique::Siblings)],
        &[
            "the index `site_instances_a_key` is gone",
            "`site_instances`: the index `site_instances_project_id_a_key` is new",
        ],
    );
    check(
        vec![color(&["red"])],
        vec![color(&["red", "blue"])],
        &["`site_instances.color`: more values are allowed now"],
    );
    check(
        vec![field::<u8>("a")],
        vec![field::<i64>("a")],
        &["`site_instances.a`: more values are allowed now"],
    );
    check(
        vec![color(&["red"])],
        vec![text("color")],
        &["`site_instances.color`: more values are allowed now"],
    );
}

#[test]
fn new_types_come_before_what_refers_to_them() {
    static OTHER: TypeDescriptor = instance("Other", "other", "");
    let reference = FieldDescriptor { kind: FieldKind::Ref(|| &OTHER), ..field::<Option<Uuid>>("other") };
    let found = between(&vec![site(vec![])], &vec![site(vec![reference]), &OTHER]);
    assert_eq!(
        found,
        [
            "`other_instances`: the table is new",
            "`site_instances.other`: the column is new",
            "`site_instances`: the index `site_instances_other_idx` is new",
        ]
    );
}

#[test]
fn renaming_goes_by_the_former_name() {
    let renamed = || vec![text("b").renamed_from("a")];
    check(vec![text("a")], renamed(), &["`site_instances.a`: its name is now `b`"]);
    check(vec![text("b")], renamed(), &[]);
    check(
        vec![text("a").unique(Unique::Everywhere)],
        vec![text("b").renamed_from("a").unique(Unique::Everywhere)],
        &[
            "the index `site_instances_a_key` is gone",
            "`site_instances.a`: its name is now `b`",
            "`site_instances`: the index `site_instances_b_key` is new",
        ],
    );
    check(
        vec![text("a")],
        vec![text("b")],
        &[
            "refused `site_instances.b`: existing rows have no value for the new field",
            "refused `site_instances.a`: the column would be dropped with its values",
        ],
    );
    check(
        vec![text("a")],
        vec![field::<Option<i64>>("b").renamed_from("a")],
        &["refused `site_instances.b`: it would turn from Text into Int"],
    );
}

#[test]
fn losing_is_refused() {
    check(
        vec![text("a")],
        vec![],
        &["refused `site_instances.a`: the column would be dropped with its values"],
    );
    check(
        vec![field::<Option<String>>("a")],
        vec![text("a")],
        &["refused `site_instances.a`: it would have to have a value, and rows may have none"],
    );
    check(
        vec![text("a")],
        vec![field::<Secret<String>>("a")],
        &["refused `site_instances.a`: it would turn from Text into Sealed"],
    );
    check(
        vec![field::<Vec<String>>("a")],
        vec![field::<bool>("a")],
        &["refused `site_instances.a`: it would turn from Json into Bool"],
    );
    check(vec![field::<Vec<String>>("a")], vec![field::<Map<String>>("a")], &[]);
    check(
        vec![color(&["red", "blue"])],
        vec![color(&["red"])],
        &["refused `site_instances.color`: values that rows may hold would be allowed no more"],
    );
    check(
        vec![field::<u32>("a")],
        vec![field::<u8>("a")],
        &["refused `site_instances.a`: values that rows may hold would be allowed no more"],
    );
    check(
        vec![text("a")],
        vec![text("a").unique(Unique::Siblings)],
        &["refused `site_instances`: (project_id, a) would have to be unique, and rows may agree in it"],
    );
    check(
        vec![text("a").unique(Unique::Siblings)],
        vec![text("a").unique(Unique::Everywhere)],
        &["refused `site_instances`: (a) would have to be unique, and rows may agree in it"],
    );
}

#[test]
fn a_table_is_not_dropped() {
    let root = site(vec![]);
    let page = pages(root, vec![text("path")]);
    assert_eq!(
        between(&vec![root, page], &vec![root]),
        ["refused `site_pages`: the table would be dropped with all its rows"]
    );
}

#[test]
fn a_required_field_needs_a_default() {
    check(
        vec![],
        vec![text("a")],
        &["refused `site_instances.a`: existing rows have no value for the new field"],
    );
    check(
        vec![],
        vec![field::<Secret<String>>("a").default(|| "x".into())],
        &["refused `site_instances.a`: existing rows have no value for the new field"],
    );
    check(
        vec![],
        vec![text("a").default(|| "x".into()).unique(Unique::Siblings)],
        &["refused `site_instances.a`: existing rows would all get the same value in a unique field"],
    );
}

#[test]
fn all_refusals_come_at_once_with_what_to_do() {
    let old = Schema::of(&[site(vec![text("a"), field::<Option<String>>("b")])]);
    let refusals = diff(&old, &Target::of(&[site(vec![text("b"), text("c")])])).unwrap_err();
    let columns: Vec<_> =
        refusals.iter().map(|refusal| refusal.column.as_deref().unwrap_or_default()).collect();
    assert_eq!(columns, ["b", "c", "a"]);
    assert!(
        refusals[1].to_string().ends_with("give it a `default` or make it an `Option`"),
        "{}",
        refusals[1]
    );
    assert!(refusals[2].to_string().contains("put `renamed_from = \"a\"` on it"), "{}", refusals[2]);
}

#[test]
fn names_that_postgres_would_cut_are_refused() {
    let long: &'static str = "x".repeat(64).leak();
    check(
        vec![],
        vec![field::<Option<String>>(long)],
        &[&format!(
            "refused `site_instances.{long}`: its name is longer than 63 bytes, which PostgreSQL would cut"
        )],
    );
}

#[test]
fn index_names_are_short_and_differ() {
    assert_eq!(index_name("s3_instances", &["project_id", "name"], true), "s3_instances_project_id_name_key");
    let long = "x".repeat(60);
    let names = [
        index_name(&long, &["a"], true),
        index_name(&long, &["a"], false),
        index_name(&long, &["b"], false),
        index_name(&"é".repeat(31), &["b"], false),
    ];
    assert!(names.iter().all(|name| name.len() < 63), "{names:?}");
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len());
}

#[test]
fn tables_have_the_frameworks_columns() {
    let root = site(vec![text("title")]);
    let page = pages(root, vec![text("path"), field::<Option<u16>>("order")]);
    let part = leak(child("Part", "page-parts", page));
    let schema = Schema::of(&[root, page, part]);
    let columns = |table: &str| -> String {
        let column = |column: &metapaas_core::migrate::Column| {
            let reference = column.references.as_ref().map(|to| format!(">{}", to.table)).unwrap_or_default();
            format!("{}{}{reference}", column.name, if column.nullable { "?" } else { "" })
        };
        schema.tables[table].columns.iter().map(column).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        columns("site_instances"),
        "id project_id>metapaas_projects name description version deletion_protection? labels status conditions nodes generation \
         observed_generation revision created_at updated_at deleting_at? title"
    );
    assert_eq!(
        columns("site_pages"),
        "id project_id>metapaas_projects instance_id>site_instances parent_id>site_instances description labels \
         status conditions generation observed_generation held_generation revision created_at updated_at \
         deleting_at? path order?"
    );
    assert_eq!(
        columns("site_page_parts"),
        "id project_id>metapaas_projects instance_id>site_instances parent_id>site_pages name description labels \
         status conditions generation observed_generation held_generation revision created_at updated_at deleting_at?"
    );
    let indexes = |table: &str| -> Vec<String> {
        let index = |index: &metapaas_core::migrate::Index| {
            format!("{}{}", if index.unique { "unique " } else { "" }, index.columns.join(","))
        };
        schema.tables[table].indexes.iter().map(index).collect()
    };
    assert_eq!(
        indexes("site_instances"),
        ["unique name,project_id", "project_id,id", "project_id,name", "status,id", "project_id,status,id"]
    );
    let below = |key: &str| {
        [&format!("unique parent_id,{key}"), "instance_id,id", "parent_id,id", "parent_id,status,id"]
            .map(ToOwned::to_owned)
    };
    assert_eq!(indexes("site_pages"), below("path"));
    assert_eq!(indexes("site_page_parts"), below("name"));
    let by_bytes = |table: &str| -> Vec<String> {
        let columns = schema.tables[table].columns.iter().filter(|column| column.by_bytes);
        columns.map(|column| column.name.clone()).collect()
    };
    assert_eq!(by_bytes("site_instances"), ["name", "status"]);
    assert_eq!(by_bytes("site_pages"), ["status", "path"]);
}
