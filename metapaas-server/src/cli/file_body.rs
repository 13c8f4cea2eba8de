//! [`FileBody`]: what is in a file as the body of a request, read as it is sent.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};

const PIECE: usize = 64 << 10;

/// A file from its beginning to the end that it had when the body was made.
pub(super) struct FileBody {
    file: File,
    at: u64,
    end: u64,
}

impl FileBody {
    /// Reads through a handle of its own: where `file` is read at does not matter.
    ///
    /// # Errors
    /// When the file cannot be looked at.
    pub(super) fn new(file: &File) -> io::Result<Self> {
        Ok(Self { file: file.try_clone()?, at: 0, end: file.metadata()?.len() })
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    /// It reads in place: a command that sends a file has nothing else to do.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        if left == 0 {
            return Poll::Ready(None);
        }
        let mut piece = BytesMut::zeroed(left.min(PIECE));
        let read = self.file.read_at(&mut piece, self.at);
        Poll::Ready(Some(match read {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                piece.truncate(count);
                self.at += count as u64;
                Ok(Frame::data(piece.freeze()))
            }
            Err(error) => Err(error),
        }))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end - self.at)
    }
}
