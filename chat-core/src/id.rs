//! Identifiers: twelve random-looking bytes, written as 24 hexadecimal digits.
//!
//! The layout is that of a MongoDB ObjectId (4 bytes of seconds, 5 random bytes
//! per process, a 3-byte counter), so that ids are the same in every store and new rows of a log lie beside each
//! other. But the ids of users are random throughout: whoever has one cannot find those who registered beside it.
//! An id is a name and never a permission.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

/// A string that is no id: it must be exactly 24 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 24 hexadecimal digits")]
pub struct InvalidId;

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 12]);

        impl $name {
            /// The id with these twelve bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 12]) -> Self {
                Self(bytes)
            }

            /// The twelve bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 12] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut digits = [0_u8; 24];
                HEXLOWER_PERMISSIVE.encode_mut(&self.0, &mut digits);
                f.write_str(std::str::from_utf8(&digits).unwrap_or_default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse_bytes(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

macro_rules! counted_id {
    ($($name:ident),*) => { $(
        impl $name {
            /// A new id, unique among all processes (24 random or counted bits
            /// per second and process beside 40 random bits of the process).
            #[must_use]
            pub fn generate() -> Self {
                Self(counted_bytes())
            }
        }
    )* };
}

counted_id!(ConversationId, EntryId, SessionId);

id_type!(
    /// A user, whoever keeps the accounts.
    UserId
);
id_type!(
    /// A conversation: a room or a private chat.
    ConversationId
);
id_type!(
    /// One entry of a conversation's log; on the wire `message_id` or `entry_id`.
    EntryId
);
id_type!(
    /// One signed-in session (a device) of a user.
    SessionId
);

impl UserId {
    /// A new id of 96 random bits: nobody guesses it from others.
    #[must_use]
    pub fn generate() -> Self {
        let mut bytes = [0; 12];
        getrandom::fill(&mut bytes).expect("the operating system provides randomness");
        Self(bytes)
    }

    /// The id of a user whose account lives in another system: the first twelve
    /// bytes of SHA-256 over the length-prefixed `namespace` and `text`.
    #[must_use]
    pub fn from_external(namespace: &str, text: &str) -> Self {
        Self(digest_bytes(&[namespace.as_bytes(), text.as_bytes()]))
    }
}

impl EntryId {
    /// The id of the message that `sender` sends to `conversation` under
    /// `client_id`. The same three always make the same id, which is how a
    /// message that is sent again is recognised, for ever and on every node.
    #[must_use]
    pub fn derived(conversation: ConversationId, sender: UserId, client_id: &str) -> Self {
        Self(digest_bytes(&[conversation.as_bytes(), sender.as_bytes(), client_id.as_bytes()]))
    }
}

fn digest_bytes(parts: &[&[u8]]) -> [u8; 12] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let digest = hasher.finalize();
    let mut bytes = [0_u8; 12];
    bytes.copy_from_slice(&digest[..12]);
    bytes
}

fn parse_bytes(text: &str) -> Result<[u8; 12], InvalidId> {
    let mut bytes = [0_u8; 12];
    if text.len() != 24 {
        return Err(InvalidId);
    }
    HEXLOWER_PERMISSIVE.decode_mut(text.as_bytes(), &mut bytes).map_err(|_| InvalidId)?;
    Ok(bytes)
}

fn counted_bytes() -> [u8; 12] {
    static PROCESS: OnceLock<([u8; 5], AtomicU32)> = OnceLock::new();
    let (process, counter) = PROCESS.get_or_init(|| {
        let mut seed = [0_u8; 9];
        getrandom::fill(&mut seed).expect("the operating system provides randomness");
        let [a, b, c, d, e, counter @ ..] = seed;
        ([a, b, c, d, e], AtomicU32::new(u32::from_be_bytes(counter)))
    });
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let count = counter.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let mut bytes = [0_u8; 12];
    bytes[..4].copy_from_slice(&(seconds as u32).to_be_bytes());
    bytes[4..9].copy_from_slice(process);
    bytes[9..].copy_from_slice(&count[1..]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_round_trip() {
        let ids: std::collections::HashSet<UserId> = (0..10_000).map(|_| UserId::generate()).collect();
        assert_eq!(ids.len(), 10_000);
        for id in ids.iter().take(100) {
            assert_eq!(id.to_string().parse(), Ok(*id));
        }
    }

    #[test]
    fn sec_32_ids_of_users_tell_nothing_of_each_other() {
        let ids: Vec<UserId> = (0..1_000).map(|_| UserId::generate()).collect();
        // Of two random ids no four bytes in one place are equal, but by a chance of one in thousands of millions.
        for pair in ids.windows(2) {
            for (one, other) in pair[0].as_bytes().windows(4).zip(pair[1].as_bytes().windows(4)) {
                assert_ne!(one, other, "{pair:?}");
            }
        }
        for bit in 0..96 {
            let set = ids.iter().filter(|id| id.as_bytes()[bit / 8] & (1 << (bit % 8)) != 0).count();
            assert!((350..650).contains(&set), "bit {bit} is set in {set} of 1,000");
        }
    }

    #[test]
    fn malformed_ids_are_refused() {
        for text in
            ["", "0", "zz65f0c0ffee0000000000ab", "65f0c0ffee0000000000abc", "65f0c0ffee0000000000abcdef"]
        {
            assert_eq!(text.parse::<UserId>(), Err(InvalidId), "{text}");
        }
        assert_eq!(
            "65F0C0FFEE0000000000ABCD".parse::<UserId>().unwrap().to_string(),
            "65f0c0ffee0000000000abcd"
        );
    }

    #[test]
    fn derived_ids_depend_on_every_part_and_its_length() {
        let (conversation, sender) = (ConversationId::from_bytes([1; 12]), UserId::from_bytes([2; 12]));
        let id = EntryId::derived(conversation, sender, "a");
        assert_eq!(id, EntryId::derived(conversation, sender, "a"));
        assert_ne!(id, EntryId::derived(conversation, sender, "b"));
        assert_ne!(id, EntryId::derived(conversation, UserId::from_bytes([3; 12]), "a"));
        assert_ne!(UserId::from_external("ab", "c"), UserId::from_external("a", "bc"));
    }
}
