//! The real binary and many who want the same thing at the same moment.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::json;
use support::people::{Device, registration, string};
use support::{Store, on_every_store};

on_every_store! {
    sec_20_of_two_hundred_who_register_one_name_at_once_one_gets_it,
    two_people_who_open_their_chat_two_hundred_times_at_once_have_one,
    one_message_sent_two_hundred_times_at_once_is_stored_once,
}

/// Hashing two hundred passwords keeps a machine busy; two servers at once may keep it too busy to answer in time.
static HASHING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn sec_20_of_two_hundred_who_register_one_name_at_once_one_gets_it(store: Store) {
    let _alone = HASHING.lock().await;
    let server = store.start();
    let mut sockets = join_all((0..200).map(|_| server.connect())).await;
    let replies = join_all(sockets.iter_mut().map(|socket| socket.request(registration("ann")))).await;
    let registered: Vec<_> = replies.iter().filter(|reply| reply["success"] == true).collect();
    assert_eq!(registered.len(), 1);
    for reply in replies.iter().filter(|reply| reply["success"] == false) {
        // Those whom the queue for hashing has no room for may try again.
        let turned_away = reply["code"] == "rate_limited" && reply["retry_after_ms"].is_u64();
        assert!(turned_away || reply["message"] == "Username already exists", "{reply}");
    }
    let ann = server.device("ann").await;
    assert_eq!(registered[0]["user_id"], ann.user_id);
}

async fn two_people_who_open_their_chat_two_hundred_times_at_once_have_one(store: Store) {
    let server = store.start();
    let (ann, bob) = (server.newcomer("ann").await, server.newcomer("bob").await);
    let connections =
        (0..10).flat_map(|_| [(&ann, &bob.user_id), (&bob, &ann.user_id)]).map(async |(device, other)| {
            let device = server.resume(device).await;
            (device, json!({"action": "open_private_chat", "user_id": other}))
        });
    let mut connections: Vec<(Device, _)> = join_all(connections).await;
    let opening = connections.iter_mut().map(|(device, request)| device.pipeline(vec![request.clone(); 10]));
    let replies = join_all(opening).await.concat();
    assert_eq!(replies.len(), 200);
    let chats: BTreeSet<String> = replies.iter().map(|reply| string(&reply["chat_id"])).collect();
    assert_eq!(chats.len(), 1);

    let (device, _) = &mut connections[0];
    let listed = device.ok(json!({"action": "list_private_chats"})).await;
    assert_eq!(listed["chats"].as_array().unwrap().len(), 1);
    let created = device.take_pushes().into_iter().filter(|push| push["kind"] == "created").count();
    assert!(created <= 1, "{created} chats were announced");
}

async fn one_message_sent_two_hundred_times_at_once_is_stored_once(store: Store) {
    let server = store.start();
    let mut ann = server.newcomer("ann").await;
    let room = ann.create_room("Harbour").await;
    let mut connections = join_all((0..10).map(|_| server.resume(&ann))).await;
    let message = support::people::keyed(&room, "the only one", "Hello");
    let sending = connections.iter_mut().map(|device| device.pipeline(vec![message.clone(); 20]));
    let replies = join_all(sending).await.concat();
    let results: BTreeSet<_> =
        replies.iter().map(|reply| (string(&reply["message_id"]), reply["seq"].as_u64())).collect();
    assert_eq!((replies.len(), results.len()), (200, 1));
    assert_eq!(ann.history(&room).await.len(), 1);
}
