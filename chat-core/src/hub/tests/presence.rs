//! Who is told when users come, go and change their status.

use serde_json::{Value, json};

use super::*;
use crate::domain::Status;
use crate::limits::hard;

const NOON: Timestamp = Timestamp::from_unix_ms(1_795_248_000_000);

/// Lets so much time pass and ticks at its end.
async fn pass(hub: &LocalHub, duration: Duration) -> Vec<(UserId, Timestamp)> {
    tokio::time::advance(duration).await;
    hub.tick(NOON)
}

/// The presence pushes that wait for a client: one JSON object for each frame.
fn pushes(client: &Client) -> Vec<Value> {
    client.drain().iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

fn push(number: u8, status: &str) -> Value {
    json!({"action": "presence", "users": [{"user_id": user(number).to_string(), "status": status}]})
}

fn offline_push(number: u8, last_seen: Timestamp) -> Value {
    let user = json!({
        "user_id": user(number).to_string(),
        "status": "offline",
        "last_seen": last_seen.to_string(),
    });
    json!({"action": "presence", "users": [user]})
}

/// User 1, who is connected and has been announced, so that what follows is about others.
async fn observer(hub: &LocalHub) -> Client {
    let client = Client::join(hub, user(1), ROOM, 0);
    pass(hub, GATHER).await;
    client
}

#[tokio::test(start_paused = true)]
async fn the_first_device_is_announced_and_the_second_is_not() {
    let hub = hub();
    let observer = observer(&hub).await;
    let first = Client::join(&hub, user(2), ROOM, 0);
    assert_eq!(hub.statuses(vec![user(2), user(3)]), [Status::Online, Status::Offline]);
    assert!(pass(&hub, GATHER).await.is_empty());
    assert_eq!(pushes(&observer), [push(2, "online")]);
    let second = Client::join(&hub, user(2), ROOM, 0);
    second.detach(&hub);
    assert!(pass(&hub, GRACE * 2).await.is_empty());
    assert!(pushes(&observer).is_empty());
    assert!(pushes(&first).is_empty(), "a user's only device need not be told of itself");
}

#[tokio::test(start_paused = true)]
async fn offline_is_announced_after_the_grace_with_the_time_of_the_last_disconnect() {
    let hub = hub();
    let observer = observer(&hub).await;
    let devices = [Client::join(&hub, user(2), ROOM, 0), Client::join(&hub, user(2), ROOM, 0)];
    pass(&hub, GATHER).await;
    observer.drain();
    devices[0].detach(&hub);
    tokio::time::advance(GRACE).await;
    devices[1].detach(&hub);
    assert!(pass(&hub, GRACE - GATHER).await.is_empty());
    assert_eq!(hub.statuses(vec![user(2)]), [Status::Online]);
    assert!(pushes(&observer).is_empty());
    assert_eq!(pass(&hub, GATHER).await, [(user(2), NOON.minus(GRACE))]);
    assert_eq!(hub.statuses(vec![user(2)]), [Status::Offline]);
    assert!(pass(&hub, GATHER).await.is_empty(), "reported once");
    assert_eq!(pushes(&observer), [offline_push(2, NOON.minus(GRACE + GATHER))]);
    assert_eq!(hub.connected_users(), [user(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_reconnect_within_the_grace_is_seen_by_nobody() {
    let hub = hub();
    let observer = observer(&hub).await;
    let mut client = Client::join(&hub, user(2), ROOM, 0);
    pass(&hub, GATHER).await;
    observer.drain();
    for _ in 0..10 {
        client.detach(&hub);
        assert!(pass(&hub, GRACE - GATHER).await.is_empty());
        client = Client::join(&hub, user(2), ROOM, 0);
        assert!(pass(&hub, GATHER).await.is_empty());
    }
    assert!(pass(&hub, GRACE * 2).await.is_empty());
    assert!(pushes(&observer).is_empty());
}

#[tokio::test(start_paused = true)]
async fn changes_are_gathered_into_one_push() {
    let hub = hub();
    let observer = observer(&hub).await;
    let clients: Vec<Client> = (2..=9).map(|number| Client::join(&hub, user(number), ROOM, 0)).collect();
    hub.set_status(user(2), Status::Busy);
    hub.set_status(user(3), Status::Busy);
    hub.set_status(user(3), Status::Away);
    hub.tick(NOON);
    assert!(pushes(&observer).is_empty(), "not gathered for long enough");
    pass(&hub, GATHER).await;
    let pushes = pushes(&observer);
    let [push] = pushes.as_slice() else { panic!("{pushes:?}") };
    let users = push["users"].as_array().unwrap();
    assert_eq!(users.len(), clients.len());
    let status_of = |number: u8| {
        users.iter().find(|each| each["user_id"] == user(number).to_string()).unwrap()["status"].clone()
    };
    assert_eq!([status_of(2), status_of(3), status_of(4)], ["busy", "away", "online"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_was_taken_back_is_not_told() {
    let hub = hub();
    let observer = observer(&hub).await;
    let _client = Client::join(&hub, user(2), ROOM, 0);
    pass(&hub, GATHER).await;
    observer.drain();
    hub.set_status(user(2), Status::Busy);
    hub.set_status(user(2), Status::Online);
    pass(&hub, GATHER).await;
    assert!(pushes(&observer).is_empty());
}

#[tokio::test(start_paused = true)]
async fn invisible_users_look_offline_at_once_and_stay_connected() {
    let hub = hub();
    let observer = observer(&hub).await;
    let client = Client::join(&hub, user(2), ROOM, 0);
    pass(&hub, GATHER).await;
    observer.drain();
    hub.set_status(user(2), Status::Offline);
    hub.set_status(user(2), Status::Offline);
    assert_eq!(hub.statuses(vec![user(2)]), [Status::Offline]);
    assert_eq!(pass(&hub, GATHER).await, [(user(2), NOON.minus(GATHER))]);
    assert_eq!(pushes(&observer), [offline_push(2, NOON.minus(GATHER))]);
    publish(&hub, ROOM, 1..=1);
    assert_eq!(client.drain(), texts(ROOM, 1..=1), "delivery goes on");

    // Another device, and even a reconnect, do not give it away; nor does the real end.
    let other = Client::join(&hub, user(2), ROOM, 1);
    client.detach(&hub);
    other.detach(&hub);
    let again = Client::join(&hub, user(2), ROOM, 1);
    assert!(pass(&hub, GATHER).await.is_empty());
    again.detach(&hub);
    assert!(pass(&hub, GRACE * 2).await.is_empty());
    assert!(pass(&hub, GATHER).await.is_empty());
    assert_eq!(observer.drain(), texts(ROOM, 1..=1));
    assert_eq!(hub.sizes().1[1], 1, "the user is forgotten");
}

#[tokio::test(start_paused = true)]
async fn a_user_who_becomes_visible_again_is_announced() {
    let hub = hub();
    let observer = observer(&hub).await;
    let _client = Client::join(&hub, user(2), ROOM, 0);
    hub.set_status(user(2), Status::Offline);
    assert_eq!(pass(&hub, GATHER).await.len(), 1);
    assert!(pushes(&observer).is_empty(), "nobody had seen them online");
    hub.set_status(user(2), Status::Online);
    assert!(pass(&hub, GATHER).await.is_empty());
    assert_eq!(pushes(&observer), [push(2, "online")]);
}

#[tokio::test(start_paused = true)]
async fn a_users_other_devices_are_told_and_the_status_is_the_users() {
    let hub = hub();
    let devices = [Client::join(&hub, user(1), ROOM, 0), Client::attach(&hub, user(1))];
    devices[1].enter(&hub, OTHER_ROOM, 0);
    pass(&hub, GATHER).await;
    devices.iter().for_each(|device| drop(device.drain()));
    hub.set_status(user(1), Status::Busy);
    pass(&hub, GATHER).await;
    for device in &devices {
        assert_eq!(pushes(device), [push(1, "busy")]);
    }
    hub.set_status(user(9), Status::Busy);
    assert_eq!(hub.statuses(vec![user(1), user(9)]), [Status::Busy, Status::Offline]);
}

#[tokio::test(start_paused = true)]
async fn presence_is_not_pushed_in_large_rooms() {
    let hub = hub();
    let small = hard::PRESENCE_ROOM_MEMBERS;
    let observers = [(ROOM, small), (OTHER_ROOM, small + 1)].map(|(room, count)| {
        let client = Client::attach(&hub, user(room.as_bytes()[0]));
        client.enter_many(&hub, room, 0, count);
        client
    });
    pass(&hub, GATHER).await;
    let client = Client::attach(&hub, user(1));
    let both = [ROOM, OTHER_ROOM].map(|conversation| Subscription {
        conversation,
        after: Seq::ZERO,
        member_count: 2,
    });
    hub.enter(client.connection.id, both.into());
    pass(&hub, GATHER).await;
    assert_eq!(observers.each_ref().map(|client| pushes(client).len()), [1, 0]);

    let mut grown = publication(ROOM, vec![live(ROOM, 1, Membership::Unchanged)]);
    grown.member_count = small + 1;
    hub.publish(grown);
    hub.set_status(user(1), Status::Busy);
    pass(&hub, GATHER).await;
    assert_eq!(observers[0].drain(), texts(ROOM, 1..=1), "the room has grown");
}

#[tokio::test(start_paused = true)]
async fn a_user_is_told_once_however_many_conversations_are_shared() {
    let hub = hub();
    let both = |after| {
        [ROOM, OTHER_ROOM].map(|conversation| Subscription {
            conversation,
            after: seq(after),
            member_count: 2,
        })
    };
    let clients = [1, 2].map(|number| Client::attach(&hub, user(number)));
    clients.iter().for_each(|client| hub.enter(client.connection.id, both(0).into()));
    pass(&hub, GATHER).await;
    assert_eq!(pushes(&clients[0]), [push(2, "online")]);
}

#[tokio::test(start_paused = true)]
async fn users_are_announced_only_when_they_have_entered_their_conversations() {
    let hub = hub();
    let observer = observer(&hub).await;
    let client = Client::attach(&hub, user(2));
    pass(&hub, GATHER * 3).await;
    client.enter(&hub, ROOM, 0);
    pass(&hub, GATHER).await;
    assert_eq!(pushes(&observer), [push(2, "online")]);
}

#[tokio::test(start_paused = true)]
async fn a_reconnect_that_fails_half_way_does_not_hide_the_end() {
    let hub = hub();
    let observer = observer(&hub).await;
    let client = Client::join(&hub, user(2), ROOM, 0);
    pass(&hub, GATHER).await;
    observer.drain();
    let half_way = Client::attach(&hub, user(2));
    client.detach(&hub);
    half_way.detach(&hub);
    Client::attach(&hub, user(2)).detach(&hub);
    assert_eq!(pass(&hub, GRACE).await.len(), 1);
    pass(&hub, GATHER).await;
    assert_eq!(pushes(&observer), [offline_push(2, NOON.minus(GRACE))]);
}

#[tokio::test(start_paused = true)]
async fn who_was_removed_while_leaving_is_not_announced_there() {
    let hub = hub();
    let observer = observer(&hub).await;
    let client = Client::join(&hub, user(2), ROOM, 0);
    pass(&hub, GATHER).await;
    observer.drain();
    client.detach(&hub);
    publish_membership(&hub, ROOM, 1, Membership::Ends(user(2)));
    pass(&hub, GRACE).await;
    pass(&hub, GATHER).await;
    assert_eq!(observer.drain(), texts(ROOM, 1..=1));
}

#[test]
fn waiting_presence_is_bounded() {
    let outbox = Outbox::new();
    let mut wakers = Vec::new();
    for number in 0..hard::PRESENCE_USERS as u16 + 50 {
        let mut bytes = [0; 12];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        let presence = crate::domain::Presence {
            user_id: UserId::from_bytes(bytes),
            status: Status::Offline,
            last_seen: Some(NOON),
        };
        outbox.offer_presence(presence, &mut wakers);
    }
    let mut batch = Vec::new();
    let Taken::Presence(users) = outbox.take(&mut batch, usize::MAX) else { panic!("presence waits") };
    assert_eq!(users.len(), hard::PRESENCE_USERS);
    let push = Push::Presence { users: users.into_iter().map(PresenceView::from).collect() };
    assert!(push.encode().len() < hard::OUTGOING_FRAME_BYTES);
}
