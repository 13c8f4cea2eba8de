//! Files that clients send for instances, and nodes fetch.

use utoipa::openapi::path::{HttpMethod, Parameter};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::{Content, PathItem, RefOr, Required, Schema};

use super::Parts;
use super::build::{
    ObjectExt, OperationExt, answer_of, formatted, integer, open, operation, path, string, time,
};
use super::system;

const DIGEST_PATTERN: &str = "^[0-9a-f]{64}$";
const OCTETS: &str = "application/octet-stream";

/// The parameter that names an upload.
pub(super) fn digest() -> Parameter {
    let digest = string("").pattern(Some(DIGEST_PATTERN));
    path("digest", digest, "SHA-256 of what the file holds, in hexadecimal.")
}

/// The body that sends one.
pub(super) fn content() -> RequestBody {
    RequestBodyBuilder::new()
        .content(OCTETS, Content::new(Some(octets())))
        .required(Some(Required::True))
        .build()
}

fn octets() -> RefOr<Schema> {
    RefOr::T(formatted("binary", "The file.").into())
}

/// The schema, where a type takes uploads.
pub(super) fn schemas(parts: &mut Parts) {
    let upload = open("A file that was sent for an instance.")
        .must("digest", string("SHA-256 of what it holds, in hexadecimal.").pattern(Some(DIGEST_PATTERN)))
        .must("size", integer("What it holds, in bytes."))
        .must("created_at", time("When it came, the last time."));
    parts.components.schemas.insert("Upload".into(), upload.into());
}

/// What agents fetch.
pub(super) fn for_nodes(parts: &mut Parts) {
    let fetch = operation("agents_upload", "agents", "Fetch a file that was sent for the node's instance")
        .parameter(digest())
        .response("200", answer_of("The file.", Some((OCTETS, octets())), &[]))
        .errors(&[400]);
    let item = PathItem::new(HttpMethod::Get, system::for_nodes(fetch));
    parts.paths.paths.insert(metapaas_protocol::upload_path("{digest}"), item);
}
