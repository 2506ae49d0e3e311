//! What only going back needs is cleared away, and not before somebody wants it.

use chat_core::id::UserId;
use chat_core::port::{AccountStore, PasswordWrite};
use chat_store_mongo::migrate_php::{Takeover, TakeoverError, Unplaced};
use mongodb::bson::{Bson, Document, doc};

use crate::older::{Listener, Older, rule, user};

async fn finish(older: &Older, unplaced: Unplaced) -> chat_store_mongo::migrate_php::Finished {
    older.takeover().await.finish(unplaced, &mut Listener::default()).await.unwrap()
}

/// A database with something of everything that is cleared away.
async fn older() -> Older {
    let older = Older::new().await;
    let [ann, ben] = older.users().await;
    older.user(3, "user-02").await;
    let room = older.room(10, &[Older::id(99), ann, ben]).await;
    older.chat(11, ann, ben).await;
    older.chat(12, ben, ann).await;
    older.chat(13, ben, ben).await;
    older.message(20, doc! { "room_id": room, "sender_id": ann, "content": "long".repeat(3_000) }).await;
    older.message(21, doc! { "room_id": room, "sender_id": Older::id(99) }).await;
    older
}

#[tokio::test]
async fn old_fields_go_and_everything_can_still_be_read() {
    let older = older().await;
    let taken_over = older.take_over().await;
    let log = taken_over.log(Older::id(10)).await;
    let finished = finish(&older, Unplaced::Keep).await;
    assert_eq!((finished.chats, finished.discarded, finished.kept), (1, 0, 1));
    for collection in ["users", "chat_rooms", "private_chats", "messages"] {
        for row in older.rows(collection).await.iter().filter(|row| !row.contains_key("unplaced")) {
            let is_old = |name: &&String| {
                name.ends_with("_before")
                    || ["password", "token", "status", "participants", "split_of"].contains(&name.as_str())
            };
            assert_eq!(row.keys().find(is_old), None, "{collection}: {row}");
        }
    }
    assert!(older.rows("migration_findings").await.is_empty());
    let store = older.test.open().await;
    for id in [1, 2, 3].map(Older::id) {
        let account = store.account(user(id)).await.unwrap().unwrap();
        assert!(account.password_hash.starts_with("$2y$10$hash of "), "{account:?}");
    }
    assert_eq!(taken_over.log(Older::id(10)).await, log);
}

#[tokio::test]
async fn passwords_of_ours_stay_and_those_of_the_older_system_take_their_place_if_there_is_none() {
    let older = older().await;
    let taken_over = older.take_over().await;
    let set = async |id, reason| {
        let (user, hash) = (user(id), "$argon2id$new");
        let expected = taken_over.store.account(user).await.unwrap().unwrap().password_hash;
        assert!(taken_over.store.set_password(user, &expected, hash, reason).await.unwrap());
    };
    set(Older::id(1), PasswordWrite::Rehashed).await;
    set(Older::id(2), PasswordWrite::Changed).await;
    finish(&older, Unplaced::Keep).await;
    let hash = async |id: UserId| taken_over.store.account(id).await.unwrap().unwrap().password_hash;
    assert_eq!(hash(user(Older::id(1))).await, "$argon2id$new");
    assert_eq!(hash(user(Older::id(2))).await, "$argon2id$new");
    assert_eq!(hash(user(Older::id(3))).await, "$2y$10$hash of 3");
}

#[tokio::test]
async fn messages_without_a_place_go_only_if_that_is_wanted() {
    let older = older().await;
    older.take_over().await;
    let before = older.row("messages", Older::id(21)).await;
    assert_eq!(finish(&older, Unplaced::Keep).await.kept, 1);
    assert_eq!(older.row("messages", Older::id(21)).await, before);
    older.row("private_chats", Older::id(13)).await;
    let finished = finish(&older, Unplaced::Discard).await;
    assert_eq!((finished.discarded, finished.chats, finished.kept), (1, 1, 0));
    let rows: Vec<Document> = older.rows("messages").await;
    assert!(rows.iter().all(|row| row.get("conversation") != Some(&Bson::Null)));
    older.test.open().await;
}

#[tokio::test]
async fn nothing_is_cleared_away_before_the_take_over_has_come_to_its_end() {
    let older = older().await;
    let before = older.hashes().await;
    let refused = async || {
        older.takeover().await.finish(Unplaced::Discard, &mut Listener::default()).await.unwrap_err()
    };
    assert!(matches!(refused().await, TakeoverError::NotTakenOver));
    assert_eq!(older.hashes().await, before);
    let stopped = older.takeover().await.run(&mut Listener::stopping_after(9)).await;
    assert!(stopped.is_err());
    assert!(matches!(refused().await, TakeoverError::NotTakenOver));
}

#[tokio::test]
async fn clearing_away_can_be_stopped_and_goes_on() {
    let [whole, pieces] = [older().await, older().await];
    whole.take_over().await;
    pieces.take_over().await;
    finish(&whole, Unplaced::Keep).await;
    for calls in 1.. {
        let takeover = Takeover::connect(&pieces.config(), rule()).await.unwrap();
        let outcome = takeover.finish(Unplaced::Keep, &mut Listener::stopping_after(calls)).await;
        if outcome.is_ok() {
            break;
        }
    }
    for collection in ["users", "chat_rooms", "private_chats", "messages"] {
        assert_eq!(pieces.rows(collection).await, whole.rows(collection).await);
    }
}
