//! The older system can be gone back to, write, and be left again.

use chat_core::domain::{ConversationKind, RoomName, Topic, Visibility};
use chat_core::id::{ConversationId, EntryId};

use chat_core::port::{AccountStore as _, NewConversation, PasswordWrite, RoomStore as _};
use chat_store_mongo::migrate_php::{FindingKind, State, Takeover, TakeoverError, Unplaced};
use chat_store_mongo::{MongoStore, OpenError};
use chat_testkit::php_database::PhpDatabase;
use mongodb::bson::{Document, doc};

use crate::older::{Listener, Older, conversation, rule, user};

async fn back(older: &Older) -> Result<u64, TakeoverError> {
    older.takeover().await.back(&mut Listener::default()).await
}

/// All rows of the older system, but for what nobody minds.
async fn rows(older: &Older) -> Vec<Vec<Document>> {
    let mut all = Vec::new();
    for collection in ["users", "chat_rooms", "private_chats", "messages"] {
        let mut rows = older.rows(collection).await;
        rows.retain(|row| !row.contains_key("from_messages"));
        for row in &mut rows {
            // That there was nothing, and what means nothing to the older system.
            for field in ["display_name", "disabled", "topic", "visibility"] {
                row.remove(field);
            }
            let nulls: Vec<String> = row
                .iter()
                .filter(|(_, value)| value.as_null().is_some())
                .map(|(name, _)| name.clone())
                .collect();
            nulls.iter().for_each(|name| drop(row.remove(name)));
            let mut fields: Vec<_> = std::mem::take(row).into_iter().collect();
            fields.sort_by(|one, other| one.0.cmp(&other.0));
            row.extend(fields);
        }
        all.push(rows);
    }
    all
}

#[tokio::test]
async fn going_back_restores_what_the_older_system_wrote_and_a_second_take_over_equals_the_first() {
    let older = Older::new().await;
    PhpDatabase { users: 300, rooms: 24, messages: 1_200, seed: 11 }.write(&older.database).await.unwrap();
    let before = rows(&older).await;
    let first = older.take_over().await;
    // Broken off and repeated.
    for calls in 1..3 {
        let stopped = older.takeover().await.back(&mut Listener::stopping_after(calls)).await;
        assert!(matches!(stopped, Err(TakeoverError::Stopped)), "{stopped:?}");
        let refused = MongoStore::open(older.config()).await.unwrap_err();
        assert!(matches!(refused, OpenError::MigrationUnfinished { .. }), "{refused}");
    }
    back(&older).await.unwrap();
    for (after, before) in rows(&older).await.into_iter().zip(before) {
        assert_eq!(after.len(), before.len());
        for (after, before) in after.into_iter().zip(before) {
            assert_eq!(after, before);
        }
    }
    assert_eq!(older.takeover().await.state().await.unwrap(), State::Older);
    let refused = MongoStore::open(older.config()).await.unwrap_err();
    assert!(matches!(refused, OpenError::NotMigrated { .. }), "{refused}");
    let second = older.take_over().await;
    let mut expected = first.report;
    expected.findings.remove(&FindingKind::IndexDropped);
    // Chats that were made for messages are made again.
    assert_eq!(second.report, expected);
}

#[tokio::test]
async fn the_older_system_can_write_again_and_what_it_wrote_is_taken_over() {
    let older = Older::new().await;
    let [ann, ben] = older.users().await;
    let room = older.room(10, &[ann, ben]).await;
    older.message(20, doc! { "room_id": room, "sender_id": ann }).await;
    let taken_over = older.take_over().await;
    let hash = taken_over.store.account(user(ann)).await.unwrap().unwrap().password_hash;
    let new_hash = "$argon2id$new";
    let rehashed = PasswordWrite::Rehashed;
    assert!(taken_over.store.set_password(user(ann), &hash, new_hash, rehashed).await.unwrap());
    let private = NewConversation {
        id: ConversationId::generate(),
        kind: ConversationKind::Room {
            name: RoomName::new("Ours").unwrap(),
            topic: Topic::new("").unwrap(),
            visibility: Visibility::Private,
        },
        created_by: user(ben),
        created_at: chat_core::time::Timestamp::from_unix_ms(1_700_000_000_000),
        entry_id: EntryId::generate(),
    };
    taken_over.store.create(private.clone()).await.unwrap();
    assert!(taken_over.store.set_disabled(user(ann), false).await.unwrap());
    assert!(older.row("users", ann).await.contains_key("changed"), "the mark of a change");
    back(&older).await.unwrap();
    assert!(!older.row("users", ann).await.contains_key("changed"));

    // As the older system does, without any field of ours.
    for number in 30..34 {
        older.message(number, doc! { "room_id": room, "sender_id": ben }).await;
        older.user(number, &format!("new {number}")).await;
        older.room(number, &[ben]).await;
        older.chat(100 + number, ann, ben).await;
    }
    let changed = doc! { "$set": { "password": "$2y$10$changed" } };
    let users = older.database.collection::<Document>("users");
    users.update_one(doc! { "_id": ann }, changed).await.unwrap();

    let again = older.take_over().await;
    let said = ["message 20", "message 30", "message 31", "message 32", "message 33"];
    assert_eq!(again.said(room).await, said);
    assert_eq!(again.report.counts.users, 6);
    let account = again.store.account(user(ann)).await.unwrap().unwrap();
    assert_eq!(account.password_hash, "$2y$10$changed", "an old password is worth something");
    let ours = again.store.conversation(private.id).await.unwrap().unwrap();
    let ConversationKind::Room { visibility, .. } = ours.kind else { panic!("it is no room") };
    assert_eq!(visibility, Visibility::Private);
    assert!(again.store.conversation(conversation(room)).await.unwrap().is_some());
}

#[tokio::test]
async fn there_is_no_way_back_from_what_was_cleared_away_or_never_taken_over() {
    let older = Older::new().await;
    older.user(1, "ann").await;
    assert!(matches!(back(&older).await, Err(TakeoverError::NotTakenOver)));
    older.take_over().await;
    let takeover = Takeover::connect(&older.config(), rule()).await.unwrap();
    // Also if it was only begun.
    let begun = takeover.finish(Unplaced::Keep, &mut Listener::stopping_after(1)).await;
    assert!(matches!(begun, Err(TakeoverError::Stopped)), "{begun:?}");
    let before = older.hashes().await;
    assert!(matches!(back(&older).await, Err(TakeoverError::NoWayBack)));
    assert_eq!(older.hashes().await, before);
}

#[tokio::test]
async fn going_back_in_the_middle_of_a_take_over_leaves_rows_alone_that_it_has_not_reached() {
    let older = Older::new().await;
    let [ann, ben] = older.users().await;
    let room = older.room(10, &[ann, ben]).await;
    older.chat(11, ann, ben).await;
    for number in 20..40 {
        older
            .message(number, doc! { "room_id": room, "sender_id": ann, "seq": "theirs", "conversation": 5 })
            .await;
    }
    let before = rows(&older).await;
    for calls in [6, 9, 12, 14] {
        let stopped = older.takeover().await.page_rows(4).run(&mut Listener::stopping_after(calls)).await;
        assert!(matches!(stopped, Err(TakeoverError::Stopped)), "{stopped:?}");
        back(&older).await.unwrap();
        assert_eq!(rows(&older).await, before, "after {calls} calls");
    }
}
