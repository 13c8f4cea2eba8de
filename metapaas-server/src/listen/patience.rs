//! A stream that gives up on a client that is too slow: with the headers of a request, or with taking its answer.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::limits::Limits;

/// What a connection waits for, and how long it may.
#[derive(Debug)]
pub(super) struct Patience {
    phase: AtomicU8,
    headers: Duration,
    answer: Duration,
}

/// Nothing of the next request has arrived.
const IDLE: u8 = 0;
/// A part of a request's headers has arrived, or nothing at all on a new connection.
const HEADERS: u8 = 1;
/// A request is being answered; its body may still arrive.
const REQUEST: u8 = 2;

impl Patience {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            phase: AtomicU8::new(HEADERS),
            headers: limits.header_timeout(),
            answer: Duration::from_secs(limits.write_timeout),
        }
    }

    /// The headers of a request are complete.
    pub(super) fn request_begins(&self) {
        self.phase.store(REQUEST, Ordering::Relaxed);
    }

    /// The next byte that arrives is (in all likelihood) the next request's.
    pub(super) fn request_ends(&self) {
        self.phase.store(IDLE, Ordering::Relaxed);
    }
}

/// A stream with [`Patience`]. Reading and writing fail with `TimedOut` when it is at its end.
#[derive(Debug)]
pub(super) struct Patient<I> {
    stream: I,
    patience: Arc<Patience>,
    /// Runs while headers arrive in parts.
    headers: Option<Pin<Box<Sleep>>>,
    headers_since: Instant,
    /// Runs while the client takes nothing.
    answer: Option<Pin<Box<Sleep>>>,
}

impl<I> Patient<I> {
    pub(super) fn new(stream: I, patience: Arc<Patience>) -> Self {
        Self { stream, patience, headers: None, headers_since: Instant::now(), answer: None }
    }

    fn in_headers(&self) -> bool {
        self.patience.phase.load(Ordering::Relaxed) == HEADERS
    }

    fn poll_headers(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let end = self.headers_since + self.patience.headers;
        self.headers.get_or_insert_with(|| Box::pin(sleep_until(end))).as_mut().poll(context)
    }

    /// Passes on what writing answered, or gives up when it has been pending for too long.
    fn written<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.answer = None;
            return written;
        }
        let end = Instant::now() + self.patience.answer;
        let sleep = self.answer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        ready!(sleep.as_mut().poll(context));
        Poll::Ready(Err(slow("it takes nothing of its answer")))
    }
}

fn slow(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("the client is too slow: {what}"))
}

impl<I: AsyncRead + Unpin> AsyncRead for Patient<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            if buffer.filled().len() > before
                && self
                    .patience
                    .phase
                    .compare_exchange(IDLE, HEADERS, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
            {
                (self.headers, self.headers_since) = (None, Instant::now());
            }
            // A byte now and then must not win time, so a deadline that has passed counts here as well.
            if self.in_headers() && self.headers_since.elapsed() > self.patience.headers {
                return Poll::Ready(Err(slow("its headers do not arrive")));
            }
            return read;
        }
        if self.in_headers() && self.poll_headers(context).is_ready() {
            return Poll::Ready(Err(slow("its headers do not arrive")));
        }
        Poll::Pending
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Patient<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.written(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.written(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.written(shut, context)
    }
}
