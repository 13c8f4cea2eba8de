//! Changes of IAM as all changes are asked for: tried only, made once, made only when the row is as the caller knows it.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use axum::response::IntoResponse;
use metapaas_core::authz::Allowed;
use metapaas_core::error::Error;
use metapaas_core::iam::{Entity, Iam, OnceEntity, PROJECTS, RenderEntity, Terms, USERS};
use metapaas_core::role::PLATFORM_PROJECT;
use metapaas_core::store::{Answer as Kept, Effect};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Call;
use crate::http::Answer;
use crate::http::body::{parse, read_bytes};
use crate::http::change::{Sent, Turn, effect, replayed, respond};
use crate::http::headers::{Preconditions, Tags, etag};
use crate::http::query::Query;

/// What the parameters and headers of a change ask for.
pub(super) struct Asked {
    /// The project that names are looked up in.
    pub(super) project: Option<Uuid>,
    effect: Effect,
    preconditions: Preconditions,
}

impl Call<'_> {
    /// Reads what is asked of a change of a row that is there.
    pub(super) fn asked_of_row(&self) -> Result<Asked, Error> {
        let (project, effect) = self.parameters()?;
        Ok(Asked { project, effect, preconditions: Preconditions::of(self.headers, None)? })
    }

    /// Reads what is asked of a create: there is no row yet to ask anything of.
    pub(super) fn asked_of_create(&self) -> Result<Asked, Error> {
        let (project, effect) = self.parameters()?;
        Ok(Asked { project, effect, preconditions: Preconditions::of_create(self.headers)? })
    }

    fn parameters(&self) -> Result<(Option<Uuid>, Effect), Error> {
        let mut query = Query::parse(self.query, &["project_id", "dry_run"]);
        let read = (query.id("project_id"), effect(&mut query));
        query.finish()?;
        Ok(read)
    }

    /// IAM for a change that no key names: a repeat of a DELETE does no harm.
    pub(super) fn deciding(&self, asked: &Asked) -> Iam {
        self.app.iam.on(terms(asked))
    }

    /// An answer with a row, or that it is still the one that the caller has.
    pub(super) fn found(&self, row: &dyn Entity) -> Answer {
        let tags = Tags::of(self.headers, &header::IF_NONE_MATCH)?;
        if row.revision() > 0 && tags.is_some_and(|tags| tags.match_weakly(&etag(row.revision()))) {
            return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag(row.revision()))]).into_response());
        }
        Ok(respond(shown(StatusCode::OK, row)))
    }

    /// `POST` on a collection, which has paths of its own for its rows when it has a name.
    pub(super) async fn create<T: Entity>(
        &self,
        plural: Option<&'static str>,
        allowed: &Allowed,
        body: Body,
        make: impl AsyncFnOnce(Iam, Value) -> Result<T, Error>,
    ) -> Answer {
        let render: RenderEntity = Arc::new(move |row| {
            let mut answer = shown(StatusCode::CREATED, row);
            match plural {
                Some(plural) => {
                    let location = format!("/v1/iam/{plural}/{}", row.id());
                    answer.headers.push((header::LOCATION.as_str().into(), location));
                }
                // It cannot be read again, so there is nothing to compare a tag with.
                None => answer.headers.clear(),
            }
            answer
        });
        let asked = self.asked_of_create()?;
        self.decide(Method::POST, &asked, allowed, body, render, make).await
    }

    /// `PATCH` of a row.
    pub(super) async fn change<T: Entity>(
        &self,
        allowed: &Allowed,
        body: Body,
        change: impl AsyncFnOnce(Iam, Value, Option<Uuid>) -> Result<T, Error>,
    ) -> Answer {
        let asked = self.asked_of_row()?;
        let change = async |iam, body| change(iam, body, asked.project).await;
        let render: RenderEntity = Arc::new(|row| shown(StatusCode::OK, row));
        self.decide(Method::PATCH, &asked, allowed, body, render, change).await
    }

    async fn decide<T: Entity>(
        &self,
        method: Method,
        asked: &Asked,
        allowed: &Allowed,
        body: Body,
        render: RenderEntity,
        run: impl AsyncFnOnce(Iam, Value) -> Result<T, Error>,
    ) -> Answer {
        let bytes = read_bytes(&method, self.headers, body, self.app.body_limit).await?;
        let body = parse(&bytes)?;
        let sent = Sent { context: &self.context, headers: self.headers, path: self.path, query: self.query };
        let mut terms = terms(asked);
        let _held = match sent.turn(&self.app.store, &method, &bytes, asked.effect).await? {
            Turn::Before(answer) => {
                self.may_see(&answer, allowed)?;
                return Ok(replayed(answer));
            }
            Turn::Now(None) => None,
            Turn::Now(Some((key, held))) => {
                terms.once = Some(OnceEntity { key, render: render.clone() });
                Some(held)
            }
        };
        let row = run(self.app.iam.on(terms), body).await?;
        let answer = render(&row);
        Ok(respond(if asked.effect == Effect::DryRun { tried(answer)? } else { answer }))
    }

    /// Whether an answer of earlier may still be given: the caller may have lost the right since.
    fn may_see(&self, answer: &Kept, allowed: &Allowed) -> Result<(), Error> {
        let body: Value = serde_json::from_str(&answer.body).map_err(Error::internal)?;
        let id = |member: &str| body[member].as_str().and_then(|id| id.parse().ok());
        let (ty, own) = (allowed.ty(), id("id"));
        let project = if std::ptr::eq(ty, &PROJECTS) {
            own
        } else if std::ptr::eq(ty, &USERS) {
            // Everybody may change what is the own.
            if own == Some(self.context.actor.id) {
                return Ok(());
            }
            Some(PLATFORM_PROJECT)
        } else {
            id("project_id")
        };
        match project {
            Some(project) => allowed.on_row(project, &body["id"]),
            None if allowed.reach().is_empty() => {
                Err(Error::forbidden(&allowed.ty().permission(allowed.action())))
            }
            None => Ok(()),
        }
    }
}

fn terms(asked: &Asked) -> Terms {
    let preconditions = asked.preconditions.clone();
    Terms {
        effect: asked.effect,
        once: None,
        precondition: Some(Arc::new(move |revision| preconditions.hold_revision(revision))),
    }
}

fn shown(status: StatusCode, row: &dyn Entity) -> Kept {
    let tag = (row.revision() > 0).then(|| (header::ETAG.as_str().into(), etag(row.revision())));
    Kept { status: status.as_u16(), headers: tag.into_iter().collect(), body: row.body() }
}

/// The answer to a dry run: what would be, without tag or place, as there is nothing. No node has to do anything for it.
fn tried(answer: Kept) -> Result<Kept, Error> {
    let mut body: Value = serde_json::from_str(&answer.body).map_err(Error::internal)?;
    if let Value::Object(members) = &mut body {
        members.insert("plan".into(), json!([]));
    }
    Ok(Kept { headers: Vec::new(), body: body.to_string(), ..answer })
}
