//! The real binary and sessions over the wire: tokens that are wrong, over, renewed or
//! taken back, and what happens to the sockets that they opened.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use chat_testkit::client::TestClient;
use serde_json::{Value, json};
use support::people::{Device, PASSWORD, string, text};
use support::{Server, Store, on_every_store};

on_every_store! {
    wrong_tokens_open_nothing_and_close_nothing,
    a_connection_that_nobody_signs_in_on_is_closed,
    sec_27_a_changed_password_ends_the_other_sessions_and_their_sockets,
    sec_27_a_revoked_session_ends_with_all_its_sockets_and_no_others,
    logging_out_keeps_the_socket_and_closes_the_sessions_others,
    sec_25_each_refresh_gives_another_pair_and_a_lost_reply_is_made_good,
    sec_28_a_token_that_ends_is_announced_renewed_in_place_or_closes_its_socket,
}

fn authenticate(token: &Value) -> Value {
    json!({"action": "authenticate", "token": token})
}

fn refresh(token: &str) -> Value {
    json!({"action": "refresh_token", "refresh_token": token})
}

async fn assert_unauthenticated(socket: &mut TestClient, request: Value, reason: &str) {
    let reply = socket.request(request).await;
    assert_eq!((&reply["code"], &reply["reason"]), (&json!("unauthenticated"), &json!(reason)), "{reply}");
}

/// The socket is closed because its session is over, and the session's token opens nothing any more.
async fn assert_ended(server: &Server, mut device: Device) {
    assert_eq!(device.closed().await, (4401, "ended".to_owned()));
    let mut socket = server.connect().await;
    assert_unauthenticated(&mut socket, authenticate(&json!(device.token)), "ended").await;
    let reply = socket.request(refresh(&device.refresh_token)).await;
    assert_eq!(reply["success"], false, "{reply}");
}

async fn wrong_tokens_open_nothing_and_close_nothing(store: Store) {
    let server = store.start();
    let (mut ann, bob) = (server.newcomer("ann").await, server.newcomer("bob").await);
    for wrong in ["", "x", &ann.token[1..], &ann.refresh_token.clone(), &ann.token.to_uppercase()] {
        let mut socket = server.connect().await;
        let reply = socket.request(authenticate(&json!(wrong))).await;
        assert_eq!(reply["success"], false, "{wrong:?} is no token");
        assert_ne!(socket.request(json!({"action": "list_rooms"})).await["success"], true);
    }
    let mut as_bob = json!({"action": "create_room", "room_name": "Harbour"});
    as_bob["token"] = json!(bob.token);
    assert_unauthenticated(&mut ann, as_bob, "invalid").await;
    ann.create_room("Still here").await;
}

async fn a_connection_that_nobody_signs_in_on_is_closed(store: Store) {
    let server = store.server().set("limit_authentication_seconds", "3").start();
    let mut signed_in = server.newcomer("ann").await;
    let mut stranger = server.connect().await;
    assert_eq!(stranger.closed().await, (4401, "missing".to_owned()));
    signed_in.ok(json!({"action": "ping"})).await;
}

async fn sec_27_a_changed_password_ends_the_other_sessions_and_their_sockets(store: Store) {
    let server = store.start();
    let mut ann = server.newcomer("ann").await;
    let (phone, tablet) = (server.device("ann").await, server.device("ann").await);
    let mut change =
        json!({"action": "change_password", "old_password": "wrong horse", "new_password": "better horse"});
    assert_eq!(ann.refused(change.clone()).await, "invalid_credentials");
    change["old_password"] = json!(PASSWORD);
    ann.ok(change).await;
    assert_ended(&server, phone).await;
    assert_ended(&server, tablet).await;
    ann.ok(json!({"action": "list_rooms"})).await;

    let mut socket = server.connect().await;
    let mut login = json!({"action": "login", "username": "ann", "password": PASSWORD});
    assert_eq!(socket.refused(login.clone()).await, "invalid_credentials");
    login["password"] = json!("better horse");
    socket.ok(login).await;
}

async fn sec_27_a_revoked_session_ends_with_all_its_sockets_and_no_others(store: Store) {
    let server = store.start();
    let (mut ann, mut eve) = (server.newcomer("ann").await, server.newcomer("eve").await);
    let phone = server.device("ann").await;
    let tab = server.resume(&phone).await;
    let listed = ann.ok(json!({"action": "list_sessions"})).await;
    let others: Vec<&Value> =
        listed["sessions"].as_array().unwrap().iter().filter(|session| session["current"] == false).collect();
    // Signing up has signed in once; the phone is the other session.
    assert_eq!(others.len(), 1, "{listed}");
    let revoke = json!({"action": "revoke_session", "session_id": others[0]["session_id"]});
    assert_eq!(eve.refused(revoke.clone()).await, "not_found");
    ann.ok(revoke).await;
    assert_ended(&server, phone).await;
    assert_ended(&server, tab).await;
    ann.ok(json!({"action": "list_rooms"})).await;
}

async fn logging_out_keeps_the_socket_and_closes_the_sessions_others(store: Store) {
    let server = store.start();
    let mut ann = server.newcomer("ann").await;
    let tab = server.resume(&ann).await;
    let mut phone = server.device("ann").await;
    ann.ok(json!({"action": "logout"})).await;
    assert_ended(&server, tab).await;
    assert_unauthenticated(&mut ann, json!({"action": "list_rooms"}), "missing").await;
    phone.ok(json!({"action": "list_rooms"})).await;
}

async fn sec_25_each_refresh_gives_another_pair_and_a_lost_reply_is_made_good(store: Store) {
    let server = store.start();
    let mut ann = server.newcomer("ann").await;
    let mut socket = server.connect().await;
    let mut seen = vec![ann.token.clone(), ann.refresh_token.clone()];
    let mut latest = ann.refresh_token.clone();
    for _ in 0..3 {
        let granted = socket.ok(refresh(&latest)).await;
        assert_eq!(granted["user_id"], ann.user_id);
        for token in [string(&granted["token"]), string(&granted["refresh_token"])] {
            assert!(!seen.contains(&token), "each token is new");
            seen.push(token);
        }
        socket.ok(authenticate(&granted["token"])).await;
        latest = string(&granted["refresh_token"]);
    }
    let again = socket.ok(refresh(&seen[3])).await;
    socket.ok(authenticate(&again["token"])).await;
    let listed = ann.ok(json!({"action": "list_sessions"})).await;
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 1, "it is still one session");
}

async fn sec_28_a_token_that_ends_is_announced_renewed_in_place_or_closes_its_socket(store: Store) {
    let server = store.server().set("access_token_seconds", "5").start();
    let mut ann = server.newcomer("ann").await;
    let mut idle = server.resume(&ann).await;
    let room = ann.create_room("Harbour").await;

    let warning = ann.expect_push("token_expiring").await;
    let expires_in = warning["expires_in"].as_u64().unwrap();
    assert!((1..=3).contains(&expires_in), "{warning}");
    let granted = ann.socket.ok(refresh(&ann.refresh_token)).await;
    let renewed = ann.ok(authenticate(&granted["token"])).await;
    assert!(renewed["expires_in"].as_u64().unwrap() >= 4, "{renewed}");

    idle.expect_push("token_expiring").await;
    assert_eq!(idle.closed().await, (4401, "expired".to_owned()));
    ann.ok(text(&room, "still here")).await;
    assert_eq!(ann.expect_push("new_room_message").await["content"], "still here");

    let mut socket = server.connect().await;
    let reply = socket.request(authenticate(&json!(ann.token))).await;
    assert_eq!(reply["code"], "unauthenticated", "the first token is over: {reply}");
    assert_eq!(ann.closed().await, (4401, "expired".to_owned()));
    let granted = socket.ok(refresh(&string(&granted["refresh_token"]))).await;
    socket.ok(authenticate(&granted["token"])).await;
}
