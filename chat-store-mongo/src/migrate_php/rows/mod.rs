//! What becomes of each kind of row: functions without memory, and what they have to know of other rows.

pub(crate) mod chat;
pub(crate) mod id;
pub(crate) mod message;
pub(crate) mod name;
pub(crate) mod room;
pub(crate) mod text;
pub(crate) mod user;
pub(crate) mod value;
