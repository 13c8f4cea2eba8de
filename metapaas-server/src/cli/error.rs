//! [`CliError`]: why a command failed, what it prints and with which code the program ends.

use std::error::Error;
use std::path::PathBuf;

use serde::Deserialize;

use super::text::clean;

/// Exit codes and what they mean, as `--help` and the book show them.
pub const EXIT_CODES: [(u8, &str); 10] = [
    (0, "done"),
    (1, "failed for another reason"),
    (2, "wrong usage of the command line"),
    (3, "not found, or not yours to see"),
    (4, "not allowed, or not logged in"),
    (5, "conflict: name taken, wrong state, or changed by somebody else"),
    (6, "invalid input"),
    (7, "server not reachable or not available"),
    (8, "waited too long"),
    (130, "interrupted (Ctrl-C)"),
];

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// The server has no such thing.
    #[error("{0}")]
    NotFound(String),
    /// There are no credentials, or they do not work any more.
    #[error("{0}")]
    Unauthenticated(String),
    /// The thing is not in a state that allows it.
    #[error("{0}")]
    Conflict(String),
    /// Fields are wrong; nothing was sent.
    #[error("{}", invalid(.0))]
    Invalid(Vec<Mistake>),
    /// The server refused.
    #[error("{}", .0.text())]
    Api(Box<ApiProblem>),
    /// There is no server to ask.
    #[error("{0}")]
    NoServer(String),
    /// The server does not answer.
    #[error("cannot reach {endpoint}{hint}")]
    Unreachable {
        /// Its base URL.
        endpoint: String,
        /// What to do, after a semicolon; may be empty.
        hint: &'static str,
        #[source]
        source: reqwest::Error,
    },
    /// The server answers with something else than the contract says.
    #[error("{what}")]
    Unexpected {
        /// What was asked and what came.
        what: String,
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// It took longer than `--timeout`.
    #[error("{0}")]
    TimedOut(String),
    /// Ctrl-C.
    #[error("{0}")]
    Interrupted(String),
    /// The operation itself went wrong.
    #[error("{0}")]
    Failed(String),
    /// A file or terminal does not do what is needed.
    #[error("{doing} {}", path.display())]
    File {
        /// What was tried, e.g. `cannot read`.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// All is said already, or nobody listens any more.
    #[error("")]
    Silent(u8),
}

/// What is wrong with one field of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// The field as the user wrote it.
    pub(crate) field: String,
    /// What is wrong and what would be right.
    pub(crate) detail: String,
}

/// An answer of `application/problem+json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ApiProblem {
    /// The status code of the answer; the answer's own, not the body's.
    #[serde(skip)]
    pub(crate) status: u16,
    code: String,
    title: String,
    detail: Option<String>,
    request_id: Option<String>,
    errors: Vec<ApiMistake>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ApiMistake {
    pointer: String,
    detail: String,
}

impl ApiProblem {
    /// The problem in that answer, whatever its body is.
    pub(crate) fn of(status: u16, body: &[u8]) -> Self {
        let mut problem: Self = serde_json::from_slice(body).unwrap_or_default();
        problem.status = status;
        problem
    }

    fn text(&self) -> String {
        let said = self.detail.as_deref().unwrap_or(&self.title);
        let text = if said.is_empty() { format!("the server answered {}", self.status) } else { clean(said) };
        if self.status == 401 { format!("{text}; log in with `metapaas login`") } else { text }
    }

    const fn exit_code(&self) -> u8 {
        match self.status {
            400 | 405 | 413 | 414 | 415 | 422 => 6,
            401 | 403 => 4,
            404 => 3,
            409 | 412 => 5,
            429 | 502..=504 => 7,
            _ => 1,
        }
    }
}

impl CliError {
    /// The code the program ends with.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::NotFound(_) => 3,
            Self::Unauthenticated(_) => 4,
            Self::Conflict(_) => 5,
            Self::Invalid(_) => 6,
            Self::Api(problem) => problem.exit_code(),
            Self::NoServer(_) | Self::Unreachable { .. } => 7,
            Self::TimedOut(_) => 8,
            Self::Unexpected { .. } | Self::Failed(_) | Self::File { .. } => 1,
            Self::Interrupted(_) => 130,
            Self::Silent(code) => *code,
        }
    }

    /// What goes to standard error: one line, and one more per wrong field.
    pub(crate) fn render(&self) -> String {
        if matches!(self, Self::Silent(_)) {
            return String::new();
        }
        let mut text = format!("error: {self}");
        if let Some(cause) = root_cause(self) {
            text.push_str(": ");
            text.push_str(&clean(&cause.to_string()));
        }
        text.push('\n');
        match self {
            Self::Api(problem) => {
                // A single one is the detail already.
                let told = |mistake: &&ApiMistake| {
                    let line = format!("{}: {}", mistake.pointer, mistake.detail);
                    problem.detail.as_ref().is_some_and(|detail| *detail == line || *detail == mistake.detail)
                };
                for mistake in problem.errors.iter().filter(|mistake| !told(mistake)) {
                    let line = format!("  {}: {}\n", clean(&mistake.pointer), clean(&mistake.detail));
                    text.push_str(&line);
                }
                if let Some(id) = &problem.request_id {
                    text.push_str(&format!("  request id: {}\n", clean(id)));
                }
            }
            Self::Invalid(mistakes) => {
                for mistake in mistakes {
                    text.push_str(&format!("  {}: {}\n", clean(&mistake.field), clean(&mistake.detail)));
                }
            }
            _ => {}
        }
        text
    }

    /// Whether the same request may do better a little later.
    pub(crate) const fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Api(problem) => matches!(problem.status, 429 | 502..=504),
            _ => false,
        }
    }

    /// Whether the server no longer keeps what was asked for.
    pub(crate) const fn is_expired(&self) -> bool {
        matches!(self, Self::Api(problem) if problem.status == 410)
    }

    /// Whether nobody knows what became of a request: its connection was lost, or it is still carried out. After a
    /// first loss a server that cannot be reached may be one that starts again.
    pub(crate) fn is_lost(&self, was_sent: bool) -> bool {
        match self {
            Self::Unreachable { source, .. } => !source.is_timeout() && (was_sent || !source.is_connect()),
            Self::Api(problem) => was_sent && problem.code == "IDEMPOTENCY_IN_PROGRESS",
            _ => false,
        }
    }

    /// Whether the server says that the thing is not there.
    pub(crate) const fn is_not_found(&self) -> bool {
        matches!(self, Self::Api(problem) if problem.status == 404)
    }
}

fn invalid(mistakes: &[Mistake]) -> String {
    match mistakes.len() {
        1 => "the command line has a wrong field".into(),
        many => format!("the command line has {many} wrong fields"),
    }
}

/// The layers between are about our libraries; the user's question is answered by the last one.
fn root_cause(error: &CliError) -> Option<&dyn Error> {
    let mut cause = error.source()?;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Some(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_detail_pointers_and_request_id() {
        let body = br#"{"type":"about:blank","title":"The request is not valid","status":400,"code":"INVALID_REQUEST",
            "detail":"2 problems, see errors","request_id":"r-1",
            "errors":[{"pointer":"/greeting","code":"TOO_LONG","detail":"expected 1 to 80 characters, found 90"},
                      {"pointer":"/replicas","code":"OUT_OF_RANGE","detail":"expected 1 to 5"}]}"#;
        let error = CliError::Api(Box::new(ApiProblem::of(400, body)));
        let expected = "error: 2 problems, see errors\n  /greeting: expected 1 to 80 characters, found 90\n  \
                        /replicas: expected 1 to 5\n  request id: r-1\n";
        assert_eq!(error.render(), expected);
        assert_eq!(error.exit_code(), 6);
    }

    #[test]
    fn a_single_mistake_is_told_once() {
        let body = br#"{"detail":"/name: too long","errors":[{"pointer":"/name","code":"TOO_LONG","detail":"too long"}]}"#;
        assert_eq!(CliError::Api(Box::new(ApiProblem::of(400, body))).render(), "error: /name: too long\n");
    }

    #[test]
    fn an_answer_that_is_no_problem_document_still_tells_the_status() {
        let error = CliError::Api(Box::new(ApiProblem::of(502, b"<html>bad gateway</html>")));
        assert_eq!(error.render(), "error: the server answered 502\n");
        assert_eq!(error.exit_code(), 7);
    }

    #[test]
    fn escape_sequences_of_the_server_do_not_reach_the_terminal() {
        let error = CliError::Api(Box::new(ApiProblem::of(409, br#"{"detail":"\u001b[2Jgone"}"#)));
        assert_eq!(error.render(), "error: \\u{1b}[2Jgone\n");
    }

    #[test]
    fn the_book_lists_the_exit_codes() {
        let book = include_str!("../../../book/src/cli.md");
        for (code, meaning) in EXIT_CODES {
            assert!(book.contains(&format!("| {code} | {meaning} |")), "cli.md lacks {code}: {meaning}");
        }
    }

    #[test]
    fn every_exit_code_is_in_the_table() {
        for status in [400, 401, 403, 404, 409, 410, 412, 413, 415, 422, 429, 500, 503] {
            let code = ApiProblem { status, ..ApiProblem::default() }.exit_code();
            assert!(EXIT_CODES.iter().any(|(known, _)| *known == code), "{status} gives {code}");
        }
    }
}
