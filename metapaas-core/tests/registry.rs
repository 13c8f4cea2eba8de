//! What cannot be hosted together is refused at start, all of it at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use metapaas_core::__private::{instance, of};
use metapaas_core::descriptor::{FieldDescriptor, FieldKind, Key, Metric, TypeDescriptor, Unique};
use metapaas_core::plugin::Plugin;
use metapaas_core::registry::Registry;
use metapaas_core::{FieldType, Planned};

type Types = Vec<TypeDescriptor>;

const fn field<T: FieldType>(name: &'static str) -> FieldDescriptor {
    of::<T>().field(name, "")
}

const fn of_kind(name: &'static str, kind: FieldKind) -> FieldDescriptor {
    FieldDescriptor { kind, ..field::<bool>(name) }
}

fn plugin(name: &'static str, types: Types) -> Plugin {
    let mut plugin = Plugin::new(name, "1.0.0");
    plugin.types.extend(types.into_iter().map(|ty| -> &'static TypeDescriptor { Box::leak(Box::new(ty)) }));
    plugin
}

fn with_fields(fields: Vec<FieldDescriptor>) -> Types {
    vec![TypeDescriptor { fields: fields.leak(), ..instance("Site", "site", "") }]
}

static SITE: TypeDescriptor = instance("Site", "site", "");
static PAGE: TypeDescriptor =
    TypeDescriptor { plural: "pages", parent: Some(&SITE), ..instance("Page", "site", "") };
static NOTE: TypeDescriptor =
    TypeDescriptor { plural: "notes", parent: Some(&PAGE), ..instance("Note", "site", "") };

const fn below(parent: &'static TypeDescriptor, plural: &'static str) -> TypeDescriptor {
    TypeDescriptor { plural, parent: Some(parent), ..instance("Below", parent.slug, "") }
}

fn codes(plugins: Vec<Plugin>) -> Vec<&'static str> {
    let conflicts = Registry::new(plugins).err().unwrap_or_default();
    assert!(conflicts.iter().all(|conflict| !conflict.detail.is_empty()));
    conflicts.into_iter().map(|conflict| conflict.code).collect()
}

fn check(plugins: Vec<Plugin>, expected: &[&str]) {
    let names: Vec<&str> = plugins.iter().map(|plugin| plugin.name).collect();
    assert_eq!(codes(plugins), expected, "{names:?}");
}

fn check_fields(fields: Vec<FieldDescriptor>, expected: &[&str]) {
    let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
    assert_eq!(codes(vec![plugin("site", with_fields(fields))]), expected, "{names:?}");
}

#[test]
fn plugins_and_types_must_fit_together() {
    check(vec![plugin("site", vec![SITE_COPY, PAGE_COPY, NOTE_COPY])], &[]);
    check(vec![plugin("a", vec![]), plugin("a", vec![])], &["DUPLICATE_PLUGIN"]);
    check(vec![plugin("metapaas", vec![])], &["DUPLICATE_PLUGIN"]);
    let other = TypeDescriptor { plural: "others", ..instance("Other", "site", "") };
    check(vec![plugin("a", vec![SITE_COPY]), plugin("b", vec![other])], &["DUPLICATE_SLUG"]);
    check(
        vec![plugin("a", vec![SITE_COPY]), plugin("b", vec![SITE_COPY])],
        &["DUPLICATE_SLUG", "DUPLICATE_TABLE"],
    );
    check(vec![plugin("a", vec![instance("I", "iam", "")])], &["RESERVED_SLUG"]);
    check(vec![plugin("a", vec![instance("M", "metapaas", "")])], &["RESERVED_SLUG"]);
    check(vec![plugin("a", vec![SITE_COPY, PAGE_COPY, below(&SITE, "pages")])], &["DUPLICATE_TABLE"]);
    for reserved in ["actions", "events", "logs", "nodes", "versions", "operations"] {
        check(vec![plugin("a", vec![SITE_COPY, below(&SITE, reserved)])], &["ROUTE_OVERLAP"]);
    }
    check(vec![plugin("a", vec![PAGE_COPY])], &["MISSING_PARENT"]);
    check(vec![plugin("a", vec![PAGE_COPY, SITE_COPY])], &["MISSING_PARENT"]);
    let all = vec![SITE_COPY, PAGE_COPY, NOTE_COPY, below(&NOTE, "deeper")];
    check(vec![plugin("a", all)], &["TOO_DEEP"]);
}

const SITE_COPY: TypeDescriptor = instance("Site", "site", "");
const PAGE_COPY: TypeDescriptor =
    TypeDescriptor { plural: "pages", parent: Some(&SITE), ..instance("Page", "site", "") };
const NOTE_COPY: TypeDescriptor =
    TypeDescriptor { plural: "notes", parent: Some(&PAGE), ..instance("Note", "site", "") };

#[test]
fn names_must_do_for_paths_and_tables() {
    for slug in ["", "Site", "a.b", "a/b", "-a", "a-b", "a_b", "1a", &"x".repeat(32)] {
        let slug: &'static str = slug.to_owned().leak();
        check(vec![plugin("a", vec![instance("Site", slug, "")])], &["INVALID_NAME"]);
    }
    check(vec![plugin("a", vec![SITE_COPY, below(&SITE, "Pages/2")])], &["INVALID_NAME"]);
    check_fields(vec![field::<bool>("Upper")], &["INVALID_NAME"]);
    check_fields(vec![field::<bool>("with-hyphen")], &["INVALID_NAME"]);
    check_fields(vec![field::<bool>("order_2")], &[]);
}

#[test]
fn plans_and_drivers_must_belong_to_types() {
    let foreign = |change: fn(&mut Plugin)| {
        let mut plugin = plugin("a", vec![SITE_COPY]);
        change(&mut plugin);
        plugin
    };
    check(
        vec![foreign(|plugin| plugin.plans.push(("other", Arc::new(|_| Ok(Planned::default())))))],
        &["FOREIGN_TYPE", "MISSING_DRIVER"],
    );
    check(
        vec![foreign(|plugin| plugin.versions.push(("other", Arc::new(|_| vec!["1"]))))],
        &["FOREIGN_TYPE"],
    );
    check(
        vec![foreign(|plugin| plugin.plans.push(("site", Arc::new(|_| Ok(Planned::default())))))],
        &["MISSING_DRIVER"],
    );
}

#[test]
fn references_must_lead_somewhere() {
    let fields = vec![of_kind("page", FieldKind::Ref(|| &PAGE))];
    check(vec![plugin("a", with_fields(fields.clone()))], &["MISSING_REFERENCE"]);
    // The order of plugins does not matter.
    let other = TypeDescriptor { fields: fields.leak(), ..instance("Other", "other", "") };
    check(vec![plugin("a", vec![other]), plugin("b", vec![SITE_COPY, PAGE_COPY])], &[]);
}

#[test]
fn fields_must_be_ones_that_can_be_kept() {
    check_fields(vec![field::<bool>("a"), field::<bool>("a")], &["DUPLICATE_FIELD"]);
    for reserved in ["id", "name", "type", "labels", "held_generation", "parent_id", "deleting_at"] {
        check_fields(vec![field::<String>(reserved)], &["RESERVED_FIELD"]);
    }
    check_fields(vec![field::<String>("a").pattern("(")], &["INVALID_PATTERN"]);
    check_fields(vec![field::<String>("a").renamed_from("b"), field::<bool>("b")], &["RENAME_OVERLAP"]);
    check_fields(vec![field::<bool>("a").pattern("x")], &["MISPLACED_RULE"]);
    check_fields(vec![field::<i64>("a").len(1, 2)], &["MISPLACED_RULE"]);
    check_fields(vec![field::<String>("a").range(1.0, 2.0)], &["MISPLACED_RULE"]);
    let output = |kind| FieldDescriptor { output: true, nullable: true, ..of_kind("a", kind) };
    check_fields(vec![output(FieldKind::Float).metric(Metric::Gauge)], &[]);
    check_fields(vec![output(FieldKind::Bool).metric(Metric::Gauge)], &["MISPLACED_RULE"]);
    check_fields(vec![field::<i64>("a").metric(Metric::Counter)], &["MISPLACED_RULE"]);
    let total = FieldDescriptor { name: "a_total", ..output(FieldKind::Float) };
    check_fields(vec![total.metric(Metric::Counter)], &[]);
    check_fields(vec![total.metric(Metric::Gauge)], &["MISPLACED_RULE"]);
    for kind in [FieldKind::Json, FieldKind::List(&FieldKind::Bool), FieldKind::Secret(&FieldKind::Bool)] {
        check_fields(vec![of_kind("a", kind).unique(Unique::Siblings)], &["MISPLACED_RULE"]);
    }
    const SECRET: FieldKind = FieldKind::Secret(&FieldKind::Bool);
    const MAP: FieldKind = FieldKind::Map(&SECRET);
    const SECRET_LIST: FieldKind = FieldKind::List(&SECRET);
    for kind in [FieldKind::List(&SECRET), MAP, FieldKind::List(&MAP), FieldKind::Secret(&SECRET_LIST)] {
        check_fields(vec![of_kind("a", kind)], &["NESTED_SECRET"]);
    }
    check_fields(vec![of_kind("a", FieldKind::Secret(&FieldKind::List(&FieldKind::Bool)))], &[]);
}

#[test]
fn keys_must_be_given_and_stay() {
    let keyed = |field: Vec<FieldDescriptor>| {
        let ty =
            TypeDescriptor { key: Key::Field("key"), fields: field.leak(), ..instance("Site", "site", "") };
        vec![plugin("site", vec![ty])]
    };
    check(keyed(vec![field::<String>("key")]), &[]);
    check(keyed(vec![field::<u16>("key")]), &[]);
    check(keyed(vec![]), &["MISSING_KEY"]);
    check(keyed(vec![field::<String>("key").mutable()]), &["INVALID_KEY"]);
    check(keyed(vec![field::<Option<String>>("key")]), &["INVALID_KEY"]);
    check(keyed(vec![FieldDescriptor { output: true, ..field::<String>("key") }]), &["INVALID_KEY"]);
    check(keyed(vec![field::<bool>("key")]), &["INVALID_KEY"]);
    let name = TypeDescriptor {
        key: Key::Field("name"),
        fields: vec![field::<String>("name")].leak(),
        ..instance("Site", "site", "")
    };
    check(vec![plugin("site", vec![name])], &[]);
}

#[test]
fn all_conflicts_of_all_plugins_come_at_once() {
    let fields =
        vec![field::<bool>("id"), of_kind("page", FieldKind::Ref(|| &PAGE)), field::<bool>("x").pattern("[")];
    let plugins = vec![
        plugin("one", with_fields(fields)),
        plugin("one", vec![SITE_COPY]),
        plugin("three", vec![NOTE_COPY, instance("Iam", "iam", "")]),
    ];
    let mut counts = BTreeMap::new();
    for code in codes(plugins) {
        *counts.entry(code).or_insert(0) += 1;
    }
    let expected = [
        ("DUPLICATE_PLUGIN", 1),
        ("DUPLICATE_SLUG", 1),
        ("DUPLICATE_TABLE", 1),
        ("INVALID_PATTERN", 1),
        ("MISPLACED_RULE", 1),
        ("MISSING_PARENT", 1),
        ("MISSING_REFERENCE", 1),
        ("RESERVED_FIELD", 1),
        ("RESERVED_SLUG", 1),
    ];
    assert_eq!(counts, BTreeMap::from(expected));
}
