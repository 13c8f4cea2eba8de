//! Rules across types and plugins, found all at once, at start and in tests.

use std::collections::{HashMap, HashSet};
use std::fmt;

use regex::Regex;

use super::same_type;
use crate::action::{ActionRun, LOGS, ROTATE, RUN};
use crate::descriptor::{Action, FieldKind, Key, Metric, TypeDescriptor, Unique};
use crate::offer::{PARAMETERS, TO};
use crate::plugin::Plugin;

/// Two plugins, types or fields that cannot be hosted together, or one that cannot be hosted at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Stable word; the book has a page on each.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub detail: String,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

/// Names that paths of an instance use for other things.
const RESERVED_PLURALS: [&str; 7] =
    ["actions", "events", "logs", "nodes", "versions", "operations", "uploads"];

/// Columns and members that the framework has on every row.
const FRAMEWORK_FIELDS: [&str; 20] = [
    "id",
    "project_id",
    "description",
    "version",
    "deletion_protection",
    "status",
    "conditions",
    "nodes",
    "generation",
    "observed_generation",
    "held_generation",
    "revision",
    "labels",
    "created_at",
    "updated_at",
    "deleting_at",
    "type",
    "parent_id",
    "instance_id",
    // What a dry run answers besides.
    "plan",
];

pub(super) fn conflicts(plugins: &[Plugin]) -> Vec<Conflict> {
    let mut found = Vec::new();
    let mut add = |code, detail: String| found.push(Conflict { code, detail });

    let mut names = HashSet::new();
    let mut slugs: HashMap<&str, &str> = HashMap::new();
    let mut tables: HashMap<String, String> = HashMap::new();
    let mut registered: Vec<&TypeDescriptor> = Vec::new();
    for plugin in plugins {
        if !names.insert(plugin.name) || plugin.name == "metapaas" {
            add(
                "DUPLICATE_PLUGIN",
                format!("plugin `{}` is listed twice or uses a reserved name", plugin.name),
            );
        }
        for ty in &plugin.types {
            let owner = format!("{} of plugin `{}`", ty.name, plugin.name);
            if ty.parent.is_none()
                && let Some(other) = slugs.insert(ty.slug, plugin.name)
            {
                add(
                    "DUPLICATE_SLUG",
                    format!(
                        "{owner}: slug `{}` belongs to plugin `{other}` already; choose another",
                        ty.slug
                    ),
                );
            }
            if !is_name(ty.slug, "", 31) || !is_name(ty.plural, "-", 31) {
                add(
                    "INVALID_NAME",
                    format!(
                        "{owner}: slug `{}` must be lower-case letters and digits, plural `{}` also hyphens, both \
                         at most 31 and starting with a letter",
                        ty.slug, ty.plural
                    ),
                );
            }
            if matches!(ty.slug, "metapaas" | "iam") {
                add(
                    "RESERVED_SLUG",
                    format!("{owner}: slug `{}` is the framework's own; choose another", ty.slug),
                );
            }
            if let Some(other) = tables.insert(ty.table(), owner.clone()) {
                add(
                    "DUPLICATE_TABLE",
                    format!("{owner}: table `{}` is that of {other}; change slug or plural", ty.table()),
                );
            }
            if ty.parent.is_some() && RESERVED_PLURALS.contains(&ty.segment()) {
                add(
                    "ROUTE_OVERLAP",
                    format!("{owner}: `{}` is a path of the framework; choose another", ty.segment()),
                );
            }
            let is_beside = |other: &&&TypeDescriptor| {
                other.parent.zip(ty.parent).is_some_and(|(one, other)| same_type(one, other))
            };
            if let Some(parent) = ty.parent
                && registered
                    .iter()
                    .filter(is_beside)
                    .any(|other| other.segment() == ty.segment() && other.plural != ty.plural)
            {
                add(
                    "ROUTE_OVERLAP",
                    format!(
                        "{owner}: {} has `{}` below it already; choose another",
                        parent.name,
                        ty.segment()
                    ),
                );
            }
            if let Some(parent) = ty.parent
                && !registered.iter().any(|other| same_type(other, parent))
            {
                add(
                    "MISSING_PARENT",
                    format!(
                        "{owner}: its parent {} is not registered before it; add `.instance::<{}>()` or `.child::<{}>()`",
                        parent.name, parent.name, parent.name
                    ),
                );
            }
            if ty.depth() > 2 {
                add("TOO_DEEP", format!("{owner}: paths have at most instance, child and grandchild"));
            }
            fields(ty, &owner, &mut add);
            registered.push(ty);
        }
        for (slug, what) in plugin
            .plans
            .iter()
            .map(|(slug, _)| (slug, "plan"))
            .chain(plugin.routes.iter().map(|(slug, _)| (slug, "routes function")))
            .chain(plugin.drivers.iter().map(|(slug, _)| (slug, "driver")))
            .chain(plugin.versions.iter().map(|(slug, _)| (slug, "version list")))
            .chain(plugin.offers.iter().map(|(slug, _)| (slug, "offer")))
        {
            if !plugin.types.iter().any(|ty| ty.slug == *slug) {
                add(
                    "FOREIGN_TYPE",
                    format!("plugin `{}` has a {what} for `{slug}`, which it does not register", plugin.name),
                );
            }
        }
        actions(plugin, &mut add);
        hooks(plugin, &mut add);
        bindings(plugin, &mut add);
        for (slug, _) in &plugin.plans {
            if !plugin.drivers.iter().any(|(of, _)| of == slug) {
                add(
                    "MISSING_DRIVER",
                    format!(
                        "plugin `{}` plans nodes for `{slug}` and has no driver for them; add `.driver::<T>(...)`",
                        plugin.name
                    ),
                );
            }
        }
    }
    for plugin in plugins {
        for ty in &plugin.types {
            for field in ty.fields {
                if let FieldKind::Ref(target) = field.kind
                    && !registered.iter().any(|other| same_type(other, target()))
                {
                    add(
                        "MISSING_REFERENCE",
                        format!(
                            "{}.{} of plugin `{}` refers to {}, which no plugin registers",
                            ty.name,
                            field.name,
                            plugin.name,
                            target().name
                        ),
                    );
                }
            }
        }
    }
    found
}

fn actions(plugin: &Plugin, add: &mut impl FnMut(&'static str, String)) {
    let mut seen = HashSet::new();
    for (ty, action) in &plugin.actions {
        let place = format!("action `{}` of {} of plugin `{}`", action.verb, ty.name, plugin.name);
        if !plugin.types.iter().any(|own| same_type(own, ty)) {
            add("FOREIGN_TYPE", format!("{place}: the plugin does not register that type"));
        }
        if !seen.insert((ty.table(), action.verb)) {
            add("DUPLICATE_ACTION", format!("{place} is declared twice"));
        }
        if !is_name(action.verb, "-", 31) {
            let form = "at most 31 lower-case letters, digits and hyphens, starting with a letter";
            add("INVALID_NAME", format!("{place}: its name must be {form}"));
        }
        let is_run = matches!(action.run, ActionRun::Command(_));
        if is_run && !ty.is_instance() {
            add("INVALID_ACTION", format!("{place}: commands run on nodes, which instances have"));
        }
        if [ROTATE, LOGS].contains(&action.verb)
            || (action.verb == RUN && !is_run)
            || Action::STANDARD.iter().any(|own| own.as_str() == action.verb)
        {
            add(
                "RESERVED_ACTION",
                format!("{place}: the framework has an action of that name; choose another"),
            );
        }
        let mut names = HashSet::new();
        for parameter in &action.parameters {
            let parameter_place = format!("parameter `{}` of {place}", parameter.name);
            if !names.insert(parameter.name) {
                add("DUPLICATE_FIELD", format!("{parameter_place} is there twice"));
            }
            if parameter.pattern.is_some_and(|pattern| compile(pattern).is_err()) {
                add("INVALID_PATTERN", format!("{parameter_place} is no regular expression"));
            }
        }
    }
}

fn hooks(plugin: &Plugin, add: &mut impl FnMut(&'static str, String)) {
    let mut seen = HashSet::new();
    for (ty, hooks) in &plugin.hooks {
        let place = format!("a hook of {} of plugin `{}`", ty.name, plugin.name);
        if !plugin.types.iter().any(|own| same_type(own, ty)) {
            add("FOREIGN_TYPE", format!("{place}: the plugin does not register that type"));
        }
        let kind = (hooks.complete.is_some(), hooks.admit.is_some(), hooks.leave.is_some());
        if !seen.insert((ty.table(), kind)) {
            add("DUPLICATE_HOOK", format!("{place} is declared twice"));
        }
    }
}

fn bindings(plugin: &Plugin, add: &mut impl FnMut(&'static str, String)) {
    for ty in &plugin.bindings {
        let has = |name, is_right: fn(&FieldKind) -> bool| {
            let field = ty.field(name);
            field.is_some_and(|field| {
                is_right(&field.kind) && !field.mutable && !field.output && !field.nullable
            })
        };
        let has_fields = has(TO, |kind| matches!(kind, FieldKind::Text(_)))
            && has(PARAMETERS, |kind| matches!(kind, FieldKind::Map(FieldKind::Text(_))));
        if ty.depth() != 1 || !has_fields {
            let place = format!("{} of plugin `{}`", ty.name, plugin.name);
            let form =
                "right below an instance, with the fields `to: InstancePath` and `parameters: Map<String>`";
            add("INVALID_BINDING", format!("{place}: a binding is {form}, neither of which changes"));
        }
    }
}

fn fields(ty: &TypeDescriptor, owner: &str, add: &mut impl FnMut(&'static str, String)) {
    let mut seen = HashSet::new();
    for field in ty.fields {
        let place = format!("field `{}` of {owner}", field.name);
        if !seen.insert(field.name) {
            add("DUPLICATE_FIELD", format!("{place} is there twice"));
        }
        if !is_name(field.name, "_", 63) {
            add(
                "INVALID_NAME",
                format!(
                    "{place}: its name must be at most 63 lower-case letters, digits and underscores, starting with \
                     a letter"
                ),
            );
        }
        let stands_for_name = field.name == "name" && ty.key == Key::Field("name");
        if FRAMEWORK_FIELDS.contains(&field.name) || (field.name == "name" && !stands_for_name) {
            add("RESERVED_FIELD", format!("{place}: the framework has a field of that name; choose another"));
        }
        if let Some(pattern) = field.pattern
            && let Err(error) = compile(pattern)
        {
            add("INVALID_PATTERN", format!("{place}: {error}"));
        }
        if field.renamed_from.is_some_and(|old| ty.field(old).is_some()) {
            add("RENAME_OVERLAP", format!("{place}: a field with its old name exists as well"));
        }
        let text = matches!(field.kind, FieldKind::Text(_) | FieldKind::Secret(FieldKind::Text(_)));
        let texts = matches!(field.kind, FieldKind::List(FieldKind::Text(_)));
        if field.pattern.is_some() && !text && !texts {
            add("MISPLACED_RULE", format!("{place}: `pattern` is for text and lists of text"));
        }
        if field.len.is_some() && !text && !matches!(field.kind, FieldKind::List(_) | FieldKind::Map(_)) {
            add("MISPLACED_RULE", format!("{place}: `len` is for text, lists and maps"));
        }
        if field.range.is_some() && !matches!(field.kind, FieldKind::Integer { .. } | FieldKind::Float) {
            add("MISPLACED_RULE", format!("{place}: `range` is for numbers"));
        }
        if let Some(metric) = field.metric {
            let is_number = matches!(field.kind, FieldKind::Integer { .. } | FieldKind::Float);
            if !is_number || !field.output || !ty.is_instance() {
                add(
                    "MISPLACED_RULE",
                    format!("{place}: `metric` is for outputs of instances that are numbers"),
                );
            }
            if metric == Metric::Gauge && field.name.ends_with("_total") {
                let why = "Prometheus keeps names that end in `_total` for counters";
                add("MISPLACED_RULE", format!("{place}: {why}; rename it, or make it a counter"));
            }
        }
        if field.unique != Unique::No && !is_comparable(&field.kind) {
            add("MISPLACED_RULE", format!("{place}: `unique` is not for lists, maps, JSON and secrets"));
        }
        if has_secret_inside(&field.kind) {
            add("NESTED_SECRET", format!("{place}: a secret must be a field of its own to be sealed"));
        }
    }
    if let Key::Field(key) = ty.key {
        match ty.field(key) {
            None => add("MISSING_KEY", format!("{owner}: its key `{key}` is not one of its fields")),
            Some(field) if field.nullable || field.mutable || field.output => {
                add(
                    "INVALID_KEY",
                    format!("{owner}: its key `{key}` must be given on create and never change"),
                );
            }
            Some(field)
                if !matches!(
                    field.kind,
                    FieldKind::Text(_) | FieldKind::Enum(_) | FieldKind::Integer { .. }
                ) =>
            {
                add(
                    "INVALID_KEY",
                    format!("{owner}: its key `{key}` must be text, a whole number or an enum"),
                );
            }
            Some(_) => {}
        }
    }
}

/// Whether an index can tell two values apart. Two seals of the same secret differ.
const fn is_comparable(kind: &FieldKind) -> bool {
    !matches!(kind, FieldKind::List(_) | FieldKind::Map(_) | FieldKind::Json | FieldKind::Secret(_))
}

fn has_secret_inside(kind: &FieldKind) -> bool {
    match kind {
        FieldKind::List(inner) | FieldKind::Map(inner) | FieldKind::Secret(inner) => {
            matches!(inner, FieldKind::Secret(_)) || has_secret_inside(inner)
        }
        _ => false,
    }
}

/// Names are parts of paths, permissions, tables and columns. `#[paas_type]` has the same rule.
fn is_name(name: &str, also: &str, most: usize) -> bool {
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || also.contains(letter);
    name.len() <= most && name.starts_with(|first: char| first.is_ascii_lowercase()) && name.chars().all(fits)
}

/// A field's pattern. As in JSON Schema it may match anywhere; authors anchor it.
pub(crate) fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    regex::RegexBuilder::new(pattern).size_limit(1 << 20).build()
}
