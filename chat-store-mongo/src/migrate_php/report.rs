//! What a migration tells: progress while it goes on, what it found row by row, counts, and why it ended early.

use std::collections::BTreeMap;
use std::fmt;

use mongodb::bson::{Bson, Document};

use crate::server::error::OpenError;
use crate::server::reply::number;
use crate::table::row::stored_number;

/// Hears of a migration while it goes on, and can stop it.
pub trait Observer: Send {
    /// Something is done. Called again and again.
    ///
    /// # Errors
    /// Ends the work; running it again goes on from where it was.
    fn progress(&mut self, progress: Progress) -> Result<(), Stop>;

    /// Something that needs a rule, or a person's eye, was found in a row.
    ///
    /// # Errors
    /// As above.
    fn found(&mut self, finding: &Finding) -> Result<(), Stop>;
}

/// An observer wants the work to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop;

/// How far a phase has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The phase.
    pub phase: Phase,
    /// Rows done.
    pub done: u64,
    /// Rows that there are, as far as is known: systems that still write make it more.
    pub total: u64,
}

/// What is done, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Indexes that are in the way are dropped.
    Indexes,
    /// Users get what accounts need.
    Users,
    /// Rooms get what conversations need.
    Rooms,
    /// Private chats do; several of one pair become one.
    Chats,
    /// Each message gets its conversation and a content that can be delivered.
    Messages,
    /// Messages are brought into their order.
    Order,
    /// Each message gets its number in its conversation.
    Numbers,
    /// Logs get their beginning, and conversations their members.
    Members,
    /// The indexes are built.
    NewIndexes,
    /// Everything is read back.
    Check,
    /// The database is one of this version.
    Done,
}

impl Phase {
    /// All of them, in order.
    pub(super) const ALL: [Self; 11] = [
        Self::Indexes,
        Self::Users,
        Self::Rooms,
        Self::Chats,
        Self::Messages,
        Self::Order,
        Self::Numbers,
        Self::Members,
        Self::NewIndexes,
        Self::Check,
        Self::Done,
    ];

    /// How it is called, for people and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Indexes => "old indexes",
            Self::Users => "users",
            Self::Rooms => "rooms",
            Self::Chats => "private chats",
            Self::Messages => "messages",
            Self::Order => "order",
            Self::Numbers => "numbers",
            Self::Members => "members",
            Self::NewIndexes => "new indexes",
            Self::Check => "check",
            Self::Done => "done",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.name() == name)
    }

    /// The phase that follows.
    pub(super) fn next(self) -> Self {
        Self::ALL.into_iter().find(|phase| *phase > self).unwrap_or(Self::Done)
    }
}

/// One thing that was found in one row, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// The collection of the row.
    pub collection: &'static str,
    /// The row.
    pub id: String,
    /// What was found and what becomes of it, on one line. Holds names, never contents, passwords, tokens or
    /// addresses.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.collection, self.id, self.text)
    }
}

macro_rules! finding_kinds {
    ($( $(#[doc = $doc:literal])+ $kind:ident: $name:literal; )+) => {
        /// What can be found. The order is that of a report.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum FindingKind { $( $(#[doc = $doc])+ $kind, )+ }

        impl FindingKind {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// How it is called in a summary.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }
        }
    };
}

finding_kinds! {
    /// An index that would remove rows, refuse them, or stand where one of ours belongs. It is dropped.
    IndexDropped: "indexes that are dropped";
    /// A user without a name that can be typed gets one.
    UsernameMissing: "users without a usable name";
    /// An older user has exactly this name. The younger one gets a longer name.
    UsernameDuplicate: "users whose name an older user has";
    /// A name that could not be registered today. It stays and is found by its exact text.
    UsernameNotAllowed: "users whose name is not allowed today";
    /// A name that differs from an older user's only in case, width or composition. It stays and is found by its exact text.
    UsernameFoldsAlike: "users whose name differs from an older one only in case or width";
    /// A name that looks like an older user's. It stays.
    UsernameLooksAlike: "users whose name looks like an older one";
    /// A user without a password hash that can be verified: nobody can sign in.
    PasswordUnusable: "users whose password cannot be verified";
    /// A user whose e-mail address is no text. It is put aside.
    EmailUnusable: "users whose e-mail address is no text";
    /// A time that cannot be read. The time of the row's id takes its place.
    TimeUnreadable: "times that cannot be read";
    /// A room's name that is not allowed. It is made fit.
    RoomName: "rooms whose name is made fit";
    /// A room whose creator does not exist. Another member becomes its owner.
    RoomCreatorUnknown: "rooms whose creator is unknown";
    /// A participant who does not exist is dropped.
    ParticipantUnknown: "participants who are unknown";
    /// A room without any known member is closed.
    RoomClosed: "rooms without a known member";
    /// A further chat of a pair is merged into the oldest.
    ChatMerged: "private chats that are merged into an older one";
    /// A chat of which a user does not exist is no conversation.
    ChatUserUnknown: "private chats with an unknown user";
    /// A chat of a user with themselves is no conversation.
    ChatWithOneself: "private chats of a user with themselves";
    /// A chat that messages name, or whose pair they name, and that does not exist. It is made.
    ChatMade: "private chats that are made for messages without one";
    /// A message whose sender does not exist has no place.
    SenderUnknown: "messages of unknown senders, without a place";
    /// A message of a room that does not exist has no place.
    RoomUnknown: "messages to unknown rooms, without a place";
    /// A message of a chat that does not exist, or is no conversation, has no place.
    ChatUnknown: "messages to unknown chats, without a place";
    /// A message to a user who does not exist has no place.
    ReceiverUnknown: "messages to unknown users, without a place";
    /// A message to nobody has no place.
    DestinationMissing: "messages to nobody, without a place";
    /// A message whose own id is no ObjectId has no place.
    MessageId: "messages whose id is no ObjectId, without a place";
    /// A message without a chat, or of a chat that does not exist, goes to the chat with its receiver.
    PlacedByReceiver: "messages that are placed by their receiver";
    /// A message of a private chat whose sender is neither of the two. It stays.
    SenderOutside: "messages in private chats of neither of the two";
    /// A text that is too long becomes several entries.
    ContentSplit: "messages that are split";
    /// Control characters become U+FFFD.
    ContentControls: "messages with control characters";
    /// A message that says nothing gets a visible mark.
    ContentEmpty: "messages without a content";
    /// A content that is no text is written as one.
    ContentNoText: "messages whose content is no text";
    /// A type that does not exist becomes `text`.
    MessageType: "messages of an unknown type";
    /// A message that names a room and a chat is in the room only.
    SeveralPlaces: "messages of a room and of a private chat";
}

impl FindingKind {
    /// Its place in the order.
    pub(super) fn index(self) -> i32 {
        Self::ALL
            .iter()
            .position(|kind| *kind == self)
            .and_then(|at| i32::try_from(at).ok())
            .unwrap_or(i32::MAX)
    }

    pub(super) fn at(index: i64) -> Option<Self> {
        Self::ALL.get(usize::try_from(index).ok()?).copied()
    }
}

macro_rules! counts {
    ($( $(#[doc = $doc:literal])+ $count:ident, )+) => {
        /// How many of what there are.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct Counts { $( $(#[doc = $doc])+ pub $count: u64, )+ }

        impl Counts {
            pub(super) fn to_document(self) -> Document {
                let mut document = Document::new();
                $( document.insert(stringify!($count), stored_number(self.$count)); )+
                document
            }

            pub(super) fn from_document(document: &Document) -> Self {
                let count = |name: &str| u64::try_from(number(document, name)).unwrap_or_default();
                Self { $( $count: count(stringify!($count)), )+ }
            }
        }
    };
}

counts! {
    /// Users.
    users,
    /// Rooms, closed ones included.
    rooms,
    /// Rooms that are closed.
    closed_rooms,
    /// Joined members of all rooms.
    room_members,
    /// Rows of private chats.
    chats,
    /// Private chats that become conversations, those that are made included.
    conversations_of_two,
    /// Rows of messages.
    messages,
    /// Messages that get a place in a conversation.
    placed,
    /// Messages that get none. They are kept.
    unplaced,
    /// Entries that are added because a text is too long for one.
    further_parts,
}

/// What a migration makes, or would make, of a database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// How many rows there are, and of what.
    pub counts: Counts,
    /// How often each was found.
    pub findings: BTreeMap<FindingKind, u64>,
}

/// Why a migration ended early. Each message says what to do and holds no credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrationError {
    /// The servers do not do what is needed.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The observer wanted it.
    #[error("the migration was stopped; run it again, it goes on from where it was")]
    Stopped,
    /// The database has something that no rule covers. Nothing was written.
    #[error("the database cannot be migrated as it is:\n{}", list(.0))]
    Obstacles(Vec<String>),
    /// Another process does the same.
    #[error("another run of the migration has superseded this one; leave it to that one")]
    Superseded,
    /// A row has a text that is none. MongoDB stores any bytes.
    #[error("{0} has a text that is not UTF-8 and cannot be read; mend it or remove it, and run this again")]
    Unreadable(String),
    /// Rows have come since their phase.
    #[error(
        "{0} was written to while the migration ran: stop everything else that uses the database, above all the \
         PHP chat, and run the migration again"
    )]
    Disturbed(&'static str),
    /// A row cannot be written.
    #[error("{collection} {id} cannot be written: the server refuses with code {code}")]
    Row {
        /// The collection.
        collection: &'static str,
        /// The row.
        id: String,
        /// The server's code.
        code: i32,
    },
    /// What was written is not what it should be.
    #[error(
        "the check of the migrated database failed: {0}; run the migration again, and if that does not help, \
         restore the backup and report it"
    )]
    Check(String),
    /// There is nothing to clear away: the database was not migrated.
    #[error("the database has not been migrated; run `chat-server migrate` first")]
    NotMigrated,
    /// What going back needs is not there any more.
    #[error("there is no way back: what it needs was removed with --finish, or there never was a PHP chat")]
    NoWayBack,
}

impl From<Stop> for MigrationError {
    fn from(_: Stop) -> Self {
        Self::Stopped
    }
}

fn list(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// Characters of a name that a report shows.
const SHOWN: usize = 60;

/// An id for people; whatever it is.
pub(crate) fn shown_id(id: Option<&Bson>) -> String {
    match id {
        Some(Bson::ObjectId(id)) => id.to_hex(),
        Some(Bson::String(text)) => shown(text),
        Some(Bson::Int32(number)) => number.to_string(),
        Some(Bson::Int64(number)) => number.to_string(),
        Some(other) => format!("(an id that is a {:?})", other.element_type()),
        None => "(without an id)".to_owned(),
    }
}

/// A name for people: in quotes, on one line, not too long.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_on_one_line() {
        assert_eq!(shown("a\nb\u{1b}[31m"), r#""a\nb\u{1b}[31m""#);
        assert!(shown(&"字".repeat(1_000)).chars().count() < 70);
    }
}
