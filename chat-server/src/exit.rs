//! How the process ends: one code for each kind of failure, and one message.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::config::Problem;

/// What the exit code says, after the BSD convention (sysexits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// All went well; a stopped server had drained.
    Success = 0,
    /// The settings or the command line are wrong. Nothing was bound or opened.
    Usage = 64,
    /// What is stored is damaged, or of another version than the program or the database server.
    DataError = 65,
    /// The file to read is not there, or cannot be read.
    NoInput = 66,
    /// There is no such user.
    NoUser = 67,
    /// An address cannot be bound, or the database refuses its service.
    Unavailable = 69,
    /// Something that should not happen.
    Software = 70,
    /// A directory or file cannot be made or written.
    CannotCreate = 73,
    /// The store failed while the server ran; it drained and stopped.
    InputOutput = 74,
    /// Another process holds the data directory, or the database does not answer. Try again later.
    TryAgain = 75,
    /// The database does not accept the credentials, or they do not allow enough.
    NoPermission = 77,
}

/// Why the process ends early.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    /// What standard error has not been told yet.
    message: Option<String>,
}

impl Failure {
    /// A failure that still has to be reported.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: Some(message.into()) }
    }

    /// An end of which everything has been said.
    pub(crate) fn said(code: Code) -> Self {
        Self { code, message: None }
    }

    /// Settings that are wrong, all of them.
    pub(crate) fn configuration(problems: &[Problem]) -> Self {
        let lines: Vec<String> = problems.iter().map(|problem| format!("  {problem}")).collect();
        Self::new(Code::Usage, format!("the configuration is wrong:\n{}", lines.join("\n")))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Code::Software, format!("{error:#}"))
    }
}

/// Tells standard error what failed, and the system how it ended.
#[allow(clippy::print_stderr, reason = "the log may not exist yet, and the operator looks here")]
pub(crate) fn code(outcome: Result<(), Failure>) -> ExitCode {
    let Err(failure) = outcome else { return ExitCode::SUCCESS };
    if let Some(message) = failure.message {
        eprintln!("chat-server: {message}");
    }
    ExitCode::from(failure.code as u8)
}

/// Writes what a command was asked for to standard output.
///
/// # Errors
/// Standard output is closed.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let written = io::stdout().write_all(text.as_bytes());
    written.map_err(|error| Failure::new(Code::InputOutput, format!("cannot write the answer: {error}")))
}
