//! Paths of a hosted type: its collection, its rows, its actions.

use utoipa::openapi::PathItem;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, Parameter, PathItemBuilder};

use super::Parts;
use super::build::{JSON, OperationExt, answer, body, operation, or_stream, path, shared_parameter, string};
use crate::describe::{collection_path, parameter, snake_case};
use crate::descriptor::{Action, Scope, TypeDescriptor};
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
}

/// Adds all paths of the type.
pub(super) fn add(parts: &mut Parts, registered: &RegisteredType, names: &Names) {
    let operations = Operations { ty: registered.ty, names, tag: type_name(registered.ty) };
    let collection = collection_path(registered.ty);
    let item = format!("{collection}/{{{}}}", parameter(registered.ty));
    let above = keys(registered.ty.parent);
    let own = keys(Some(registered.ty));
    parts.paths.paths.insert(collection, operations.of_collection(above));
    parts.paths.paths.insert(item.clone(), operations.of_row(own.clone()));
    for verb in &registered.actions {
        parts.paths.paths.insert(format!("{item}/actions/{verb}"), operations.action(verb, own.clone()));
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
    names: &'a Names,
    tag: String,
}

impl Operations<'_> {
    fn of_collection(&self, above: Vec<Parameter>) -> PathItem {
        let ty = self.ty;
        let list = self
            .begin("list", Action::List, &format!("List {}", words(ty.plural)))
            .parameter_ref(shared_parameter("Limit"))
            .parameter_ref(shared_parameter("PageToken"))
            .parameter_ref(shared_parameter("LastEventId"));
        let list = super::lists::add(self.in_project(list), ty)
            .response("200", or_stream(answer("A page, or a stream.", Some(&self.names.list), &[])))
            .errors(&[400, 403, 410, 429]);
        let list = if ty.is_instance() { list } else { list.errors(&[404, 409]) };
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
        let delete = self
            .change("delete", Action::Delete, "Delete")
            .response("202", underway)
            .response("204", answer("It is gone.", None, &[]));
        with_parameters(own)
            .operation(HttpMethod::Get, read)
            .operation(HttpMethod::Patch, update)
            .operation(HttpMethod::Put, replace)
            .operation(HttpMethod::Delete, delete)
            .build()
    }

    fn action(&self, verb: &'static str, own: Vec<Parameter>) -> PathItem {
        let run = self
            .change(
                &format!("action_{}", verb.replace('-', "_")),
                Action::Custom(verb),
                &format!("Run the action {verb} on"),
            )
            .response("202", answer("It is accepted.", None, &[]));
        with_parameters(own).operation(HttpMethod::Post, run).build()
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
