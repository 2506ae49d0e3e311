//! The real binary and clients that break the rules: each is told or closed, the server
//! stays up, and nobody else notices.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use chat_testkit::client::{ABNORMAL, Message};
use serde_json::{Value, json};
use support::people::{Device, text};
use support::{Server, Store, on_every_store};

on_every_store! {
    sec_47_frames_that_cannot_be_requests_close_with_the_right_code,
    the_tenth_unreadable_frame_closes,
    sec_41_operators_in_place_of_values_are_never_looked_up,
    a_thousand_random_frames_harm_nobody,
}

/// Two people who talk, whatever others do.
struct Bystanders {
    ann: Device,
    bob: Device,
    room: String,
    said: u32,
}

impl Bystanders {
    async fn of(server: &Server) -> Self {
        let (mut ann, mut bob) = (server.newcomer("ann").await, server.newcomer("bob").await);
        let room = server.room_of(&mut [&mut ann, &mut bob]).await;
        Self { ann, bob, room, said: 0 }
    }

    async fn talk(&mut self) {
        self.said += 1;
        let content = format!("message {}", self.said);
        self.ann.ok(text(&self.room, &content)).await;
        assert_eq!(self.bob.expect_push("new_room_message").await["content"], content);
    }

    async fn are_well(mut self, server: &Server) {
        self.talk().await;
        assert_eq!(self.bob.history(&self.room).await.len(), self.said as usize);
        assert_eq!(server.ask_admin("/healthz").status, 200);
        assert_eq!(server.ask_admin("/readyz").status, 200);
        assert!(!server.log().contains("panicked"), "{}", server.log());
    }
}

async fn sec_47_frames_that_cannot_be_requests_close_with_the_right_code(store: Store) {
    let server = store.start();
    let mut bystanders = Bystanders::of(&server).await;
    let too_big = json!({"action": "ping", "request_id": "x".repeat(70_000)}).to_string();
    for (frame, code) in [(Message::text(too_big), 1009), (Message::binary(vec![1, 2, 3]), 1003)] {
        for mut socket in [server.connect().await, server.device("ann").await.socket] {
            socket.send(frame.clone()).await;
            assert_eq!(socket.close_code().await, code);
        }
        bystanders.talk().await;
    }
    bystanders.are_well(&server).await;
}

async fn the_tenth_unreadable_frame_closes(store: Store) {
    let server = store.start();
    let bystanders = Bystanders::of(&server).await;
    let mut socket = server.connect().await;
    for frame in ["", "x", "[]", "7", "null", "{", "{}x", "\"\"", "\u{feff}{}"] {
        socket.send_text(frame).await;
        let reply = socket.next_reply().await;
        assert_eq!(
            (&reply["code"], &reply["message"]),
            (&json!("invalid_json"), &json!("Invalid JSON")),
            "{frame}"
        );
    }
    socket.ok(json!({"action": "ping"})).await;
    socket.send_text("the tenth").await;
    assert_eq!(socket.close_code().await, 4400);
    bystanders.are_well(&server).await;
}

async fn sec_41_operators_in_place_of_values_are_never_looked_up(store: Store) {
    let server = store.start();
    let mut bystanders = Bystanders::of(&server).await;
    let mut stranger = server.connect().await;
    let room = bystanders.room.clone();
    let operators = [
        json!({"$ne": null}),
        json!({"$gt": ""}),
        json!({"$where": "1"}),
        json!(["a"]),
        json!(true),
        json!(7),
        json!(null),
    ];
    for operator in operators {
        for request in [
            json!({"action": "authenticate", "token": operator}),
            json!({"action": "create_room", "room_name": "x", "token": operator}),
            json!({"action": "get_room_messages", "room_id": room, "token": operator}),
            json!({"action": "refresh_token", "refresh_token": operator}),
            json!({"action": "login", "username": operator, "password": "x"}),
            json!({"action": "login", "username": "ann", "password": operator}),
        ] {
            assert_eq!(stranger.refused(request).await, "invalid_params");
        }
        for request in [
            json!({"action": "join_room", "room_id": operator}),
            json!({"action": "open_private_chat", "username": operator}),
            json!({"action": "send_room_message", "room_id": room, "content": operator}),
            json!({"action": "get_users", "user_ids": [operator]}),
            json!({"action": "sync", "cursors": operator}),
        ] {
            let reply = bystanders.ann.request(request.clone()).await;
            assert_eq!(reply["code"], "invalid_params", "{request}");
        }
    }
    assert_eq!(stranger.refused(json!({"action": "list_rooms"})).await, "unauthenticated");
    bystanders.are_well(&server).await;
}

async fn a_thousand_random_frames_harm_nobody(store: Store) {
    let server = store.server().set("rate_user_requests_per_second", "0").start();
    let mut bystanders = Bystanders::of(&server).await;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut eve = server.newcomer("eve").await;
    let room = eve.create_room("Playground").await;
    let mut vandal = Vandal { eve, connections: 1 };
    for number in 0..1_000 {
        vandal.send(&server, random.frame(&room)).await;
        if number % 100 == 0 {
            bystanders.talk().await;
        }
    }
    assert!(vandal.connections > 10, "many frames close their connection: {}", vandal.connections);
    bystanders.are_well(&server).await;
}

/// Sends what it likes, and comes back when it is thrown out.
struct Vandal {
    eve: Device,
    connections: u32,
}

impl Vandal {
    async fn send(&mut self, server: &Server, frame: Message) {
        self.eve.send(frame).await;
        self.eve.send_text(json!({"action": "ping", "request_id": "alive"}).to_string()).await;
        loop {
            match self.eve.next_frame().await {
                Ok(reply) if reply["request_id"] == "alive" && reply["success"] == true => return,
                Ok(_other) => {}
                Err((code, text)) => {
                    assert!([ABNORMAL, 1003, 1009, 4400].contains(&code), "closed with {code} {text}");
                    self.eve = server.resume(&self.eve).await;
                    self.connections += 1;
                    return;
                }
            }
        }
    }
}

/// The same surprises in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn text(&mut self, length: usize) -> String {
        const ALPHABET: [char; 24] = [
            '{', '}', '[', ']', '"', '\\', ':', ',', '0', '9', '-', '.', 'e', 'u', 'a', ' ', '\n', '\0',
            '\u{7f}', '张', 'ﷺ', '\u{202e}', '👋', '\u{feff}',
        ];
        (0..length).map(|_| ALPHABET[self.below(ALPHABET.len())]).collect()
    }

    fn value(&mut self, room: &str) -> Value {
        let length = self.below(40);
        match self.below(9) {
            0 => json!(room),
            1 => json!(self.text(length)),
            2 => json!(u64::MAX - self.below(3) as u64),
            3 => json!(-1),
            4 => json!({"$ne": null}),
            5 => json!([[[[[room]]]]]),
            6 => json!(1e300),
            7 => json!("x".repeat(length * 300)),
            _ => Value::Null,
        }
    }

    /// Garbage, or a request that is almost right.
    fn frame(&mut self, room: &str) -> Message {
        let length = self.below(200);
        match self.below(10) {
            0 => Message::binary(self.text(length).into_bytes()),
            1 => Message::text("x".repeat(65_000 + length * 10)),
            2..=4 => Message::text(self.text(length)),
            5 => {
                let text =
                    json!({"action": "send_room_message", "room_id": room, "content": "x"}).to_string();
                Message::text(text[..self.below(text.len())].to_owned())
            }
            _ => Message::text(self.request(room)),
        }
    }

    fn request(&mut self, room: &str) -> String {
        const ACTIONS: [&str; 12] = [
            "login",
            "authenticate",
            "refresh_token",
            "join_room",
            "send_room_message",
            "get_room_messages",
            "sync",
            "mark_read",
            "list_rooms",
            "set_status",
            "open_private_chat",
            "dance",
        ];
        const FIELDS: [&str; 10] = [
            "room_id",
            "chat_id",
            "content",
            "token",
            "cursors",
            "seq",
            "limit",
            "username",
            "password",
            "request_id",
        ];
        let mut request = json!({"action": ACTIONS[self.below(ACTIONS.len())]});
        for _ in 0..self.below(5) {
            let value = self.value(room);
            request[FIELDS[self.below(FIELDS.len())]] = value;
        }
        request.to_string()
    }
}
