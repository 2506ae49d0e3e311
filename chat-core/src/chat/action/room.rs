//! Rooms: creating, finding, joining, leaving, and who may do what in them.

use std::sync::Arc;

use unicode_normalization::UnicodeNormalization as _;

use crate::chat::operation::{ConversationRef, Operation};
use crate::chat::permission::ConversationAction;
use crate::chat::user::User;
use crate::domain::{
    Conversation, ConversationKind, Entry, Member, MyConversation, Role, RoomName, Seq, Topic, Visibility,
};
use crate::error::ActionError;
use crate::id::{ConversationId, EntryId, UserId};
use crate::limits::hard;
use crate::port::{MembershipPage, NewConversation, RoomQuery};

/// A room to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRoom {
    /// The name to show.
    pub name: RoomName,
    /// What it is about; `None`: nothing yet.
    pub topic: Option<Topic>,
    /// Who may find and join it.
    pub visibility: Visibility,
}

/// A room as one of its members or invitees sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomView {
    /// The room.
    pub conversation: Conversation,
    /// The caller's row.
    pub member: Member,
    /// A page of members in the order of their ids; none for invitees.
    pub members: Vec<Member>,
    /// Whether there are more after the last.
    pub has_more: bool,
}

impl User {
    /// Creates a room and becomes its owner.
    ///
    /// # Errors
    /// `limit_exceeded` in too many rooms; `unavailable` or `timeout` from the store.
    pub async fn create_room(&self, room: NewRoom) -> Result<Arc<Conversation>, ActionError> {
        let engine = self.engine();
        let _place = engine.room_places.take(self.id());
        engine.check_rooms_of(self.id()).await?;
        let topic = match room.topic {
            Some(topic) => topic,
            None => Topic::new("").map_err(|_| ActionError::internal())?,
        };
        let kind = ConversationKind::Room { name: room.name, topic, visibility: room.visibility };
        self.create_conversation(kind).await
    }

    pub(super) async fn create_conversation(
        &self,
        kind: ConversationKind,
    ) -> Result<Arc<Conversation>, ActionError> {
        let engine = self.engine();
        let new = NewConversation {
            id: ConversationId::generate(),
            kind,
            created_by: self.id(),
            created_at: engine.clock.now(),
            entry_id: EntryId::generate(),
        };
        engine.sequencer(new.id).create(engine, new).await
    }

    /// Joins a room; changes nothing for its members. Answers the entry with which the membership began.
    ///
    /// # Errors
    /// `not_found`, `forbidden` for the banned, `limit_exceeded`.
    pub async fn join_room(&self, room: ConversationId) -> Result<Seq, ActionError> {
        let _place = self.engine().room_places.take(self.id());
        match self.change_room(room, Operation::Join).await? {
            Some(entry) => Ok(entry.seq),
            None => Ok(self.authorise(ConversationAction::Look, room).await?.member().since_seq),
        }
    }

    /// Leaves a room, or declines an invitation. The room closes with its last member.
    ///
    /// # Errors
    /// `conflict` for the last owner while others are members.
    pub async fn leave_room(&self, room: ConversationId) -> Result<(), ActionError> {
        self.change_room(room, Operation::Leave).await.map(drop)
    }

    /// Lets a user join; does nothing for members and invitees. Their devices are told.
    ///
    /// # Errors
    /// `not_found` for an unknown user, `conflict` for a banned one.
    pub async fn invite_member(&self, room: ConversationId, user: UserId) -> Result<(), ActionError> {
        self.require_user(user).await?;
        self.change_room(room, Operation::Invite(user)).await.map(drop)
    }

    /// Removes a member, or withdraws an invitation.
    ///
    /// # Errors
    /// `not_found` for others, `forbidden` for members of the same or a higher role.
    pub async fn remove_member(&self, room: ConversationId, user: UserId) -> Result<(), ActionError> {
        self.change_room(room, Operation::Remove(user)).await.map(drop)
    }

    /// Removes a user for good, member or not.
    ///
    /// # Errors
    /// As [`remove_member`](Self::remove_member); `not_found` for an unknown user.
    pub async fn ban_member(&self, room: ConversationId, user: UserId) -> Result<(), ActionError> {
        self.require_user(user).await?;
        self.change_room(room, Operation::Ban(user)).await.map(drop)
    }

    /// Lifts a ban; does nothing for others.
    ///
    /// # Errors
    /// `forbidden` below admins.
    pub async fn unban_member(&self, room: ConversationId, user: UserId) -> Result<(), ActionError> {
        self.change_room(room, Operation::Unban(user)).await.map(drop)
    }

    /// Gives a member another role.
    ///
    /// # Errors
    /// `not_found` for those who are no members, `conflict` if no owner would be left.
    pub async fn set_role(&self, room: ConversationId, user: UserId, role: Role) -> Result<(), ActionError> {
        self.change_room(room, Operation::SetRole(user, role)).await.map(drop)
    }

    /// Changes name or topic; what is `None` stays.
    ///
    /// # Errors
    /// `forbidden` below admins.
    pub async fn update_room(
        &self,
        room: ConversationId,
        name: Option<RoomName>,
        topic: Option<Topic>,
    ) -> Result<(), ActionError> {
        self.change_room(room, Operation::Update { name, topic }).await.map(drop)
    }

    /// A room with a page of its members, those with ids above `after`.
    ///
    /// # Errors
    /// `not_found`, `forbidden` for strangers of a public room.
    pub async fn room(
        &self,
        room: ConversationId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<RoomView, ActionError> {
        let engine = self.engine();
        let scope =
            engine.authorise(ConversationAction::Look, self.id(), ConversationRef::Room(room)).await?;
        let limit = limit.clamp(1, hard::PAGE_ITEMS);
        let mut members = Vec::new();
        if scope.member().is_joined() {
            members = engine.read(engine.rooms.members(scope.id(), after, limit + 1)).await?;
        }
        let has_more = members.len() > limit as usize;
        members.truncate(limit as usize);
        let (conversation, member) = (scope.conversation().clone(), scope.member().clone());
        Ok(RoomView { conversation, member, members, has_more })
    }

    /// A page of the user's rooms, joined and invited, in the order of their ids, and whether there are more.
    ///
    /// # Errors
    /// `unavailable` from the store.
    pub async fn rooms(
        &self,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<(Vec<MyConversation>, bool), ActionError> {
        self.my_conversations(true, after, limit).await
    }

    pub(super) async fn my_conversations(
        &self,
        rooms: bool,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<(Vec<MyConversation>, bool), ActionError> {
        let engine = self.engine();
        let limit = limit.clamp(1, hard::PAGE_ITEMS);
        let page = MembershipPage { rooms, after, limit: limit + 1 };
        let mut found = engine.read(engine.rooms.my_conversations(self.id(), page)).await?;
        let has_more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let joined = found.iter().filter(|mine| mine.member.is_joined());
        engine.reach(joined.map(|mine| (mine.conversation.id, mine.conversation.head.seq))).await?;
        Ok((found, has_more))
    }

    /// A page of public rooms whose name contains `text`, in the order of their ids, and whether there are more.
    ///
    /// # Errors
    /// `unavailable` from the store.
    pub async fn discover_rooms(
        &self,
        text: &str,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<(Vec<Conversation>, bool), ActionError> {
        let engine = self.engine();
        let limit = limit.clamp(1, hard::PAGE_ITEMS);
        // As the names are.
        let text = text.trim().nfc().collect();
        let query = RoomQuery { text, after, limit: limit + 1 };
        let mut found = engine.read(engine.rooms.discover(query)).await?;
        let has_more = found.len() > limit as usize;
        found.truncate(limit as usize);
        Ok((found, has_more))
    }

    async fn change_room(
        &self,
        room: ConversationId,
        operation: Operation,
    ) -> Result<Option<Arc<Entry>>, ActionError> {
        self.change(ConversationRef::Room(room), EntryId::generate(), operation).await
    }

    pub(super) async fn require_user(&self, user: UserId) -> Result<(), ActionError> {
        let profiles = self.engine().profiles(vec![user]).await?;
        if profiles.is_empty() { Err(ActionError::not_found()) } else { Ok(()) }
    }
}
