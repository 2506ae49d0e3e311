//! How the process ends: one code for each kind of failure, and one message.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use crate::config::Problem;
use crate::output;

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
    /// The store failed while the server ran; it drained and stopped. Or a command could not write its answer.
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
pub(crate) fn code(outcome: Result<(), Failure>) -> ExitCode {
    let Err(failure) = outcome else { return ExitCode::SUCCESS };
    if let Some(message) = failure.message {
        say(&message);
    }
    ExitCode::from(failure.code as u8)
}

/// Tells standard error something that is no event of the log: it may not exist yet, and the operator looks here.
pub(crate) fn say(message: &str) {
    output::error().push(format!("chat-server: {message}\n").into_bytes());
}

/// Writes what a command was asked for to standard output.
///
/// # Errors
/// Standard output takes no more.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout();
    let written = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    written.map_err(|error| cannot_write("the answer", &error))
}

/// The end of a command whose standard output does not take `what`. If its reader has left, as `head` does, nobody
/// wants to be told.
pub(crate) fn cannot_write(what: &str, error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::said(Code::InputOutput),
        _ => Failure::new(Code::InputOutput, format!("cannot write {what}: {error}")),
    }
}
