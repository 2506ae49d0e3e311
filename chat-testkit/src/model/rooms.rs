//! Random calls to room stores.

use std::sync::Arc;

use chat_core::domain::{
    Content, ConversationKind, Draft, EntryBody, Event, Head, Message, MessageKind, Pair, Role, RoomName,
    Seq, Topic, Visibility,
};
use chat_core::id::{ConversationId, EntryId, UserId};
use chat_core::memory::MemoryStore;
use chat_core::port::{
    Creation, EntryRange, MembershipPage, MessageAnchor, MessageQuery, NewConversation, RoomQuery, RoomStore,
};
use chat_core::time::Timestamp;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

use super::{answer, same};
use crate::{Harness, Subject};

/// Rooms 0 to 3, of which the odd ones are private; 4 and 5 are chats of one pair, 6 of another.
const CONVERSATIONS: u8 = 7;
const FIRST_CHAT: u8 = 4;
const USERS: u8 = 5;
/// Keys of messages in one conversation: few, so that they come again.
const KEYS: u8 = 60;

/// One call, its arguments small numbers.
#[derive(Debug, Clone)]
pub(super) enum Call {
    Create { conversation: u8, by: u8 },
    Append { conversation: u8, head: HeadChoice, messages: Vec<MessageChoice>, event: Option<EventChoice> },
    Conversation(u8),
    Entry { conversation: u8, key: u8 },
    Entries { conversation: u8, after: u8, upto: u8, limit: u8, max_bytes: u16 },
    Messages { conversation: u8, anchor: (u8, u8), from: u8, upto: u8, limit: u8, max_bytes: u16 },
    Member { conversation: u8, user: u8 },
    Members { conversation: u8, after: Option<u8>, limit: u8 },
    Mine { user: u8, rooms: bool, after: Option<u8>, limit: u8 },
    Standings { user: u8, after: Option<u8>, limit: u8 },
    RoomCount(u8),
    Discover { text: u8, after: Option<u8>, limit: u8 },
    All { after: Option<u8>, limit: u8 },
    MarkRead { conversation: u8, user: u8, seq: u8 },
    Sharing { user: u8, others: Vec<u8> },
}

/// Key, sender and text of a message.
type MessageChoice = (u8, u8, u8);
/// Kind, actor and user of an event.
type EventChoice = (u8, u8, u8);

#[derive(Debug, Clone, Copy)]
pub(super) enum HeadChoice {
    Current,
    Stale,
    Above,
}

pub(super) fn call() -> impl Strategy<Value = Call> {
    let conversation = || 0..CONVERSATIONS;
    let user = || 0..USERS;
    let seq = || prop_oneof![0_u8..30, Just(u8::MAX)];
    let limit = || prop_oneof![1_u8..6, Just(100_u8)];
    let max_bytes = || prop_oneof![3 => Just(u16::MAX), 1 => 0_u16..60];
    let head = prop_oneof![
        8 => Just(HeadChoice::Current),
        1 => Just(HeadChoice::Stale),
        1 => Just(HeadChoice::Above),
    ];
    let messages = vec((0..KEYS, user(), any::<u8>()), 0..6);
    let event = option::of((0..9_u8, user(), user()));
    let append = (conversation(), head, messages, event);
    let append = append.prop_map(|(conversation, head, messages, event)| Call::Append {
        conversation,
        head,
        messages,
        event,
    });
    let entries = (conversation(), seq(), seq(), limit(), max_bytes());
    let messages = (conversation(), (0..3_u8, seq()), seq(), seq(), limit(), max_bytes());
    let mine = (user(), any::<bool>(), option::of(conversation()), limit());
    prop_oneof![
        3 => (conversation(), user()).prop_map(|(conversation, by)| Call::Create { conversation, by }),
        12 => append,
        2 => conversation().prop_map(Call::Conversation),
        1 => (conversation(), 0..KEYS).prop_map(|(conversation, key)| Call::Entry { conversation, key }),
        2 => entries.prop_map(|(conversation, after, upto, limit, max_bytes)| {
            Call::Entries { conversation, after, upto, limit, max_bytes }
        }),
        3 => messages.prop_map(|(conversation, anchor, from, upto, limit, max_bytes)| {
            Call::Messages { conversation, anchor, from, upto, limit, max_bytes }
        }),
        2 => (conversation(), user()).prop_map(|(conversation, user)| Call::Member { conversation, user }),
        2 => (conversation(), option::of(user()), limit())
            .prop_map(|(conversation, after, limit)| Call::Members { conversation, after, limit }),
        3 => mine.prop_map(|(user, rooms, after, limit)| Call::Mine { user, rooms, after, limit }),
        2 => (user(), option::of(conversation()), limit())
            .prop_map(|(user, after, limit)| Call::Standings { user, after, limit }),
        1 => user().prop_map(Call::RoomCount),
        1 => (0..5_u8, option::of(conversation()), limit())
            .prop_map(|(text, after, limit)| Call::Discover { text, after, limit }),
        1 => (option::of(conversation()), limit()).prop_map(|(after, limit)| Call::All { after, limit }),
        3 => (conversation(), user(), seq())
            .prop_map(|(conversation, user, seq)| Call::MarkRead { conversation, user, seq }),
        1 => (user(), vec(user(), 0..6)).prop_map(|(user, others)| Call::Sharing { user, others }),
    ]
}

fn user_id(number: u8) -> UserId {
    UserId::from_bytes([number.wrapping_mul(91); 12])
}

fn conversation_id(number: u8) -> ConversationId {
    ConversationId::from_bytes([number.wrapping_mul(57); 12])
}

fn entry_id(conversation: u8, key: u8) -> EntryId {
    EntryId::derived(conversation_id(conversation), user_id(0), &key.to_string())
}

fn seq(number: u8) -> Seq {
    let number = if number == u8::MAX { Seq::MAX.get() } else { u64::from(number) };
    Seq::new(number).unwrap_or(Seq::MAX)
}

fn room_name(number: u8) -> RoomName {
    let names = ["Green Tea", "Café É", "100% (a_b)", "茶馆", "tea"];
    RoomName::new(names[usize::from(number) % names.len()]).expect("a room name")
}

fn max_bytes(number: u16) -> usize {
    if number == u16::MAX { usize::MAX } else { usize::from(number) }
}

fn new_conversation(number: u8, by: u8) -> NewConversation {
    let visibility = if number.is_multiple_of(2) { Visibility::Public } else { Visibility::Private };
    let peer = if number == 6 { 2 } else { 1 };
    let (kind, by) = match Pair::new(user_id(0), user_id(peer)) {
        Some(pair) if number >= FIRST_CHAT => {
            (ConversationKind::Private(pair), if by.is_multiple_of(2) { 0 } else { peer })
        }
        _ => {
            let topic = Topic::new("").expect("an empty topic");
            (ConversationKind::Room { name: room_name(number), topic, visibility }, by)
        }
    };
    NewConversation {
        id: conversation_id(number),
        kind,
        created_by: user_id(by),
        created_at: Timestamp::from_unix_ms(1_790_000_000_000),
        entry_id: entry_id(number, u8::MAX),
    }
}

/// The two stores that are called in step.
struct Both {
    adapter: Arc<dyn RoomStore>,
    model: Arc<MemoryStore>,
    calls: u64,
}

/// Makes all `calls` to a new store and to a memory store.
pub(super) async fn compare(harness: Box<dyn Harness<dyn RoomStore>>, calls: Vec<Call>) {
    let subject = Subject::start(harness).await;
    let mut both = Both { adapter: subject.port(), model: Arc::default(), calls: 0 };
    for call in calls {
        both.calls += 1;
        both.call(call).await;
    }
    both.compare_everything().await;
    let Both { adapter, model, calls } = both;
    drop(adapter);
    if let Some(subject) = subject.restart().await {
        Both { adapter: subject.port(), model, calls }.compare_everything().await;
    }
}

impl Both {
    async fn call(&self, call: Call) {
        match call {
            Call::Create { conversation, by } => self.create(conversation, by).await,
            Call::Append { conversation, head, messages, event } => {
                self.append(conversation, head, (messages, event)).await;
            }
            Call::Conversation(conversation) => {
                let _ = same!(self, conversation(conversation_id(conversation)));
            }
            Call::Entry { conversation, key } => {
                let _ = same!(self, entry(conversation_id(conversation), entry_id(conversation, key)));
            }
            Call::Entries { conversation, after, upto, limit, max_bytes: bytes } => {
                let max_bytes = max_bytes(bytes);
                let range = EntryRange { after: seq(after), upto: seq(upto), limit: limit.into(), max_bytes };
                let _ = same!(self, entries(conversation_id(conversation), range));
            }
            Call::Messages { conversation, anchor, from, upto, limit, max_bytes: bytes } => {
                let anchor = match anchor {
                    (0, offset) => MessageAnchor::Newest { offset: offset.into() },
                    (1, number) => MessageAnchor::Before(seq(number)),
                    (_, number) => MessageAnchor::After(seq(number)),
                };
                let (from, upto, max_bytes) = (seq(from), seq(upto), max_bytes(bytes));
                let query = MessageQuery { anchor, from, upto, limit: limit.into(), max_bytes };
                let _ = same!(self, messages(conversation_id(conversation), query));
            }
            Call::MarkRead { conversation, user, seq: number } => {
                let _ = same!(self, mark_read(conversation_id(conversation), user_id(user), seq(number)));
            }
            list => self.list(list).await,
        }
    }

    async fn list(&self, call: Call) {
        match call {
            Call::Member { conversation, user } => {
                let _ = same!(self, member(conversation_id(conversation), user_id(user)));
            }
            Call::Members { conversation, after, limit } => {
                let _ = same!(self, members(conversation_id(conversation), after.map(user_id), limit.into()));
            }
            Call::Mine { user, rooms, after, limit } => {
                let page = MembershipPage { rooms, after: after.map(conversation_id), limit: limit.into() };
                let _ = same!(self, my_conversations(user_id(user), page));
            }
            Call::Standings { user, after, limit } => {
                let _ = same!(self, standings(user_id(user), after.map(conversation_id), limit.into()));
            }
            Call::RoomCount(user) => {
                let _ = same!(self, room_count(user_id(user)));
            }
            Call::Discover { text, after, limit } => {
                let text = ["", "TEA", "é", "%", "茶"][usize::from(text)].to_owned();
                let query = RoomQuery { text, after: after.map(conversation_id), limit: limit.into() };
                let _ = same!(self, discover(query.clone()));
            }
            Call::All { after, limit } => {
                let _ = same!(self, all_conversations(after.map(conversation_id), limit.into()));
            }
            Call::Sharing { user, mut others } => {
                others.sort_unstable();
                others.dedup();
                others.retain(|other| *other != user);
                let others: Vec<UserId> = others.into_iter().map(user_id).collect();
                let sorted = |mut users: Vec<UserId>| {
                    users.sort_unstable();
                    users
                };
                let _ = same!(self, sharing(user_id(user), others.clone()), sorted);
            }
            other => unreachable!("{other:?} is not a list"),
        }
    }

    async fn create(&self, conversation: u8, by: u8) {
        let new = new_conversation(conversation, by);
        // A repeated creation may answer either.
        let created = |creation| match creation {
            Creation::New(conversation) | Creation::Existing(conversation) => conversation,
        };
        let _ = same!(self, create(new.clone()), created);
    }

    async fn append(
        &self,
        conversation: u8,
        head: HeadChoice,
        (messages, event): (Vec<MessageChoice>, Option<EventChoice>),
    ) {
        let mut drafts = Vec::new();
        for (key, by, text) in messages {
            let content = "字".repeat(usize::from(text % 9) + 1);
            let body = EntryBody::Message(Message {
                content: Content::new(content).expect("a content"),
                kind: [MessageKind::Text, MessageKind::Image, MessageKind::File][usize::from(text % 3)],
                client_id: None,
            });
            drafts.push(self.draft(entry_id(conversation, key), by, body));
        }
        if let Some((kind, by, user)) = event.filter(|_| conversation < FIRST_CHAT) {
            let event = self.event(conversation, kind, user).await;
            drafts.push(self.draft(EntryId::generate(), by, EntryBody::Event(event)));
        }
        let id = conversation_id(conversation);
        let known = self.model.conversation(id).await.ok().flatten().map(|known| known.head);
        let current = known.unwrap_or_default();
        let expected = match head {
            HeadChoice::Current => current,
            HeadChoice::Stale => Head::default(),
            HeadChoice::Above => Head { seq: current.seq.next(), messages: current.messages + 1 },
        };
        let _ = same!(self, append(id, expected, drafts.clone()));
    }

    fn draft(&self, id: EntryId, by: u8, body: EntryBody) -> Draft {
        let milliseconds = i64::try_from(self.calls).unwrap_or(i64::MAX);
        Draft { id, by: user_id(by), timestamp: Timestamp::from_unix_ms(milliseconds), body }
    }

    /// Some event. A role is only given to a member, as by the engine.
    async fn event(&self, conversation: u8, kind: u8, of: u8) -> Event {
        let user = user_id(of);
        let member = self.model.member(conversation_id(conversation), user).await.ok().flatten();
        let is_joined = member.is_some_and(|member| member.is_joined());
        match kind {
            0 => Event::Invited { user },
            1 => Event::Left { user },
            2 => Event::Removed { user },
            3 => Event::Banned { user },
            4 => Event::Unbanned { user },
            5 if is_joined => Event::RoleChanged { user, role: Role::Owner },
            6 if is_joined => Event::RoleChanged { user, role: Role::Admin },
            7 => Event::Updated {
                name: of.is_multiple_of(2).then(|| room_name(of)),
                topic: Some(Topic::new("topic").expect("a topic")),
            },
            _ => Event::Joined { user },
        }
    }

    /// What every user sees of everything.
    async fn compare_everything(&self) {
        for conversation in 0..CONVERSATIONS {
            let id = conversation_id(conversation);
            let range =
                EntryRange { after: Seq::ZERO, upto: Seq::MAX, limit: u32::MAX, max_bytes: usize::MAX };
            let _ = same!(self, conversation(id));
            let _ = same!(self, entries(id, range));
            for user in 0..USERS {
                let _ = same!(self, member(id, user_id(user)));
            }
        }
        let _ = same!(self, all_conversations(None, 100));
        for user in 0..USERS {
            let page = |rooms| MembershipPage { rooms, after: None, limit: 100 };
            let _ = same!(self, my_conversations(user_id(user), page(true)));
            let _ = same!(self, my_conversations(user_id(user), page(false)));
            let _ = same!(self, standings(user_id(user), None, 100));
        }
    }
}
