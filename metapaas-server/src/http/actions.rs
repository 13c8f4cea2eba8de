//! `POST .../{id}/actions/{verb}`: the change is accepted, and an operation tells what becomes of it.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use futures::FutureExt;
use metapaas_core::action::ActionDescriptor;
use metapaas_core::descriptor::Action;
use metapaas_core::error::Error;
use metapaas_core::reconcile::forecast;
use metapaas_core::registry::RegisteredType;
use metapaas_core::store::{ActionBegun, Answer as Kept, Effect, Locator, Render, Written, now};
use metapaas_core::validate::{self, ActionInput};
use serde_json::{Value, json};

use super::Answer;
use super::body::{parse, read_optional};
use super::change::{Begun, Wishes, replay, respond, shown};
use super::resources::Call;

impl Call<'_> {
    /// Runs an action.
    pub(super) async fn act(
        &self,
        registered: &RegisteredType,
        mut locator: Locator,
        action: &ActionDescriptor,
        body: Body,
    ) -> Answer {
        let wishes = Wishes::of_row(self.query, self.headers)?;
        locator.project = wishes.project;
        let bytes = read_optional(self.headers, body, self.app.body_limit).await?;
        let parameters = validate::parameters(action, &parse(&bytes)?)?;
        let allowed = self.allowed(registered, Action::Custom(action.verb));
        // The answer names the operation, which is begun once the row is read.
        let later: Render = Arc::new(|row| shown(StatusCode::ACCEPTED, row));
        let (options, _held) = match self.begin(&Method::POST, &bytes, &wishes, later).await? {
            Begun::Before(answer) => return Ok(replay(answer, &allowed)?),
            Begun::Now(options, held) => (options, held),
        };
        let (store, allowed, parameters, options) = (&self.app.store, &allowed, &parameters, &options);
        let (written, begun) = self
            .with_fresh(registered, allowed, &locator, &wishes.preconditions, |current| {
                async move {
                    let stored = store.reveal(&current)?;
                    let given = parameters.clone();
                    // A row that changes meanwhile has another revision, which the write finds out.
                    let tree = Arc::new(store.desired_tree(&current).await?);
                    let input = ActionInput { parameters: given, tree, now: now() };
                    let acted = validate::action(registered, allowed, &current, &stored, action, input)?;
                    let begun = Arc::new(ActionBegun::new(allowed, &current, action, parameters, acted));
                    let options = options.rendered(accepted(&begun));
                    let written = store.act(allowed, registered, &current, &begun, &options).await?;
                    Ok((written, begun))
                }
                .boxed()
            })
            .await?;
        match written {
            Written::Kept(row) => Ok(respond(accepted(&begun)(&row))),
            Written::Replayed(answer) => Ok(replay(answer, allowed)?),
            Written::Gone => Err(Error::internal("an action left no row").into()),
            Written::WouldBe(would_be) => {
                let mut answer = begun.answer(&would_be.row, Effect::DryRun);
                let plan = serde_json::to_value(forecast(store, &would_be)).map_err(Error::internal)?;
                answer.insert("plan".into(), plan);
                let body = Value::Object(answer).to_string();
                Ok(respond(Kept { status: StatusCode::ACCEPTED.as_u16(), headers: Vec::new(), body }))
            }
        }
    }
}

/// The answer to an action.
fn accepted(begun: &Arc<ActionBegun>) -> Render {
    let begun = Arc::clone(begun);
    Arc::new(move |row| Kept {
        status: StatusCode::ACCEPTED.as_u16(),
        headers: vec![(header::LOCATION.as_str().into(), format!("/v1/operations/{}", begun.id()))],
        body: json!(begun.answer(row, Effect::Kept)).to_string(),
    })
}
