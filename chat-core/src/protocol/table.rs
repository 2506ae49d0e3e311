//! The table of actions: all that the protocol says of an action in general, on one line of it.
//!
//! What an action does is the engine's business: it has a trait to implement for each noun, with a method for each
//! action, so that no action is left out and none has another's reply.

use std::fmt;

use serde::Serialize;

use super::Envelope;
use super::field::read;
use super::reply::{
    AuthenticateReply, ChatListReply, CreateRoomReply, Done, GetRoomReply, HistoryReply, JoinRoomReply,
    LoginReply, MarkReadReply, OpenPrivateChatReply, PongReply, PresenceReply, RoomListReply, SendReply,
    SessionsReply, SyncReply, UserReply, UsersReply,
};
use super::request::{
    Authenticate, ChangePassword, CreateRoom, GetRoom, History, ListPrivateChats, ListRooms, ListSessions,
    Login, MarkRead, Nothing, OpenPrivateChat, RefreshToken, Register, RevokeSession, Room, RoomUser,
    SendMessage, SetRole, SetStatus, Sync, Typing, UpdateProfile, UpdateRoom, Users,
};
use crate::error::{ActionError, Code};
use crate::frame::Frame;

/// What an action does to what others, or later requests of the connection, find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Nothing that is stored.
    None,
    /// It changes something.
    Changes,
    /// It changes who is signed in or may sign in: the connection reads nothing else until it is answered.
    SignsIn,
}

/// Encodes the replies of one request.
pub(crate) trait Encodes {
    /// The frame that answers with `reply`.
    fn encode(&self, reply: &impl Serialize) -> Frame;
}

/// Of each noun: its variant of [`Request`], the enum of its requests and the trait that answers them; of each of its
/// actions: name, variant, fields and reply, its effect, and how its fields are read. `Open` is what anybody may ask;
/// everything else needs somebody who is signed in. The two actions that send a message are one request, because messages
/// are let in, ordered and answered in a way of their own.
macro_rules! actions {
    (
        Send($message:ident) -> $sent:ty, $send_effect:ident, answered by $sends:ident {
            $($send:ident: read by $send_read:path;)*
        }
        $(
            $(#[$doc:meta])*
            $noun:ident($request:ident) answered by $answers:ident {
                $($action:ident: $variant:ident($fields:ty) -> $reply:ty, $effect:ident, read by $read:path;)*
            }
        )*
    ) => {
        /// A request of protocol v1, by the noun that it is about.
        #[derive(Clone)]
        pub enum Request {
            /// A message to send: `send_room_message` or `send_private_message`.
            Send($message),
            $($(#[$doc])* $noun($request),)*
        }

        /// The names of all actions of protocol v1.
        pub const ACTIONS: &[&str] = &[$(stringify!($send),)* $($(stringify!($action),)*)*];

        impl Request {
            /// Reads the fields of the envelope's action.
            ///
            /// # Errors
            /// `unknown_action`, or `invalid_params` with the field that is missing, unknown or has a value that
            /// is not allowed.
            pub fn decode(envelope: &Envelope<'_>) -> Result<Self, ActionError> {
                match envelope.action() {
                    $(stringify!($send) => $send_read(envelope).map(Self::Send),)*
                    $($(stringify!($action) => {
                        $read(envelope).map(|fields| Self::$noun($request::$variant(fields)))
                    })*)*
                    _ => Err(ActionError::new(Code::UnknownAction, "Unknown action")),
                }
            }

            /// The name of the action.
            #[must_use]
            pub fn action_name(&self) -> &'static str {
                match self {
                    Self::Send(message) => message.action_name(),
                    $($(Self::$noun($request::$variant(_)) => stringify!($action),)*)*
                }
            }

            /// What the action does.
            #[must_use]
            pub fn effect(&self) -> Effect {
                match self {
                    Self::Send(_) => Effect::$send_effect,
                    $($(Self::$noun($request::$variant(_)) => Effect::$effect,)*)*
                }
            }
        }

        /// As the request of its noun: an action's name is enough to know the noun.
        impl fmt::Debug for Request {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    Self::Send(message) => message.fmt(f),
                    $(Self::$noun(request) => request.fmt(f),)*
                }
            }
        }

        #[doc = concat!("Sends a [`", stringify!($message), "`].")]
        pub(crate) trait $sends {
            async fn send(&self, message: $message) -> Result<$sent, ActionError>;
        }

        $(
            $(#[$doc])*
            #[derive(Debug, Clone)]
            pub enum $request {
                $(#[doc = concat!("`", stringify!($action), "`")] $variant($fields),)*
            }

            impl $request {
                /// Has it done and encodes the reply.
                pub(crate) async fn answer(self, by: &impl $answers) -> Result<Frame, ActionError> {
                    match self {
                        $(Self::$variant(request) => Ok(by.encode(&by.$action(request).await?)),)*
                    }
                }
            }

            #[doc = concat!("Does the actions of [`", stringify!($request), "`].")]
            pub(crate) trait $answers: Encodes {
                $(async fn $action(&self, request: $fields) -> Result<$reply, ActionError>;)*
            }
        )*
    };
}

actions! {
    Send(SendMessage) -> SendReply, Changes, answered by AnswersSend {
        send_room_message: read by SendMessage::decode_room;
        send_private_message: read by SendMessage::decode_private;
    }
    /// What anybody may ask.
    Open(OpenRequest) answered by AnswersOpen {
        register: Register(Register) -> UserReply, SignsIn, read by read;
        login: Login(Login) -> LoginReply, SignsIn, read by read;
        authenticate: Authenticate(Authenticate) -> AuthenticateReply, SignsIn, read by Authenticate::decode;
        refresh_token: RefreshToken(RefreshToken) -> LoginReply, SignsIn, read by read;
        ping: Ping(Nothing) -> PongReply, None, read by read;
    }
    /// About the account of the user and its sessions.
    Account(AccountRequest) answered by AnswersAccount {
        logout: Logout(Nothing) -> Done, SignsIn, read by read;
        list_sessions: ListSessions(ListSessions) -> SessionsReply, None, read by read;
        // It may be the own one.
        revoke_session: RevokeSession(RevokeSession) -> Done, SignsIn, read by read;
        change_password: ChangePassword(ChangePassword) -> Done, Changes, read by read;
        update_profile: UpdateProfile(UpdateProfile) -> UserReply, Changes, read by read;
    }
    /// About rooms and their members.
    Room(RoomRequest) answered by AnswersRoom {
        create_room: CreateRoom(CreateRoom) -> CreateRoomReply, Changes, read by read;
        join_room: JoinRoom(Room) -> JoinRoomReply, Changes, read by read;
        leave_room: LeaveRoom(Room) -> Done, Changes, read by read;
        get_room: GetRoom(GetRoom) -> GetRoomReply, None, read by read;
        list_rooms: ListRooms(ListRooms) -> RoomListReply, None, read by ListRooms::decode;
        invite_member: InviteMember(RoomUser) -> Done, Changes, read by read;
        remove_member: RemoveMember(RoomUser) -> Done, Changes, read by read;
        ban_member: BanMember(RoomUser) -> Done, Changes, read by read;
        unban_member: UnbanMember(RoomUser) -> Done, Changes, read by read;
        set_role: SetRole(SetRole) -> Done, Changes, read by read;
        update_room: UpdateRoom(UpdateRoom) -> Done, Changes, read by UpdateRoom::decode;
    }
    /// About private chats.
    PrivateChat(PrivateChatRequest) answered by AnswersPrivateChat {
        list_private_chats: ListPrivateChats(ListPrivateChats) -> ChatListReply, None, read by read;
        open_private_chat: OpenPrivateChat(OpenPrivateChat) -> OpenPrivateChatReply, Changes, read by OpenPrivateChat::decode;
    }
    /// About messages of one conversation that are there.
    Message(MessageRequest) answered by AnswersMessage {
        get_room_messages: GetRoomMessages(History) -> HistoryReply, None, read by History::decode_room;
        get_private_messages: GetPrivateMessages(History) -> HistoryReply, None, read by History::decode_private;
        mark_read: MarkRead(MarkRead) -> MarkReadReply, Changes, read by MarkRead::decode;
        typing: Typing(Typing) -> Done, None, read by Typing::decode;
    }
    /// About all that was missed.
    Sync(SyncRequest) answered by AnswersSync {
        sync: Sync(Sync) -> SyncReply, None, read by read;
    }
    /// About users: how they look and whether they are there.
    Presence(PresenceRequest) answered by AnswersPresence {
        set_status: SetStatus(SetStatus) -> Done, Changes, read by read;
        get_presence: GetPresence(Users) -> PresenceReply, None, read by read;
        get_users: GetUsers(Users) -> UsersReply, None, read by read;
    }
}
