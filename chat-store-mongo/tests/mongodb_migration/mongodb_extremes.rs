//! Databases at the edges: rows as large as rows can be, collections without rows, fields that happen to have our
//! names.

use chat_core::port::AccountStore as _;
use chat_store_mongo::migrate_php::{FindingKind, MigrationError, Outcome, State};
use chat_store_mongo::{MongoStore, OpenError};
use mongodb::bson::{Bson, DateTime, RawDocumentBuf, doc};

use crate::php_chat::{Listener, PhpChat, user};

/// Two of these do not fit into one reply of a server.
const LARGE_BYTES: usize = 9 * 1_024 * 1_024;

#[tokio::test]
async fn rows_that_do_not_fit_into_one_reply_are_all_migrated() {
    let php = PhpChat::new().await;
    let [ann] = php.users().await;
    let room = php.room(10, &[ann]).await;
    for number in 20..23 {
        let content = "x".repeat(LARGE_BYTES);
        php.message(number, doc! { "room_id": room, "sender_id": ann, "content": content, "type": "image" })
            .await;
    }
    // Many that fill a batch, then one that fills another.
    let rows = (30..400).map(|number| {
        doc! {
            "_id": PhpChat::id(number), "room_id": room, "sender_id": ann, "content": "y".repeat(10_000), "type": "text",
            "timestamp": PhpChat::at(i64::from(number)),
        }
    });
    php.database.collection("messages").insert_many(rows).await.unwrap();
    let huge = "z".repeat(14 * 1_024 * 1_024);
    php.message(500, doc! { "room_id": room, "sender_id": ann, "content": huge }).await;
    php.message(501, doc! { "room_id": room, "sender_id": ann, "content": "the last" }).await;
    let (report, _) = php.survey().await;
    assert_eq!(report.counts.messages, 3 + 370 + 2);
    let outcome = php.migration().await.run(&mut Listener::default()).await.unwrap();
    assert_eq!(outcome, Outcome::Done(report));
    let last = php.row("messages", PhpChat::id(501)).await;
    assert_eq!(last.get_i64("messages_so_far").unwrap() as usize, 3 * 1_152 + 370 * 2 + 1_792 + 1);
}

#[tokio::test]
async fn indexes_of_collections_without_rows_are_migrated_too() {
    let php = PhpChat::new().await;
    for (collection, index) in [
        ("users", doc! { "key": { "username": 1 }, "name": "username_1", "unique": true }),
        ("messages", doc! { "key": { "timestamp": 1 }, "name": "ttl", "expireAfterSeconds": 3_600 }),
    ] {
        php.database.run_command(doc! { "createIndexes": collection, "indexes": [index] }).await.unwrap();
    }
    assert_eq!(php.migration().await.state().await.unwrap(), State::PhpChat);
    let refused = MongoStore::open(php.config()).await.unwrap_err();
    assert!(matches!(refused, OpenError::NotMigrated { .. }), "{refused}");
    let migrated = php.migrate().await;
    assert_eq!(migrated.kinds(), [FindingKind::IndexDropped; 2]);
}

#[tokio::test]
async fn fields_that_have_our_names_and_mean_something_else_are_put_aside() {
    let php = PhpChat::new().await;
    let [ann, ben] = php.users().await;
    let room = php.room(10, &[ann, ben]).await;
    let chat = php.chat(11, ann, ben).await;
    let message = php.message(20, doc! { "room_id": room, "sender_id": ann }).await;
    let foreign = [
        (
            "users",
            ann,
            doc! { "last_seen": 1_690_000_000, "password_hash": 7, "username_folded": ["x"], "changed": "ever" },
        ),
        (
            "chat_rooms",
            room,
            doc! { "member_count": "many", "owners": 1, "visibility": "all", "entry_id": 5 },
        ),
        (
            "private_chats",
            chat,
            doc! { "created_by": "ann", "pair": "ab", "member_count": 9, "merged_into": 4 },
        ),
        (
            "messages",
            message,
            doc! { "seq": "7", "conversation": "c", "messages_so_far": DateTime::now(), "unplaced": 1 },
        ),
    ];
    for (collection, id, fields) in &foreign {
        let rows = php.database.collection::<mongodb::bson::Document>(collection);
        rows.update_one(doc! { "_id": id }, doc! { "$set": fields.clone() }).await.unwrap();
    }
    let migrated = php.migrate().await;
    assert_eq!(migrated.said(room).await, ["message 20"]);
    migrated.store.account(user(ann)).await.unwrap().unwrap();
    for (collection, id, fields) in foreign {
        let row = php.row(collection, id).await;
        for (field, value) in fields {
            assert_eq!(row.get(format!("{field}_before")), Some(&value), "{collection} {field}: {row}");
        }
    }
}

#[tokio::test]
async fn a_message_of_a_room_and_of_a_chat_is_named() {
    let php = PhpChat::new().await;
    let [ann, ben] = php.users().await;
    let room = php.room(10, &[ann, ben]).await;
    let chat = php.chat(11, ann, ben).await;
    php.message(20, doc! { "room_id": room, "chat_id": chat, "sender_id": ann }).await;
    let migrated = php.migrate().await;
    assert_eq!(migrated.kinds(), [FindingKind::SeveralPlaces]);
    assert_eq!(migrated.said(room).await, ["message 20"]);
    assert!(migrated.said(chat).await.is_empty());
    let row = php.row("messages", PhpChat::id(20)).await;
    assert_eq!(row.get("chat_id"), Some(&Bson::ObjectId(chat)));
}

#[tokio::test]
async fn a_text_that_is_none_is_named_with_its_row() {
    let php = PhpChat::new().await;
    let [ann] = php.users().await;
    let room = php.room(10, &[ann]).await;
    for number in 20..30 {
        php.message(number, doc! { "room_id": room, "sender_id": ann }).await;
    }
    let row = doc! { "_id": PhpChat::id(40), "room_id": room, "sender_id": ann, "content": "bad bytes" };
    let mut bytes = row.to_vec().unwrap();
    let at = bytes.windows(9).position(|window| window == b"bad bytes").unwrap();
    bytes[at] = 0xFF;
    let damaged = RawDocumentBuf::from_bytes(bytes).unwrap();
    php.database.collection::<RawDocumentBuf>("messages").insert_one(damaged).await.unwrap();
    let error = php.refused().await;
    assert!(matches!(error, MigrationError::Unreadable(_)), "{error:?}");
    assert!(error.to_string().contains(&format!("messages {}", PhpChat::id(40))), "{error}");
}

#[tokio::test]
async fn an_id_that_equals_nothing_does_not_keep_the_work_from_its_end() {
    let php = PhpChat::new().await;
    let [ann] = php.users().await;
    let room = php.room(10, &[ann]).await;
    php.message(20, doc! { "_id": f64::NAN, "room_id": room, "sender_id": ann }).await;
    let migrated = php.migrate().await;
    assert_eq!(migrated.kinds(), [FindingKind::MessageId]);
}

#[tokio::test]
async fn a_chat_with_the_id_of_a_room_is_refused_before_anything_is_written() {
    let php = PhpChat::new().await;
    let [ann, ben] = php.users().await;
    let room = php.room(10, &[ann, ben]).await;
    php.chat(10, ann, ben).await;
    php.message(20, doc! { "room_id": room, "sender_id": ann }).await;
    let before = php.hashes().await;
    let MigrationError::Obstacles(found) = php.refused().await else { panic!("it is not refused") };
    assert!(found.iter().any(|found| found.contains(&room.to_hex())), "{found:?}");
    assert_eq!(php.hashes().await, before);
}

#[tokio::test]
async fn a_view_is_refused_before_anything_is_written() {
    let php = PhpChat::new().await;
    php.user(1, "ann").await;
    php.database.run_command(doc! { "create": "messages", "viewOn": "users", "pipeline": [] }).await.unwrap();
    let MigrationError::Obstacles(found) = php.refused().await else { panic!("it is not refused") };
    assert!(found.iter().any(|found| found.contains("messages is no ordinary collection")), "{found:?}");
}
