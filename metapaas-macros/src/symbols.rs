//! Every name that the macros know, spelled once, with its documentation: the book's page is made from it.

/// A key of an attribute.
#[derive(Debug)]
pub(crate) struct Key {
    /// As the author writes it.
    pub(crate) name: &'static str,
    /// What follows it.
    pub(crate) form: Form,
    /// For whom it is.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the tests that write the book's page"))]
    pub(crate) place: Place,
    /// What it does, for the book.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the tests that write the book's page"))]
    pub(crate) meaning: &'static str,
    /// A right use, for error messages and the book; a test expands it.
    pub(crate) example: &'static str,
}

/// What may follow a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Nothing.
    Flag,
    /// `= "text"`
    Text,
    /// Nothing or `= "text"`.
    FlagOrText,
    /// `= 1..=5`, `= 1..`, `= ..=5` or `= 5`
    Interval,
    /// `= any::expression()`
    Expr,
    /// `= path::to::something`
    Path,
    /// `= path::to::Type`
    Type,
    /// `(name = "text", ...)`
    Pairs,
}

impl Form {
    /// For the book.
    #[cfg(test)]
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Flag => "nothing",
            Self::Text => "a text",
            Self::FlagOrText => "nothing or a text",
            Self::Interval => "an interval",
            Self::Expr => "an expression",
            Self::Path => "a path",
            Self::Type => "a type",
            Self::Pairs => "a list",
        }
    }
}

/// Where a key may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On an instance type, which must have it.
    InstanceRequired,
    /// On an instance type.
    Instance,
    /// On a child type, which must have it.
    ChildRequired,
    /// On a child type.
    Child,
    /// On both.
    Type,
    /// On a field.
    Field,
    /// On an enum.
    Enum,
    /// On a variant of an enum.
    Variant,
}

impl Place {
    /// For the book.
    #[cfg(test)]
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::InstanceRequired => "instance types, required",
            Self::Instance => "instance types",
            Self::ChildRequired => "child types, required",
            Self::Child => "child types",
            Self::Type => "every type",
            Self::Field => "fields",
            Self::Enum => "enums",
            Self::Variant => "variants",
        }
    }
}

pub(crate) const SLUG: &str = "slug";
pub(crate) const PARENT: &str = "parent";
pub(crate) const PLURAL: &str = "plural";
pub(crate) const SEGMENT: &str = "segment";
pub(crate) const KEY: &str = "key";
pub(crate) const SCOPE: &str = "scope";
pub(crate) const ELEMENT: &str = "element";
pub(crate) const IAM: &str = "iam";
pub(crate) const RETENTION: &str = "retention";
pub(crate) const CHECK: &str = "check";
pub(crate) const CRATE: &str = "crate";
pub(crate) const MUTABLE: &str = "mutable";
pub(crate) const DEFAULT: &str = "default";
pub(crate) const UNIQUE: &str = "unique";
pub(crate) const LEN: &str = "len";
pub(crate) const RANGE: &str = "range";
pub(crate) const PATTERN: &str = "pattern";
pub(crate) const OUTPUT: &str = "output";
pub(crate) const METRIC: &str = "metric";
pub(crate) const RENAMED_FROM: &str = "renamed_from";
pub(crate) const NAME: &str = "name";

/// The attribute of a type.
pub(crate) const PAAS_TYPE: &str = "paas_type";
/// The attribute of a field.
pub(crate) const FIELD: &str = "field";
/// The attribute of an enum and its variants.
pub(crate) const FIELD_ENUM: &str = "field_enum";

/// Keys of `#[paas_type(...)]`, required ones first.
pub(crate) static TYPE_KEYS: &[Key] = &[
    Key {
        name: SLUG,
        form: Form::Text,
        place: Place::InstanceRequired,
        meaning: "The type's name in paths, permissions, tables and on the command line: a lower-case letter, then up \
                  to 30 lower-case letters and digits. Children take it from their instance type.",
        example: r#"slug = "s3""#,
    },
    Key {
        name: PARENT,
        form: Form::Type,
        place: Place::ChildRequired,
        meaning: "The type whose rows hold the rows of this one: an instance type, or a child for grandchildren. A \
                  struct with `parent` is a child type, one without is an instance type.",
        example: "parent = Demo",
    },
    Key {
        name: PLURAL,
        form: Form::Text,
        place: Place::ChildRequired,
        meaning: "The last part of the collection's path: lower-case words joined by hyphens, at most 31 characters. \
                  For an instance type it is always `instances`.",
        example: r#"plural = "access-keys""#,
    },
    Key {
        name: SEGMENT,
        form: Form::Text,
        place: Place::Child,
        meaning: "What the collection's path says in place of the plural, of the same form. The plural names the type in \
                  tables and permissions, so it is its own; two types under different parents may have the same \
                  segment.",
        example: r#"segment = "policies""#,
    },
    Key {
        name: KEY,
        form: Form::Text,
        place: Place::Child,
        meaning: "What a path names a row by: `\"name\"` (the default), the name of a field, which then stands in \
                  place of `name`, or `\"id\"` for rows that have no name. The field cannot be `mutable` or `output`. \
                  With `key = \"name\"` the struct may have a `name` field of its own, of a type of its own.",
        example: r#"key = "id""#,
    },
    Key {
        name: ELEMENT,
        form: Form::Text,
        place: Place::Instance,
        meaning: "The element's name in manifests, of the form of a slug with hyphens; the slug unless given.",
        example: r#"element = "s3aas""#,
    },
    Key {
        name: SCOPE,
        form: Form::Text,
        place: Place::Instance,
        meaning: "`\"project\"` (the default): rows belong to a project of the caller's choice. `\"platform\"`: they \
                  always belong to the platform project.",
        example: r#"scope = "platform""#,
    },
    Key {
        name: IAM,
        form: Form::Pairs,
        place: Place::Type,
        meaning: "The least role (`viewer`, `operator`, `owner`) for an action (`list`, `read`, `create`, `update`, \
                  `delete`, `watch`), where it differs from the default policy. A child without `iam` has its \
                  parent's; a child with `iam` has only its own.",
        example: r#"iam(create = "operator", update = "owner")"#,
    },
    Key {
        name: RETENTION,
        form: Form::Text,
        place: Place::Type,
        meaning: "How long events of this type are kept: a whole number and `s`, `m`, `h`, `d` or `w`. The \
                  installation's setting unless given.",
        example: r#"retention = "90d""#,
    },
    Key {
        name: CHECK,
        form: Form::Path,
        place: Place::Type,
        meaning: "A function that holds a rule across fields: `fn(new: &Self, old: Option<&Self>) -> \
                  Vec<FieldProblem>`. `old` is given on update.",
        example: "check = rules::check_all",
    },
    Key {
        name: CRATE,
        form: Form::Path,
        place: Place::Type,
        meaning: "Where the framework is, when the crate is renamed or only re-exported; `::metapaas_core` unless \
                  given.",
        example: "crate = ::framework",
    },
];

/// Keys of `#[field(...)]`.
pub(crate) static FIELD_KEYS: &[Key] = &[
    Key {
        name: MUTABLE,
        form: Form::Flag,
        place: Place::Field,
        meaning: "The field may change after create.",
        example: "mutable",
    },
    Key {
        name: IAM,
        form: Form::Text,
        place: Place::Field,
        meaning: "The least role that may set the field, on create as on update: `\"owner\"`, `\"operator\"` or \
                  `\"viewer\"`.",
        example: r#"iam = "owner""#,
    },
    Key {
        name: DEFAULT,
        form: Form::Expr,
        place: Place::Field,
        meaning: "The value when a create request has none: an expression of the field's type, run for each such \
                  request. Without it a field that is not an `Option` must be given.",
        example: r#"default = "none".into()"#,
    },
    Key {
        name: UNIQUE,
        form: Form::FlagOrText,
        place: Place::Field,
        meaning: "No two rows have the same value: among the children of one parent or the instances of one project, \
                  or, with `unique = \"everywhere\"`, in the whole installation.",
        example: r#"unique = "everywhere""#,
    },
    Key {
        name: LEN,
        form: Form::Interval,
        place: Place::Field,
        meaning: "The length of a text in characters, of a list or map in items: `1..=80`, `1..` (at least), `..=80` \
                  (at most) or `80` (exactly).",
        example: "len = 1..=80",
    },
    Key {
        name: RANGE,
        form: Form::Interval,
        place: Place::Field,
        meaning: "The least and the greatest number, both allowed: `1..=5`, `-0.5..=0.5`.",
        example: "range = 1..=5",
    },
    Key {
        name: PATTERN,
        form: Form::Text,
        place: Place::Field,
        meaning: "A regular expression in the syntax of the crate `regex` that the text must match, or each item of a \
                  list of texts. A `check` of the field speaks first, since it can say in words what is wrong.",
        example: r#"pattern = "^[a-z]+$""#,
    },
    Key {
        name: OUTPUT,
        form: Form::Flag,
        place: Place::Field,
        meaning: "The platform sets the field, requests cannot; what a request says of it is ignored. Its type is an \
                  `Option`, since there is no value before a node reports one. Not together with `mutable`, `iam`, \
                  `default`, `unique`, `renamed_from` or `check`.",
        example: "output",
    },
    Key {
        name: METRIC,
        form: Form::Text,
        place: Place::Field,
        meaning: "`/metrics` tells the value of an `output` field of each instance: `\"gauge\"` for what rises and falls, \
                  `\"counter\"` for what only rises. The field's type is an `Option` of a number. Only instance types \
                  have metrics.",
        example: r#"output, metric = "gauge""#,
    },
    Key {
        name: RENAMED_FROM,
        form: Form::Text,
        place: Place::Field,
        meaning: "The name that the field had; the proposed migration renames the column instead of refusing.",
        example: r#"renamed_from = "old_name""#,
    },
    Key {
        name: CHECK,
        form: Form::Path,
        place: Place::Field,
        meaning: "A function that holds a rule of this field: `fn(new: &T, old: Option<&T>) -> Result<(), impl \
                  ToString>`, `T` being the field's type. `old` is given on update.",
        example: "check = rules::check_one",
    },
];

/// Keys of `#[field_enum(...)]` on the enum.
pub(crate) static ENUM_KEYS: &[Key] = &[Key {
    name: CRATE,
    form: Form::Path,
    place: Place::Enum,
    meaning: "Where the framework is, as on a type.",
    example: "crate = ::framework",
}];

/// Keys of `#[field_enum(...)]` on a variant.
pub(crate) static VARIANT_KEYS: &[Key] = &[Key {
    name: NAME,
    form: Form::Text,
    place: Place::Variant,
    meaning: "The variant's JSON form: letters, digits, `.`, `_` and `-`. Unless given, the Rust name in lower-case \
              words joined by hyphens: `ReadOnly` is `read-only`, `Aes256` is `aes256`.",
    example: r#"name = "AES-256""#,
}];

/// Keys that mean nothing yet and are kept for API versions.
pub(crate) const RESERVED_KEYS: [&str; 2] = ["since", "until"];

/// The roles, with the variant of `Role`.
pub(crate) const ROLES: [(&str, &str); 3] =
    [("viewer", "Viewer"), ("operator", "Operator"), ("owner", "Owner")];

/// The actions, with the variant of `Action`.
pub(crate) const ACTIONS: [(&str, &str); 6] = [
    ("list", "List"),
    ("read", "Read"),
    ("create", "Create"),
    ("update", "Update"),
    ("delete", "Delete"),
    ("watch", "Watch"),
];

/// The kinds of metrics, with the variant of `Metric`.
pub(crate) const METRICS: [(&str, &str); 2] = [("gauge", "Gauge"), ("counter", "Counter")];

/// The scopes, with the variant of `Scope`.
pub(crate) const SCOPES: [(&str, &str); 2] = [("project", "Project"), ("platform", "Platform")];

/// Fields that every row has from the framework. `name` is another matter: see the key `key`.
pub(crate) const RESERVED_FIELDS: [&str; 18] = [
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
    "revision",
    "labels",
    "created_at",
    "updated_at",
    "type",
    "parent_id",
    "instance_id",
    "plan",
];

/// Collections that are paths of the framework's own.
pub(crate) const RESERVED_PLURALS: [&str; 2] = ["instances", "actions"];
