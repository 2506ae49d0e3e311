//! What the server answers: frames with `success`, and the results of the actions.
//!
//! A result is a struct with the fields of its action's reply. An action that has nothing to say answers [`Done`].

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::event::ConversationKey;
use super::{ActionError, Code, RequestId};
use crate::domain::{
    ClientId, Content, Conversation, ConversationKind, DeviceName, DisplayName, Entry, EntryBody, Member,
    MessageKind, Presence, Profile, Role, RoomName, Seq, SessionInfo, Status, Topic, Visibility,
};
use crate::hub::Frame;
use crate::id::{ConversationId, EntryId, SessionId, UserId};
use crate::port::{Grant, Identity, MyConversation, Unread};
use crate::time::Timestamp;

/// The reply to a request that succeeded. `result` must be a JSON object: its fields become those of the reply.
///
/// A result that is no object, which only an application's own action can have, is answered as `internal`.
#[must_use]
pub fn success(request_id: Option<&RequestId>, result: &impl Serialize) -> Frame {
    let mut json = begin("{\"success\":true", request_id).into_bytes();
    let start = json.len();
    let is_object = serde_json::to_writer(&mut json, result).is_ok() && json.get(start) == Some(&b'{');
    if !is_object {
        return failure(request_id, &ActionError::internal());
    }
    if json.len() == start + "{}".len() {
        json.truncate(start);
        json.push(b'}');
    } else {
        // The result's own brace becomes the comma behind the fields that every reply has.
        json[start] = b',';
    }
    Frame::new(String::from_utf8(json).expect("serde_json writes UTF-8"))
}

/// The reply to a request that was refused.
#[must_use]
pub fn failure(request_id: Option<&RequestId>, error: &ActionError) -> Frame {
    let mut json = begin("{\"success\":false", request_id);
    let fields = FailureFields {
        code: error.code,
        message: &error.message,
        field: error.field.as_deref(),
        reason: error.reason.map(super::UnauthenticatedReason::as_str),
        retry_after_ms: error.retry_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
    };
    let fields = serde_json::to_string(&fields).expect("texts and numbers serialise");
    json.push(',');
    json.push_str(&fields[1..]);
    Frame::new(json)
}

fn begin(start: &str, request_id: Option<&RequestId>) -> String {
    let mut json = String::with_capacity(256);
    json.push_str(start);
    if let Some(request_id) = request_id {
        json.push_str(",\"request_id\":");
        json.push_str(request_id.as_json());
    }
    json
}

#[derive(Serialize)]
struct FailureFields<'a> {
    #[serde(serialize_with = "code")]
    code: Code,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

/// Nothing but success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Done {}

/// `register`, `update_profile`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct UserReply {
    /// The user.
    pub user_id: UserId,
}

/// `login`, `refresh_token`: the only places where tokens are given out.
#[derive(Debug, Clone, Serialize)]
pub struct LoginReply {
    /// The access token.
    #[serde(serialize_with = "secret")]
    pub token: SecretString,
    /// The token for the next pair.
    #[serde(serialize_with = "secret")]
    pub refresh_token: SecretString,
    /// How long the access token is good; in seconds.
    #[serde(serialize_with = "seconds")]
    pub expires_in: Duration,
    /// The user.
    pub user_id: UserId,
    /// The user's name.
    pub username: String,
}

impl From<Grant> for LoginReply {
    fn from(grant: Grant) -> Self {
        Self {
            token: grant.token,
            refresh_token: grant.refresh_token,
            expires_in: grant.expires_in,
            user_id: grant.identity.user_id,
            username: grant.identity.username,
        }
    }
}

/// `authenticate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuthenticateReply {
    /// The user.
    pub user_id: UserId,
    /// The user's name.
    pub username: String,
    /// How much longer the access token is good, in seconds; absent if it does not end.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "some_seconds")]
    pub expires_in: Option<Duration>,
}

impl AuthenticateReply {
    /// The reply to a token that stands for `identity`.
    #[must_use]
    pub fn new(identity: &Identity, now: Timestamp) -> Self {
        Self {
            user_id: identity.user_id,
            username: identity.username.clone(),
            expires_in: identity.expires_at.map(|end| end.since(now)),
        }
    }
}

/// `list_sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionsReply {
    /// The caller's sessions, the latest used first.
    pub sessions: Vec<SessionView>,
}

/// A session of the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionView {
    /// The session.
    pub session_id: SessionId,
    /// Its label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceName>,
    /// When it signed in.
    pub created_at: Timestamp,
    /// When it last refreshed or authenticated.
    pub last_used_at: Timestamp,
    /// Whether it is the one that asks.
    pub current: bool,
}

impl SessionView {
    /// How `session` is shown to the session `current`.
    #[must_use]
    pub fn new(session: SessionInfo, current: SessionId) -> Self {
        Self {
            session_id: session.session_id,
            device: session.device,
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            current: session.session_id == current,
        }
    }
}

/// `get_users`. Unknown users are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UsersReply {
    /// The users.
    pub users: Vec<UserView>,
}

/// A user as another sees them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserView {
    /// The user.
    pub user_id: UserId,
    /// The unique name.
    pub username: String,
    /// The name to show.
    pub display_name: DisplayName,
    /// When they were last online, if the caller may know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
}

impl From<Profile> for UserView {
    fn from(profile: Profile) -> Self {
        Self {
            user_id: profile.user_id,
            username: profile.username,
            display_name: profile.display_name,
            last_seen: profile.last_seen,
        }
    }
}

/// `get_presence`. Users who share nothing with the caller are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PresenceReply {
    /// The users.
    pub users: Vec<PresenceView>,
}

/// A user's presence, in replies and pushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PresenceView {
    /// The user.
    pub user_id: UserId,
    /// The status.
    pub status: Status,
    /// When they were last online; absent while they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
}

impl From<Presence> for PresenceView {
    fn from(Presence { user_id, status, last_seen }: Presence) -> Self {
        Self { user_id, status, last_seen }
    }
}

/// `create_room`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CreateRoomReply {
    /// The room.
    pub room_id: ConversationId,
}

/// `join_room`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct JoinRoomReply {
    /// The room.
    pub room_id: ConversationId,
    /// The entry by which the caller is a member: the first that is pushed.
    pub since_seq: Seq,
}

/// `open_private_chat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct OpenPrivateChatReply {
    /// The chat.
    pub chat_id: ConversationId,
    /// The other one.
    pub user_id: UserId,
}

/// `get_room`: the room's fields and a page of its members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GetRoomReply {
    /// The room.
    #[serde(flatten)]
    pub room: RoomView,
    /// Members in the order of their ids.
    pub members: Vec<MemberView>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_after: Option<UserId>,
}

/// A member of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemberView {
    /// The member.
    pub user_id: UserId,
    /// Their role.
    pub role: Role,
    /// The entry by which they are a member.
    pub since_seq: Seq,
}

impl From<&Member> for MemberView {
    fn from(member: &Member) -> Self {
        Self { user_id: member.user_id, role: member.role, since_seq: member.since_seq }
    }
}

/// `list_rooms`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoomListReply {
    /// The rooms in the order of their ids.
    pub rooms: Vec<RoomView>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_after: Option<ConversationId>,
}

/// A room as one user sees it: what they may not know, or what does not apply, is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoomView {
    /// The room.
    pub room_id: ConversationId,
    /// Its name.
    pub room_name: RoomName,
    /// What it is about.
    pub topic: Topic,
    /// Who may find and join it.
    pub visibility: Visibility,
    /// Whether the user has joined or is invited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub membership: Option<Membership>,
    /// Who invited the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invited_by: Option<UserId>,
    /// The user's role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// How many members are joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_count: Option<u32>,
    /// The number of the last entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_seq: Option<Seq>,
    /// What the user has read and not read.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub reading: Option<ReadingView>,
    /// The newest message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_message: Option<MessageView>,
}

/// Where a user stands in a room that they see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Membership {
    /// A member.
    Joined,
    /// May join.
    Invited,
}

impl RoomView {
    /// The room as `member` (the viewer's row, if there is one) sees it; `None` for private chats.
    ///
    /// Members see everything, strangers of a public room its size, invitees of a private room only what
    /// they are invited to, and by whom.
    #[must_use]
    pub fn new(conversation: &Conversation, member: Option<&Member>) -> Option<Self> {
        let ConversationKind::Room { name, topic, visibility } = &conversation.kind else { return None };
        let joined = member.filter(|member| member.is_joined());
        let invited = member.filter(|member| member.state == crate::domain::MemberState::Invited);
        let sees_size = joined.is_some() || *visibility == Visibility::Public;
        let membership = match (joined, invited) {
            (Some(_), _) => Some(Membership::Joined),
            (None, Some(_)) => Some(Membership::Invited),
            (None, None) => None,
        };
        Some(Self {
            room_id: conversation.id,
            room_name: name.clone(),
            topic: topic.clone(),
            visibility: *visibility,
            membership,
            invited_by: invited.and_then(|member| member.invited_by),
            role: joined.map(|member| member.role),
            member_count: sees_size.then_some(conversation.member_count),
            head_seq: joined.map(|_| conversation.head.seq),
            reading: None,
            last_message: None,
        })
    }

    /// One of the viewer's own rooms; `None` for private chats.
    #[must_use]
    pub fn mine(mine: &MyConversation) -> Option<Self> {
        let room = Self::new(&mine.conversation, Some(&mine.member))?;
        if !mine.member.is_joined() {
            return Some(room);
        }
        Some(Self {
            reading: Some(ReadingView::new(mine.member.read_seq, mine.unread)),
            last_message: mine.last_message.as_ref().and_then(MessageView::new),
            ..room
        })
    }
}

/// What a user has read of a conversation: `read_seq`, and `unread` or `unread_at_least`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ReadingView {
    /// Everything up to here is read.
    pub read_seq: Seq,
    /// Messages by others above it, exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<u64>,
    /// So many or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread_at_least: Option<u64>,
}

impl ReadingView {
    fn new(read_seq: Seq, unread: Unread) -> Self {
        let (unread, unread_at_least) = match unread {
            Unread::Exactly(count) => (Some(count), None),
            Unread::AtLeast(count) => (None, Some(count)),
        };
        Self { read_seq, unread, unread_at_least }
    }
}

/// `list_private_chats`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChatListReply {
    /// The chats in the order of their ids.
    pub chats: Vec<ChatView>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_after: Option<ConversationId>,
}

/// A private chat as one of the two sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChatView {
    /// The chat.
    pub chat_id: ConversationId,
    /// The other one.
    pub user_id: UserId,
    /// The number of the last entry.
    pub head_seq: Seq,
    /// What is read and not read.
    #[serde(flatten)]
    pub reading: ReadingView,
    /// The newest message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_message: Option<MessageView>,
}

impl ChatView {
    /// One of the viewer's own chats; `None` for rooms.
    #[must_use]
    pub fn mine(mine: &MyConversation) -> Option<Self> {
        Some(Self {
            chat_id: mine.conversation.id,
            user_id: mine.conversation.pair()?.peer_of(mine.member.user_id)?,
            head_seq: mine.conversation.head.seq,
            reading: ReadingView::new(mine.member.read_seq, mine.unread),
            last_message: mine.last_message.as_ref().and_then(MessageView::new),
        })
    }
}

/// `send_room_message`, `send_private_message`: the message is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SendReply {
    /// Its key.
    pub message_id: EntryId,
    /// Its number in the conversation.
    pub seq: Seq,
    /// When it arrived.
    pub timestamp: Timestamp,
}

impl From<&Entry> for SendReply {
    fn from(entry: &Entry) -> Self {
        Self { message_id: entry.id, seq: entry.seq, timestamp: entry.timestamp }
    }
}

/// `get_room_messages`, `get_private_messages`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryReply {
    /// The messages, the oldest first.
    pub messages: Vec<MessageView>,
    /// Whether there are more in the direction that was asked for.
    pub has_more: bool,
}

impl From<crate::port::MessagePage> for HistoryReply {
    fn from(page: crate::port::MessagePage) -> Self {
        Self { messages: page.entries.iter().filter_map(MessageView::new).collect(), has_more: page.has_more }
    }
}

/// A message in a page of history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageView {
    /// Its key.
    pub message_id: EntryId,
    /// Its number in the conversation.
    pub seq: Seq,
    /// Who sent it.
    pub sender_id: UserId,
    /// What it says.
    pub content: Content,
    /// What that is.
    #[serde(rename = "type")]
    pub kind: MessageKind,
    /// When it arrived.
    pub timestamp: Timestamp,
    /// The sender's key for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<ClientId>,
}

impl MessageView {
    /// The message that `entry` is; `None` if it is an event.
    #[must_use]
    pub fn new(entry: &Entry) -> Option<Self> {
        let EntryBody::Message(message) = &entry.body else { return None };
        Some(Self {
            message_id: entry.id,
            seq: entry.seq,
            sender_id: entry.by,
            content: message.content.clone(),
            kind: message.kind,
            timestamp: entry.timestamp,
            client_id: message.client_id.clone(),
        })
    }
}

/// `mark_read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MarkReadReply {
    /// The read position that holds now.
    pub read_seq: Seq,
}

/// `ping`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PongReply {
    /// Always true.
    pub pong: bool,
    /// The server's clock.
    pub server_time: Timestamp,
}

impl PongReply {
    /// The answer at this time.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { pong: true, server_time: now }
    }
}

/// `sync`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SyncReply {
    /// The history that the server holds.
    pub epoch: String,
    /// What became of each conversation that was asked for, by its id (or what stood in its place).
    #[serde(serialize_with = "map")]
    pub conversations: Vec<(String, SyncConversation)>,
    /// The caller's conversations that were not asked for.
    pub others: Vec<OtherConversation>,
    /// Whether `others` is cut short: then the lists have the rest.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more_others: bool,
}

/// What a client misses of one conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SyncConversation {
    /// What the client should do.
    pub state: SyncState,
    /// The number of the last entry; absent when gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_seq: Option<Seq>,
    /// Entries above the cursor in their order, as [`entry_push`](super::entry_push) makes them.
    #[serde(serialize_with = "frames")]
    pub entries: Vec<Frame>,
    /// Whether to ask again from the last of them.
    pub more: bool,
}

/// What a client should do with a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncState {
    /// Take the entries.
    Ok,
    /// Too many are missed: read the history.
    Page,
    /// Not a member (any more).
    Gone,
    /// The cursor is of another history: drop what is cached.
    Reset,
}

/// A conversation of the caller that `sync` was not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct OtherConversation {
    /// Which.
    #[serde(flatten)]
    pub conversation: ConversationKey,
    /// The number of its last entry.
    pub head_seq: Seq,
}

fn code<S: Serializer>(code: &Code, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.as_str())
}

fn secret<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

pub(super) fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}

fn some_seconds<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs()).serialize(serializer)
}

fn map<S: Serializer>(
    conversations: &[(String, SyncConversation)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(conversations.len()))?;
    for (id, conversation) in conversations {
        map.serialize_entry(id, conversation)?;
    }
    map.end()
}

/// Frames are JSON already: they are copied, not encoded again.
fn frames<S: Serializer>(frames: &[Frame], serializer: S) -> Result<S::Ok, S::Error> {
    let entries = frames.iter().map(|frame| serde_json::from_str::<&RawValue>(frame.text()));
    let entries: Vec<&RawValue> = entries.collect::<Result<_, _>>().map_err(serde::ser::Error::custom)?;
    entries.serialize(serializer)
}
