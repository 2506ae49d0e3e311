//! Rooms and private chats become conversations.

use chat_core::domain::{EntryBody, Event, MemberState, Role};
use chat_core::id::UserId;
use chat_core::port::{MembershipPage, RoomQuery, RoomStore, Unread};
use chat_store_mongo::migrate_php::FindingKind;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, doc};

use crate::php_chat::{Migrated, PhpChat, conversation, field, user};

impl Migrated {
    /// The events of a log, each with its number and the user it is about.
    async fn events(&self, id: ObjectId) -> Vec<(u64, &'static str, UserId)> {
        let events = self.log(id).await.into_iter().filter_map(|entry| match &entry.body {
            EntryBody::Event(event) => {
                Some((entry.seq.get(), event.name(), event.user().unwrap_or(entry.by)))
            }
            EntryBody::Message(_) => None,
        });
        events.collect()
    }

    async fn members(&self, id: ObjectId) -> Vec<UserId> {
        let members = self.store.members(conversation(id), None, 100).await.unwrap();
        members.into_iter().map(|member| member.user_id).collect()
    }
}

#[tokio::test]
async fn creators_own_their_rooms_and_participants_are_members() {
    let php = PhpChat::new().await;
    let [ann, ben, cem] = php.users().await;
    let room = php.room(10, &[cem, ann, cem, ben]).await;
    php.message(11, doc! { "room_id": room, "sender_id": ann }).await;
    let migrated = php.migrate().await;

    let log = migrated.log(room).await;
    assert_eq!(log.iter().map(|entry| entry.seq.get()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(log[3].messages_so_far, 1);
    let expected = [(1, "created", user(cem)), (2, "joined", user(ann)), (3, "joined", user(ben))];
    assert_eq!(migrated.events(room).await, expected);
    let created_at = PhpChat::at(10).timestamp_millis();
    assert!(log[..3].iter().all(|entry| entry.timestamp.unix_ms() == created_at));

    let read = migrated.store.conversation(conversation(room)).await.unwrap().unwrap();
    assert_eq!((read.member_count, &read.owners[..]), (3, &[user(cem)][..]));
    let owner = migrated.store.member(read.id, user(cem)).await.unwrap().unwrap();
    assert_eq!((owner.role, owner.since_seq.get()), (Role::Owner, 1));
    let member = migrated.store.member(read.id, user(ben)).await.unwrap().unwrap();
    assert_eq!((member.role, member.since_seq.get()), (Role::Member, 3));
    assert_eq!(field(&php.row("chat_rooms", room).await, "participants").as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn nobody_has_unread_messages() {
    let php = PhpChat::new().await;
    let [ann, ben] = php.users().await;
    let room = php.room(10, &[ann, ben]).await;
    let chat = php.chat(11, ann, ben).await;
    for number in 20..30 {
        let place = if number % 2 == 0 {
            doc! { "room_id": room }
        } else {
            doc! { "chat_id": chat }
        };
        php.message(number, doc! { "sender_id": ann }.into_iter().chain(place).collect()).await;
    }
    let migrated = php.migrate().await;
    for rooms in [true, false] {
        let page = MembershipPage { rooms, after: None, limit: 10 };
        let mine = migrated.store.my_conversations(user(ben), page).await.unwrap();
        assert_eq!(mine.len(), 1);
        assert_eq!(mine[0].unread, Unread::Exactly(0));
        assert_eq!(mine[0].member.read_seq, mine[0].conversation.head.seq);
        assert!(mine[0].last_message.is_some());
    }
}

#[tokio::test]
async fn the_log_goes_on_where_it_ended() {
    use chat_core::domain::{Draft, Seq};
    use chat_core::id::EntryId;
    use chat_core::port::{Append, Appended};

    let php = PhpChat::new().await;
    let [ann, ben, cem] = php.users().await;
    let room = php.room(10, &[ann, ben]).await;
    php.message(11, doc! { "room_id": room, "sender_id": ann }).await;
    let migrated = php.migrate().await;
    let head = migrated.store.conversation(conversation(room)).await.unwrap().unwrap().head;
    let joins = Draft {
        id: EntryId::generate(),
        by: user(cem),
        timestamp: chat_core::time::Timestamp::default(),
        body: EntryBody::Event(Event::Joined { user: user(cem) }),
    };
    let appended = migrated.store.append(conversation(room), head, vec![joins]).await.unwrap();
    let Append::Done(done) = appended else { panic!("{appended:?}") };
    assert!(matches!(&done[..], [Appended::New(entry)] if Some(entry.seq) == Seq::new(4)));
    assert_eq!(migrated.members(room).await, [user(ann), user(ben), user(cem)]);
}

#[tokio::test]
async fn unknown_participants_are_dropped_and_unknown_creators_replaced() {
    let php = PhpChat::new().await;
    let [ann, ben] = php.users().await;
    let gone = PhpChat::id(99);
    let room = php.room(10, &[gone, gone, ann, ben]).await;
    let migrated = php.migrate().await;
    use FindingKind::{ParticipantUnknown, RoomCreatorUnknown};
    assert_eq!(migrated.kinds(), [RoomCreatorUnknown, ParticipantUnknown]);
    assert_eq!(migrated.events(room).await, [(1, "created", user(ann)), (2, "joined", user(ben))]);
    let row = php.row("chat_rooms", room).await;
    assert_eq!((field(&row, "creator_id"), field(&row, "creator_id_before")), (&ann.into(), &gone.into()));
}

#[tokio::test]
async fn rooms_without_a_known_member_are_closed_and_keep_their_messages() {
    let php = PhpChat::new().await;
    let [ann] = php.users().await;
    let gone = PhpChat::id(99);
    let room = php.room(10, &[gone]).await;
    php.message(11, doc! { "room_id": room, "sender_id": ann }).await;
    let migrated = php.migrate().await;
    assert!(migrated.kinds().contains(&FindingKind::RoomClosed));
    assert_eq!(migrated.said(room).await, ["message 11"]);
    assert_eq!(migrated.events(room).await, [(1, "created", user(gone)), (2, "left", user(gone))]);
    let read = migrated.store.conversation(conversation(room)).await.unwrap().unwrap();
    assert!(read.is_closed());
    let left = migrated.store.member(read.id, user(gone)).await.unwrap().unwrap();
    assert_eq!(left.state, MemberState::Left);
    let query = RoomQuery { text: String::new(), after: None, limit: 10 };
    assert!(migrated.store.discover(query).await.unwrap().is_empty());
}

#[tokio::test]
async fn names_of_rooms_are_made_fit() {
    let php = PhpChat::new().await;
    let [ann] = php.users().await;
    for (number, name) in [(10, " Garden\n".to_owned()), (11, "字".repeat(300)), (12, "\u{200B}".to_owned())]
    {
        let row = doc! { "_id": PhpChat::id(number), "name": name, "creator_id": ann, "created_at": PhpChat::at(0) };
        php.insert("chat_rooms", row).await;
    }
    let migrated = php.migrate().await;
    assert_eq!(migrated.kinds(), [FindingKind::RoomName; 3]);
    let query = RoomQuery { text: String::new(), after: None, limit: 10 };
    let found = migrated.store.discover(query).await.unwrap();
    let names: Vec<String> = found
        .into_iter()
        .map(|room| match room.kind {
            chat_core::domain::ConversationKind::Room { name, .. } => name.into(),
            private => panic!("{private:?}"),
        })
        .collect();
    let nameless = format!("room-{}", &PhpChat::id(12).to_hex()[18..]);
    assert_eq!(names, ["Garden".to_owned(), "字".repeat(100), nameless]);
}

#[tokio::test]
async fn ids_may_be_texts_and_times_numbers() {
    let php = PhpChat::new().await;
    let [ann, ben] = php.users().await;
    let room = PhpChat::id(10);
    php.insert(
        "chat_rooms",
        doc! {
            "_id": room,
            "name": "Garden",
            "creator_id": ann.to_hex(),
            "participants": { "0": ann.to_hex().to_uppercase(), "5": ben },
            "created_at": 1_600_000_010_i64,
        },
    )
    .await;
    let chat = PhpChat::id(11);
    php.insert(
        "private_chats",
        doc! { "_id": chat, "user1_id": ben.to_hex(), "user2_id": ann, "created_at": 1_600_000_011_000_i64 },
    )
    .await;
    let migrated = php.migrate().await;
    assert!(migrated.findings.is_empty());
    assert_eq!(migrated.members(room).await, [user(ann), user(ben)]);
    assert_eq!(migrated.members(chat).await, [user(ann), user(ben)]);
    assert_eq!(migrated.log(room).await[0].timestamp.unix_ms(), PhpChat::at(10).timestamp_millis());
    let created = &migrated.log(chat).await[0];
    assert_eq!((created.by, created.timestamp.unix_ms()), (user(ben), PhpChat::at(11).timestamp_millis()));
}

#[tokio::test]
async fn several_chats_of_a_pair_become_the_oldest() {
    let php = PhpChat::new().await;
    let [ann, ben, cem] = php.users().await;
    let [second, first, third] =
        [php.chat(20, ann, ben).await, php.chat(15, ben, ann).await, php.chat(30, ben, ann).await];
    let other = php.chat(16, ann, cem).await;
    for (number, chat, sender) in
        [(40, second, ann), (41, third, ben), (42, first, ben), (43, other, cem), (44, second, ben)]
    {
        php.message(number, doc! { "chat_id": chat, "sender_id": sender }).await;
    }
    let migrated = php.migrate().await;
    assert_eq!(migrated.kinds(), [FindingKind::ChatMerged; 2]);
    assert_eq!(migrated.said(first).await, ["message 40", "message 41", "message 42", "message 44"]);
    assert_eq!(migrated.said(other).await, ["message 43"]);
    for merged in [second, third] {
        assert_eq!(field(&php.row("private_chats", merged).await, "merged_into"), &first.into());
        assert!(migrated.store.conversation(conversation(merged)).await.unwrap().is_none());
    }
    // The message still says what the PHP chat needs to show it.
    assert_eq!(field(&php.row("messages", PhpChat::id(41)).await, "chat_id"), &third.into());
}

#[tokio::test]
async fn chats_that_are_none_are_kept_and_are_no_conversations() {
    let php = PhpChat::new().await;
    let [ann, ben] = php.users().await;
    let with_gone = php.chat(20, ann, PhpChat::id(99)).await;
    let with_oneself = php.chat(21, ben, ben).await;
    php.message(30, doc! { "chat_id": with_gone, "sender_id": ann, "receiver_id": ben }).await;
    let migrated = php.migrate().await;
    use FindingKind::{ChatUnknown, ChatUserUnknown, ChatWithOneself};
    assert_eq!(migrated.kinds(), [ChatUserUnknown, ChatWithOneself, ChatUnknown]);
    for chat in [with_gone, with_oneself] {
        let row = php.row("private_chats", chat).await;
        assert_eq!(field(&row, "merged_into"), &Bson::Null);
        assert!(migrated.store.conversation(conversation(chat)).await.unwrap().is_none());
    }
    let all = migrated.store.all_conversations(None, 10).await.unwrap();
    assert!(all.is_empty());
}
