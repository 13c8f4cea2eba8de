//! The environment of an app: what its bindings give, and over it the variables that its tenant set.

use std::collections::BTreeMap;

use metapaas_core::agent::ItemError;
use metapaas_core::{Desired, LinkState, PlanError};
use serde_json::json;

use crate::types::{App, Binding, EnvVar};

/// Variables by name, and what is to be said of the bindings that they come from.
#[derive(Default)]
pub(crate) struct Environment {
    pub(crate) values: BTreeMap<String, String>,
    /// What each binding gives, by the binding's key.
    given: BTreeMap<String, BTreeMap<String, String>>,
    errors: Vec<ItemError>,
    /// Whether a binding that has given something cannot say at the moment what: until then nothing changes.
    pub(crate) is_unsettled: bool,
}

impl Environment {
    pub(crate) fn of(app: &Desired<App>) -> Result<Self, PlanError> {
        let mut all = Self::default();
        let rows = app.children::<Binding>()?;
        let mut owners: BTreeMap<String, String> = BTreeMap::new();
        for link in app.links() {
            let environment = match &link.state {
                LinkState::Ready(environment) => environment.expose(),
                LinkState::Away(_) => {
                    all.is_unsettled = true;
                    continue;
                }
                LinkState::Waiting(_) | LinkState::Refused(_) => continue,
            };
            let row = rows.iter().find(|row| row.meta.id == link.id);
            let prefix = row.map(|row| row.spec.prefix.as_str()).unwrap_or_default();
            let given = environment.iter().map(|(name, value)| (format!("{prefix}{name}"), value.clone()));
            let given: BTreeMap<String, String> = given.collect();
            if let Some((name, owner)) = given.keys().find_map(|name| Some((name, owners.get(name)?))) {
                let message =
                    format!("the binding {owner} gives {name} already; make this one with a prefix");
                let item = format!("bindings/{}", link.key);
                all.errors.push(ItemError { item, code: "VARIABLE_TAKEN".into(), message });
                continue;
            }
            owners.extend(given.keys().map(|name| (name.clone(), link.key.clone())));
            all.values.extend(given.clone());
            all.given.insert(link.key.clone(), given);
        }
        for variable in app.children::<EnvVar>()? {
            let EnvVar { key, value, secret } = variable.spec;
            let secret = secret.map(|secret| secret.expose().clone());
            all.values.insert(key, value.or(secret).unwrap_or_default());
        }
        Ok(all)
    }

    /// Says of each binding what it gives and what is wrong with it. `serving` is what the app has while a release that
    /// is to have more has yet to start.
    pub(crate) fn tell(
        &self,
        planned: &mut metapaas_core::Planned,
        serving: Option<&BTreeMap<String, String>>,
    ) {
        planned.errors.extend(self.errors.iter().cloned());
        for (key, given) in &self.given {
            let item = format!("bindings/{key}");
            let names: Vec<&String> = given.keys().collect();
            planned.outputs.insert(item.clone(), json!({ "env_names": names }));
            // A variable of the tenant's own stands in place of what the binding gives.
            let has = |name: &String, serving: &BTreeMap<String, String>| {
                serving.get(name) == self.values.get(name)
            };
            if serving.is_some_and(|serving| !given.keys().all(|name| has(name, serving))) {
                planned.waiting.insert(item, "the release that has its variables does not serve yet".into());
            }
        }
    }
}
