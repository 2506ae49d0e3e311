//! What is shown of conversations: lists, how a user stands in each, who is a member.

pub(crate) mod discovery;
pub(crate) mod lists;
pub(crate) mod membership;
pub(crate) mod moment;
pub(crate) mod unread;
