//! [`Body`]: reads the members of a request body and collects all that is wrong with them.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::error::{Error, Problem};
pub(super) use crate::field_type::is_user_name;
use crate::field_type::{Email, is_dns_name};
use crate::validate::timestamp;

/// Members of answers; a request may repeat them and they change nothing.
pub(crate) const READ_ONLY: [&str; 5] = ["id", "created_at", "updated_at", "last_used_at", "revision"];
const DESCRIPTION_MAX: usize = 1024;

/// A body on its way to being understood. Whatever is read from it counts only after [`Self::finish`].
pub(super) struct Body<'a> {
    members: &'a Map<String, Value>,
    at: &'static str,
    problems: Vec<Problem>,
}

impl<'a> Body<'a> {
    /// Members that are neither in `known` nor read-only are a problem.
    pub(super) fn of(value: &'a Value, known: &[&str]) -> Result<Self, Error> {
        let wrong = || Error::invalid_at("", "INVALID_TYPE", "expected a JSON object");
        Ok(Self::part(value.as_object().ok_or_else(wrong)?, "", known))
    }

    fn part(members: &'a Map<String, Value>, at: &'static str, known: &[&str]) -> Self {
        let unknown = members.keys().filter(|name| !known.contains(&name.as_str()));
        let problems = unknown
            .filter(|name| !READ_ONLY.contains(&name.as_str()))
            .map(|name| {
                let pointer = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                let detail = format!("there is no such member; there are {}", known.join(", "));
                Problem::new(pointer, "UNKNOWN_FIELD", detail)
            })
            .collect();
        Self { members, at, problems }
    }

    pub(super) fn problem(&mut self, name: &str, code: &'static str, detail: impl Into<String>) {
        self.problems.push(Problem::new(format!("{}/{name}", self.at), code, detail));
    }

    /// # Errors
    /// Every problem.
    pub(super) fn finish(self) -> Result<(), Error> {
        if self.problems.is_empty() { Ok(()) } else { Err(Error::invalid(self.problems)) }
    }

    /// Absent and null are the same.
    fn given(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// A text without NUL, which PostgreSQL cannot keep.
    pub(super) fn text(&mut self, name: &str) -> Option<&'a str> {
        match self.given(name)? {
            Value::String(text) if !text.contains('\0') => Some(text),
            Value::String(_) => {
                self.problem(name, "INVALID_VALUE", "text may not hold NUL");
                None
            }
            _ => {
                self.problem(name, "INVALID_TYPE", "expected a string");
                None
            }
        }
    }

    /// A text that must be there and say something; empty when it does not.
    pub(super) fn required_text(&mut self, name: &str) -> &'a str {
        if self.given(name).is_none_or(|value| value == "") {
            self.problem(name, "REQUIRED", format!("give {name}"));
        }
        self.text(name).unwrap_or_default()
    }

    /// A list of texts; `None` when not given.
    pub(super) fn texts(&mut self, name: &str) -> Option<Vec<&'a str>> {
        let items = self.given(name)?.as_array().map(Vec::as_slice);
        let texts = items.and_then(|items| items.iter().map(Value::as_str).collect());
        if texts.is_none() {
            self.problem(name, "INVALID_TYPE", "expected a list of strings");
        }
        texts
    }

    /// Whether it is given, right or wrong.
    pub(super) fn has(&self, name: &str) -> bool {
        self.given(name).is_some()
    }

    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        match self.members.get(name)? {
            Value::Bool(flag) => Some(*flag),
            Value::Null => Some(false),
            _ => {
                self.problem(name, "INVALID_TYPE", "expected true or false");
                None
            }
        }
    }

    /// The name of a resource, required.
    pub(super) fn name(&mut self) -> String {
        let name = self.required_text("name");
        let is_right = is_dns_name(name) && name.parse::<Uuid>().is_err();
        if !name.is_empty() && !is_right {
            let detail = "expected 1 to 63 lower-case letters, digits and hyphens, starting with a letter, \
                          not ending with a hyphen, and no UUID";
            self.problem("name", "INVALID_NAME", detail);
        }
        name.into()
    }

    /// Repeats what is stored, if given at all.
    pub(super) fn unchanged(&mut self, name: &str, stored: &str) {
        // A merge patch with null asks for it to be taken away, which is a change too.
        if self.members.get(name).is_some_and(|value| value.as_str() != Some(stored)) {
            self.problem(name, "IMMUTABLE", format!("{name} cannot change after create"));
        }
    }

    /// `None` when not given; null is the empty text.
    pub(super) fn description(&mut self) -> Option<String> {
        let text = if self.members.get("description")?.is_null() { "" } else { self.text("description")? };
        if text.chars().count() > DESCRIPTION_MAX {
            self.problem("description", "TOO_LONG", format!("at most {DESCRIPTION_MAX} characters"));
        }
        Some(text.into())
    }

    /// `None` when not given, `Some(None)` for null.
    pub(super) fn email(&mut self) -> Option<Option<String>> {
        if self.members.get("email")?.is_null() {
            return Some(None);
        }
        match Email::new(self.text("email")?) {
            Ok(email) => Some(Some(email.as_str().into())),
            Err(expected) => {
                self.problem("email", "INVALID_VALUE", format!("expected {expected}"));
                None
            }
        }
    }

    /// An id; nil and a problem when it is not one.
    pub(super) fn required_id(&mut self, name: &str) -> Uuid {
        if self.given(name).is_none() {
            self.problem(name, "REQUIRED", format!("give {name}"));
        }
        self.id(name).unwrap_or_default()
    }

    pub(super) fn id(&mut self, name: &str) -> Option<Uuid> {
        let id = self.text(name)?.parse().ok();
        if id.is_none() {
            self.problem(name, "INVALID_VALUE", "expected an id (UUID)");
        }
        id
    }

    /// A time yet to come.
    pub(super) fn future(&mut self, name: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let time = timestamp(self.text(name)?);
        if time.is_none_or(|time| time <= now || time.timestamp() > MAX_TIME) {
            self.problem(name, "INVALID_VALUE", "expected a time to come, such as 2030-01-31T12:00:00Z");
        }
        time
    }

    /// An object within, which must be there; its problems are added by [`Self::take`].
    pub(super) fn object(
        &mut self,
        name: &'static str,
        at: &'static str,
        known: &[&str],
    ) -> Option<Body<'a>> {
        match self.given(name) {
            Some(Value::Object(members)) => Some(Body::part(members, at, known)),
            Some(_) => {
                self.problem(name, "INVALID_TYPE", "expected an object");
                None
            }
            None => {
                self.problem(name, "REQUIRED", format!("give {name}"));
                None
            }
        }
    }

    pub(super) fn take(&mut self, part: Body<'_>) {
        self.problems.extend(part.problems);
    }
}

/// The year 9999 ends: what RFC 3339 can write.
const MAX_TIME: i64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_problem_is_found_at_once() {
        let value = json!({"id": "x", "name": "A B", "email": 7, "disabled": "no", "expires_at": "1999-01-01T00:00:00Z",
                           "description": "a\u{0}b", "extra/~": 1});
        let mut body =
            Body::of(&value, &["name", "email", "disabled", "expires_at", "description", "role"]).unwrap();
        body.name();
        body.email();
        body.flag("disabled");
        body.future("expires_at", Utc::now());
        body.description();
        body.required_text("role");
        let found: Vec<(String, &str)> = body
            .finish()
            .unwrap_err()
            .problems
            .into_iter()
            .map(|problem| (problem.pointer, problem.code))
            .collect();
        let found: Vec<(&str, &str)> =
            found.iter().map(|(pointer, code)| (pointer.as_str(), *code)).collect();
        assert_eq!(
            found,
            [
                ("/extra~1~0", "UNKNOWN_FIELD"),
                ("/name", "INVALID_NAME"),
                ("/email", "INVALID_TYPE"),
                ("/disabled", "INVALID_TYPE"),
                ("/expires_at", "INVALID_VALUE"),
                ("/description", "INVALID_VALUE"),
                ("/role", "REQUIRED"),
            ]
        );
        assert!(Body::of(&json!([]), &[]).is_err());
    }

    #[test]
    fn user_names() {
        for (name, expected) in [
            ("ann", true),
            ("ann.b_c@d-e", true),
            ("a", true),
            ("", false),
            ("Ann", false),
            ("1ann", false),
            ("ann b", false),
            ("änn", false),
            ("a1b2c3d4-0000-0000-0000-000000000000", false),
            ("a1b2c3d4000000000000000000000000", false),
            (&"a".repeat(63), true),
            (&"a".repeat(64), false),
        ] {
            assert_eq!(is_user_name(name), expected, "{name}");
        }
    }
}
