//! Results about rooms, their members and private chats, as one user sees them.

use serde::Serialize;

use super::MessageView;
use crate::domain::{
    Conversation, ConversationKind, Member, MemberState, MyConversation, Role, RoomName, Seq, Topic, Unread,
    Visibility,
};
use crate::id::{ConversationId, UserId};
use crate::protocol::event::EntryContext;

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
        let invited = member.filter(|member| member.state == MemberState::Invited);
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
            last_message: last_message(mine),
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
            last_message: last_message(mine),
        })
    }
}

fn last_message(mine: &MyConversation) -> Option<MessageView> {
    MessageView::new(mine.last_message.as_ref()?, EntryContext::of(&mine.conversation))
}
