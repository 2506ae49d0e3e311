//! Accounts of the PHP chat: whose password counts, and who is found by which name.

use chat_core::port::{Account, AccountCreation, AccountStore, PasswordWrite, UsernameKeys};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document, doc};

use super::rows::{at, keys, new_account, object_id, row};
use crate::support::TestDatabase;

const OLDER_HASH: &str = "$2y$10$abcdefghijklmnopqrstuv";

/// A row as the PHP chat made it and the migration left it.
fn migrated(username: &str, folded: &str, skeleton: &str) -> Document {
    doc! {
        "_id": ObjectId::new(),
        "username": username,
        "password": OLDER_HASH,
        "email": "old@example.org",
        "created_at": DateTime::from_millis(at(0).unix_ms()),
        "last_login": Bson::Null,
        "status": "offline",
        "token": "t0ken",
        "username_folded": folded,
        "username_skeleton": skeleton,
        "display_name": username,
    }
}

async fn insert(database: &mongodb::Database, row: &Document) -> chat_core::id::UserId {
    database.collection::<Document>("users").insert_one(row).await.unwrap();
    chat_core::id::UserId::from_bytes(row.get_object_id("_id").unwrap().bytes())
}

#[tokio::test]
async fn the_older_hash_counts_until_there_is_one_of_ours() {
    let test = TestDatabase::new().await;
    let (store, beside) = (test.open().await, test.beside().await);
    let older = migrated("Ann", "ann", "ann");
    let user = insert(&beside, &older).await;
    let account: Account = store.account(user).await.unwrap().unwrap();
    assert_eq!((account.password_hash.as_str(), account.disabled), (OLDER_HASH, false));
    assert_eq!((account.created_at, account.last_login, account.last_seen), (at(0), None, None));

    let set = async |expected: &str, hash: &str, reason| {
        store.set_password(user, expected, hash, reason).await.unwrap()
    };
    assert!(!set("$2y$another", "$argon2id$1", PasswordWrite::Rehashed).await);
    assert!(set(OLDER_HASH, "$argon2id$1", PasswordWrite::Rehashed).await);
    assert_eq!(store.account(user).await.unwrap().unwrap().password_hash, "$argon2id$1");
    let mut expected = older.clone();
    expected.insert("password_hash", "$argon2id$1");
    let id = object_id(user.as_bytes());
    assert_eq!(row(&beside, "users", id).await, expected, "the PHP chat still finds everything of its own");

    assert!(!set(OLDER_HASH, "$argon2id$2", PasswordWrite::Changed).await, "it does not count any more");
    assert!(set("$argon2id$1", "$argon2id$2", PasswordWrite::Changed).await);
    let changed = row(&beside, "users", id).await;
    assert_eq!(changed.get("password"), None, "the old password is worth nothing anywhere");
    assert_eq!(changed.get_str("password_hash").unwrap(), "$argon2id$2");
}

#[tokio::test]
async fn a_change_takes_the_older_hash_away_at_once() {
    let test = TestDatabase::new().await;
    let (store, beside) = (test.open().await, test.beside().await);
    let user = insert(&beside, &migrated("Ann", "ann", "ann")).await;
    let set = store.set_password(user, OLDER_HASH, "$argon2id$1", PasswordWrite::Changed).await;
    assert!(set.unwrap());
    let changed = row(&beside, "users", object_id(user.as_bytes())).await;
    assert_eq!((changed.get("password"), changed.get_str("password_hash").ok()), (None, Some("$argon2id$1")));
}

#[tokio::test]
async fn a_displaced_name_is_found_by_its_exact_text_only() {
    let test = TestDatabase::new().await;
    let (store, beside) = (test.open().await, test.beside().await);
    let oldest = insert(&beside, &migrated("Ann", "ann", "skeleton of ann")).await;
    let displaced = insert(&beside, &migrated("ANN", "\u{1}ANN", "\u{1}ANN")).await;
    let find =
        async |name: &UsernameKeys| store.account_by_name(name).await.unwrap().map(|account| account.user_id);
    assert_eq!(find(&keys("Ann")).await, Some(oldest));
    assert_eq!(find(&keys("ANN")).await, Some(displaced));
    assert_eq!(find(&keys("ann")).await, Some(oldest));
    for text in ["\u{1}ANN", "\u{1}Ann"] {
        let typed = UsernameKeys { folded: text.to_owned(), ..keys(text) };
        assert_eq!(find(&typed).await, None, "nobody is called {text:?}");
    }
    for taken in ["ann", "ANN", "aNN"] {
        assert_eq!(store.create_account(new_account(taken)).await.unwrap(), AccountCreation::NameTaken);
    }
    let all = store.all_accounts(None, 10).await.unwrap();
    let all: Vec<_> = all.iter().map(|one| (one.account.user_id, one.username.folded.as_str())).collect();
    assert_eq!(all, [(oldest, "ann"), (displaced, "\u{1}ANN")], "copies keep the keys");
}

#[tokio::test]
async fn an_older_text_that_is_no_address_locks_nobody_out() {
    let test = TestDatabase::new().await;
    let (store, beside) = (test.open().await, test.beside().await);
    for (number, email) in ["", "no address", "two@@ats"].into_iter().enumerate() {
        let name = format!("user{number}");
        let mut older = migrated(&name, &name, &name);
        older.insert("email", email);
        let user = insert(&beside, &older).await;
        let account = store.account(user).await.unwrap().unwrap();
        assert_eq!(account.email, None);
        assert_eq!(
            row(&beside, "users", object_id(user.as_bytes())).await.get_str("email").ok(),
            Some(email)
        );
    }
}

#[tokio::test]
async fn names_that_folded_less_get_the_keys_of_today_when_the_database_is_opened_again() {
    let test = TestDatabase::new().await;
    let beside = test.beside().await;
    drop(test.open().await);
    let user = |name, folded| migrated(name, folded, name);
    let nikos = insert(&beside, &user("νικος", "νικος")).await;
    let (strasse, other) = (insert(&beside, &user("strasse", "strasse")).await, user("Straße", "straße"));
    let other = insert(&beside, &other).await;
    let displaced = insert(&beside, &user("ΛΟΓΟΣ", "\u{1}ΛΟΓΟς")).await;
    beside.collection::<Document>("meta").delete_one(doc! { "_id": "name_keys" }).await.unwrap();

    for _ in 0..2 {
        let store = test.open().await;
        let stored = store.all_accounts(None, 10).await.unwrap();
        let key = |user| {
            let one = stored.iter().find(|one| one.account.user_id == user);
            one.map(|one| one.username.folded.clone()).unwrap()
        };
        assert_eq!([nikos, strasse, other, displaced].map(key), ["νικοσ", "strasse", "straße", "\u{1}ΛΟΓΟς"]);
        let typed = UsernameKeys { folded: "νικοσ".to_owned(), ..keys("ΝΙΚΟΣ") };
        assert_eq!(store.account_by_name(&typed).await.unwrap().map(|found| found.user_id), Some(nikos));
    }
}
