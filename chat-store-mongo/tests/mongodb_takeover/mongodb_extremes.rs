//! Databases at the edges: rows as large as rows can be.

use chat_store_mongo::takeover::Outcome;
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
