//! The phases of a migration in their order, and what can be done after it.

pub(crate) mod back;
pub(crate) mod chats;
pub(crate) mod check;
pub(crate) mod finish;
pub(crate) mod indexes;
pub(crate) mod members;
pub(crate) mod messages;
pub(crate) mod numbers;
pub(crate) mod order;
pub(crate) mod rooms;
pub(crate) mod users;
