//! Names of collections, and the version of the format. Their indexes are in `open/index.rs`.
//!
//! `users`, `chat_rooms`, `private_chats` and `messages` have the names and fields of the PHP chat whose databases
//! can be migrated; what it did not have was added.

/// Accounts.
pub(crate) const USERS: &str = "users";
/// Rooms, without their members.
pub(crate) const ROOMS: &str = "chat_rooms";
/// Private chats, one for each pair.
pub(crate) const CHATS: &str = "private_chats";
/// The logs of all conversations, entry by entry.
pub(crate) const MESSAGES: &str = "messages";
/// Who stands where in a conversation: the projection of its log.
pub(crate) const MEMBERS: &str = "members";
/// Who is signed in, and for a while who was.
pub(crate) const SESSIONS: &str = "sessions";
/// The refresh tokens that sessions had before their last two.
pub(crate) const REPLACED_TOKENS: &str = "replaced_tokens";
/// The version of the format, the epoch, and the row that barriers write.
pub(crate) const META: &str = "meta";

/// The format that this version writes and reads.
pub(crate) const VERSION: i64 = 1;
/// The row of [`META`] that holds the version.
pub(crate) const SCHEMA_ROW: &str = "schema";
/// The row of [`META`] that holds the epoch.
pub(crate) const EPOCH_ROW: &str = "epoch";
/// The row of [`META`] that says by which rule the keys of names were made; the first rule left no row.
pub(crate) const NAME_KEYS_ROW: &str = "name_keys";
/// The row of [`META`] that says how far a migration has come, while one is under way.
pub(crate) const MIGRATION_ROW: &str = "migration";
