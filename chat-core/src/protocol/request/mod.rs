//! What clients can ask for: closed structs for the fields of actions. Which action has which, the table beside says.
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
pub use message::{History, SendMessage, Sync};
pub use room::{
    CreateRoom, GetRoom, ListPrivateChats, ListRooms, MarkRead, OpenPrivateChat, Room, RoomScope, RoomUser,
    SetRole, Typing, UpdateRoom,
};
pub use value::{ConversationSelector, Cursors, PageLimit, UserIds, WireId};

pub use super::table::{
    ACTIONS, AccountRequest, Effect, MessageRequest, OpenRequest, PresenceRequest, PrivateChatRequest,
    Request, RoomRequest, SyncRequest,
};
