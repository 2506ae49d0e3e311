//! Every bound in one place, with its unit in its name.
//!
//! [`hard`] holds what protocol v1 and the buffers cannot exceed; [`Limits`] holds
//! the settings, which can only be tighter. The relations between them are checked
//! by the compiler.

use std::time::Duration;

/// Bounds that no setting can raise.
pub mod hard {
    /// Bytes of one message's content.
    pub const CONTENT_BYTES: usize = 8_192;
    /// Characters of a client id.
    pub const CLIENT_ID_CHARACTERS: usize = 64;
    /// Characters of a room's name.
    pub const ROOM_NAME_CHARACTERS: usize = 100;
    /// Characters of a room's topic.
    pub const TOPIC_CHARACTERS: usize = 500;
    /// Characters of a display name.
    pub const DISPLAY_NAME_CHARACTERS: usize = 64;
    /// Characters that a user name has at least.
    pub const USERNAME_CHARACTERS_MIN: usize = 2;
    /// Characters of a user name.
    pub const USERNAME_CHARACTERS: usize = 32;
    /// Characters of a new password.
    pub const PASSWORD_CHARACTERS: usize = 128;
    /// Characters of a device's label.
    pub const DEVICE_NAME_CHARACTERS: usize = 64;
    /// Bytes of an incoming frame or message.
    pub const FRAME_BYTES: usize = 65_536;
    /// Bytes of an outgoing frame.
    pub const OUTGOING_FRAME_BYTES: usize = 192 * 1_024;
    /// Bytes of a reply's own fields; the rest of its frame is for `success` and `request_id`.
    pub const REPLY_BYTES: usize = OUTGOING_FRAME_BYTES - 1_024;
    /// Bytes of entries in one page of history or one `sync` reply.
    pub const PAGE_BYTES: usize = 128 * 1_024;
    /// Depth of incoming JSON.
    pub const JSON_DEPTH: usize = 16;
    /// Fields of an incoming JSON object.
    pub const JSON_FIELDS: usize = 64;
    /// Keys of an object inside a field.
    pub const JSON_NESTED_FIELDS: usize = SYNC_CURSORS;
    /// Bytes of a `request_id` as it is written, without its quotes.
    pub const REQUEST_ID_BYTES: usize = 256;
    /// Bytes of an access or refresh token.
    pub const TOKEN_BYTES: usize = 4_096;
    /// Bytes of a password; how long it should be is the business of `Auth`.
    pub const PASSWORD_BYTES: usize = 1_024;
    /// Bytes of a user name; what it may contain is the business of `Auth`.
    pub const USERNAME_BYTES: usize = 512;
    /// Characters of a search text.
    pub const QUERY_CHARACTERS: usize = 100;
    /// Bytes of an epoch.
    pub const EPOCH_BYTES: usize = 64;
    /// Messages, rooms, members or users in one page.
    pub const PAGE_ITEMS: u32 = 100;
    /// Items of a page when the request does not say.
    pub const PAGE_ITEMS_DEFAULT: u32 = 50;
    /// Largest `offset` of a page of history.
    pub const HISTORY_OFFSET: u32 = 10_000;
    /// User ids in one `get_users` or `get_presence`.
    pub const USER_IDS: usize = 100;
    /// Cursors in one `sync`.
    pub const SYNC_CURSORS: usize = 500;
    /// Entries that `sync` sends of one conversation before it says "page it".
    pub const SYNC_ENTRIES: u64 = 1_000;
    /// Messages up to which `unread` is exact.
    pub const UNREAD_EXACT: u64 = 10_000;
    /// Conversations whose heads are read at once.
    pub const HEADS: usize = 500;
    /// Drafts in one append.
    pub const BATCH_ENTRIES: usize = 64;
    /// Bytes of contents in one append.
    pub const BATCH_BYTES: usize = 256 * 1_024;
    /// Entries that a conversation keeps encoded for its connections.
    pub const RING_ENTRIES: usize = 256;
    /// Bytes that a conversation keeps encoded for its connections.
    pub const RING_BYTES: usize = 256 * 1_024;
    /// Bytes that all conversations together keep encoded.
    pub const RINGS_BYTES: usize = 64 * 1_024 * 1_024;
    /// Entries that a connection may be behind before it is closed to resume.
    pub const BEHIND_ENTRIES: u64 = 1_000;
    /// Replies that wait for a connection before its requests are no longer read.
    pub const REPLIES: usize = 64;
    /// Ephemeral frames that wait for a connection; the oldest is dropped for a new one.
    pub const EPHEMERAL_FRAMES: usize = 32;
    /// Users whose changed presence waits for a connection; changes of more are dropped.
    pub const PRESENCE_USERS: usize = 1_000;
    /// Members of a room up to which presence is pushed to them.
    pub const PRESENCE_ROOM_MEMBERS: u32 = 200;
    /// Submissions that wait for one conversation.
    pub const QUEUE_SUBMISSIONS: usize = 4_096;

    const _: () = assert!(CONTENT_BYTES * 6 + 4_096 < FRAME_BYTES, "an escaped content fits into a frame");
    const _: () = assert!(CONTENT_BYTES * 6 < PAGE_BYTES, "every message fits into a page");
    const _: () =
        assert!(PAGE_BYTES + CONTENT_BYTES * 6 < OUTGOING_FRAME_BYTES, "every page fits into a frame");
    const _: () =
        assert!(REPLY_BYTES + REQUEST_ID_BYTES + 256 <= OUTGOING_FRAME_BYTES, "every request id fits beside");
    const _: () = assert!(BATCH_BYTES >= CONTENT_BYTES, "every content fits into a batch");
    const _: () = assert!(RING_BYTES < RINGS_BYTES, "one ring leaves room for others");
    const _: () =
        assert!(PRESENCE_USERS * 128 < OUTGOING_FRAME_BYTES, "all waiting presence fits into a frame");
    const _: () = assert!(RING_ENTRIES >= BATCH_ENTRIES, "a batch fits into the ring");
}

/// How often something may happen: `per_second` for ever, and `burst` at once. 0 turns it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Sustained rate.
    pub per_second: u32,
    /// How many at once after a pause.
    pub burst: u32,
}

/// The settings of an engine. 0 turns a limit off where that is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message's content; at most [`hard::CONTENT_BYTES`].
    pub content_bytes: usize,
    /// Joined members of a room.
    pub room_members: u32,
    /// Rooms that a user is a member of.
    pub user_rooms: u32,
    /// Connections of a user at once. 0 is off.
    pub user_connections: u32,
    /// Requests of a connection that are worked on at once; then reading stops.
    pub connection_requests: usize,
    /// Messages of a user.
    pub send_rate: Rate,
    /// Other requests of a user, or of a connection before it has signed in.
    pub request_rate: Rate,
    /// Refusals by rate in 10 s after which a connection is closed. 0 is off.
    pub flood_refusals: u32,
    /// Frames that are no requests in 60 s after which a connection is closed. 0 is off.
    pub unreadable_frames: u32,
    /// How often clients that see no WebSocket pings get a `keep` push.
    pub heartbeat: Duration,
    /// How long after the last connection ended a user is announced as offline.
    pub presence_grace: Duration,
    /// How long presence changes are gathered before they are pushed together.
    pub presence_gather: Duration,
    /// How long a store may take before a request is answered without it.
    pub store_deadline: Duration,
    /// How long the accounts may take before a request is answered without them; password hashing included.
    pub auth_deadline: Duration,
    /// How long a hook may take before the message is refused.
    pub hook_deadline: Duration,
    /// How long before a token's end `token_expiring` is pushed; at half of the time left if that is later.
    pub token_warning: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            content_bytes: hard::CONTENT_BYTES,
            room_members: 100_000,
            user_rooms: 1_000,
            user_connections: 20,
            connection_requests: 16,
            send_rate: Rate { per_second: 200, burst: 5_000 },
            request_rate: Rate { per_second: 100, burst: 1_000 },
            flood_refusals: 100,
            unreadable_frames: 10,
            heartbeat: Duration::from_secs(55),
            presence_grace: Duration::from_secs(5),
            presence_gather: Duration::from_millis(500),
            store_deadline: Duration::from_secs(5),
            auth_deadline: Duration::from_secs(15),
            hook_deadline: Duration::from_secs(1),
            token_warning: Duration::from_secs(60),
        }
    }
}
