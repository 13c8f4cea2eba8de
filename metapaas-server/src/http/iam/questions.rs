//! "May I", "why not", and what the audit has.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use metapaas_core::descriptor::Action;
use metapaas_core::error::{Error, Problem};
use metapaas_core::iam::{self, AUDIT, AUDIT_LIST, AuditFilter, BINDINGS, Whom};
use metapaas_core::query::Order;
use metapaas_core::request::ActorKind;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Call, answer};
use crate::http::Answer;
use crate::http::body::read_json;
use crate::http::lists::{ListOf, ListRequest};

/// A question about a permission.
struct Question {
    permission: String,
    project: Option<Uuid>,
    whom: Option<Whom>,
    explain: bool,
}

impl Call<'_> {
    async fn question_body(&self, body: Body) -> Result<Value, Error> {
        self.no_parameters()?;
        read_json(&Method::POST, self.headers, body, self.app.body_limit).await
    }

    /// `POST /v1/iam/check`
    pub(super) async fn check(&self, body: Body) -> Answer {
        let question = question(&self.question_body(body).await?, &["explain"])?;
        if question.explain {
            return self.explained(question).await;
        }
        let actor = &self.context.actor;
        let checked = iam::check(&self.app.registry, actor, &question.permission, question.project)?;
        Ok(answer(StatusCode::OK, &checked))
    }

    /// `POST /v1/iam/explain`
    pub(super) async fn explain(&self, body: Body) -> Answer {
        let question = question(&self.question_body(body).await?, &["principal"])?;
        self.explained(question).await
    }

    async fn explained(&self, question: Question) -> Answer {
        let allowed = self.allowed(&BINDINGS, Action::List);
        let Question { permission, project, whom, .. } = question;
        let explained =
            self.app.iam.explain(&self.app.registry, &allowed, &permission, project, whom).await?;
        Ok(answer(StatusCode::OK, &explained))
    }

    /// `GET /v1/iam/audit`
    pub(super) async fn audit(&self) -> Answer {
        let list = ListOf {
            more: &["project_id", "actor_id", "actor", "action", "outcome", "since", "until"],
            order: Order::NEWEST_FIRST,
            ..ListOf::iam(&AUDIT_LIST, self.path)
        };
        let (request, filter) = ListRequest::of(&list, self.query, |query| AuditFilter {
            actor_id: query.id("actor_id"),
            actor_name: query.text("actor"),
            action: query.text("action"),
            outcome: query.one_of("outcome", &OUTCOMES),
            project_id: None,
            since: query.time("since"),
            until: query.time("until"),
        })?;
        let filter = AuditFilter { project_id: request.project, ..filter };
        let allowed = self.allowed(&AUDIT, Action::List);
        Ok(request.answer(&self.app.iam.list_audit(&allowed, &filter, request.page()).await?))
    }
}

/// How what the audit tells of can have ended.
const OUTCOMES: [&str; 3] = ["OK", "DENIED", "FAILED"];

fn question(body: &Value, more: &[&str]) -> Result<Question, Error> {
    let members = body.as_object();
    let members = members.ok_or_else(|| Error::invalid_at("", "INVALID_TYPE", "expected a JSON object"))?;
    let known = [&["permission", "project_id"], more].concat();
    let mut problems = unknown(members, &known, "");
    let permission = match members.get("permission") {
        Some(Value::String(text)) => text.clone(),
        Some(_) => {
            problems.push(Problem::new("/permission", "INVALID_TYPE", "expected text"));
            String::new()
        }
        None => {
            problems.push(Problem::new("/permission", "REQUIRED", "give permission"));
            String::new()
        }
    };
    let project = match given(members, "project_id").map(|value| value.as_str().map(str::parse)) {
        None => None,
        Some(Some(Ok(id))) => Some(id),
        Some(_) => {
            let detail = "expected the id (UUID) of a project";
            problems.push(Problem::new("/project_id", "INVALID_VALUE", detail));
            None
        }
    };
    let explain = match given(members, "explain") {
        None => false,
        Some(Value::Bool(explain)) => *explain,
        Some(_) => {
            problems.push(Problem::new("/explain", "INVALID_TYPE", "expected true or false"));
            false
        }
    };
    let whom = given(members, "principal").and_then(|value| whom(value, &mut problems));
    if problems.is_empty() {
        Ok(Question { permission, project, whom, explain })
    } else {
        Err(Error::invalid(problems))
    }
}

fn whom(value: &Value, problems: &mut Vec<Problem>) -> Option<Whom> {
    let Some(members) = value.as_object() else {
        problems.push(Problem::new("/principal", "INVALID_TYPE", "expected an object"));
        return None;
    };
    problems.extend(unknown(members, &["kind", "id", "name"], "/principal"));
    let kind = match members.get("kind").and_then(Value::as_str) {
        Some("user") => ActorKind::User,
        Some("service_account") => ActorKind::ServiceAccount,
        _ => {
            let detail = "expected user or service_account";
            problems.push(Problem::new("/principal/kind", "INVALID_VALUE", detail));
            return None;
        }
    };
    let text = |name: &str| given(members, name).and_then(Value::as_str).map(ToOwned::to_owned);
    let key = match text("id") {
        Some(id) if id.parse::<Uuid>().is_ok() => Some(id),
        Some(_) => {
            problems.push(Problem::new("/principal/id", "INVALID_VALUE", "expected an id (UUID)"));
            return None;
        }
        None => text("name"),
    };
    if key.is_none() {
        problems.push(Problem::new("/principal/id", "REQUIRED", "give the id or the name"));
    }
    key.map(|key| Whom { kind, key })
}

/// Absent and null are the same.
fn given<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    members.get(name).filter(|value| !value.is_null())
}

fn unknown(members: &Map<String, Value>, known: &[&str], at: &str) -> Vec<Problem> {
    let unknown = members.keys().filter(|name| !known.contains(&name.as_str()));
    unknown
        .map(|name| {
            let pointer = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
            Problem::new(pointer, "UNKNOWN_FIELD", format!("expected only {}", known.join(", ")))
        })
        .collect()
}
