//! What a list says of a conversation is true of one moment, whatever happens meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chat_core::domain::{
    Content, Conversation, Draft, Entry, EntryBody, Event, Head, Member, Message, MessageKind, Role, Seq,
};
use chat_core::id::{ConversationId, EntryId, UserId};
use chat_core::port::{Append, EntryRange, MembershipPage, RoomStore, Unread};
use chat_core::time::Timestamp;
use mongodb::bson::oid::ObjectId;
use tokio::task::JoinSet;

use super::rows::{Setup, room, user};

/// How often the one user comes and goes.
const ROUNDS: usize = 100;

fn draft(by: UserId, body: EntryBody) -> Draft {
    let id = EntryId::from_bytes(ObjectId::new().bytes());
    Draft { id, by, timestamp: Timestamp::from_unix_ms(1_790_000_000_042), body }
}

fn message(by: UserId) -> Draft {
    let content = Content::new("hello").unwrap();
    draft(by, EntryBody::Message(Message { content, kind: MessageKind::Text, client_id: None }))
}

/// Appends, at the head that whoever appended last has left.
async fn append(store: &dyn RoomStore, id: ConversationId, head: &mut Head, drafts: Vec<Draft>) {
    loop {
        match store.append(id, *head, drafts.clone()).await.unwrap() {
            Append::Conflict(now) => *head = now,
            Append::Done(outcomes) => {
                head.seq = Seq::new(head.seq.get() + outcomes.len() as u64).unwrap();
                head.messages += drafts.iter().filter(|draft| draft.body.is_message()).count() as u64;
                return;
            }
        }
    }
}

/// What the log up to a head makes of the user and of the number of members.
fn folded(log: &[Entry], head: Head, owner: UserId, user: UserId) -> (Option<Member>, u32) {
    let mut members = vec![Member::by_creation(owner, Role::Owner, Seq::ZERO.next())];
    for entry in log.iter().filter(|entry| entry.seq <= head.seq) {
        let EntryBody::Event(event) = &entry.body else { continue };
        let Some(of) = event.user() else { continue };
        let before = members.iter().position(|member| member.user_id == of);
        let before = before.map(|place| members.swap_remove(place));
        members.extend(Member::after(before, of, entry.by, event, entry.seq));
    }
    let count = members.iter().filter(|member| member.is_joined()).count() as u32;
    (members.into_iter().find(|member| member.user_id == user), count)
}

/// One look at a list.
struct Look {
    conversation: Conversation,
    member: Member,
    /// What only a list shows.
    shown: Option<(Option<Seq>, Unread)>,
}

async fn look(store: &dyn RoomStore, user: UserId, looks: &mut Vec<Look>) {
    for standing in store.standings(user, None, 10).await.unwrap() {
        looks.push(Look { conversation: standing.conversation, member: standing.member, shown: None });
    }
    let page = MembershipPage { rooms: true, after: None, limit: 10 };
    for one in store.my_conversations(user, page).await.unwrap() {
        let shown = Some((one.last_message.map(|last| last.seq), one.unread));
        looks.push(Look { conversation: one.conversation, member: one.member, shown });
    }
}

fn check(look: &Look, log: &[Entry], owner: UserId) {
    let head = look.conversation.head;
    let (member, count) = folded(log, head, owner, look.member.user_id);
    let member = member.expect("who is listed has a row");
    assert_eq!(look.member, member, "at {head:?}");
    assert_eq!(look.conversation.member_count, count, "at {head:?}");
    let messages: Vec<&Entry> =
        log.iter().filter(|entry| entry.seq <= head.seq && entry.body.is_message()).collect();
    assert_eq!(head.messages, messages.len() as u64);
    let Some((last, unread)) = look.shown else { return };
    let by_others = messages.iter().filter(|entry| entry.seq > member.read_seq && entry.by != member.user_id);
    let (expected, count) = if member.is_joined() {
        (messages.last().map(|entry| entry.seq), by_others.count())
    } else {
        (None, 0)
    };
    assert_eq!((last, unread), (expected, Unread::Exactly(count as u64)), "at {head:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_heads_and_counts_agree_while_people_come_and_go() {
    let setup = Setup::new().await;
    let [owner, guest] = [user(), user()];
    let new = room(owner, "a busy room", chat_core::domain::Visibility::Public);
    let id = new.id;
    setup.store.create(new).await.unwrap();
    let is_over = Arc::new(AtomicBool::new(false));

    let mut lookers = JoinSet::new();
    for user in [guest, owner, guest] {
        let (store, is_over) = (setup.store.clone(), is_over.clone());
        lookers.spawn(async move {
            let mut looks = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                look(&store, user, &mut looks).await;
            }
            looks
        });
    }
    let mut writers = JoinSet::new();
    for who in [guest, user()] {
        let store = setup.store.clone();
        writers.spawn(async move {
            let mut head = store.conversation(id).await.unwrap().unwrap().head;
            for _ in 0..ROUNDS {
                let joined = draft(who, EntryBody::Event(Event::Joined { user: who }));
                append(&store, id, &mut head, vec![message(owner), joined]).await;
                append(&store, id, &mut head, vec![message(who), message(owner)]).await;
                let left = draft(who, EntryBody::Event(Event::Left { user: who }));
                append(&store, id, &mut head, vec![message(who), left]).await;
            }
        });
    }
    writers.join_all().await;
    is_over.store(true, Ordering::Relaxed);
    let looks: Vec<Look> = lookers.join_all().await.into_iter().flatten().collect();

    let (mut log, mut more) = (Vec::<Entry>::new(), true);
    while more {
        let after = log.last().map_or(Seq::ZERO, |last| last.seq);
        let range = EntryRange { after, upto: Seq::MAX, limit: 1_000, max_bytes: usize::MAX };
        let page = setup.store.entries(id, range).await.unwrap();
        more = page.more;
        log.extend(page.entries);
    }
    assert!(looks.len() > 20, "only {} looks", looks.len());
    for look in &looks {
        check(look, &log, owner);
    }
}
