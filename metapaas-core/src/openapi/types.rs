//! Paths of a hosted type: its collection, its rows, its actions.

use serde_json::json;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, Parameter, PathItemBuilder};
use utoipa::openapi::schema::ObjectBuilder;
use utoipa::openapi::{PathItem, RefOr, Required};

use super::Parts;
use super::build::{
    JSON, ObjectExt, OperationExt, answer, answer_of, body, boolean, closed, integer, operation, or_stream,
    path, query, shared_parameter, string, time,
};
use super::field::{Place, field};
use super::shared::NAME_PATTERN;
use super::uploads;
use crate::action::{ActionDescriptor, ActionRun, LOGS};
use crate::describe::{collection_path, parameter, snake_case};
use crate::descriptor::{Action, FieldDescriptor, Scope, TypeDescriptor};
use crate::logs::TAIL_MAX;
use crate::registry::{RegisteredType, Registry};
use crate::resource::type_name;

const MERGE_PATCH: &str = "application/merge-patch+json";
const ETAG: (&str, &str) = ("ETag", "ETag");
const REPLAYED: (&str, &str) = ("Idempotency-Replayed", "IdempotencyReplayed");

/// Names of a type's schemas.
pub(super) struct Names {
    pub(super) answer: String,
    pub(super) create: String,
    pub(super) merge: String,
    pub(super) replace: String,
    pub(super) list: String,
}

impl Names {
    /// The type's name after its slug's, so that another plugin with a type of that name changes nothing.
    pub(super) fn of(registry: &Registry, ty: &TypeDescriptor) -> Self {
        let mut letters = ty.slug.chars();
        let slug = letters.next().map(|first| format!("{}{}", first.to_uppercase(), letters.as_str()));
        let slug = slug.unwrap_or_default().replace('-', "");
        let exists = |name: &str| {
            registry.types().iter().any(|other| other.ty.slug == ty.slug && other.ty.name == name)
        };
        let has_prefix = ty.name.strip_prefix(&slug).is_some_and(|rest| !rest.is_empty());
        // `Demo` of the slug demo has all there is to say in its name.
        let has_prefix = has_prefix || ty.name == slug;
        let mut answer = if has_prefix { ty.name.to_owned() } else { format!("{slug}{}", ty.name) };
        // `PageList` beside `Page`, or `DemoPage` beside `Page`.
        let is_taken = ["Create", "Patch", "Replace", "List"]
            .iter()
            .any(|suffix| ty.name.strip_suffix(suffix).is_some_and(exists))
            || (!has_prefix && exists(&answer))
            || (exists(&slug) && ["Create", "Patch", "Replace", "List"].contains(&ty.name));
        if is_taken {
            answer.push_str("Type");
        }
        Self {
            create: format!("{answer}Create"),
            merge: format!("{answer}Patch"),
            replace: format!("{answer}Replace"),
            list: format!("{answer}List"),
            answer,
        }
    }

    /// The schema of an action's body, e.g. `DemoRestartAction`.
    fn action(&self, verb: &str) -> String {
        let words = verb.split('-').map(|word| {
            let mut letters = word.chars();
            letters
                .next()
                .map_or(String::new(), |first| format!("{}{}", first.to_uppercase(), letters.as_str()))
        });
        format!("{}{}Action", self.answer, words.collect::<String>())
    }
}

/// Adds all paths of the type.
pub(super) fn add(parts: &mut Parts, registered: &RegisteredType, names: &Names) {
    let is_managed = registered.is_managed;
    let operations =
        Operations { ty: registered.ty, registered, names, tag: type_name(registered.ty), is_managed };
    let collection = collection_path(registered.ty);
    let item = format!("{collection}/{{{}}}", parameter(registered.ty));
    let above = keys(registered.ty.parent);
    let own = keys(Some(registered.ty));
    parts.paths.paths.insert(collection, operations.of_collection(above));
    parts.paths.paths.insert(item.clone(), operations.of_row(own.clone()));
    if registered.has_nodes {
        parts.paths.paths.insert(format!("{item}/logs"), operations.logs(own.clone()));
    }
    if registered.takes_uploads {
        parts.paths.paths.insert(format!("{item}/uploads/{{digest}}"), operations.upload(own.clone()));
        uploads::schemas(parts);
    }
    for action in &registered.actions {
        let path = format!("{item}/actions/{}", action.verb);
        let body = names.action(action.verb);
        parts.paths.paths.insert(path, operations.action(action, &body, own.clone()));
        parts.components.schemas.insert(body, parameters(registered.ty, action).into());
    }
}

/// The path parameters that name a row of `ty`, outermost first.
fn keys(ty: Option<&TypeDescriptor>) -> Vec<Parameter> {
    let Some(ty) = ty else { return Vec::new() };
    let mut keys = keys(ty.parent);
    let doc = match ty.key_name() {
        Some(key) => format!("The `id` or `{key}` of {}.", with_article(ty)),
        None => format!("The `id` of {}.", with_article(ty)),
    };
    keys.push(path(&parameter(ty), string(""), &doc));
    keys
}

struct Operations<'a> {
    ty: &'static TypeDescriptor,
    registered: &'a RegisteredType,
    names: &'a Names,
    tag: String,
    /// Its rows are the platform's: there is nothing to make, change or delete.
    is_managed: bool,
}

impl Operations<'_> {
    fn of_collection(&self, above: Vec<Parameter>) -> PathItem {
        let ty = self.ty;
        let list = self
            .begin("list", Action::List, &format!("List {}", words(ty.plural)))
            .parameter_ref(shared_parameter("Limit"))
            .parameter_ref(shared_parameter("PageToken"))
            .parameter_ref(shared_parameter("LastEventId"));
        let list = super::lists::add_of(self.in_project(list), ty)
            .response("200", or_stream(answer("A page, or a stream.", Some(&self.names.list), &[])))
            .errors(&[400, 403, 410, 429]);
        let list = if ty.is_instance() { list } else { list.errors(&[404, 409]) };
        if self.is_managed {
            return with_parameters(above).operation(HttpMethod::Get, list).build();
        }
        let create = self.begin("create", Action::Create, &format!("Create {}", with_article(ty)));
        // An instance goes to the project that its body names.
        let create = if ty.is_instance() { create } else { self.in_project(create).errors(&[404]) };
        let made = answer(
            "It is accepted; `status` tells when it works.",
            Some(&self.names.answer),
            &[("Location", "Location"), ETAG, REPLAYED],
        );
        let create = create
            .parameter_ref(shared_parameter("DryRun"))
            .parameter_ref(shared_parameter("IdempotencyKey"));
        let create = create
            .request_body(Some(body(&self.names.create, &[JSON])))
            .response("201", made)
            .errors(&[400, 403, 409, 413, 415, 422]);
        with_parameters(above).operation(HttpMethod::Get, list).operation(HttpMethod::Post, create).build()
    }

    fn of_row(&self, own: Vec<Parameter>) -> PathItem {
        let found = || answer("The resource.", Some(&self.names.answer), &[ETAG]);
        let read = self.row("read", Action::Read, "Read").parameter_ref(shared_parameter("IfNoneMatch"));
        let read = read
            .response("200", found())
            .response("304", answer("It still has that entity tag.", None, &[ETAG]));
        if self.is_managed {
            return with_parameters(own).operation(HttpMethod::Get, read).build();
        }
        let update = self
            .change("update", Action::Update, "Change some fields of")
            .parameter_ref(shared_parameter("IdempotencyKey"))
            .request_body(Some(body(&self.names.merge, &[JSON, MERGE_PATCH])))
            .response("200", answer("The resource.", Some(&self.names.answer), &[ETAG, REPLAYED]))
            .errors(&[413, 415, 422]);
        let replace = self
            .change("replace", Action::Update, "Replace the fields of")
            .request_body(Some(body(&self.names.replace, &[JSON])))
            .response("200", found())
            .errors(&[413, 415]);
        let underway = answer("It is on its way out.", Some(&self.names.answer), &[ETAG]);
        let delete = self.change("delete", Action::Delete, "Delete").response("202", underway).response(
            "204",
            answer("It is gone, as nothing was left of it; a dry run says that it would be.", None, &[]),
        );
        let delete = match &self.registered.hooks.leave {
            Some(_) => {
                let force = boolean("").default(Some(json!(false)));
                delete.parameter(query("force", force, "Whether it goes with all that it holds."))
            }
            None => delete,
        };
        with_parameters(own)
            .operation(HttpMethod::Get, read)
            .operation(HttpMethod::Patch, update)
            .operation(HttpMethod::Put, replace)
            .operation(HttpMethod::Delete, delete)
            .build()
    }

    fn action(&self, action: &ActionDescriptor, schema: &str, own: Vec<Parameter>) -> PathItem {
        let verb = action.verb;
        let is_needed = action.parameters.iter().any(FieldDescriptor::is_required);
        let mut body = body(schema, &[JSON]);
        body.required = Some(if is_needed { Required::True } else { Required::False });
        if let ActionRun::Command(_) = action.run {
            let run = self
                .row("action_run", Action::Custom(verb), "Run a command on a node of")
                .description(Some(
                    "It is no change and has no operation. Events of a stream are `stdout` and `stderr`, whose data is an object \
                     with `text`, or with `base64` where it is not UTF-8; then `exit` with `code` and `message`, or `error` with \
                     `detail`. Without a stream the answer comes when the command has ended, after white space. Either way \
                     the command ends with the request.",
                ))
                .parameter_ref(shared_parameter("IfMatch"))
                .parameter_ref(shared_parameter("IfGenerationMatch"))
                .request_body(Some(body))
                .response("200", or_stream(answer("It ran.", Some("RunResult"), &[])))
                .errors(&[412, 413, 415]);
            return with_parameters(own).operation(HttpMethod::Post, run).build();
        }
        let accepted = answer(
            "It is accepted; the operation tells when it is done.",
            Some("Operation"),
            &[("Location", "OperationLocation")],
        );
        let run = self
            .change(
                &format!("action_{}", verb.replace('-', "_")),
                Action::Custom(verb),
                &format!("Run the action {verb} on"),
            )
            .description(Some(action.doc))
            .request_body(Some(body))
            .response("202", accepted)
            .errors(&[413, 415]);
        with_parameters(own).operation(HttpMethod::Post, run).build()
    }

    fn logs(&self, own: Vec<Parameter>) -> PathItem {
        let most = i64::from(TAIL_MAX);
        let tail = integer("").minimum(Some(0)).maximum(Some(most)).default(Some(json!(100)));
        let lines = RefOr::T(string("A line each: time, node, service, text.").into());
        let told = answer_of("Lines, the oldest first.", Some(("text/plain", lines)), &[]);
        let read = self.row("logs", Action::Custom(LOGS), "Read what the nodes write of");
        let read = read
            .description(Some(
                "With `Accept: application/x-ndjson` each line is an object with `time`, `node`, `service` and `text`; events \
                 of a stream have the same as data.",
            ))
            .parameter(query("tail", tail, "So many of the newest lines."))
            .parameter(query("since", time(""), "None that are older."))
            .parameter(query("follow", boolean("").default(Some(json!(false))), "Whether lines to come are told too."))
            .parameter(query("node", string("").pattern(Some(NAME_PATTERN)), "Only the node in this place."))
            .response("200", or_stream(told))
            .errors(&[429]);
        with_parameters(own).operation(HttpMethod::Get, read).build()
    }

    fn upload(&self, mut own: Vec<Parameter>) -> PathItem {
        own.push(uploads::digest());
        let found = || answer("The upload.", Some("Upload"), &[]);
        let read = self.row("upload_read", Action::Read, "Read what is known of an upload of");
        let send = self.row("upload", Action::Update, "Send a file for");
        let send = send
            .description(Some(
                "The file goes by its SHA-256, so sending it twice is sending it once. It is kept for as long as the instance \
                 needs it, and for an hour at the least.",
            ))
            .request_body(Some(uploads::content()))
            .response("200", found())
            .response("201", found())
            .errors(&[413, 415]);
        with_parameters(own)
            .operation(HttpMethod::Get, read.response("200", found()))
            .operation(HttpMethod::Put, send)
            .build()
    }

    fn begin(&self, name: &str, action: Action, summary: &str) -> OperationBuilder {
        operation(&format!("{}_{name}", self.ty.table()), &self.tag, summary)
            .permission(&self.ty.permission(action))
            .for_users()
    }

    fn row(&self, name: &str, action: Action, verb: &str) -> OperationBuilder {
        let operation = self.begin(name, action, &format!("{verb} {}", with_article(self.ty)));
        self.in_project(operation).errors(&[400, 403, 404, 409])
    }

    fn change(&self, name: &str, action: Action, verb: &str) -> OperationBuilder {
        let parameters = ["IfMatch", "IfGenerationMatch", "DryRun"];
        let row = self.row(name, action, verb);
        parameters.iter().fold(row, |row, name| row.parameter_ref(shared_parameter(name))).errors(&[412])
    }

    /// Names are unique in a project only.
    fn in_project(&self, operation: OperationBuilder) -> OperationBuilder {
        match self.ty.root().scope {
            Scope::Project => operation.parameter_ref(shared_parameter("ProjectId")),
            Scope::Platform => operation,
        }
    }
}

/// The body of an action.
fn parameters(ty: &'static TypeDescriptor, action: &ActionDescriptor) -> ObjectBuilder {
    action.parameters.iter().fold(closed(action.doc), |object, parameter| {
        let schema = field(ty, parameter, Place::Create);
        if parameter.is_required() {
            object.must(parameter.name, schema)
        } else {
            object.property(parameter.name, schema)
        }
    })
}

/// The type's name as words, e.g. "a demo instance".
pub(super) fn with_article(ty: &TypeDescriptor) -> String {
    let words = words(&snake_case(ty.name));
    let article = if words.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {words}")
}

fn with_parameters(parameters: Vec<Parameter>) -> PathItemBuilder {
    PathItemBuilder::new().parameters((!parameters.is_empty()).then_some(parameters))
}

fn words(name: &str) -> String {
    name.replace(['-', '_'], " ")
}
