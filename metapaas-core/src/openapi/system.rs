//! Paths beside the hosted types: the catalogue, agents, probes.

use utoipa::openapi::path::{HttpMethod, OperationBuilder};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, PathItem, RefOr, Schema, Type};

use super::Parts;
use super::build::{
    JSON, NODE_TOKEN, ObjectExt, OperationExt, answer, answer_of, any, array, body, boolean, formatted, id,
    integer, nullable, open, operation, page_of, path, query, schema, string,
};

/// What the control plane hosts.
pub(super) fn catalogue(parts: &mut Parts) {
    parts.tag("types", "What this control plane hosts.");
    let field = open("A field of a type.")
        .must("name", string("Its name in JSON."))
        .must("kind", string("").enum_values(Some(KINDS)))
        .property("description", string(""))
        .must("nullable", boolean("Whether null is a value."))
        .must("mutable", boolean("Whether it may change after create."))
        .must("output", boolean("Whether the platform sets it."))
        .must("required", boolean("Whether a create request must have it."))
        .must("secret", boolean("Whether it is sealed and never shown."))
        .property("default", any("What a request without it gets."))
        .property("iam", string("Least role that may set it."))
        .property("enum", array(string(""), "The values of an enum."))
        .property("min_length", integer(""))
        .property("max_length", integer(""))
        .property("minimum", any("").schema_type(Type::Number))
        .property("maximum", any("").schema_type(Type::Number))
        .property("pattern", string("A regular expression of the Rust crate regex."))
        .property("items", string("The kind of the items of a list, of the values of a map."));
    let ty = open("A type: of instances, children or grandchildren.")
        .must("plural", string("Last part of the collection's path."))
        .must("name", string(""))
        .must("parent", string("The plural of the type above.").schema_type(nullable(Type::String)))
        .must("path", string("Path of the collection, with the keys of the rows above in braces."))
        .must("key", string("What paths name a row by, beside its id: `name`, a field, or `id` alone."))
        .must("depth", integer("Number of types above."))
        .must("description", string(""))
        .must("permissions", array(string(""), "Every permission of the type."))
        .must("actions", array(schema("ActionInfo"), "Actions beside the standard ones."))
        .must("fields", array(schema("FieldInfo"), ""));
    let action = open("An action of a type.")
        .must("verb", string("Last part of its path."))
        .must("description", string(""))
        .must("parameters", array(schema("FieldInfo"), "What its body may say."));
    let counts = open("How many rows the caller may see.").property("instances", integer(""));
    let statuses = ObjectBuilder::new()
        .description(Some("How many instances have each status."))
        .additional_properties(Some(integer("").minimum(Some(0))));
    let health = open("How the instances do that the caller may see.")
        .must(
            "status",
            string("The worst that there is to say.").enum_values(Some(["ok", "degraded", "stalled"])),
        )
        .must("message", string("What is wrong; empty when nothing is."))
        .must("instances", statuses)
        .must("exact", boolean("Whether all were counted; beyond ten thousand of a status they are not."));
    let hosted = open("An instance type with the types below it.")
        .must("slug", string("First part of its paths."))
        .must("element", string("Its element in manifests."))
        .must("plugin", string("The plugin that brings it."))
        .must("plugin_version", string(""))
        .must("description", string(""))
        .must("counts", counts)
        .must("health", health)
        .must("types", array(schema("TypeInfo"), "Itself and all types below it."));
    let version = open("A version that instances may choose.")
        .must("version", string(""))
        .must("default", boolean("Whether instances get it that do not say."));
    let schemas = [
        ("HostedType", hosted),
        ("HostedTypeList", page_of("HostedType")),
        ("TypeInfo", ty),
        ("FieldInfo", field),
        ("ActionInfo", action),
        ("TypeVersion", version),
        ("TypeVersionList", page_of("TypeVersion")),
    ];
    for (name, schema) in schemas {
        parts.components.schemas.insert(name.into(), schema.into());
    }

    let list = read("types_list", "types", "List the hosted types", "HostedTypeList");
    put(parts, "/v1/types", PathItem::new(HttpMethod::Get, list.for_users()));
    for (place, operation) in [
        ("/v1/types/{slug}", read("types_read", "types", "Read a hosted type", "HostedType").for_users()),
        (
            "/v1/types/{slug}/versions",
            read("types_versions", "types", "List the versions that instances may choose", "TypeVersionList")
                .for_users(),
        ),
        (
            "/v1/types/{slug}/openapi.json",
            document("types_openapi", "types", "Read the OpenAPI document of a type"),
        ),
    ] {
        let slug = path("slug", string(""), "The type's slug.");
        put(parts, place, PathItem::new(HttpMethod::Get, operation.parameter(slug).errors(&[401, 404])));
    }
}

/// The words of [`crate::describe`] for kinds of fields.
pub(super) const KINDS: [&str; 13] = [
    "boolean",
    "integer",
    "number",
    "string",
    "uuid",
    "timestamp",
    "duration",
    "enum",
    "list",
    "map",
    "json",
    "secret",
    "ref",
];

/// The orchestration API and the status API, whose messages are those of the protocol crate.
pub(super) fn agents(parts: &mut Parts) {
    parts.tag("agents", "For node agents only, each with its node's token.");
    let document = open("What a node should be.")
        .must("protocol", integer("Version of the protocol."))
        .must("node_id", id("The node it is for."))
        .must("type_slug", string("Slug of the instance type; chooses the driver."))
        .must("place", string("Name of the node's place in its instance, e.g. `web-0`."))
        .must("address", string("The address that services of the node listen on."))
        .must("port", integer("The port of the node's main service."))
        .must("generation", integer("Generation of the instance that this document holds."))
        .must("digest", string("Hash of all the rest: changes with any of it."))
        .must("removing", boolean("Whether the node is about to go."))
        .must("config", any("What the driver makes of the node; its form is the plugin's."))
        .must("endpoints", array(formatted("uri", ""), "Base URLs of all control planes."));
    let facts = open("Values for output fields of the instance, by field name.")
        .additional_properties(Some(AdditionalProperties::FreeForm(true)));
    let refused = open("A part of the document that the driver refused.")
        .must("item", string("`<plural>/<key>` of a child, or empty for the instance itself."))
        .must("code", string("For programs, e.g. `INVALID_PATH`."))
        .must("message", string("For people."));
    let report = open("What a node is.")
        .must("protocol", integer("Version of the protocol."))
        .must(
            "applied_generation",
            integer("Greatest generation whose document is applied, 0 before the first."),
        )
        .must("applied_digest", string("Digest of the applied document, empty before the first."))
        .must("health", string("").enum_values(Some(["starting", "healthy", "unhealthy"])))
        .must("message", string("Why it is not healthy; empty when it is."))
        .must("facts", facts)
        .must("errors", array(refused, "Parts of the document that the driver refused."))
        .must("removed", boolean("Whether a `removing` document has been carried out."))
        .must("agent_version", string("Version of the agent program."));
    parts.components.schemas.insert("NodeDocument".into(), document.into());
    parts.components.schemas.insert("NodeReport".into(), report.into());

    let wait = integer("").minimum(Some(0)).maximum(Some(60));
    let get = operation("agents_document", "agents", "Wait for the node's next document")
        .parameter(query("after", string(""), "The digest of the document that the agent has."))
        .parameter(query("wait", wait, "Seconds to wait for another one."))
        .response("200", answer("A document of another digest.", Some("NodeDocument"), &[]))
        .response("304", answer("The wait is over.", None, &[]));
    put(
        parts,
        metapaas_protocol::DOCUMENT_PATH,
        PathItem::new(HttpMethod::Get, for_nodes(get).errors(&[400])),
    );
    let report = operation("nodes_report", "agents", "Report what the node is")
        .parameter(path("id", id(""), "The node."))
        .request_body(Some(body("NodeReport", &[JSON])))
        .response("204", answer("It is taken in.", None, &[]))
        .errors(&[400, 403, 413, 415]);
    put(parts, "/v1/nodes/{id}/status", PathItem::new(HttpMethod::Put, for_nodes(report)));
    calls(parts);
    super::uploads::for_nodes(parts);
    routers(parts);
}

/// What a control plane asks of a node while somebody waits, such as lines of its logs.
fn calls(parts: &mut Parts) {
    let call = open("What is asked of the node.")
        .must("id", id("The answer goes by it."))
        .must("kind", string("What is asked for, e.g. `logs`."))
        .must("parameters", any("What there is to say about it; its form is the kind's."))
        .must("seconds", integer("The agent gives up after so many."));
    let told = open("What is asked, and what nobody wants any more.")
        .must("begin", array(call, "New calls."))
        .must("end", array(id(""), "Calls whose caller has gone."));
    let part = open("The next part of the answer to a call.")
        .must("seq", integer("Counts from 0; the same again is the same part again.").minimum(Some(0)))
        .must("frames", array(any(""), "Pieces of the answer, in their order."))
        .must("is_last", boolean("Whether it is the last part."));
    parts.components.schemas.insert("NodeCalls".into(), told.into());
    parts.components.schemas.insert("NodeCallOutput".into(), part.into());
    let wait = integer("").minimum(Some(0)).maximum(Some(60));
    let listen = operation("agents_calls", "agents", "Wait for what is asked of the node")
        .parameter(query("agent", id(""), "Of this run of the agent. What another one had taken up is over."))
        .parameter(query("wait", wait, "Seconds to wait."))
        .response("200", answer("There is something.", Some("NodeCalls"), &[]))
        .response("304", answer("The wait is over.", None, &[]));
    put(
        parts,
        metapaas_protocol::calls::CALLS_PATH,
        PathItem::new(HttpMethod::Get, for_nodes(listen).errors(&[400])),
    );
    let output = operation("agents_answer", "agents", "Answer what was asked of the node")
        .parameter(path("id", id(""), "The call."))
        .request_body(Some(body("NodeCallOutput", &[JSON])))
        .response("204", answer("Somebody has taken it.", None, &[]))
        .errors(&[400, 404, 413, 415, 503]);
    put(parts, "/v1/agents/calls/{id}", PathItem::new(HttpMethod::Post, for_nodes(output)));
}

/// What routers follow.
fn routers(parts: &mut Parts) {
    let route = open("How one instance is reached.")
        .must("instance", id("The instance."))
        .must("name", string("The route's name in the instance."))
        .must("hosts", array(string(""), "Its host names."))
        .must("port", integer("Its leased port.").schema_type(nullable(Type::Integer)))
        .must("backends", array(string(""), "Addresses that serve, each with its port."));
    let table = open("All routes of the installation.")
        .must("revision", integer("Raised by every change."))
        .must("routes", array(route, ""));
    parts.components.schemas.insert("RouteTable".into(), table.into());
    let wait = integer("").minimum(Some(0)).maximum(Some(60));
    let get = operation(
        "routers_table",
        "agents",
        "Wait for the next routing table; for routers, with their token",
    )
    .parameter(query("after", string(""), "The revision of the table that the router has."))
    .parameter(query("wait", wait, "Seconds to wait for another one."))
    .response("200", answer("A table of another revision.", Some("RouteTable"), &[]))
    .response("304", answer("The wait is over.", None, &[]));
    put(parts, "/v1/routers/table", PathItem::new(HttpMethod::Get, for_nodes(get).errors(&[400])));
}

/// Probes, metrics, and this document.
pub(super) fn probes(parts: &mut Parts) {
    parts.tag("system", "For those who run the control plane. No credentials are needed.");
    parts
        .components
        .schemas
        .insert("Probe".into(), open("").must("status", string("`ok`, or what is wrong.")).into());
    let live = read("healthz", "system", "Tell whether the process works", "Probe");
    put(parts, "/healthz", PathItem::new(HttpMethod::Get, live));
    let ready = read("readyz", "system", "Tell whether it can take requests", "Probe").errors(&[503]);
    put(parts, "/readyz", PathItem::new(HttpMethod::Get, ready));
    let text = Some(("text/plain; version=0.0.4", RefOr::T(string("").into())));
    let metrics = operation("metrics", "system", "Read the metrics in the text format of Prometheus")
        .response("200", answer_of("All metrics.", text, &[]));
    put(parts, "/metrics", PathItem::new(HttpMethod::Get, metrics));
    let html = Some(("text/html; charset=utf-8", RefOr::T(string("").into())));
    let docs = operation("docs", "system", "Read this document as a page")
        .response("200", answer_of("The page. It needs no other host.", html, &[]));
    put(parts, "/docs", PathItem::new(HttpMethod::Get, docs));
    let css = Some(("text/css; charset=utf-8", RefOr::T(string("").into())));
    let mut part = answer_of("The style or the script.", css, &[]);
    let script = Content::new(Some(RefOr::<Schema>::T(string("").into())));
    part.content.insert("text/javascript; charset=utf-8".into(), RefOr::T(script));
    let file = operation("docs_file", "system", "Read a part of the page")
        .parameter(path("file", string("").enum_values(Some(["docs.css", "docs.js"])), "Which."))
        .response("200", part)
        .errors(&[404]);
    put(parts, "/docs/{file}", PathItem::new(HttpMethod::Get, file));
    let openapi = document("openapi", "system", "Read the OpenAPI document of everything");
    put(parts, "/v1/openapi.json", PathItem::new(HttpMethod::Get, openapi));
}

fn read(id: &str, tag: &str, summary: &str, of: &str) -> OperationBuilder {
    operation(id, tag, summary).response("200", answer("It is here.", Some(of), &[]))
}

fn document(id: &str, tag: &str, summary: &str) -> OperationBuilder {
    let object = Some((JSON, RefOr::T(open("An OpenAPI 3.1 document.").into())));
    operation(id, tag, summary).response("200", answer_of("The document.", object, &[]))
}

pub(super) fn for_nodes(operation: OperationBuilder) -> OperationBuilder {
    operation.security(SecurityRequirement::new(NODE_TOKEN, [""; 0])).errors(&[401, 404, 414, 429, 431, 503])
}

fn put(parts: &mut Parts, path: &str, item: PathItem) {
    parts.paths.paths.insert(path.into(), item);
}
