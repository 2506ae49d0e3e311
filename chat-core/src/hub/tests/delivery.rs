//! Order, once per connection, falling behind, and what is dropped.

use super::*;
use crate::limits::hard;
use crate::port::EphemeralTarget;

#[test]
fn entries_arrive_in_order_and_once() {
    let hub = hub();
    let clients = [Client::join(&hub, user(1), ROOM, 0), Client::join(&hub, user(2), ROOM, 0)];
    publish(&hub, ROOM, 1..=3);
    publish(&hub, ROOM, 2..=4);
    for client in clients {
        assert_eq!(client.drain(), texts(ROOM, 1..=4));
        publish(&hub, ROOM, 4..=4);
        assert_eq!(client.drain(), Vec::<String>::new());
    }
}

#[test]
fn delivery_begins_above_the_position_that_was_entered() {
    let hub = hub();
    let client = Client::join(&hub, user(1), ROOM, 5);
    publish(&hub, ROOM, 4..=7);
    assert_eq!(client.drain(), texts(ROOM, 6..=7));
}

#[test]
fn nobody_else_gets_a_conversation() {
    let hub = hub();
    let member = Client::join(&hub, user(1), ROOM, 0);
    let stranger = Client::join(&hub, user(2), OTHER_ROOM, 0);
    publish(&hub, ROOM, 1..=2);
    hub.signal(
        EphemeralTarget::Conversation { conversation: ROOM, but: user(9) },
        Frame::new("typing".into()),
    );
    assert_eq!(stranger.drain(), Vec::<String>::new());
    assert_eq!(member.drain().len(), 3);
}

#[test]
fn replies_come_first_and_ephemeral_frames_last() {
    let hub = hub();
    let client = Client::join(&hub, user(1), ROOM, 0);
    client.outbox().signal(Frame::new("typing".into()));
    publish(&hub, ROOM, 1..=1);
    client.outbox().reply(Frame::new("reply".into()));
    assert_eq!(client.drain(), ["reply", "7:1", "typing"]);
}

#[test]
fn a_batch_ends_near_its_size_and_the_rest_follows_in_order() {
    let hub = hub();
    let client = Client::join(&hub, user(1), ROOM, 0);
    client.enter(&hub, OTHER_ROOM, 0);
    publish(&hub, ROOM, 1..=4);
    publish(&hub, OTHER_ROOM, 1..=2);
    let mut all = Vec::new();
    loop {
        let (taken, texts) = client.take(4);
        all.extend(texts.clone());
        match taken {
            Taken::Frames => assert!(texts.len() <= 2, "{texts:?}"),
            Taken::Nothing => break,
            Taken::Presence(_) | Taken::Behind(_) | Taken::Closed(_) => panic!("{taken:?}"),
        }
    }
    let expected = [texts(ROOM, 1..=4), texts(OTHER_ROOM, 1..=2)].concat();
    assert_eq!(all, expected, "a conversation's pushes are contiguous");
    assert!(matches!(client.take(0), (Taken::Nothing, _)));
}

#[test]
fn who_falls_behind_the_ring_reads_the_store_and_goes_on_in_order() {
    let hub = hub();
    let client = Client::join(&hub, user(1), ROOM, 0);
    for number in 1..=600 {
        publish(&hub, ROOM, number..=number);
    }
    let (Taken::Behind(behind), _) = client.take(1_000) else { panic!("must be behind") };
    let ring = hard::RING_ENTRIES as u64;
    assert_eq!((behind.after, behind.upto), (seq(0), seq(600 - ring)));
    // The caller was dropped: it is asked again, and may bring a part.
    let (Taken::Behind(behind), _) = client.take(1_000) else { panic!("must still be behind") };
    let part = stored(&behind).into_iter().take(100).collect();
    client.outbox().advance(&behind, part);
    client.outbox().advance(&behind, stored(&behind));
    assert_eq!(client.drain(), texts(ROOM, 1..=600));
}

#[test]
fn replies_pass_while_a_connection_is_behind() {
    let hub = hub();
    let client = Client::join(&hub, user(1), ROOM, 0);
    publish(&hub, ROOM, 5..=5);
    client.outbox().reply(Frame::new("reply".into()));
    let (taken, texts) = client.take(1_000);
    assert!(matches!(taken, Taken::Frames), "{taken:?}");
    assert_eq!(texts, ["reply"]);
    assert!(matches!(client.take(1_000).0, Taken::Behind(_)));
}

#[test]
fn a_gap_is_read_from_the_store() {
    let hub = hub();
    let client = Client::join(&hub, user(1), ROOM, 0);
    publish(&hub, ROOM, 1..=2);
    publish(&hub, ROOM, 6..=7);
    assert_eq!(client.drain(), texts(ROOM, 1..=7));
}

#[test]
fn more_than_a_thousand_behind_is_closed_to_resume() {
    let hub = hub();
    let [slow, quick] = [1, 2].map(|number| Client::join(&hub, user(number), ROOM, 0));
    let mut got = Vec::new();
    for number in 1..=hard::BEHIND_ENTRIES {
        publish(&hub, ROOM, number..=number);
        got.extend(quick.drain());
    }
    assert!(matches!(slow.take(1_000).0, Taken::Behind(_)));
    publish(&hub, ROOM, 1_001..=1_001);
    got.extend(quick.drain());
    assert!(matches!(slow.take(1_000).0, Taken::Closed(DisconnectReason::TooSlow)));
    assert_eq!(got, texts(ROOM, 1..=1_001), "the slow one is nobody else's trouble");
}

#[test]
fn a_store_that_lacks_the_entries_ends_the_connection_instead_of_skipping() {
    let hub = hub();
    let client = Client::join(&hub, user(1), ROOM, 0);
    publish(&hub, ROOM, 3..=3);
    let (Taken::Behind(behind), _) = client.take(1_000) else { panic!("must be behind") };
    client.outbox().advance(&behind, vec![(seq(2), Frame::new("hole".into()))]);
    assert!(matches!(client.take(1_000).0, Taken::Closed(DisconnectReason::TooSlow)));
}

#[test]
fn ephemeral_frames_drop_the_oldest() {
    let hub = hub();
    let client = Client::join(&hub, user(1), ROOM, 0);
    let count = hard::EPHEMERAL_FRAMES + 5;
    for number in 0..count {
        let target = EphemeralTarget::Conversation { conversation: ROOM, but: user(2) };
        hub.signal(target, Frame::new(format!("typing {number}")));
    }
    let expected: Vec<String> = (5..count).map(|number| format!("typing {number}")).collect();
    assert_eq!(client.drain(), expected);
}

#[test]
fn signals_reach_their_target_only() {
    let hub = hub();
    let clients: Vec<Client> = [1, 1, 2].map(|number| Client::join(&hub, user(number), ROOM, 0)).into();
    let frame = |text: &str| Frame::new(text.into());
    hub.signal(EphemeralTarget::Conversation { conversation: ROOM, but: user(1) }, frame("typing"));
    let but = Some(clients[0].connection.id);
    hub.signal(EphemeralTarget::User { user: user(1), but }, frame("read"));
    hub.signal(EphemeralTarget::User { user: user(3), but: None }, frame("nobody"));
    let got: Vec<Vec<String>> = clients.iter().map(Client::drain).collect();
    assert_eq!(got, [vec![], vec!["read".to_owned()], vec!["typing".to_owned()]]);
}

#[test]
fn what_was_queued_before_a_close_is_given_out() {
    let hub = hub();
    let client = Client::join(&hub, user(1), ROOM, 0);
    publish(&hub, ROOM, 1..=2);
    client.outbox().reply(Frame::new("reply".into()));
    hub.disconnect(user(1), None, None, DisconnectReason::Shutdown);
    client.outbox().close(DisconnectReason::Flood);
    publish(&hub, ROOM, 3..=3);
    client.outbox().signal(Frame::new("typing".into()));
    assert_eq!(client.drain(), ["reply", "7:1", "7:2", "7:3"]);
    assert!(matches!(client.take(1).0, Taken::Closed(DisconnectReason::Shutdown)), "the first reason holds");
}

#[test]
fn nothing_is_given_out_after_a_session_has_ended() {
    let hub = hub();
    let clients: Vec<Client> = [1, 1, 2].map(|number| Client::join(&hub, user(number), ROOM, 0)).into();
    publish(&hub, ROOM, 1..=2);
    clients[0].outbox().reply(Frame::new("reply".into()));
    let session = Some(clients[0].connection.session_id);
    let reason = DisconnectReason::SessionEnded;
    assert_eq!(hub.disconnect(user(1), session, Some(clients[0].connection.id), reason), 0);
    assert_eq!(hub.disconnect(user(1), session, None, reason), 1);
    clients[0].outbox().reply(Frame::new("late".into()));
    let (taken, texts_after) = clients[0].take(1_000);
    assert!(matches!(taken, Taken::Closed(DisconnectReason::SessionEnded)) && texts_after.is_empty());
    assert_eq!(clients[1].outbox().closed(), None, "another session stays");
    assert_eq!(hub.disconnect(user(1), None, None, reason), 2);
    assert_eq!(clients[2].drain(), texts(ROOM, 1..=2));
}

#[test]
fn a_slow_client_that_is_closed_still_gets_its_replies() {
    let hub = hub();
    let client = Client::join(&hub, user(1), ROOM, 0);
    publish(&hub, ROOM, 1..=2);
    client.outbox().reply(Frame::new("stored".into()));
    client.outbox().close(DisconnectReason::TooSlow);
    assert_eq!(client.drain(), ["stored"]);
}

#[test]
fn a_connection_that_signs_in_again_gets_nothing_of_the_user_before() {
    let hub = hub();
    let client = Client::join(&hub, user(1), ROOM, 0);
    publish(&hub, ROOM, 5..=6);
    let (Taken::Behind(behind), _) = client.take(1_000) else { panic!("must be behind") };
    client.outbox().signal(Frame::new("typing".into()));
    client.outbox().reply(Frame::new("reply".into()));
    client.detach(&hub);
    client.detach(&hub);
    let connection = Connection { user_id: user(2), ..client.connection.clone() };
    assert_eq!(hub.attach(connection), 1);
    client.enter(&hub, OTHER_ROOM, 0);
    client.outbox().advance(&behind, stored(&behind));
    publish(&hub, ROOM, 7..=7);
    publish(&hub, OTHER_ROOM, 1..=1);
    assert_eq!(client.drain(), ["reply", "8:1"]);
}

#[test]
fn all_rings_together_are_bounded() {
    let hub = LocalHub::with_ring_bytes(GRACE, GATHER, 1_000);
    let rooms = [ROOM, OTHER_ROOM];
    let client = Client::join(&hub, user(1), ROOM, 0);
    client.enter(&hub, OTHER_ROOM, 0);
    for number in 1..=400 {
        rooms.iter().for_each(|room| publish(&hub, *room, number..=number));
        assert!(hub.sizes().0 <= 1_000);
    }
    let got = client.drain();
    for room in rooms {
        let of_room: Vec<_> =
            got.iter().filter(|text| text.starts_with(&text_start(room))).cloned().collect();
        assert_eq!(of_room, texts(room, 1..=400));
    }
    assert!(hub.sizes().0 > 750);
    hub.tick(Timestamp::default());
    assert_eq!(hub.sizes().0, 0, "rings that everybody has read are given up");
    publish(&hub, ROOM, 401..=401);
    assert_eq!(client.drain(), texts(ROOM, 401..=401));
    client.detach(&hub);
    assert_eq!(hub.sizes().0, 0);
}

fn text_start(room: ConversationId) -> String {
    format!("{}:", room.as_bytes()[0])
}

#[tokio::test]
async fn a_waiting_task_is_woken_by_news_and_by_the_end() {
    let hub = Arc::new(hub());
    let client = Client::join(&hub, user(1), ROOM, 0);
    let publishing = Arc::clone(&hub);
    let thread = std::thread::spawn(move || publish(&publishing, ROOM, 1..=1));
    client.outbox().notified().await;
    assert_eq!(client.drain(), texts(ROOM, 1..=1));
    thread.join().unwrap();
    let closing = Arc::clone(&client.connection.outbox);
    let thread = std::thread::spawn(move || closing.close(DisconnectReason::Flood));
    client.outbox().notified().await;
    thread.join().unwrap();
    client.outbox().notified().await;
    assert!(matches!(client.take(1).0, Taken::Closed(DisconnectReason::Flood)));
}

#[tokio::test]
async fn replies_wait_for_room() {
    let outbox = Arc::new(Outbox::new());
    for _ in 0..hard::REPLIES {
        outbox.reply_room().await;
        outbox.reply(Frame::new("{}".into()));
    }
    assert_eq!(outbox.replies_waiting(), hard::REPLIES);
    let taking = Arc::clone(&outbox);
    let thread = std::thread::spawn(move || {
        taking.take(&mut Vec::new(), 1);
    });
    outbox.reply_room().await;
    thread.join().unwrap();
    assert_eq!(outbox.replies_waiting(), hard::REPLIES - 1);
}
