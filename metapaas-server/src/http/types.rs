//! What the control plane hosts: `/v1/types` and the OpenAPI documents.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use metapaas_core::authz::authorize;
use metapaas_core::describe;
use metapaas_core::descriptor::Action;
use metapaas_core::error::Error;
use metapaas_core::registry::RegisteredType;
use metapaas_core::request::RequestContext;
use serde_json::json;

use super::Answer;
use super::headers::RequestId;
use super::resources::{authenticate, json as answer};
use super::state::App;

/// `GET /v1/types`
pub(super) async fn list(State(app): State<App>, request: Request) -> Answer {
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_else(|| RequestId("-".into()));
    let context = authenticate(&app, request.headers(), id).await?;
    let overdue = app.store.overdue().await.map_err(Error::from)?;
    let mut items = Vec::new();
    for root in app.registry.roots() {
        items.push(described(&app, &context, root, &overdue).await?);
    }
    Ok(answer(StatusCode::OK, &json!({ "items": items, "next_page_token": null })))
}

/// `GET /v1/types/{slug}`
pub(super) async fn one(app: &App, context: &RequestContext, root: &RegisteredType) -> Answer {
    let overdue = app.store.overdue().await.map_err(Error::from)?;
    Ok(answer(StatusCode::OK, &described(app, context, root, &overdue).await?))
}

async fn described(
    app: &App,
    context: &RequestContext,
    root: &RegisteredType,
    overdue: &BTreeMap<String, i64>,
) -> Result<serde_json::Value, Error> {
    let allowed = authorize(context, root.ty, Action::List);
    let mut standing = app.store.standing(&allowed, root).await?;
    standing.overdue_seconds = overdue.get(root.ty.slug).copied();
    Ok(describe::one(&app.registry, root, &standing))
}

/// `GET /v1/types/{slug}/versions`
pub(super) fn versions(root: &RegisteredType) -> Answer {
    let items: Vec<_> = root
        .versions
        .iter()
        .enumerate()
        .map(|(index, version)| json!({ "version": version, "default": index == 0 }))
        .collect();
    Ok(answer(StatusCode::OK, &json!({ "items": items, "next_page_token": null })))
}

/// `GET /v1/openapi.json`
pub(super) async fn openapi(State(app): State<App>) -> Response {
    document(app.openapi.clone())
}

/// `GET /v1/types/{slug}/openapi.json`
pub(super) fn openapi_of(app: &App, slug: &str) -> Answer {
    let found = app.openapi_by_slug.iter().find(|(of, _)| *of == slug);
    let (_, bytes) = found.ok_or_else(|| Error::not_found(format_args!("the type {slug:?}")))?;
    Ok(document(bytes.clone()))
}

fn document(bytes: Bytes) -> Response {
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
