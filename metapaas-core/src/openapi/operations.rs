//! Operations of actions, and quotas of projects.

use serde_json::json;
use utoipa::openapi::path::{HttpMethod, PathItemBuilder};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder};
use utoipa::openapi::{Components, PathItem, Type};

use super::build::{
    JSON, ObjectExt, OperationExt, answer, any, array, body, boolean, closed, id, integer, nullable, open,
    operation, page_of, path, query, schema, shared_parameter, string, time,
};
use super::{Parts, lists};
use crate::descriptor::Action;
use crate::iam::PROJECTS;
use crate::operations::{FIELDS, MEMBERS};
use crate::query::Fields;
use crate::registry::Registry;
use crate::store::{OperationStatus, quota_resources};

/// The schemas that every document has, since every type may have actions, and run commands.
pub(super) fn schemas(components: &mut Components) {
    let resource = open("What the action is run on.")
        .must("type", string("As in the resource's `type`."))
        .must("id", id(""))
        .must("instance_id", id("The instance it belongs to; its own id for an instance."))
        .must("name", string("What paths name it by."));
    let actor = open("Who asked for it.")
        .must("kind", string("").enum_values(Some(["user", "service_account", "system"])))
        .must("id", id("").schema_type(nullable(Type::String)))
        .must("name", string(""));
    let error = open("Why it failed (RFC 9457).")
        .must("type", string(""))
        .must("title", string(""))
        .must("code", string("For programs."))
        .must("reason", string("The reason of the resource's Ready condition, or `Deleted`."))
        .must("detail", string("For people."))
        .schema_type(nullable(Type::Object));
    let secrets = open("New secrets by field, in the first answer only.")
        .additional_properties(Some(AdditionalProperties::FreeForm(true)));
    let operation = open("What became of an action.")
        .must("id", id("Given by the platform."))
        .must("action", string("The action's verb."))
        .must("status", status())
        .must("project_id", id("The project of the resource."))
        .must("resource", resource)
        .must("generation", integer("Generation of the instance that holds the change."))
        .must("parameters", open("What the request said, secrets left out."))
        .must("actor", actor)
        .must("request_id", string("The request that asked for it."))
        .must("error", error)
        .must("created_at", time(""))
        .must("updated_at", time(""))
        .must("finished_at", time("").schema_type(nullable(Type::String)))
        .property("secrets", secrets)
        .property("plan", any("What the nodes would do, for a dry run."));
    components.schemas.insert("Operation".into(), operation.into());
    let ended = open("How a command ended.")
        .must(
            "code",
            integer("Its exit code, or 128 and the signal that ended it; null when it is not known.")
                .schema_type(nullable(Type::Integer)),
        )
        .must("message", string("What the platform says of it; empty when the command ended by itself."))
        .must("stdout", string("The last 64 KiB of standard output; what is not UTF-8 is replaced."))
        .must("stderr", string("The same of standard error."))
        .must("stdout_bytes", integer("Bytes of standard output in all."))
        .must("stderr_bytes", integer("Bytes of standard error in all."));
    components.schemas.insert("RunResult".into(), ended.into());
}

/// The paths.
pub(super) fn add(parts: &mut Parts, registry: &Registry) {
    operations(parts);
    quotas(parts, registry);
}

fn operations(parts: &mut Parts) {
    const TAG: &str = "operations";
    parts.tag(TAG, "What became of actions. Whoever may read a resource may read its operations.");
    parts.components.schemas.insert("OperationList".into(), page_of("Operation").into());
    let list = operation("operations_list", TAG, "List operations, the newest first")
        .for_users()
        .parameter_ref(shared_parameter("Limit"))
        .parameter_ref(shared_parameter("PageToken"))
        .parameter_ref(shared_parameter("ProjectId"))
        .response("200", answer("A page.", Some("OperationList"), &[]))
        .errors(&[400, 410]);
    let list = lists::add(list, &Fields::new(FIELDS), MEMBERS);
    put(parts, "/v1/operations", PathItem::new(HttpMethod::Get, list));

    let one = || path("id", id(""), "The operation's `id`.");
    let wait = integer("").minimum(Some(0)).maximum(Some(60)).default(Some(json!(0)));
    let read = operation("operations_read", TAG, "Read an operation")
        .for_users()
        .parameter(query("wait", wait, "Seconds to wait for its end, at the most."))
        .response("200", answer("The operation.", Some("Operation"), &[]))
        .errors(&[400, 404]);
    let read = PathItemBuilder::new().parameters(Some([one()])).operation(HttpMethod::Get, read);
    put(parts, "/v1/operations/{id}", read.build());

    let cancel = operation("operations_cancel", TAG, "Cancel an operation")
        .description(Some(
            "Takes the permission to run the action. Nobody waits for the change any more; what it has changed stays.",
        ))
        .for_users()
        .parameter_ref(shared_parameter("DryRun"))
        .response("200", answer("It is cancelled.", Some("Operation"), &[]))
        .errors(&[400, 403, 404, 409]);
    let cancel = PathItemBuilder::new().parameters(Some([one()])).operation(HttpMethod::Post, cancel);
    put(parts, "/v1/operations/{id}/actions/cancel", cancel.build());
}

fn quotas(parts: &mut Parts, registry: &Registry) {
    const TAG: &str = "quotas";
    parts.tag(TAG, "How much each project may have.");
    let resource = open("A kind of resource.")
        .must(
            "resource",
            string("`instances`, `instances:<type>`, `nodes` (of all instances), `disk_gb` (of all nodes)."),
        )
        .must("limit", integer("Null when there is none.").schema_type(nullable(Type::Integer)))
        .must("used", integer("What the project's instances have, or have reserved."))
        .must("exact", boolean("Whether all was counted; without a limit, large projects are not."));
    let quota = open("How much a project may have.")
        .must("project_id", id(""))
        .must("project", string("The project's name."))
        .must("items", array(resource, "Every kind of resource."))
        .property("plan", array(schema("PlanStep"), "In answers to dry runs; no node has to do anything."));
    let limits = closed("Limits by resource.").must(
        "limits",
        ObjectBuilder::new()
            .description(Some("What is not named has no limit."))
            .property_names(Some(string("").enum_values(Some(quota_resources(registry)))))
            .additional_properties(Some(integer("").minimum(Some(0)))),
    );
    parts.components.schemas.insert("Quota".into(), quota.into());
    parts.components.schemas.insert("QuotaLimits".into(), limits.into());

    let read = operation("projects_quota_read", TAG, "Read limits and use of a project")
        .permission(&PROJECTS.permission(Action::Read))
        .for_users()
        .response("200", answer("The quota.", Some("Quota"), &[]))
        .errors(&[400, 403, 404]);
    let set = operation("projects_quota_set", TAG, "Set all limits of a project")
        .description(Some(
            "Takes the permission in the platform project. A limit below what is used only stops growth.",
        ))
        .permission(&PROJECTS.permission(Action::Update))
        .for_users()
        .parameter_ref(shared_parameter("DryRun"))
        .request_body(Some(body("QuotaLimits", &[JSON])))
        .response("200", answer("The quota.", Some("Quota"), &[]))
        .errors(&[400, 403, 404, 413, 415]);
    let project = path("project", string(""), "The project's `id` or `name`.");
    let item = PathItemBuilder::new()
        .parameters(Some([project]))
        .operation(HttpMethod::Get, read)
        .operation(HttpMethod::Put, set);
    put(parts, "/v1/projects/{project}/quota", item.build());
}

fn status() -> ObjectBuilder {
    string("").enum_values(Some(OperationStatus::ALL.map(OperationStatus::as_str)))
}

fn put(parts: &mut Parts, path: &str, item: PathItem) {
    parts.paths.paths.insert(path.into(), item);
}
