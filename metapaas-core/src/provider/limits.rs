//! [`Limits`]: what a type's plan may ask of the provider for a node, read from [`NodeSpec::resources`].
//!
//! [`NodeSpec::resources`]: crate::plan::NodeSpec::resources

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a node may use and what it needs to run. A plan may ask for more than stands here, such as `disk_gb`, which counts
/// for quotas alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Processors, e.g. 0.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Memory in MiB; a process that would need more is killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ram_mb: Option<u64>,
    /// Processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u64>,
    /// The largest file that a process of the node may write, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_mb: Option<u64>,
    /// What else must be installed where the node runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
}

/// What is installed on a node beside MetaPaaS itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Image {
    /// Nothing: the type's services are built-in engines.
    #[default]
    Small,
    /// Debian with the packages of `dp/images/runtime.packages`.
    Runtime,
}

impl Image {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Small, Self::Runtime];

    /// As written in limits and in names of images.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Runtime => "runtime",
        }
    }
}

impl Limits {
    /// Reads what a plan has asked for.
    ///
    /// # Errors
    /// A line that names what is wrong.
    pub fn read(resources: &BTreeMap<String, Value>) -> Result<Self, String> {
        let value = Value::Object(resources.clone().into_iter().collect());
        let limits: Self = serde_json::from_value(value)
            .map_err(|error| format!("the plan asks the provider for what it cannot read: {error}"))?;
        if limits.cpu.is_some_and(|cpu| !(cpu.is_finite() && (0.01..=4096.0).contains(&cpu))) {
            return Err("`cpu` must be from 0.01 to 4096 processors".to_owned());
        }
        let least = [
            ("ram_mb", limits.ram_mb, 6),
            ("processes", limits.processes, 4),
            ("file_mb", limits.file_mb, 1),
        ];
        for (name, value, least) in least {
            if value.is_some_and(|value| !(least..=1 << 40).contains(&value)) {
                return Err(format!("`{name}` must be at least {least}"));
            }
        }
        Ok(limits)
    }

    /// As [`NodeSpec::resources`] has them.
    ///
    /// [`NodeSpec::resources`]: crate::plan::NodeSpec::resources
    pub fn resources(&self) -> BTreeMap<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(members)) => members.into_iter().collect(),
            // A struct of numbers and a word always serialises to an object.
            _ => BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(resources: Value, expected: Result<Limits, &str>) {
        let resources: BTreeMap<String, Value> = serde_json::from_value(resources).unwrap();
        match (Limits::read(&resources), expected) {
            (Ok(limits), Ok(expected)) => {
                assert_eq!(limits, expected);
                assert_eq!(limits.resources(), resources);
            }
            (Err(message), Err(part)) => assert!(message.contains(part), "{message}"),
            (found, expected) => panic!("{found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn limits_are_read_and_written() {
        check(json!({}), Ok(Limits::default()));
        check(
            json!({ "cpu": 0.5, "ram_mb": 128, "image": "runtime" }),
            Ok(Limits {
                cpu: Some(0.5),
                ram_mb: Some(128),
                image: Some(Image::Runtime),
                ..Limits::default()
            }),
        );
        check(json!({ "ram_mb": "much" }), Err("cannot read"));
        check(json!({ "cpu": 0.0 }), Err("cpu"));
        check(json!({ "ram_mb": 1 }), Err("ram_mb"));
        check(json!({ "image": "windows" }), Err("windows"));
    }
}
