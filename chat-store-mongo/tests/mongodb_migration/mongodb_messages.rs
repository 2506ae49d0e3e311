//! Messages become entries, in order, or are kept and named.

use chat_core::domain::{EntryBody, MessageKind};
use chat_core::id::ConversationId;
use chat_core::port::RoomStore;
use chat_store_mongo::migrate_php::FindingKind;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};

use crate::php_chat::{Migrated, PhpChat, field, user};

/// A room of two.
async fn garden() -> (PhpChat, ObjectId, [ObjectId; 2]) {
    let php = PhpChat::new().await;
    let members = php.users().await;
    let room = php.room(10, &members).await;
    (php, room, members)
}

/// Messages without a place, with the reason that each row says.
async fn unplaced(php: &PhpChat) -> Vec<(Bson, Bson)> {
    let rows = php.rows("messages").await.into_iter();
    let rows = rows.filter(|row| row.get("conversation") == Some(&Bson::Null));
    rows.map(|row| (field(&row, "_id").clone(), field(&row, "unplaced").clone())).collect()
}

impl Migrated {
    /// The only private chat.
    async fn the_chat(&self) -> ObjectId {
        let all = self.store.all_conversations(None, 10).await.unwrap();
        let mut chats = all.iter().filter(|found| found.pair().is_some());
        let id = chats.next().expect("a chat").id;
        assert!(chats.next().is_none());
        ObjectId::from_bytes(*ConversationId::as_bytes(&id))
    }
}

#[tokio::test]
async fn messages_are_ordered_by_time_and_then_by_id() {
    let (php, room, [ann, ben]) = garden().await;
    let times =
        [(30, PhpChat::at(5).into()), (31, Bson::Int64(1_600_000_003)), (32, Bson::Int64(1_600_000_004_500))];
    let more =
        [(33, PhpChat::at(3).into()), (34, Bson::Double(1_600_000_002.5)), (29, PhpChat::at(5).into())];
    for (number, time) in times.into_iter().chain(more) {
        let sender = if number % 2 == 0 { Bson::ObjectId(ann) } else { Bson::String(ben.to_hex()) };
        php.message(number, doc! { "room_id": room, "sender_id": sender, "timestamp": time }).await;
    }
    let migrated = php.migrate().await;
    let expected = [34, 31, 33, 32, 29, 30].map(|number| format!("message {number}"));
    assert_eq!(migrated.said(room).await, expected);
    assert!(migrated.findings.is_empty());
    let log = migrated.log(room).await;
    assert_eq!(log.last().unwrap().messages_so_far, 6);
    assert_eq!(log[3].by, user(ben));
    let row = php.row("messages", PhpChat::id(31)).await;
    assert_eq!(field(&row, "timestamp_before"), &Bson::Int64(1_600_000_003));
    assert_eq!(field(&row, "sender_id_before"), &Bson::String(ben.to_hex()));
}

#[tokio::test]
async fn times_that_cannot_be_read_are_those_of_the_id() {
    let (php, room, [ann, _]) = garden().await;
    for (number, time) in
        [(20, Bson::String("soon".into())), (21, Bson::Null), (22, Bson::Array(vec![1.into()]))]
    {
        php.message(number, doc! { "room_id": room, "sender_id": ann, "timestamp": time }).await;
    }
    let migrated = php.migrate().await;
    assert_eq!(migrated.kinds(), [FindingKind::TimeUnreadable; 3]);
    for (entry, number) in migrated.log(room).await[2..].iter().zip(20..) {
        assert_eq!(entry.timestamp.unix_ms(), PhpChat::id(number).timestamp().timestamp_millis());
    }
}

#[tokio::test]
async fn long_texts_become_several_entries_that_are_the_whole_text() {
    let (php, room, [ann, _]) = garden().await;
    let chat = php.chat(11, ann, PhpChat::id(2)).await;
    let long = "很长的消息。".repeat(1_000);
    for (number, place) in [(20, doc! { "room_id": room }), (22, doc! { "chat_id": chat })] {
        let mut fields = doc! { "sender_id": ann, "content": &long, "type": "file" };
        fields.extend(place.clone());
        php.message(number, fields).await;
        let mut fields = doc! { "sender_id": ann };
        fields.extend(place);
        php.message(number + 1, fields).await;
    }
    let migrated = php.migrate().await;
    assert_eq!(migrated.kinds(), [FindingKind::ContentSplit; 2]);
    assert_eq!(migrated.report.counts.further_parts, 4);
    for (place, next) in [(room, "message 21"), (chat, "message 23")] {
        let said = migrated.said(place).await;
        assert_eq!((said[..3].concat(), said[3].as_str()), (long.clone(), next));
        let log = migrated.log(place).await;
        let parts = &log[log.len() - 4..log.len() - 1];
        let is_alike = |entry: &chat_core::domain::Entry| {
            let EntryBody::Message(message) = &entry.body else { return false };
            (entry.by, entry.timestamp, message.kind) == (user(ann), parts[0].timestamp, MessageKind::File)
        };
        assert!(parts.iter().all(is_alike));
    }
    assert_eq!(
        field(&php.row("messages", PhpChat::id(20)).await, "content_before").as_str(),
        Some(long.as_str())
    );
    // The PHP chat sees all parts as well.
    let rows = php.rows("messages").await;
    let with_place = |row: &&Document| row.get("split_of") == Some(&PhpChat::id(22).into());
    let parts: Vec<&Document> = rows.iter().filter(with_place).collect();
    assert_eq!(parts.len(), 2);
    assert!(parts.iter().all(|row| field(row, "chat_id") == &chat.into() && row.contains_key("receiver_id")));
}

#[tokio::test]
async fn what_could_not_be_delivered_is_changed_visibly_and_kept() {
    let (php, room, [ann, _]) = garden().await;
    let contents = [
        (20, Bson::String("bell\u{7}\0".into())),
        (21, Bson::String(String::new())),
        (22, Bson::Null),
        (23, Bson::Int32(42)),
        (24, doc! { "url": "a.png" }.into()),
    ];
    for (number, content) in contents.clone() {
        php.message(number, doc! { "room_id": room, "sender_id": ann, "content": content }).await;
    }
    let migrated = php.migrate().await;
    let expected =
        ["bell\u{FFFD}\u{FFFD}", "(empty message)", "(empty message)", "42", r#"{"url": "a.png"}"#];
    assert_eq!(migrated.said(room).await, expected);
    use FindingKind::{ContentControls, ContentEmpty, ContentNoText};
    assert_eq!(migrated.kinds(), [ContentControls, ContentEmpty, ContentEmpty, ContentNoText, ContentNoText]);
    for (number, content) in contents {
        assert_eq!(field(&php.row("messages", PhpChat::id(number)).await, "content_before"), &content);
    }
}

#[tokio::test]
async fn types_become_those_that_exist() {
    let (php, room, [ann, _]) = garden().await;
    let kinds = [
        (20, "text".into()),
        (21, "image".into()),
        (22, "file".into()),
        (23, "sticker".into()),
        (24, Bson::Null),
    ];
    for (number, kind) in kinds {
        php.message(number, doc! { "room_id": room, "sender_id": ann, "type": kind }).await;
    }
    let migrated = php.migrate().await;
    let kinds: Vec<MessageKind> = migrated.log(room).await[2..]
        .iter()
        .map(|entry| match &entry.body {
            EntryBody::Message(message) => message.kind,
            event => panic!("{event:?}"),
        })
        .collect();
    use MessageKind::{File, Image, Text};
    assert_eq!(kinds, [Text, Image, File, Text, Text]);
    assert_eq!(migrated.kinds(), [FindingKind::MessageType]);
    assert_eq!(field(&php.row("messages", PhpChat::id(23)).await, "type_before").as_str(), Some("sticker"));
}

#[tokio::test]
async fn fields_that_would_mean_something_else_are_put_aside() {
    let (php, room, [ann, _]) = garden().await;
    php.message(20, doc! { "room_id": room, "sender_id": ann, "event": true, "client_id": 7 }).await;
    let migrated = php.migrate().await;
    assert_eq!(migrated.said(room).await, ["message 20"]);
    let row = php.row("messages", PhpChat::id(20)).await;
    assert_eq!((field(&row, "event_before"), field(&row, "client_id_before")), (&true.into(), &7.into()));
}

#[tokio::test]
async fn messages_without_a_chat_go_to_the_chat_with_their_receiver() {
    let php = PhpChat::new().await;
    let [ann, ben] = php.users().await;
    let chat = php.chat(10, ben, ann).await;
    php.message(20, doc! { "sender_id": ann, "receiver_id": ben.to_hex() }).await;
    php.message(21, doc! { "sender_id": ben, "receiver_id": ann, "chat_id": PhpChat::id(99) }).await;
    php.message(22, doc! { "sender_id": ben, "chat_id": chat.to_hex(), "room_id": "" }).await;
    let migrated = php.migrate().await;
    assert_eq!(migrated.kinds(), [FindingKind::PlacedByReceiver; 2]);
    assert_eq!(migrated.said(chat).await, ["message 20", "message 21", "message 22"]);
}

#[tokio::test]
async fn a_chat_is_made_for_messages_of_two_who_have_none() {
    let php = PhpChat::new().await;
    let [ann, ben] = php.users().await;
    php.message(30, doc! { "sender_id": ann, "receiver_id": ben }).await;
    php.message(31, doc! { "sender_id": ben, "receiver_id": ann, "timestamp": PhpChat::at(3) }).await;
    let migrated = php.migrate().await;
    use FindingKind::{ChatMade, PlacedByReceiver};
    assert_eq!(migrated.kinds(), [ChatMade, PlacedByReceiver, PlacedByReceiver]);
    assert_eq!(migrated.report.counts.conversations_of_two, 1);
    let chat = migrated.the_chat().await;
    assert_eq!(migrated.said(chat).await, ["message 31", "message 30"]);
    // Made by the first message.
    let created = &migrated.log(chat).await[0];
    assert_eq!((created.by, created.timestamp.unix_ms()), (user(ben), PhpChat::at(3).timestamp_millis()));
}

#[tokio::test]
async fn messages_without_a_place_are_named_and_kept_as_they_are() {
    let (php, room, [ann, ben]) = garden().await;
    let gone = PhpChat::id(99);
    use FindingKind::{
        ChatUnknown, DestinationMissing, MessageId, ReceiverUnknown, RoomUnknown, SenderUnknown,
    };
    let homeless = [
        (SenderUnknown, doc! { "room_id": room, "sender_id": gone }),
        (SenderUnknown, doc! { "room_id": room }),
        (RoomUnknown, doc! { "room_id": gone, "sender_id": ann }),
        (RoomUnknown, doc! { "room_id": "general", "sender_id": ann, "receiver_id": ben }),
        (ChatUnknown, doc! { "chat_id": gone, "sender_id": ann }),
        (ReceiverUnknown, doc! { "receiver_id": gone, "sender_id": ann }),
        (DestinationMissing, doc! { "sender_id": ann }),
        (DestinationMissing, doc! { "sender_id": ann, "receiver_id": ann }),
        (MessageId, doc! { "_id": "no id", "room_id": room, "sender_id": ann }),
    ];
    for (number, (_, fields)) in (20..).zip(homeless.clone()) {
        php.message(number, fields).await;
    }
    let before = php.rows("messages").await;
    let migrated = php.migrate().await;
    assert_eq!(migrated.kinds(), homeless.map(|(kind, _)| kind));
    assert_eq!(migrated.said(room).await, Vec::<String>::new());
    assert_eq!((migrated.report.counts.unplaced, migrated.report.counts.placed), (9, 0));

    let named = unplaced(&php).await;
    assert_eq!(named.len(), 9);
    assert!(named.iter().all(|(_, reason)| reason.as_str().is_some_and(|reason| !reason.is_empty())));
    let after = php.rows("messages").await;
    for row in before {
        let kept = after.iter().find(|kept| kept.get("_id") == row.get("_id")).unwrap();
        assert!(row.iter().all(|(name, value)| kept.get(name) == Some(value)), "{kept} was {row}");
    }
}

#[tokio::test]
async fn a_stranger_in_a_private_chat_stays_and_is_named() {
    let php = PhpChat::new().await;
    let [ann, ben, cem] = php.users().await;
    let chat = php.chat(10, ann, ben).await;
    php.message(20, doc! { "chat_id": chat, "sender_id": cem }).await;
    let migrated = php.migrate().await;
    assert_eq!(migrated.kinds(), [FindingKind::SenderOutside]);
    assert_eq!(migrated.said(chat).await, ["message 20"]);
}
