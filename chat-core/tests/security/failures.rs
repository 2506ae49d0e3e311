//! Stores and accounts that fail or hang: what clients are told, and that nothing is lost or doubled.

use std::sync::Arc;
use std::time::Duration;

use chat_core::hub::DisconnectReason;
use chat_core::limits::Limits;
use chat_core::memory::MemoryStore;
use chat_testkit::double::{Fault, Faults, FaultyRoomStore, Gate};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::double::{AuthFault, FaultyAuth, MARKER};
use crate::support::{Client, World, keyed, room, text};

struct Scene {
    world: World,
    faults: Faults,
    ann: Client,
    bob: Client,
    room: String,
}

impl Scene {
    async fn new() -> Self {
        let store = Arc::new(FaultyRoomStore::new(Arc::new(MemoryStore::new())));
        let faults = store.faults();
        let world = World::over(store).await;
        let (mut ann, mut bob) = (world.user("ann").await, world.user("bob").await);
        let room = room(&mut ann, "r").await;
        bob.ok(json!({"action": "join_room", "room_id": room})).await;
        Self { world, faults, ann, bob, room }
    }

    /// A request that cannot do without this method of the store.
    fn request(&self, method: &str) -> Value {
        let room = self.room.as_str();
        match method {
            "create" | "room_count" => json!({"action": "create_room", "room_name": "x"}),
            "append" => keyed(room, "k", "hello"),
            "entries" => json!({"action": "sync", "cursors": {room: 1}}),
            "messages" => json!({"action": "get_room_messages", "room_id": room}),
            // Nobody has asked about this user.
            "member" => {
                json!({"action": "unban_member", "room_id": room, "user_id": "00000000000000000000000a"})
            }
            "members" => json!({"action": "get_room", "room_id": room}),
            "my_conversations" => json!({"action": "list_rooms"}),
            "standings" => json!({"action": "sync", "cursors": {}}),
            "discover" => json!({"action": "list_rooms", "scope": "public"}),
            "mark_read" => json!({"action": "mark_read", "room_id": room, "seq": 2}),
            "sharing" => json!({"action": "get_presence", "user_ids": [self.bob.user_id]}),
            // Nobody has asked about this conversation.
            "conversation" => json!({"action": "join_room", "room_id": "00000000000000000000000a"}),
            method => panic!("{method} has no request"),
        }
    }
}

/// All methods but `epoch`, which is read once, and `entry`, whose failure is no failure of a request.
const METHODS: [&str; 13] = [
    "create",
    "room_count",
    "append",
    "entries",
    "messages",
    "member",
    "members",
    "my_conversations",
    "standings",
    "discover",
    "mark_read",
    "sharing",
    "conversation",
];

/// Asks until it succeeds: a write that has not ended keeps its conversation busy, and not for ever.
async fn insist(client: &mut Client, request: Value) {
    for _ in 0..60 {
        let reply = client.request(request.clone()).await;
        if reply["success"] == true {
            return;
        }
        check(&reply, "unavailable", "asking again");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("{request} never succeeds");
}

/// A failure that is worth trying again, and nothing of where it came from.
fn check(reply: &Value, code: &str, what: &str) {
    assert_eq!(reply["code"], code, "{what} got {reply}");
    assert!(reply["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0), "{what} got {reply}");
    assert!(!reply.to_string().contains(MARKER), "{what} got {reply}");
}

#[tokio::test(start_paused = true)]
async fn sec_85_every_failure_of_the_store_has_its_code_and_no_details() {
    let faults = [
        (Fault::Unavailable, "unavailable"),
        (Fault::Lost, "timeout"),
        (Fault::AnswerLost, "timeout"),
        (Fault::Corrupt, "internal"),
    ];
    for method in METHODS {
        for (fault, code) in &faults {
            let mut scene = Scene::new().await;
            let request = scene.request(method);
            scene.faults.next(method, [fault.clone()]);
            let what = format!("{method} with {fault:?}");
            check(&scene.ann.request(request.clone()).await, code, &what);
            let again = scene.ann.request(request).await;
            let is_right = again["success"] == true || again["code"] == "not_found";
            assert!(is_right, "after {what}: {again}");
            scene.bob.ok(text(&scene.room, "still here")).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sec_85_a_store_that_cannot_look_up_a_key_refuses_as_before() {
    let mut scene = Scene::new().await;
    let mut eve = scene.world.user("eve").await;
    for fault in [Fault::Unavailable, Fault::Corrupt, Fault::HeldBefore(Gate::closed())] {
        scene.faults.next("entry", [fault]);
        assert_eq!(eve.refused(keyed(&scene.room, "k", "x")).await, "forbidden");
    }
    scene.ann.ok(text(&scene.room, "unharmed")).await;
}

#[tokio::test(start_paused = true)]
async fn sec_55_every_call_of_the_store_has_a_deadline() {
    let deadline = Limits::default().store_deadline;
    for method in METHODS {
        let mut scene = Scene::new().await;
        let request = scene.request(method);
        scene.faults.next(method, [Fault::HeldBefore(Gate::closed())]);
        let began_at = Instant::now();
        let reply = scene.ann.request(request.clone()).await;
        // Only a write that is late may have happened.
        let code =
            if matches!(method, "create" | "append" | "mark_read") { "timeout" } else { "unavailable" };
        check(&reply, code, method);
        assert!((deadline..deadline * 2).contains(&began_at.elapsed()), "{method}: {:?}", began_at.elapsed());
        scene.ann.request(request).await;
        insist(&mut scene.bob, text(&scene.room, "still here")).await;
        assert!(began_at.elapsed() < Duration::from_secs(60), "{method}: {:?}", began_at.elapsed());
    }
}

/// A write whose answer is late has happened here: nothing may say that it has not.
#[tokio::test(start_paused = true)]
async fn sec_55_a_write_that_is_late_is_not_said_to_be_nothing() {
    for method in ["create", "append", "mark_read"] {
        let mut scene = Scene::new().await;
        let request = scene.request(method);
        scene.faults.next(method, [Fault::HeldAfter(Gate::closed())]);
        check(&scene.ann.request(request.clone()).await, "timeout", method);
        insist(&mut scene.ann, request).await;
    }
    let mut scene = Scene::new().await;
    scene.faults.next("mark_read", [Fault::HeldAfter(Gate::closed())]);
    check(&scene.ann.request(scene.request("mark_read")).await, "timeout", "mark_read");
    let listed = scene.ann.ok(json!({"action": "list_rooms"})).await;
    assert_eq!(listed["rooms"][0]["read_seq"], 2, "it is stored");
}

#[tokio::test(start_paused = true)]
async fn sec_55_a_sign_in_has_a_deadline_and_leaves_nothing_behind() {
    let scene = Scene::new().await;
    scene.faults.next("standings", [Fault::HeldBefore(Gate::closed())]);
    let mut phone = scene.world.stranger();
    let token = scene.world.auth.sign_in(scene.ann.user_id.parse().unwrap());
    check(&phone.request(json!({"action": "authenticate", "token": token})).await, "unavailable", "sign-in");
    assert!(!phone.inbound.is_authenticated());
    phone.ok(json!({"action": "authenticate", "token": token})).await;
}

/// While the store hangs everything is answered in time; when it is back, what was stored is delivered once.
#[tokio::test(start_paused = true)]
async fn sec_55_a_store_that_hangs_answers_everybody_and_loses_nothing_when_it_is_back() {
    for is_stored in [false, true] {
        let mut scene = Scene::new().await;
        scene.ann.ok(text(&scene.room, "0")).await;
        let gate = Gate::closed();
        scene.faults.all(&Fault::HeldBefore(gate.clone()));
        if is_stored {
            scene.faults.next("append", [Fault::HeldAfter(gate.clone())]);
        }
        check(&scene.ann.request(keyed(&scene.room, "1", "1")).await, "timeout", "the first");
        // The fate of the first is not known: nothing can be added before it is.
        for key in ["2", "3", "4"] {
            let began_at = Instant::now();
            check(&scene.ann.request(keyed(&scene.room, key, key)).await, "unavailable", "a later one");
            assert!(began_at.elapsed() <= Duration::from_secs(15), "{:?}", began_at.elapsed());
        }
        scene.faults.heal();
        gate.open();
        let mut sent = Vec::new();
        for key in ["1", "2", "3", "4"] {
            let reply = loop {
                let reply = scene.ann.request(keyed(&scene.room, key, key)).await;
                if reply["success"] == true {
                    break reply;
                }
                check(&reply, "unavailable", "sent again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            };
            sent.push(reply["seq"].as_u64().unwrap());
        }
        assert_eq!(sent, [4, 5, 6, 7]);
        scene.ann.ok(text(&scene.room, "end")).await;
        let mut seen = Vec::new();
        while seen.last() != Some(&8) {
            seen.push(scene.bob.entry().await["seq"].as_u64().unwrap());
        }
        assert_eq!(seen, [2, 3, 4, 5, 6, 7, 8]);
    }
}

/// The members of a private chat get it although the answer to its creation was lost.
#[tokio::test(start_paused = true)]
async fn sec_55_a_conversation_whose_creation_was_not_answered_is_delivered() {
    for fault in [Fault::AnswerLost, Fault::PanicAfter] {
        let mut scene = Scene::new().await;
        let open = json!({"action": "open_private_chat", "user_id": scene.bob.user_id});
        scene.faults.next("create", [fault]);
        scene.ann.request(open.clone()).await;
        let ann = scene.ann.user_id.parse().unwrap();
        let mut client = scene.world.device(ann).await;
        let chat = client.ok(open).await["chat_id"].clone();
        client.ok(json!({"action": "send_private_message", "chat_id": chat, "content": "hello"})).await;
        let seqs = [scene.bob.entry().await, scene.bob.entry().await, scene.bob.entry().await];
        let seqs = seqs.each_ref().map(|push| (push["chat_id"] == chat, push["seq"].as_u64().unwrap()));
        assert_eq!(seqs, [(false, 2), (true, 1), (true, 2)]);
    }
}

/// Two processes over one store, without a bus between them.
#[tokio::test(start_paused = true)]
async fn a_node_reads_on_when_it_meets_a_member_whom_another_node_let_in() {
    let store = Arc::new(MemoryStore::new());
    let one = World::over(store.clone()).await;
    let two = World::with(store, |builder| builder.auth(one.auth.clone())).await;
    let two = World { auth: one.auth.clone(), ..two };
    let mut ann = one.user("ann").await;
    let room = room(&mut ann, "r").await;
    let bob = one.auth.add_user("bob");
    let mut there = two.device(bob).await;
    there.ok(json!({"action": "join_room", "room_id": room})).await;
    let mut here = one.device(bob).await;
    assert_eq!(here.ok(text(&room, "hello")).await["seq"], 3);
    let carl = one.auth.add_user("carl");
    let mut there = two.device(carl).await;
    there.ok(json!({"action": "join_room", "room_id": room})).await;
    let mut here = one.device(carl).await;
    assert_eq!(here.ok(json!({"action": "get_room", "room_id": room})).await["success"], true);
    let seqs = [ann.entry().await, ann.entry().await, ann.entry().await, ann.entry().await];
    assert_eq!(seqs.map(|push| push["seq"].as_u64().unwrap()), [1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn sec_23_accounts_that_fail_or_hang_deny_without_details() {
    let requests = |ann: &Client| {
        let session = ann.token.split('-').nth(1).unwrap().to_owned();
        [
            ("authenticate", json!({"action": "list_rooms", "token": ann.token})),
            ("login", json!({"action": "login", "username": "ann", "password": "password"})),
            ("refresh", json!({"action": "refresh_token", "refresh_token": "x"})),
            (
                "register",
                json!({"action": "register", "username": "bea", "password": "password", "email": "a@b.org"}),
            ),
            ("find_user", json!({"action": "open_private_chat", "username": "bob"})),
            ("profiles", json!({"action": "get_users", "user_ids": [ann.user_id]})),
            ("sessions", json!({"action": "list_sessions"})),
            ("end_session", json!({"action": "revoke_session", "session_id": session})),
            (
                "change_password",
                json!({"action": "change_password", "old_password": "password", "new_password": "other words"}),
            ),
            ("set_display_name", json!({"action": "update_profile", "display_name": "Ann"})),
        ]
    };
    let reads = ["authenticate", "find_user", "profiles", "sessions"];
    for (fault, code) in [
        (AuthFault::Unavailable, "unavailable"),
        (AuthFault::Timeout, "timeout"),
        (AuthFault::Internal, "internal"),
        // Only a change that is late may have happened.
        (AuthFault::Hang, "timeout"),
    ] {
        let fake = World::new().await.auth;
        let auth = Arc::new(FaultyAuth::new(fake.clone()));
        let world = World::with(Arc::new(MemoryStore::new()), |builder| builder.auth(auth.clone())).await;
        let world = World { auth: fake, ..world };
        let mut ann = world.user("ann").await;
        for (method, request) in requests(&ann) {
            let mut stranger = world.stranger();
            let client = if method == "authenticate" { &mut stranger } else { &mut ann };
            auth.always(method, fault.clone());
            let began_at = Instant::now();
            let is_late_read = matches!(fault, AuthFault::Hang) && reads.contains(&method);
            let code = if is_late_read { "unavailable" } else { code };
            check(&client.request(request.clone()).await, code, method);
            assert!(began_at.elapsed() <= Limits::default().auth_deadline + Duration::from_millis(10));
            if method == "authenticate" {
                assert!(!client.inbound.is_authenticated(), "whatever fails, the engine denies");
            }
            auth.heal();
        }
        ann.ok(json!({"action": "list_sessions"})).await;
    }
}

/// The session ends between the look at its token and the connection's place in the hub.
#[tokio::test(start_paused = true)]
async fn sec_27_a_session_that_ends_while_it_signs_in_is_not_signed_in() {
    let fake = World::new().await.auth;
    let auth = Arc::new(FaultyAuth::new(fake.clone()));
    let world = World::with(Arc::new(MemoryStore::new()), |builder| builder.auth(auth.clone())).await;
    let world = World { auth: fake, ..world };
    let ann = world.auth.add_user("ann");
    for action in ["authenticate", "list_rooms"] {
        let token = world.auth.sign_in(ann);
        let session = token.split('-').nth(1).unwrap().parse().unwrap();
        let gate = Gate::closed();
        auth.always("authenticate", AuthFault::HeldAfter(gate.clone()));
        // Nothing tells of ended sessions later on.
        auth.always("ended_since", AuthFault::Unavailable);
        let mut phone = world.stranger();
        phone.send(&json!({"action": action, "token": token})).await;
        gate.reached(1).await;
        world.chat.end_session(ann, session).await.unwrap();
        auth.heal();
        auth.always("ended_since", AuthFault::Unavailable);
        gate.open();
        let reply = phone.reply().await;
        assert_eq!(
            (reply["code"].as_str(), reply["reason"].as_str()),
            (Some("unauthenticated"), Some("ended"))
        );
        assert!(!phone.inbound.is_authenticated());
    }
}

/// The accounts end a session and answer when nobody waits for it any more.
#[tokio::test(start_paused = true)]
async fn sec_27_a_session_that_ends_late_closes_its_sockets() {
    let session_of = |token: &str| token.split('-').nth(1).unwrap().to_owned();
    for method in ["end_session", "change_password"] {
        let fake = World::new().await.auth;
        let auth = Arc::new(FaultyAuth::new(fake.clone()));
        let world = World::with(Arc::new(MemoryStore::new()), |builder| builder.auth(auth.clone())).await;
        let world = World { auth: fake, ..world };
        let mut ann = world.user("ann").await;
        let mut lost = world.device(ann.user_id.parse().unwrap()).await;
        // Nothing tells of ended sessions later on.
        auth.always("ended_since", AuthFault::Unavailable);
        let gate = Gate::closed();
        auth.always(method, AuthFault::HeldAfter(gate.clone()));
        let request = match method {
            "end_session" => json!({"action": "revoke_session", "session_id": session_of(&lost.token)}),
            _ => {
                json!({"action": "change_password", "old_password": "password", "new_password": "other words"})
            }
        };
        check(&ann.request(request).await, "timeout", method);
        tokio::time::sleep(Duration::from_secs(60)).await;
        lost.ok(json!({"action": "ping"})).await;
        gate.open();
        assert_eq!(lost.end().await, DisconnectReason::SessionEnded, "{method}");
        ann.ok(json!({"action": "ping"})).await;
    }
}

/// The login is refused for another reason, and its session cannot be ended either.
#[tokio::test(start_paused = true)]
async fn sec_55_a_refused_login_is_answered_although_the_accounts_hang() {
    let fake = World::new().await.auth;
    let auth = Arc::new(FaultyAuth::new(fake.clone()));
    let limits = Limits { user_connections: 1, ..Limits::default() };
    let world =
        World::with(Arc::new(MemoryStore::new()), |builder| builder.auth(auth.clone()).limits(limits)).await;
    let world = World { auth: fake, ..world };
    let _ann = world.user("ann").await;
    auth.always("end_session", AuthFault::Hang);
    let mut late = world.stranger();
    let login = json!({"action": "login", "username": "ann", "password": "password"});
    assert_eq!(late.refused(login).await, "limit_exceeded");
}
