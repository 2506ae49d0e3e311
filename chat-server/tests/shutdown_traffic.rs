//! The real binary, asked to stop while many requests are under way.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::BTreeSet;

use futures::future::{join, join_all};
use support::people::Device;
use support::traffic::{Sender, check_log};
use support::{Store, on_every_store};
use tokio::sync::watch;

on_every_store! {
    sec_89_what_a_stopping_server_has_accepted_is_answered_and_nothing_else_is_stored,
}

async fn sec_89_what_a_stopping_server_has_accepted_is_answered_and_nothing_else_is_stored(store: Store) {
    let names = ["ann", "bob", "cid", "dora"];
    let mut server = store.start();
    let mut devices = join_all(names.map(|name| server.newcomer(name))).await;
    let mut rooms = Vec::new();
    for _ in 0..2 {
        rooms.push(server.room_of(&mut devices.iter_mut().collect::<Vec<&mut Device>>()).await);
    }
    let mut senders = names.map(|name| Sender::new(name, &rooms, 5_000));
    let acknowledged = watch::channel(0).0;
    let mut progress = acknowledged.subscribe();
    let sending = senders.iter_mut().zip(&mut devices);
    let sending = join_all(sending.map(|(sender, device)| sender.send(device, &acknowledged)));
    let stopping = async {
        progress.wait_for(|count| *count >= 1_000).await.unwrap();
        server.terminate();
    };
    let (codes, ()) = join(sending, stopping).await;
    assert_eq!(codes, [Some(1001); 4], "{}", server.log());
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    assert!(server.log().contains("stopped graceful=true"), "{}", server.log());

    let server = server.into_ended().again().start();
    let mut ann = server.resume(&devices[0]).await;
    let mut stored = BTreeSet::new();
    for room in &rooms {
        stored.extend(check_log(room, &ann.history(room).await, &senders));
    }
    let answered = senders.iter().flat_map(|sender| sender.acknowledged.keys().map(|n| sender.client_id(*n)));
    assert_eq!(stored, answered.collect(), "what was stored was answered");
}
