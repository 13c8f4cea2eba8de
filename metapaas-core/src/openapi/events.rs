//! The history of changes.

use utoipa::openapi::PathItem;
use utoipa::openapi::Type;
use utoipa::openapi::path::HttpMethod;

use super::build::{
    ObjectExt, OperationExt, answer, any, id, integer, nullable, open, operation, or_stream, page_of, query,
    shared_parameter, string, time,
};
use super::{Parts, lists};
use crate::query::Fields;
use crate::store::events::{FIELDS, MEMBERS};

/// `/v1/events`.
pub(super) fn add(parts: &mut Parts) {
    parts.tag("events", "Who changed what, and when.");
    let actor = open("Who did it.")
        .must("kind", string("").enum_values(Some(["user", "service_account", "system"])))
        .must("id", id("").schema_type(nullable(Type::String)))
        .must("name", string("The name at the time."));
    let or_null = |doc: &str| id(doc).schema_type(nullable(Type::String));
    let event = open("One change of a resource.")
        .must("seq", integer("The revision that the change gave the resource: its place among all changes."))
        .must("at", time("When."))
        .must("project_id", id("The resource's project."))
        .must("type", string("The slug of its type."))
        .must("plural", string("The plural of its type: `instances`, or what is below one."))
        .must("resource_id", id("The resource."))
        .must("instance_id", or_null("The instance at its root."))
        .must("parent_id", or_null("The resource above it."))
        .must("name", string("What paths named it by."))
        .must("action", string("What was done, e.g. `created`, `updated`, `status`, `deleting`, `deleted`."))
        .must("actor", actor)
        .must("request_id", string("The request that did it."))
        .must("generation", integer("The resource's generation after the change."))
        .must("detail", any("What changed: `changes` of fields, secrets redacted; or the `child` that did."));
    let schemas = [("Event", event), ("EventList", page_of("Event"))];
    for (name, schema) in schemas {
        parts.components.schemas.insert(name.into(), schema.into());
    }
    let word = |name: &str, doc: &str| query(name, string("").max_length(Some(256)), doc);
    let list = operation("events_list", "events", "List events, the newest first")
        .for_users()
        .parameter_ref(shared_parameter("Limit"))
        .parameter_ref(shared_parameter("PageToken"))
        .parameter_ref(shared_parameter("LastEventId"))
        .parameter_ref(shared_parameter("ProjectId"))
        .parameter(word("type", "Only of this instance type and what is below."))
        .parameter(word("plural", "Only of types with this plural."))
        .parameter(word("action", "Only of this action."))
        .parameter(word("actor", "Only by whoever has this name or id."))
        .parameter(word("request_id", "Only of this request."))
        .parameter(query("since", time(""), "Only then or later. A stream begins there instead of now."))
        .parameter(query("until", time(""), "Only before."))
        .response("200", or_stream(answer("A page, or a stream.", Some("EventList"), &[])))
        .errors(&[400, 403, 410, 429]);
    let list = lists::add(list, &Fields::new(FIELDS), MEMBERS);
    parts.paths.paths.insert("/v1/events".into(), PathItem::new(HttpMethod::Get, list));
}
