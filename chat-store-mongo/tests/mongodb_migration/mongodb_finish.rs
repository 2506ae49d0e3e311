//! What only going back needs is cleared away, and not before somebody wants it.

use chat_core::id::UserId;
use chat_core::port::{AccountStore, PasswordWrite};
use chat_store_mongo::migrate_php::{Migration, MigrationError, Unplaced};
use mongodb::bson::{Bson, Document, doc};

use crate::php_chat::{Listener, PhpChat, rule, user};

async fn finish(php: &PhpChat, unplaced: Unplaced) -> chat_store_mongo::migrate_php::Finished {
    php.migration().await.finish(unplaced, &mut Listener::default()).await.unwrap()
}

/// A database with something of everything that is cleared away.
async fn php() -> PhpChat {
    let php = PhpChat::new().await;
    let [ann, ben] = php.users().await;
    php.user(3, "user-02").await;
    let room = php.room(10, &[PhpChat::id(99), ann, ben]).await;
    php.chat(11, ann, ben).await;
    php.chat(12, ben, ann).await;
    php.chat(13, ben, ben).await;
    php.message(20, doc! { "room_id": room, "sender_id": ann, "content": "long".repeat(3_000) }).await;
    php.message(21, doc! { "room_id": room, "sender_id": PhpChat::id(99) }).await;
    php
}

#[tokio::test]
async fn old_fields_go_and_everything_can_still_be_read() {
    let php = php().await;
    let migrated = php.migrate().await;
    let log = migrated.log(PhpChat::id(10)).await;
    let finished = finish(&php, Unplaced::Keep).await;
    assert_eq!((finished.chats, finished.discarded, finished.kept), (1, 0, 1));
    for collection in ["users", "chat_rooms", "private_chats", "messages"] {
        for row in php.rows(collection).await.iter().filter(|row| !row.contains_key("unplaced")) {
            let is_old = |name: &&String| {
                name.ends_with("_before")
                    || ["password", "token", "status", "participants", "split_of"].contains(&name.as_str())
            };
            assert_eq!(row.keys().find(is_old), None, "{collection}: {row}");
        }
    }
    assert!(php.rows("migration_findings").await.is_empty());
    let store = php.test.open().await;
    for id in [1, 2, 3].map(PhpChat::id) {
        let account = store.account(user(id)).await.unwrap().unwrap();
        assert!(account.password_hash.starts_with("$2y$10$hash of "), "{account:?}");
    }
    assert_eq!(migrated.log(PhpChat::id(10)).await, log);
}

#[tokio::test]
async fn passwords_of_ours_stay_and_those_of_the_php_chat_take_their_place_if_there_is_none() {
    let php = php().await;
    let migrated = php.migrate().await;
    let set = async |id, reason| {
        let (user, hash) = (user(id), "$argon2id$new");
        let expected = migrated.store.account(user).await.unwrap().unwrap().password_hash;
        assert!(migrated.store.set_password(user, &expected, hash, reason).await.unwrap());
    };
    set(PhpChat::id(1), PasswordWrite::Rehashed).await;
    set(PhpChat::id(2), PasswordWrite::Changed).await;
    finish(&php, Unplaced::Keep).await;
    let hash = async |id: UserId| migrated.store.account(id).await.unwrap().unwrap().password_hash;
    assert_eq!(hash(user(PhpChat::id(1))).await, "$argon2id$new");
    assert_eq!(hash(user(PhpChat::id(2))).await, "$argon2id$new");
    assert_eq!(hash(user(PhpChat::id(3))).await, "$2y$10$hash of 3");
}

#[tokio::test]
async fn messages_without_a_place_go_only_if_that_is_wanted() {
    let php = php().await;
    php.migrate().await;
    let before = php.row("messages", PhpChat::id(21)).await;
    assert_eq!(finish(&php, Unplaced::Keep).await.kept, 1);
    assert_eq!(php.row("messages", PhpChat::id(21)).await, before);
    php.row("private_chats", PhpChat::id(13)).await;
    let finished = finish(&php, Unplaced::Discard).await;
    assert_eq!((finished.discarded, finished.chats, finished.kept), (1, 1, 0));
    let rows: Vec<Document> = php.rows("messages").await;
    assert!(rows.iter().all(|row| row.get("conversation") != Some(&Bson::Null)));
    php.test.open().await;
}

#[tokio::test]
async fn nothing_is_cleared_away_before_the_migration_has_come_to_its_end() {
    let php = php().await;
    let before = php.hashes().await;
    let refused =
        async || php.migration().await.finish(Unplaced::Discard, &mut Listener::default()).await.unwrap_err();
    assert!(matches!(refused().await, MigrationError::NotMigrated));
    assert_eq!(php.hashes().await, before);
    let stopped = php.migration().await.run(&mut Listener::stopping_after(9)).await;
    assert!(stopped.is_err());
    assert!(matches!(refused().await, MigrationError::NotMigrated));
}

#[tokio::test]
async fn clearing_away_can_be_stopped_and_goes_on() {
    let [whole, pieces] = [php().await, php().await];
    whole.migrate().await;
    pieces.migrate().await;
    finish(&whole, Unplaced::Keep).await;
    for calls in 1.. {
        let migration = Migration::connect(&pieces.config(), rule()).await.unwrap();
        let outcome = migration.finish(Unplaced::Keep, &mut Listener::stopping_after(calls)).await;
        if outcome.is_ok() {
            break;
        }
    }
    for collection in ["users", "chat_rooms", "private_chats", "messages"] {
        assert_eq!(pieces.rows(collection).await, whole.rows(collection).await);
    }
}
