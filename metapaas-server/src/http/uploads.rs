//! `.../{id}/uploads/{digest}`: files that clients send for an instance; `/v1/agents/uploads/{digest}`: its nodes fetch them.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt;
use metapaas_core::descriptor::Action;
use metapaas_core::error::{Error, ErrorCode};
use metapaas_core::registry::RegisteredType;
use metapaas_core::resource::rfc3339;
use metapaas_core::store::{Locator, Upload};
use metapaas_core::uploads::check_digest;
use serde_json::json;

use super::Answer;
use super::headers::bearer;
use super::query::Query;
use super::resources::{Call, json};
use super::state::App;

const OCTETS: &str = "application/octet-stream";
/// A client that is refused may still be sending: it reads the answer only when all is sent, so that so much of it is read.
const LEFT: usize = 64 << 20;
const LEFT_TIMEOUT: Duration = Duration::from_secs(10);

impl Call<'_> {
    /// Tells what is known of an upload.
    pub(super) async fn upload(
        &self,
        registered: &RegisteredType,
        mut locator: Locator,
        digest: &str,
    ) -> Answer {
        locator.project = self.project()?;
        let allowed = self.allowed(registered, Action::Read);
        let instance = self.app.store.get(&allowed, registered, &locator).await?;
        let upload = self.app.uploads.find(&allowed, &instance, check_digest(digest)?).await?;
        Ok(shown(StatusCode::OK, &upload))
    }

    /// Takes in an upload.
    pub(super) async fn receive(
        &self,
        registered: &RegisteredType,
        locator: Locator,
        digest: &str,
        body: Body,
    ) -> Answer {
        let mut body = body
            .into_data_stream()
            .map(|piece| piece.map_err(|_| Error::invalid_at("", "INCOMPLETE_BODY", "the body ended early")));
        let timeout = Duration::from_secs(self.app.limits.upload_timeout);
        let received = self.take(registered, locator, digest, &mut body);
        let received = tokio::time::timeout(timeout, received).await.unwrap_or_else(|_| {
            let detail = format!("the upload did not arrive within {timeout:?}");
            Err(Error::new(ErrorCode::RequestTimeout, detail))
        });
        match received {
            Ok((upload, is_new)) => {
                Ok(shown(if is_new { StatusCode::CREATED } else { StatusCode::OK }, &upload))
            }
            Err(error) => {
                let mut left = LEFT;
                let read_on = async {
                    while let Some(Ok(piece)) = body.next().await {
                        left = left.saturating_sub(piece.len());
                        if left == 0 {
                            break;
                        }
                    }
                };
                // Whoever sends more than that finds the connection closed.
                let _ = tokio::time::timeout(LEFT_TIMEOUT, read_on).await;
                Err(error.into())
            }
        }
    }

    async fn take(
        &self,
        registered: &RegisteredType,
        mut locator: Locator,
        digest: &str,
        body: &mut (impl futures::Stream<Item = Result<Bytes, Error>> + Send + Unpin),
    ) -> Result<(Upload, bool), Error> {
        locator.project = self.project()?;
        let allowed = self.allowed(registered, Action::Update);
        let instance = self.app.store.get(&allowed, registered, &locator).await?;
        let digest = check_digest(digest)?;
        let given = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if given != Some(OCTETS) {
            let detail = format!("send Content-Type: {OCTETS}, found {}", given.unwrap_or("none"));
            return Err(Error::new(ErrorCode::UnsupportedMediaType, detail));
        }
        let announced = self.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        let announced = announced.and_then(|length| length.parse().ok());
        self.app.uploads.receive(&allowed, &instance, digest, announced, body).await
    }

    /// The project that names are looked up in: the one parameter there is.
    fn project(&self) -> Result<Option<uuid::Uuid>, Error> {
        let mut query = Query::parse(self.query, &["project_id"]);
        let project = query.id("project_id");
        query.finish()?;
        Ok(project)
    }
}

/// `GET /v1/agents/uploads/{digest}`
pub(super) async fn fetch(State(app): State<App>, Path(digest): Path<String>, headers: HeaderMap) -> Answer {
    let node = app.agents.authenticate(bearer(&headers)?)?;
    let upload = app.uploads.find_for_node(node, check_digest(&digest)?).await?;
    // An error in the middle of it closes the connection, so that the agent knows that it has not got all.
    let parts = app
        .uploads
        .read(&upload)
        .map(|part| part.inspect_err(|error| tracing::warn!(%error, "an upload cannot be read to its end")));
    let mut response = Response::new(Body::from_stream(parts));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(OCTETS));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(upload.size));
    Ok(response)
}

fn shown(status: StatusCode, upload: &Upload) -> Response {
    let Upload { digest, size, created_at, .. } = upload;
    json(status, &json!({ "digest": digest, "size": size, "created_at": rfc3339(*created_at) }))
}
