//! Conversations: the suite of chat-testkit, each case on a database of its own, and what only this store has.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod support;

mod mongodb {
    chat_testkit::room_store_tests!(crate::support::TestDatabase::default());
}

mod mongodb_rooms {
    mod crashes;
    mod damage;
    mod history;
    mod moments;
    mod pages;
    mod rows;

    use chat_testkit::model::{self, Effort};
    use chat_testkit::room_store::{CASES, start};

    use super::support::{TestDatabase, seen_by_profile};

    #[test]
    fn random_calls_are_answered_as_by_the_memory_store() {
        model::run_rooms(TestDatabase::default, Effort { sequences: 20, calls: 120, ..Effort::default() });
    }

    #[test]
    fn no_query_about_conversations_walks_through_a_collection() {
        let seen = seen_by_profile(CASES, start);
        for collection in ["chat_rooms", "private_chats", "members", "messages"] {
            assert!(seen.contains(collection), "nothing was asked of {collection}");
        }
    }
}
