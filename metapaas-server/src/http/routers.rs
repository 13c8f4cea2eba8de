//! The orchestration API of routers.

use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;

use super::Answer;
use super::headers::bearer;
use super::query::Query;
use super::resources::json;
use super::state::App;

/// Longest wait that a router may ask for, in seconds.
const WAIT_MAX: u64 = 60;

/// `GET /v1/routers/table?after=<revision>&wait=<seconds>`
pub(super) async fn table(State(app): State<App>, RawQuery(query): RawQuery, headers: HeaderMap) -> Answer {
    app.routers.authenticate(bearer(&headers)?)?;
    let mut query = Query::parse(query.as_deref(), &["after", "wait"]);
    let after = query.text("after").and_then(|after| after.parse().ok());
    let wait = Duration::from_secs(query.number("wait", WAIT_MAX).unwrap_or_default());
    query.finish()?;
    let mut stop = app.stop.clone();
    let found = tokio::select! {
        found = app.routers.table(after, wait) => found?,
        // Waiting routers must not hold up a shutdown; they ask again, here or elsewhere.
        _ = stop.wait_for(|stop| *stop) => None,
    };
    Ok(match found {
        Some(table) => json(StatusCode::OK, &table),
        None => StatusCode::NOT_MODIFIED.into_response(),
    })
}
