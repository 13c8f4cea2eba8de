//! Conditions: the operators of AWS over the keys of a request.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use s3s::dto::{Timestamp, TimestampFormat};

use super::pattern::{expand, fill, matches};

/// What is known about a request: values by condition key, upper and lower case alike.
#[derive(Clone, Debug, Default)]
pub struct Keys(BTreeMap<String, Vec<String>>);

impl Keys {
    /// Sets the one value of a key.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.0.insert(key.to_ascii_lowercase(), vec![value.into()]);
    }

    /// Sets all values of a key that can have several.
    pub fn set_all(&mut self, key: &str, values: Vec<String>) {
        self.0.insert(key.to_ascii_lowercase(), values);
    }

    /// The values of a key that the request has.
    pub fn get(&self, key: &str) -> Option<&[String]> {
        self.0.get(&key.to_ascii_lowercase()).map(Vec::as_slice)
    }
}

/// One line of a `Condition` block.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) operator: Operator,
    pub(super) quantifier: Quantifier,
    pub(super) if_exists: bool,
    pub(super) key: String,
    pub(super) values: Vec<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Quantifier {
    One,
    AnyValue,
    AllValues,
}

/// An operator, without the `Not` before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Test {
    Equals,
    EqualsIgnoreCase,
    Like,
    Numeric(Order),
    Date(Order),
    Bool,
    Address,
    Null,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Operator {
    pub(super) test: Test,
    pub(super) negated: bool,
}

impl Operator {
    /// By its name in a policy.
    pub(super) fn named(name: &str) -> Option<Self> {
        let plain = |test| Some(Self { test, negated: false });
        let negated = |test| Some(Self { test, negated: true });
        match name {
            "StringEquals" => plain(Test::Equals),
            "StringNotEquals" => negated(Test::Equals),
            "StringEqualsIgnoreCase" => plain(Test::EqualsIgnoreCase),
            "StringNotEqualsIgnoreCase" => negated(Test::EqualsIgnoreCase),
            "StringLike" | "ArnLike" | "ArnEquals" => plain(Test::Like),
            "StringNotLike" | "ArnNotLike" | "ArnNotEquals" => negated(Test::Like),
            "NumericEquals" => plain(Test::Numeric(Order::Equal)),
            "NumericNotEquals" => negated(Test::Numeric(Order::Equal)),
            "NumericLessThan" => plain(Test::Numeric(Order::Less)),
            "NumericLessThanEquals" => plain(Test::Numeric(Order::LessOrEqual)),
            "NumericGreaterThan" => plain(Test::Numeric(Order::Greater)),
            "NumericGreaterThanEquals" => plain(Test::Numeric(Order::GreaterOrEqual)),
            "DateEquals" => plain(Test::Date(Order::Equal)),
            "DateNotEquals" => negated(Test::Date(Order::Equal)),
            "DateLessThan" => plain(Test::Date(Order::Less)),
            "DateLessThanEquals" => plain(Test::Date(Order::LessOrEqual)),
            "DateGreaterThan" => plain(Test::Date(Order::Greater)),
            "DateGreaterThanEquals" => plain(Test::Date(Order::GreaterOrEqual)),
            "Bool" => plain(Test::Bool),
            "IpAddress" => plain(Test::Address),
            "NotIpAddress" => negated(Test::Address),
            "Null" => plain(Test::Null),
            _ => None,
        }
    }

    /// Why a value cannot be compared by this operator.
    pub(super) fn refuse(self, value: &str) -> Option<&'static str> {
        let (fits, message) = match self.test {
            Test::Equals | Test::EqualsIgnoreCase | Test::Like => (true, ""),
            Test::Numeric(_) => (number(value).is_some(), "is not a number"),
            Test::Date(_) => {
                (date(value).is_some(), "is neither an ISO 8601 date and time nor seconds since 1970")
            }
            Test::Bool | Test::Null => (matches!(value, "true" | "false"), "is neither true nor false"),
            Test::Address => {
                (network(value).is_some(), "is not an IP address or a range such as 203.0.113.0/24")
            }
        };
        (!fits).then_some(message)
    }
}

impl Condition {
    pub(super) fn holds(&self, keys: &Keys) -> bool {
        let present = keys.get(&self.key);
        if self.operator.test == Test::Null {
            return self.values.iter().any(|value| (value == "true") == present.is_none());
        }
        let Some(present) = present else {
            // As in AWS: a key that is not there fulfils `...IfExists`, negated operators and `ForAllValues`.
            return self.if_exists
                || self.quantifier == Quantifier::AllValues
                || (self.operator.negated && self.quantifier == Quantifier::One);
        };
        let one = |value: &String| {
            let found = self.values.iter().any(|wanted| self.compare(wanted, value, keys));
            found != self.operator.negated
        };
        match self.quantifier {
            Quantifier::AnyValue => present.iter().any(one),
            Quantifier::One | Quantifier::AllValues => present.iter().all(one),
        }
    }

    fn compare(&self, wanted: &str, value: &str, keys: &Keys) -> bool {
        match self.operator.test {
            Test::Equals => Self::equals(wanted, value, keys, false),
            Test::EqualsIgnoreCase => Self::equals(wanted, value, keys, true),
            Test::Like => matches(&expand(wanted, keys), value),
            Test::Numeric(order) => order.holds(number(value), number(wanted)),
            Test::Date(order) => order.holds(date(value), date(wanted)),
            Test::Bool => wanted.eq_ignore_ascii_case(value),
            Test::Address => {
                let address = value.parse::<IpAddr>().map(|address| address.to_canonical());
                network(wanted).zip(address.ok()).is_some_and(|(network, address)| network.contains(&address))
            }
            Test::Null => false,
        }
    }

    fn equals(wanted: &str, value: &str, keys: &Keys, ignore_case: bool) -> bool {
        // `*` and `?` are letters to this operator; variables are filled in all the same.
        let wanted = fill(wanted, keys);
        if ignore_case { wanted.to_lowercase() == value.to_lowercase() } else { wanted == value }
    }
}

impl Order {
    fn holds<T: PartialOrd>(self, left: Option<T>, right: Option<T>) -> bool {
        let (Some(left), Some(right)) = (left, right) else { return false };
        match self {
            Self::Equal => left == right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn date(text: &str) -> Option<Timestamp> {
    let formats = [TimestampFormat::DateTime, TimestampFormat::EpochSeconds];
    let long =
        if text.len() == 10 && text.contains('-') { format!("{text}T00:00:00Z") } else { text.to_owned() };
    formats.into_iter().find_map(|format| Timestamp::parse(format, &long).ok())
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
