//! [`Registry`]: all types of all plugins, found by path, checked against each other.

mod check;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use regex::Regex;
use serde_json::{Value, json};

pub use self::check::Conflict;
pub(crate) use self::check::compile;
use crate::action::{ActionDescriptor, LOGS, rotatable};
use crate::descriptor::{Action, TypeDescriptor};
use crate::hook::Hooks;
use crate::offer::OfferFn;
use crate::plugin::{MakeDriver, PlanFn, Plugin, RoutesFn};

/// Everything a control plane hosts.
#[derive(Debug)]
pub struct Registry {
    plugins: Vec<Plugin>,
    types: Vec<RegisteredType>,
    roots: HashMap<&'static str, usize>,
    /// What the operator has set, in the order of the plugins.
    settings: Vec<Arc<Value>>,
}

/// A type in its place among the others.
#[derive(Debug)]
pub struct RegisteredType {
    /// Its place in [`Registry::types`].
    pub index: usize,
    /// What it is.
    pub ty: &'static TypeDescriptor,
    /// The plugin that brings it: its place in [`Registry::plugins`].
    pub plugin: usize,
    /// The instance type at the root of its path.
    pub root: usize,
    /// The type above it.
    pub parent: Option<usize>,
    /// Types right below it.
    pub children: Vec<usize>,
    /// Whether only plans make its rows.
    pub is_managed: bool,
    /// Whether its rows bind their instance to others.
    pub is_binding: bool,
    /// Whether it is an instance type with nodes.
    pub has_nodes: bool,
    /// Whether it is an instance type with nodes that takes uploads.
    pub takes_uploads: bool,
    /// Declared actions, and those that the framework adds.
    pub actions: Vec<ActionDescriptor>,
    /// What the plugin says of changes.
    pub hooks: Hooks,
    /// Compiled `pattern` of each field.
    pub patterns: Vec<Option<Regex>>,
    /// Versions that instances may choose, newest first.
    pub versions: Vec<&'static str>,
}

impl Registry {
    /// Takes the plugins of a distribution.
    ///
    /// # Errors
    /// Every conflict at once.
    pub fn new(plugins: Vec<Plugin>) -> Result<Self, Vec<Conflict>> {
        let conflicts = check::conflicts(&plugins);
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        let mut types: Vec<RegisteredType> = Vec::new();
        let mut roots = HashMap::new();
        for (plugin_index, plugin) in plugins.iter().enumerate() {
            for ty in &plugin.types {
                let index = types.len();
                let parent = ty.parent.and_then(|parent| {
                    types
                        .iter()
                        .position(|other| std::ptr::eq(other.ty, parent) || same_type(other.ty, parent))
                });
                let root = parent.map_or(index, |parent| types[parent].root);
                let has_nodes = parent.is_none() && plugin.plans.iter().any(|(of, _)| *of == ty.slug);
                if let Some(parent) = parent {
                    types[parent].children.push(index);
                } else {
                    roots.insert(ty.slug, index);
                }
                types.push(RegisteredType {
                    index,
                    ty,
                    plugin: plugin_index,
                    root,
                    parent,
                    children: Vec::new(),
                    is_managed: plugin.managed.iter().any(|of| same_type(of, ty)),
                    is_binding: plugin.bindings.iter().any(|of| same_type(of, ty)),
                    has_nodes,
                    takes_uploads: has_nodes && plugin.uploads.contains(&ty.slug),
                    actions: actions(plugin, ty),
                    hooks: hooks(plugin, ty),
                    patterns: ty
                        .fields
                        .iter()
                        .map(|field| field.pattern.and_then(|pattern| check::compile(pattern).ok()))
                        .collect(),
                    versions: versions(plugin, ty, &json!({})),
                });
            }
        }
        let settings = plugins.iter().map(|_| Arc::new(json!({}))).collect();
        Ok(Self { plugins, types, roots, settings })
    }

    /// The same with what the operator has set for plugins, by name.
    ///
    /// # Errors
    /// A line for each that is not of the form that its plugin declares.
    pub fn with_settings(mut self, given: &BTreeMap<String, Value>) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        for (name, value) in given {
            let Some(index) = self.plugins.iter().position(|plugin| plugin.name == name) else {
                let names: Vec<_> = self.plugins.iter().map(|plugin| plugin.name).collect();
                mistakes.push(format!("[plugins.{name}]: no such plugin; there are {}", names.join(", ")));
                continue;
            };
            match self.plugins[index].settings {
                None => mistakes.push(format!("[plugins.{name}]: this plugin has no settings")),
                Some(check) => match check(value) {
                    Ok(()) => self.settings[index] = Arc::new(value.clone()),
                    Err(message) => mistakes.push(format!("[plugins.{name}]: {message}")),
                },
            }
        }
        for registered in &mut self.types {
            let settings = &self.settings[registered.plugin];
            registered.versions = versions(&self.plugins[registered.plugin], registered.ty, settings);
        }
        if mistakes.is_empty() { Ok(self) } else { Err(mistakes) }
    }

    /// What the operator has set for the plugin that brings `registered`.
    pub fn settings(&self, registered: &RegisteredType) -> Arc<Value> {
        self.settings.get(registered.plugin).cloned().unwrap_or_default()
    }

    /// The plugins, in the order of the distribution.
    pub fn plugins(&self) -> &[Plugin] {
        &self.plugins
    }

    /// All types, parents before children.
    pub fn types(&self) -> &[RegisteredType] {
        &self.types
    }

    /// The instance types.
    pub fn roots(&self) -> impl Iterator<Item = &RegisteredType> {
        self.types.iter().filter(|registered| registered.parent.is_none())
    }

    /// The instance type of that slug.
    pub fn root(&self, slug: &str) -> Option<&RegisteredType> {
        self.roots.get(slug).map(|index| &self.types[*index])
    }

    /// The type right below `parent` with that word in paths.
    pub fn child(&self, parent: &RegisteredType, segment: &str) -> Option<&RegisteredType> {
        parent.children.iter().map(|index| &self.types[*index]).find(|child| child.ty.segment() == segment)
    }

    /// The type of that slug and plural.
    pub fn find(&self, slug: &str, plural: &str) -> Option<&RegisteredType> {
        self.types.iter().find(|registered| registered.ty.slug == slug && registered.ty.plural == plural)
    }

    /// The registered form of a descriptor.
    pub fn of(&self, ty: &TypeDescriptor) -> Option<&RegisteredType> {
        self.find(ty.slug, ty.plural)
    }

    /// All types below the root `root`, parents before children.
    pub fn below(&self, root: usize) -> impl Iterator<Item = &RegisteredType> {
        self.types.iter().filter(move |registered| registered.root == root && registered.index != root)
    }

    /// The plan function of an instance type.
    pub fn plan(&self, slug: &str) -> Option<&PlanFn> {
        self.plugins.iter().flat_map(|plugin| &plugin.plans).find(|(of, _)| *of == slug).map(|(_, plan)| plan)
    }

    /// The routes function of an instance type.
    pub fn routes(&self, slug: &str) -> Option<&RoutesFn> {
        let mut all = self.plugins.iter().flat_map(|plugin| &plugin.routes);
        all.find(|(of, _)| *of == slug).map(|(_, routes)| routes)
    }

    /// What instances of a type offer to those that are bound to them.
    pub fn offer(&self, slug: &str) -> Option<&OfferFn> {
        let mut all = self.plugins.iter().flat_map(|plugin| &plugin.offers);
        all.find(|(of, _)| *of == slug).map(|(_, offer)| offer)
    }

    /// Whether instances of the root `root` can be bound to others.
    pub fn binds(&self, root: usize) -> bool {
        self.below(root).any(|registered| registered.is_binding)
    }

    /// The driver of an instance type.
    pub fn driver(&self, slug: &str) -> Option<MakeDriver> {
        self.plugins
            .iter()
            .flat_map(|plugin| &plugin.drivers)
            .find(|(of, _)| *of == slug)
            .map(|(_, driver)| *driver)
    }
}

impl RegisteredType {
    /// The action of that verb.
    pub fn action(&self, verb: &str) -> Option<&ActionDescriptor> {
        self.actions.iter().find(|action| action.verb == verb)
    }

    /// The actions beside the standard ones, as permissions know them.
    pub fn custom_actions(&self) -> impl Iterator<Item = Action> {
        let declared = self.actions.iter().map(|action| Action::Custom(action.verb));
        declared.chain(self.has_nodes.then_some(Action::Custom(LOGS)))
    }

    /// Every permission of the type, guarded fields among them.
    pub fn permissions(&self) -> Vec<String> {
        let is_offered = |action: &Action| {
            !(self.is_managed && matches!(action, Action::Create | Action::Update | Action::Delete))
        };
        let actions = Action::STANDARD
            .into_iter()
            .filter(is_offered)
            .chain(self.custom_actions())
            .map(|action| self.ty.permission(action));
        let fields = self.ty.fields.iter().filter(|field| field.iam.is_some());
        actions.chain(fields.map(|field| self.ty.field_permission(field.name))).collect()
    }
}

/// The versions that the plugin declares for a type, else its own.
fn versions(plugin: &Plugin, ty: &TypeDescriptor, settings: &Value) -> Vec<&'static str> {
    let declared = plugin.versions.iter().find(|(slug, _)| *slug == ty.slug);
    declared.map_or_else(|| vec![plugin.version], |(_, versions)| versions(settings))
}

/// The actions that the plugin declares for a type, and the framework's own.
fn actions(plugin: &Plugin, ty: &TypeDescriptor) -> Vec<ActionDescriptor> {
    let declared =
        plugin.actions.iter().filter(|(of, _)| same_type(of, ty)).map(|(_, action)| action.clone());
    let rotate = rotatable(ty.fields).next().map(|_| ActionDescriptor::rotate());
    declared.chain(rotate).collect()
}

/// The hooks that the plugin declares for a type, one of each; [`check`] sees to that.
fn hooks(plugin: &Plugin, ty: &TypeDescriptor) -> Hooks {
    let declared = plugin.hooks.iter().filter(|(of, _)| same_type(of, ty)).map(|(_, hooks)| hooks.clone());
    declared.fold(Hooks::default(), |all, one| Hooks {
        complete: one.complete.or(all.complete),
        admit: one.admit.or(all.admit),
        leave: one.leave.or(all.leave),
    })
}

/// Whether two descriptors are of the same type. Constants may stand at several addresses.
fn same_type(one: &TypeDescriptor, other: &TypeDescriptor) -> bool {
    one.slug == other.slug && one.plural == other.plural && one.name == other.name
}
