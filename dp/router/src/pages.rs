//! What the router itself answers, for people who see it in a browser.

use hyper::StatusCode;

/// The page of a status.
pub fn page(status: StatusCode) -> String {
    let (title, text) = match status {
        StatusCode::NOT_FOUND => ("There is nothing here", "No app has this name."),
        StatusCode::SERVICE_UNAVAILABLE => {
            ("The app is not running", "It may be starting, or have been stopped. Try again in a moment.")
        }
        StatusCode::GATEWAY_TIMEOUT => ("The app does not answer", "It has taken too long."),
        StatusCode::BAD_GATEWAY => ("The app broke off", "It closed the connection before it had answered."),
        _ => ("The request cannot be understood", "It is not HTTP as this server speaks it."),
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<h1>{title}</h1>\n\
         <p>{text}</p>\n"
    )
}
