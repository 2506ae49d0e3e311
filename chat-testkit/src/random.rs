//! Random ids. `generate` of the id types counts upwards; the order of pages must not
//! depend on that, so the suites draw theirs.

use chat_core::id::{ConversationId, EntryId, SessionId, UserId};
use chat_core::port::TokenHash;

pub(crate) fn user() -> UserId {
    UserId::from_bytes(bytes())
}

pub(crate) fn conversation() -> ConversationId {
    ConversationId::from_bytes(bytes())
}

pub(crate) fn entry() -> EntryId {
    EntryId::from_bytes(bytes())
}

pub(crate) fn session() -> SessionId {
    SessionId::from_bytes(bytes())
}

pub(crate) fn token() -> TokenHash {
    TokenHash(bytes())
}

/// `N` users in the order of their ids.
pub(crate) fn users<const N: usize>() -> [UserId; N] {
    let mut users = std::array::from_fn(|_| user());
    users.sort_unstable();
    users
}

pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system provides randomness");
    bytes
}
