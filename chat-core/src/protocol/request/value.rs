//! Values of fields that several actions have, each with its bounds.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use secrecy::SecretString;
use serde::de::{self, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::domain::Seq;
use crate::error::ActionError;
use crate::id::{ConversationId, UserId};
use crate::limits::hard;

/// An id as a client wrote it. Any string is one; a string that is no id names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireId<T>(Option<T>);

impl<T: Copy> WireId<T> {
    /// The id.
    ///
    /// # Errors
    /// `not_found` if the string was no id, as if there were nothing with such an id.
    pub fn resolve(self) -> Result<T, ActionError> {
        self.0.ok_or_else(ActionError::not_found)
    }
}

impl<T> From<T> for WireId<T> {
    fn from(id: T) -> Self {
        Self(Some(id))
    }
}

impl<'de, T: FromStr> Deserialize<'de> for WireId<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor<T>(PhantomData<T>);

        impl<T: FromStr> Visitor<'_> for IdVisitor<T> {
            type Value = WireId<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<WireId<T>, E> {
                // A string that is no id is treated like the id of nothing.
                Ok(WireId(text.parse().ok()))
            }
        }

        deserializer.deserialize_str(IdVisitor(PhantomData))
    }
}

/// Which conversation, where an action takes either kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConversationSelector {
    /// By `room_id`: anything but a room is not found.
    Room(WireId<ConversationId>),
    /// By `chat_id`: anything but a private chat is not found.
    Chat(WireId<ConversationId>),
}

impl ConversationSelector {
    /// Exactly one of the two must be given.
    pub(super) fn new(
        room: Option<WireId<ConversationId>>,
        chat: Option<WireId<ConversationId>>,
    ) -> Result<Self, ActionError> {
        match (room, chat) {
            (Some(id), None) => Ok(Self::Room(id)),
            (None, Some(id)) => Ok(Self::Chat(id)),
            (None, None) => Err(ActionError::invalid("room_id", "is required, or chat_id")),
            (Some(_), Some(_)) => Err(ActionError::invalid("chat_id", "must not stand beside room_id")),
        }
    }
}

/// How many items a page may have: 1 to 100, 50 if the request does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimit(u32);

impl PageLimit {
    /// The number of items.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

impl Default for PageLimit {
    fn default() -> Self {
        Self(hard::PAGE_ITEMS_DEFAULT)
    }
}

impl<'de> Deserialize<'de> for PageLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        integer(deserializer, 1, hard::PAGE_ITEMS).map(Self)
    }
}

/// Users to look up, each once. Strings that are no ids are left out, as unknown users are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserIds(Vec<UserId>);

impl UserIds {
    /// The users, up to 100.
    #[must_use]
    pub fn into_vec(self) -> Vec<UserId> {
        self.0
    }
}

impl<'de> Deserialize<'de> for UserIds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor;

        impl<'de> Visitor<'de> for ListVisitor {
            type Value = UserIds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {} ids", hard::USER_IDS)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<UserIds, A::Error> {
                let mut users = Vec::new();
                let mut count = 0;
                while let Some(id) = seq.next_element::<WireId<UserId>>()? {
                    count += 1;
                    if count > hard::USER_IDS {
                        return Err(de::Error::invalid_length(count, &self));
                    }
                    users.extend(id.0.filter(|user| !users.contains(user)));
                }
                Ok(UserIds(users))
            }
        }

        deserializer.deserialize_seq(ListVisitor)
    }
}

/// How far a client has each of up to 500 conversations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cursors {
    /// The number of the last entry that the client has, by conversation, each once.
    pub known: Vec<(ConversationId, Seq)>,
    /// Keys that are no ids: conversations that are gone.
    pub malformed: Vec<String>,
}

impl<'de> Deserialize<'de> for Cursors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CursorsVisitor;

        impl<'de> Visitor<'de> for CursorsVisitor {
            type Value = Cursors;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an object of at most {} ids and numbers", hard::SYNC_CURSORS)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cursors, A::Error> {
                let mut cursors = Cursors::default();
                while let Some((key, seq)) = map.next_entry::<Cow<'de, str>, Seq>()? {
                    if cursors.known.len() + cursors.malformed.len() >= hard::SYNC_CURSORS {
                        return Err(de::Error::invalid_length(hard::SYNC_CURSORS + 1, &self));
                    }
                    match key.parse() {
                        Ok(id) => cursors.known.push((id, seq)),
                        Err(_) => cursors.malformed.push(key.into_owned()),
                    }
                }
                // The same id may be written in two ways.
                cursors.known.sort_unstable_by_key(|(id, _)| *id);
                if cursors.known.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                    return Err(de::Error::custom("has an id twice"));
                }
                Ok(cursors)
            }
        }

        deserializer.deserialize_map(CursorsVisitor)
    }
}

/// Reads one of the names of an enum, only ever from a string.
pub(super) fn name<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let name = String::deserialize(deserializer)?;
    T::deserialize(name.into_deserializer())
}

/// Reads the name of a user as it was typed.
pub(super) fn username<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    bytes(deserializer, hard::USERNAME_BYTES)
}

/// Reads the name of a user where it may be absent.
pub(super) fn some_username<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    username(deserializer).map(Some)
}

/// Reads a password as it was typed.
pub(super) fn password<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    bytes(deserializer, hard::PASSWORD_BYTES).map(SecretString::from)
}

/// Reads a token.
pub(super) fn token<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    bytes(deserializer, hard::TOKEN_BYTES).map(SecretString::from)
}

/// Reads the epoch that a client remembers.
pub(super) fn epoch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    bytes(deserializer, hard::EPOCH_BYTES).map(Some)
}

/// Reads a text to search for; empty finds all.
pub(super) fn query<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.chars().count() > hard::QUERY_CHARACTERS {
        let problem = format!("must have at most {} characters", hard::QUERY_CHARACTERS);
        return Err(de::Error::custom(problem));
    }
    if text.chars().any(char::is_control) {
        return Err(de::Error::custom("must not contain control characters"));
    }
    Ok(Some(text))
}

/// Reads how many messages to skip.
pub(super) fn offset<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    integer(deserializer, 0, hard::HISTORY_OFFSET).map(Some)
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D, max: usize) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() || text.len() > max {
        return Err(de::Error::custom(format!("must have 1 to {max} bytes")));
    }
    Ok(text)
}

fn integer<'de, D: Deserializer<'de>>(deserializer: D, min: u32, max: u32) -> Result<u32, D::Error> {
    let number = u64::deserialize(deserializer)?;
    match u32::try_from(number) {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(de::Error::custom(format!("must be {min} to {max}"))),
    }
}
