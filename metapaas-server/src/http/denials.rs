//! Every denial of a caller that is known goes to the audit.

use std::cell::RefCell;

use axum::http::Method;
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

/// Runs the handler of a request and notes the denial that its answer carries.
pub(super) async fn note(
    app: &App,
    method: &Method,
    path: &str,
    handling: impl Future<Output = Response>,
) -> Response {
    let answered = CALLER.scope(RefCell::new(None), async move {
        let response = handling.await;
        (response, CALLER.with(RefCell::take))
    });
    let (mut response, caller) = answered.await;
    if let (Some(denial), Some(caller)) = (response.extensions_mut().remove::<Denial>(), caller) {
        app.iam.denied(&caller, &format!("{method} {path}"), &denial);
    }
    response
}
