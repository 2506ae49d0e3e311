//! The lines of an archive, between text and the values of the domain. Which line may
//! follow which is in `check`.
//!
//! Every line is one JSON object with one key that says what it is; the first one is the
//! header. A value has exactly one text, so that two stores with the same content make the
//! same archive, byte for byte.

use chat_core::domain::{
    ClientId, Content, Conversation, ConversationKind, DisplayName, Draft, Email, Entry, EntryBody, Event,
    Head, Message, MessageKind, Pair, Role, RoomName, Seq, Topic, Visibility,
};
use chat_core::id::{ConversationId, EntryId, UserId};
use chat_core::port::{Account, StoredAccount, UsernameKeys};
use chat_core::time::Timestamp;
use serde::{Deserialize, Serialize};

const FORMAT: &str = "chat-archive";
/// The version of the format that this program writes, and the only one that it reads.
const VERSION: u64 = 1;

/// A line behind the header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// An account with the keys of its name.
    Account(StoredAccount),
    /// A conversation at the head up to which its entries follow.
    Conversation(Conversation),
    /// The next entry of the conversation above.
    Entry {
        /// Its number.
        seq: Seq,
        /// The rest of it.
        draft: Draft,
    },
    /// How far a member of the conversation above has read.
    Read(ReadPosition),
    /// The last line.
    End(End),
}

/// How far somebody has read, if further than their latest join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadPosition {
    pub(super) user: UserId,
    pub(super) seq: Seq,
}

/// How many lines of each kind there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Counts {
    pub(super) accounts: u64,
    pub(super) conversations: u64,
    pub(super) entries: u64,
    pub(super) read_positions: u64,
}

/// What the last line says of all before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    pub(super) counts: Counts,
    /// Over all bytes before this line.
    pub(super) sha256: String,
}

#[derive(Deserialize)]
struct Header {
    format: String,
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LineText {
    Account(AccountText),
    Conversation(ConversationText),
    Entry(EntryText),
    Read(ReadPosition),
    End(End),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountText {
    user_id: UserId,
    username: String,
    username_folded: String,
    username_skeleton: String,
    display_name: DisplayName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    password_hash: String,
    disabled: bool,
    created_at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_login_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_seen_ms: Option<i64>,
}

/// Either `room` or `private` is there.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConversationText {
    id: ConversationId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    room: Option<RoomText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    private: Option<[UserId; 2]>,
    created_by: UserId,
    created_at_ms: i64,
    entries: Seq,
    messages: u64,
    members: u32,
    owners: Vec<UserId>,
}

/// A room as it is at the head.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RoomText {
    name: RoomName,
    topic: Topic,
    visibility: Visibility,
}

/// Either `message` or `event` is there.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryText {
    seq: Seq,
    id: EntryId,
    by: UserId,
    at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<MessageText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<EventText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageText {
    kind: MessageKind,
    content: Content,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_id: Option<ClientId>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum EventText {
    Created {},
    Invited {
        user: UserId,
    },
    Joined {
        user: UserId,
    },
    Left {
        user: UserId,
    },
    Removed {
        user: UserId,
    },
    Banned {
        user: UserId,
    },
    Unbanned {
        user: UserId,
    },
    RoleChanged {
        user: UserId,
        role: Role,
    },
    Updated {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<RoomName>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        topic: Option<Topic>,
    },
}

/// The first line.
pub(super) fn header() -> String {
    format!("{{\"format\":\"{FORMAT}\",\"version\":{VERSION}}}")
}

/// Whether `line` is the first line of an archive that this program reads.
///
/// # Errors
/// Says why not.
pub(super) fn check_header(line: &[u8]) -> Result<(), String> {
    if line == header().as_bytes() {
        return Ok(());
    }
    match serde_json::from_slice(line) {
        Ok(Header { format, version }) if format == FORMAT && version > VERSION => Err(format!(
            "the archive has format version {version}, this chat-server reads version {VERSION}: import it with the \
             version that wrote it, or a newer one"
        )),
        Ok(Header { format, .. }) if format == FORMAT => {
            Err("the header is not as export writes it".to_owned())
        }
        _ => Err("this is no archive of chat-server".to_owned()),
    }
}

/// Whether a line begins a conversation. Only for archives that were verified: it looks at the first bytes alone.
pub(super) fn begins_conversation(line: &[u8]) -> bool {
    line.starts_with(b"{\"conversation\":")
}

impl Line {
    /// Reads a line.
    ///
    /// # Errors
    /// Says what is wrong with it, without repeating what it contains.
    pub(super) fn decode(line: &[u8]) -> Result<Self, String> {
        let text: LineText = serde_json::from_slice(line).map_err(|error| explain(&error))?;
        let decoded = text.into_line()?;
        let mut again = Vec::with_capacity(line.len());
        decoded.encode(&mut again)?;
        if again == line { Ok(decoded) } else { Err("not as export writes it".to_owned()) }
    }

    /// Writes it to the end of `to`, without a line feed.
    ///
    /// # Errors
    /// It has no text.
    pub(super) fn encode(&self, to: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Account(stored) => encode_account(stored, to),
            Self::Conversation(conversation) => encode_conversation(conversation, to),
            Self::Entry { seq, draft } => write(&LineText::Entry(entry_text(*seq, draft)), to),
            Self::Read(read) => write(&LineText::Read(*read), to),
            Self::End(end) => write(&LineText::End(end.clone()), to),
        }
    }
}

/// Writes the line of an account to the end of `to`.
///
/// # Errors
/// It has no text.
pub(super) fn encode_account(stored: &StoredAccount, to: &mut Vec<u8>) -> Result<(), String> {
    let StoredAccount { account, username } = stored.clone();
    let text = AccountText {
        user_id: account.user_id,
        username: username.text,
        username_folded: username.folded,
        username_skeleton: username.skeleton,
        display_name: account.display_name,
        email: account.email.map(|email| email.as_str().to_owned()),
        password_hash: account.password_hash,
        disabled: account.disabled,
        created_at_ms: account.created_at.unix_ms(),
        last_login_ms: account.last_login.map(Timestamp::unix_ms),
        last_seen_ms: account.last_seen.map(Timestamp::unix_ms),
    };
    write(&LineText::Account(text), to)
}

/// Writes the line of a conversation to the end of `to`.
///
/// # Errors
/// It has no text.
pub(super) fn encode_conversation(conversation: &Conversation, to: &mut Vec<u8>) -> Result<(), String> {
    let (room, private) = match conversation.kind.clone() {
        ConversationKind::Room { name, topic, visibility } => {
            (Some(RoomText { name, topic, visibility }), None)
        }
        ConversationKind::Private(pair) => (None, Some(pair.users())),
    };
    let text = ConversationText {
        id: conversation.id,
        room,
        private,
        created_by: conversation.created_by,
        created_at_ms: conversation.created_at.unix_ms(),
        entries: conversation.head.seq,
        messages: conversation.head.messages,
        members: conversation.member_count,
        owners: conversation.owners.clone(),
    };
    write(&LineText::Conversation(text), to)
}

/// Writes the line of an entry to the end of `to`.
///
/// # Errors
/// It has no text.
pub(super) fn encode_entry(entry: &Entry, to: &mut Vec<u8>) -> Result<(), String> {
    write(&LineText::Entry(entry_text(entry.seq, &draft_of(entry))), to)
}

/// What an entry was before it had a number.
pub(super) fn draft_of(entry: &Entry) -> Draft {
    Draft { id: entry.id, by: entry.by, timestamp: entry.timestamp, body: entry.body.clone() }
}

fn write(text: &LineText, to: &mut Vec<u8>) -> Result<(), String> {
    serde_json::to_writer(to, text).map_err(|error| error.to_string())
}

/// What serde says, without the values that it may quote: an archive holds password hashes.
fn explain(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
    let names_only = ["unknown field", "missing field", "duplicate field", "unknown variant"];
    if names_only.iter().any(|start| said.starts_with(start)) {
        return said.to_owned();
    }
    match error.classify() {
        serde_json::error::Category::Data => {
            format!("a value that cannot stand there, before column {}", error.column())
        }
        _ => format!("no JSON from column {} on", error.column()),
    }
}

fn entry_text(seq: Seq, draft: &Draft) -> EntryText {
    let (message, event) = match draft.body.clone() {
        EntryBody::Message(Message { content, kind, client_id }) => {
            (Some(MessageText { kind, content, client_id }), None)
        }
        EntryBody::Event(event) => (None, Some(EventText::from(event))),
    };
    EntryText { seq, id: draft.id, by: draft.by, at_ms: draft.timestamp.unix_ms(), message, event }
}

impl LineText {
    fn into_line(self) -> Result<Line, String> {
        Ok(match self {
            Self::Account(text) => Line::Account(text.into_stored()?),
            Self::Conversation(text) => Line::Conversation(text.into_conversation()?),
            Self::Entry(text) => text.into_line()?,
            Self::Read(read) => Line::Read(read),
            Self::End(end) => Line::End(end),
        })
    }
}

impl AccountText {
    fn into_stored(self) -> Result<StoredAccount, String> {
        let email = self.email.map(Email::new).transpose().map_err(|error| format!("email {error}"))?;
        let account = Account {
            user_id: self.user_id,
            username: self.username.clone(),
            display_name: self.display_name,
            email,
            password_hash: self.password_hash,
            disabled: self.disabled,
            created_at: Timestamp::from_unix_ms(self.created_at_ms),
            last_login: self.last_login_ms.map(Timestamp::from_unix_ms),
            last_seen: self.last_seen_ms.map(Timestamp::from_unix_ms),
        };
        let (folded, skeleton) = (self.username_folded, self.username_skeleton);
        let username = UsernameKeys { text: self.username, folded, skeleton };
        Ok(StoredAccount { account, username })
    }
}

impl ConversationText {
    fn into_conversation(self) -> Result<Conversation, String> {
        let kind = match (self.room, self.private) {
            (Some(RoomText { name, topic, visibility }), None) => {
                ConversationKind::Room { name, topic, visibility }
            }
            (None, Some([low, high])) => {
                let pair = Pair::new(low, high).ok_or("a private chat of one user")?;
                ConversationKind::Private(pair)
            }
            _ => return Err("a conversation is either a room or private".to_owned()),
        };
        Ok(Conversation {
            id: self.id,
            kind,
            created_by: self.created_by,
            created_at: Timestamp::from_unix_ms(self.created_at_ms),
            head: Head { seq: self.entries, messages: self.messages },
            member_count: self.members,
            owners: self.owners,
        })
    }
}

impl EntryText {
    fn into_line(self) -> Result<Line, String> {
        let body = match (self.message, self.event) {
            (Some(MessageText { kind, content, client_id }), None) => {
                EntryBody::Message(Message { content, kind, client_id })
            }
            (None, Some(event)) => EntryBody::Event(event.into()),
            _ => return Err("an entry is either a message or an event".to_owned()),
        };
        let timestamp = Timestamp::from_unix_ms(self.at_ms);
        Ok(Line::Entry { seq: self.seq, draft: Draft { id: self.id, by: self.by, timestamp, body } })
    }
}

impl From<Event> for EventText {
    fn from(event: Event) -> Self {
        match event {
            Event::Created => Self::Created {},
            Event::Invited { user } => Self::Invited { user },
            Event::Joined { user } => Self::Joined { user },
            Event::Left { user } => Self::Left { user },
            Event::Removed { user } => Self::Removed { user },
            Event::Banned { user } => Self::Banned { user },
            Event::Unbanned { user } => Self::Unbanned { user },
            Event::RoleChanged { user, role } => Self::RoleChanged { user, role },
            Event::Updated { name, topic } => Self::Updated { name, topic },
        }
    }
}

impl From<EventText> for Event {
    fn from(event: EventText) -> Self {
        match event {
            EventText::Created {} => Self::Created,
            EventText::Invited { user } => Self::Invited { user },
            EventText::Joined { user } => Self::Joined { user },
            EventText::Left { user } => Self::Left { user },
            EventText::Removed { user } => Self::Removed { user },
            EventText::Banned { user } => Self::Banned { user },
            EventText::Unbanned { user } => Self::Unbanned { user },
            EventText::RoleChanged { user, role } => Self::RoleChanged { user, role },
            EventText::Updated { name, topic } => Self::Updated { name, topic },
        }
    }
}
