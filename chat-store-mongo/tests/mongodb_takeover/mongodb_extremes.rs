//! Databases at the edges: rows as large as rows can be, collections without rows, fields that happen to have our
//! names.

use chat_core::port::AccountStore as _;
use chat_store_mongo::migrate_php::{FindingKind, Outcome, State, TakeoverError};
use chat_store_mongo::{MongoStore, OpenError};
use mongodb::bson::{Bson, DateTime, RawDocumentBuf, doc};

use crate::older::{Listener, Older, user};

/// Two of these do not fit into one reply of a server.
const LARGE_BYTES: usize = 9 * 1_024 * 1_024;

#[tokio::test]
async fn rows_that_do_not_fit_into_one_reply_are_all_taken_over() {
    let older = Older::new().await;
    let [ann] = older.users().await;
    let room = older.room(10, &[ann]).await;
    for number in 20..23 {
        let content = "x".repeat(LARGE_BYTES);
        older
            .message(number, doc! { "room_id": room, "sender_id": ann, "content": content, "type": "image" })
            .await;
    }
    // Many that fill a batch, then one that fills another.
    let rows = (30..400).map(|number| {
        doc! {
            "_id": Older::id(number), "room_id": room, "sender_id": ann, "content": "y".repeat(10_000), "type": "text",
            "timestamp": Older::at(i64::from(number)),
        }
    });
    older.database.collection("messages").insert_many(rows).await.unwrap();
    let huge = "z".repeat(14 * 1_024 * 1_024);
    older.message(500, doc! { "room_id": room, "sender_id": ann, "content": huge }).await;
    older.message(501, doc! { "room_id": room, "sender_id": ann, "content": "the last" }).await;
    let (report, _) = older.survey().await;
    assert_eq!(report.counts.messages, 3 + 370 + 2);
    let outcome = older.takeover().await.run(&mut Listener::default()).await.unwrap();
    assert_eq!(outcome, Outcome::Done(report));
    let last = older.row("messages", Older::id(501)).await;
    assert_eq!(last.get_i64("messages_so_far").unwrap() as usize, 3 * 1_152 + 370 * 2 + 1_792 + 1);
}

#[tokio::test]
async fn indexes_of_collections_without_rows_are_taken_over_too() {
    let older = Older::new().await;
    for (collection, index) in [
        ("users", doc! { "key": { "username": 1 }, "name": "username_1", "unique": true }),
        ("messages", doc! { "key": { "timestamp": 1 }, "name": "ttl", "expireAfterSeconds": 3_600 }),
    ] {
        older.database.run_command(doc! { "createIndexes": collection, "indexes": [index] }).await.unwrap();
    }
    assert_eq!(older.takeover().await.state().await.unwrap(), State::Older);
    let refused = MongoStore::open(older.config()).await.unwrap_err();
    assert!(matches!(refused, OpenError::NotMigrated { .. }), "{refused}");
    let taken_over = older.take_over().await;
    assert_eq!(taken_over.kinds(), [FindingKind::IndexDropped; 2]);
}

#[tokio::test]
async fn fields_that_have_our_names_and_mean_something_else_are_put_aside() {
    let older = Older::new().await;
    let [ann, ben] = older.users().await;
    let room = older.room(10, &[ann, ben]).await;
    let chat = older.chat(11, ann, ben).await;
    let message = older.message(20, doc! { "room_id": room, "sender_id": ann }).await;
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
        let rows = older.database.collection::<mongodb::bson::Document>(collection);
        rows.update_one(doc! { "_id": id }, doc! { "$set": fields.clone() }).await.unwrap();
    }
    let taken_over = older.take_over().await;
    assert_eq!(taken_over.said(room).await, ["message 20"]);
    taken_over.store.account(user(ann)).await.unwrap().unwrap();
    for (collection, id, fields) in foreign {
        let row = older.row(collection, id).await;
        for (field, value) in fields {
            assert_eq!(row.get(format!("{field}_before")), Some(&value), "{collection} {field}: {row}");
        }
    }
}

#[tokio::test]
async fn a_message_of_a_room_and_of_a_chat_is_named() {
    let older = Older::new().await;
    let [ann, ben] = older.users().await;
    let room = older.room(10, &[ann, ben]).await;
    let chat = older.chat(11, ann, ben).await;
    older.message(20, doc! { "room_id": room, "chat_id": chat, "sender_id": ann }).await;
    let taken_over = older.take_over().await;
    assert_eq!(taken_over.kinds(), [FindingKind::SeveralPlaces]);
    assert_eq!(taken_over.said(room).await, ["message 20"]);
    assert!(taken_over.said(chat).await.is_empty());
    let row = older.row("messages", Older::id(20)).await;
    assert_eq!(row.get("chat_id"), Some(&Bson::ObjectId(chat)));
}

#[tokio::test]
async fn a_text_that_is_none_is_named_with_its_row() {
    let older = Older::new().await;
    let [ann] = older.users().await;
    let room = older.room(10, &[ann]).await;
    for number in 20..30 {
        older.message(number, doc! { "room_id": room, "sender_id": ann }).await;
    }
    let row = doc! { "_id": Older::id(40), "room_id": room, "sender_id": ann, "content": "bad bytes" };
    let mut bytes = row.to_vec().unwrap();
    let at = bytes.windows(9).position(|window| window == b"bad bytes").unwrap();
    bytes[at] = 0xFF;
    let damaged = RawDocumentBuf::from_bytes(bytes).unwrap();
    older.database.collection::<RawDocumentBuf>("messages").insert_one(damaged).await.unwrap();
    let error = older.refused().await;
    assert!(matches!(error, TakeoverError::Unreadable(_)), "{error:?}");
    assert!(error.to_string().contains(&format!("messages {}", Older::id(40))), "{error}");
}

#[tokio::test]
async fn an_id_that_equals_nothing_does_not_keep_the_work_from_its_end() {
    let older = Older::new().await;
    let [ann] = older.users().await;
    let room = older.room(10, &[ann]).await;
    older.message(20, doc! { "_id": f64::NAN, "room_id": room, "sender_id": ann }).await;
    let taken_over = older.take_over().await;
    assert_eq!(taken_over.kinds(), [FindingKind::MessageId]);
}

#[tokio::test]
async fn a_chat_with_the_id_of_a_room_is_refused_before_anything_is_written() {
    let older = Older::new().await;
    let [ann, ben] = older.users().await;
    let room = older.room(10, &[ann, ben]).await;
    older.chat(10, ann, ben).await;
    older.message(20, doc! { "room_id": room, "sender_id": ann }).await;
    let before = older.hashes().await;
    let TakeoverError::Obstacles(found) = older.refused().await else { panic!("it is not refused") };
    assert!(found.iter().any(|found| found.contains(&room.to_hex())), "{found:?}");
    assert_eq!(older.hashes().await, before);
}

#[tokio::test]
async fn a_view_is_refused_before_anything_is_written() {
    let older = Older::new().await;
    older.user(1, "ann").await;
    older
        .database
        .run_command(doc! { "create": "messages", "viewOn": "users", "pipeline": [] })
        .await
        .unwrap();
    let TakeoverError::Obstacles(found) = older.refused().await else { panic!("it is not refused") };
    assert!(found.iter().any(|found| found.contains("messages is no ordinary collection")), "{found:?}");
}
