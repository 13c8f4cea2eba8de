//! One-off commands: run for whoever waits for them, with their output sent as they write it.
//!
//! A command belongs to its call. It is started under a keeper ([`keep`]), which holds the reading end of a pipe whose other
//! end is here: when the call ends, for whatever reason, or the agent dies, the pipe closes, and the keeper ends the command
//! with all that it started. Output goes through a short queue; a reader that takes nothing holds the command up.

mod keep;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use metapaas_protocol::calls::{Chunk, CommandCall, Exited, Frame};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use uuid::Uuid;

pub(crate) use self::keep::{ENGINE, engine};
use crate::launch::DEFAULT_PATH;
use crate::process::{NODE_VARIABLE, SERVICE_VARIABLE, end_all};
use crate::service::{OWN_PROGRAM, Program, ServiceSpec};

/// Commands of a node at one time.
const AT_ONCE: usize = 8;
/// What is read and sent at once.
const CHUNK: usize = 8 * 1024;
/// How long the driver may be busy with something else.
const BUSY: Duration = Duration::from_secs(30);
/// Exit code of a command whose time was over, as timeout(1) has it.
const LATE: u8 = 124;

/// Runs the commands of one node.
pub(crate) struct Commands {
    directory: PathBuf,
    node: Uuid,
    asks: mpsc::Sender<Asked>,
    room: Semaphore,
}

/// The driver is to say how this is run.
pub(crate) struct Asked {
    pub(crate) words: Vec<String>,
    pub(crate) answer: oneshot::Sender<Result<ServiceSpec, String>>,
}

impl Commands {
    /// For the node in `directory`; what is asked of its driver comes out of the receiver.
    pub(crate) fn new(directory: &Path, node: Uuid) -> (Self, mpsc::Receiver<Asked>) {
        let (asks, asked) = mpsc::channel(1);
        let room = Semaphore::new(AT_ONCE);
        (Self { directory: directory.to_owned(), node, asks, room }, asked)
    }

    /// Runs a command and tells what it writes and how it ends. Dropped, it ends it.
    pub(crate) async fn serve(&self, id: Uuid, call: CommandCall, out: mpsc::Sender<Frame>) {
        let told = match self.run(id, call, &out).await {
            Ok(exited) => Frame::Exited(exited),
            Err(message) => Frame::Refused(message),
        };
        // Who has gone need not be told.
        let _ = out.send(told).await;
    }

    async fn run(&self, id: Uuid, call: CommandCall, out: &mpsc::Sender<Frame>) -> Result<Exited, String> {
        let full = |_| format!("the node runs {AT_ONCE} commands already; try again when one has ended");
        let _room = self.room.try_acquire().map_err(full)?;
        let spec = self.ask(call.words).await?;
        let mark = format!("{}-{}", spec.name, id.simple());
        let (mut keeper, lifeline) =
            self.start(&spec, &mark).map_err(|error| format!("cannot start the command: {error}"))?;
        tracing::info!(command = mark, "began a command");
        let (stdout, stderr) = (keeper.stdout.take(), keeper.stderr.take());
        let _ = out.send(Frame::Began).await;
        let work = async {
            tokio::join!(pass(stdout, Frame::Stdout, out), pass(stderr, Frame::Stderr, out));
            keeper.wait().await
        };
        tokio::pin!(work);
        let (ended, is_late) = match timeout(Duration::from_secs(call.seconds), &mut work).await {
            Ok(ended) => (ended, false),
            Err(_) => {
                drop(lifeline);
                (work.await, true)
            }
        };
        let code = ended.ok().and_then(|status| status.code()).and_then(|code| u8::try_from(code).ok());
        if code.is_none() {
            // Nobody is left to end what the command started.
            let ended = end_all(self.node, Some(&mark), &[], Duration::ZERO).await;
            ended.map_err(|error| format!("cannot end the command: {error}"))?;
        }
        tracing::info!(command = mark, ?code, is_late, "a command has ended");
        Ok(match code {
            _ if is_late => {
                Exited { code: LATE, message: format!("it was ended after {} s, its limit", call.seconds) }
            }
            Some(code) => Exited { code, message: String::new() },
            None => Exited { code: 137, message: "it was killed from outside".to_owned() },
        })
    }

    async fn ask(&self, words: Vec<String>) -> Result<ServiceSpec, String> {
        let (answer, answered) = oneshot::channel();
        let asking = async {
            self.asks.send(Asked { words, answer }).await.ok()?;
            answered.await.ok()
        };
        match timeout(BUSY, asking).await {
            Ok(Some(answer)) => answer,
            Ok(None) => Err("the agent is ending; try again".to_owned()),
            Err(_) => Err("the node is busy with a change; try again when it is done".to_owned()),
        }
    }

    fn start(&self, spec: &ServiceSpec, mark: &str) -> io::Result<(Child, Option<ChildStdin>)> {
        let work = self.directory.join("work");
        let mut command = Command::new(OWN_PROGRAM);
        command.arg0("metapaas").args(["engine", ENGINE]).arg(spec.grace_seconds.to_string()).arg("--");
        match &spec.program {
            Program::Engine(name) => command.args([OWN_PROGRAM, "engine", name]),
            Program::Path(path) => command.arg(path),
        };
        command
            .args(&spec.arguments)
            .env_clear()
            .env("PATH", DEFAULT_PATH)
            .env("HOME", &work)
            .envs(&spec.environment)
            .env(NODE_VARIABLE, self.node.to_string())
            .env(SERVICE_VARIABLE, mark)
            .current_dir(work)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut keeper = command.spawn()?;
        let lifeline = keeper.stdin.take();
        Ok((keeper, lifeline))
    }
}

/// Sends what comes out of a pipe until it closes or nobody listens.
async fn pass(pipe: Option<impl AsyncRead + Unpin>, frame: fn(Chunk) -> Frame, out: &mpsc::Sender<Frame>) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = vec![0; CHUNK];
    let mut kept = 0;
    loop {
        // A pipe that cannot be read is as good as closed.
        let read = pipe.read(&mut buffer[kept..]).await.unwrap_or(0);
        let filled = kept + read;
        let whole = if read == 0 { filled } else { whole(&buffer[..filled]) };
        if whole > 0 && out.send(frame(chunk(&buffer[..whole]))).await.is_err() {
            return;
        }
        if read == 0 {
            return;
        }
        buffer.copy_within(whole..filled, 0);
        kept = filled - whole;
    }
}

/// How much of it can be sent without cutting a character in two.
fn whole(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}

fn chunk(bytes: &[u8]) -> Chunk {
    match std::str::from_utf8(bytes) {
        Ok(text) => Chunk::Text(text.to_owned()),
        Err(_) => Chunk::Base64(STANDARD.encode(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_arrives_as_it_was() {
        let text = "ä€😀".repeat(5000);
        for bytes in [text.as_bytes(), b"a\xff\xfe\0z", "cut: \u{20ac}".as_bytes().split_last().unwrap().1] {
            let (out, mut frames) = mpsc::channel(1024);
            pass(Some(bytes), Frame::Stdout, &out).await;
            drop(out);
            let mut arrived = Vec::new();
            let mut texts = 0;
            while let Some(frame) = frames.recv().await {
                match frame {
                    Frame::Stdout(Chunk::Text(text)) => {
                        texts += 1;
                        arrived.extend(text.into_bytes());
                    }
                    Frame::Stdout(Chunk::Base64(text)) => arrived.extend(STANDARD.decode(text).unwrap()),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(arrived, bytes);
            assert!(bytes.len() < 100 || texts > 2, "no character was cut: {texts}");
        }
    }
}
