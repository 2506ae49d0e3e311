//! Accounts with passwords: `PasswordAuth`, the `Auth` of a server that keeps its own users.
//!
//! What a name, a password, a token and a session are worth is decided here; an
//! `AccountStore` only keeps and finds. Whatever fails here denies. Nothing here
//! knows the wire, a socket or a database, and nothing here authorises: rooms and
//! roles are the engine's business.

mod events;
mod hash_threads;
mod hashing;
mod password;
mod password_auth;
mod queue;
mod sessions;
mod settings;
mod throttle;
mod token;
pub mod username;

pub use password_auth::PasswordAuth;
pub use settings::{AuthSettings, InvalidAuthSettings};
