//! Query parameters: known ones only, each once, every problem at once.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Utc};
use metapaas_core::error::{Error, Problem};
use percent_encoding::percent_decode_str;
use uuid::Uuid;

/// Rows of a page when the request does not say.
pub(super) const LIMIT_DEFAULT: u16 = 50;
/// Rows of the largest page.
pub(super) const LIMIT_MAX: u16 = 1000;

/// The parameters of a request, taken one by one.
#[derive(Debug)]
pub(super) struct Query {
    given: BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl Query {
    /// Reads the part of the URL after `?`; any name not in `known` is a problem.
    pub(super) fn parse(query: Option<&str>, known: &[&str]) -> Self {
        Self::parse_with(query, known, |name, _| {
            let list = if known.is_empty() { "none".into() } else { known.join(", ") };
            let detail = format!("unknown parameter; this path takes {list}");
            Some(Problem::new(format!("?{name}"), "UNKNOWN_PARAMETER", detail))
        })
    }

    /// The same, where `other` takes what is not in `known` or says what is wrong with it.
    pub(super) fn parse_with(
        query: Option<&str>,
        known: &[&str],
        mut other: impl FnMut(&str, String) -> Option<Problem>,
    ) -> Self {
        let mut problems = Vec::new();
        let mut given = BTreeMap::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = |text: &str| {
                percent_decode_str(&text.replace('+', " ")).decode_utf8().map(|text| text.into_owned())
            };
            let (Ok(name), Ok(value)) = (decoded(name), decoded(value)) else {
                problems.push(Problem::new(format!("?{name}"), "INVALID_VALUE", "not UTF-8"));
                continue;
            };
            if !known.contains(&name.as_str()) {
                problems.extend(other(&name, value));
            } else if given.insert(name.clone(), value).is_some() {
                problems.push(Problem::new(format!("?{name}"), "REPEATED_PARAMETER", "give it once"));
            }
        }
        Self { given, problems }
    }

    /// Adds a problem.
    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// What was read, or what stands for it when there are problems.
    pub(super) fn keep<T: Default>(&mut self, read: Result<T, Vec<Problem>>) -> T {
        read.unwrap_or_else(|problems| {
            self.problems.extend(problems);
            T::default()
        })
    }

    /// The text of a parameter.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.given.remove(name)
    }

    /// Notes what is wrong with a parameter.
    pub(super) fn wrong(&mut self, pointer: &str, code: &'static str, detail: &str) {
        self.problems.push(Problem::new(pointer, code, detail));
    }

    /// A short text that values are compared with.
    pub(super) fn word(&mut self, name: &str) -> Option<String> {
        let word = self.given.remove(name)?;
        // PostgreSQL takes no NUL in a text.
        if word.chars().any(char::is_control) || word.len() > 256 {
            self.wrong(
                &format!("?{name}"),
                "INVALID_VALUE",
                "expected at most 256 bytes, no control characters",
            );
            return None;
        }
        Some(word)
    }

    /// A time.
    pub(super) fn time(&mut self, name: &str) -> Option<DateTime<Utc>> {
        let text = self.given.remove(name)?;
        let time = DateTime::parse_from_rfc3339(&text).ok().map(|time| time.to_utc());
        // PostgreSQL knows no times before these years, and nothing was made then.
        let time = time.filter(|time| (1970..=9999).contains(&time.year()));
        if time.is_none() {
            let detail = "expected a time such as 2030-01-31T08:00:00Z, with %2B for a plus";
            self.wrong(&format!("?{name}"), "INVALID_VALUE", detail);
        }
        time
    }

    /// One of a few words.
    pub(super) fn one_of(&mut self, name: &str, words: &[&str]) -> Option<String> {
        let text = self.given.remove(name)?;
        if !words.contains(&text.as_str()) {
            let detail = format!("expected one of {}", words.join(", "));
            self.wrong(&format!("?{name}"), "INVALID_VALUE", &detail);
        }
        Some(text)
    }

    /// `limit`, or what stands for it.
    pub(super) fn limit(&mut self) -> u16 {
        let Some(text) = self.given.remove("limit") else { return LIMIT_DEFAULT };
        match text.parse() {
            Ok(limit @ 1..=LIMIT_MAX) => limit,
            _ => {
                let detail = format!("expected a number from 1 to {LIMIT_MAX}");
                self.problems.push(Problem::new("?limit", "OUT_OF_RANGE", detail));
                LIMIT_DEFAULT
            }
        }
    }

    /// An id.
    pub(super) fn id(&mut self, name: &str) -> Option<Uuid> {
        let id = self.given.remove(name)?.parse();
        if id.is_err() {
            self.problems.push(Problem::new(format!("?{name}"), "INVALID_VALUE", "expected an id (UUID)"));
        }
        id.ok()
    }

    /// `true` or `false`; an absent one is false.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        match self.given.remove(name).as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                let problem = Problem::new(format!("?{name}"), "INVALID_VALUE", "expected true or false");
                self.problems.push(problem);
                false
            }
        }
    }

    /// A whole number up to `max`.
    pub(super) fn number(&mut self, name: &str, max: u64) -> Option<u64> {
        match self.given.remove(name)?.parse() {
            Ok(number) if number <= max => Some(number),
            _ => {
                let detail = format!("expected a number from 0 to {max}");
                self.problems.push(Problem::new(format!("?{name}"), "OUT_OF_RANGE", detail));
                None
            }
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// `InvalidRequest` with all problems found.
    pub(super) fn finish(self) -> Result<(), Error> {
        if self.problems.is_empty() { Ok(()) } else { Err(Error::invalid(self.problems)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_found() {
        let mut query = Query::parse(Some("limit=0&limt=3&project_id=x&limit=5"), &["limit", "project_id"]);
        query.limit();
        query.id("project_id");
        let problems = query.finish().unwrap_err().problems;
        let pointers: Vec<&str> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(pointers, ["?limt", "?limit", "?project_id"]);
    }
}
