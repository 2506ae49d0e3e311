//! Cases of names: what is unique, and what finds whom.

use chat_core::port::{Account, AccountCreation, AccountStore, NewAccount, UsernameKeys};
use tokio::task::JoinSet;

use super::Store;
use super::rows::{keys, new_account, register};
use crate::random;

async fn create(store: &dyn AccountStore, account: NewAccount) -> AccountCreation {
    store.create_account(account).await.expect("an answer")
}

async fn find(store: &dyn AccountStore, name: &UsernameKeys) -> Option<Account> {
    store.account_by_name(name).await.expect("an answer")
}

/// `create_account`: names that fold to the same are one name.
pub(super) async fn a_folded_name_is_unique(store: Store) {
    register(&*store, "Alice").await;
    for text in ["Alice", "alice", "ALICE"] {
        let lookalike = UsernameKeys { skeleton: format!("unlike {text}"), ..keys(text) };
        assert_eq!(create(&*store, new_account(lookalike)).await, AccountCreation::NameTaken, "{text}");
    }
    register(&*store, "Alicia").await;
}

/// `create_account`: names that look the same are one name.
pub(super) async fn a_skeleton_is_unique(store: Store) {
    let alice = register(&*store, "alice").await;
    let lookalike = UsernameKeys { skeleton: alice.username.skeleton, ..keys("аlice") };
    assert_eq!(create(&*store, new_account(lookalike)).await, AccountCreation::NameTaken);
    let own_name = UsernameKeys { skeleton: "bob".to_owned(), ..keys("bob") };
    assert_eq!(create(&*store, new_account(own_name)).await, AccountCreation::Created);
    let folded_like_a_skeleton = UsernameKeys { folded: "skeleton of alice".to_owned(), ..keys("carol") };
    let creation = create(&*store, new_account(folded_like_a_skeleton)).await;
    assert_eq!(creation, AccountCreation::Created, "folded names and skeletons are not compared");
}

/// `create_account`: a refused account leaves nothing, neither a row nor a half of a name.
pub(super) async fn a_refused_account_leaves_nothing(store: Store) {
    let alice = register(&*store, "alice").await;
    let refused = new_account(UsernameKeys { skeleton: "free".to_owned(), ..keys("alice") });
    assert_eq!(create(&*store, refused.clone()).await, AccountCreation::NameTaken);
    let lookalike = new_account(UsernameKeys { skeleton: alice.username.skeleton, ..keys("free") });
    assert_eq!(create(&*store, lookalike.clone()).await, AccountCreation::NameTaken);
    for user in [refused.user_id, lookalike.user_id] {
        assert_eq!(store.account(user).await.expect("an answer"), None);
    }
    let free = UsernameKeys { skeleton: "free".to_owned(), ..keys("free") };
    assert_eq!(create(&*store, new_account(free)).await, AccountCreation::Created, "both keys were free");
}

/// `create_account`: of concurrent calls with one folded name exactly one answers `Created`.
pub(super) async fn a_race_for_one_name_has_one_winner(store: Store) {
    race(store, |number| UsernameKeys {
        text: if number % 2 == 0 { "Alice".to_owned() } else { "alice".to_owned() },
        folded: "alice".to_owned(),
        skeleton: format!("skeleton {number}"),
    })
    .await;
}

/// `create_account`: of concurrent calls with one skeleton exactly one answers `Created`.
pub(super) async fn a_race_for_one_skeleton_has_one_winner(store: Store) {
    race(store, |number| UsernameKeys {
        text: format!("name {number}"),
        folded: format!("name {number}"),
        skeleton: "the same".to_owned(),
    })
    .await;
}

async fn race(store: Store, name: impl Fn(usize) -> UsernameKeys) {
    let mut calls = JoinSet::new();
    for number in 0..200 {
        let (store, account) = (store.port(), new_account(name(number)));
        calls.spawn(async move {
            let user = account.user_id;
            (user, create(&*store, account).await)
        });
    }
    let (mut winners, mut existing) = (Vec::new(), Vec::new());
    for (user, creation) in calls.join_all().await {
        if creation == AccountCreation::Created {
            winners.push(user);
        }
        if store.account(user).await.expect("an answer").is_some() {
            existing.push(user);
        }
    }
    assert_eq!(winners.len(), 1, "exactly one call created an account");
    assert_eq!(existing, winners, "and only that account exists");
}

/// `create_account`: repeated with the same user and name it answers `Created` and changes nothing.
pub(super) async fn a_repeated_registration_succeeds(store: Store) {
    let alice = register(&*store, "alice").await;
    let before = store.account(alice.user_id).await.expect("an answer");
    assert_eq!(create(&*store, alice.clone()).await, AccountCreation::Created);
    assert_eq!(store.account(alice.user_id).await.expect("an answer"), before);
    let impostor = NewAccount { user_id: random::user(), ..alice };
    assert_eq!(create(&*store, impostor).await, AccountCreation::NameTaken);
}

/// `account_by_name`: the account registered with exactly this text, else the one with the same folded name.
pub(super) async fn a_name_is_found_exactly_before_folded(store: Store) {
    let alice = register(&*store, "Alice").await;
    let bob = register(&*store, "bob").await;
    for text in ["Alice", "alice", "ALICE"] {
        let found = find(&*store, &keys(text)).await.expect("she is found");
        assert_eq!((found.user_id, found.username.as_str()), (alice.user_id, "Alice"));
    }
    let alice_by_text = UsernameKeys { text: "Alice".to_owned(), ..keys("bob") };
    assert_eq!(find(&*store, &alice_by_text).await.map(|found| found.user_id), Some(alice.user_id));
    let bob_by_folded = UsernameKeys { text: "nobody".to_owned(), ..keys("bob") };
    assert_eq!(find(&*store, &bob_by_folded).await.map(|found| found.user_id), Some(bob.user_id));
    for text in ["carol", "", "Alice ", "%", "a_ice", "{\"$ne\": null}"] {
        assert_eq!(find(&*store, &keys(text)).await, None, "{text}");
    }
}

/// `account_by_name`: what a name looks like finds nobody.
pub(super) async fn a_skeleton_finds_nobody(store: Store) {
    let alice = register(&*store, "alice").await;
    let lookalike = UsernameKeys { skeleton: alice.username.skeleton, ..keys("аlice") };
    assert_eq!(find(&*store, &lookalike).await, None);
}
