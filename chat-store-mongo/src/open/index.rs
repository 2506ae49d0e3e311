//! The indexes that queries and guarantees rest on, and which of those that are there do what they should.

use mongodb::bson::{Bson, Document, doc};

use crate::table::schema::{CHATS, MEMBERS, MESSAGES, REPLACED_TOKENS, ROOMS, SESSIONS, USERS};

/// An index that queries or guarantees rest on.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) collection: &'static str,
    pub(crate) name: &'static str,
    /// Fields in order; all ascending.
    pub(crate) fields: &'static [&'static str],
    pub(crate) is_unique: bool,
    /// Only rows in which this field is `true`.
    pub(crate) only_where: Option<&'static str>,
    /// Only rows that have this field.
    pub(crate) only_with: Option<&'static str>,
}

const fn index(collection: &'static str, name: &'static str, fields: &'static [&'static str]) -> Index {
    Index { collection, name, fields, is_unique: false, only_where: None, only_with: None }
}

const fn unique(collection: &'static str, name: &'static str, fields: &'static [&'static str]) -> Index {
    Index { is_unique: true, ..index(collection, name, fields) }
}

/// All indexes but those of `_id`.
pub(crate) const INDEXES: [Index; 16] = [
    // Order and fence of every log: no two entries with one number.
    unique(MESSAGES, "log", &["conversation", "seq"]),
    // Entries that are no messages: what members are projected from.
    Index { only_where: Some("event"), ..index(MESSAGES, "events", &["event", "conversation", "seq"]) },
    // Joined members in the order of their ids.
    index(MEMBERS, "by_conversation", &["conversation", "state", "user_id"]),
    // A user's conversations in the order of their ids.
    index(MEMBERS, "by_user", &["user_id", "listed", "is_room", "conversation"]),
    // Public rooms by part of their name: the search reads this index only.
    index(ROOMS, "public", &["visibility", "_id", "name_folded", "member_count"]),
    // One chat for each pair. Chats that were merged into others have no pair.
    Index { only_with: Some("pair"), ..unique(CHATS, "pair", &["pair"]) },
    unique(USERS, "folded", &["username_folded"]),
    unique(USERS, "skeleton", &["username_skeleton"]),
    index(USERS, "username", &["username"]),
    unique(SESSIONS, "access", &["access"]),
    unique(SESSIONS, "refresh", &["refresh"]),
    // The refresh token that a living session had before its present one.
    Index { only_where: Some("live"), ..index(SESSIONS, "previous", &["previous.refresh"]) },
    Index { only_where: Some("live"), ..index(SESSIONS, "by_user", &["user_id", "_id"]) },
    // What has ended, in the order of time.
    index(SESSIONS, "ended", &["ended_at", "_id"]),
    index(SESSIONS, "by_end", &["kept_until"]),
    index(REPLACED_TOKENS, "by_session", &["session_id", "_id"]),
];

impl Index {
    /// What `createIndexes` takes and `listIndexes` answers, but for what servers add.
    pub(crate) fn definition(&self) -> Document {
        let key: Document = self.fields.iter().map(|field| ((*field).to_owned(), Bson::Int32(1))).collect();
        let mut definition = doc! { "key": key, "name": self.name };
        if self.is_unique {
            definition.insert("unique", true);
        }
        if let Some(field) = self.only_where {
            definition.insert("partialFilterExpression", doc! { field: true });
        }
        if let Some(field) = self.only_with {
            definition.insert("partialFilterExpression", doc! { field: { "$exists": true } });
        }
        definition
    }

    /// What is wrong with the index that is there under this name; `None` if it does what it should.
    pub(crate) fn fault_of(&self, found: &Document) -> Option<String> {
        let wanted = self.definition();
        if found.get_document("key").map(keys).ok() != wanted.get_document("key").map(keys).ok() {
            return Some("is on other fields".to_owned());
        }
        if self.is_unique && !found.get_bool("unique").unwrap_or(false) {
            return Some("is not unique".to_owned());
        }
        let filter = |definition: &Document| definition.get_document("partialFilterExpression").ok().cloned();
        if filter(found) != filter(&wanted) {
            return Some("covers other rows".to_owned());
        }
        None
    }
}

/// Whether an index would remove rows of ours, refuse them, or stand where one of ours belongs.
pub(crate) fn is_in_the_way(collection: &str, index: &Document) -> bool {
    !is_ours(collection, index) && fault(collection, index).is_some()
}

/// Whether an index is one of [`INDEXES`] and does what it should.
pub(crate) fn is_ours(collection: &str, index: &Document) -> bool {
    let name = index.get_str("name").unwrap_or_default();
    INDEXES
        .iter()
        .any(|ours| ours.collection == collection && ours.name == name && ours.fault_of(index).is_none())
}

/// Why an index that is not ours cannot stay; `None` if it does no harm.
pub(crate) fn fault(collection: &str, index: &Document) -> Option<&'static str> {
    let name = index.get_str("name").unwrap_or_default();
    if name == "_id_" {
        return None;
    }
    if index.contains_key("expireAfterSeconds") {
        return Some("removes rows by their age, which would make holes in logs");
    }
    if index.get_bool("unique").unwrap_or(false) {
        return Some("is unique and would refuse new rows");
    }
    let key = index.get_document("key").map(keys).unwrap_or_default();
    let stands_in_the_way = INDEXES
        .iter()
        .filter(|ours| ours.collection == collection)
        .any(|ours| ours.name == name || key.iter().eq(ours.fields));
    stands_in_the_way.then_some("stands where a new one belongs")
}

/// Fields in their order; servers answer directions as integers or doubles.
fn keys(key: &Document) -> Vec<String> {
    key.keys().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_is_another_one_is_found_out() {
        let [log, events, ..] = &INDEXES;
        assert_eq!(log.fault_of(&log.definition()), None);
        let mut not_unique = log.definition();
        not_unique.remove("unique");
        assert_eq!(log.fault_of(&not_unique).as_deref(), Some("is not unique"));
        let other = doc! { "key": { "seq": 1, "conversation": 1 }, "name": "log", "unique": true };
        assert_eq!(log.fault_of(&other).as_deref(), Some("is on other fields"));
        let mut all_rows = events.definition();
        all_rows.remove("partialFilterExpression");
        assert_eq!(events.fault_of(&all_rows).as_deref(), Some("covers other rows"));
    }

    #[test]
    fn only_indexes_that_do_harm_are_in_the_way() {
        let index = |more: Document| {
            let mut index =
                doc! { "v": 2, "key": { "room_id": 1, "timestamp": -1 }, "name": "room_id_1_timestamp_-1" };
            index.extend(more);
            index
        };
        assert_eq!(fault(MESSAGES, &index(doc! {})), None);
        assert_eq!(fault(MESSAGES, &doc! { "v": 2, "key": { "_id": 1 }, "name": "_id_" }), None);
        for harmful in [
            doc! { "expireAfterSeconds": 86_400 },
            doc! { "unique": true },
            doc! { "name": "log" },
            doc! { "key": { "conversation": 1, "seq": 1 } },
        ] {
            assert!(fault(MESSAGES, &index(harmful.clone())).is_some(), "{harmful}");
        }
        assert!(fault(USERS, &doc! { "key": { "username": 1 }, "name": "username_1" }).is_some());
    }
}
