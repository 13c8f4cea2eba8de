//! Short ways to write schemas and operations.

use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, SchemaType};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, Ref, RefOr, Required, Response, ResponseBuilder, Schema, SchemaFormat, Type};

/// Security scheme of users and service accounts.
pub(super) const BEARER: &str = "bearer";
/// Security scheme of agents.
pub(super) const NODE_TOKEN: &str = "nodeToken";
/// Text that databases can keep.
pub(super) const WITHOUT_NUL: &str = "^[^\\u0000]*$";
/// The media type of most bodies.
pub(super) const JSON: &str = "application/json";

pub(super) fn string(doc: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(some(doc))
}

pub(super) fn formatted(format: &str, doc: &str) -> ObjectBuilder {
    string(doc).format(Some(SchemaFormat::Custom(format.into())))
}

pub(super) fn id(doc: &str) -> ObjectBuilder {
    formatted("uuid", doc)
}

pub(super) fn time(doc: &str) -> ObjectBuilder {
    formatted("date-time", doc)
}

pub(super) fn boolean(doc: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Boolean).description(some(doc))
}

pub(super) fn integer(doc: &str) -> ObjectBuilder {
    let format = Some(SchemaFormat::Custom("int64".into()));
    ObjectBuilder::new().schema_type(Type::Integer).format(format).description(some(doc))
}

pub(super) fn array(items: impl Into<RefOr<Schema>>, doc: &str) -> ArrayBuilder {
    ArrayBuilder::new().items(items.into()).description(some(doc))
}

/// Any JSON at all.
pub(super) fn any(doc: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(some(doc))
}

/// An object that takes no other members than those it names.
pub(super) fn closed(doc: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .description(some(doc))
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
}

/// An object of answers: later versions may add members.
pub(super) fn open(doc: &str) -> ObjectBuilder {
    ObjectBuilder::new().description(some(doc))
}

pub(super) fn nullable(of: Type) -> SchemaType {
    SchemaType::Array(vec![of, Type::Null])
}

pub(super) fn schema(name: &str) -> Ref {
    Ref::from_schema_name(name)
}

/// A page of a list.
pub(super) fn page_of(name: &str) -> ObjectBuilder {
    let token = string("Give it as `page_token` to get the next page; null on the last one.");
    open("A page of the list.")
        .must("items", array(schema(name), ""))
        .must("next_page_token", token.schema_type(nullable(Type::String)))
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

pub(super) trait ObjectExt: Sized {
    /// A member that is always there.
    fn must(self, name: &str, schema: impl Into<RefOr<Schema>>) -> Self;
}

impl ObjectExt for ObjectBuilder {
    fn must(self, name: &str, schema: impl Into<RefOr<Schema>>) -> Self {
        self.property(name, schema).required(name)
    }
}

pub(super) fn query(name: &str, schema: ObjectBuilder, doc: &str) -> Parameter {
    parameter(name, ParameterIn::Query, schema, doc)
}

pub(super) fn path(name: &str, schema: ObjectBuilder, doc: &str) -> Parameter {
    parameter(name, ParameterIn::Path, schema, doc)
}

pub(super) fn header(name: &str, schema: ObjectBuilder, doc: &str) -> Parameter {
    parameter(name, ParameterIn::Header, schema, doc)
}

fn parameter(name: &str, place: ParameterIn, schema: ObjectBuilder, doc: &str) -> Parameter {
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(doc))
        .schema(Some(schema))
        .build()
}

/// A parameter that `shared` defines.
pub(super) fn shared_parameter(name: &str) -> Ref {
    Ref::new(format!("#/components/parameters/{name}"))
}

/// A body that a request must have, of that schema and these media types.
pub(super) fn body(name: &str, media_types: &[&str]) -> RequestBody {
    let content = |body: RequestBodyBuilder, media_type: &&str| {
        body.content(*media_type, Content::new(Some(schema(name))))
    };
    media_types.iter().fold(RequestBodyBuilder::new(), content).required(Some(Required::True)).build()
}

/// An answer with these headers of `shared`, besides the request id.
pub(super) fn answer(description: &str, content: Option<&str>, headers: &[(&str, &str)]) -> Response {
    let content = content.map(|name| (JSON, RefOr::Ref(schema(name))));
    answer_of(description, content, headers)
}

/// An answer that is a stream of server-sent events for those who accept one.
pub(super) fn or_stream(mut response: Response) -> Response {
    let content = RefOr::T(Content::new(Some(schema("EventStream"))));
    response.content.insert("text/event-stream".into(), content);
    response
}

/// An answer of any media type and schema.
pub(super) fn answer_of(
    description: &str,
    content: Option<(&str, RefOr<Schema>)>,
    headers: &[(&str, &str)],
) -> Response {
    let mut response = ResponseBuilder::new().description(description);
    for (header, shared) in [("X-Request-Id", "RequestId")].iter().chain(headers) {
        response = response.header_ref(*header, Ref::new(format!("#/components/headers/{shared}")));
    }
    if let Some((media_type, schema)) = content {
        response = response.content(media_type, Content::new(Some(schema)));
    }
    response.build()
}

/// Begins an operation.
pub(super) fn operation(id: &str, tag: &str, summary: &str) -> OperationBuilder {
    OperationBuilder::new().operation_id(Some(id)).tag(tag).summary(Some(summary))
}

pub(super) trait OperationExt: Sized {
    /// Takes a token of a user or service account; all problems that every such request may have.
    fn for_users(self) -> Self;
    /// The permission it takes.
    fn permission(self, permission: &str) -> Self;
    /// Error answers by status; 500 is on every operation.
    fn errors(self, statuses: &[u16]) -> Self;
}

impl OperationExt for OperationBuilder {
    fn for_users(self) -> Self {
        self.security(SecurityRequirement::new(BEARER, [""; 0])).errors(&[401, 414, 429, 431, 503])
    }

    fn permission(self, permission: &str) -> Self {
        self.extensions(Some(required_permission(permission)))
    }

    fn errors(self, statuses: &[u16]) -> Self {
        let of_status = |operation: Self, status: &u16| {
            operation
                .response(status.to_string(), Ref::from_response_name(super::shared::error_name(*status)))
        };
        // Who sends a body may be too slow with it.
        let slow: &[u16] = if statuses.contains(&413) { &[408] } else { &[] };
        statuses.iter().chain(slow).fold(self, of_status)
    }
}

pub(super) fn required_permission(permission: &str) -> Extensions {
    [("x-required-permission", permission)].into_iter().collect()
}
