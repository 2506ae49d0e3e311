//! What can go wrong, and what it means to the caller of a store.

use chat_core::error::StoreError;
use mongodb::error::ErrorKind;

use crate::server::reply::{ConcernError, is_not_primary, is_passing};

/// The oldest version of MongoDB that works: the last for processors without AVX.
pub(crate) const OLDEST_SERVER: &str = "4.4";

/// Why a database could not be opened. Each message says what to do and holds no credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The connection string cannot be read.
    #[error("the MongoDB connection string is wrong: {0}")]
    Uri(String),
    /// No server could be reached, or none that takes writes.
    #[error("MongoDB cannot be reached ({0}); check that it runs and that the connection string names it")]
    Unreachable(String),
    /// The server does not accept the credentials, or they do not allow what a store does.
    #[error(
        "MongoDB does not allow it ({0}); check user and password, and give the user the role readWrite on the \
         database"
    )]
    NotAllowed(String),
    /// The server is older than this store supports.
    #[error("MongoDB {found} is too old; this version needs MongoDB {needed} or newer")]
    ServerTooOld {
        /// The server's version.
        found: String,
        /// The oldest version that works.
        needed: &'static str,
    },
    /// The replica set acknowledges majorities that are not journaled.
    #[error(
        "the replica set acknowledges writes that are on no disk (writeConcernMajorityJournalDefault is false); \
         set it to true in the replica set's configuration"
    )]
    NotJournaled,
    /// There is no data, and none is to be made.
    #[error(
        "there is no chat in the database {database}; check the connection string and the database's name"
    )]
    Missing {
        /// The database.
        database: String,
    },
    /// The database belongs to a PHP chat and has not been migrated.
    #[error(
        "the database {database} holds the data of another chat system ({found}); look at what would become of it \
         with `chat-server migrate --dry-run`, then migrate it with `chat-server migrate`"
    )]
    NotMigrated {
        /// The database.
        database: String,
        /// Which collections were found.
        found: String,
    },
    /// A migration was begun and did not come to its end.
    #[error(
        "the migration of the database {database} has not come to its end; run `chat-server migrate` again"
    )]
    MigrationUnfinished {
        /// The database.
        database: String,
    },
    /// A newer version of this program has written the database.
    #[error(
        "the database {database} was written by a newer version of this program (its format is {found}, this \
         version reads up to {known}); run the newer version"
    )]
    Newer {
        /// The database.
        database: String,
        /// The version of its format.
        found: i64,
        /// The newest format that this version reads.
        known: i64,
    },
    /// An index that the guarantees rest on is missing or another one.
    #[error(
        "the index {index} of {collection} {problem}; stop all servers, create it as docs/operations.md shows, \
         and start again"
    )]
    Index {
        /// The collection.
        collection: &'static str,
        /// The index.
        index: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// What is stored cannot be read.
    #[error("the database is damaged: {0}; restore a backup")]
    Damaged(String),
    /// The server refuses for another reason.
    #[error("MongoDB refuses: {0}")]
    Refused(String),
}

/// Why a command has no reply.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum CallError {
    /// It was not executed: no server was found, or the one that was asked takes no such commands now.
    #[error("not executed: {0}")]
    NotExecuted(#[source] mongodb::error::Error),
    /// It was not sent, because calls have failed of late.
    #[error("not sent: MongoDB did not answer of late")]
    NotSent,
    /// It may or may not have been executed.
    #[error("outcome unknown: {0}")]
    Unknown(#[source] mongodb::error::Error),
    /// There was no answer in time; it may still be executed.
    #[error("no answer in time")]
    Late,
    /// The servers that have it are not known to be a majority, or have not written it to their disks.
    #[error("not acknowledged: {0}")]
    NotAcknowledged(ConcernError),
    /// The server refused to execute it.
    #[error("refused: {0}")]
    Refused(#[source] mongodb::error::Error),
}

/// The code of a command that took longer than it was allowed to.
const OUT_OF_TIME: i32 = 50;

impl From<mongodb::error::Error> for CallError {
    fn from(error: mongodb::error::Error) -> Self {
        let error = without_quotes(error);
        match error.kind.as_ref() {
            // Not `ConnectionPoolCleared`: that also ends commands that a server has and has not answered yet.
            ErrorKind::ServerSelection { .. }
            | ErrorKind::DnsResolve { .. }
            | ErrorKind::Authentication { .. }
            | ErrorKind::Shutdown => Self::NotExecuted(error),
            ErrorKind::Command(refused) if is_not_primary(refused.code) => Self::NotExecuted(error),
            ErrorKind::Command(refused) if is_passing(refused.code) => Self::Unknown(error),
            ErrorKind::Command(_)
            | ErrorKind::InvalidArgument { .. }
            | ErrorKind::IncompatibleServer { .. } => Self::Refused(error),
            _ => Self::Unknown(error),
        }
    }
}

impl CallError {
    /// What the failure of a write means.
    pub(crate) fn of_write(self) -> StoreError {
        match self {
            Self::NotExecuted(_) | Self::NotSent => StoreError::unavailable(self),
            Self::Unknown(_) | Self::Late | Self::NotAcknowledged(_) => StoreError::timeout(self),
            Self::Refused(_) => StoreError::corrupt(self),
        }
    }

    /// What the failure of a read means: nothing was stored, whatever it was.
    pub(crate) fn of_read(self) -> StoreError {
        match self {
            Self::Refused(_) => StoreError::corrupt(self),
            _ => StoreError::unavailable(self),
        }
    }

    /// Whether the same command may succeed a moment later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            // It would take as long again.
            Self::Unknown(error) => !is_out_of_time(error),
            Self::NotExecuted(_) | Self::NotAcknowledged(_) => true,
            Self::NotSent | Self::Late | Self::Refused(_) => false,
        }
    }

    /// Whether it says that the database is not there, and not only that one server has changed its role.
    pub(crate) fn is_absence(&self) -> bool {
        match self {
            Self::NotExecuted(_) => self.is_no_server(),
            Self::NotAcknowledged(error) => error.is_late(),
            Self::Late => true,
            Self::NotSent | Self::Unknown(_) | Self::Refused(_) => false,
        }
    }

    /// Whether no server was found that takes commands.
    pub(crate) fn is_no_server(&self) -> bool {
        self.driver_error()
            .is_some_and(|error| matches!(error.kind.as_ref(), ErrorKind::ServerSelection { .. }))
    }

    /// The driver's error, if one is behind it.
    pub(crate) fn driver_error(&self) -> Option<&mongodb::error::Error> {
        match self {
            Self::NotExecuted(error) | Self::Unknown(error) | Self::Refused(error) => Some(error),
            Self::NotSent | Self::Late | Self::NotAcknowledged(_) => None,
        }
    }
}

/// A failure after something may have been stored.
pub(crate) fn unknown(error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(source) | StoreError::Timeout(source) => StoreError::Timeout(source),
        StoreError::Corrupt(source) => StoreError::Corrupt(source),
    }
}

/// Without the server's reply and what it quotes of the command but its name: there are contents of messages in it.
fn without_quotes(error: mongodb::error::Error) -> mongodb::error::Error {
    let mut kind = *error.kind;
    if let ErrorKind::Command(refused) = &mut kind
        && let Some((said, quoted)) = refused.message.split_once('{')
    {
        let name = quoted.split(':').next().map(str::trim).unwrap_or_default();
        let is_name = name.chars().all(|letter| letter.is_ascii_alphanumeric());
        refused.message = format!("{said}{}", if is_name { name } else { "..." });
    }
    kind.into()
}

/// Whether the server gave up because it was told how long it may take.
fn is_out_of_time(error: &mongodb::error::Error) -> bool {
    matches!(error.kind.as_ref(), ErrorKind::Command(refused) if refused.code == OUT_OF_TIME)
}

#[cfg(test)]
mod tests {
    use chat_core::error::Retry;
    use mongodb::bson::{deserialize_from_document, doc};

    use super::*;
    use crate::server::reply::WriteReply;

    fn refused_with(code: i32) -> CallError {
        let refused = doc! { "code": code, "codeName": "", "errmsg": "planned by the test" };
        CallError::from(mongodb::error::Error::from(ErrorKind::Command(
            deserialize_from_document(refused).unwrap(),
        )))
    }

    /// What the specification of drivers calls retryable, in reads or writes, as well as what it says of servers that
    /// are not primary, recover or shut down.
    #[test]
    fn what_passes_is_repeated_and_damages_nothing() {
        let not_executed = [10_058, 10_107, 13_435, 13_436];
        let unknown = [6, 7, 89, 91, 134, 189, 262, 9_001, 11_600, 11_602];
        let table = not_executed.map(|code| (code, Retry::Safe)).into_iter();
        for (code, of_write) in table.chain(unknown.map(|code| (code, Retry::OutcomeUnknown))) {
            assert!(refused_with(code).is_passing(), "{code}");
            assert_eq!(refused_with(code).of_read().retry(), Retry::Safe, "{code}");
            assert_eq!(refused_with(code).of_write().retry(), of_write, "{code}");
        }
        // Of what is not allowed, not understood, too large, or against an index.
        for code in [2, 9, 13, 18, 59, 121, 10_334, 11_000] {
            assert!(!refused_with(code).is_passing(), "{code}");
            assert_eq!(refused_with(code).of_read().retry(), Retry::Never, "{code}");
        }
    }

    #[test]
    fn sec_86_what_servers_quote_of_a_command_is_not_repeated() {
        let errmsg = "not authorized on chat to execute command { insert: \"messages\", documents: [ { content: \"s3cr3t\" } ] }";
        let refused = doc! { "code": 13, "codeName": "Unauthorized", "errmsg": errmsg };
        let kind = ErrorKind::Command(deserialize_from_document(refused).unwrap());
        let error = CallError::from(mongodb::error::Error::from(kind));
        let shown = format!("{error} {error:?}");
        assert!(
            shown.contains("not authorized on chat to execute command insert") && !shown.contains("s3cr3t"),
            "{shown}"
        );
    }

    #[test]
    fn a_row_that_cannot_be_written_now_is_not_damaged() {
        for (code, retry) in
            [(10_107, Retry::OutcomeUnknown), (112, Retry::OutcomeUnknown), (121, Retry::Never)]
        {
            let error = doc! { "index": 0, "code": code, "errmsg": "planned by the test" };
            let reply = WriteReply::read(&doc! { "ok": 1, "n": 0, "writeErrors": [error] });
            assert_eq!(reply.row_error.unwrap().refused("users").retry(), retry, "{code}");
        }
    }
}
