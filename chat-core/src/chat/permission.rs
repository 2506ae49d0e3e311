//! Who may do what in a conversation: the one table of action × relation.
//!
//! Every match here is exhaustive: an action without a row does not compile. What is
//! not allowed by a row is refused.

use crate::domain::{Member, MemberState, Role, Visibility};
use crate::error::ActionError;

/// What a request does to one conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConversationAction {
    /// See name, topic and members.
    Look,
    /// Read the log: history and `sync`.
    Read,
    /// Send a message.
    Send,
    /// Move one's read position.
    MarkRead,
    /// Tell that one is typing.
    Type,
    /// Become a member.
    Join,
    /// Stop being a member, or decline an invitation.
    Leave,
    /// Invite a user.
    Invite,
    /// Remove a member or withdraw an invitation.
    Remove,
    /// Remove a user for good.
    Ban,
    /// Lift a ban.
    Unban,
    /// Give a member another role.
    SetRole,
    /// Change name or topic.
    Update,
}

impl ConversationAction {
    /// All actions, for tests that walk the table.
    pub const ALL: [Self; 13] = [
        Self::Look,
        Self::Read,
        Self::Send,
        Self::MarkRead,
        Self::Type,
        Self::Join,
        Self::Leave,
        Self::Invite,
        Self::Remove,
        Self::Ban,
        Self::Unban,
        Self::SetRole,
        Self::Update,
    ];
}

/// How a user stands to a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relation {
    /// Never was there.
    Stranger,
    /// May join.
    Invited,
    /// Left or was removed.
    Former,
    /// Was banned.
    Banned,
    /// Is a member with this role.
    Joined(Role),
}

impl Relation {
    /// All relations, for tests that walk the table.
    pub const ALL: [Self; 7] = [
        Self::Stranger,
        Self::Invited,
        Self::Former,
        Self::Banned,
        Self::Joined(Role::Member),
        Self::Joined(Role::Admin),
        Self::Joined(Role::Owner),
    ];

    /// How the owner of this row stands; no row is a stranger.
    #[must_use]
    pub fn of(member: Option<&Member>) -> Self {
        match member.map(|member| (member.state, member.role)) {
            None => Self::Stranger,
            Some((MemberState::Invited, _)) => Self::Invited,
            Some((MemberState::Left | MemberState::Removed, _)) => Self::Former,
            Some((MemberState::Banned, _)) => Self::Banned,
            Some((MemberState::Joined, role)) => Self::Joined(role),
        }
    }
}

/// Which relations a row allows.
struct Row {
    strangers: bool,
    invited: bool,
    former: bool,
    /// The least role; members below it are refused.
    joined: Role,
}

const MEMBERS: Row = Row { strangers: false, invited: false, former: false, joined: Role::Member };
const ADMINS: Row = Row { joined: Role::Admin, ..MEMBERS };
const OWNERS: Row = Row { joined: Role::Owner, ..MEMBERS };

/// The table. Nobody who is banned may do anything.
const fn row(action: ConversationAction) -> Row {
    match action {
        ConversationAction::Look | ConversationAction::Leave => Row { invited: true, ..MEMBERS },
        ConversationAction::Read
        | ConversationAction::Send
        | ConversationAction::MarkRead
        | ConversationAction::Type => MEMBERS,
        // In a private room strangers and former members do not get so far.
        ConversationAction::Join => Row { strangers: true, invited: true, former: true, ..MEMBERS },
        ConversationAction::Invite
        | ConversationAction::Remove
        | ConversationAction::Ban
        | ConversationAction::Unban
        | ConversationAction::Update => ADMINS,
        ConversationAction::SetRole => OWNERS,
    }
}

/// Whether `relation` may do `action`.
///
/// # Errors
/// `not_found` where the user may not even know of the conversation, else `forbidden`.
pub fn permit(
    action: ConversationAction,
    relation: Relation,
    visibility: Visibility,
) -> Result<(), ActionError> {
    let row = row(action);
    let (knows_private, allowed) = match relation {
        Relation::Stranger => (false, row.strangers),
        Relation::Former => (false, row.former),
        Relation::Banned => (false, false),
        Relation::Invited => (true, row.invited),
        Relation::Joined(role) => (true, role >= row.joined),
    };
    if visibility == Visibility::Private && !knows_private {
        return Err(ActionError::not_found());
    }
    if allowed { Ok(()) } else { Err(ActionError::forbidden()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn code(action: ConversationAction, relation: Relation, visibility: Visibility) -> Option<Code> {
        permit(action, relation, visibility).err().map(|error| error.code)
    }

    #[test]
    fn sec_33_private_rooms_look_absent_to_all_but_members_and_invitees() {
        for action in ConversationAction::ALL {
            for relation in [Relation::Stranger, Relation::Former, Relation::Banned] {
                assert_eq!(code(action, relation, Visibility::Private), Some(Code::NotFound), "{action:?}");
            }
        }
    }

    #[test]
    fn sec_31_only_members_read_and_write() {
        for action in [ConversationAction::Read, ConversationAction::Send, ConversationAction::Type] {
            for relation in [Relation::Stranger, Relation::Invited, Relation::Former, Relation::Banned] {
                assert_eq!(code(action, relation, Visibility::Public), Some(Code::Forbidden));
            }
            assert_eq!(code(action, Relation::Joined(Role::Member), Visibility::Private), None);
        }
    }

    #[test]
    fn roles_add_up() {
        for action in ConversationAction::ALL {
            let allowed = [Role::Member, Role::Admin, Role::Owner]
                .map(|role| code(action, Relation::Joined(role), Visibility::Public).is_none());
            assert!(allowed.is_sorted(), "{action:?}: a higher role may do less");
            assert!(allowed[2], "{action:?}: owners may do everything");
        }
    }

    #[test]
    fn banned_users_cannot_come_back() {
        assert_eq!(
            code(ConversationAction::Join, Relation::Banned, Visibility::Public),
            Some(Code::Forbidden)
        );
        assert_eq!(code(ConversationAction::Join, Relation::Former, Visibility::Public), None);
    }
}
