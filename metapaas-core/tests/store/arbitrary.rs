//! Types and bodies for property tests: every kind of field, and the values that are hard on databases.

use chrono::{DateTime, Duration as Offset, FixedOffset, SecondsFormat};
use metapaas_core::descriptor::{EnumVariant, FieldDescriptor, FieldKind};
use metapaas_core::{BucketName, Cidr, DnsName, Domain, Email, FieldType};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::leak;

/// Names that are words of SQL, or part of other names.
const NAMES: [&str; 7] = ["e", "order", "group", "user", "limit", "table_3", "x"];

const VARIANTS: &[EnumVariant] =
    &[EnumVariant { name: "none", doc: "" }, EnumVariant { name: "it's", doc: "" }];

/// A type's fields, bodies to create rows from, and changes of each row.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) fields: Vec<FieldDescriptor>,
    pub(super) rows: Vec<Vec<Option<Value>>>,
    pub(super) changes: Vec<(bool, Vec<Option<Value>>)>,
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    let shape = (kind(), any::<bool>(), any::<bool>(), any::<bool>());
    vec(shape, 1..NAMES.len()).prop_flat_map(|shapes| {
        let fields: Vec<FieldDescriptor> = shapes
            .into_iter()
            .zip(NAMES)
            .map(|((kind, nullable, mutable, default), name)| FieldDescriptor {
                kind,
                nullable,
                mutable,
                default: default.then(|| default_of(&kind)).flatten(),
                ..super::field::<bool>(name)
            })
            .collect();
        let body = fields.iter().map(given).collect::<Vec<_>>();
        let change = (any::<bool>(), body.clone());
        (vec(body, 1..3), vec(change, 0..3)).prop_map(move |(rows, changes)| Case {
            fields: fields.clone(),
            rows,
            changes,
        })
    })
}

/// What a body has for a field: a value, null, or nothing, as far as it may.
fn given(field: &FieldDescriptor) -> BoxedStrategy<Option<Value>> {
    let value = value(&field.kind).prop_map(Some);
    match (field.nullable, field.is_required()) {
        (true, _) => prop_oneof![6 => value, 1 => Just(Some(Value::Null)), 1 => Just(None)].boxed(),
        (false, true) => value.boxed(),
        (false, false) => prop_oneof![4 => value, 1 => Just(None)].boxed(),
    }
}

fn scalar() -> BoxedStrategy<FieldKind> {
    select(vec![
        FieldKind::Bool,
        i64::KIND,
        u8::KIND,
        i16::KIND,
        u64::KIND,
        FieldKind::Integer { min: -3, max: 3 },
        FieldKind::Float,
        String::KIND,
        DnsName::KIND,
        Domain::KIND,
        Email::KIND,
        BucketName::KIND,
        Cidr::KIND,
        FieldKind::Uuid,
        FieldKind::Timestamp,
        FieldKind::Duration,
        FieldKind::Enum(VARIANTS),
        FieldKind::Json,
    ])
    .boxed()
}

fn kind() -> BoxedStrategy<FieldKind> {
    let nested = scalar().prop_recursive(2, 4, 1, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| FieldKind::List(leak(inner))),
            inner.prop_map(|inner| FieldKind::Map(leak(inner))),
        ]
    });
    prop_oneof![
        4 => scalar(),
        2 => nested.clone(),
        1 => nested.prop_map(|inner| FieldKind::Secret(leak(inner)))
    ]
    .boxed()
}

/// Defaults as an author may write them: right, and not always in canonical form.
fn default_of(kind: &FieldKind) -> Option<fn() -> Value> {
    Some(match kind {
        FieldKind::Bool => || json!(true),
        FieldKind::Integer { .. } => || json!(1),
        FieldKind::Float => || json!(-0.0),
        FieldKind::Timestamp => || json!("2026-01-31T13:00:00+01:00"),
        FieldKind::Duration => || json!("5400s"),
        FieldKind::Enum(_) => || json!("it's"),
        FieldKind::List(_) => || json!([]),
        FieldKind::Map(_) => || json!({}),
        FieldKind::Json => || json!({"number": 1e17}),
        _ => return None,
    })
}

/// A value that validation must let through.
fn value(kind: &FieldKind) -> BoxedStrategy<Value> {
    match *kind {
        FieldKind::Bool => any::<bool>().prop_map(Value::from).boxed(),
        FieldKind::Integer { min, max } => {
            let whole = prop_oneof![min..=max, Just(min), Just(max)];
            let as_float = (min.max(-1000)..=max.min(1000)).prop_map(|whole| json!(whole as f64));
            prop_oneof![4 => whole.prop_map(Value::from), 1 => as_float].boxed()
        }
        FieldKind::Float => number().boxed(),
        FieldKind::Text(format) => match format.name {
            "" => text().prop_map(Value::from).boxed(),
            _ => checked_text(kind),
        },
        FieldKind::Uuid | FieldKind::Ref(_) => any::<u128>()
            .prop_flat_map(|id| {
                let id = Uuid::from_u128(id);
                select(vec![id.to_string(), id.simple().to_string(), id.urn().to_string().to_uppercase()])
            })
            .prop_filter("forms that the parser knows", |text| text.parse::<Uuid>().is_ok())
            .prop_map(Value::from)
            .boxed(),
        FieldKind::Timestamp => timestamp().prop_map(Value::from).boxed(),
        FieldKind::Duration => {
            let millis = prop_oneof![Just(0), Just(i64::MAX as u64), 0..=i64::MAX as u64, 0_u64..100_000];
            let duration = millis.prop_map(|millis| {
                humantime::format_duration(std::time::Duration::from_millis(millis)).to_string()
            });
            prop_oneof![
                3 => duration,
                1 => select(vec!["90m".to_owned(), "1day 1h".to_owned(), "1500ms".to_owned()]),
            ]
            .prop_map(Value::from)
            .boxed()
        }
        FieldKind::Enum(variants) => select(variants).prop_map(|variant| json!(variant.name)).boxed(),
        FieldKind::List(item) => vec(value(item), 0..4).prop_map(Value::from).boxed(),
        FieldKind::Map(item) => btree_map(text(), value(item), 0..4)
            .prop_map(|items| Value::Object(items.into_iter().collect::<Map<_, _>>()))
            .boxed(),
        FieldKind::Json => {
            any_json().prop_filter("null is for nullable fields", |json| !json.is_null()).boxed()
        }
        FieldKind::Secret(inner) => value(inner),
    }
}

fn checked_text(kind: &FieldKind) -> BoxedStrategy<Value> {
    let all = [
        "a",
        "web-1",
        "data-bucket",
        "my.bucket-7",
        "example.org",
        "xn--bcher-kva.example",
        "somebody@example.org",
        "o'brien+tag@mail.example.org",
        "10.0.0.0/8",
        "2001:db8::/32",
        "127.0.0.1/32",
    ];
    let fits = |text: &&str| {
        let mut problems = Vec::new();
        metapaas_core::validate::canonical(kind, &json!(text), "", &mut problems);
        problems.is_empty()
    };
    let fitting: Vec<Value> = all.iter().filter(|text| fits(text)).map(|text| json!(text)).collect();
    assert!(!fitting.is_empty(), "no example of {kind:?}");
    select(fitting).boxed()
}

/// Finite numbers, the awkward ones more often.
pub(super) fn number() -> BoxedStrategy<Value> {
    let awkward = vec![
        json!(-0.0),
        json!(0),
        json!(1.0),
        json!(1e17),
        json!(-1e17),
        json!(1e300),
        json!(-1.5e300),
        json!(5e-324),
        json!(0.1),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(9_007_199_254_740_993_i64),
        json!(f64::MAX),
        json!(9.3e18),
        json!(1.8446744073709552e19),
    ];
    let float =
        any::<f64>().prop_filter("JSON has no infinity", |float| float.is_finite()).prop_map(Value::from);
    prop_oneof![select(awkward), float, any::<i64>().prop_map(Value::from)].boxed()
}

/// Any text without NUL.
pub(super) fn text() -> BoxedStrategy<String> {
    let awkward = vec![
        String::new(),
        " ".into(),
        "'; DROP TABLE metapaas_projects; --".into(),
        "\"quoted\" \\ back\\slash ${1} %s ?1 $1".into(),
        "\u{1}\u{7f}\u{85}\r\n\t".into(),
        "Grüße, 世界 🦀 e\u{301} \u{202e}rtl \u{feff}".into(),
        "a/b~c".into(),
        "null".into(),
        "ä".repeat(20_000),
    ];
    let any = proptest::string::string_regex("[^\\x00]{0,24}").unwrap();
    prop_oneof![1 => select(awkward), 2 => any].boxed()
}

fn timestamp() -> BoxedStrategy<String> {
    // The years 2 to 9998, so that every offset stays within what is allowed.
    let micros = -62_100_000_000_000_000_i64..253_300_000_000_000_000;
    let times = (micros, -14 * 60_i32..=14 * 60).prop_map(|(micros, minutes)| {
        let offset = FixedOffset::east_opt(minutes * 60).unwrap();
        let time = DateTime::from_timestamp_micros(micros).unwrap() + Offset::nanoseconds(999);
        time.with_timezone(&offset).to_rfc3339_opts(SecondsFormat::Nanos, false)
    });
    let awkward = select(vec![
        "0001-01-01T00:00:00Z".to_owned(),
        "9999-12-31T23:59:59.999999999Z".to_owned(),
        "1969-12-31T23:59:59.9999999Z".to_owned(),
        "2016-12-31T23:59:60Z".to_owned(),
        "2026-01-31t12:00:00.5z".to_owned(),
        "2026-01-31T12:00:00.120000-00:00".to_owned(),
    ]);
    prop_oneof![3 => times, 1 => awkward].boxed()
}

/// Any JSON without NUL.
pub(super) fn any_json() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number(),
        text().prop_map(Value::from),
        Just(deep(40)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(text(), inner, 0..4).prop_map(|items| Value::Object(items.into_iter().collect())),
        ]
    })
    .boxed()
}

/// Arrays in arrays.
pub(super) fn deep(levels: usize) -> Value {
    (0..levels).fold(json!("bottom"), |inner, _| json!([inner]))
}
