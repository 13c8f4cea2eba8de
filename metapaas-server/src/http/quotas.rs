//! `/v1/projects/{project}/quota`: how much a project may have, and has.

use std::collections::BTreeMap;

use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use metapaas_core::authz::{Allowed, authorize};
use metapaas_core::descriptor::Action;
use metapaas_core::error::{Error, Problem};
use metapaas_core::iam::{PROJECTS, Terms};
use metapaas_core::store::Effect;
use metapaas_core::validate::whole_number;
use serde_json::{Value, json};

use super::Answer;
use super::body::read_json;
use super::change::effect;
use super::headers::RequestId;
use super::query::Query;
use super::resources::{authenticate, json as answer};
use super::state::App;

/// `GET /v1/projects/{project}/quota`
pub(super) async fn read(State(app): State<App>, Path(key): Path<String>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    let allowed = allowed(&app, &parts).await?;
    Query::parse(parts.uri.query(), &[]).finish()?;
    let project = app.iam.get_project(&allowed, &key).await?;
    let items = app.store.quota(&allowed, project.id).await?;
    Ok(answer(StatusCode::OK, &json!({ "project_id": project.id, "project": project.name, "items": items })))
}

/// `PUT /v1/projects/{project}/quota`
pub(super) async fn set(State(app): State<App>, Path(key): Path<String>, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let allowed = allowed(&app, &parts).await?;
    let mut query = Query::parse(parts.uri.query(), &["dry_run"]);
    let effect = effect(&mut query);
    query.finish()?;
    let project = app.iam.get_project(&allowed, &key).await?;
    let body = read_json(&Method::PUT, &parts.headers, body, app.body_limit).await?;
    let limits = limits(&body)?;
    let iam = app.iam.on(Terms { effect, ..Terms::default() });
    iam.set_quota(&app.store, &allowed.also(Action::Update), &project, limits.clone()).await?;
    let mut items = app.store.quota(&allowed, project.id).await?;
    let mut quota = json!({ "project_id": project.id, "project": project.name });
    if effect == Effect::DryRun {
        for item in &mut items {
            item.limit = limits.get(&item.resource).copied();
        }
        quota["plan"] = json!([]);
    }
    quota["items"] = json!(items);
    Ok(answer(StatusCode::OK, &quota))
}

async fn allowed(app: &App, parts: &Parts) -> Result<Allowed, Error> {
    let id = parts.extensions.get::<RequestId>().cloned().unwrap_or_else(|| RequestId("-".into()));
    let context = authenticate(app, &parts.headers, id).await?;
    Ok(authorize(&context, &PROJECTS, Action::Read))
}

/// `{"limits": {"instances:demo": 5}}`
fn limits(body: &Value) -> Result<BTreeMap<String, i64>, Error> {
    let body = body.as_object();
    let body = body.ok_or_else(|| Error::invalid_at("", "INVALID_TYPE", "expected a JSON object"))?;
    let mut problems: Vec<Problem> = body
        .keys()
        .filter(|name| *name != "limits")
        .map(|name| Problem::new(pointer("", name), "UNKNOWN_FIELD", "expected only limits"))
        .collect();
    let mut limits = BTreeMap::new();
    match body.get("limits") {
        Some(Value::Object(given)) => {
            for (resource, limit) in given {
                match whole_number(limit).filter(|limit| *limit >= 0) {
                    Some(limit) => {
                        limits.insert(resource.clone(), limit);
                    }
                    None => {
                        let detail = "expected a whole number from 0";
                        problems.push(Problem::new(pointer("/limits", resource), "OUT_OF_RANGE", detail));
                    }
                }
            }
        }
        Some(_) => problems.push(Problem::new("/limits", "INVALID_TYPE", "expected an object of numbers")),
        None => problems.push(Problem::new("/limits", "REQUIRED", "give limits; {} takes all limits away")),
    }
    if problems.is_empty() { Ok(limits) } else { Err(Error::invalid(problems)) }
}

fn pointer(above: &str, name: &str) -> String {
    format!("{above}/{}", name.replace('~', "~0").replace('/', "~1"))
}
