//! The PHP chat can be gone back to, write, and be left again.

use chat_core::domain::{ConversationKind, DisplayName, RoomName, Topic, Visibility};
use chat_core::id::{ConversationId, EntryId};

use chat_core::port::{AccountStore as _, NewConversation, PasswordWrite, RoomStore as _};
use chat_store_mongo::migrate_php::{FindingKind, Migration, MigrationError, State, Unplaced};
use chat_store_mongo::{MongoStore, OpenError};
use chat_testkit::php_database::PhpDatabase;
use mongodb::bson::{Document, doc};

use crate::php_chat::{Listener, PhpChat, conversation, rule, user};

async fn back(php: &PhpChat) -> Result<u64, MigrationError> {
    php.migration().await.back(&mut Listener::default()).await
}

/// All rows of the PHP chat, but for fields that say that there is nothing.
async fn rows(php: &PhpChat) -> Vec<Vec<Document>> {
    let mut all = Vec::new();
    for collection in ["users", "chat_rooms", "private_chats", "messages"] {
        let mut rows = php.rows(collection).await;
        rows.retain(|row| !row.contains_key("from_messages"));
        for row in &mut rows {
            // That there was nothing.
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
async fn going_back_restores_what_the_php_chat_wrote_and_a_second_migration_equals_the_first() {
    let php = PhpChat::new().await;
    PhpDatabase { users: 300, rooms: 24, messages: 1_200, seed: 11 }.write(&php.database).await.unwrap();
    let before = rows(&php).await;
    let first = php.migrate().await;
    // Broken off and repeated.
    for calls in 1..3 {
        let stopped = php.migration().await.back(&mut Listener::stopping_after(calls)).await;
        assert!(matches!(stopped, Err(MigrationError::Stopped)), "{stopped:?}");
        let refused = MongoStore::open(php.config()).await.unwrap_err();
        assert!(matches!(refused, OpenError::MigrationUnfinished { .. }), "{refused}");
    }
    back(&php).await.unwrap();
    for (after, before) in rows(&php).await.into_iter().zip(before) {
        assert_eq!(after.len(), before.len());
        for (after, before) in after.into_iter().zip(before) {
            assert_eq!(after, before);
        }
    }
    assert_eq!(php.migration().await.state().await.unwrap(), State::PhpChat);
    let refused = MongoStore::open(php.config()).await.unwrap_err();
    assert!(matches!(refused, OpenError::NotMigrated { .. }), "{refused}");
    let second = php.migrate().await;
    let mut expected = first.report;
    expected.findings.remove(&FindingKind::IndexDropped);
    // Chats that were made for messages are made again.
    assert_eq!(second.report, expected);
}

#[tokio::test]
async fn the_php_chat_can_write_again_and_what_it_wrote_is_migrated() {
    let php = PhpChat::new().await;
    let [ann, ben] = php.users().await;
    let room = php.room(10, &[ann, ben]).await;
    php.message(20, doc! { "room_id": room, "sender_id": ann }).await;
    let migrated = php.migrate().await;
    let hash = migrated.store.account(user(ann)).await.unwrap().unwrap().password_hash;
    let new_hash = "$argon2id$new";
    let rehashed = PasswordWrite::Rehashed;
    assert!(migrated.store.set_password(user(ann), &hash, new_hash, rehashed).await.unwrap());
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
    migrated.store.create(private.clone()).await.unwrap();
    assert!(migrated.store.set_disabled(user(ann), false).await.unwrap());
    assert!(php.row("users", ann).await.contains_key("changed"), "the mark of a change");
    back(&php).await.unwrap();
    assert!(!php.row("users", ann).await.contains_key("changed"));

    // As the PHP chat does, without any field of ours.
    for number in 30..34 {
        php.message(number, doc! { "room_id": room, "sender_id": ben }).await;
        php.user(number, &format!("new {number}")).await;
        php.room(number, &[ben]).await;
        php.chat(100 + number, ann, ben).await;
    }
    let changed = doc! { "$set": { "password": "$2y$10$changed" } };
    let users = php.database.collection::<Document>("users");
    users.update_one(doc! { "_id": ann }, changed).await.unwrap();

    let again = php.migrate().await;
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
async fn going_back_keeps_what_somebody_has_decided_here_and_what_was_there_before() {
    let php = PhpChat::new().await;
    let [ann, ben, cem] = php.users().await;
    let garden = php.room(10, &[ann]).await;
    // The PHP chat has such fields of its own, with the very values that a migration gives.
    let own = doc! { "$set": { "display_name": "user-03", "disabled": false } };
    php.database.collection::<Document>("users").update_one(doc! { "_id": cem }, own).await.unwrap();
    let own = doc! { "$set": { "topic": "", "visibility": "public" } };
    php.database.collection::<Document>("chat_rooms").update_one(doc! { "_id": garden }, own).await.unwrap();
    let before = rows(&php).await;
    let migrated = php.migrate().await;
    assert!(migrated.store.set_disabled(user(ann), true).await.unwrap());
    let benny = DisplayName::new("Benny").unwrap();
    migrated.store.set_display_name(user(ben), &benny).await.unwrap();
    back(&php).await.unwrap();

    let shown = |row: &Document| row.get_str("display_name").ok().map(str::to_owned);
    let [ann_now, ben_now] = [php.row("users", ann).await, php.row("users", ben).await];
    assert_eq!((shown(&ann_now), ann_now.get_bool("disabled").ok()), (None, Some(true)));
    assert_eq!((shown(&ben_now).as_deref(), ben_now.get("disabled")), (Some("Benny"), None));
    let after = rows(&php).await;
    assert_eq!((&after[0][2], &after[1]), (&before[0][2], &before[1]));

    let again = php.migrate().await;
    assert!(again.store.account(user(ann)).await.unwrap().unwrap().disabled, "a new migration lets them in");
    let ben = again.store.account(user(ben)).await.unwrap().unwrap();
    assert_eq!((ben.display_name, ben.disabled), (benny, false));
}

#[tokio::test]
async fn there_is_no_way_back_from_what_was_cleared_away_or_never_migrated() {
    let php = PhpChat::new().await;
    php.user(1, "ann").await;
    assert!(matches!(back(&php).await, Err(MigrationError::NotMigrated)));
    php.migrate().await;
    let migration = Migration::connect(&php.config(), rule()).await.unwrap();
    // Also if it was only begun.
    let begun = migration.finish(Unplaced::Keep, &mut Listener::stopping_after(1)).await;
    assert!(matches!(begun, Err(MigrationError::Stopped)), "{begun:?}");
    let before = php.hashes().await;
    assert!(matches!(back(&php).await, Err(MigrationError::NoWayBack)));
    assert_eq!(php.hashes().await, before);
}

#[tokio::test]
async fn going_back_in_the_middle_of_a_migration_leaves_rows_alone_that_it_has_not_reached() {
    let php = PhpChat::new().await;
    let [ann, ben] = php.users().await;
    let room = php.room(10, &[ann, ben]).await;
    php.chat(11, ann, ben).await;
    for number in 20..40 {
        php.message(number, doc! { "room_id": room, "sender_id": ann, "seq": "theirs", "conversation": 5 })
            .await;
    }
    let before = rows(&php).await;
    for calls in [6, 9, 12, 14] {
        let stopped = php.migration().await.page_rows(4).run(&mut Listener::stopping_after(calls)).await;
        assert!(matches!(stopped, Err(MigrationError::Stopped)), "{stopped:?}");
        back(&php).await.unwrap();
        assert_eq!(rows(&php).await, before, "after {calls} calls");
    }
}
