//! Calls: what a control plane asks of a node while somebody waits for the answer, such as lines of a log.
//!
//! Agents listen at every control plane, so that a call never leaves the one that was asked, and nothing of it is written
//! down anywhere. Both exchanges are begun by the agent with `Authorization: Bearer <node token>`:
//!
//! - `GET /v1/agents/calls?agent=<id>&wait=<seconds>` answers 200 with [`Calls`] as soon as there are some, 304 when the wait
//!   is over. The id is made when the agent starts: another one says that what the last agent had taken up is over;
//! - `POST /v1/agents/calls/{call id}` with a [`CallOutput`], the next part of the answer, is answered 204 when somebody has
//!   taken it, 404 when nobody wants it any more, 503 when it should be sent again. An agent that has nothing to say sends an
//!   empty one every [`HEARTBEAT_SECONDS`].

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// Path of the call by which agents listen.
pub const CALLS_PATH: &str = "/v1/agents/calls";

/// How often an agent says that it still works on a call.
pub const HEARTBEAT_SECONDS: u64 = 5;

/// [`Call::kind`] of a call for lines of the node's logs; its parameters are a [`LogQuery`].
pub const LOGS: &str = "logs";

/// [`Call::kind`] of a call that runs a one-off command; its parameters are a [`CommandCall`].
pub const COMMAND: &str = "command";

/// Path of the answer to a call.
pub fn call_path(id: Uuid) -> String {
    format!("{CALLS_PATH}/{id}")
}

/// What a node is asked for, and what nobody wants any more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calls {
    /// New calls.
    pub begin: Vec<Call>,
    /// Calls whose caller has gone.
    pub end: Vec<Uuid>,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Random; the answer goes by it.
    pub id: Uuid,
    /// What is asked for, e.g. [`LOGS`]. An agent that does not know it answers [`Frame::Refused`].
    pub kind: String,
    /// What there is to say about it; the form is the kind's.
    pub parameters: Value,
    /// The agent gives up after so many seconds.
    pub seconds: u64,
}

/// Which lines of a node's logs are wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogQuery {
    /// So many of the newest.
    pub tail: u32,
    /// None that are older, in milliseconds since 1970.
    pub since: Option<i64>,
    /// Whether lines to come are wanted too.
    pub follow: bool,
    /// No more bytes of lines that are there already.
    pub bytes: u64,
}

/// A command that is to be run once on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandCall {
    /// The program and its arguments; there is no shell.
    pub words: Vec<String>,
    /// It is ended after so many seconds.
    pub seconds: u64,
}

/// A part of the answer to a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallOutput {
    /// Counts from 0; the same again is the same part again.
    pub seq: u64,
    /// In their order.
    pub frames: Vec<Frame>,
    /// Whether it is the last part.
    pub is_last: bool,
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Frame {
    /// A line of a log.
    Line(LogLine),
    /// All lines that were there have been sent.
    CaughtUp,
    /// The node does not do it, or failed, for this reason.
    Refused(String),
    /// A command has begun.
    Began,
    /// It wrote this to standard output.
    Stdout(Chunk),
    /// It wrote this to standard error.
    Stderr(Chunk),
    /// It has ended, and nothing of what it started is left.
    Exited(Exited),
}

/// What a command wrote, as it wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Chunk {
    /// It is UTF-8. No character is cut in two.
    Text(String),
    /// It is not; in base64 with padding (RFC 4648, section 4).
    Base64(String),
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    /// Its exit code; 128 and the signal's number when a signal ended it, 124 when its time was over, 127 when there is no
    /// such program, 126 when it cannot be started.
    pub code: u8,
    /// What the platform says of it; empty when it ended by itself.
    pub message: String,
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was written, in milliseconds since 1970.
    pub at: i64,
    /// The service that wrote it; empty for what the agent says of the log itself.
    pub service: String,
    /// Without its end.
    pub text: String,
}
