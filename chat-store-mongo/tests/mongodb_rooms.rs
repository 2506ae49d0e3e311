//! The suites of chat-testkit for the port of conversations, each case on a database of its own.

mod support;

use chat_testkit::model::{self, Effort};
use support::TestDatabase;

mod mongodb {
    chat_testkit::room_store_tests!(crate::support::TestDatabase::default());
}

#[test]
fn random_calls_are_answered_by_mongodb_as_by_the_memory_store() {
    model::run_rooms(TestDatabase::default, Effort { sequences: 20, calls: 120, ..Effort::default() });
}

#[test]
fn no_mongodb_query_about_rooms_walks_through_a_collection() {
    use chat_testkit::room_store::{CASES, start};
    let seen = support::seen_by_profile(CASES, start);
    for collection in ["chat_rooms", "private_chats", "members", "messages"] {
        assert!(seen.contains(collection), "nothing was asked of {collection}");
    }
}
