//! Databases at the edges: rows as large as rows can be, collections without rows.

use chat_store_mongo::takeover::{FindingKind, Outcome, State};
use chat_store_mongo::{MongoStore, OpenError};
use mongodb::bson::doc;

use crate::older::{Listener, Older};

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
