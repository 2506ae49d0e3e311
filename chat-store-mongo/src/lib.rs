//! The MongoDB store of the chat system.
