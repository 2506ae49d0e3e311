//! What a user can do, one file per noun.

mod fit;
mod message;
mod presence;
mod private_chat;
mod room;
mod sync;

pub use message::{HistoryRequest, NewMessage, Sent};
pub use presence::VisibleProfile;
pub use room::{NewRoom, RoomView};
pub(super) use sync::CONVERSATION_BYTES;
pub use sync::{OtherConversation, SyncPage, Synced};
