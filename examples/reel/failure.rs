//! Why a command ends early.

use std::io;

use logreel::{Error, ErrorKind};

/// The end of every command.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

#[derive(Debug)]
pub(crate) enum Failure {
    /// One line for the user.
    Message(String),
    /// The reader of our output is gone.
    Unheard,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Message(message.into())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        // Kafka's own name for the error comes first, so that scripts can look for it.
        let text = match error.kind() {
            ErrorKind::Kafka(code) => format!("{code}: {error}"),
            _ => error.to_string(),
        };
        Self::Message(text.replace('\n', " "))
    }
}

/// Errors of the standard streams; those of files are told with their names.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Unheard,
            _ => Self::Message(format!("cannot read or write the standard streams: {error}")),
        }
    }
}
