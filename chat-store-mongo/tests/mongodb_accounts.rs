//! Accounts and sessions: the suite of chat-testkit, and what only this store has.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod support;

mod mongodb_accounts {
    mod damage;
    mod faults;
    mod lossy;
    mod migrated;
    mod pages;
    mod races;
    mod rows;

    use chat_testkit::account_store::{CASES, start};
    use chat_testkit::model::{self, Effort};
    use mongodb::bson::{Document, doc};

    use super::support::{TestDatabase, check_profile, profile, seen_by_profile};

    chat_testkit::account_store_tests!(TestDatabase::default());

    #[test]
    fn random_calls_about_accounts_are_answered_as_by_the_memory_store() {
        model::run_accounts(TestDatabase::default, Effort { sequences: 20, ..Effort::default() });
    }

    #[test]
    fn no_query_about_accounts_walks_through_a_collection() {
        let seen = seen_by_profile(CASES, start);
        for collection in ["users", "sessions", "replaced_tokens"] {
            assert!(seen.contains(collection), "nothing was asked of {collection}");
        }
    }

    #[tokio::test]
    #[should_panic(expected = "these commands use no index")]
    async fn a_query_that_walks_through_a_collection_is_found_out() {
        let database = TestDatabase::new().await;
        drop(database.open().await);
        let beside = database.beside().await;
        profile(&beside).await;
        beside.collection::<Document>("users").find_one(doc! { "email": "someone" }).await.unwrap();
        check_profile(&beside).await;
    }
}
