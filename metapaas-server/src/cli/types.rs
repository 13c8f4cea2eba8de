//! What `GET /v1/types` says of the hosted types; all other commands are driven by it.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::client::Client;
use super::error::CliError;
use super::output::{pairs, table};
use super::text::{cell, clean, did_you_mean, plain};

/// Every type that the server hosts.
#[derive(Debug, Deserialize)]
pub(crate) struct Types {
    /// One per instance type.
    pub(crate) items: Vec<HostedType>,
}

/// An instance type with the types below it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct HostedType {
    /// First part of its paths.
    pub(crate) slug: String,
    plugin: String,
    plugin_version: String,
    description: String,
    counts: Map<String, Value>,
    /// Itself and all types below it.
    pub(crate) types: Vec<TypeInfo>,
}

/// A type: of instances, children or grandchildren.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TypeInfo {
    /// Names it among the types of its slug.
    pub(crate) plural: String,
    /// Last part of the collection's path; the plural unless the server says otherwise.
    segment: String,
    /// The plural of the type above.
    pub(crate) parent: Option<String>,
    /// Path of the collection, with `{..}` for the keys of the rows above.
    pub(crate) path: String,
    key: Option<String>,
    /// Actions beside the standard ones.
    pub(crate) actions: Vec<ActionInfo>,
    description: String,
    /// What it has.
    pub(crate) fields: Vec<FieldInfo>,
}

/// An action of a type.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ActionInfo {
    /// What paths call it.
    pub(crate) verb: String,
    description: String,
    parameters: Vec<FieldInfo>,
}

/// A field of a type.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FieldInfo {
    /// JSON name.
    pub(crate) name: String,
    /// boolean, integer, number, string, uuid, timestamp, duration, enum, list, map, json, secret or ref.
    pub(crate) kind: String,
    pub(crate) description: String,
    /// Whether null is a value.
    pub(crate) nullable: bool,
    pub(crate) mutable: bool,
    /// Whether the platform sets it.
    pub(crate) output: bool,
    /// Whether a create request must have it.
    pub(crate) required: bool,
    pub(crate) default: Value,
    pub(crate) iam: Option<String>,
    /// The values of an enum.
    #[serde(rename = "enum")]
    pub(crate) variants: Option<Vec<String>>,
    pub(crate) secret: bool,
    pub(crate) min_length: Option<u64>,
    pub(crate) max_length: Option<u64>,
    pub(crate) minimum: Option<f64>,
    pub(crate) maximum: Option<f64>,
    pub(crate) pattern: Option<String>,
    /// The kind of the items of a list, of the values of a map.
    pub(crate) items: Option<String>,
}

impl Types {
    /// The instance type of that slug.
    pub(crate) fn find(&self, slug: &str) -> Result<&HostedType, CliError> {
        self.items.iter().find(|hosted| hosted.slug == slug).ok_or_else(|| {
            let slugs: Vec<&str> = self.items.iter().map(|hosted| hosted.slug.as_str()).collect();
            let hint = did_you_mean(slug, slugs.iter().copied());
            CliError::NotFound(format!(
                "there is no type `{slug}`{hint}; this server hosts: {}",
                slugs.join(", ")
            ))
        })
    }
}

impl HostedType {
    /// The type of the instances themselves.
    pub(crate) fn root(&self) -> Result<&TypeInfo, CliError> {
        self.types.iter().find(|ty| ty.parent.is_none()).ok_or_else(|| CliError::Unexpected {
            what: format!("the server describes `{}` without its instances", self.slug),
            source: None,
        })
    }

    /// The types right below `parent`.
    pub(crate) fn below<'a>(&'a self, parent: &'a TypeInfo) -> impl Iterator<Item = &'a TypeInfo> {
        self.types.iter().filter(|ty| ty.parent.as_deref() == Some(&parent.plural))
    }
}

impl TypeInfo {
    /// Last part of the collection's path.
    pub(crate) fn segment(&self) -> &str {
        if self.segment.is_empty() { &self.plural } else { &self.segment }
    }

    /// The field that names a row; rows without one have only an id.
    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref().filter(|key| *key != "id")
    }
}

impl FieldInfo {
    /// Whether answers show it once at most.
    pub(crate) fn is_secret(&self) -> bool {
        self.secret || self.kind == "secret"
    }

    fn rules(&self) -> String {
        let mut rules = Vec::new();
        if let Some(variants) = &self.variants {
            rules.push(format!("one of {}", variants.join(", ")));
        }
        if self.min_length.is_some() || self.max_length.is_some() {
            rules.push(format!("length {}", span(self.min_length, self.max_length)));
        }
        if self.minimum.is_some() || self.maximum.is_some() {
            rules.push(span(self.minimum, self.maximum));
        }
        if let Some(pattern) = &self.pattern {
            rules.push(format!("matches {pattern}"));
        }
        clean(&rules.join("; "))
    }

    fn set_by(&self) -> String {
        match (self.output, self.mutable, &self.iam) {
            (true, ..) => "platform".into(),
            (_, true, None) => "any time".into(),
            (_, false, None) => "create".into(),
            (_, true, Some(role)) => format!("any time ({})", clean(role)),
            (_, false, Some(role)) => format!("create ({})", clean(role)),
        }
    }

    fn kind_text(&self) -> String {
        self.items
            .as_ref()
            .map_or_else(|| clean(&self.kind), |items| clean(&format!("{} of {items}", self.kind)))
    }

    fn default_text(&self) -> String {
        match &self.default {
            _ if self.required => "(required)".into(),
            Value::Null => String::new(),
            Value::String(text) if text.is_empty() => "\"\"".into(),
            value => cell(value),
        }
    }
}

fn span<T: std::fmt::Display>(least: Option<T>, greatest: Option<T>) -> String {
    match (least, greatest) {
        (Some(least), Some(greatest)) => format!("{least} to {greatest}"),
        (Some(least), None) => format!("at least {least}"),
        (None, Some(greatest)) => format!("at most {greatest}"),
        (None, None) => String::new(),
    }
}

/// `metapaas types [SLUG]`.
pub(super) async fn show(client: &mut Client<'_>, slug: Option<&str>) -> Result<(), CliError> {
    let answer = client.api.get("/v1/types", &[]).await?.body;
    let types: Types = super::client::decode("GET /v1/types", answer.clone())?;
    let Some(slug) = slug else {
        return client.output.show(&answer, || overview(&types));
    };
    let hosted = types.find(slug)?;
    let raw = answer["items"].as_array().and_then(|items| items.iter().find(|item| item["slug"] == slug));
    client.output.show(raw.unwrap_or(&Value::Null), || describe(hosted))
}

fn overview(types: &Types) -> String {
    let rows = types.items.iter().map(|hosted| {
        vec![
            clean(&hosted.slug),
            clean(&format!("{} {}", hosted.plugin, hosted.plugin_version)),
            hosted.counts.get("instances").map(plain).unwrap_or_default(),
            hosted
                .types
                .iter()
                .filter(|ty| ty.parent.is_some())
                .map(|ty| clean(&ty.plural))
                .collect::<Vec<_>>()
                .join(", "),
            clean(first_line(&hosted.description)),
        ]
    });
    table(&["TYPE", "PLUGIN", "INSTANCES", "CHILDREN", "DESCRIPTION"], rows.collect())
}

fn describe(hosted: &HostedType) -> String {
    let mut text = String::new();
    for ty in &hosted.types {
        if !text.is_empty() {
            text.push('\n');
        }
        let mut facts = vec![
            ("path".to_owned(), clean(&usual_path(hosted, ty))),
            ("named by".to_owned(), clean(ty.key().unwrap_or("id only"))),
        ];
        if !ty.description.is_empty() {
            facts.push(("is".to_owned(), clean(first_line(&ty.description))));
        }
        for action in &ty.actions {
            let parameters: Vec<&str> =
                action.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
            let takes =
                if parameters.is_empty() { String::new() } else { format!(" ({})", parameters.join(", ")) };
            let text = format!("{}{takes}: {}", action.verb, first_line(&action.description));
            facts.push(("action".to_owned(), clean(&text)));
        }
        text.push_str(&pairs(facts));
        let rows = ty.fields.iter().map(|field| {
            vec![
                clean(&field.name),
                field.kind_text(),
                field.set_by(),
                field.default_text(),
                field.rules(),
                clean(first_line(&field.description)),
            ]
        });
        text.push_str(&table(&["FIELD", "KIND", "SET", "DEFAULT", "RULES", "DESCRIPTION"], rows.collect()));
    }
    text
}

/// The path as the command line takes it, e.g. `demo/INSTANCE/pages/PATH`.
fn usual_path(hosted: &HostedType, ty: &TypeInfo) -> String {
    let key = |ty: &TypeInfo| ty.key().unwrap_or("id").to_uppercase();
    let mut parts = vec![key(ty)];
    let mut current = ty;
    // A type cannot be deeper than there are types, so wrong data cannot make this endless.
    for _ in 0..hosted.types.len() {
        let Some(parent) = &current.parent else { break };
        let Some(above) = hosted.types.iter().find(|other| other.plural == *parent) else { break };
        parts.push(current.segment().to_owned());
        parts.push(key(above));
        current = above;
    }
    parts.push(hosted.slug.clone());
    parts.reverse();
    parts.join("/")
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
