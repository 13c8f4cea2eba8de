//! [`Calls`]: what this control plane asks of nodes while somebody waits for the answer.
//!
//! Agents listen at every control plane, so a call stays with the one that was asked: it is in memory alone, and nothing
//! is left of it when that one dies. Its parts come one after the other, each when the one before has been taken, so that a
//! slow reader slows down the node and takes no memory here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metapaas_protocol::calls::{Call, CallOutput, Calls as Told, Frame, HEARTBEAT_SECONDS};
use serde_json::Value;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use crate::error::{Error, ErrorCode};

/// Calls that are open at one time.
const OPEN: usize = 2048;
/// Longest wait for calls.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// A node has so long to take a call up: its agent may just be on its way back to us.
const PICK_UP: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 4_000 });
/// A node that has said nothing for so long is gone.
const SILENCE: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 4_000 * HEARTBEAT_SECONDS });
/// A part waits so long for its reader before it is sent back.
const READER: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 20_000 });
/// Parts that wait for a reader, beside the one that is on its way.
const AHEAD: usize = 1;
/// Nodes that have not listened for so long are forgotten.
const FORGET: Duration = Duration::from_secs(300);

/// The calls of one control plane. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    board: Arc<Mutex<Board>>,
}

#[derive(Debug, Default)]
struct Board {
    nodes: HashMap<Uuid, Ear>,
    open: HashMap<Uuid, Open>,
}

/// What a node is to be told.
#[derive(Debug)]
struct Ear {
    told: Told,
    /// The agent that listens, by the id it has of its start.
    agent: Option<Uuid>,
    bell: Arc<Notify>,
    heard_at: Instant,
}

/// A call that somebody waits for.
#[derive(Debug)]
struct Open {
    node: Uuid,
    parts: mpsc::Sender<CallOutput>,
    /// The part that comes next.
    seq: u64,
}

impl Calls {
    /// The calls for a node as soon as there are some; none when `wait` is over. What another `agent` of the node had taken
    /// up breaks off: it ended with that one.
    pub async fn listen(&self, node: Uuid, agent: Option<Uuid>, wait: Duration) -> Told {
        if agent.is_some() {
            self.board().listens(node, agent);
        }
        let until = Instant::now() + wait.min(WAIT_MAX);
        loop {
            let bell = {
                let mut board = self.board();
                let ear = board.ear(node);
                ear.heard_at = Instant::now();
                if !ear.told.begin.is_empty() || !ear.told.end.is_empty() {
                    return std::mem::take(&mut ear.told);
                }
                Arc::clone(&ear.bell)
            };
            // A bell that rang before this line is remembered by it.
            if timeout_at(until, bell.notified()).await.is_err() {
                return Told::default();
            }
        }
    }

    /// Takes in a part of an answer, and returns when a reader has room for it.
    ///
    /// # Errors
    /// `NotFound` when nobody waits for it, `InvalidRequest` when parts are missing, `Unavailable` when its reader has no
    /// room for it yet.
    pub async fn deliver(&self, node: Uuid, id: Uuid, output: CallOutput) -> Result<(), Error> {
        let gone = || Error::not_found(format_args!("call {id}"));
        let (parts, expected) = {
            let board = self.board();
            let open = board.open.get(&id).filter(|open| open.node == node).ok_or_else(gone)?;
            (open.parts.clone(), open.seq)
        };
        if output.seq < expected {
            // It has arrived before; only the answer was lost.
            return Ok(());
        }
        if output.seq > expected {
            return Err(Error::invalid_at("/seq", "INVALID_VALUE", format!("part {expected} is missing")));
        }
        let room = match timeout(READER, parts.reserve()).await {
            Ok(room) => room.map_err(|_| gone())?,
            Err(_) => {
                let detail = "the reader has no room for it yet; send it again";
                return Err(Error::new(ErrorCode::Unavailable, detail));
            }
        };
        let mut board = self.board();
        let open = board.open.get_mut(&id).ok_or_else(gone)?;
        if open.seq == output.seq {
            open.seq += 1;
            room.send(output);
        }
        Ok(())
    }

    /// Asks a node. The call ends when the answer is dropped.
    ///
    /// # Errors
    /// `TooManyRequests` when too many calls are open.
    pub fn call(&self, node: Uuid, kind: &str, parameters: Value, limit: Duration) -> Result<Called, Error> {
        let id = Uuid::new_v4();
        let (sender, parts) = mpsc::channel(AHEAD);
        let mut board = self.board();
        if board.open.len() >= OPEN {
            let detail = format!("this control plane waits for {OPEN} answers of nodes already; try again");
            return Err(Error::new(ErrorCode::TooManyRequests, detail));
        }
        let now = Instant::now();
        board.nodes.retain(|_, ear| now - ear.heard_at < FORGET);
        board.open.insert(id, Open { node, parts: sender, seq: 0 });
        let call = Call { id, kind: kind.to_owned(), parameters, seconds: limit.as_secs() };
        let ear = board.ear(node);
        ear.told.begin.push(call);
        ear.bell.notify_one();
        drop(board);
        Ok(Called { calls: self.clone(), node, id, parts, was_taken: false, is_over: false })
    }

    fn end(&self, node: Uuid, id: Uuid) {
        let mut board = self.board();
        if board.open.remove(&id).is_none() {
            return;
        }
        let ear = board.ear(node);
        let waiting = ear.told.begin.len();
        ear.told.begin.retain(|call| call.id != id);
        // A node that was never told need not forget.
        if ear.told.begin.len() == waiting {
            ear.told.end.push(id);
            ear.bell.notify_one();
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Board {
    fn listens(&mut self, node: Uuid, agent: Option<Uuid>) {
        let ear = self.ear(node);
        let before = std::mem::replace(&mut ear.agent, agent);
        if before.is_none() || before == agent {
            return;
        }
        let waiting: Vec<Uuid> = ear.told.begin.iter().map(|call| call.id).collect();
        ear.told.end.clear();
        // Who waits hears of it: the sender of the answer is dropped.
        self.open.retain(|id, open| open.node != node || waiting.contains(id));
    }

    fn ear(&mut self, node: Uuid) -> &mut Ear {
        self.nodes.entry(node).or_insert_with(|| Ear {
            told: Told::default(),
            agent: None,
            bell: Arc::default(),
            heard_at: Instant::now(),
        })
    }
}

/// The answer of a node, as it comes.
#[derive(Debug)]
pub struct Called {
    calls: Calls,
    node: Uuid,
    id: Uuid,
    parts: mpsc::Receiver<CallOutput>,
    was_taken: bool,
    is_over: bool,
}

/// Why an answer breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The node has not taken the call up.
    Away,
    /// It has fallen silent.
    Silent,
    /// Its agent has ended; another one listens.
    Ended,
}

impl Called {
    /// The next pieces of the answer, none of them when the node only says that it still works on it; `None` when all has
    /// come. It may be dropped and called again.
    ///
    /// # Errors
    /// When the node is not there, or no longer.
    pub async fn next(&mut self) -> Result<Option<Vec<Frame>>, Broken> {
        if self.is_over {
            return Ok(None);
        }
        let patience = if self.was_taken { SILENCE } else { PICK_UP };
        match timeout(patience, self.parts.recv()).await {
            Ok(Some(part)) => {
                (self.was_taken, self.is_over) = (true, part.is_last);
                Ok(Some(part.frames))
            }
            Ok(None) => {
                self.is_over = true;
                Err(Broken::Ended)
            }
            Err(_) => {
                self.is_over = true;
                Err(if self.was_taken { Broken::Silent } else { Broken::Away })
            }
        }
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        self.calls.end(self.node, self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn part(seq: u64, is_last: bool) -> CallOutput {
        CallOutput { seq, frames: vec![Frame::Refused(seq.to_string())], is_last }
    }

    fn call(calls: &Calls, node: Uuid) -> Called {
        calls.call(node, "logs", Value::Null, LONG).unwrap()
    }

    #[tokio::test]
    async fn an_answer_comes_in_parts_to_whoever_asked() {
        let (calls, node) = (Calls::default(), Uuid::from_u128(1));
        let listening = tokio::spawn({
            let calls = calls.clone();
            async move { calls.listen(node, None, LONG).await }
        });
        tokio::task::yield_now().await;
        let mut called = call(&calls, node);
        let told = listening.await.unwrap();
        let id = told.begin[0].id;
        let other = calls.deliver(Uuid::from_u128(2), id, part(0, false)).await.unwrap_err();
        assert_eq!(other.code, ErrorCode::NotFound, "another node cannot answer");
        calls.deliver(node, id, part(0, false)).await.unwrap();
        calls.deliver(node, id, part(0, false)).await.unwrap();
        assert_eq!(called.next().await, Ok(Some(part(0, false).frames)));
        assert_eq!(
            calls.deliver(node, id, part(2, false)).await.unwrap_err().code,
            ErrorCode::InvalidRequest
        );
        calls.deliver(node, id, part(1, true)).await.unwrap();
        assert_eq!(called.next().await, Ok(Some(part(1, true).frames)));
        assert_eq!(called.next().await, Ok(None));
    }

    #[tokio::test]
    async fn a_node_learns_that_nobody_waits_any_more() {
        let (calls, node) = (Calls::default(), Uuid::from_u128(1));
        let called = call(&calls, node);
        let id = calls.listen(node, None, LONG).await.begin[0].id;
        drop(called);
        assert_eq!(calls.listen(node, None, LONG).await, Told { begin: Vec::new(), end: vec![id] });
        assert_eq!(calls.deliver(node, id, part(0, false)).await.unwrap_err().code, ErrorCode::NotFound);
        drop(call(&calls, node));
        assert_eq!(calls.listen(node, None, Duration::ZERO).await, Told::default(), "it was never told");
        assert!(calls.board().open.is_empty());
    }

    #[tokio::test]
    async fn what_an_agent_had_taken_up_ends_with_it() {
        let (calls, node) = (Calls::default(), Uuid::from_u128(1));
        let [first, second] = [1, 2].map(|id| Some(Uuid::from_u128(id)));
        let mut taken = call(&calls, node);
        let id = calls.listen(node, first, LONG).await.begin[0].id;
        calls.deliver(node, id, part(0, false)).await.unwrap();
        assert!(taken.next().await.is_ok());
        let (mut waiting, elsewhere) = (call(&calls, node), call(&calls, Uuid::from_u128(2)));
        let told = calls.listen(node, second, LONG).await;
        assert_eq!(told.begin.len(), 1, "what nobody has taken up goes to the next agent");
        assert_eq!(taken.next().await, Err(Broken::Ended));
        calls.deliver(node, told.begin[0].id, part(0, true)).await.unwrap();
        assert!(waiting.next().await.is_ok());
        let others = calls.listen(Uuid::from_u128(2), second, LONG).await;
        assert_eq!(others.begin.len(), 1, "another node's are its own");
        drop((taken, elsewhere));
    }

    #[tokio::test]
    async fn a_node_that_is_not_there_is_not_waited_for() {
        let (calls, node) = (Calls::default(), Uuid::from_u128(1));
        let mut called = call(&calls, node);
        assert_eq!(called.next().await, Err(Broken::Away));
        let mut called = call(&calls, node);
        let id = calls.listen(node, None, LONG).await.begin[1].id;
        calls.deliver(node, id, part(0, false)).await.unwrap();
        assert!(called.next().await.is_ok());
        assert_eq!(called.next().await, Err(Broken::Silent));
    }

    #[tokio::test]
    async fn a_reader_that_takes_nothing_holds_up_its_node_alone() {
        let (calls, node) = (Calls::default(), Uuid::from_u128(1));
        let mut called = call(&calls, node);
        let id = calls.listen(node, None, LONG).await.begin[0].id;
        calls.deliver(node, id, part(0, false)).await.unwrap();
        let full = calls.deliver(node, id, part(1, false)).await.unwrap_err();
        assert_eq!(full.code, ErrorCode::Unavailable);
        assert!(called.next().await.is_ok());
        calls.deliver(node, id, part(1, false)).await.unwrap();
        assert_eq!(called.next().await, Ok(Some(part(1, false).frames)), "nothing is lost or doubled");
    }
}
