//! Every denial of a caller that is known goes to the audit.

use std::cell::RefCell;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use metapaas_core::iam::Denial;
use metapaas_core::request::RequestContext;

use super::state::App;

tokio::task_local! {
    /// Who makes the request that the task serves, once that is known.
    static CALLER: RefCell<Option<RequestContext>>;
}

/// Says who makes the request.
pub(super) fn caller_is(context: &RequestContext) {
    // Outside of a request there is nobody to note anything.
    let _ = CALLER.try_with(|caller| caller.replace(Some(context.clone())));
}

/// Notes the denial that an answer carries.
pub(super) async fn note(State(app): State<App>, request: Request, next: Next) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let answered = CALLER.scope(RefCell::new(None), async move {
        let response = next.run(request).await;
        (response, CALLER.with(RefCell::take))
    });
    let (mut response, caller) = answered.await;
    if let (Some(denial), Some(caller)) = (response.extensions_mut().remove::<Denial>(), caller) {
        app.iam.denied(&caller, &format!("{method} {}", uri.path()), &denial);
    }
    response
}
