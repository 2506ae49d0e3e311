//! One complete example of everything that goes over the wire. The golden files and
//! the examples of the document are made of them.

use std::time::Duration;

use serde::Serialize;

use crate::domain::{
    Conversation, ConversationKind, Entry, EntryBody, Event, Head, Member, MemberState, Message, MessageKind,
    Pair, Presence, Profile, Role, RoomName, Seq, SessionInfo, Status, Topic, Visibility,
};
use crate::hub::Frame;
use crate::id::{ConversationId, EntryId, SessionId, UserId};
use crate::limits::Limits;
use crate::port::{Grant, Identity, MessagePage, MyConversation, Unread};
use crate::protocol::event::{Connected, ConversationKey, Invitation, ReadMarker, Typing};
use crate::protocol::reply::{self, success};
use crate::protocol::{
    ActionError, Code, EntryContext, Envelope, Push, RequestId, UnauthenticatedReason, entry_push, failure,
};
use crate::time::Timestamp;

/// An example of a request with every field it can have.
pub(super) struct Sample {
    pub(super) text: &'static str,
    /// The fields that may be absent.
    pub(super) optional: &'static [&'static str],
}

macro_rules! samples {
    ($($text:literal $(optional $($name:literal)*)?;)*) => {
        &[$(Sample { text: $text, optional: &[$($($name),*)?] }),*]
    };
}

/// At least one example for every action.
pub(super) const REQUESTS: &[Sample] = samples! {
    r#"{"action":"register","username":"alice","password":"correct horse","email":"alice@example.org","display_name":"Alice"}"# optional "display_name";
    r#"{"action":"login","username":"alice","password":"correct horse","device":"laptop"}"# optional "device";
    r#"{"action":"authenticate","token":"kXg0pJ2v"}"#;
    r#"{"action":"refresh_token","refresh_token":"Zm9vYmFy"}"#;
    r#"{"action":"logout"}"#;
    r#"{"action":"list_sessions"}"#;
    r#"{"action":"list_sessions","after":"65f0c0ffee00000000000051","limit":20}"# optional "after" "limit";
    r#"{"action":"revoke_session","session_id":"65f0c0ffee00000000000051"}"#;
    r#"{"action":"change_password","old_password":"correct horse","new_password":"battery staple"}"#;
    r#"{"action":"update_profile","display_name":"Alice L."}"# optional "display_name";
    r#"{"action":"create_room","room_name":"General","visibility":"public","topic":"Everything"}"# optional "visibility" "topic";
    r#"{"action":"join_room","room_id":"65f0c0ffee00000000000010"}"#;
    r#"{"action":"leave_room","room_id":"65f0c0ffee00000000000010"}"#;
    r#"{"action":"get_room","room_id":"65f0c0ffee00000000000010","after":"65f0c0ffee00000000000001","limit":2}"# optional "after" "limit";
    r#"{"action":"list_rooms","scope":"public","query":"gen","after":"65f0c0ffee000000000000aa","limit":20}"# optional "query" "after" "limit";
    r#"{"action":"list_private_chats","after":"65f0c0ffee000000000000aa","limit":20}"# optional "after" "limit";
    r#"{"action":"invite_member","room_id":"65f0c0ffee00000000000010","user_id":"65f0c0ffee00000000000002"}"#;
    r#"{"action":"remove_member","room_id":"65f0c0ffee00000000000010","user_id":"65f0c0ffee00000000000002"}"#;
    r#"{"action":"ban_member","room_id":"65f0c0ffee00000000000010","user_id":"65f0c0ffee00000000000002"}"#;
    r#"{"action":"unban_member","room_id":"65f0c0ffee00000000000010","user_id":"65f0c0ffee00000000000002"}"#;
    r#"{"action":"set_role","room_id":"65f0c0ffee00000000000010","user_id":"65f0c0ffee00000000000002","role":"admin"}"#;
    r#"{"action":"update_room","room_id":"65f0c0ffee00000000000010","room_name":"Plaza","topic":""}"# optional "room_name" "topic";
    r#"{"action":"open_private_chat","user_id":"65f0c0ffee00000000000002"}"#;
    r#"{"action":"open_private_chat","username":"bob"}"# optional;
    r#"{"action":"send_room_message","room_id":"65f0c0ffee00000000000010","content":"Hello 世界","type":"text","client_id":"c-1"}"# optional "type" "client_id";
    r#"{"action":"send_private_message","chat_id":"65f0c0ffee00000000000020","receiver_id":"65f0c0ffee00000000000002","content":"Hi","type":"text","client_id":"c-2"}"# optional "receiver_id" "type" "client_id";
    r#"{"action":"get_room_messages","room_id":"65f0c0ffee00000000000010","limit":2}"# optional "limit";
    r#"{"action":"get_room_messages","room_id":"65f0c0ffee00000000000010","before_seq":8}"# optional "before_seq";
    r#"{"action":"get_room_messages","room_id":"65f0c0ffee00000000000010","after_seq":3}"# optional "after_seq";
    r#"{"action":"get_room_messages","room_id":"65f0c0ffee00000000000010","limit":50,"offset":50}"# optional "limit" "offset";
    r#"{"action":"get_private_messages","chat_id":"65f0c0ffee00000000000020","after_seq":3,"limit":2}"# optional "after_seq" "limit";
    r#"{"action":"get_private_messages","chat_id":"65f0c0ffee00000000000020","before_seq":3}"# optional "before_seq";
    r#"{"action":"get_private_messages","chat_id":"65f0c0ffee00000000000020","offset":0}"# optional "offset";
    r#"{"action":"sync","cursors":{"65f0c0ffee00000000000010":6,"65f0c0ffee00000000000011":0,"65f0c0ffee00000000000012":5},"epoch":"e1"}"# optional "epoch";
    r#"{"action":"mark_read","room_id":"65f0c0ffee00000000000010","seq":8}"#;
    r#"{"action":"mark_read","chat_id":"65f0c0ffee00000000000020","seq":8}"# optional;
    r#"{"action":"typing","room_id":"65f0c0ffee00000000000010"}"#;
    r#"{"action":"typing","chat_id":"65f0c0ffee00000000000020"}"# optional;
    r#"{"action":"set_status","status":"away"}"#;
    r#"{"action":"get_presence","user_ids":["65f0c0ffee00000000000002","65f0c0ffee00000000000003"]}"#;
    r#"{"action":"get_users","user_ids":["65f0c0ffee00000000000002"]}"#;
    r#"{"action":"ping"}"#;
};

const ALICE: UserId = UserId::from_bytes([0x65, 0xf0, 0xc0, 0xff, 0xee, 0, 0, 0, 0, 0, 0, 0x01]);
const BOB: UserId = UserId::from_bytes([0x65, 0xf0, 0xc0, 0xff, 0xee, 0, 0, 0, 0, 0, 0, 0x02]);
const ROOM: ConversationId =
    ConversationId::from_bytes([0x65, 0xf0, 0xc0, 0xff, 0xee, 0, 0, 0, 0, 0, 0, 0x10]);
const GONE: ConversationId =
    ConversationId::from_bytes([0x65, 0xf0, 0xc0, 0xff, 0xee, 0, 0, 0, 0, 0, 0, 0x11]);
const BOARD: ConversationId =
    ConversationId::from_bytes([0x65, 0xf0, 0xc0, 0xff, 0xee, 0, 0, 0, 0, 0, 0, 0x12]);
const CHAT: ConversationId =
    ConversationId::from_bytes([0x65, 0xf0, 0xc0, 0xff, 0xee, 0, 0, 0, 0, 0, 0, 0x20]);
const HERE: SessionId = SessionId::from_bytes([0x65, 0xf0, 0xc0, 0xff, 0xee, 0, 0, 0, 0, 0, 0, 0x50]);
const PHONE: SessionId = SessionId::from_bytes([0x65, 0xf0, 0xc0, 0xff, 0xee, 0, 0, 0, 0, 0, 0, 0x51]);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_ms(1_795_248_930_042 + seconds * 1_000)
}

fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

fn entry(conversation: ConversationId, number: u64, by: UserId, body: EntryBody) -> Entry {
    let mut id = *conversation.as_bytes();
    id[6] = 0xab;
    id[7] = u8::try_from(number).unwrap();
    let timestamp = at(i64::try_from(number).unwrap());
    let id = EntryId::from_bytes(id);
    Entry { conversation, seq: seq(number), id, by, timestamp, messages_so_far: number, body }
}

fn message(content: &str, client_id: Option<&str>) -> EntryBody {
    EntryBody::Message(Message {
        content: crate::domain::Content::new(content).unwrap(),
        kind: MessageKind::Text,
        client_id: client_id.map(|id| crate::domain::ClientId::new(id).unwrap()),
    })
}

fn room_entry() -> Entry {
    entry(ROOM, 7, ALICE, message("Hello 世界", Some("c-1")))
}

fn chat_entry() -> Entry {
    entry(CHAT, 4, ALICE, message("Hi", Some("c-2")))
}

fn plain_entry() -> Entry {
    entry(ROOM, 8, BOB, message("Line one\nline \"two\"", None))
}

fn room() -> Conversation {
    Conversation {
        id: ROOM,
        kind: ConversationKind::Room {
            name: crate::domain::RoomName::new("General").unwrap(),
            topic: crate::domain::Topic::new("Everything").unwrap(),
            visibility: Visibility::Public,
        },
        created_by: ALICE,
        created_at: at(0),
        head: Head { seq: seq(8), messages: 5 },
        member_count: 2,
        owners: vec![ALICE],
    }
}

fn chat() -> Conversation {
    let kind = ConversationKind::Private(Pair::new(ALICE, BOB).unwrap());
    Conversation { id: CHAT, kind, head: Head { seq: seq(4), messages: 3 }, owners: Vec::new(), ..room() }
}

fn joined(user: UserId, role: Role, since: u64, read: u64) -> Member {
    Member { read_seq: seq(read), ..Member::by_creation(user, role, seq(since)) }
}

fn invited() -> MyConversation {
    let mut conversation = room();
    conversation.id = GONE;
    conversation.kind = ConversationKind::Room {
        name: crate::domain::RoomName::new("Board").unwrap(),
        topic: crate::domain::Topic::new("").unwrap(),
        visibility: Visibility::Private,
    };
    let member =
        Member { state: MemberState::Invited, invited_by: Some(BOB), ..joined(ALICE, Role::Member, 3, 0) };
    MyConversation { conversation, member, last_message: None, unread: Unread::Exactly(0) }
}

fn mine() -> [MyConversation; 3] {
    let in_room = MyConversation {
        conversation: room(),
        member: joined(ALICE, Role::Owner, 1, 6),
        last_message: Some(plain_entry()),
        unread: Unread::Exactly(1),
    };
    let in_chat = MyConversation {
        conversation: chat(),
        member: joined(ALICE, Role::Member, 1, 1),
        last_message: Some(chat_entry()),
        unread: Unread::AtLeast(10_000),
    };
    [in_room, invited(), in_chat]
}

fn login() -> reply::LoginReply {
    let identity =
        Identity { user_id: ALICE, session_id: HERE, username: "alice".into(), expires_at: Some(at(3_600)) };
    let (token, refresh_token) = ("kXg0pJ2v".into(), "Zm9vYmFy".into());
    Grant { identity, token, refresh_token, expires_in: Duration::from_secs(3_600) }.into()
}

fn sessions() -> reply::SessionsReply {
    let session = |session_id, device: Option<&str>| {
        let device = device.map(|label| crate::domain::DeviceName::new(label).unwrap());
        let info = SessionInfo { session_id, device, created_at: at(0), last_used_at: at(60) };
        reply::SessionView::new(info, HERE)
    };
    let sessions = vec![session(HERE, Some("laptop")), session(PHONE, None)];
    reply::SessionsReply { sessions, next_after: Some(PHONE) }
}

fn presence() -> Vec<reply::PresenceView> {
    let away = Presence { user_id: ALICE, status: Status::Away, last_seen: None };
    let gone = Presence { user_id: BOB, status: Status::Offline, last_seen: Some(at(0)) };
    vec![away.into(), gone.into()]
}

fn users() -> reply::UsersReply {
    let display_name = crate::domain::DisplayName::new("Bob 张三").unwrap();
    let profile = Profile { user_id: BOB, username: "bob".into(), display_name, last_seen: Some(at(0)) };
    reply::UsersReply { users: vec![profile.into()] }
}

fn sync() -> reply::SyncReply {
    let missed = reply::SyncConversation {
        state: reply::SyncState::Ok,
        head_seq: Some(seq(8)),
        since_seq: None,
        entries: vec![
            entry_push(&room_entry(), EntryContext::Room),
            entry_push(&plain_entry(), EntryContext::Room),
        ],
        more: false,
    };
    let joined = entry(BOARD, 9, ALICE, EntryBody::Event(Event::Joined { user: ALICE }));
    let begun_anew = reply::SyncConversation {
        state: reply::SyncState::Ok,
        head_seq: Some(seq(9)),
        since_seq: Some(seq(9)),
        entries: vec![entry_push(&joined, EntryContext::Room)],
        more: false,
    };
    let other = reply::OtherConversation { conversation: ConversationKey::Chat(CHAT), head_seq: seq(4) };
    reply::SyncReply {
        epoch: "e1".into(),
        conversations: vec![
            (ROOM.to_string(), missed),
            (GONE.to_string(), reply::SyncConversation::gone()),
            (BOARD.to_string(), begun_anew),
        ],
        others: vec![other],
        more_others: false,
    }
}

/// The reply to an example of each action that has a result.
pub(super) fn replies() -> Vec<(&'static str, Frame)> {
    let request_id = Some(request_id());
    let frame = |name, result: &dyn erased::Result| (name, result.frame(request_id.as_ref()));
    let [in_room, invited, in_chat] = mine();
    let identity =
        Identity { user_id: ALICE, session_id: HERE, username: "alice".into(), expires_at: Some(at(3_600)) };
    let page = MessagePage { entries: vec![room_entry(), plain_entry()], has_more: true };
    let chat_page = MessagePage { entries: vec![chat_entry()], has_more: false };
    let members = vec![(&joined(ALICE, Role::Owner, 1, 1)).into(), (&joined(BOB, Role::Member, 2, 2)).into()];
    let next_after = Some(BOB);
    let room_view = reply::RoomView::new(&room(), Some(&in_room.member)).unwrap();
    let invitee_view = reply::RoomView::new(&invited.conversation, Some(&invited.member)).unwrap();
    let stranger = reply::RoomView::new(&room(), None).unwrap();
    vec![
        frame("done", &reply::Done {}),
        frame("register", &reply::UserReply { user_id: ALICE }),
        frame("login", &login()),
        frame("authenticate", &reply::AuthenticateReply::new(&identity, at(600))),
        frame("list_sessions", &sessions()),
        frame("create_room", &reply::CreateRoomReply { room_id: ROOM }),
        frame("join_room", &reply::JoinRoomReply { room_id: ROOM, since_seq: seq(2) }),
        frame("get_room", &reply::GetRoomReply { room: room_view, members, next_after }),
        frame(
            "get_room invited",
            &reply::GetRoomReply { room: invitee_view, members: Vec::new(), next_after: None },
        ),
        frame(
            "list_rooms",
            &reply::RoomListReply {
                rooms: vec![
                    reply::RoomView::mine(&in_room).unwrap(),
                    reply::RoomView::mine(&invited).unwrap(),
                ],
                next_after: Some(GONE),
            },
        ),
        frame("list_rooms public", &reply::RoomListReply { rooms: vec![stranger], next_after: None }),
        frame(
            "list_private_chats",
            &reply::ChatListReply { chats: vec![reply::ChatView::mine(&in_chat).unwrap()], next_after: None },
        ),
        frame("open_private_chat", &reply::OpenPrivateChatReply { chat_id: CHAT, user_id: BOB }),
        frame("send_room_message", &reply::SendReply::from(&room_entry())),
        frame("get_room_messages", &reply::HistoryReply::new(&page, EntryContext::Room)),
        frame("get_private_messages", &reply::HistoryReply::new(&chat_page, EntryContext::of(&chat()))),
        frame("sync", &sync()),
        frame("mark_read", &reply::MarkReadReply { read_seq: seq(8) }),
        frame("get_presence", &reply::PresenceReply { users: presence() }),
        frame("get_users", &users()),
        frame("ping", &reply::PongReply::new(at(0))),
    ]
}

/// `success` behind a trait object, so that results of all types stand in one list.
mod erased {
    use super::{Frame, RequestId, Serialize, success};

    pub(super) trait Result {
        fn frame(&self, request_id: Option<&RequestId>) -> Frame;
    }

    impl<T: Serialize> Result for T {
        fn frame(&self, request_id: Option<&RequestId>) -> Frame {
            success(request_id, self)
        }
    }
}

/// The request id of all replies here: 7.
pub(super) fn request_id() -> RequestId {
    Envelope::decode(r#"{"action":"ping","request_id":7}"#).unwrap().request_id().unwrap().clone()
}

/// A refusal of each code, and of each reason.
pub(super) fn refusals() -> Vec<(&'static str, Frame)> {
    let request_id = request_id();
    let unreadable = Envelope::decode("hello").unwrap_err();
    let mut refusals = vec![("invalid_json", failure(unreadable.request_id.as_ref(), &unreadable.error))];
    let mut add = |name, error: ActionError| refusals.push((name, failure(Some(&request_id), &error)));
    add("unknown_action", super::decode(r#"{"action":"dance"}"#).unwrap_err());
    add("invalid_params", super::decode(r#"{"action":"join_room","room_id":7}"#).unwrap_err());
    add("unauthenticated", ActionError::unauthenticated(UnauthenticatedReason::Missing));
    add("unauthenticated invalid", ActionError::unauthenticated(UnauthenticatedReason::Invalid));
    add("unauthenticated expired", ActionError::unauthenticated(UnauthenticatedReason::Expired));
    add("unauthenticated ended", ActionError::unauthenticated(UnauthenticatedReason::Ended));
    add("invalid_credentials", ActionError::from(&crate::error::AuthError::InvalidCredentials));
    add("forbidden", ActionError::forbidden());
    add("not_found", ActionError::not_found());
    add("already_exists", ActionError::from(&crate::error::AuthError::UsernameTaken));
    let conflict = ActionError::conflict("This client_id was used for another message");
    add("conflict", ActionError { field: Some("client_id".into()), ..conflict });
    add("limit_exceeded", ActionError::limit_exceeded("The room is full"));
    add("rate_limited", ActionError::rate_limited(Duration::from_millis(250)));
    add("unavailable", ActionError::unavailable());
    add("timeout", ActionError::timeout());
    add("internal", ActionError::internal());
    let codes: Vec<&str> = refusals.iter().map(|(name, _)| *name).collect();
    assert!(Code::ALL.iter().all(|code| codes.contains(&code.as_str())), "every code has its example");
    refusals
}

/// Each push, those of entries for each kind.
pub(super) fn pushes() -> Vec<(&'static str, Frame)> {
    let room = ConversationKey::Room(ROOM);
    let greeting = Connected::new("e1".into(), at(0), &Limits::default());
    let private = EntryContext::Private(Pair::new(ALICE, BOB).unwrap());
    let created = entry(CHAT, 1, ALICE, EntryBody::Event(Event::Created));
    let name = Some(crate::domain::RoomName::new("Plaza").unwrap());
    let topic = Some(crate::domain::Topic::new("").unwrap());
    let event = |name, number, by, event| {
        (name, entry_push(&entry(ROOM, number, by, EntryBody::Event(event)), EntryContext::Room))
    };
    vec![
        ("connected", Push::Connected(Box::new(greeting)).encode()),
        ("new_room_message", entry_push(&room_entry(), EntryContext::Room)),
        ("new_room_message plain", entry_push(&plain_entry(), EntryContext::Room)),
        ("new_private_message", entry_push(&chat_entry(), private)),
        ("created", entry_push(&created, private)),
        event("created room", 1, ALICE, Event::Created),
        event("invited", 2, ALICE, Event::Invited { user: BOB }),
        event("joined", 3, BOB, Event::Joined { user: BOB }),
        event("left", 4, BOB, Event::Left { user: BOB }),
        event("removed", 5, ALICE, Event::Removed { user: BOB }),
        event("banned", 6, ALICE, Event::Banned { user: BOB }),
        event("unbanned", 7, ALICE, Event::Unbanned { user: BOB }),
        event("role_changed", 8, ALICE, Event::RoleChanged { user: BOB, role: Role::Admin }),
        event("updated", 9, ALICE, Event::Updated { name, topic }),
        ("typing", Push::Typing(Typing { conversation: room, user_id: BOB }).encode()),
        ("presence", Push::Presence { users: presence() }.encode()),
        (
            "read_marker",
            Push::ReadMarker(ReadMarker { conversation: room, user_id: ALICE, read_seq: seq(8) }).encode(),
        ),
        (
            "invitation",
            Push::Invitation(Invitation {
                room_id: ROOM,
                room_name: RoomName::new("Plaza").unwrap(),
                topic: Topic::new("").unwrap(),
                visibility: Visibility::Private,
                invited_by: ALICE,
            })
            .encode(),
        ),
        ("token_expiring", Push::TokenExpiring { expires_in: Duration::from_secs(60) }.encode()),
        ("keep", Push::Keep.encode()),
    ]
}
