//! The four ports: what the engine asks of the world around it.
//!
//! House rules: `&self`; the conversation first; owned structs or plain `&T` as
//! arguments. The doc of each method says its contract, its errors and what a
//! repeated call does; `chat-testkit` has a conformance case for each sentence.

mod account_store;
mod auth;
mod presence_hub;
mod room_store;

pub use account_store::{
    Account, AccountCreation, AccountStore, NewAccount, PasswordWrite, Revocation, Rotation, Session,
    SessionMatch, SessionTokens, StoredAccount, TokenHash, UsernameKeys,
};
pub use auth::{Auth, ClientContext, Credentials, Registration};
pub use presence_hub::{
    Connection, Delivery, EphemeralTarget, HubListener, LiveEntry, Membership, PresenceHub, Publication,
    Subscription,
};
pub use room_store::{
    Append, Appended, Creation, EntryPage, EntryRange, MembershipPage, MessageQuery, NewConversation,
    RoomQuery, RoomStore, Standing,
};
// Words that the ports' signatures share with the protocol and the typed API.
pub use crate::domain::{Grant, Identity, MessageAnchor, MessagePage, MyConversation, Unread};
#[cfg(any(test, feature = "mocks"))]
pub use {
    account_store::MockAccountStore, auth::MockAuth, presence_hub::MockPresenceHub, room_store::MockRoomStore,
};
