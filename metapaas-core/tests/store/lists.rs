//! Lists with filters and orders: both databases answer what the filter says of the rows in memory, page by page.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use metapaas_core::__private::instance;
use metapaas_core::FieldType;
use metapaas_core::authz::Allowed;
use metapaas_core::descriptor::{Action, EnumVariant, FieldDescriptor, FieldKind, TypeDescriptor, Unique};
use metapaas_core::query::{
    Comparison, Fields, Filter, Kind, LabelTest, Listing, Literal, Order, PageToken, Test,
};
use metapaas_core::resource::Resource;
use metapaas_core::role::Role;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ONE, TWO, World, below, leak, member, owner};

const ROWS: usize = 40;
const STATUSES: [&str; 4] = ["PENDING", "ACTIVE", "ERROR", "DELETING"];
const SIZES: &[EnumVariant] = &[EnumVariant { name: "s", doc: "" }, EnumVariant { name: "l", doc: "" }];
const TEXTS: [&str; 14] =
    ["", "a", "A", "b", "B", "z", "Z", "ä", "a b", "a-b", "ab", "_", "\u{1f980}", "it's \"%_\\"];

const fn unique(name: &'static str, kind: FieldKind, nullable: bool) -> FieldDescriptor {
    FieldDescriptor { kind, nullable, unique: Unique::Siblings, ..super::field::<bool>(name) }
}

const FIELDS: &[FieldDescriptor] = &[
    unique("whole", i64::KIND, false),
    unique("maybe", i64::KIND, true),
    unique("weight", FieldKind::Float, true),
    unique("words", String::KIND, false),
    unique("order", String::KIND, true),
    unique("tag", FieldKind::Uuid, true),
    unique("since", FieldKind::Timestamp, true),
    unique("every", FieldKind::Duration, true),
    unique("size", FieldKind::Enum(SIZES), true),
    unique("group", FieldKind::Bool, true),
];

/// Instances, and rows below one.
fn types() -> [&'static TypeDescriptor; 2] {
    let site = leak(TypeDescriptor { fields: FIELDS, ..instance("Site", "site", "") });
    [site, leak(TypeDescriptor { fields: FIELDS, ..below("Part", "parts", site) })]
}

/// The value of each field at a place of a small domain, so that values meet.
fn value(field: &FieldDescriptor, place: usize) -> Value {
    if field.nullable && place.is_multiple_of(4) {
        return Value::Null;
    }
    match field.kind {
        FieldKind::Bool => json!(place.is_multiple_of(2)),
        FieldKind::Integer { .. } => json!([i64::MIN, -1, 0, 1, 7, i64::MAX][place % 6]),
        FieldKind::Float => json!([-1e300, -0.5, 0.0, 0.1, 5e-324, 1e17][place % 6]),
        FieldKind::Uuid => json!(Uuid::from_u128((place as u128 % 5) << 100)),
        FieldKind::Timestamp => json!(format!("20{:02}-01-31T12:00:00.{:06}Z", 10 + place % 3, place % 2)),
        FieldKind::Duration => {
            let millis = [0, 1, 999, 60_000, 100_000_000][place % 5];
            json!(humantime::format_duration(Duration::from_millis(millis)).to_string())
        }
        FieldKind::Enum(variants) => json!(variants[place % variants.len()].name),
        _ => json!(TEXTS[place % TEXTS.len()]),
    }
}

/// A part of a filter, before it is known when the rows of a database were made.
#[derive(Clone, Debug)]
enum Part {
    All(Vec<Part>),
    Any(Vec<Part>),
    Not(Box<Part>),
    Field(&'static str, Comparison, usize),
    OneOf(&'static str, Vec<usize>),
    Contains(&'static str, &'static str),
    IsNull(&'static str),
    CreatedAt(Comparison, usize, i64),
    Label(&'static str, Option<Vec<&'static str>>),
}

fn part() -> impl Strategy<Value = Part> {
    let names: Vec<&str> = FIELDS.iter().map(|field| field.name).chain(["name", "status"]).collect();
    let nullable: Vec<&str> = FIELDS.iter().filter(|field| field.nullable).map(|field| field.name).collect();
    let comparison = || {
        use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        select(vec![Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual])
    };
    let label = (
        select(vec!["tier", "app.example.org/name", "7", "none"]),
        prop::option::of(vec(select(vec!["web", "api", "", "7"]), 1..3)),
    );
    let leaf = prop_oneof![
        6 => (select(names.clone()), comparison(), 0..ROWS)
            .prop_map(|(name, how, place)| Part::Field(name, how, place)),
        3 => (select(names), vec(0..ROWS, 1..4)).prop_map(|(name, places)| Part::OneOf(name, places)),
        1 => (select(vec!["name", "words", "order"]), select(vec!["a", "", "-", "%", "_", "ä", "\\", "1"]))
            .prop_map(|(name, text)| Part::Contains(name, text)),
        1 => select(nullable).prop_map(Part::IsNull),
        2 => (comparison(), 0..ROWS, -1_i64..=1).prop_map(|(how, row, off)| Part::CreatedAt(how, row, off)),
        2 => label.prop_map(|(name, values)| Part::Label(name, values)),
    ];
    leaf.prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Part::All),
            vec(inner.clone(), 0..4).prop_map(Part::Any),
            inner.prop_map(|part| Part::Not(Box::new(part))),
        ]
    })
}

fn orders() -> impl Strategy<Value = String> {
    let names: Vec<&str> =
        FIELDS.iter().map(|field| field.name).chain(["name", "status", "id", "created_at"]).collect();
    let key =
        (select(names), select(vec!["", " asc", " desc"])).prop_map(|(name, way)| format!("{name}{way}"));
    vec(key, 0..4).prop_map(|keys| keys.join(","))
}

/// A list that is asked for.
#[derive(Clone, Debug)]
struct Question {
    parts: Vec<Part>,
    order: String,
    limit: u16,
    who: usize,
    child: bool,
}

fn question() -> impl Strategy<Value = Question> {
    (vec(part(), 0..3), orders(), 1_u16..12, 0_usize..4, any::<bool>())
        .prop_map(|(parts, order, limit, who, child)| Question { parts, order, limit, who, child })
}

fn filter_of(fields: &Fields, rows: &[Resource], part: &Part) -> Filter {
    let inner = |parts: &[Part]| parts.iter().map(|part| filter_of(fields, rows, part)).collect();
    let literal = |name: &str, place: usize| {
        let field = fields.get(name).unwrap();
        let text = match name {
            "name" => rows[place].meta.name.clone().unwrap(),
            "status" => STATUSES[place % STATUSES.len()].into(),
            name => {
                let described = FIELDS.iter().find(|field| field.name == name).unwrap();
                let value = value(&FieldDescriptor { nullable: false, ..*described }, place);
                value.as_str().map_or_else(|| value.to_string(), str::to_owned)
            }
        };
        field.kind.parse(&text).unwrap_or_else(|| panic!("{name}: {text}"))
    };
    let test = |name: &str, test| Filter::Field { field: fields.get(name).unwrap(), test };
    match part {
        Part::All(parts) => Filter::All(inner(parts)),
        Part::Any(parts) => Filter::Any(inner(parts)),
        Part::Not(part) => filter_of(fields, rows, part).negated(),
        Part::Field(name, how, place) => test(name, Test::Compare(*how, literal(name, *place))),
        Part::OneOf(name, places) => {
            test(name, Test::OneOf(places.iter().map(|place| literal(name, *place)).collect()))
        }
        Part::Contains(name, text) => test(name, Test::Contains((*text).into())),
        Part::IsNull(name) => test(name, Test::IsNull),
        Part::CreatedAt(how, row, off) => {
            let time = rows[*row].meta.created_at + TimeDelta::microseconds(*off);
            test("created_at", Test::Compare(*how, Literal::Time(time)))
        }
        Part::Label(name, values) => Filter::Label {
            name: (*name).into(),
            test: values.as_ref().map_or(LabelTest::Exists, |values| {
                LabelTest::OneOf(values.iter().map(|value| (*value).to_owned()).collect())
            }),
        },
    }
}

/// Rows of both projects, and below one of them, made in the same order on each database.
struct Filled {
    world: World,
    instances: Vec<Resource>,
    children: Vec<Resource>,
    parent: Resource,
}

async fn fill(world: World) -> Filled {
    let [site, child] = [world.of_slug(0), world.of_slug(1)];
    let (mut instances, mut children) = (Vec::new(), Vec::new());
    // Values may meet, as those of fields that are no longer unique.
    for ty in [site, child] {
        for field in FIELDS {
            let above = if ty.is_instance() { "project_id" } else { "parent_id" };
            let index = format!("{}_{above}_{}_key", ty.table(), field.name);
            world.database.run(&format!("DROP INDEX \"{index}\"")).await;
        }
    }
    let mut parent = None;
    for row in 0..ROWS {
        // Scattered, and the same every time.
        let scatter = |salt: usize| (row * 7 + salt * 13 + row * row * 3) % 101;
        let mut body = json!({ "name": format!("{}{}-{row}", ["b", "a", "ab"][row % 3], scatter(1) % 4) });
        for (index, field) in FIELDS.iter().enumerate() {
            body[field.name] = value(field, scatter(index + 2));
        }
        body["labels"] = match row % 5 {
            0 => json!({}),
            1 => json!({ "tier": "web" }),
            2 => json!({ "tier": "api", "7": "7" }),
            3 => json!({ "app.example.org/name": "web", "tier": "" }),
            _ => json!({ "7": "" }),
        };
        let project = if row % 3 == 0 { TWO } else { ONE };
        let made = world.make_in(project, site, None, &body).await.unwrap();
        let parent = parent.get_or_insert_with(|| made.clone());
        let below = world.make_below(parent, child, &body).await.unwrap();
        for made in [&made, &below] {
            let (table, id) = (made.ty.table(), made.meta.id);
            let status = STATUSES[scatter(0) % STATUSES.len()];
            let sql = format!("UPDATE {table} SET status = '{status}' WHERE id = '{id}'");
            world.database.run(&sql).await;
        }
        instances.push(world.again(&made).await);
        children.push(world.again(&below).await);
    }
    let parent = world.again(&parent.unwrap()).await;
    instances[0] = parent.clone();
    Filled { world, instances, children, parent }
}

impl World {
    fn of_slug(&self, index: usize) -> &'static TypeDescriptor {
        self.store.registry().types()[index].ty
    }
}

/// The keys of all pages, as the store answers them and as the filter and the order have them in memory.
async fn answers(filled: &Filled, question: &Question) -> (Vec<String>, Vec<String>) {
    let Filled { world, parent, .. } = filled;
    let rows = if question.child { &filled.children } else { &filled.instances };
    let ty = rows[0].ty;
    let fields = Fields::of(ty);
    let parts = question.parts.iter().map(|part| filter_of(&fields, rows, part));
    let filter = parts.fold(Filter::default(), Filter::and);
    let order = Order::parse(&fields, &question.order).unwrap();
    let viewer = |projects: &[Uuid]| {
        let roles: Vec<_> = projects.iter().map(|project| (*project, Role::Viewer)).collect();
        member(&roles, ty, Action::List)
    };
    // A list below a row is for those who see its project.
    let (allowed, project): (Allowed, Option<Uuid>) = match question.who {
        0 => (owner(ty, Action::List), None),
        1 => (viewer(&[ONE, TWO]), None),
        2 => (viewer(&[TWO]), None),
        _ => (viewer(&[ONE, TWO]), Some(TWO)),
    };
    let sees = |row: &&Resource| match question.who {
        0 | 1 => true,
        _ => row.meta.project_id == TWO,
    };
    let mut expected: Vec<&Resource> = rows.iter().filter(sees).filter(|row| filter.accepts(*row)).collect();
    expected.sort_by(|one, other| order.compare(&order.position(*one), &order.position(*other)));
    let expected = expected.into_iter().map(Resource::key).collect();

    let above = question.child.then_some(parent);
    let mut listing = Listing { filter, order, after: None };
    let tokens = PageToken::of("", &listing);
    let mut found = Vec::new();
    loop {
        let page =
            world.store.find(&allowed, world.of(ty), above, project, &listing, question.limit).await.unwrap();
        found.extend(page.items.iter().map(Resource::key));
        let Some(last) = page.items.last().filter(|_| page.has_more) else { return (found, expected) };
        assert_eq!(page.items.len(), usize::from(question.limit), "a page before the last is full");
        let token = tokens.write(&listing.order.position(last));
        listing.after = Some(tokens.read(&listing.order, &token).unwrap());
        assert!(found.len() <= ROWS, "pages go round: {listing:?}");
    }
}

#[test]
fn both_databases_answer_what_the_filter_says_in_memory() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let [site, child] = types();
    let filled = runtime.block_on(async {
        let [sqlite, postgres] = super::worlds(&[site, child]).await;
        [fill(sqlite).await, fill(postgres).await]
    });
    let mut runner = TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&question(), |question| {
        let [sqlite, postgres] = &filled;
        let (on_sqlite, in_memory) = runtime.block_on(answers(sqlite, &question));
        prop_assert_eq!(&on_sqlite, &in_memory, "SQLite and the evaluator");
        let (on_postgres, in_memory) = runtime.block_on(answers(postgres, &question));
        prop_assert_eq!(&on_postgres, &in_memory, "PostgreSQL and the evaluator");
        prop_assert_eq!(on_sqlite, on_postgres, "both databases");
        Ok(())
    });
    let _inside = runtime.enter();
    drop(filled);
    outcome.unwrap();
}

#[test]
fn every_kind_of_unique_field_can_be_filtered_and_sorted() {
    let fields = Fields::of(types()[0]);
    for field in FIELDS {
        let found = fields.get(field.name).unwrap_or_else(|| panic!("{}", field.name));
        assert!(found.sortable && found.nullable == field.nullable);
        assert_eq!(Some(found.kind), Kind::of(&field.kind));
    }
    let time: DateTime<Utc> = "2026-01-31T12:00:00Z".parse().unwrap();
    assert_eq!(Kind::Time.parse("2026-01-31T12:00:00Z"), Some(Literal::Time(time)));
}
