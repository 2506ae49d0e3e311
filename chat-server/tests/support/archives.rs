//! Moving data: a chat that has a bit of everything, what its people see of it, and the
//! commands that export and import it.

use std::path::{Path, PathBuf};

use chat_core::time::Timestamp;
use chat_store_sqlite::{Beside, SqliteConfig};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::people::{Device, keyed, string, text};
use super::{Builder, Ended, Server};

/// The people of [`populated`]. Cid is disabled.
pub const PEOPLE: [&str; 5] = ["ann", "Bob", "cid", "dan", "张三"];

/// A directory for data and archives.
#[derive(Debug)]
pub struct Place(TempDir);

impl Place {
    /// A new one, with nothing in it.
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The path of `name` in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The text of an archive in it.
    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

/// `chat-server` on the data in `data`.
pub fn on(data: &Path) -> Builder {
    Server::with().set("data_dir", data.to_str().unwrap())
}

/// Exports the data in `data` to a file; it must succeed.
pub fn export(data: &Path, file: &Path) -> Ended {
    let done = on(data).arg("export").arg(file.to_str().unwrap()).run();
    assert_eq!(done.code, Some(0), "{}", done.log);
    done
}

/// Imports a file into the data in `data`.
pub fn import(data: &Path, file: &Path) -> Ended {
    on(data).arg("import").arg(file.to_str().unwrap()).run()
}

/// Imports a file into the data in `data`; it must succeed.
pub fn import_all(data: &Path, file: &Path) {
    let done = import(data, file);
    assert_eq!(done.code, Some(0), "{}", done.log);
    assert!(done.output.contains("the store has all of it"), "{}", done.output);
}

/// A chat with `count` messages in its largest room, kept in `data`; its server has stopped.
pub async fn populated(data: &Path, count: usize) {
    let server = on(data).start();
    let mut people = Vec::new();
    for name in PEOPLE {
        people.push(server.newcomer(name).await);
    }
    let [ann, bob, cid, dan, zhang] = &mut people[..] else { unreachable!() };
    harbour(ann, bob, cid, dan, count).await;
    cellar(ann, bob, dan, zhang).await;

    let left = dan.create_room("Attic").await;
    dan.ok(text(&left, "the last one out")).await;
    dan.ok(json!({"action": "leave_room", "room_id": left})).await;

    let chat = ann.chat_with(&bob.user_id).await;
    for number in 0..7 {
        let message = json!({"action": "send_private_message", "chat_id": chat, "client_id": format!("k-{number}"),
            "content": format!("\"{number}\"\n\tñ \u{1F469}\u{200D}\u{1F467} \\u0041"), "type": "text"});
        ann.ok(message).await;
    }
    bob.ok(json!({"action": "mark_read", "chat_id": chat, "seq": 5})).await;
    zhang.chat_with(&dan.user_id).await;
    zhang.ok(json!({"action": "update_profile", "display_name": "张 三 ✓"})).await;
    let ann_id = ann.user_id.parse().unwrap();
    drop(people);
    stop(server);
    // A server notes this some time after somebody has left.
    let store = Beside::open(SqliteConfig::new(data.join("chat.db"))).unwrap();
    store.accounts().record_seen(vec![(ann_id, Timestamp::from_unix_ms(1_790_000_000_042))]).await.unwrap();
    drop(store);
    let disabled = on(data).arg("user").arg("disable").arg("cid").run();
    assert_eq!(disabled.code, Some(0), "{}", disabled.log);
}

/// A public room: renamed, with roles, somebody banned, and messages of all kinds.
async fn harbour(ann: &mut Device, bob: &mut Device, cid: &mut Device, dan: &mut Device, count: usize) {
    let room = ann.create_room("Harbor").await;
    for device in [&mut *bob, cid, dan] {
        device.join(&room).await;
    }
    cid.ok(text(&room, "before the ban")).await;
    let about =
        |action: &str, user: &Device| json!({"action": action, "room_id": room, "user_id": user.user_id});
    ann.ok(about("ban_member", cid)).await;
    let mut promote = about("set_role", bob);
    promote["role"] = json!("owner");
    ann.ok(promote).await;
    let renamed =
        json!({"action": "update_room", "room_id": room, "room_name": "Harbour", "topic": "boats ⛵"});
    bob.ok(renamed).await;
    for kind in ["text", "image", "file"] {
        let mut message = keyed(&room, kind, "line one\r\nline two");
        message["type"] = json!(kind);
        dan.ok(message).await;
    }
    bob.pipeline((0..count).map(|number| keyed(&room, &format!("n-{number}"), &format!("message {number}"))))
        .await;
    dan.ok(json!({"action": "mark_read", "room_id": room, "seq": 9})).await;
    ann.ok(json!({"action": "mark_read", "room_id": room, "seq": 12})).await;
    dan.ok(json!({"action": "leave_room", "room_id": room})).await;
    dan.join(&room).await;
}

/// A private room with somebody invited, somebody who left and came back, and somebody who is gone.
async fn cellar(ann: &mut Device, bob: &mut Device, dan: &mut Device, zhang: &mut Device) {
    let create = json!({"action": "create_room", "room_name": "Cellar", "visibility": "private"});
    let room = string(&ann.ok(create).await["room_id"]);
    let invite = |user: &Device| json!({"action": "invite_member", "room_id": room, "user_id": user.user_id});
    for guest in [&mut *bob, zhang] {
        ann.ok(invite(guest)).await;
        guest.join(&room).await;
        ann.ok(text(&room, &format!("welcome {}", guest.user_id))).await;
    }
    bob.ok(json!({"action": "leave_room", "room_id": room})).await;
    ann.ok(invite(bob)).await;
    bob.join(&room).await;
    ann.ok(text(&room, "welcome back")).await;
    ann.ok(json!({"action": "remove_member", "room_id": room, "user_id": zhang.user_id})).await;
    ann.ok(invite(dan)).await;
}

/// Stops a server as a service manager does.
pub fn stop(mut server: Server) {
    server.terminate();
    assert_eq!(server.wait(), Some(0), "{}", server.log());
}

/// What everybody of [`PEOPLE`] who can sign in sees: lists, members, unread messages, and all entries word for word.
pub async fn seen_by_all(server: &Server) -> Vec<Value> {
    let mut seen = Vec::new();
    for name in PEOPLE.into_iter().filter(|name| *name != "cid") {
        let mut device = server.device(name).await;
        let mut cursors = json!({});
        for (action, list, key) in
            [("list_rooms", "rooms", "room_id"), ("list_private_chats", "chats", "chat_id")]
        {
            let mut reply = device.ok(json!({"action": action})).await;
            for item in reply[list].as_array_mut().unwrap() {
                // Whoever looks is online, and was seen when looking last.
                if let Some(peer) = item["peer"].as_object_mut() {
                    peer.retain(|key, _| key != "last_seen");
                }
                cursors[item[key].as_str().unwrap()] = json!(0);
            }
            seen.push(without_request(reply));
        }
        for room in cursors.as_object().unwrap().keys() {
            let reply = device.request(json!({"action": "get_room", "room_id": room})).await;
            seen.push(without_request(reply));
            if device.request(json!({"action": "get_room_messages", "room_id": room})).await["success"]
                == true
            {
                seen.push(json!(device.history(room).await));
            }
        }
        let mut sync = without_request(device.ok(json!({"action": "sync", "cursors": cursors})).await);
        sync["epoch"].take(); // every store has its own
        seen.push(sync);
    }
    let found = server.device("ann").await.ok(json!({"action": "list_rooms", "scope": "public"})).await;
    seen.push(without_request(found));
    seen
}

fn without_request(mut reply: Value) -> Value {
    reply["request_id"].take();
    reply
}
