//! Rows that somebody has damaged, or lost: errors say where, and never what stands there.

use chat_core::domain::Seq;
use chat_core::error::StoreError;
use chat_core::port::{EntryRange, MembershipPage, MessageAnchor, MessageQuery, RoomStore};
use mongodb::bson::{Bson, doc};

use super::rows::{RawLog, Setup, chat, member_id, object_id, seq, user};
use crate::support::damage;

/// The whole log.
const ALL: EntryRange = EntryRange { after: Seq::ZERO, upto: Seq::MAX, limit: 1_000, max_bytes: usize::MAX };

/// The `_id` of an entry's row.
async fn row_of(setup: &Setup, log: &RawLog<'_>, number: u64) -> Bson {
    let row = doc! { "conversation": object_id(log.id.as_bytes()), "seq": number as i64 };
    let row = setup.rows("messages").find_one(row).await.unwrap().expect("the entry");
    row.get("_id").cloned().unwrap()
}

fn newest(offset: u32) -> MessageQuery {
    let anchor = MessageAnchor::Newest { offset };
    MessageQuery { anchor, from: Seq::ZERO, upto: Seq::MAX, limit: 10, max_bytes: usize::MAX }
}

fn is_corrupt(error: &StoreError, parts: &[&str]) {
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    for part in parts {
        assert!(error.to_string().contains(part), "{error} does not name {part}");
    }
}

#[tokio::test]
async fn a_damaged_entry_is_named_and_not_shown() {
    let (setup, [owner, other]) = (Setup::new().await, [user(), user()]);
    let mut log = setup.public_room(owner).await;
    log.write_messages(owner, 2).await;
    log.write_unapplied(owner, RawLog::about("invited", other)).await;
    setup.store.conversation(log.id).await.unwrap();

    let message = row_of(&setup, &log, 3).await;
    let entries = async || setup.store.entries(log.id, ALL).await.map(drop);
    let fields = ["sender_id", "timestamp", "messages_so_far", "type", "content", "client_id"];
    damage(&setup.beside, ("messages", message.clone()), &fields, entries).await;
    let messages = async || setup.store.messages(log.id, newest(0)).await.map(drop);
    damage(&setup.beside, ("messages", message), &fields, messages).await;

    let event = row_of(&setup, &log, 4).await;
    damage(&setup.beside, ("messages", event.clone()), &["sender_id", "type", "user_id"], entries).await;
    let listed = async || setup.store.standings(owner, None, 10).await.map(drop);
    damage(&setup.beside, ("messages", event), &["messages_so_far"], listed).await;
}

#[tokio::test]
async fn a_damaged_conversation_is_named_and_not_shown() {
    let (setup, [owner, other]) = (Setup::new().await, [user(), user()]);
    let room = setup.public_room(owner).await;
    let all = async || setup.store.all_conversations(None, 10).await.map(drop);
    let id = Bson::from(object_id(room.id.as_bytes()));
    let fields = ["name", "topic", "visibility", "owners", "creator_id", "created_at", "member_count"];
    damage(&setup.beside, ("chat_rooms", id.clone()), &fields, all).await;
    let mine = async || setup.store.standings(owner, None, 10).await.map(drop);
    damage(&setup.beside, ("chat_rooms", id), &["projected_seq", "entry_id"], mine).await;

    let new = chat(owner, other);
    let id = Bson::from(object_id(new.id.as_bytes()));
    setup.store.create(new).await.unwrap();
    let fields = ["user1_id", "user2_id", "created_by", "created_at", "member_count", "projected_seq"];
    damage(&setup.beside, ("private_chats", id), &fields, all).await;
}

#[tokio::test]
async fn a_damaged_member_is_named_and_not_shown() {
    let (setup, owner) = (Setup::new().await, user());
    let log = setup.public_room(owner).await;
    let id = member_id(log.id, owner);
    let fields = ["role", "since_seq", "read_seq", "invited_by", "at_seq", "was_joined", "joining"];
    let one = async || setup.store.member(log.id, owner).await.map(drop);
    damage(&setup.beside, ("members", id.clone()), &["state"], one).await;
    damage(&setup.beside, ("members", id.clone()), &fields, one).await;
    let all = async || setup.store.members(log.id, None, 10).await.map(drop);
    damage(&setup.beside, ("members", id.clone()), &fields, all).await;
    let page = MembershipPage { rooms: true, after: None, limit: 10 };
    let listed = async || setup.store.my_conversations(owner, page).await.map(drop);
    damage(&setup.beside, ("members", id.clone()), &fields, listed).await;
    let marked = async || setup.store.mark_read(log.id, owner, seq(1)).await.map(drop);
    damage(&setup.beside, ("members", id), &["read_seq"], marked).await;
}

#[tokio::test]
async fn a_hole_in_a_log_is_found_and_never_skipped() {
    let (setup, owner) = (Setup::new().await, user());
    let mut log = setup.public_room(owner).await;
    log.write_messages(owner, 700).await;
    for number in [1, 400, 650] {
        let row = doc! { "_id": row_of(&setup, &log, number).await };
        let entry = setup.rows("messages").find_one(row.clone()).await.unwrap().unwrap();
        setup.rows("messages").delete_one(row).await.unwrap();
        let error = setup.store.entries(log.id, ALL).await.unwrap_err();
        is_corrupt(&error, &[&format!("entry {number} of {}", log.id)]);
        let before = EntryRange { upto: seq(number - 1), ..ALL };
        assert_eq!(setup.store.entries(log.id, before).await.unwrap().entries.len() as u64, number - 1);
        let behind = EntryRange { after: seq(number), ..ALL };
        assert_eq!(setup.store.entries(log.id, behind).await.unwrap().entries.len() as u64, 701 - number);
        setup.rows("messages").insert_one(entry).await.unwrap();
    }
    assert_eq!(setup.store.entries(log.id, ALL).await.unwrap().entries.len(), 701);
}

#[tokio::test]
async fn a_log_that_miscounts_its_messages_is_damaged_and_ends_every_search() {
    let (setup, owner) = (Setup::new().await, user());
    let mut log = setup.public_room(owner).await;
    log.write_messages(owner, 20).await;
    log.write_events(2_000).await;
    log.write_messages(owner, 5).await;
    let whole = setup.store.messages(log.id, newest(0)).await.unwrap();
    assert_eq!(whole.entries.len(), 10);
    let rows = setup.rows("messages");
    let between = doc! { "conversation": object_id(log.id.as_bytes()), "seq": { "$gt": 100, "$lt": 1_900 } };
    for count in [0_i64, 3, 24, 1_000_000, i64::MAX] {
        rows.update_many(between.clone(), doc! { "$set": { "messages_so_far": count } }).await.unwrap();
        for query in [newest(0), newest(7)] {
            is_corrupt(&setup.store.messages(log.id, query).await.unwrap_err(), &[&log.id.to_string()]);
        }
    }
    rows.update_many(between.clone(), doc! { "$set": { "messages_so_far": 20_i64 } }).await.unwrap();
    assert_eq!(setup.store.messages(log.id, newest(0)).await.unwrap(), whole);

    rows.delete_many(between).await.unwrap();
    is_corrupt(
        &setup.store.messages(log.id, newest(0)).await.unwrap_err(),
        &[&log.id.to_string(), "missing"],
    );
}
