//! The largest reply of every action, where everything is as large and as many as limits and settings let it be.

use std::collections::BTreeSet;
use std::sync::Arc;

use chat_core::chat::{NewMessage, NewRoom};
use chat_core::domain::{ClientId, DeviceName, Role, RoomName, Topic, Visibility};
use chat_core::id::{ConversationId, UserId};
use chat_core::limits::{Limits, hard};
use chat_core::memory::MemoryStore;
use chat_core::port::{Auth as _, ClientContext, Credentials};
use chat_core::protocol::request::ACTIONS;
use chat_core::time::Timestamp;
use serde_json::{Map, Value, json};

use crate::stage::NO_RATE;
use crate::support::{Client, World};

/// The largest that an operator can set.
const ROOMS: usize = 1_000;
const SESSIONS: usize = 10_000;
/// Users, public rooms, members of one room: more than a page has. Private chats have no limit.
const MANY: usize = 110;
const CHATS: usize = 300;
/// Rooms that are full of the largest messages, and how many more than the one that every listed room has.
const FULL: usize = 4;
const MORE: usize = 16;

/// So many characters that take the most bytes.
fn widest(characters: usize) -> String {
    "\u{10400}".repeat(characters)
}

fn largest_text(key: usize) -> NewMessage {
    let client_id = format!("{key:06}{}", widest(hard::CLIENT_ID_CHARACTERS - 6));
    let text = NewMessage::text("\"".repeat(hard::CONTENT_BYTES)).unwrap();
    text.with_client_id(ClientId::new(client_id).unwrap())
}

fn largest_room(visibility: Visibility) -> NewRoom {
    let topic = Topic::new(widest(hard::TOPIC_CHARACTERS)).unwrap();
    NewRoom {
        name: RoomName::new(widest(hard::ROOM_NAME_CHARACTERS)).unwrap(),
        topic: Some(topic),
        visibility,
    }
}

/// A user who has as much as one can have.
struct Scene {
    world: World,
    max: UserId,
    host: UserId,
    device: Client,
    peers: Vec<UserId>,
    rooms: Vec<ConversationId>,
    chats: Vec<ConversationId>,
}

impl Scene {
    async fn new() -> Self {
        let limits = Limits {
            send_rate: NO_RATE,
            request_rate: NO_RATE,
            user_connections: 0,
            heartbeat: std::time::Duration::ZERO,
            ..Limits::default()
        };
        assert_eq!(limits.user_rooms as usize, ROOMS, "it can only be made tighter");
        let world = World::with(Arc::new(MemoryStore::new()), |builder| builder.limits(limits)).await;
        let [max, host] = ["max", "host"].map(|name| world.auth.add_user(name));
        let mut scene = Self {
            device: world.stranger(),
            world,
            max,
            host,
            peers: Vec::new(),
            rooms: Vec::new(),
            chats: Vec::new(),
        };
        scene.fill_rooms().await;
        scene.fill_chats().await;
        scene.sign_in_often().await;
        scene.device = scene.world.device(max).await;
        scene
    }

    /// Private rooms that the user came to late, so that `sync` has the most to say of each.
    async fn fill_rooms(&mut self) {
        let (host, max) = (self.world.chat.as_user(self.host), self.world.chat.as_user(self.max));
        for n in 0..ROOMS {
            let room = host.create_room(largest_room(Visibility::Private)).await.unwrap().id;
            host.invite_member(room, self.max).await.unwrap();
            max.join_room(room).await.unwrap();
            let texts = if n < FULL { 1 + MORE } else { usize::from(n <= hard::PAGE_ITEMS as usize) };
            for text in 0..texts {
                host.send_message(room, largest_text(text)).await.unwrap();
            }
            self.rooms.push(room);
        }
        host.set_role(self.rooms[0], self.max, Role::Owner).await.unwrap();
        for n in 0..MANY {
            let other = self.world.auth.add_user(&format!("other{n}"));
            let other = self.world.chat.as_user(other);
            other.create_room(largest_room(Visibility::Public)).await.unwrap();
            host.invite_member(self.rooms[0], other.id()).await.unwrap();
            other.join_room(self.rooms[0]).await.unwrap();
        }
    }

    async fn fill_chats(&mut self) {
        let max = self.world.chat.as_user(self.max);
        let mut seen = Vec::new();
        for n in 0..CHATS {
            let peer =
                self.world.auth.add_user(&format!("{n:06}{}", widest(hard::DISPLAY_NAME_CHARACTERS - 6)));
            let chat = max.open_private_chat(peer).await.unwrap().id;
            if n < MANY {
                max.send_message(chat, largest_text(0)).await.unwrap();
            }
            seen.push((peer, Timestamp::from_unix_ms(1_795_248_930_042)));
            self.peers.push(peer);
            self.chats.push(chat);
        }
        self.world.auth.record_seen(seen).await.unwrap();
    }

    async fn sign_in_often(&self) {
        let device = DeviceName::new(widest(hard::DEVICE_NAME_CHARACTERS)).unwrap();
        for _ in 0..SESSIONS {
            let credentials = Credentials { username: "max".into(), password: "password".into() };
            let client = ClientContext { device: Some(device.clone()), ..ClientContext::default() };
            self.world.auth.login(credentials, &client).await.unwrap();
        }
    }

    /// The requests of an action whose replies are largest.
    fn requests(&self, action: &str) -> Vec<Value> {
        let (room, full, chat) = (self.rooms[ROOMS - 1], self.rooms[0], self.chats[0]);
        let (peer, page) = (self.peers[0], hard::PAGE_ITEMS);
        let users: Vec<_> = self.peers.iter().take(hard::USER_IDS).collect();
        let refresh = self.device.token.replace("access", "refresh");
        let fields = match action {
            "register" => vec![
                json!({"username": widest(hard::DISPLAY_NAME_CHARACTERS), "password": "x", "email": "a@b"}),
            ],
            "login" => vec![json!({"username": "max", "password": "password"})],
            "authenticate" => vec![json!({"token": self.device.token})],
            "refresh_token" => vec![json!({"refresh_token": refresh})],
            "logout" | "ping" => vec![json!({})],
            "list_sessions" => vec![json!({}), json!({"limit": page})],
            "revoke_session" => vec![json!({"session_id": "x".repeat(10_000)})],
            "change_password" => vec![json!({"old_password": "password", "new_password": "y"})],
            "update_profile" => vec![json!({"display_name": widest(hard::DISPLAY_NAME_CHARACTERS)})],
            "create_room" => vec![json!({"room_name": widest(hard::ROOM_NAME_CHARACTERS)})],
            "join_room" | "leave_room" => vec![json!({"room_id": room})],
            "get_room" => vec![json!({"room_id": full, "limit": page})],
            "list_rooms" => vec![json!({"limit": page}), json!({"scope": "public", "limit": page})],
            "list_private_chats" => vec![json!({"limit": page})],
            "invite_member" | "remove_member" | "ban_member" | "unban_member" => {
                vec![json!({"room_id": full, "user_id": peer})]
            }
            "set_role" => vec![json!({"room_id": full, "user_id": peer, "role": "owner"})],
            "update_room" => vec![json!({"room_id": full, "topic": widest(hard::TOPIC_CHARACTERS)})],
            "open_private_chat" => vec![json!({"user_id": peer})],
            "send_room_message" => {
                vec![json!({"room_id": full, "content": "\"".repeat(hard::CONTENT_BYTES)})]
            }
            "send_private_message" => {
                vec![json!({"chat_id": chat, "content": "\"".repeat(hard::CONTENT_BYTES)})]
            }
            "get_room_messages" => {
                vec![
                    json!({"room_id": full, "limit": page}),
                    json!({"room_id": full, "after_seq": 0, "limit": page}),
                ]
            }
            "get_private_messages" => vec![json!({"chat_id": chat, "limit": page})],
            "sync" => self.syncs(),
            "mark_read" | "typing" => vec![json!({"room_id": full, "seq": hard::CONTENT_BYTES})],
            "set_status" => vec![json!({"status": "offline"})],
            "get_presence" | "get_users" => vec![json!({"user_ids": users})],
            action => panic!("the largest reply of {action} is not known here"),
        };
        let with_action = |mut fields: Value| {
            fields["action"] = json!(action);
            fields["request_id"] = json!("i".repeat(hard::REQUEST_ID_BYTES));
            if action == "typing" {
                fields.as_object_mut().unwrap().remove("seq");
            }
            fields
        };
        fields.into_iter().map(with_action).collect()
    }

    fn syncs(&self) -> Vec<Value> {
        let known = |count: usize| self.rooms.iter().take(count).map(|room| (room.to_string(), json!(0)));
        let mut syncs: Vec<Value> = [0, 1, hard::SYNC_CURSORS - 100, hard::SYNC_CURSORS]
            .map(|count| json!({"cursors": known(count).collect::<Map<_, _>>()}))
            .into();
        let malformed = hard::SYNC_CURSORS - 1;
        // As the request has to fit into a frame, what is written with escapes has fewer characters.
        for (character, bytes) in [("x", 1), ("\"", 2), ("\u{1}", 6), ("\u{2028}", 3)] {
            let length = (hard::FRAME_BYTES - 1_000) / malformed / bytes - 12;
            let keys = (0..malformed).map(|n| (format!("{n:03}{}", character.repeat(length)), json!(0)));
            syncs.push(json!({"cursors": keys.chain(known(1)).collect::<Map<_, _>>()}));
        }
        syncs
    }
}

/// Asks, and checks that the reply fits and is no failure of the server. Answers also its size.
async fn fits(client: &mut Client, request: &Value) -> (Value, usize) {
    let asked = request.to_string();
    assert!(asked.len() <= hard::FRAME_BYTES, "a request of {} bytes", asked.len());
    client.inbound.room().await;
    client.inbound.accept(&asked);
    let text = client.reply_text().await;
    let what: String = asked.chars().take(300).collect();
    assert!(text.len() <= hard::OUTGOING_FRAME_BYTES, "{} bytes: {what}", text.len());
    let reply: Value = serde_json::from_str(&text).unwrap();
    assert_ne!(reply["code"], "internal", "{what}");
    (reply, text.len())
}

/// Follows `next_after` and counts the items.
async fn all_pages(client: &mut Client, action: &str, list: &str) -> usize {
    let mut request = json!({"action": action});
    let mut count = 0;
    loop {
        let (page, _) = fits(client, &request).await;
        let items = page[list].as_array().unwrap().len();
        assert!(items > 0, "a page has something");
        count += items;
        if page["next_after"].is_null() {
            return count;
        }
        request["after"] = page["next_after"].clone();
    }
}

#[tokio::test]
async fn sec_56_the_largest_reply_of_every_action_fits_into_a_frame() {
    let mut scene = Scene::new().await;
    let lists = [("list_rooms", "rooms", ROOMS), ("list_private_chats", "chats", CHATS)];
    for (action, list, count) in lists.into_iter().chain([("list_sessions", "sessions", SESSIONS + 1)]) {
        assert_eq!(all_pages(&mut scene.device, action, list).await, count, "{action}");
    }
    let mut large = BTreeSet::new();
    for action in ACTIONS {
        for request in scene.requests(action) {
            let mut device = scene.world.device(scene.max).await;
            let (reply, bytes) = fits(&mut device, &request).await;
            // Of somebody who has everything, or of nobody.
            let is_refused = ["create_room", "revoke_session", "set_role"].contains(action);
            assert_eq!(reply["success"], !is_refused, "{action}: {reply}");
            large.extend((bytes > hard::PAGE_BYTES / 2).then_some(*action));
        }
    }
    let cut = ["get_room_messages", "list_private_chats", "list_rooms", "list_sessions", "sync"];
    assert!(cut.iter().all(|action| large.contains(action)), "only {large:?} are large");
}

/// Every reply brings something, until everything is there.
#[tokio::test]
async fn sec_56_sync_comes_to_its_end_however_much_is_missed() {
    let mut scene = Scene::new().await;
    for mut request in scene.syncs() {
        request["action"] = json!("sync");
        let mut missed = usize::MAX;
        while missed > 0 {
            let (reply, _) = fits(&mut scene.device, &request).await;
            let conversations = reply["conversations"].as_object().unwrap();
            assert_eq!(conversations.len(), request["cursors"].as_object().unwrap().len());
            let mut has_more = false;
            missed = 0;
            for (id, synced) in conversations {
                if let Some(last) = synced["entries"].as_array().unwrap().last() {
                    request["cursors"][id] = last["seq"].clone();
                    has_more = true;
                }
                missed += usize::from(synced["more"] == true);
            }
            assert!(has_more || missed == 0, "{missed} conversations wait for ever");
        }
    }
}

#[tokio::test]
async fn sessions_are_paged_from_any_of_them() {
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    for _ in 0..4 {
        world.auth.sign_in(ann.user_id.parse().unwrap());
    }
    let ids = |page: &Value| -> Vec<String> {
        page["sessions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["session_id"].as_str().unwrap().into())
            .collect()
    };
    let all = ann.ok(json!({"action": "list_sessions"})).await;
    assert_eq!((ids(&all).len(), &all["next_after"]), (5, &Value::Null));
    let page = ann.ok(json!({"action": "list_sessions", "limit": 2})).await;
    assert_eq!((ids(&page), &page["next_after"]), (ids(&all)[..2].to_vec(), &json!(ids(&all)[1])));
    let rest = ann.ok(json!({"action": "list_sessions", "after": ids(&all)[1], "limit": 3})).await;
    assert_eq!((ids(&rest), &rest["next_after"]), (ids(&all)[2..].to_vec(), &Value::Null));
    for unknown in ["00000000000000000000000a", "no id"] {
        assert_eq!(ann.refused(json!({"action": "list_sessions", "after": unknown})).await, "not_found");
    }
}
