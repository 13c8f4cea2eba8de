//! [`Placement`]: which provider makes the nodes of an instance.
//!
//! An instance chooses with the label [`PROVIDER_LABEL`], once and for all, when it is created; one that does not gets
//! the default of the installation. Operators say which projects may use which provider.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use uuid::Uuid;

use crate::error::{Error, ErrorCode, Problem};

/// The label of an instance that names its provider.
pub const PROVIDER_LABEL: &str = "metapaas/provider";
/// Labels that begin with this are the platform's.
pub const RESERVED_PREFIX: &str = "metapaas/";
/// The JSON pointer of [`PROVIDER_LABEL`].
const POINTER: &str = "/labels/metapaas~1provider";

/// The providers that there are, and who may use which.
#[derive(Clone, Debug, Default)]
pub struct Placement {
    providers: Vec<String>,
    projects: BTreeMap<String, BTreeSet<Uuid>>,
}

impl Placement {
    /// `providers` in the order of preference. One that `projects` has is for those projects alone.
    pub fn new(providers: Vec<String>, projects: BTreeMap<String, BTreeSet<Uuid>>) -> Self {
        Self { providers, projects }
    }

    /// The providers that a project may use, the preferred one first.
    pub fn of_project(&self, project: Uuid) -> impl Iterator<Item = &str> {
        let allows = move |provider: &&String| {
            self.projects.get(*provider).is_none_or(|projects| projects.contains(&project))
        };
        self.providers.iter().filter(allows).map(String::as_str)
    }

    /// Whether a new instance with these labels may be made in the project.
    ///
    /// # Errors
    /// When it names a provider that there is not, or one that the project may not use, or there is none for it.
    pub fn check(&self, project: Uuid, labels: &Value) -> Result<(), Error> {
        let chosen = labels.get(PROVIDER_LABEL).and_then(Value::as_str);
        let mut allowed = self.of_project(project);
        match chosen {
            None if allowed.next().is_some() => Ok(()),
            None => Err(Error::new(
                ErrorCode::Forbidden,
                "the operators of the platform have allowed no provider of nodes for this project",
            )),
            Some(chosen) if allowed.any(|provider| provider == chosen) => Ok(()),
            Some(chosen) if self.providers.iter().any(|provider| provider == chosen) => {
                let mut error = Error::new(
                    ErrorCode::Forbidden,
                    format!(
                        "this project may not use the provider {chosen}; operators of the platform allow it"
                    ),
                );
                error.problems.push(Problem::new(POINTER, "FORBIDDEN", self.offer(project)));
                Err(error)
            }
            Some(_) => Err(Error::invalid_at(POINTER, "INVALID_VALUE", self.offer(project))),
        }
    }

    fn offer(&self, project: Uuid) -> String {
        let allowed: Vec<&str> = self.of_project(project).collect();
        if allowed.is_empty() {
            "expected no provider".to_owned()
        } else {
            format!("expected one of {}", allowed.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OPEN: Uuid = Uuid::from_u128(1);
    const CLOSED: Uuid = Uuid::from_u128(2);

    fn check(project: Uuid, labels: Value, expected: Result<(), (ErrorCode, &str)>) {
        let placement = Placement::new(
            vec!["process".into(), "docker".into()],
            [("process".to_owned(), BTreeSet::from([OPEN]))].into(),
        );
        let found = placement.check(project, &labels);
        let shown = found.as_ref().map_err(|error| {
            (
                error.code,
                format!("{} {}", error.detail, error.problems.first().map_or("", |problem| &problem.detail)),
            )
        });
        match (&shown, expected) {
            (Ok(()), Ok(())) => {}
            (Err((code, text)), Err((expected, part))) if *code == expected && text.contains(part) => {}
            (_, expected) => panic!("{shown:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn providers_are_checked_against_what_operators_allow() {
        check(OPEN, json!({}), Ok(()));
        check(CLOSED, json!({}), Ok(()));
        check(OPEN, json!({ PROVIDER_LABEL: "process" }), Ok(()));
        check(CLOSED, json!({ PROVIDER_LABEL: "docker" }), Ok(()));
        check(
            CLOSED,
            json!({ PROVIDER_LABEL: "process" }),
            Err((ErrorCode::Forbidden, "expected one of docker")),
        );
        check(OPEN, json!({ PROVIDER_LABEL: "k8s" }), Err((ErrorCode::InvalidRequest, "process, docker")));
    }

    #[test]
    fn the_default_is_the_first_that_a_project_may_use() {
        let placement = Placement::new(
            vec!["process".into(), "docker".into()],
            [("process".to_owned(), BTreeSet::new())].into(),
        );
        assert_eq!(placement.of_project(OPEN).next(), Some("docker"));
        let none = Placement::new(vec!["process".into()], [("process".to_owned(), BTreeSet::new())].into());
        assert_eq!(none.check(OPEN, &json!({})).unwrap_err().code, ErrorCode::Forbidden);
    }
}
