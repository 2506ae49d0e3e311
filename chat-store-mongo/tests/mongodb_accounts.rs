//! Accounts and sessions: the suite of chat-testkit, and what only this store has.

mod support;

mod mongodb {
    use chat_testkit::model::{self, Effort};

    use super::support::TestDatabase;

    chat_testkit::account_store_tests!(TestDatabase::default());

    #[test]
    fn random_calls_about_accounts_are_answered_as_by_the_memory_store() {
        model::run_accounts(TestDatabase::default, Effort { sequences: 20, ..Effort::default() });
    }
}
