//! Components that every document has: the error answers, parameters, headers and the framework's own schemas.

use serde_json::json;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Parameter, ParameterBuilder};
use utoipa::openapi::schema::ObjectBuilder;
use utoipa::openapi::{Components, Header, RefOr, Schema, Type};

use super::build::{
    ObjectExt, answer_of, any, array, boolean, formatted, header, id, integer, nullable, open, query, schema,
    string, time,
};
use crate::error::ErrorCode;
use crate::status::Status;

/// The form of names (RFC 1123 labels that start with a letter).
pub(super) const NAME_PATTERN: &str = "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$";
/// The form of the names of labels: an optional DNS prefix and a slash, then a word.
const LABEL_NAME_PATTERN: &str =
    "^([a-z0-9-]+(\\.[a-z0-9-]+)*/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$";
const LABEL_VALUE_PATTERN: &str = "^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$";
const LABELS_MAX: usize = 64;
/// Printable ASCII that neither begins nor ends with a space, which would not arrive.
const KEY_PATTERN: &str = "^[!-~]([ -~]*[!-~])?$";

/// What can be done to a node, as plans say it.
const STEP_ACTIONS: [&str; 7] = ["create", "ensure", "update", "mark_silent", "drain", "delete", "wait"];

/// Statuses of errors, with their component and what they mean.
const ERRORS: [(u16, &str, &str); 16] = [
    (400, "InvalidRequest", "Body, parameter or filter is wrong; `errors` lists every problem."),
    (401, "Unauthenticated", "No or bad credentials."),
    (403, "Forbidden", "Visible, but the caller lacks the permission."),
    (404, "NotFound", "Not there, or not for the caller to see."),
    (
        409,
        "Conflict",
        "The name is taken or ambiguous, the state does not allow it, it is still in use, or a request with the same \
         `Idempotency-Key` is under way.",
    ),
    (410, "Expired", "The page token or the position is too old; begin anew."),
    (412, "PreconditionFailed", "`If-Match` or `if_generation_match` does not hold."),
    (408, "RequestTimeout", "The request did not arrive in time."),
    (413, "BodyTooLarge", "The body is over the limit."),
    (414, "UriTooLong", "Path and query are over the limit."),
    (415, "UnsupportedMediaType", "The body is of another media type."),
    (422, "IdempotencyKeyReused", "The `Idempotency-Key` was used for another request."),
    (431, "HeadersTooLarge", "The header fields are over the limit."),
    (429, "TooManyRequests", "Too many requests."),
    (503, "Unavailable", "The database is away; nothing was changed."),
    (500, "Internal", "A bug of the control plane; the log has more under `request_id`."),
];

/// The component of the error answer with that status.
pub(super) fn error_name(status: u16) -> &'static str {
    ERRORS.iter().find(|(of, ..)| *of == status).map_or("Internal", |(_, name, _)| name)
}

pub(super) fn add(components: &mut Components) {
    for (status, name, description) in ERRORS {
        let headers: &[(&str, &str)] = match status {
            401 => &[("WWW-Authenticate", "WwwAuthenticate")],
            429 | 503 => &[("Retry-After", "RetryAfter")],
            _ => &[],
        };
        let content = Some(("application/problem+json", RefOr::Ref(schema("Problem"))));
        components.responses.insert(name.into(), answer_of(description, content, headers).into());
    }
    for (name, parameter) in parameters().into_iter().chain(super::lists::shared()) {
        components.parameters.insert(name.into(), RefOr::T(parameter));
    }
    for (name, header) in headers() {
        components.headers.insert(name.into(), header.into());
    }
    for (name, schema) in schemas() {
        components.schemas.insert(name.into(), schema.into());
    }
}

fn parameters() -> [(&'static str, Parameter); 9] {
    let limit = integer("").minimum(Some(1)).maximum(Some(1000)).default(Some(json!(50)));
    [
        ("Limit", query("limit", limit, "Most items in the answer.")),
        (
            "PageToken",
            query("page_token", string(""), "The `next_page_token` of the page before, unchanged."),
        ),
        (
            "LastEventId",
            example(
                header(
                    "Last-Event-ID",
                    string("").pattern(Some("^[0-9]{1,19}$")),
                    "Of a stream: go on after the event with this `id`, without the first items.",
                ),
                "18421",
            ),
        ),
        ("ProjectId", query("project_id", id(""), "Looks only in this project.")),
        (
            "DryRun",
            query(
                "dry_run",
                boolean("").default(Some(json!(false))),
                "Checks and plans everything, answers what the real call would with its `plan`, and changes nothing.",
            ),
        ),
        (
            "IfGenerationMatch",
            query(
                "if_generation_match",
                integer("").minimum(Some(0)),
                "Only if the resource still has this generation: changes of its status do not matter.",
            ),
        ),
        (
            "IdempotencyKey",
            example(
                header(
                    "Idempotency-Key",
                    string("").min_length(Some(1)).max_length(Some(255)).pattern(Some(KEY_PATTERN)),
                    "The caller's own name for the request. Sent again, it changes nothing and gives the first answer.",
                ),
                "8e03978e-40d5-43e8-bc93-6894a57f9324",
            ),
        ),
        (
            "IfMatch",
            example(
                header(
                    "If-Match",
                    string(""),
                    "Only if the resource still has one of these entity tags. `*` fits any.",
                ),
                "\"18421\"",
            ),
        ),
        (
            "IfNoneMatch",
            example(
                header(
                    "If-None-Match",
                    string(""),
                    "Answers 304 if the resource still has one of these entity tags.",
                ),
                "\"18421\"",
            ),
        ),
    ]
}

fn example(parameter: Parameter, example: &str) -> Parameter {
    ParameterBuilder::from(parameter).example(Some(json!(example))).build()
}

fn headers() -> [(&'static str, Header); 7] {
    let text = |doc: &str| HeaderBuilder::new().schema(Some(string(""))).description(Some(doc)).build();
    let seconds = integer("").minimum(Some(0));
    let retry =
        HeaderBuilder::new().schema(Some(seconds)).description(Some("Seconds to wait before trying again."));
    [
        ("RequestId", text("Finds the request in logs, events and audit. A request may choose it.")),
        ("ETag", text("The resource's revision, for `If-Match` and `If-None-Match`.")),
        ("Location", text("Path of the new resource.")),
        ("OperationLocation", text("Path of the operation.")),
        ("RetryAfter", retry.build()),
        (
            "IdempotencyReplayed",
            text("`true` when the answer is that of an earlier request with the same key."),
        ),
        ("WwwAuthenticate", text("The scheme to authenticate with.")),
    ]
}

fn schemas() -> [(&'static str, Schema); 9] {
    let status = || string("").enum_values(Some(Status::ALL.map(Status::as_str)));
    let problem = open("An error (RFC 9457). Some codes add members, such as the id that has a name.")
        .must("type", formatted("uri-reference", "Names the kind of error."))
        .must("title", string("The kind of error, for people."))
        .must("status", integer("The HTTP status."))
        .must("detail", string("What happened and what to do."))
        .must(
            "code",
            string("The kind of error, for programs.")
                .enum_values(Some(ErrorCode::ALL.map(ErrorCode::as_str))),
        )
        .property("request_id", string("Finds the request in the log."))
        .property("id", id("With NAME_TAKEN: the resource that has the name or value."))
        .property("ids", array(id(""), "With AMBIGUOUS_NAME: the resources that have the name."))
        .property("etag", string("With PRECONDITION_FAILED: the entity tag that the resource has."))
        .property("permission", string("With FORBIDDEN: the permission that is lacking."))
        .property("reason", string("With UNAUTHENTICATED: `missing`, or what is wrong with the token."))
        .property("hint", string("What else may help."))
        .must("errors", array(schema("FieldProblem"), "Everything that is wrong with the request."));
    let field_problem = open("One thing that is wrong with a request.")
        .must(
            "pointer",
            string("JSON pointer into the body, `?name` for a query parameter, `Name:` for a header."),
        )
        .must("code", string("For programs, e.g. `REQUIRED`."))
        .must("detail", string("What is wrong and what would be right."));
    let condition = open("One aspect of a resource's state.")
        .must("type", string("Which aspect, e.g. `Ready`."))
        .must("status", string("").enum_values(Some(["True", "False", "Unknown"])))
        .must("reason", string("One word for programs, e.g. `NodesStarting`."))
        .must("message", string("For people."))
        .must("since", time("When `status` last changed."));
    let node = open("A node of an instance.")
        .must("id", id(""))
        .must("place", string("Its place in the instance, e.g. `web-0`."))
        .must("ip", string("The address that its services listen on."))
        .must("port", integer("The port of its main service."))
        .must("provider", string("What made it, e.g. `process` or `docker`."))
        .must("status", status())
        .must("message", string("What it waits for; empty when all is well."));
    let step = open("A step that a change would lead to.")
        .must("node", string("The node's place, e.g. `web-0`; empty when no node is to act."))
        .must("action", string("What is done to it.").enum_values(Some(STEP_ACTIONS)))
        .must("reason", string("Why, for people."))
        .must(
            "disruption",
            string("What users notice of it.").enum_values(Some(["none", "restart", "outage"])),
        );
    [
        ("PlanStep", step.into()),
        ("Problem", problem.into()),
        ("FieldProblem", field_problem.into()),
        ("Condition", condition.into()),
        ("Node", node.into()),
        ("Status", status().description(Some("Where the resource stands.")).into()),
        ("Labels", labels().description(Some("Labels by name.")).into()),
        (
            "EventStream",
            string(
                "Server-sent events. `event:` is ADDED, MODIFIED, DELETED, SYNCED, BOOKMARK or ERROR; `data:` is an \
                 object of `type`, the same word, and `object`, the resource; `id:` is the position to go on from.",
            )
            .into(),
        ),
        (
            "Ignored",
            any("A member of answers. Requests may repeat it, and it changes nothing.")
                .read_only(true)
                .into(),
        ),
    ]
}

/// Labels by name.
pub(super) fn labels() -> ObjectBuilder {
    labels_of(string("")).max_properties(Some(LABELS_MAX))
}

/// A merge patch of labels: null takes one away, and there may be more than in the end.
pub(super) fn labels_patch() -> ObjectBuilder {
    labels_of(string("").schema_type(nullable(Type::String)))
}

fn labels_of(value: ObjectBuilder) -> ObjectBuilder {
    ObjectBuilder::new()
        .property_names(Some(string("").max_length(Some(317)).pattern(Some(LABEL_NAME_PATTERN))))
        .additional_properties(Some(value.pattern(Some(LABEL_VALUE_PATTERN))))
}
