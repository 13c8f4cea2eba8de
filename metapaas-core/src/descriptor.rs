//! Type descriptors: what a PaaS type is, as constant data. No behaviour lives here.
//!
//! `#[paas_type]` writes one [`TypeDescriptor`] per struct; tables, statements, validation, permissions,
//! OpenAPI, command line and forms are functions over it.

use serde_json::Value;

use crate::role::Role;

/// Everything the framework knows about a type.
#[derive(Debug)]
pub struct TypeDescriptor {
    /// The Rust name, e.g. `S3Instance`.
    pub name: &'static str,
    /// The instance type's slug, e.g. `s3`; children carry their root's.
    pub slug: &'static str,
    /// Names the type among those of its slug, e.g. `instances` or `access-keys`.
    pub plural: &'static str,
    /// What paths say for [`Self::plural`], where two types of different parents have the same word there.
    pub segment: Option<&'static str>,
    /// The doc comment, paragraphs separated by a blank line.
    pub doc: &'static str,
    /// The type this one lives under; `None` for an instance type.
    pub parent: Option<&'static TypeDescriptor>,
    /// What a path names a row by.
    pub key: Key,
    /// Whether rows belong to a project or to the platform.
    pub scope: Scope,
    /// Name of the element in manifests; the slug unless given.
    pub element: &'static str,
    /// Least role for an action, where it differs from the default policy.
    pub policy: &'static [(Action, Role)],
    /// How long events of this type are kept, in seconds; `None` means the installation's setting.
    pub retention_seconds: Option<u64>,
    /// The fields, in the order of the struct.
    pub fields: &'static [FieldDescriptor],
    /// A rule across fields: new value, old value (on update), problems found.
    pub check: Option<TypeCheck>,
}

/// A rule across the fields of one type.
///
/// Gets the candidate and, on update, the stored spec.
pub type TypeCheck = fn(new: &Spec, old: Option<&Spec>) -> Vec<FieldProblem>;

/// The spec fields of a row by name, as canonical JSON. See [`FieldKind`] for the JSON form of each kind.
pub type Spec = serde_json::Map<String, Value>;

/// A rule of one field found it wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProblem {
    /// The field's name; empty when the problem belongs to the whole object.
    pub field: String,
    /// What is wrong and what would be right; for the client's eyes.
    pub detail: String,
}

impl FieldProblem {
    /// A problem of `field`.
    pub fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), detail: detail.into() }
    }
}

/// What a path names a row by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The framework's `name`.
    Name,
    /// A field of the struct, which then stands in place of `name`.
    Field(&'static str),
    /// Only the id: the type has no name.
    Id,
}

/// Whom rows belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A project of the caller's choice.
    Project,
    /// The platform project, always.
    Platform,
}

/// What can be done to a type. Declared actions are [`Action::Custom`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// See a collection.
    List,
    /// See one row.
    Read,
    /// Make a row.
    Create,
    /// Change a row.
    Update,
    /// Remove a row.
    Delete,
    /// Follow changes.
    Watch,
    /// Run an action that the type declares.
    Custom(&'static str),
}

impl Action {
    /// The actions every type has.
    pub const STANDARD: [Self; 6] =
        [Self::List, Self::Read, Self::Create, Self::Update, Self::Delete, Self::Watch];

    /// The last part of the permission, e.g. `create`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Read => "read",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Watch => "watch",
            Self::Custom(verb) => verb,
        }
    }
}

/// One field of a type.
#[derive(Clone, Copy, Debug)]
pub struct FieldDescriptor {
    /// JSON name and column name.
    pub name: &'static str,
    /// The doc comment.
    pub doc: &'static str,
    /// What values it takes.
    pub kind: FieldKind,
    /// Whether it may be `null` (`Option<T>`); such a field need not be given.
    pub nullable: bool,
    /// Whether it may change after create.
    pub mutable: bool,
    /// Whether the platform sets it and requests may not; always nullable in the store.
    pub output: bool,
    /// How `/metrics` tells an output of an instance.
    pub metric: Option<Metric>,
    /// Least role that may set it.
    pub iam: Option<Role>,
    /// Makes the value when the request has none.
    pub default: Option<fn() -> Value>,
    /// Where two rows may not have the same value.
    pub unique: Unique,
    /// Least and greatest length, of characters for text, of items for lists and maps.
    pub len: Option<(u64, u64)>,
    /// Least and greatest number, both allowed.
    pub range: Option<(f64, f64)>,
    /// A regular expression (crate `regex`) that text must match, and each item of a list of texts.
    pub pattern: Option<&'static str>,
    /// The name it had; the migration renames the column.
    pub renamed_from: Option<&'static str>,
    /// The author's rule on new and old value (JSON in canonical form).
    pub check: Option<FieldCheck>,
}

/// The author's rule for one field: new value, old value (on update), or what is wrong.
pub type FieldCheck = fn(new: &Value, old: Option<&Value>) -> Result<(), String>;

/// What a number is to those who collect it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// It rises and falls.
    Gauge,
    /// It only rises, or begins anew.
    Counter,
}

/// Where two rows may not have the same value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unique {
    /// Anywhere.
    No,
    /// Among the rows of one parent, or of one project for an instance.
    Siblings,
    /// In the whole installation.
    Everywhere,
}

/// The kinds of values. In parentheses the canonical JSON form.
#[derive(Clone, Copy, Debug)]
pub enum FieldKind {
    /// `true` or `false`.
    Bool,
    /// A whole number between the two, at most 64 bits signed.
    Integer {
        /// Least value.
        min: i64,
        /// Greatest value.
        max: i64,
    },
    /// A finite number.
    Float,
    /// Text (string), checked by a format. Text never holds NUL.
    Text(&'static TextFormat),
    /// A UUID (string, lower-case hyphenated).
    Uuid,
    /// A time (string, RFC 3339 in UTC with microseconds).
    Timestamp,
    /// A length of time (string such as `1h 30m`, millisecond steps).
    Duration,
    /// One of the names (string).
    Enum(&'static [EnumVariant]),
    /// Items of one kind (array).
    List(&'static FieldKind),
    /// Values of one kind by any keys (object).
    Map(&'static FieldKind),
    /// Any JSON.
    Json,
    /// A value that is sealed at rest and never shown (as the inner kind).
    Secret(&'static FieldKind),
    /// The id of a row of another type (string). A function, since types may refer to each other.
    Ref(fn() -> &'static TypeDescriptor),
}

/// A value of an enum field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnumVariant {
    /// The JSON form, e.g. `aes256`.
    pub name: &'static str,
    /// The doc comment.
    pub doc: &'static str,
}

/// What a checked text looks like.
#[derive(Debug)]
pub struct TextFormat {
    /// Name of the format in OpenAPI, e.g. `hostname`; empty for any text.
    pub name: &'static str,
    /// What is right, for error messages, e.g. "lower-case letters, digits and hyphens".
    pub expects: &'static str,
    /// Greatest length in characters.
    pub max_len: u64,
    /// Tells whether the text is right.
    pub accepts: fn(&str) -> bool,
}

impl TypeDescriptor {
    /// The instance type at the root of this type's path.
    pub const fn root(&self) -> &TypeDescriptor {
        let mut current = self;
        while let Some(parent) = current.parent {
            current = parent;
        }
        current
    }

    /// Whether rows are instances, with nodes and a version.
    pub const fn is_instance(&self) -> bool {
        self.parent.is_none()
    }

    /// Number of types above this one: 0 for an instance.
    pub const fn depth(&self) -> usize {
        let mut depth = 0;
        let mut current = self;
        while let Some(parent) = current.parent {
            depth += 1;
            current = parent;
        }
        depth
    }

    /// Last path segment of the collection.
    pub const fn segment(&self) -> &'static str {
        match self.segment {
            Some(segment) => segment,
            None => self.plural,
        }
    }

    /// `<slug>_<plural>` with underscores for hyphens.
    pub fn table(&self) -> String {
        format!("{}_{}", self.slug, self.plural).replace('-', "_")
    }

    /// `<slug>.<plural>.<action>`.
    pub fn permission(&self, action: Action) -> String {
        format!("{}.{}.{}", self.slug, self.plural, action.as_str())
    }

    /// `<slug>.<plural>.field:<name>`, the permission to set a guarded field.
    pub fn field_permission(&self, field: &str) -> String {
        format!("{}.{}.field:{field}", self.slug, self.plural)
    }

    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&'static FieldDescriptor> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The field that stands in place of `name`, or `name` itself; `None` when rows have only an id.
    pub const fn key_name(&self) -> Option<&'static str> {
        match self.key {
            Key::Name => Some("name"),
            Key::Field(field) => Some(field),
            Key::Id => None,
        }
    }

    /// Whether rows carry the framework's own `name` column.
    pub fn has_framework_name(&self) -> bool {
        matches!(self.key, Key::Name) && self.field("name").is_none()
    }
}

impl FieldDescriptor {
    /// Whether a create request must have it.
    pub const fn is_required(&self) -> bool {
        !self.nullable && !self.output && self.default.is_none()
    }

    /// Whether it is a [`FieldKind::Secret`].
    pub const fn is_secret(&self) -> bool {
        matches!(self.kind, FieldKind::Secret(_))
    }

    /// Whether requests may change it after create.
    pub const fn is_mutable(&self) -> bool {
        self.mutable && !self.output
    }
}
