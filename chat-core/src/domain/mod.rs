//! The words of the product, as types that cannot hold a wrong value.
//!
//! Nothing here knows the wire, a store or a socket.

mod account;
mod conversation;
mod entry;
mod member;
mod page;
mod presence;
mod text;

pub use account::{Email, Grant, Identity, Profile, SessionInfo};
pub use conversation::{Conversation, ConversationKind, Head, Pair, Visibility};
pub use entry::{Draft, Entry, EntryBody, Event, Message, MessageKind, Seq};
pub use member::{Member, MemberState, Role};
pub use page::{MessageAnchor, MessagePage, MyConversation, Unread};
pub use presence::{Presence, Status};
pub use text::{
    ClientId, Content, DeviceName, DisplayName, InvalidText, RoomName, Topic, case_folded, search_folded,
};
