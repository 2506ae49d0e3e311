//! What clients can ask for: one variant per action, one closed struct for its fields.
//!
//! A request that is decoded obeys every bound that does not depend on settings or stored data.

mod account;
mod message;
mod room;
mod value;

pub use account::{
    Authenticate, ChangePassword, ListSessions, Login, Nothing, RefreshToken, Register, RevokeSession,
    SetStatus, UpdateProfile, Users,
};
pub use message::{History, SendPrivateMessage, SendRoomMessage, Sync};
pub use room::{
    CreateRoom, GetRoom, ListPrivateChats, ListRooms, MarkRead, OpenPrivateChat, Room, RoomScope, RoomUser,
    SetRole, Typing, UpdateRoom,
};
pub use value::{ConversationSelector, Cursors, PageLimit, UserIds, WireId};

use super::Envelope;
use super::field::read;
use crate::error::{ActionError, Code};

/// Each line is an action: its name, its variant with the type of its fields, and how these are read.
macro_rules! actions {
    ($($name:literal => $variant:ident($fields:ty) by $read:path,)*) => {
        /// A request of protocol v1; each variant is the action of the same name.
        #[derive(Debug, Clone)]
        pub enum Request {
            $(#[doc = concat!("`", $name, "`")] $variant($fields),)*
        }

        /// The names of all actions of protocol v1.
        pub const ACTIONS: &[&str] = &[$($name),*];

        impl Request {
            /// Reads the fields of the envelope's action.
            ///
            /// # Errors
            /// `unknown_action`, or `invalid_params` with the field that is missing, unknown or has a value that
            /// is not allowed.
            pub fn decode(envelope: &Envelope<'_>) -> Result<Self, ActionError> {
                match envelope.action() {
                    $($name => $read(envelope).map(Self::$variant),)*
                    _ => Err(ActionError::new(Code::UnknownAction, "Unknown action")),
                }
            }

            /// The name of the action.
            #[must_use]
            pub fn action_name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }
        }
    };
}

actions! {
    "register" => Register(Register) by read,
    "login" => Login(Login) by read,
    "authenticate" => Authenticate(Authenticate) by Authenticate::decode,
    "refresh_token" => RefreshToken(RefreshToken) by read,
    "logout" => Logout(Nothing) by read,
    "list_sessions" => ListSessions(ListSessions) by read,
    "revoke_session" => RevokeSession(RevokeSession) by read,
    "change_password" => ChangePassword(ChangePassword) by read,
    "update_profile" => UpdateProfile(UpdateProfile) by read,
    "create_room" => CreateRoom(CreateRoom) by read,
    "join_room" => JoinRoom(Room) by read,
    "leave_room" => LeaveRoom(Room) by read,
    "get_room" => GetRoom(GetRoom) by read,
    "list_rooms" => ListRooms(ListRooms) by ListRooms::decode,
    "list_private_chats" => ListPrivateChats(ListPrivateChats) by read,
    "invite_member" => InviteMember(RoomUser) by read,
    "remove_member" => RemoveMember(RoomUser) by read,
    "ban_member" => BanMember(RoomUser) by read,
    "unban_member" => UnbanMember(RoomUser) by read,
    "set_role" => SetRole(SetRole) by read,
    "update_room" => UpdateRoom(UpdateRoom) by UpdateRoom::decode,
    "open_private_chat" => OpenPrivateChat(OpenPrivateChat) by OpenPrivateChat::decode,
    "send_room_message" => SendRoomMessage(SendRoomMessage) by read,
    "send_private_message" => SendPrivateMessage(SendPrivateMessage) by read,
    "get_room_messages" => GetRoomMessages(History) by History::decode_room,
    "get_private_messages" => GetPrivateMessages(History) by History::decode_private,
    "sync" => Sync(Sync) by read,
    "mark_read" => MarkRead(MarkRead) by MarkRead::decode,
    "typing" => Typing(Typing) by Typing::decode,
    "set_status" => SetStatus(SetStatus) by read,
    "get_presence" => GetPresence(Users) by read,
    "get_users" => GetUsers(Users) by read,
    "ping" => Ping(Nothing) by read,
}
