//! The chat engine: domain, wire protocol, ports and everything between them.
//!
//! It embeds in any tokio program, does no I/O and detaches no task. What it needs of the world it asks of
//! four ports; sockets, databases, HTTP, files and the environment are the business of other crates.
//!
//! ```
//! use std::sync::Arc;
//!
//! use chat_core::auth::{AuthSettings, PasswordAuth};
//! use chat_core::chat::{HistoryRequest, NewMessage, NewRoom};
//! use chat_core::domain::{RoomName, Visibility};
//! use chat_core::id::UserId;
//! use chat_core::memory::MemoryStore;
//! use chat_core::time::SystemClock;
//! use chat_core::{Chat, Peer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Arc::new(MemoryStore::new());
//! let auth = PasswordAuth::new(store.clone(), Arc::new(SystemClock), AuthSettings::default())?;
//! let chat = Chat::builder().auth(Arc::new(auth)).rooms(store).build().await?;
//!
//! // Code in the same process acts in the name of users, with the same rules as everybody.
//! let ann = chat.as_user(UserId::generate());
//! let garden = NewRoom { name: RoomName::new("Garden")?, topic: None, visibility: Visibility::Public };
//! let garden = ann.create_room(garden).await?.id;
//! let sent = ann.send_message(garden, NewMessage::text("hello")?).await?;
//! assert_eq!(sent.seq.get(), 2, "entry 1 is the room's creation");
//! let page = ann.history(garden, HistoryRequest::default()).await?;
//! assert_eq!(page.entries[0].id, sent.message_id);
//!
//! // A transport moves frames between a client and the two halves of a connection.
//! let (mut inbound, mut outbound) = chat.connect(Peer::default());
//! inbound.accept(r#"{"action": "ping", "request_id": 7}"#);
//! let mut frames = Vec::new();
//! while frames.len() < 2 {
//!     outbound.frames(&mut frames, 64 * 1024).await.expect("nobody ends the connection");
//! }
//! assert!(frames[0].text().starts_with(r#"{"action":"connected","protocol":1"#));
//! assert!(frames[1].text().contains(r#""request_id":7,"pong":true"#));
//! # Ok(())
//! # }
//! ```
//!
//! # Map
//!
//! In the order in which to read it:
//!
//! | Module | What it is |
//! |---|---|
//! | [`domain`] | the words of the product, as types that cannot hold a wrong value; [`id`], [`time`] and [`limits`] beside it |
//! | [`port`] | what the engine asks of the world: [`Auth`](port::Auth), [`AccountStore`](port::AccountStore), [`RoomStore`](port::RoomStore), [`PresenceHub`](port::PresenceHub), each sentence of their contracts held by a conformance case of `chat-testkit` |
//! | [`error`] | one error type for each port that can fail, and what a caller may do next; the one of actions, and its codes |
//! | [`frame`] | what leaves on a connection, encoded once |
//! | [`chat`] | the engine: [`Chat`], its builder, the typed API [`User`](chat::User), hooks and own actions, sequencers, the permission table, connections |
//! | [`hub`] | live delivery in one process: rings, cursors, outboxes, presence |
//! | [`protocol`] | wire protocol v1, the only place that knows names of actions and fields |
//! | [`auth`] | accounts with passwords, over an `AccountStore` (feature `password`) |
//! | [`memory`] | the reference stores (feature `memory`) |
//!
//! # Features
//!
//! `password` and `memory` are on by default. An application with accounts of its own needs neither, and builds without
//! argon2 and its kin. `mocks` adds `mockall` mocks of the ports, for tests.

#[cfg(feature = "password")]
pub mod auth;
pub mod chat;
pub mod domain;
pub mod error;
pub mod frame;
pub mod hub;
pub mod id;
pub mod limits;
#[cfg(feature = "memory")]
pub mod memory;
pub mod port;
pub mod protocol;
pub mod time;

pub use chat::{Chat, ChatBuilder, Inbound, Outbound, Peer};
