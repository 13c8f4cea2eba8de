//! Policies as AWS documents them.

use metapaas_s3d::policy::{Decision, Keys, Policy, decide, validate};
use proptest::prelude::*;
use serde_json::{Value, json};

fn policy(statement: Value) -> Policy {
    Policy::parse(&json!({ "Version": "2012-10-17", "Statement": statement })).unwrap()
}

/// What one condition says about keys with these values.
fn holds(operator: &str, wanted: Value, values: &[&str]) -> bool {
    let statement = json!({ "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": { operator: { "aws:Referer": wanted } } });
    let mut keys = Keys::default();
    keys.set("aws:username", "ann");
    if !values.is_empty() {
        keys.set_all("AWS:referer", values.iter().map(|value| (*value).to_owned()).collect());
    }
    decide([&policy(statement)], "s3:GetObject", "arn:aws:s3:::b/k", &keys) == Decision::Allowed
}

#[test]
fn conditions_compare() {
    assert!(holds("StringEquals", json!(["a", "b"]), &["b"]) && !holds("StringEquals", json!("a*"), &["ab"]));
    assert!(holds("StringEquals", json!("${aws:username}"), &["ann"]));
    assert!(holds("StringLike", json!("a*c?"), &["abbcd"]) && !holds("StringLike", json!("a${*}"), &["ab"]));
    assert!(holds("StringNotEquals", json!("a"), &["b"]) && holds("StringNotEquals", json!("a"), &[]));
    assert!(!holds("StringNotEquals", json!(["a", "b"]), &["b"]));
    assert!(holds("StringEqualsIgnoreCase", json!("AB"), &["ab"]));
    assert!(
        holds("NumericLessThanEquals", json!(10), &["10"]) && !holds("NumericLessThan", json!("10"), &["x"])
    );
    assert!(holds("DateGreaterThan", json!("2020-01-01T00:00:00Z"), &["2021-01-01T00:00:00Z"]));
    assert!(holds("DateLessThan", json!("2020-01-01"), &["1500000000"]));
    assert!(holds("Bool", json!(true), &["true"]) && !holds("Bool", json!("true"), &["false"]));
    assert!(
        holds("IpAddress", json!("10.0.0.0/8"), &["10.1.2.3"])
            && !holds("IpAddress", json!("10.0.0.0/8"), &["11.1.2.3"])
    );
    assert!(
        holds("NotIpAddress", json!("2001:db8::/32"), &["2001:db9::1"])
            && holds("IpAddress", json!("::1"), &["::1"])
    );
    assert!(holds("Null", json!(true), &[]) && holds("Null", json!("false"), &["x"]));
    assert!(!holds("StringEquals", json!("a"), &[]) && holds("StringEqualsIfExists", json!("a"), &[]));
    assert!(
        holds("ForAnyValue:StringEquals", json!("a"), &["a", "b"])
            && !holds("ForAnyValue:StringEquals", json!("a"), &[])
    );
    assert!(
        !holds("ForAllValues:StringEquals", json!("a"), &["a", "b"])
            && holds("ForAllValues:StringEquals", json!("a"), &[])
    );
    assert!(!holds("ForAnyValue:StringNotEquals", json!("a"), &["a"]));
}

#[test]
fn mistakes_are_told_with_their_places() {
    let document = json!({
        "Version": "2008-10-17", "Owner": "x",
        "Statement": [
            { "Effect": "allow", "Action": ["s3:GetObject", "s3:Frobnicate", "ec2:*"], "Resource": "arn:aws:s3::b" },
            { "Effect": "Deny", "Principal": "*", "Action": "s3:*", "NotAction": "s3:*", "Resource": [] },
            { "Effect": "Deny", "Action": "s3:*", "Resource": "*", "Condition": {
                "StringMatches": { "aws:Referer": "x" }, "Bool": { "aws:SecureTransport": "maybe" },
                "IpAddress": { "aws:SourceIp": ["10.0.0.0/33"] }, "StringLike": { "aws:Moon": "full" },
                "StringEquals": { "s3:prefix": "${aws:moon}" },
            } },
        ],
    });
    let mut pointers: Vec<_> = validate(&document).into_iter().map(|(pointer, _)| pointer).collect();
    pointers.sort();
    let expected = [
        "/Owner",
        "/Statement/0/Action/1",
        "/Statement/0/Action/2",
        "/Statement/0/Effect",
        "/Statement/0/Resource",
        "/Statement/1/NotAction",
        "/Statement/1/Principal",
        "/Statement/1/Resource",
        "/Statement/2/Condition/Bool/aws:SecureTransport",
        "/Statement/2/Condition/IpAddress/aws:SourceIp/0",
        "/Statement/2/Condition/StringEquals/s3:prefix",
        "/Statement/2/Condition/StringLike/aws:Moon",
        "/Statement/2/Condition/StringMatches",
        "/Version",
    ];
    assert_eq!(pointers, expected);
    assert_eq!(validate(&json!([])).len(), 1);
    let good = json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow", "NotAction": "s3:Delete*", "NotResource": "arn:aws:s3:::b/*" } });
    assert_eq!(validate(&good), []);
}

proptest! {
    #[test]
    fn a_deny_outweighs_every_allow(key in "[a-z/]{0,12}", allow in "[a-z/*?]{0,6}", split in 0usize..12) {
        let split = split.min(key.len());
        let deny = policy(json!({ "Effect": "Deny", "Action": "s3:Get*", "Resource": format!("arn:aws:s3:::b/{}*", &key[..split]) }));
        let allow = policy(json!({ "Effect": "Allow", "Action": "*", "Resource": ["*", format!("arn:aws:s3:::b/{allow}")] }));
        let resource = format!("arn:aws:s3:::b/{key}");
        let keys = Keys::default();
        prop_assert_eq!(decide([&allow, &deny], "s3:GetObject", &resource, &keys), Decision::Denied);
        prop_assert_eq!(decide([&allow, &deny], "s3:PutObject", &resource, &keys), Decision::Allowed);
        prop_assert_eq!(decide([&deny], "s3:PutObject", &resource, &keys), Decision::Silent);
    }

    #[test]
    fn patterns_match_as_regular_expressions_do(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
        let rule = policy(json!({ "Effect": "Allow", "Action": "*", "Resource": format!("arn:aws:s3:::x{pattern}") }));
        let expression = regex::Regex::new(&format!("^x{}$", pattern.replace('*', ".*").replace('?', "."))).unwrap();
        let decision = decide([&rule], "s3:GetObject", &format!("arn:aws:s3:::x{text}"), &Keys::default());
        prop_assert_eq!(decision == Decision::Allowed, expression.is_match(&format!("x{text}")));
    }

    #[test]
    fn anything_is_validated_without_a_panic(text in "\\PC{0,60}") {
        let statement = json!({ "Effect": text, "Action": text, "Resource": text, "Condition": { &text: { &text: text } } });
        let problems = validate(&json!({ "Version": "2012-10-17", "Statement": [statement] }));
        prop_assert!(!problems.is_empty());
    }
}
