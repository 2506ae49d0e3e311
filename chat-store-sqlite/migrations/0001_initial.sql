-- Ids are blobs of 12 bytes, hashes of 32; times are milliseconds since 1970.

PRAGMA application_id = 1128808788; -- "CHAT"

CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The history that this file holds. It changes when a backup is restored.
INSERT INTO meta (name, value) VALUES ('epoch', lower(hex(randomblob(16))));

CREATE TABLE conversations (
    key          INTEGER PRIMARY KEY,
    id           BLOB    NOT NULL UNIQUE,
    kind         INTEGER NOT NULL, -- 0 public room, 1 private room, 2 private chat
    name         TEXT,             -- rooms
    name_folded  TEXT,             -- rooms: by which they are found
    topic        TEXT,             -- rooms
    low          BLOB,             -- private chats: the user with the lower id
    high         BLOB,             -- private chats: the other one
    created_by   BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    member_count INTEGER NOT NULL  -- joined now
) STRICT;

CREATE UNIQUE INDEX conversations_by_pair ON conversations (low, high) WHERE kind = 2;
-- All that a search among public rooms looks at.
CREATE INDEX conversations_public ON conversations (id, name_folded, member_count) WHERE kind = 0;

-- The logs. A conversation's head is its last row here and stored nowhere else, so
-- that a message touches no other table. Rows of one conversation lie side by side,
-- so that a batch of them touches few pages; for the same reason the key is a small
-- integer, and is not checked against `conversations`.
CREATE TABLE entries (
    conversation    INTEGER NOT NULL, -- conversations.key
    seq             INTEGER NOT NULL, -- 1, 2, 3, …
    id              BLOB    NOT NULL,
    author          BLOB    NOT NULL,
    sent_at         INTEGER NOT NULL,
    messages_so_far INTEGER NOT NULL,
    kind            INTEGER NOT NULL, -- messages: 0 text, 1 image, 2 file; events: 16 created, 17 invited, 18 joined,
                                      -- 19 left, 20 removed, 21 banned, 22 unbanned, 23 role changed, 24 updated
    client_id       TEXT,             -- messages
    subject         BLOB,             -- events about a user
    role            INTEGER,          -- 23: as in members
    name            TEXT,             -- 24
    topic           TEXT,             -- 24
    content         TEXT,             -- messages
    PRIMARY KEY (conversation, seq)
) STRICT, WITHOUT ROWID;

-- The ids of each log up to the last number that 64 divides; above it ids are looked up in `entries`.
CREATE TABLE entry_ids (
    conversation INTEGER NOT NULL,
    id           BLOB    NOT NULL,
    seq          INTEGER NOT NULL,
    PRIMARY KEY (conversation, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE members (
    conversation BLOB    NOT NULL REFERENCES conversations (id),
    user_id      BLOB    NOT NULL,
    is_room      INTEGER NOT NULL, -- as its conversation
    state        INTEGER NOT NULL, -- 0 joined, 1 invited, 2 left, 3 removed, 4 banned
    role         INTEGER NOT NULL, -- 0 member, 1 admin, 2 owner
    since_seq    INTEGER NOT NULL,
    read_seq     INTEGER NOT NULL,
    invited_by   BLOB,
    PRIMARY KEY (conversation, user_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX members_by_user ON members (user_id, conversation, state, is_room);
CREATE INDEX members_owners ON members (conversation, user_id) WHERE role = 2;

CREATE TABLE accounts (
    user_id       BLOB    NOT NULL PRIMARY KEY,
    username      TEXT    NOT NULL,
    name_folded   TEXT    NOT NULL UNIQUE,
    name_skeleton TEXT    NOT NULL UNIQUE,
    display_name  TEXT    NOT NULL,
    email         TEXT,
    password_hash TEXT    NOT NULL,
    disabled      INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    last_login    INTEGER,
    last_seen     INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX accounts_by_username ON accounts (username);

CREATE TABLE sessions (
    session_id         BLOB    NOT NULL PRIMARY KEY,
    user_id            BLOB    NOT NULL,
    device             TEXT,
    created_at         INTEGER NOT NULL,
    last_used_at       INTEGER NOT NULL,
    ends_at            INTEGER NOT NULL,
    access             BLOB    NOT NULL, -- hashes of the tokens, never the tokens
    access_expires_at  INTEGER NOT NULL,
    refresh            BLOB    NOT NULL,
    refresh_expires_at INTEGER NOT NULL,
    issued_at          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE UNIQUE INDEX sessions_by_access ON sessions (access);
CREATE UNIQUE INDEX sessions_by_refresh ON sessions (refresh);
CREATE INDEX sessions_by_end ON sessions (min(refresh_expires_at, ends_at));

-- Refresh tokens that were replaced: one that comes back gives its session away.
CREATE TABLE replaced_tokens (
    refresh     BLOB    NOT NULL PRIMARY KEY,
    session_id  BLOB    NOT NULL REFERENCES sessions (session_id) ON DELETE CASCADE,
    replaced_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX replaced_tokens_by_session ON replaced_tokens (session_id);

CREATE TABLE revocations (
    session_id BLOB    NOT NULL PRIMARY KEY,
    user_id    BLOB    NOT NULL,
    ended_at   INTEGER NOT NULL,
    access     BLOB    NOT NULL, -- its tokens when it ended
    refresh    BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX revocations_by_time ON revocations (ended_at);
CREATE INDEX revocations_by_access ON revocations (access);
CREATE INDEX revocations_by_refresh ON revocations (refresh);
