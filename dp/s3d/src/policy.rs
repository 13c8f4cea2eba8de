//! AWS policy documents (Version 2012-10-17): read and validated with pointers, evaluated with explicit deny.

mod condition;
mod names;
mod parse;
mod pattern;

use serde_json::Value;

use condition::Condition;
pub use condition::Keys;
pub use parse::Problem;
use pattern::{expand, matches};

/// A policy as it is evaluated.
#[derive(Clone, Debug)]
pub struct Policy {
    statements: Vec<Statement>,
}

#[derive(Clone, Debug)]
struct Statement {
    allows: bool,
    actions: Selection,
    resources: Selection,
    conditions: Vec<Condition>,
}

/// `Action` or `NotAction`, `Resource` or `NotResource`.
#[derive(Clone, Debug)]
struct Selection {
    inverted: bool,
    patterns: Vec<String>,
}

/// What policies say about a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Decision {
    /// Some statement allows it and none denies it.
    Allowed,
    /// No statement speaks of it.
    Silent,
    /// Some statement denies it.
    Denied,
}

/// Every mistake of a policy document with the JSON pointer to it; none means that it is evaluated as it is written.
pub fn validate(document: &Value) -> Vec<Problem> {
    Policy::parse(document).err().unwrap_or_default()
}

impl Policy {
    /// Reads a document.
    ///
    /// # Errors
    /// All its mistakes, as [`validate`] tells them.
    pub fn parse(document: &Value) -> Result<Self, Vec<Problem>> {
        parse::policy(document)
    }

    /// A policy that denies everything: what a document is taken for that cannot be read.
    pub fn deny_all() -> Self {
        let all = || Selection { inverted: false, patterns: vec!["*".into()] };
        Self {
            statements: vec![Statement {
                allows: false,
                actions: all(),
                resources: all(),
                conditions: vec![],
            }],
        }
    }

    /// Whether it asks for tags of the object that a request is about.
    pub fn asks_for_tags(&self) -> bool {
        let asks =
            |condition: &Condition| condition.key.to_ascii_lowercase().starts_with("s3:existingobjecttag/");
        self.statements.iter().any(|statement| statement.conditions.iter().any(asks))
    }

    fn decide(&self, action: &str, resource: &str, keys: &Keys) -> Decision {
        let mut decision = Decision::Silent;
        for statement in &self.statements {
            let applies = statement.actions.holds_action(action)
                && statement.resources.holds_resource(resource, keys)
                && statement.conditions.iter().all(|condition| condition.holds(keys));
            match (applies, statement.allows) {
                (true, false) => return Decision::Denied,
                (true, true) => decision = Decision::Allowed,
                (false, _) => {}
            }
        }
        decision
    }

    /// Whether a statement allows anything in a bucket, whatever its conditions: such buckets are shown in a listing.
    fn mentions(&self, bucket: &str, keys: &Keys) -> bool {
        let arn = format!("arn:aws:s3:::{bucket}");
        self.statements.iter().any(|statement| {
            let within = |pattern: &String| {
                let pattern = expand(pattern, keys);
                matches(pattern.split('/').next().unwrap_or_default(), &arn)
            };
            statement.allows
                && (statement.resources.inverted || statement.resources.patterns.iter().any(within))
        })
    }
}

/// What several policies together say: a deny in one of them outweighs all that allow.
pub fn decide<'p>(
    policies: impl IntoIterator<Item = &'p Policy>,
    action: &str,
    resource: &str,
    keys: &Keys,
) -> Decision {
    let mut decision = Decision::Silent;
    for policy in policies {
        match policy.decide(action, resource, keys) {
            Decision::Denied => return Decision::Denied,
            Decision::Allowed => decision = Decision::Allowed,
            Decision::Silent => {}
        }
    }
    decision
}

/// Whether one of the policies allows anything in a bucket.
pub fn mention<'p>(policies: impl IntoIterator<Item = &'p Policy>, bucket: &str, keys: &Keys) -> bool {
    policies.into_iter().any(|policy| policy.mentions(bucket, keys))
}

impl Selection {
    fn holds_action(&self, action: &str) -> bool {
        let action = action.to_ascii_lowercase();
        self.inverted != self.patterns.iter().any(|pattern| matches(&pattern.to_ascii_lowercase(), &action))
    }

    fn holds_resource(&self, resource: &str, keys: &Keys) -> bool {
        self.inverted != self.patterns.iter().any(|pattern| matches(&expand(pattern, keys), resource))
    }
}
