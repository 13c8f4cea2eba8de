//! What a struct says arrives in its descriptor, and its values come back from a spec as they went.

use metapaas_core::descriptor::{Action, FieldKind, Key, Scope, Unique};
use metapaas_core::{
    DnsName, FieldEnum, FieldProblem, FieldType, Json, Map, PaasType, Ref, Role, Secret, Spec, paas_type,
};
use serde_json::{Value, json};

/// What is sold.
///
/// A second paragraph.
#[paas_type(
    slug = "shop",
    element = "shop-aas",
    scope = "platform",
    iam(create = "operator"),
    retention = "2w",
    check = opens_before_it_closes
)]
#[derive(Debug, PartialEq)]
struct Shop {
    /// Shown on each page.
    #[field(mutable, iam = "owner", default = "Hello".to_owned(), len = 1..=80, pattern = "^[A-Z]")]
    greeting: String,
    #[field(unique, range = 0..=24)]
    opens: u8,
    #[field(unique = "everywhere", range = -0.5..=24.5, renamed_from = "ends")]
    closes: f64,
    #[field(check = may_only_grow)]
    size: Option<u64>,
    #[field(len = 2..)]
    theme: Vec<Theme>,
    #[field(output)]
    address: Option<String>,
    password: Secret<String>,
    branch_of: Option<Ref<Shop>>,
    limits: Map<i32>,
    extra: Json<(u8, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, FieldEnum)]
enum Theme {
    /// Bright.
    Light,
    VeryDark,
    #[field_enum(name = "AAA")]
    HighContrast,
}

#[paas_type(parent = Shop, plural = "shelves", key = "name")]
struct Shelf {
    name: DnsName,
}

#[paas_type(parent = Shelf, plural = "items", key = "number", iam(delete = "owner"))]
struct Item {
    number: u32,
}

#[paas_type(parent = Shop, plural = "visits", key = "id")]
struct Visit {}

#[paas_type(parent = Shop, plural = "notes", key = "name")]
struct Note {}

fn opens_before_it_closes(new: &Shop, old: Option<&Shop>) -> Vec<FieldProblem> {
    let wrong = f64::from(new.opens) >= new.closes;
    let detail = if old.is_some() { "changed to end too early" } else { "ends too early" };
    wrong.then(|| FieldProblem::new("closes", detail)).into_iter().collect()
}

fn may_only_grow(new: &Option<u64>, old: Option<&Option<u64>>) -> Result<(), &'static str> {
    if old.is_some_and(|old| new < old) { Err("it may only grow") } else { Ok(()) }
}

fn shop() -> Shop {
    Shop {
        greeting: "Hello".into(),
        opens: 9,
        closes: 17.5,
        size: Some(3),
        theme: vec![Theme::Light, Theme::VeryDark, Theme::HighContrast],
        address: None,
        password: Secret::new("hidden".into()),
        branch_of: "01990000-0000-7000-8000-000000000001".parse().ok().map(Ref::new),
        limits: Map::from([("a".into(), -1)]),
        extra: Json((1, "x".into())),
    }
}

#[test]
fn a_struct_comes_back_from_its_spec() {
    let spec = shop().to_spec();
    assert_eq!(
        Value::Object(spec.clone()),
        json!({
            "greeting": "Hello", "opens": 9, "closes": 17.5, "size": 3, "theme": ["light", "very-dark", "AAA"],
            "address": null, "password": "hidden", "branch_of": "01990000-0000-7000-8000-000000000001",
            "limits": {"a": -1}, "extra": [1, "x"],
        })
    );
    assert_eq!(Shop::from_spec(&spec), Ok(shop()));
    assert_eq!(Visit {}.to_spec(), Spec::new());
}

#[test]
fn a_wrong_entry_is_named() {
    let mut spec = shop().to_spec();
    spec.insert("theme".into(), json!(["dark"]));
    let error = Shop::from_spec(&spec).unwrap_err();
    assert_eq!(error.to_string(), "field `theme`: expected one of light, very-dark, AAA, found a string");
    spec.remove("theme");
    assert_eq!(Shop::from_spec(&spec).unwrap_err().found, "null");
}

#[test]
fn an_instance_says_what_its_attributes_say() {
    let shop = Shop::DESCRIPTOR;
    assert_eq!((shop.name, shop.slug, shop.plural, shop.element), ("Shop", "shop", "instances", "shop-aas"));
    assert_eq!(shop.doc, "What is sold.\n\nA second paragraph.");
    assert_eq!(
        (shop.scope, shop.key, shop.retention_seconds),
        (Scope::Platform, Key::Name, Some(14 * 86_400))
    );
    assert_eq!(shop.policy, [(Action::Create, Role::Operator)]);
    let greeting = shop.field("greeting").unwrap();
    assert_eq!(
        (greeting.doc, greeting.mutable, greeting.iam),
        ("Shown on each page.", true, Some(Role::Owner))
    );
    assert_eq!((greeting.len, greeting.pattern), (Some((1, 80)), Some("^[A-Z]")));
    assert_eq!(greeting.default.unwrap()(), json!("Hello"));
    assert!(!greeting.is_required() && !greeting.nullable && !greeting.output);
    let opens = shop.field("opens").unwrap();
    assert_eq!((opens.unique, opens.range, opens.mutable), (Unique::Siblings, Some((0.0, 24.0)), false));
    let closes = shop.field("closes").unwrap();
    assert_eq!((closes.unique, closes.range), (Unique::Everywhere, Some((-0.5, 24.5))));
    assert_eq!(closes.renamed_from, Some("ends"));
    assert_eq!(shop.field("theme").unwrap().len, Some((2, u64::from(u32::MAX))));
    let address = shop.field("address").unwrap();
    assert!(address.output && address.nullable);
    assert!(shop.field("password").unwrap().is_secret());
    let FieldKind::Ref(target) = shop.field("branch_of").unwrap().kind else { panic!("not a reference") };
    assert_eq!(target().name, "Shop");
}

#[test]
fn children_inherit_and_have_their_keys() {
    assert_eq!((Shelf::DESCRIPTOR.key, Shelf::DESCRIPTOR.has_framework_name()), (Key::Field("name"), false));
    assert_eq!((Note::DESCRIPTOR.key, Note::DESCRIPTOR.has_framework_name()), (Key::Name, true));
    assert_eq!(Visit::DESCRIPTOR.key, Key::Id);
    let item = Item::DESCRIPTOR;
    assert_eq!((item.slug, item.plural, item.depth(), item.scope), ("shop", "items", 2, Scope::Platform));
    assert_eq!((item.key, item.element), (Key::Field("number"), "shop-aas"));
    assert_eq!(item.policy, [(Action::Delete, Role::Owner)]);
    assert_eq!(Shelf::DESCRIPTOR.policy, [(Action::Create, Role::Operator)]);
}

#[test]
fn checks_get_typed_values() {
    let check = Shop::DESCRIPTOR.field("size").unwrap().check.unwrap();
    assert_eq!(check(&json!(1), None), Ok(()));
    assert_eq!(check(&json!(2), Some(&json!(1))), Ok(()));
    assert_eq!(check(&json!(null), Some(&json!(1))), Err("it may only grow".into()));
    let check = Shop::DESCRIPTOR.check.unwrap();
    let right = shop().to_spec();
    let wrong = Shop { closes: 1.0, ..shop() }.to_spec();
    assert_eq!(check(&right, None), []);
    assert_eq!(check(&wrong, None), [FieldProblem::new("closes", "ends too early")]);
    assert_eq!(check(&wrong, Some(&right)), [FieldProblem::new("closes", "changed to end too early")]);
}

#[test]
fn an_enum_knows_its_names() {
    let names: Vec<(&str, &str)> =
        Theme::VARIANTS.iter().map(|variant| (variant.name, variant.doc)).collect();
    assert_eq!(names, [("light", "Bright."), ("very-dark", ""), ("AAA", "")]);
    for variant in [Theme::Light, Theme::VeryDark, Theme::HighContrast] {
        assert_eq!(Theme::parse(variant.name()), Some(variant));
        assert_eq!(Theme::from_json(&variant.to_json()), Ok(variant));
    }
    assert_eq!(Theme::parse("Light"), None);
}
