//! Rooms in which somebody stands in a certain relation, and one valid request of every kind.

use std::sync::Arc;

use chat_core::chat::NewRoom;
use chat_core::domain::{Role, RoomName, Visibility};
use chat_core::id::{ConversationId, UserId};
use chat_core::limits::{Limits, Rate};
use chat_core::memory::MemoryStore;
use serde_json::Value;

use crate::support::{Client, World};

/// How the actor stands to the room; the columns of the table in `matrix`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Stranger,
    Invited,
    Member,
    Left,
    Removed,
    Banned,
    Admin,
    Owner,
}

impl Standing {
    pub(crate) const ALL: [Self; 8] = [
        Self::Stranger,
        Self::Invited,
        Self::Member,
        Self::Left,
        Self::Removed,
        Self::Banned,
        Self::Admin,
        Self::Owner,
    ];
}

/// A world in which nobody is refused for asking too often.
pub(crate) async fn unhurried(store: Arc<MemoryStore>) -> World {
    let limits = Limits { send_rate: NO_RATE, request_rate: NO_RATE, flood_refusals: 0, ..Limits::default() };
    World::with(store, |builder| builder.limits(limits)).await
}

pub(crate) const NO_RATE: Rate = Rate { per_second: 0, burst: 0 };

/// A room of somebody else, and an actor who stands in some relation to it.
pub(crate) struct Stage {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) world: World,
    pub(crate) actor: Client,
    pub(crate) room: ConversationId,
    /// The private chat of the actor and the founder of the room.
    pub(crate) chat: ConversationId,
    pub(crate) founder: UserId,
    member: UserId,
    banned: UserId,
    outsider: UserId,
    session: String,
}

impl Stage {
    pub(crate) async fn new(visibility: Visibility, standing: Standing) -> Self {
        let store = Arc::new(MemoryStore::new());
        let world = unhurried(store.clone()).await;
        let [founder, member, banned, outsider, actor] =
            ["founder", "member", "banned", "outsider", "actor"].map(|name| world.auth.add_user(name));
        let owner = world.chat.as_user(founder);
        let room = NewRoom { name: RoomName::new("room").unwrap(), topic: None, visibility };
        let room = owner.create_room(room).await.unwrap().id;
        let stage = |user| stand(&world, founder, room, user);
        stage((member, Standing::Member)).await;
        stage((banned, Standing::Banned)).await;
        stage((actor, standing)).await;
        let chat = owner.open_private_chat(actor).await.unwrap().id;
        let session = world.auth.sign_in(actor).split('-').nth(1).unwrap().to_owned();
        let actor = world.device(actor).await;
        Self { store, world, actor, room, chat, founder, member, banned, outsider, session }
    }

    /// A request with the names of things in place of `$…`. `$id` is left to the caller.
    pub(crate) fn fill(&self, template: &str) -> String {
        let refresh_token = self.actor.token.replace("access", "refresh");
        let names = [
            ("$room", self.room.to_string()),
            ("$chat", self.chat.to_string()),
            ("$founder", self.founder.to_string()),
            ("$member", self.member.to_string()),
            ("$banned", self.banned.to_string()),
            ("$outsider", self.outsider.to_string()),
            ("$session", self.session.clone()),
            ("$refresh", refresh_token),
            ("$token", self.actor.token.clone()),
        ];
        names.iter().fold(template.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    /// Sends a request as it is written and answers the reply as it is written.
    pub(crate) async fn raw(client: &mut Client, request: &str) -> String {
        client.inbound.room().await;
        client.inbound.accept(request);
        client.reply_text().await
    }

    /// Everything that is stored, to compare.
    pub(crate) fn stored(&self) -> String {
        format!("{:?}", self.store)
    }
}

/// Brings `user` into `standing` in a room of `founder`.
pub(crate) async fn stand(
    world: &World,
    founder: UserId,
    room: ConversationId,
    (user, standing): (UserId, Standing),
) {
    let (owner, me) = (world.chat.as_user(founder), world.chat.as_user(user));
    if standing == Standing::Stranger {
        return;
    }
    owner.invite_member(room, user).await.unwrap();
    if standing == Standing::Invited {
        return;
    }
    me.join_room(room).await.unwrap();
    match standing {
        Standing::Stranger | Standing::Invited | Standing::Member => {}
        Standing::Left => me.leave_room(room).await.unwrap(),
        Standing::Removed => owner.remove_member(room, user).await.unwrap(),
        Standing::Banned => owner.ban_member(room, user).await.unwrap(),
        Standing::Admin => owner.set_role(room, user, Role::Admin).await.unwrap(),
        Standing::Owner => owner.set_role(room, user, Role::Owner).await.unwrap(),
    }
}

/// A valid request of every action with every field that it can have, for an owner of the room.
pub(crate) const REQUESTS: &[&str] = &[
    r#"{"action":"register","username":"newcomer","password":"correct horse","email":"new@example.org","display_name":"New"}"#,
    r#"{"action":"login","username":"actor","password":"password","device":"laptop"}"#,
    r#"{"action":"authenticate","token":"$token"}"#,
    r#"{"action":"refresh_token","refresh_token":"$refresh"}"#,
    r#"{"action":"logout"}"#,
    r#"{"action":"list_sessions"}"#,
    r#"{"action":"list_sessions","after":"$session","limit":2}"#,
    r#"{"action":"revoke_session","session_id":"$session"}"#,
    r#"{"action":"change_password","old_password":"password","new_password":"battery staple"}"#,
    r#"{"action":"update_profile","display_name":"Actor"}"#,
    r#"{"action":"create_room","room_name":"General","visibility":"public","topic":"Everything"}"#,
    r#"{"action":"join_room","room_id":"$room"}"#,
    r#"{"action":"leave_room","room_id":"$room"}"#,
    r#"{"action":"get_room","room_id":"$room","after":"$founder","limit":2}"#,
    r#"{"action":"list_rooms","scope":"public","query":"gen","after":"$room","limit":20}"#,
    r#"{"action":"list_private_chats","after":"$chat","limit":20}"#,
    r#"{"action":"invite_member","room_id":"$room","user_id":"$outsider"}"#,
    r#"{"action":"remove_member","room_id":"$room","user_id":"$member"}"#,
    r#"{"action":"ban_member","room_id":"$room","user_id":"$member"}"#,
    r#"{"action":"unban_member","room_id":"$room","user_id":"$banned"}"#,
    r#"{"action":"set_role","room_id":"$room","user_id":"$member","role":"admin"}"#,
    r#"{"action":"update_room","room_id":"$room","room_name":"Plaza","topic":"Stones"}"#,
    r#"{"action":"open_private_chat","user_id":"$outsider"}"#,
    r#"{"action":"open_private_chat","username":"outsider"}"#,
    r#"{"action":"send_room_message","room_id":"$room","content":"Hello","type":"text","client_id":"c-1"}"#,
    r#"{"action":"send_private_message","chat_id":"$chat","receiver_id":"$founder","content":"Hi","type":"text","client_id":"c-2"}"#,
    r#"{"action":"get_room_messages","room_id":"$room","limit":2}"#,
    r#"{"action":"get_room_messages","room_id":"$room","before_seq":8}"#,
    r#"{"action":"get_room_messages","room_id":"$room","after_seq":3}"#,
    r#"{"action":"get_room_messages","room_id":"$room","offset":1}"#,
    r#"{"action":"get_private_messages","chat_id":"$chat","limit":2}"#,
    r#"{"action":"get_private_messages","chat_id":"$chat","before_seq":3}"#,
    r#"{"action":"get_private_messages","chat_id":"$chat","after_seq":3}"#,
    r#"{"action":"get_private_messages","chat_id":"$chat","offset":0}"#,
    r#"{"action":"sync","cursors":{"$room":1},"epoch":"e1"}"#,
    r#"{"action":"mark_read","room_id":"$room","seq":1}"#,
    r#"{"action":"mark_read","chat_id":"$chat","seq":1}"#,
    r#"{"action":"typing","room_id":"$room"}"#,
    r#"{"action":"typing","chat_id":"$chat"}"#,
    r#"{"action":"set_status","status":"away"}"#,
    r#"{"action":"get_presence","user_ids":["$founder"]}"#,
    r#"{"action":"get_users","user_ids":["$founder"]}"#,
    r#"{"action":"ping"}"#,
];

/// The action of a request.
pub(crate) fn action(request: &str) -> String {
    let request: Value = serde_json::from_str(request).unwrap();
    request["action"].as_str().unwrap().to_owned()
}
