//! Bodies on their way through: of a request with patience for its client, of an answer with what happens at its end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::access::Record;
use crate::pool::{Connection, Entered};
use crate::proxy::Server;

/// What goes wrong with a body.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A client that sends nothing of its body for this long is cut off.
const PATIENCE: Duration = Duration::from_secs(60);

/// The body of a request.
#[derive(Debug, Default)]
pub enum Payload {
    /// None.
    #[default]
    Empty,
    /// As the client sends it, no faster than the node takes it.
    Streamed {
        /// What the client sends.
        body: Incoming,
        /// When patience ends; set while the client is waited for.
        sleep: Option<Pin<Box<Sleep>>>,
    },
}

impl Payload {
    /// The body that a client sends.
    pub fn of(body: Incoming) -> Self {
        if body.is_end_stream() { Self::Empty } else { Self::Streamed { body, sleep: None } }
    }

    /// Whether the request can be made again from its head alone.
    pub const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self::Streamed { body, sleep } = self.get_mut() else { return Poll::Ready(None) };
        match Pin::new(body).poll_frame(context) {
            Poll::Ready(frame) => {
                *sleep = None;
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                let end = || Box::pin(tokio::time::sleep_until(Instant::now() + PATIENCE));
                ready!(sleep.get_or_insert_with(end).as_mut().poll(context));
                let late = io::Error::new(io::ErrorKind::TimedOut, "the client sends no more of its body");
                Poll::Ready(Some(Err(late.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streamed { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streamed { body, .. } => body.size_hint(),
        }
    }
}

/// The body of an answer.
pub struct Answer {
    content: Content,
    /// What is done at the end.
    end: Option<Box<End>>,
}

enum Content {
    Page(Full<Bytes>),
    Node {
        /// What came along with the head.
        first: AtHand,
        rest: Incoming,
    },
}

/// The first part of a body, or its end; pending when neither is there yet.
pub type AtHand = Poll<Option<Result<Frame<Bytes>, hyper::Error>>>;

/// How often the task that reads from the node has its turn before the head goes on without a body.
const TURNS: usize = 2;

/// The first part of a body, if the connection has read it already: head and body then go to the client in one write.
/// Nothing is waited for.
pub async fn at_hand(body: &mut Incoming) -> AtHand {
    if body.is_end_stream() {
        return Poll::Ready(None);
    }
    let mut turns = TURNS;
    std::future::poll_fn(|context| match Pin::new(&mut *body).poll_frame(context) {
        Poll::Pending if turns > 0 => {
            turns -= 1;
            // Behind the other task, which was just asked for more.
            context.waker().wake_by_ref();
            Poll::Pending
        }
        first => Poll::Ready(first),
    })
    .await
}

/// What the end of an answer means.
pub struct End {
    /// Where it is counted and logged.
    pub server: std::sync::Arc<Server>,
    /// What is logged.
    pub record: Record,
    /// The connection to keep and the node that it leads to.
    pub connection: Option<(Connection, Entered)>,
}

impl Answer {
    /// A page of the router's own.
    pub fn page(text: impl Into<Bytes>, end: End) -> Self {
        Self { content: Content::Page(Full::new(text.into())), end: Some(Box::new(end)) }
    }

    /// What a node answers, no faster than the client takes it.
    pub fn of_node(first: AtHand, rest: Incoming, end: End) -> Self {
        let mut answer = Self { content: Content::Node { first, rest }, end: Some(Box::new(end)) };
        if answer.is_end_stream() {
            answer.ends(true);
        }
        answer
    }

    fn ends(&mut self, is_whole: bool) {
        let Some(end) = self.end.take() else { return };
        let End { server, mut record, connection } = *end;
        record.is_whole = is_whole;
        if let Some((connection, entered)) = connection
            && is_whole
        {
            entered.keep(connection);
        }
        server.answered(record);
    }
}

impl Drop for Answer {
    /// Whoever drops an answer before its end takes the connection along: what is left in it is nobody's.
    fn drop(&mut self) {
        self.ends(false);
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = match &mut this.content {
            Content::Page(page) => {
                ready!(Pin::new(page).poll_frame(context)).map(|frame| frame.map_err(|never| match never {}))
            }
            Content::Node { first, rest } => {
                let frame = match std::mem::replace(first, Poll::Pending) {
                    Poll::Ready(frame) => frame,
                    Poll::Pending => ready!(Pin::new(rest).poll_frame(context)),
                };
                frame.map(|frame| frame.map_err(Into::into))
            }
        };
        match &frame {
            Some(Ok(part)) => {
                if let (Some(end), Some(data)) = (&mut this.end, part.data_ref()) {
                    end.record.bytes += data.len() as u64;
                }
                // The server does not ask for the end of a body whose length it knows.
                if this.is_end_stream() {
                    this.ends(true);
                }
            }
            Some(Err(_)) => this.ends(false),
            None => this.ends(true),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Page(page) => page.is_end_stream(),
            Content::Node { first: Poll::Ready(first), .. } => first.is_none(),
            Content::Node { first: Poll::Pending, rest } => rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Page(page) => page.size_hint(),
            Content::Node { first, rest } => {
                let (mut hint, rest) = (SizeHint::new(), rest.size_hint());
                let length = match first {
                    Poll::Ready(Some(Ok(frame))) => frame.data_ref().map_or(0, |data| data.len() as u64),
                    _ => 0,
                };
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper + length);
                }
                hint.set_lower(rest.lower() + length);
                hint
            }
        }
    }
}
