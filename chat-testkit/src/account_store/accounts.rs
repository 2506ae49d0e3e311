//! Cases of accounts: what reads back and what changes them.

use std::collections::BTreeSet;

use chat_core::domain::Email;
use chat_core::error::StoreError;
use chat_core::port::{Account, AccountStore, NewAccount, PasswordWrite, StoredAccount, UsernameKeys};
use tokio::task::JoinSet;

use super::Store;
use super::rows::{at, display_name, keys, new_account, register};
use crate::random;

async fn read(store: &dyn AccountStore, account: &NewAccount) -> Account {
    store.account(account.user_id).await.expect("an answer").expect("it exists")
}

/// `account`, `create_account`: an account reads back as it was made, whatever its texts hold.
pub(super) async fn an_account_reads_back(store: Store) {
    let mut plain = new_account(keys("plain"));
    plain.email = None;
    let mut odd = new_account(keys("张三 '\"; -- 👩‍👧"));
    odd.email = Some(Email::new("\"o'b\"+x@例.example").expect("an address"));
    odd.password_hash = "$2y$10$abcdefghijklmnopqrstuv".to_owned();
    for new in [plain, odd] {
        store.create_account(new.clone()).await.expect("an answer");
        let expected = Account {
            user_id: new.user_id,
            username: new.username.text.clone(),
            display_name: new.display_name.clone(),
            email: new.email.clone(),
            password_hash: new.password_hash.clone(),
            disabled: false,
            created_at: new.created_at,
            last_login: None,
            last_seen: None,
        };
        let stored = read(&*store, &new).await;
        assert!(stored == expected, "{stored:?} is not {expected:?}");
    }
    assert_eq!(store.account(random::user()).await.expect("an answer"), None);
}

/// `accounts`: those of up to 100 users; unknown users are left out.
pub(super) async fn accounts_are_read_together(store: Store) {
    let mut users = Vec::new();
    for number in 0..60 {
        users.push(register(&*store, &format!("user {number}")).await.user_id);
    }
    let asked = users.iter().copied().chain((0..40).map(|_| random::user())).collect();
    let found = store.accounts(asked).await.expect("an answer");
    assert_eq!(found.len(), users.len(), "each once");
    let found: BTreeSet<_> = found.iter().map(|account| account.user_id).collect();
    assert_eq!(found, users.iter().copied().collect());
    assert_eq!(store.accounts(Vec::new()).await.expect("an answer"), []);
    let one = store.accounts(vec![users[3]]).await.expect("an answer");
    assert_eq!(one.first(), store.account(users[3]).await.expect("an answer").as_ref());
}

async fn everybody(store: &dyn AccountStore, limit: u32) -> Vec<StoredAccount> {
    let mut read: Vec<StoredAccount> = Vec::new();
    loop {
        let after = read.last().map(|last| last.account.user_id);
        let page = store.all_accounts(after, limit).await.expect("a page");
        assert!(page.len() <= limit as usize, "at most the limit");
        let is_above = |one: &StoredAccount| after < Some(one.account.user_id);
        assert!(page.iter().all(is_above), "pages do not overlap");
        if page.is_empty() {
            return read;
        }
        read.extend(page);
    }
}

/// `all_accounts`: everybody once, in the order of user ids, in pages of any size.
pub(super) async fn all_accounts_are_paged_in_order(store: Store) {
    assert_eq!(store.all_accounts(None, 10).await.expect("a page"), []);
    let mut users = Vec::new();
    for number in 0..25 {
        users.push(register(&*store, &format!("user {number}")).await.user_id);
    }
    users.sort_unstable();
    for limit in [1, 7, 25, 1_000] {
        let read = everybody(&*store, limit).await;
        let read: Vec<_> = read.iter().map(|one| one.account.user_id).collect();
        assert_eq!(read, users, "in steps of {limit}");
    }
    let last = users.last().copied();
    assert_eq!(store.all_accounts(last, 10).await.expect("a page"), [], "nobody is above the last");
}

/// `all_accounts`: accounts as they are now, disabled ones too, with the keys they were created with.
pub(super) async fn all_accounts_are_whole(store: Store) {
    let names = [
        keys("Alice"),
        keys("张三"),
        // From before today's rules: the three forms have nothing to do with each other.
        UsernameKeys { text: "a\0 ".to_owned(), folded: "B'\"".to_owned(), skeleton: "ç$".to_owned() },
    ];
    let mut expected = Vec::new();
    for (number, username) in names.into_iter().enumerate() {
        let new = NewAccount { username: username.clone(), ..new_account(keys("shown")) };
        store.create_account(new.clone()).await.expect("an answer");
        store.set_disabled(new.user_id, number == 1).await.expect("an answer");
        if number == 0 {
            store.record_login(new.user_id, at(5)).await.expect("an answer");
            store.record_seen(vec![(new.user_id, at(6))]).await.expect("an answer");
            store.set_display_name(new.user_id, &display_name("A")).await.expect("an answer");
        }
        expected.push(StoredAccount { account: read(&*store, &new).await, username });
    }
    expected.sort_by_key(|one| one.account.user_id);
    assert!(everybody(&*store, 2).await == expected, "{:?} is not {expected:?}", everybody(&*store, 2).await);
}

/// `set_password`: compares before it replaces, and answers whether it did, whatever the reason.
pub(super) async fn a_password_is_replaced_only_if_it_is_the_expected_one(store: Store) {
    let alice = register(&*store, "alice").await;
    let bob = register(&*store, "bob").await;
    let mut present = alice.password_hash.clone();
    for reason in [PasswordWrite::Changed, PasswordWrite::Rehashed] {
        let set = async |user, expected: &str, hash: &str| {
            store.set_password(user, expected, hash, reason).await.expect("an answer")
        };
        assert!(!set(alice.user_id, "$2y$other", "$argon2id$new").await);
        assert_eq!(read(&*store, &alice).await.password_hash, present);
        let new = format!("$argon2id${reason:?}");
        assert!(set(alice.user_id, &present, &new).await);
        assert_eq!(read(&*store, &alice).await.password_hash, new);
        assert!(!set(alice.user_id, &present, "$argon2id$newer").await, "not the expected one any more");
        assert!(!set(random::user(), "a", "b").await, "nobody");
        present = new;
    }
    assert_eq!(read(&*store, &bob).await.password_hash, bob.password_hash, "others keep theirs");
}

/// `set_password`: of concurrent calls with one expected hash one replaces it.
pub(super) async fn a_race_for_one_password_has_one_winner(store: Store) {
    let alice = register(&*store, "alice").await;
    let mut calls = JoinSet::new();
    for number in 0..50 {
        let (store, alice) = (store.port(), alice.clone());
        calls.spawn(async move {
            let hash = format!("$argon2id${number}");
            let reason = [PasswordWrite::Changed, PasswordWrite::Rehashed][number % 2];
            let did = store.set_password(alice.user_id, &alice.password_hash, &hash, reason).await;
            did.expect("an answer").then_some(hash)
        });
    }
    let winners: Vec<String> = calls.join_all().await.into_iter().flatten().collect();
    assert_eq!(winners, [read(&*store, &alice).await.password_hash]);
}

/// `set_display_name`: replaces the name to show and nothing else.
pub(super) async fn the_display_name_is_replaced(store: Store) {
    let alice = register(&*store, "alice").await;
    let before = read(&*store, &alice).await;
    let name = display_name("Alice 李");
    store.set_display_name(alice.user_id, &name).await.expect("an answer");
    let after = read(&*store, &alice).await;
    assert_eq!(after.display_name, name);
    assert!(Account { display_name: before.display_name.clone(), ..after } == before);
}

/// `record_login`: notes when a user signed in.
pub(super) async fn a_login_is_noted(store: Store) {
    let alice = register(&*store, "alice").await;
    for seconds in [5, 9] {
        store.record_login(alice.user_id, at(seconds)).await.expect("an answer");
        assert_eq!(read(&*store, &alice).await.last_login, Some(at(seconds)));
    }
    assert_eq!(read(&*store, &alice).await.last_seen, None, "that is another time");
}

/// `record_seen`: many users at once; a time never goes backwards.
pub(super) async fn the_time_last_seen_never_goes_back(store: Store) {
    let alice = register(&*store, "alice").await;
    let bob = register(&*store, "bob").await;
    let seen = async |times: Vec<(&NewAccount, u64)>| {
        let times = times.into_iter().map(|(account, seconds)| (account.user_id, at(seconds))).collect();
        store.record_seen(times).await.expect("an answer");
        (read(&*store, &alice).await.last_seen, read(&*store, &bob).await.last_seen)
    };
    assert_eq!(seen(vec![(&alice, 10)]).await, (Some(at(10)), None));
    assert_eq!(seen(vec![(&alice, 5), (&bob, 7)]).await, (Some(at(10)), Some(at(7))));
    assert_eq!(seen(vec![(&bob, 9), (&alice, 11), (&bob, 8)]).await, (Some(at(11)), Some(at(9))));
    assert_eq!(seen(Vec::new()).await, (Some(at(11)), Some(at(9))));
}

/// `set_disabled`: changes the mark and nothing else, and answers whether the account exists.
pub(super) async fn accounts_are_disabled_and_enabled(store: Store) {
    let alice = register(&*store, "alice").await;
    let before = read(&*store, &alice).await;
    for disabled in [true, true, false, false] {
        assert!(store.set_disabled(alice.user_id, disabled).await.expect("an answer"));
        assert!(read(&*store, &alice).await == Account { disabled, ..before.clone() });
    }
    assert!(!store.set_disabled(random::user(), true).await.expect("an answer"));
}

/// `set_display_name`, `record_login`, `record_seen`: nothing happens for an unknown user.
pub(super) async fn unknown_users_are_no_error(store: Store) {
    let nobody = random::user();
    let outcome: Result<(), StoreError> = async {
        store.set_display_name(nobody, &display_name("Nobody")).await?;
        store.record_login(nobody, at(1)).await?;
        store.record_seen(vec![(nobody, at(1))]).await
    }
    .await;
    outcome.expect("absence is no error");
    assert_eq!(store.account(nobody).await.expect("an answer"), None, "and nobody came to be");
}
