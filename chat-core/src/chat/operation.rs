//! What a request wants of a log, and the rules that decide whether it becomes an entry.
//!
//! Pure functions of the conversation as it stands before the entry: the sequencer
//! calls them again whenever the log turned out to have moved on.

use super::log_state::LogState;
use super::permission::{ConversationAction, Relation, permit};
use crate::domain::{ConversationKind, EntryBody, Event, MemberState, Message, Role, RoomName, Topic};
use crate::error::ActionError;
use crate::id::{ConversationId, UserId};

/// A conversation as a request names it: an id under the wrong kind of name is not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConversationRef {
    /// Named as `room_id`.
    Room(ConversationId),
    /// Named as `chat_id`.
    PrivateChat(ConversationId),
    /// Named by code that takes any kind.
    Any(ConversationId),
}

impl ConversationRef {
    /// The id.
    #[must_use]
    pub fn id(self) -> ConversationId {
        match self {
            Self::Room(id) | Self::PrivateChat(id) | Self::Any(id) => id,
        }
    }

    pub(crate) fn fits(self, kind: &ConversationKind) -> bool {
        match (self, kind) {
            (Self::Any(_), _)
            | (Self::Room(_), ConversationKind::Room { .. })
            | (Self::PrivateChat(_), ConversationKind::Private(_)) => true,
            (Self::Room(_), ConversationKind::Private(_))
            | (Self::PrivateChat(_), ConversationKind::Room { .. }) => false,
        }
    }
}

impl From<ConversationId> for ConversationRef {
    fn from(id: ConversationId) -> Self {
        Self::Any(id)
    }
}

/// A change that a user wants to make to a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Send a message; `receiver`, if given, must be the peer of the private chat.
    Send { message: Message, receiver: Option<UserId> },
    /// Become a member.
    Join,
    /// Stop being one, or decline an invitation.
    Leave,
    /// Let a user join.
    Invite(UserId),
    /// Remove a member or withdraw an invitation.
    Remove(UserId),
    /// Remove a user for good.
    Ban(UserId),
    /// Lift a ban.
    Unban(UserId),
    /// Give a member a role.
    SetRole(UserId, Role),
    /// Change name or topic.
    Update { name: Option<RoomName>, topic: Option<Topic> },
}

impl Operation {
    /// The row of the permission table.
    pub(crate) fn action(&self) -> ConversationAction {
        match self {
            Self::Send { .. } => ConversationAction::Send,
            Self::Join => ConversationAction::Join,
            Self::Leave => ConversationAction::Leave,
            Self::Invite(_) => ConversationAction::Invite,
            Self::Remove(_) => ConversationAction::Remove,
            Self::Ban(_) => ConversationAction::Ban,
            Self::Unban(_) => ConversationAction::Unban,
            Self::SetRole(..) => ConversationAction::SetRole,
            Self::Update { .. } => ConversationAction::Update,
        }
    }

    /// The user, other than the actor, whose row decides too.
    pub(crate) fn target(&self) -> Option<UserId> {
        match self {
            Self::Invite(user)
            | Self::Remove(user)
            | Self::Ban(user)
            | Self::Unban(user)
            | Self::SetRole(user, _) => Some(*user),
            Self::Send { .. } | Self::Join | Self::Leave | Self::Update { .. } => None,
        }
    }

    /// Bytes of content, for the bounds of a batch.
    pub(crate) fn content_bytes(&self) -> usize {
        match self {
            Self::Send { message, .. } => message.content.as_str().len(),
            Self::Join
            | Self::Leave
            | Self::Invite(_)
            | Self::Remove(_)
            | Self::Ban(_)
            | Self::Unban(_)
            | Self::SetRole(..)
            | Self::Update { .. } => 0,
        }
    }

    pub(crate) fn is_message(&self) -> bool {
        matches!(self, Self::Send { .. })
    }
}

/// What `operation` by `actor` adds to the log as it stands; `None` if it changes nothing.
/// The rows of actor and target must be known to `state`.
pub(crate) fn decide(
    operation: &Operation,
    named: ConversationRef,
    actor: UserId,
    state: &LogState,
) -> Result<Option<EntryBody>, ActionError> {
    let conversation = state.conversation();
    if !named.fits(&conversation.kind) || conversation.is_closed() {
        return Err(ActionError::not_found());
    }
    let relation = Relation::of(state.member(actor));
    permit(operation.action(), relation, conversation.visibility())?;
    let event = match operation {
        Operation::Send { message, receiver } => {
            check_receiver(state, actor, *receiver)?;
            return Ok(Some(EntryBody::Message(message.clone())));
        }
        Operation::Join => match relation {
            Relation::Joined(_) => None,
            Relation::Stranger | Relation::Invited | Relation::Former | Relation::Banned => {
                Some(Event::Joined { user: actor })
            }
        },
        Operation::Leave => {
            check_owner_remains(state, actor, conversation.member_count)?;
            Some(Event::Left { user: actor })
        }
        Operation::Invite(user) => invite(state, *user)?,
        Operation::Remove(user) => Some(remove(state, actor, *user)?),
        Operation::Ban(user) => ban(state, actor, *user)?,
        Operation::Unban(user) => {
            (Relation::of(state.member(*user)) == Relation::Banned).then_some(Event::Unbanned { user: *user })
        }
        Operation::SetRole(user, role) => set_role(state, *user, *role)?,
        Operation::Update { name, topic } => update(state, name.clone(), topic.clone()),
    };
    Ok(event.map(EntryBody::Event))
}

fn check_receiver(state: &LogState, actor: UserId, receiver: Option<UserId>) -> Result<(), ActionError> {
    let peer = state.conversation().pair().and_then(|pair| pair.peer_of(actor));
    match receiver {
        Some(receiver) if Some(receiver) != peer => {
            Err(ActionError::invalid("receiver_id", "is not the other user of this chat"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Refuses what would leave members without an owner.
fn check_owner_remains(state: &LogState, user: UserId, member_count: u32) -> Result<(), ActionError> {
    if state.conversation().owners == [user] && member_count > 1 {
        return Err(ActionError::conflict("The last owner must hand over the room first"));
    }
    Ok(())
}

fn invite(state: &LogState, user: UserId) -> Result<Option<Event>, ActionError> {
    match Relation::of(state.member(user)) {
        Relation::Joined(_) | Relation::Invited => Ok(None),
        Relation::Banned => Err(ActionError::conflict("This user is banned from the room")),
        Relation::Stranger | Relation::Former => Ok(Some(Event::Invited { user })),
    }
}

fn remove(state: &LogState, actor: UserId, user: UserId) -> Result<Event, ActionError> {
    refuse_self(actor, user)?;
    match Relation::of(state.member(user)) {
        Relation::Joined(role) => refuse_equals(state, actor, role)?,
        Relation::Invited => {}
        Relation::Stranger | Relation::Former | Relation::Banned => return Err(ActionError::not_found()),
    }
    Ok(Event::Removed { user })
}

fn ban(state: &LogState, actor: UserId, user: UserId) -> Result<Option<Event>, ActionError> {
    refuse_self(actor, user)?;
    match Relation::of(state.member(user)) {
        Relation::Joined(role) => refuse_equals(state, actor, role)?,
        Relation::Banned => return Ok(None),
        Relation::Stranger | Relation::Invited | Relation::Former => {}
    }
    Ok(Some(Event::Banned { user }))
}

fn set_role(state: &LogState, user: UserId, role: Role) -> Result<Option<Event>, ActionError> {
    let Some(member) = state.member(user).filter(|member| member.state == MemberState::Joined) else {
        return Err(ActionError::not_found());
    };
    if member.role == role {
        return Ok(None);
    }
    if role != Role::Owner && state.conversation().owners == [user] {
        return Err(ActionError::conflict("The room must keep an owner"));
    }
    Ok(Some(Event::RoleChanged { user, role }))
}

fn update(state: &LogState, name: Option<RoomName>, topic: Option<Topic>) -> Option<Event> {
    let ConversationKind::Room { name: old_name, topic: old_topic, .. } = &state.conversation().kind else {
        return None;
    };
    let name = name.filter(|name| name != old_name);
    let topic = topic.filter(|topic| topic != old_topic);
    (name.is_some() || topic.is_some()).then_some(Event::Updated { name, topic })
}

fn refuse_self(actor: UserId, user: UserId) -> Result<(), ActionError> {
    if actor == user {
        return Err(ActionError::invalid("user_id", "must be another user"));
    }
    Ok(())
}

/// Members act only on those below them.
fn refuse_equals(state: &LogState, actor: UserId, role: Role) -> Result<(), ActionError> {
    match Relation::of(state.member(actor)) {
        Relation::Joined(own) if own > role => Ok(()),
        Relation::Joined(_)
        | Relation::Stranger
        | Relation::Invited
        | Relation::Former
        | Relation::Banned => Err(ActionError::forbidden()),
    }
}
