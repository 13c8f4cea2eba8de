//! [`Fault`]: why a request cannot be fulfilled, and what S3 calls it.

use std::io;

use s3s::{S3Error, S3ErrorCode};

use crate::log;

/// Either an answer in the words of S3, or trouble with the disk.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The request is refused.
    S3(S3Error),
    /// A file cannot be read or written.
    Io(io::Error),
    /// The index cannot be read or written.
    Index(Box<redb::Error>),
}

impl Fault {
    /// Whether the disk or the instance's room is exhausted.
    fn is_full(&self) -> bool {
        let full = |error: &io::Error| {
            matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
            )
        };
        match self {
            Self::S3(_) => false,
            Self::Io(error) => full(error),
            Self::Index(error) => matches!(&**error, redb::Error::Io(error) if full(error)),
        }
    }
}

/// The answer when there is no room left on the disk: it is tried again in vain, so it is no 503.
pub(crate) fn disk_full() -> S3Error {
    let mut error = custom("StorageFull", "There is no room left on the disk of this service");
    error.set_status_code(hyper::StatusCode::INSUFFICIENT_STORAGE);
    error
}

/// An error whose code `s3s` does not know.
pub(crate) fn custom(code: &'static str, message: &'static str) -> S3Error {
    S3Error::with_message(S3ErrorCode::Custom(code.into()), message)
}

/// A refusal.
pub(crate) fn refuse(code: S3ErrorCode, message: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
    Fault::S3(S3Error::with_message(code, message))
}

impl From<Fault> for S3Error {
    fn from(fault: Fault) -> Self {
        if fault.is_full() {
            return disk_full();
        }
        let (what, error): (_, &dyn std::fmt::Display) = match &fault {
            Fault::S3(_) => ("", &""),
            Fault::Io(error) => ("a file", error),
            Fault::Index(error) => ("the index", error),
        };
        if let Fault::S3(error) = fault {
            return error;
        }
        log(&format_args!("{what} cannot be read or written: {error}"));
        Self::with_message(S3ErrorCode::InternalError, "The service cannot reach its disk; its log says more")
    }
}

impl From<S3Error> for Fault {
    fn from(error: S3Error) -> Self {
        Self::S3(error)
    }
}

impl From<S3ErrorCode> for Fault {
    fn from(code: S3ErrorCode) -> Self {
        Self::S3(S3Error::new(code))
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::Io(error.into())
    }
}

macro_rules! index_errors {
    ($($error:ident)*) => {$(
        impl From<redb::$error> for Fault {
            fn from(error: redb::$error) -> Self {
                Self::Index(Box::new(error.into()))
            }
        }
    )*};
}

index_errors!(StorageError TableError TransactionError CommitError DatabaseError);
