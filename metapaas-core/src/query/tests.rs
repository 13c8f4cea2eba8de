//! The grammars, by table; and that no text at all makes them panic.

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::descriptor::{EnumVariant, FieldDescriptor, FieldKind, TypeDescriptor, Unique};
use crate::field_type::FieldType;
use crate::resource::{Datum, Meta, Resource};
use crate::store::raw_json;
use crate::{__private as private, Secret};

const SIZES: &[EnumVariant] = &[EnumVariant { name: "s", doc: "" }, EnumVariant { name: "l", doc: "" }];

const fn unique(name: &'static str, kind: FieldKind, nullable: bool) -> FieldDescriptor {
    FieldDescriptor { kind, nullable, unique: Unique::Siblings, ..private::of::<bool>().field(name, "") }
}

const FIELDS: &[FieldDescriptor] = &[
    unique("port", i64::KIND, false),
    unique("weight", FieldKind::Float, true),
    unique("until", FieldKind::Timestamp, true),
    unique("every", FieldKind::Duration, true),
    unique("size", FieldKind::Enum(SIZES), true),
    unique("on", FieldKind::Bool, true),
    unique("host", String::KIND, true),
    private::of::<String>().field("greeting", ""),
    private::of::<Secret<String>>().field("password", ""),
];

static SITE: TypeDescriptor = TypeDescriptor { fields: FIELDS, ..private::instance("Site", "site", "") };

fn row(labels: &Value, fields: Vec<Datum>) -> Resource {
    let time: DateTime<Utc> = "2026-01-31T12:00:00Z".parse().unwrap();
    let id = crate::resource::ids::new_id(time);
    let meta = Meta {
        id,
        project_id: Uuid::from_u128(7),
        instance_id: id,
        parent_id: id,
        name: Some("web-1".into()),
        description: String::new(),
        version: "1".into(),
        labels: raw_json(labels),
        status: "ACTIVE".into(),
        conditions: raw_json(&json!([])),
        nodes: None,
        deletion_protection: false,
        generation: 1,
        observed_generation: 1,
        held_generation: 1,
        revision: 1,
        created_at: time,
        updated_at: time,
        deleting_at: None,
    };
    Resource { ty: &SITE, meta, fields }
}

fn example() -> Resource {
    let fields = vec![
        Datum::Int(80),
        Datum::Float(0.5),
        Datum::Null,
        Datum::Text("1h 30m".into()),
        Datum::Text("s".into()),
        Datum::Written(json!(true)),
        Datum::Null,
        Datum::Text("hello".into()),
        Datum::Sealed("..".into()),
    ];
    row(&json!({"tier": "web", "app.example.org/name": "x", "empty": ""}), fields)
}

#[track_caller]
fn check(text: &str, expected: bool) {
    let parsed = filter(&Fields::of(&SITE), text).unwrap_or_else(|mistake| panic!("{text}: {mistake:?}"));
    assert_eq!(parsed.accepts(&example()), expected, "{text}");
    if !parsed.is_everything() {
        let again = filter(&Fields::of(&SITE), &parsed.to_string());
        let again = again.unwrap_or_else(|mistake| panic!("{parsed}: {mistake:?}"));
        assert_eq!(again.accepts(&example()), expected, "{text}, written as {parsed}");
        assert_eq!(again.to_string(), parsed.to_string());
    }
}

#[test]
fn filters_accept_what_they_say() {
    for (text, expected) in [
        ("", true),
        ("  ", true),
        ("status = ACTIVE", true),
        ("status=ACTIVE", true),
        ("status = \"ERROR\"", false),
        ("status != ERROR", true),
        ("name:web", true),
        ("name : \"b-1\"", true),
        ("name:Web", false),
        ("name:''", true),
        ("name >= web-1 AND name <= web-1", true),
        ("name < \"web-1\"", false),
        ("name > web", true),
        ("port = 80", true),
        ("port > 80", false),
        ("port>=80", true),
        ("port < -5", false),
        ("weight = .5", true),
        ("weight <= 1e3", true),
        ("weight > 5e-1", false),
        ("every = \"1h 30m\"", true),
        ("every = 90m", true),
        ("every > 1h", true),
        ("size = s", true),
        ("size != l", true),
        ("on = true", true),
        ("on != true", false),
        ("until = null", true),
        ("until != null", false),
        ("host = null", true),
        ("host = \"null\"", false),
        ("host != x", true),
        ("host = x", false),
        ("host < x", false),
        ("host:x", false),
        ("NOT host = x", true),
        ("NOT host != x", false),
        ("NOT (host < x)", true),
        ("created_at = 2026-01-31T12:00:00Z", true),
        ("created_at > 2026-01-31T12:00:00Z", false),
        ("created_at >= 2026-01-31T13:00:00+01:00", true),
        ("created_at < \"2026-01-31T12:00:00.000001Z\"", true),
        ("project_id = 00000000-0000-0000-0000-000000000007", true),
        ("labels:tier", true),
        ("labels:nothing", false),
        ("NOT labels:nothing", true),
        ("labels.tier = web", true),
        ("labels.tier != web", false),
        ("labels.none != web", true),
        ("labels.none = web", false),
        ("labels.empty = ''", true),
        ("labels.app.example.org/name = x", true),
        ("labels.\"app.example.org/name\" = \"x\"", true),
        // AND binds closer than OR.
        ("status = ACTIVE OR status = ERROR AND name = none", true),
        ("(status = ACTIVE OR status = ERROR) AND name = none", false),
        ("NOT status = ERROR AND port = 80", true),
        ("NOT (status = ERROR OR port = 80)", false),
        ("NOT NOT port = 80", true),
        ("((port=80))", true),
        ("NOT(port=80)OR(port=80)", true),
    ] {
        check(text, expected);
    }
}

#[track_caller]
fn wrong(text: &str, at: usize, part: &str) {
    let mistake = filter(&Fields::of(&SITE), text).expect_err(text);
    assert!(mistake.at == at && mistake.detail.contains(part), "{text}: {mistake:?}");
}

#[test]
fn wrong_filters_say_where_and_what() {
    let fields =
        "id, name, status, created_at, project_id, labels, port, weight, until, every, size, on, host";
    wrong("greeting = x", 0, &format!("cannot be filtered by \"greeting\"; it can by {fields}"));
    wrong("status = ACTIVE AND password = x", 20, fields);
    wrong("updated_at > 2026-01-01T00:00:00Z", 0, fields);
    wrong("status = NEW", 9, "one of PENDING, CREATING, ACTIVE");
    wrong("status < ACTIVE", 7, "status takes = !=");
    wrong("status:ACTIVE", 6, "status takes = !=");
    wrong("status ACTIVE", 7, "expected one of = !=");
    wrong("status == ACTIVE", 7, "one `=`");
    wrong("status =", 8, "expected a value");
    wrong("= ACTIVE", 0, "expected a field");
    wrong("port = many", 7, "a whole number");
    wrong("port = 99999999999999999999", 7, "a whole number");
    wrong("weight = NaN", 9, "a number");
    wrong("weight = 1e999", 9, "a number");
    wrong("on = yes", 5, "true or false");
    wrong("id = x", 5, "an id");
    wrong("created_at > yesterday", 13, "a time such as");
    wrong("created_at > 12026-01-31T12:00:00Z", 13, "a time such as");
    wrong("port = null", 7, "a whole number");
    wrong("name = a b", 9, "expected AND, OR or the end");
    wrong("name = a name = b", 9, "expected AND, OR or the end");
    wrong("name = a and name = b", 9, "expected AND, OR or the end");
    wrong("(name = a", 0, "never closed");
    wrong("name = a)", 8, "never opened");
    wrong("name = \"a", 7, "never closed");
    wrong("name = \"a\\n\"", 9, "a backslash stands only before");
    wrong("name = \"a\0\"", 7, "expected text");
    wrong("name:\"a\0\"", 5, "NUL");
    wrong("name = a AND", 12, "expected a field");
    wrong("ä", 0, "expected a field");
    wrong("name = 'ä' ö", 11, "expected AND");
    wrong("labels = x", 7, "expected labels:NAME");
    wrong("labels.tier > x", 12, "expected labels:NAME");
    wrong("labels.-x = y", 7, "the name of a label");
    wrong("labels.tier = \"a b\"", 14, "never has such a value");
    wrong(&format!("{}name = a", "(".repeat(200)), DEPTH_MAX, "deeper than");
    wrong(&"NOT ".repeat(500), DEPTH_MAX * 4, "deeper than");
    wrong(&format!("port = 1{}", " OR port = 1".repeat(TERMS_MAX)), 8 + 12 * TERMS_MAX - 8, "at most 100");
    wrong(&"x".repeat(TEXT_MAX + 1), 0, "at most 4096 bytes");
}

#[test]
fn label_selectors_are_those_of_kubernetes() {
    for (text, expected) in [
        ("", true),
        ("tier", true),
        ("!tier", false),
        ("none", false),
        ("!none", true),
        ("! none", true),
        ("tier=web", true),
        ("tier==web", true),
        ("tier = web", true),
        ("tier!=web", false),
        ("none!=web", true),
        ("tier in (web,api)", true),
        ("tier in(api)", false),
        ("tier notin (api, db)", true),
        ("none notin (api)", true),
        ("tier notin (web)", false),
        ("empty=", true),
        ("empty in (,x)", true),
        ("tier=web,!none,app.example.org/name=x", true),
        ("tier=web,none", false),
    ] {
        let parsed = label_selector(text).unwrap_or_else(|mistake| panic!("{text}: {mistake:?}"));
        assert_eq!(parsed.accepts(&example()), expected, "{text}");
    }
    for (text, at) in [
        (",", 0),
        ("tier=web,", 9),
        ("tier=web api", 9),
        ("a b=c", 2),
        ("tier in web", 8),
        ("tier in (web", 8),
        ("-x", 0),
        ("tier=-x", 5),
        ("=x", 0),
        ("Ä=x", 0),
        ("a/b/c=x", 0),
    ] {
        assert_eq!(label_selector(text).expect_err(text).at, at, "{text}");
    }
}

#[test]
fn orders_end_in_the_id() {
    let fields = Fields::of(&SITE);
    for (text, expected) in [
        ("", "id"),
        ("id desc", "id desc"),
        ("name", "name,id"),
        ("name desc", "name desc,id desc"),
        ("status, name asc", "status,name,id"),
        ("name desc,name", "name desc,id desc"),
        // The id says when a row was made, and no two rows have the same.
        ("created_at desc,name", "id desc"),
        ("status desc,created_at", "status desc,id"),
    ] {
        assert_eq!(Order::parse(&fields, text).unwrap().to_string(), expected, "{text}");
    }
    for (text, at, part) in [
        ("updated_at", 0, "it can by id, name, status, created_at, port, weight"),
        ("name,labels", 5, "cannot be sorted by \"labels\""),
        ("project_id", 0, "cannot be sorted"),
        ("password", 0, "cannot be sorted"),
        ("id,port,weight,until,every,size,on,host,name,nothing", 45, "cannot be sorted"),
        ("port,weight,until,every,size,on,host,name,status", 42, "at most 8 fields"),
        ("name,", 5, "expected a field"),
        ("name down", 5, "expected asc, desc"),
        (",name", 0, "expected a field"),
        ("created_at,nothing", 11, "cannot be sorted"),
    ] {
        let mistake = Order::parse(&fields, text).expect_err(text);
        assert!(mistake.at == at && mistake.detail.contains(part), "{text}: {mistake:?}");
    }
}

#[test]
fn page_tokens_fit_their_list_alone() {
    let fields = Fields::of(&SITE);
    let listing = |filter_text: &str, order: &str| Listing {
        filter: filter(&fields, filter_text).unwrap(),
        order: Order::parse(&fields, order).unwrap(),
        after: None,
    };
    let orders = ["", "name", "until desc,weight", "every,host,size,on,port", "id desc"];
    for order in orders {
        let listing = listing("", order);
        let tokens = PageToken::of("site", &listing);
        let after = listing.order.position(&example());
        let token = tokens.write(&after);
        assert_eq!(tokens.read(&listing.order, &token), Ok(after), "{order}");
        for other in orders.iter().filter(|other| **other != order) {
            let other = self::order_of(&fields, other);
            let tokens = PageToken::of("site", &Listing { order: other.clone(), ..Listing::default() });
            assert_eq!(tokens.read(&other, &token), Err(TokenError::OtherList));
        }
    }
    let plain = listing("", "");
    let token = PageToken::of("site", &plain).write(&plain.order.position(&example()));
    for (place, filter_text) in [("other", ""), ("site", "port = 80")] {
        let other = listing(filter_text, "");
        assert_eq!(PageToken::of(place, &other).read(&other.order, &token), Err(TokenError::OtherList));
    }
    let tokens = PageToken::of("site", &plain);
    // As earlier releases wrote it: the letter 1 or 2 first.
    for old in ["MQGfL8zacnKJqxFVqO3tTQA", "MgAA"] {
        assert_eq!(tokens.read(&plain.order, old), Err(TokenError::TooOld));
    }
    for wrong in ["", "x", "!", "MwAA", "OQAA", &token[..20], &token[..token.len() - 1]] {
        assert_eq!(tokens.read(&plain.order, wrong), Err(TokenError::Unreadable), "{wrong:?}");
    }
}

fn order_of(fields: &Fields, text: &str) -> Order {
    Order::parse(fields, text).unwrap()
}

#[test]
fn selections_name_members_of_answers() {
    let row = example();
    let selected = |text: &str| {
        let selection = Selection::parse(&crate::resource::member_names(&SITE), text).unwrap();
        serde_json::to_value(Selected { row: &row, selection: Some(&selection) }).unwrap()
    };
    assert_eq!(selected("name, port"), json!({"name": "web-1", "port": 80}));
    assert_eq!(selected("status,status,"), json!({"status": "ACTIVE"}));
    let problems =
        Selection::parse(&crate::resource::member_names(&SITE), "name,colour,password").unwrap_err();
    assert_eq!(problems.len(), 2);
    assert!(problems[1].detail.contains("\"password\"; they have id, name, project_id"), "{problems:?}");
    assert_eq!(Selection::parse(&crate::resource::member_names(&SITE), " , ").unwrap_err().len(), 1);
}

/// Text that looks like a filter more often than chance would have it.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        prop::sample::select(vec![
            "AND",
            "OR",
            "NOT",
            "(",
            ")",
            "=",
            "!=",
            "<",
            ">=",
            ":",
            ",",
            " ",
            "\"",
            "'",
            "\\",
            "name",
            "port",
            "labels",
            "labels.",
            "labels.tier",
            "status",
            "created_at",
            "ACTIVE",
            "80",
            "null",
            "in",
            "notin",
            "!",
            "web",
            "2026-01-31T12:00:00Z",
            "desc",
            "ä",
            "\0",
        ])
        .prop_map(str::to_owned),
        ".{0,3}".prop_map(|text: String| text),
    ];
    prop::collection::vec(part, 0..30).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_a_parser_panic(text in text()) {
        let fields = Fields::of(&SITE);
        if let Ok(parsed) = filter(&fields, &text) {
            parsed.accepts(&example());
            // Brackets that are written to be sure may be too many.
            if let Ok(again) = filter(&fields, &parsed.to_string()) {
                prop_assert_eq!(again.to_string(), parsed.to_string());
            }
        }
        if let Ok(selector) = label_selector(&text) {
            selector.accepts(&example());
        }
        if let Ok(order) = Order::parse(&fields, &text) {
            let tokens = PageToken::of("", &Listing { order: order.clone(), ..Listing::default() });
            let _ = tokens.read(&order, &text);
        }
        let _ = Selection::parse(&crate::resource::member_names(&SITE), &text);
    }
}
