//! What operators do with a database while it is served.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use chat_core::id::UserId;
use chat_core::port::{AccountStore, RoomStore};
use chat_core::time::Timestamp;
use chat_store_sqlite::{Beside, OpenError, SqliteConfig, SqliteStore};
use support::{Place, room, user};

#[tokio::test]
async fn accounts_can_be_changed_and_copied_while_the_database_is_served() {
    let place = Place::new();
    let served = place.open();
    let room = room(&served, user(1)).await;
    let account = account(user(1));
    served.create_account(account).await.unwrap();

    let beside = Beside::open(SqliteConfig::new(place.database())).unwrap();
    assert!(beside.accounts().set_disabled(user(1), true).await.unwrap());
    assert!(served.account(user(1)).await.unwrap().unwrap().disabled);

    let read = beside.rooms().conversation(room).await.unwrap();
    assert_eq!(read, served.conversation(room).await.unwrap());
    assert!(read.is_some());

    beside.backup(place.path("copy.db")).await.unwrap();
    let copy = SqliteStore::open(SqliteConfig::new(place.path("copy.db"))).unwrap();
    assert!(copy.conversation(room).await.unwrap().is_some());
    assert_ne!(copy.epoch().await.unwrap(), served.epoch().await.unwrap());

    drop(beside);
    served.set_disabled(user(1), false).await.unwrap();
    assert!(served.health().is_ok());
}

#[test]
fn nothing_is_created_beside() {
    let place = Place::new();
    let opened = Beside::open(SqliteConfig::new(place.database()));
    assert!(matches!(opened, Err(OpenError::Missing { .. })));
    assert!(!place.database().exists());
}

fn account(user_id: UserId) -> chat_core::port::NewAccount {
    chat_core::port::NewAccount {
        user_id,
        username: chat_core::port::UsernameKeys {
            text: "ann".to_owned(),
            folded: "ann".to_owned(),
            skeleton: "ann".to_owned(),
        },
        display_name: chat_core::domain::DisplayName::new("Ann").unwrap(),
        email: None,
        password_hash: "$argon2id$".to_owned(),
        created_at: Timestamp::from_unix_ms(1),
    }
}
