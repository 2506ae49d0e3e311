//! Between values of the domain and columns. Statements are elsewhere.

use chat_core::domain::{MemberState, Role, Seq};
use chat_core::id::{ConversationId, EntryId, SessionId, UserId};
use chat_core::port::TokenHash;
use chat_core::time::Timestamp;
use rusqlite::Row;

use crate::error::{Work, WorkError};

/// The key of a conversation's rows in `entries` and `entry_ids`.
pub(crate) type LogKey = i64;

/// A value that one column holds.
pub(crate) trait Column: Sized {
    /// Reads it from the column with this index.
    fn read(row: &Row<'_>, index: usize) -> Work<Self>;
}

/// Reads a column.
pub(crate) fn get<T: Column>(row: &Row<'_>, index: usize) -> Work<T> {
    T::read(row, index)
}

macro_rules! plain_columns {
    ($($type:ty),*) => { $(
        impl Column for $type {
            fn read(row: &Row<'_>, index: usize) -> Work<Self> {
                Ok(row.get(index)?)
            }
        }
    )* };
}

macro_rules! id_columns {
    ($($type:ty),*) => { $(
        impl Column for $type {
            fn read(row: &Row<'_>, index: usize) -> Work<Self> {
                Ok(Self::from_bytes(row.get(index)?))
            }
        }

        impl Column for Option<$type> {
            fn read(row: &Row<'_>, index: usize) -> Work<Self> {
                Ok(row.get::<_, Option<[u8; 12]>>(index)?.map(<$type>::from_bytes))
            }
        }
    )* };
}

plain_columns!(i64, u32, bool, String, Option<String>);
id_columns!(UserId, ConversationId, EntryId, SessionId);

impl Column for u64 {
    fn read(row: &Row<'_>, index: usize) -> Work<Self> {
        u64::try_from(row.get::<_, i64>(index)?).map_err(|_| WorkError::damaged("a count is negative"))
    }
}

impl Column for Seq {
    fn read(row: &Row<'_>, index: usize) -> Work<Self> {
        Seq::new(get(row, index)?).ok_or_else(|| WorkError::damaged("an entry's number is too large"))
    }
}

impl Column for Timestamp {
    fn read(row: &Row<'_>, index: usize) -> Work<Self> {
        Ok(Self::from_unix_ms(row.get(index)?))
    }
}

impl Column for Option<Timestamp> {
    fn read(row: &Row<'_>, index: usize) -> Work<Self> {
        Ok(row.get::<_, Option<i64>>(index)?.map(Timestamp::from_unix_ms))
    }
}

impl Column for TokenHash {
    fn read(row: &Row<'_>, index: usize) -> Work<Self> {
        Ok(Self(row.get(index)?))
    }
}

impl Column for Role {
    fn read(row: &Row<'_>, index: usize) -> Work<Self> {
        match row.get::<_, i64>(index)? {
            0 => Ok(Self::Member),
            1 => Ok(Self::Admin),
            2 => Ok(Self::Owner),
            other => Err(WorkError::damaged(format!("{other} is no role"))),
        }
    }
}

impl Column for MemberState {
    fn read(row: &Row<'_>, index: usize) -> Work<Self> {
        match row.get::<_, i64>(index)? {
            0 => Ok(Self::Joined),
            1 => Ok(Self::Invited),
            2 => Ok(Self::Left),
            3 => Ok(Self::Removed),
            4 => Ok(Self::Banned),
            other => Err(WorkError::damaged(format!("{other} is no state of a member"))),
        }
    }
}

/// A role as it is stored.
pub(crate) fn role_code(role: Role) -> i64 {
    match role {
        Role::Member => 0,
        Role::Admin => 1,
        Role::Owner => 2,
    }
}

/// A state as it is stored.
pub(crate) fn state_code(state: MemberState) -> i64 {
    match state {
        MemberState::Joined => 0,
        MemberState::Invited => 1,
        MemberState::Left => 2,
        MemberState::Removed => 3,
        MemberState::Banned => 4,
    }
}

/// A number or count as it is stored; both stay below 2^53.
pub(crate) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
