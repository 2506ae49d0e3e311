//! What servers answer: their codes, and replies to writes. A reply can hold an error of a row and an error of the
//! majority at the same time, and both count: a row that exists already is not durable because it exists.

use std::fmt;

use chat_core::error::StoreError;
use mongodb::bson::{Bson, Document};

/// The code of "a row with this key exists".
const DUPLICATE_KEY: i32 = 11_000;
/// The code of "the majority did not have it in time".
const WAITED_IN_VAIN: i32 = 64;

/// Codes of servers that are no primary, or not any more: nothing was executed.
const NOT_PRIMARY: [i32; 4] = [
    10_058, // LegacyNotPrimary
    10_107, // NotWritablePrimary
    13_435, // NotPrimaryNoSecondaryOk
    13_436, // NotPrimaryOrSecondary
];
/// Codes of what passes: of commands that were interrupted, part of which may have been executed, and of servers
/// that cannot say now what they can say a moment later.
const PASSING: [i32; 25] = [
    6,      // HostUnreachable
    7,      // HostNotFound
    24,     // LockTimeout
    50,     // MaxTimeMSExpired
    63,     // StaleShardVersion
    64,     // WriteConcernTimeout
    89,     // NetworkTimeout
    91,     // ShutdownInProgress
    112,    // WriteConflict
    133,    // FailedToSatisfyReadPreference
    134,    // ReadConcernMajorityNotAvailableYet
    150,    // StaleEpoch
    175,    // QueryPlanKilled
    189,    // PrimarySteppedDown
    202,    // NetworkInterfaceExceededTimeLimit
    246,    // SnapshotUnavailable
    249,    // StaleDbVersion
    262,    // ExceededTimeLimit
    365,    // TemporarilyUnavailable
    462,    // IngressRequestRateLimitExceeded
    9_001,  // SocketException
    11_600, // InterruptedAtShutdown
    11_601, // Interrupted
    11_602, // InterruptedDueToReplStateChange
    13_388, // StaleConfig
];

/// Whether a server refused with this code because it is no primary: then nothing was executed.
pub(crate) fn is_not_primary(code: i32) -> bool {
    NOT_PRIMARY.contains(&code)
}

/// Whether what a server refused with this code may succeed a moment later.
pub(crate) fn is_passing(code: i32) -> bool {
    is_not_primary(code) || PASSING.contains(&code)
}

/// Rows that failed, the rows before them did not.
#[derive(Debug, Clone)]
pub(crate) struct RowError {
    /// Which row of the command.
    pub(crate) index: usize,
    code: i32,
    /// What the server says; names of fields, but also values: not for people.
    pub(crate) message: String,
}

impl RowError {
    /// Whether a row with this key exists.
    pub(crate) fn is_duplicate(&self) -> bool {
        self.code == DUPLICATE_KEY
    }

    /// The server's code.
    pub(crate) fn code(&self) -> i32 {
        self.code
    }

    /// The error that a row of this collection cannot be written. Without the server's words: they may quote the row.
    pub(crate) fn refused(&self, collection: &str) -> StoreError {
        let what = format!("MongoDB refuses a row of {collection} (code {})", self.code);
        // This row was not written; others of the command, or of an attempt before, may have been.
        if is_passing(self.code) { StoreError::timeout(what) } else { StoreError::corrupt(what) }
    }
}

/// The write was executed on the primary, and not acknowledged as was asked.
#[derive(Debug, Clone)]
pub(crate) struct ConcernError {
    code: i32,
    message: String,
}

impl ConcernError {
    /// Whether the majority did not answer; otherwise the server did not wait for it, as when it is primary no more.
    pub(crate) fn is_late(&self) -> bool {
        self.code == WAITED_IN_VAIN
    }
}

impl fmt::Display for ConcernError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.message, self.code)
    }
}

/// The reply to an `insert`, `update` or `delete`.
#[derive(Debug, Clone)]
pub(crate) struct WriteReply {
    /// Rows inserted, matched or deleted.
    pub(crate) matched: u64,
    /// The first row that failed.
    pub(crate) row_error: Option<RowError>,
    /// Why the whole is not acknowledged.
    pub(crate) concern_error: Option<ConcernError>,
}

impl WriteReply {
    pub(crate) fn read(reply: &Document) -> Self {
        let rows = reply.get_array("writeErrors").ok();
        let row_error =
            rows.and_then(|rows| rows.first()).and_then(Bson::as_document).map(|error| RowError {
                index: usize::try_from(number(error, "index")).unwrap_or_default(),
                code: i32::try_from(number(error, "code")).unwrap_or_default(),
                message: error.get_str("errmsg").unwrap_or_default().to_owned(),
            });
        Self { matched: count(reply, "n"), row_error, concern_error: concern_error(reply) }
    }
}

/// The error of the majority in a reply to any write.
pub(crate) fn concern_error(reply: &Document) -> Option<ConcernError> {
    let error = reply.get_document("writeConcernError").ok()?;
    Some(ConcernError {
        code: i32::try_from(number(error, "code")).unwrap_or_default(),
        message: error.get_str("errmsg").unwrap_or_default().to_owned(),
    })
}

/// A number, whatever type the server gave it; 0 if there is none.
pub(crate) fn number(document: &Document, field: &str) -> i64 {
    match document.get(field) {
        Some(Bson::Int32(number)) => i64::from(*number),
        Some(Bson::Int64(number)) => *number,
        Some(Bson::Double(number)) => *number as i64,
        _ => 0,
    }
}

fn count(document: &Document, field: &str) -> u64 {
    u64::try_from(number(document, field)).unwrap_or_default()
}
